//! Where requests go, and what is the same in all of them.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use crate::config::Settings;
use crate::msgpack::read::{self, Pairs};
use crate::output::compression::Compression;

/// A server, a path, a method and headers.
pub(super) struct Target {
    /// Host and port, for messages.
    pub(super) peer: String,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    tag: Option<HeaderName>,
}

impl Target {
    /// Where requests go.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Reads the settings.
    pub(super) fn read(
        settings: &mut Settings<'_>,
        content_type: Option<&'static str>,
        compress: Option<Compression>,
    ) -> Self {
        let host = settings
            .text("host")
            .unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = settings.port("port").unwrap_or(80);
        let is_ipv6 = host.contains(':') && !host.starts_with('[');
        let host = if is_ipv6 { format!("[{host}]") } else { host };
        let peer = format!("{host}:{port}");
        let method = match settings.choice("http_method", &["POST", "PUT"]) {
            Some("PUT") => Method::PUT,
            _ => Method::POST,
        };
        let mut headers = HeaderMap::new();
        if let Some(kind) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(compression) = compress {
            let name = HeaderValue::from_static(compression.name());
            headers.insert(CONTENT_ENCODING, name);
        }
        if let Some(basic) = basic(settings) {
            headers.insert(AUTHORIZATION, basic);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static("Fluent-Bit"));
        more(settings, &mut headers);
        let tag = settings.text("header_tag").and_then(|name| {
            let header = HeaderName::try_from(&name).ok();
            if header.is_none() {
                settings.error("header_tag", "is no header; write a name such as X-Tag");
            }
            header
        });
        Self {
            uri: uri(settings, &peer),
            peer,
            method,
            headers,
            tag,
        }
    }

    /// Whether a header holds the tag.
    pub(super) fn shows_tag(&self) -> bool {
        self.tag.is_some()
    }

    /// Makes a request. `own` is a msgpack map of headers of its own, or nothing.
    pub(super) fn request(&self, tag: &str, own: &[u8], body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(name) = &self.tag {
            // What may not stand in a header is escaped.
            let value = HeaderValue::from_bytes(tag.as_bytes())
                .or_else(|_| HeaderValue::try_from(tag.escape_default().to_string()));
            if let Ok(value) = value {
                request.headers_mut().insert(name.clone(), value);
            }
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

/// The name of a header that a record holds, where it may: the length is counted, not believed.
fn header_name(name: &[u8]) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(read::text(name)?).ok()?;
    (!is_counted(&name)).then_some(name)
}

fn is_counted(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}

fn uri(settings: &mut Settings<'_>, peer: &str) -> Uri {
    let scheme = if settings.flag("tls", false) {
        "https"
    } else {
        "http"
    };
    let path = settings.text("uri").unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let base: Option<Uri> = format!("{scheme}://{peer}/").parse().ok();
    if base.is_none_or(|base| base.authority().is_none_or(|whole| whole.as_str() != peer)) {
        settings.error("host", "is no host; write a name or an address alone");
        return Uri::default();
    }
    let parsed = format!("{scheme}://{peer}{slash}{path}").parse().ok();
    parsed.unwrap_or_else(|| {
        settings.error("uri", "is no path; write /path?query, with %20 for a blank");
        Uri::default()
    })
}

fn basic(settings: &mut Settings<'_>) -> Option<HeaderValue> {
    let password = settings.text("http_passwd").unwrap_or_default();
    let user = settings.text("http_user")?;
    let encoded = base64_simd::STANDARD.encode_to_string(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Adds the headers of the section.
fn more(settings: &mut Settings<'_>, headers: &mut HeaderMap) {
    let may_repeat = settings.flag("allow_duplicated_headers", true);
    for ((name, value), _) in settings.pairs("header") {
        let parsed = (HeaderName::try_from(&name), HeaderValue::try_from(&value));
        match parsed {
            (Ok(name), Ok(_)) if is_counted(&name) => {
                settings.error("header", format!("{name} is counted here; leave it out"));
            }
            (Ok(name), Ok(value)) if may_repeat => {
                headers.append(name, value);
            }
            (Ok(name), Ok(value)) => {
                headers.insert(name, value);
            }
            _ => settings.error("header", "is no header; write a name, a blank and a text"),
        }
    }
}

#[cfg(test)]
mod tests {
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
