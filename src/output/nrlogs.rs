//! `nrlogs`: events for New Relic's log API.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `base_uri` | `https://log-api.newrelic.com/log/v1` | where to |
//! | `license_key`, `api_key` | | who sends; one is needed, the first wins |
//! | `compress` | gzip | `off` for none |
//! | `tls.*`, `net.*` | | how to reach it |
//!
//! The value of `log`, or of `message` where there is none, is the message; everything else becomes attributes.
//!
//! Limits: 1 MB of a request. <https://docs.newrelic.com/docs/logs/log-api/introduction-log-api/>

use std::io::Write as _;
use std::sync::Arc;

use http::{HeaderName, Uri};

use super::compression::Compression;
use super::web::{Content, Exchange, Poster, Room, Target, Verdict};
use super::{Encoded, Item, Options, Output};
use crate::config::{FLUENT_BIT_VERSION, Settings};
use crate::event::DropReason;
use crate::msgpack::json::Json;
use crate::msgpack::read::{self, Pairs, Value};

const BASE_URI: &str = "https://log-api.newrelic.com/log/v1";
/// What New Relic takes, compressed or not.
const BODY_MAX: usize = 1_000_000;
/// Behind the events.
const TAIL: &[u8] = b"]}]";

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let exchange = Exchange::read(settings, "output:nrlogs", verdict);
    // Always spoken to by TLS; what `tls` says means nothing.
    settings.accept(&["tls", "host", "port"]);
    let gzip = Compression::Gzip;
    let compress = Compression::read_or_off(settings, "compress", &[gzip], Some(gzip));
    let mut target = server(settings);
    target.identify();
    target.describe(Some("application/json"), compress);
    let keys = (settings.text("license_key"), settings.text("api_key"));
    match keys {
        (Some(key), _) => {
            let name = HeaderName::from_static("x-license-key");
            target.set_secret(settings, "license_key", name, &key);
        }
        (None, Some(key)) => {
            let name = HeaderName::from_static("x-insert-key");
            target.set_secret(settings, "api_key", name, &key);
        }
        (None, None) => settings.error(
            "license_key",
            "missing or empty; output `nrlogs` needs it, or api_key",
        ),
    }
    let content = Events {
        json: options.json,
        room: Room {
            events: usize::MAX,
            // One that is packed is far smaller; should it not be, the service says so and it is cut.
            enough: BODY_MAX - BODY_MAX / 10,
            most: if compress.is_some() {
                usize::MAX
            } else {
                BODY_MAX
            },
        },
    };
    let poster = Poster {
        target,
        exchange,
        compress,
        content,
    };
    poster.output()
}

fn server(settings: &mut Settings<'_>) -> Target {
    let text = settings.text("base_uri");
    let uri: Option<Uri> = text.as_deref().unwrap_or(BASE_URI).parse().ok();
    let parts = uri.and_then(|uri| {
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().filter(|host| is_web && !host.is_empty())?;
        let default = if uri.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        let port = uri.port_u16().unwrap_or(default);
        let peer = format!("{host}:{port}");
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("https://{peer}{path}").parse().ok()?;
        Some((uri, peer))
    });
    let (uri, peer) = parts.unwrap_or_else(|| {
        settings.error("base_uri", "is no address; write https://host/path");
        (Uri::default(), String::new())
    });
    Target::at(uri, peer)
}

/// What a status means: all but success may be sent again, as in Fluent Bit, but that what is too large or malformed is cut until
/// it shows which event it was.
fn verdict(status: u16) -> Verdict {
    match status {
        200..=205 => Verdict::Taken,
        400 => Verdict::Unacceptable(DropReason::Refused),
        413 => Verdict::Unacceptable(DropReason::TooLarge),
        _ => Verdict::Again,
    }
}

struct Events {
    json: Json,
    room: Room,
}

impl Events {
    fn write(&self, item: Item<'_>, out: &mut Vec<u8>) {
        let record = item.event.record;
        let find = |name: &[u8]| Pairs::of(record).find(|(key, _)| is(key, name));
        let (name, message) = match find(b"log") {
            Some((_, value)) => (&b"log"[..], Some(value)),
            None => (&b"message"[..], find(b"message").map(|(_, value)| value)),
        };
        let _infallible = write!(out, "{{\"timestamp\":{},", item.event.time.millis());
        if let Some(message) = message {
            out.extend_from_slice(b"\"message\":");
            self.json.value(message, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"attributes\":");
        let others = Pairs::of(record).filter(|(key, _)| !is(key, name));
        self.json.object(others, out);
        out.push(b'}');
    }
}

fn is(key: &[u8], name: &[u8]) -> bool {
    matches!(read::value(key), Ok((_, Value::Str(text))) if text == name)
}

impl Content for Events {
    fn room(&self) -> Room {
        self.room
    }

    fn write(&self, items: &mut dyn Iterator<Item = Item<'_>>, body: &mut Vec<u8>) -> Encoded {
        let plugin = r#"[{"common":{"attributes":{"plugin":{"type":"Fluent Bit","version":""#;
        let _infallible = write!(body, "{plugin}{FLUENT_BIT_VERSION}\"}}}}}},\"logs\":[");
        let encoded = self
            .room
            .fill(items, body, TAIL.len(), |index, item, body| {
                if index > 0 {
                    body.push(b',');
                }
                self.write(item, body);
                Ok(())
            });
        body.extend_from_slice(TAIL);
        encoded
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::config::testing::configured;
    use crate::output::Destination;
    use crate::output::testing::{items, record};

    fn output(properties: &[(&str, &str)]) -> (Arc<dyn Output>, Vec<String>) {
        configured(properties, |settings| build(settings, Options::default()))
    }

    fn encoded(compress: &str, records: &[String]) -> Encoded {
        let (output, problems) = output(&[("license_key", "k"), ("compress", compress)]);
        assert_eq!(problems, [""; 0]);
        let records: Vec<_> = records.iter().map(|text| record(text)).collect();
        output.encode(&Destination::default(), &mut items(&records), Vec::new())
    }

    /// Checklist: engine 64
    #[test]
    fn the_message_stands_alone_and_everything_else_is_attributes() {
        let head = r#"[{"common":{"attributes":{"plugin":{"type":"Fluent Bit","version":"5.1.1"}}},"logs":["#;
        for (record, expected) in [
            (
                r#"{"log":"x","n":1,"message":"y"}"#,
                r#""message":"x","attributes":{"n":1,"message":"y"}"#,
            ),
            (
                r#"{"a":1,"message":{"b":2}}"#,
                r#""message":{"b":2},"attributes":{"a":1}"#,
            ),
            (r#"{"a":1}"#, r#""attributes":{"a":1}"#),
        ] {
            let body = encoded("off", &[record.to_owned()]).body;
            let text = String::from_utf8(body.to_vec()).unwrap();
            let expected = format!("{head}{{\"timestamp\":1700000000123,{expected}}}]}}]");
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_body_is_packed_unless_it_is_told_not_to_be() {
        let records = [r#"{"log":"x"}"#.to_owned()];
        let packed = encoded("gzip", &records).body;
        let mut text = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&packed[..]);
        reader.read_to_end(&mut text).unwrap();
        assert_eq!(text, encoded("false", &records).body);
    }

    #[test]
    fn a_body_has_at_most_a_million_bytes_and_what_is_larger_is_refused() {
        let sized = |size| format!(r#"{{"log":"{}"}}"#, "x".repeat(size));
        let records = [sized(600_000), sized(600_000)];
        assert_eq!(encoded("off", &records).consumed, 1);
        let records = [sized(BODY_MAX), sized(1)];
        let encoded = encoded("off", &records);
        assert_eq!(encoded.refused, [(0, DropReason::TooLarge)]);
        assert_eq!(encoded.consumed, 2);
    }

    #[test]
    fn a_section_without_a_key_or_with_nonsense_says_what_to_write() {
        for (properties, expected) in [
            (&[][..], "needs it, or api_key"),
            (
                &[("api_key", "k"), ("base_uri", "log-api")],
                "is no address",
            ),
            (
                &[("api_key", "k"), ("base_uri", "ftp://a/b")],
                "is no address",
            ),
            (&[("api_key", "k"), ("compress", "zstd")], "write gzip"),
        ] {
            let (_, problems) = output(properties);
            assert!(
                problems.concat().contains(expected),
                "{properties:?}: {problems:?}"
            );
        }
    }
}
