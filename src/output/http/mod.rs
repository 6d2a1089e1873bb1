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
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use self::format::Format;
use self::single::Single;
use self::target::Target;
use super::compression::Compression;
use super::net::{HttpClient, HttpWay, with_causes};
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output, text};
use crate::config::Settings;
use crate::event::{DropReason, Tag};
use crate::telemetry::log::Limiter;

/// As Fluent Bit's `net.keepalive_idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer has to begin by then; below what a request may take in all.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(55);
/// An answer has to be whole so long after its beginning.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read, and how much of it is shown.
const ANSWER_MAX: usize = 1 << 20;
const SHOWN_MAX: usize = 500;

struct Http {
    target: Target,
    content: Content,
    client: HttpClient<Full<Bytes>>,
    response_timeout: Duration,
    body_timeout: Duration,
    shows_answers: bool,
    limiter: Limiter,
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
    let way = HttpWay::read(settings, IDLE_TIMEOUT);
    let compressions = [Compression::Gzip, Compression::Snappy, Compression::Zstd];
    let compress = Compression::read(settings, "compress", &compressions, true);
    let format = Format::read(settings, options.json, compress);
    let single = Single::read(settings, compress);
    let content_type = single.is_none().then(|| format.content_type());
    let mut seconds = |key, default: Duration| {
        let time = settings.duration(key).filter(|time| !time.is_zero());
        time.unwrap_or(default).min(default)
    };
    let response_timeout = seconds("http.response_timeout", RESPONSE_TIMEOUT);
    let body_timeout = seconds("http.read_idle_timeout", BODY_TIMEOUT);
    Arc::new(Http {
        target: Target::read(settings, content_type, compress),
        content: single.map_or(Content::Many(format), Content::One),
        client: way.client(),
        response_timeout: way
            .io_timeout()
            .unwrap_or(response_timeout)
            .min(response_timeout),
        body_timeout,
        shows_answers: settings.flag("log_response_payload", true),
        limiter: Limiter::default(),
    })
}

impl Http {
    async fn exchange(&self, destination: &Destination, body: Bytes) -> Answer {
        let (headers, body) = match &self.content {
            Content::Many(_) => (Bytes::new(), body),
            Content::One(_) => Single::split(&body),
        };
        let make = || {
            self.target
                .request(&destination.name, &headers, body.clone())
        };
        let sent = self
            .client
            .send(self.response_timeout, make(), || Some(make()))
            .await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                let peer = &self.target.peer;
                return Answer::again(format!("{peer}: {}", with_causes(&error)));
            }
        };
        let status = response.status().as_u16();
        let after = retry_after(response.headers());
        let payload = self.read(response.into_body()).await;
        let why = self.words(status, &payload);
        let answer = verdict(status, after, why);
        if let Answer::Done { rejected } = &answer
            && !rejected.is_empty()
            && let Some(more) = self.limiter.admit()
        {
            let why = self.words(status, &payload);
            crate::error!("output:http", "{why}; its events are lost{more}");
        }
        answer
    }

    /// What the server says. The status stands, whatever becomes of the rest.
    async fn read(&self, body: Incoming) -> Bytes {
        let whole = Limited::new(body, ANSWER_MAX).collect();
        match tokio::time::timeout(self.body_timeout, whole).await {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(_)) | Err(_) => Bytes::new(),
        }
    }

    fn words(&self, status: u16, payload: &Bytes) -> String {
        let peer = &self.target.peer;
        if payload.is_empty() || !self.shows_answers {
            return format!("{peer}, HTTP status={status}");
        }
        let shown = payload.get(..SHOWN_MAX).unwrap_or(payload).escape_ascii();
        format!("{peer}, HTTP status={status}: {shown}")
    }
}

/// Seconds to wait; dates are not understood.
fn retry_after(headers: &::http::HeaderMap) -> Option<Duration> {
    let value = headers.get(::http::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// What a status means for the events: Fluent Bit's rules, but that a body which is too large is cut.
fn verdict(status: u16, after: Option<Duration>, why: String) -> Answer {
    match status {
        200..=205 => Answer::done(),
        413 => Answer::Unacceptable {
            why,
            reason: DropReason::TooLarge,
        },
        408 | 429 => Answer::Again {
            throttled: status == 429,
            after,
            why,
        },
        400..=499 => Answer::Done {
            rejected: vec![(0..usize::MAX, DropReason::Refused)],
        },
        _ => Answer::Again {
            throttled: status == 503,
            after,
            why,
        },
    }
}

impl Output for Http {
    fn limits(&self) -> Limits {
        match self.content {
            Content::Many(_) => text::LIMITS,
            Content::One(_) => Limits {
                events: 1,
                ..text::LIMITS
            },
        }
    }

    /// One for the server, or one for each tag where the tag stands in a header.
    fn destination(&self, tag: &Tag) -> Option<Destination> {
        let server: Box<str> = self.target.peer.as_str().into();
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
        Box::pin(self.exchange(destination, body))
    }

    /// Only connects: nobody knows what a request without events would do there.
    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async {
            let peer = &self.target.peer;
            let reached = self.client.reach(self.target.uri()).await;
            Some(match reached {
                Ok(()) => Ok(format!("{peer} accepts connections; no request was sent")),
                Err(error) => Err(with_causes(&error)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    #[test]
    fn a_status_means_what_it_means_to_fluent_bit() {
        let class = |status| match verdict(status, None, String::new()) {
            Answer::Done { rejected } if rejected.is_empty() => "done",
            Answer::Done { .. } => "refused",
            Answer::Again {
                throttled: true, ..
            } => "throttled",
            Answer::Again { .. } => "again",
            Answer::Unacceptable { .. } => "cut",
            Answer::Partly { .. } | Answer::Missing { .. } => "else",
        };
        for (statuses, expected) in [
            (&[200, 201, 204, 205][..], "done"),
            (&[400, 401, 403, 404, 422], "refused"),
            (&[429, 503], "throttled"),
            (&[206, 301, 408, 500, 502, 504, 999], "again"),
            (&[413], "cut"),
        ] {
            for &status in statuses {
                assert_eq!(class(status), expected, "{status}");
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
