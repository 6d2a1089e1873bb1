//! `splunk`: events for Splunk's HTTP Event Collector.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `host`, `port` | 127.0.0.1, 8088 | where to |
//! | `splunk_token` | | who sends; needed unless there is `http_user` |
//! | `http_user`, `http_passwd` | | basic authentication, instead of the token |
//! | `event_key` | | the event is this value, such as `$log`; the whole record where that is missing or empty |
//! | `event_host`, `event_source` | | `host` and `source`: templates |
//! | `event_sourcetype`, `event_index` | | `sourcetype` and `index` |
//! | `event_sourcetype_key`, `event_index_key` | | templates that win over them where they give something |
//! | `event_field NAME $key` | | `fields`; may be repeated |
//! | `splunk_send_raw` | off | records as they are, without an envelope, a line each |
//! | `auto_extract_timestamp` | off | Splunk finds the time in the event; the envelope has none |
//! | `channel` | | the header `X-Splunk-Request-Channel` |
//! | `compress` | | `gzip` |
//! | `tls`, `tls.*`, `net.*`, `proxy` | off | how to reach it |
//!
//! <https://docs.splunk.com/Documentation/Splunk/latest/Data/FormateventsforHTTPEventCollector>

mod envelope;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use self::envelope::Envelope;
use super::compression::Compression;
use super::web::{Content, Defaults, Exchange, Poster, Room, Target, Verdict};
use super::{Encoded, Item, Options, Output};
use crate::config::Settings;
use crate::event::DropReason;

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    settings.accept(&["http_buffer_size", "http_debug_bad_request"]);
    let extracts = settings.flag("auto_extract_timestamp", false);
    let defaults = Defaults {
        host: "127.0.0.1",
        ports: (8088, 8088),
        path: if extracts {
            "/services/collector/event?auto_extract_timestamp=true"
        } else {
            "/services/collector/event"
        },
        path_key: None,
    };
    let exchange = Exchange::read(settings, "output:splunk", verdict);
    let compress = Compression::read_or_off(settings, "compress", &[Compression::Gzip], None);
    let mut target = Target::read(settings, defaults);
    target.describe(None, compress);
    authenticate(settings, &mut target);
    target.identify();
    if let Some(channel) = settings.text("channel") {
        match HeaderValue::try_from(channel) {
            Ok(channel) => target.set(HeaderName::from_static("x-splunk-request-channel"), channel),
            Err(_) => settings.error("channel", "holds characters that no header may have"),
        }
    }
    let content = Events(Envelope::read(settings, options.json, !extracts));
    let poster = Poster {
        target,
        exchange,
        compress,
        content,
    };
    poster.output()
}

fn authenticate(settings: &mut Settings<'_>, target: &mut Target) {
    let token = settings.text("splunk_token");
    if target.authenticate(settings) {
        return;
    }
    match token {
        Some(token) => {
            let value = format!("Splunk {token}");
            target.set_secret(settings, "splunk_token", AUTHORIZATION, &value);
        }
        None => settings.error(
            "splunk_token",
            "missing or empty; output `splunk` needs it, or http_user",
        ),
    }
}

/// What a status means: Fluent Bit's rules, but that a body which is too large is cut.
fn verdict(status: u16) -> Verdict {
    match status {
        200 => Verdict::Taken,
        413 => Verdict::Unacceptable(DropReason::TooLarge),
        408 | 429 => Verdict::Again,
        400..=499 => Verdict::Refused,
        _ => Verdict::Again,
    }
}

struct Events(Envelope);

impl Content for Events {
    fn room(&self) -> Room {
        Room::FREE
    }

    fn write(&self, items: &mut dyn Iterator<Item = Item<'_>>, body: &mut Vec<u8>) -> Encoded {
        let mut scratch = Vec::new();
        Room::FREE.fill(items, body, 0, |_, item, body| {
            self.0.write(item, &mut scratch, body);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
