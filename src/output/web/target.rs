//! Where requests go, and what is the same in all of them.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use crate::config::Settings;
use crate::output::compression::Compression;

/// What an output's settings are when they are not given.
#[derive(Debug, Clone, Copy)]
pub(in crate::output) struct Defaults {
    /// `host`.
    pub(in crate::output) host: &'static str,
    /// `port`, without TLS and with it.
    pub(in crate::output) ports: (u16, u16),
    /// The path.
    pub(in crate::output) path: &'static str,
    /// The setting that names another path, if there is one.
    pub(in crate::output) path_key: Option<&'static str>,
}

/// A server, a path, a method and headers.
#[derive(Debug)]
pub(in crate::output) struct Target {
    /// Host and port, for messages.
    pub(in crate::output) peer: String,
    /// `POST`, unless it is changed.
    pub(in crate::output) method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    headers: HeaderMap,
}

impl Target {
    /// Reads `host`, `port`, `tls` and the path.
    pub(in crate::output) fn read(settings: &mut Settings<'_>, defaults: Defaults) -> Self {
        let host = settings.text("host");
        let host = host.unwrap_or_else(|| defaults.host.to_owned());
        let tls = settings.flag("tls", false);
        let (scheme, port) = if tls {
            ("https", defaults.ports.1)
        } else {
            ("http", defaults.ports.0)
        };
        let port = settings.port("port").unwrap_or(port);
        let is_ipv6 = host.contains(':') && !host.starts_with('[');
        let host = if is_ipv6 { format!("[{host}]") } else { host };
        let peer = format!("{host}:{port}");
        let key = defaults.path_key;
        let path = key.and_then(|key| settings.text(key));
        let path = path.unwrap_or_else(|| defaults.path.to_owned());
        let slash = if path.starts_with('/') { "" } else { "/" };
        let base: Option<Uri> = format!("{scheme}://{peer}/").parse().ok();
        let is_host = |base: &Uri| {
            base.authority()
                .is_some_and(|authority| authority.as_str() == peer)
        };
        let uri = if base.as_ref().is_some_and(is_host) {
            let uri = format!("{scheme}://{peer}{slash}{path}").parse();
            uri.unwrap_or_else(|_| {
                let message = "is no path; write /path?query, with %20 for a blank";
                settings.error(key.unwrap_or_default(), message);
                Uri::default()
            })
        } else {
            settings.error("host", "is no host; write a name or an address alone");
            Uri::default()
        };
        Self::at(uri, peer)
    }

    /// A server of which the whole address is known.
    pub(in crate::output) fn at(uri: Uri, peer: String) -> Self {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let default_port = if uri.scheme_str() == Some("https") {
            ":443"
        } else {
            ":80"
        };
        let host = authority.strip_suffix(default_port).unwrap_or(authority);
        Self {
            host: HeaderValue::try_from(host).ok(),
            peer,
            method: Method::POST,
            uri,
            headers: HeaderMap::new(),
        }
    }

    /// Where requests go.
    pub(in crate::output) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Says what bodies are.
    pub(in crate::output) fn describe(
        &mut self,
        content_type: Option<&'static str>,
        compress: Option<Compression>,
    ) {
        if let Some(kind) = content_type {
            self.set(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(compression) = compress {
            let name = HeaderValue::from_static(compression.name());
            self.set(CONTENT_ENCODING, name);
        }
    }

    /// Says who sends, as Fluent Bit does.
    pub(in crate::output) fn identify(&mut self) {
        self.set(USER_AGENT, HeaderValue::from_static("Fluent-Bit"));
    }

    /// Sets a header.
    pub(in crate::output) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }

    /// Sets a header to what a setting says; it is never shown.
    pub(in crate::output) fn set_secret(
        &mut self,
        settings: &mut Settings<'_>,
        key: &str,
        name: HeaderName,
        value: &str,
    ) {
        match HeaderValue::try_from(value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.headers.insert(name, value);
            }
            Err(_) => settings.error(key, "holds characters that no header may have"),
        }
    }

    /// Reads `http_user` and `http_passwd`; whether there is a user.
    pub(in crate::output) fn authenticate(&mut self, settings: &mut Settings<'_>) -> bool {
        let password = settings.text("http_passwd").unwrap_or_default();
        let Some(user) = settings.text("http_user") else {
            return false;
        };
        let encoded = base64_simd::STANDARD.encode_to_string(format!("{user}:{password}"));
        let value = format!("Basic {encoded}");
        self.set_secret(settings, "http_user", AUTHORIZATION, &value);
        true
    }

    /// Adds the headers of the section, beside those of the same name or in their place.
    pub(in crate::output) fn add_headers(&mut self, settings: &mut Settings<'_>, beside: bool) {
        for ((name, value), _) in settings.pairs("header") {
            let parsed = (HeaderName::try_from(&name), HeaderValue::try_from(&value));
            match parsed {
                (Ok(name), Ok(_)) if is_counted(&name) => {
                    settings.error("header", format!("{name} is counted here; leave it out"));
                }
                (Ok(name), Ok(value)) if beside => {
                    self.headers.append(name, value);
                }
                (Ok(name), Ok(value)) => {
                    self.headers.insert(name, value);
                }
                _ => settings.error("header", "is no header; write a name, a blank and a text"),
            }
        }
    }

    /// Makes a request. Its headers stand in Fluent Bit's order, host and length first.
    pub(in crate::output) fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        headers.extend(self.host.clone().map(|host| (HOST, host)));
        headers.insert(CONTENT_LENGTH, body.len().into());
        headers.extend(self.headers.clone());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }
}

/// Whether a header says how long the body is: that is counted, not believed.
pub(in crate::output) fn is_counted(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}

/// The value of a header, with what may not stand there escaped.
pub(in crate::output) fn header_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes())
        .or_else(|_| HeaderValue::try_from(text.escape_default().to_string()))
        .ok()
}
