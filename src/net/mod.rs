//! Reaching a peer: names, sockets, TLS, proxies, HTTP. What the outputs share that talk over the network, and the filters that ask for
//! metadata.
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

pub use self::dial::{DialError, Dialer, secure};
pub use self::http::{HttpClient, HttpError, HttpWay};
pub use self::settings::Net;
pub use self::stream::Stream;
pub use self::tls::{Tls, Trust, vhost};

/// An error and what it came from, down to the system's own words.
pub fn with_causes(error: &dyn std::error::Error) -> String {
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
