//! Reaching a destination: names, sockets, TLS, proxies, HTTP. What every output that talks over the network shares.
//!
//! | file | purpose |
//! |---|---|
//! | `settings.rs` | `net.*`: deadlines, keep-alive, addresses |
//! | `tls.rs`, `verify.rs` | `tls.*`: whom to trust, who we are |
//! | `dial.rs`, `names.rs`, `stream.rs` | host and port to a connected stream, with TLS where it is asked for |
//! | `proxy.rs`, `tunnel.rs` | which hosts are reached through a proxy, and `CONNECT` |
//! | `http.rs` | HTTP/1.1 with keep-alive over all that |
//!
//! Nothing here is done before the first request: a start needs no name server and no destination.

mod dial;
mod http;
mod names;
mod proxy;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod verify;

pub(super) use self::dial::{DialError, Dialer, secure};
pub(super) use self::http::{HttpClient, HttpError, HttpWay};
pub(super) use self::settings::Net;
pub(super) use self::stream::Stream;
pub(super) use self::tls::Tls;

/// An error and what it came from, down to the system's own words.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text = text + ": " + &words;
        }
        cause = error.source();
    }
    text
}
