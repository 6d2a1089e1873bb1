//! Where requests go, with the tag or the record's own headers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;

use crate::config::Settings;
use crate::msgpack::read::{self, Pairs};
use crate::output::compression::Compression;
use crate::output::web::{self, Defaults, header_value, is_counted};

/// A server, a path, a method and headers.
pub(super) struct Target {
    pub(super) server: web::Target,
    tag: Option<HeaderName>,
}

impl Target {
    /// Reads the settings.
    pub(super) fn read(
        settings: &mut Settings<'_>,
        content_type: Option<&'static str>,
        compress: Option<Compression>,
    ) -> Self {
        let defaults = Defaults {
            host: "127.0.0.1",
            ports: (80, 80),
            path: "/",
            path_key: Some("uri"),
        };
        let mut server = web::Target::read(settings, defaults);
        if let Some("PUT") = settings.choice("http_method", &["POST", "PUT"]) {
            server.method = Method::PUT;
        }
        server.describe(content_type, compress);
        server.authenticate(settings);
        server.identify();
        let beside = settings.flag("allow_duplicated_headers", true);
        server.add_headers(settings, beside);
        let tag = settings.text("header_tag").and_then(|name| {
            let header = HeaderName::try_from(&name).ok();
            if header.is_none() {
                settings.error("header_tag", "is no header; write a name such as X-Tag");
            }
            header
        });
        Self { server, tag }
    }

    /// Host and port, for messages.
    pub(super) fn peer(&self) -> &str {
        &self.server.peer
    }

    /// Whether a header holds the tag.
    pub(super) fn shows_tag(&self) -> bool {
        self.tag.is_some()
    }

    /// Makes a request. `own` is a msgpack map of headers of its own, or nothing.
    pub(super) fn request(&self, tag: &str, own: &[u8], body: Bytes) -> Request<Full<Bytes>> {
        let mut request = self.server.request(body);
        if let Some(name) = &self.tag
            && let Some(value) = header_value(tag)
        {
            request.headers_mut().insert(name.clone(), value);
        }
        for (name, value) in Pairs::of(own).filter(|_| !own.is_empty()) {
            let header = (
                header_name(name),
                read::text(value).map(HeaderValue::from_bytes),
            );
            if let (Some(name), Some(Ok(value))) = header {
                request.headers_mut().append(name, value);
            }
        }
        request
    }
}

/// The name of a header that a record holds, where it may.
fn header_name(name: &[u8]) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(read::text(name)?).ok()?;
    (!is_counted(&name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use http::header::USER_AGENT;

    use super::*;
    use crate::config::testing::configured;

    fn target(properties: &[(&str, &str)]) -> Target {
        let read = |settings: &mut Settings<'_>| {
            Target::read(settings, Some("text/x"), Some(Compression::Gzip))
        };
        let (target, problems) = configured(properties, read);
        assert_eq!(problems, [""; 0]);
        target
    }

    fn headers(request: &Request<Full<Bytes>>) -> Vec<String> {
        let show = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.as_bytes().escape_ascii())
        };
        request.headers().iter().map(show).collect()
    }

    #[test]
    fn a_request_goes_where_it_is_told_with_its_headers() {
        let request = target(&[
            ("host", "::1"),
            ("port", "81"),
            ("uri", "a?b=c"),
            ("tls", "on"),
            ("http_method", "put"),
            ("http_user", "me"),
            ("header", "X-One first  value"),
            ("header_tag", "X-Tag"),
        ])
        .request("a\nb", &[], Bytes::new());
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(request.uri(), "https://[::1]:81/a?b=c");
        let expected = [
            "host: [::1]:81",
            "content-length: 0",
            "content-type: text/x",
            "content-encoding: gzip",
            "authorization: Basic bWU6",
            "user-agent: Fluent-Bit",
            "x-one: first  value",
            "x-tag: a\\\\nb",
        ];
        assert_eq!(headers(&request), expected);
        assert_eq!(
            target(&[]).request("", &[], Bytes::new()).uri(),
            "http://127.0.0.1:80/"
        );
    }

    #[test]
    fn a_header_stands_beside_the_default_or_in_its_place() {
        let agent = ("header", "User-Agent x");
        let both = target(&[agent]).request("", &[], Bytes::new());
        assert_eq!(both.headers().get_all(USER_AGENT).iter().count(), 2);
        let one = target(&[agent, ("allow_duplicated_headers", "off")]);
        assert_eq!(
            one.request("", &[], Bytes::new()).headers()[USER_AGENT],
            "x"
        );
    }

    #[test]
    fn a_record_adds_headers_but_no_length_and_no_nonsense() {
        let own = b"\x84\xa1a\xa1b\xaecontent-length\xa19\xa1c\x05\xa3d\ne\xa1f";
        let request = target(&[]).request("", own, Bytes::new());
        assert_eq!(headers(&request).last().unwrap(), "a: b");
    }
}
