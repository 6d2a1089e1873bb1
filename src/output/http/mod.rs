//! `http`: records in the body of a request, to any server.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `host`, `port`, `uri` | 127.0.0.1, 80, `/` | where to send; port 80 with TLS too |
//! | `http_method` | POST | or `PUT` |
//! | `format` | json | `json` (an array), `json_lines`, `json_stream`, `msgpack`, `gelf` |
//! | `json_date_key`, `json_date_format` | date, double | see `text.rs` |
//! | `compress` | | `gzip`, `snappy` or `zstd` |
//! | `header NAME VALUE`, `allow_duplicated_headers` | , on | more headers; off: instead of those of this name |
//! | `header_tag` | | the header that holds the tag |
//! | `http_user`, `http_passwd` | | basic authentication |
//! | `body_key`, `headers_key` | | body and headers out of the record: a request for each |
//! | `gelf_*_key` | | see `gelf.rs` |
//! | `log_response_payload` | on | the log shows what a server says that refuses |
//! | `http.response_timeout`, `http.read_idle_timeout` | 55, 10 | seconds until an answer begins, and until it is whole |
//! | `tls`, `tls.*`, `net.*`, `proxy` | off | how to reach it |
//!
//! | file | purpose |
//! |---|---|
//! | `format.rs`, `gelf.rs`, `single.rs` | events to a body |
//! | `target.rs` | what is the same in all requests |
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/http>

mod format;
mod gelf;
mod single;
mod target;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub(super) use self::format::Format;
use self::single::Single;
use self::target::Target;
use super::compression::Compression;
use super::web::{BODY_TIMEOUT, Exchange, RESPONSE_TIMEOUT, Room, Verdict};
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::{DropReason, Tag};

struct Http {
    target: Target,
    content: Content,
    exchange: Exchange,
}

/// What requests hold.
enum Content {
    /// Many events.
    Many(Format),
    /// One event, which says itself what is sent.
    One(Single),
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    for key in ["aws_auth", "oauth2.enable"] {
        if settings.flag(key, false) {
            settings.error(key, "is not supported yet");
        }
    }
    settings.accept(&["aws_*", "oauth2.*"]);
    let mut exchange = Exchange::read(settings, "output:http", verdict);
    let compressions = [Compression::Gzip, Compression::Snappy, Compression::Zstd];
    let compress = Compression::read(settings, "compress", &compressions, true);
    let format = Format::read(settings, options.json, compress);
    let single = Single::read(settings, compress);
    let content_type = single.is_none().then(|| format.content_type());
    let mut seconds = |key, default: Duration| {
        let time = settings.duration(key).filter(|time| !time.is_zero());
        time.unwrap_or(default)
    };
    let response_timeout = seconds("http.response_timeout", RESPONSE_TIMEOUT);
    let body_timeout = seconds("http.read_idle_timeout", BODY_TIMEOUT);
    exchange.hurry(response_timeout, body_timeout);
    exchange.read_shows_answers(settings);
    Arc::new(Http {
        target: Target::read(settings, content_type, compress),
        content: single.map_or(Content::Many(format), Content::One),
        exchange,
    })
}

impl Http {
    async fn post(&self, destination: &Destination, body: Bytes) -> Answer {
        let (headers, body) = match &self.content {
            Content::Many(_) => (Bytes::new(), body),
            Content::One(_) => Single::split(&body),
        };
        let make = || {
            let body = body.clone();
            self.target.request(&destination.name, &headers, body)
        };
        self.exchange.send(self.target.peer(), make).await
    }
}

/// What a status means for the events: Fluent Bit's rules, but that a body which is too large is cut.
fn verdict(status: u16) -> Verdict {
    match status {
        200..=205 => Verdict::Taken,
        413 => Verdict::Unacceptable(DropReason::TooLarge),
        408 | 429 => Verdict::Again,
        400..=499 => Verdict::Refused,
        _ => Verdict::Again,
    }
}

impl Output for Http {
    fn limits(&self) -> Limits {
        match self.content {
            Content::Many(_) => Room::FREE.limits(),
            Content::One(_) => Limits {
                events: 1,
                ..Room::FREE.limits()
            },
        }
    }

    /// One for the server, or one for each tag where the tag stands in a header.
    fn destination(&self, tag: &Tag) -> Option<Destination> {
        let server: Box<str> = self.target.peer().into();
        let (group, name) = if self.target.shows_tag() {
            (server, tag.to_text().into())
        } else {
            (Box::default(), server)
        };
        Some(Destination { group, name })
    }

    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        body: Vec<u8>,
    ) -> Encoded {
        match &self.content {
            Content::Many(format) => format.encode(items, body),
            Content::One(single) => single.encode(items, body),
        }
    }

    fn send<'a>(&'a self, destination: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(self.post(destination, body))
    }

    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { Some(self.exchange.reach(&self.target.server).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    #[test]
    fn a_status_means_what_it_means_to_fluent_bit() {
        for (statuses, expected) in [
            (&[200, 201, 204, 205][..], Verdict::Taken),
            (&[400, 401, 403, 404, 422], Verdict::Refused),
            (
                &[206, 301, 408, 429, 500, 502, 503, 504, 999],
                Verdict::Again,
            ),
            (&[413], Verdict::Unacceptable(DropReason::TooLarge)),
        ] {
            for &status in statuses {
                assert_eq!(verdict(status), expected, "{status}");
            }
        }
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        for (properties, expected) in [
            (&[("compress", "lz4")][..], "is no compression"),
            (&[("aws_auth", "on")], "not supported yet"),
            (&[("oauth2.enable", "on")], "not supported yet"),
            (&[("body_key", "$b")], "belong together"),
            (&[("headers_key", "$h")], "belong together"),
            (&[("http_method", "GET")], "write one of POST, PUT"),
            (&[("header", "Content-Length 5")], "is counted"),
            (&[("header", "a\u{e9} b")], "no header"),
            (&[("header_tag", "a b")], "no header"),
            (&[("uri", "a b")], "no path"),
            (&[("host", "a/b")], "no host"),
        ] {
            let read = |settings: &mut Settings<'_>| build(settings, Options::default());
            let (_, problems) = configured(properties, read);
            assert!(
                problems.concat().contains(expected),
                "{properties:?}: {problems:?}"
            );
        }
    }
}
