//! `datadog`: events for Datadog's intake of logs.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `apikey` | | who sends; needed |
//! | `host`, `port` | http-intake.logs.datadoghq.com, 80 (443 with `tls`) | where to |
//! | `dd_service`, `dd_source`, `dd_hostname`, `dd_tags` | | `service`, `ddsource`, `hostname`, `ddtags` of every event |
//! | `dd_message_key` | log | the key that becomes `message` |
//! | `provider` | | `ecs`: what ECS says of the container becomes tags, see `remap.rs` |
//! | `include_tag_key`, `tag_key` | off, tagkey | the event's tag under this key |
//! | `json_date_key` | timestamp | the key of the time, in milliseconds |
//! | `compress` | | `gzip` |
//! | `header NAME VALUE` | | more headers |
//! | `tls`, `tls.*`, `net.*`, `proxy` | off | how to reach it |
//!
//! A key that is there twice, in the record and by a setting, has the value that stands last: settings before the record, but for
//! `ddtags`, which stands behind it.
//!
//! Limits: 1000 events and 5 MB of a request. <https://docs.datadoghq.com/api/latest/logs/#send-logs>

mod remap;

use std::iter::once;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use self::remap::{Tags, is_remapped};
use super::compression::Compression;
use super::web::{Content, Defaults, Exchange, Poster, Room, Target, Verdict};
use super::{Encoded, Item, Options, Output};
use crate::config::{FLUENT_BIT_VERSION, Settings};
use crate::event::{DropReason, EventTime};
use crate::msgpack::json::Json;
use crate::msgpack::read::{self, Pairs};
use crate::msgpack::write;

const DEFAULTS: Defaults = Defaults {
    host: "http-intake.logs.datadoghq.com",
    ports: (80, 443),
    path: "/api/v2/logs",
    path_key: None,
};
const ROOM: Room = Room {
    events: 1000,
    enough: Room::FREE.enough,
    most: 5_000_000,
};

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let exchange = Exchange::read(settings, "output:datadog", verdict);
    let compress = Compression::read_or_off(settings, "compress", &[Compression::Gzip], None);
    let mut target = Target::read(settings, DEFAULTS);
    target.identify();
    target.describe(Some("application/json"), compress);
    let key = settings.required("apikey").unwrap_or_default();
    let name = HeaderName::from_static("dd-api-key");
    target.set_secret(settings, "apikey", name, &key);
    for (name, value) in [
        ("dd-evp-origin", "Fluent-Bit"),
        ("dd-evp-origin-version", FLUENT_BIT_VERSION),
    ] {
        let name = HeaderName::from_static(name);
        target.set(name, HeaderValue::from_static(value));
    }
    target.add_headers(settings, true);
    let content = Events::read(settings, options.json);
    let poster = Poster {
        target,
        exchange,
        compress,
        content,
    };
    poster.output()
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

/// A key and a value, encoded.
type Field = (Vec<u8>, Vec<u8>);

/// How events are written.
struct Events {
    date_key: Vec<u8>,
    tag_key: Option<Vec<u8>>,
    /// What every event gets, in front of its record.
    fields: Vec<Field>,
    message_key: Box<[u8]>,
    message: Vec<u8>,
    tags_key: Vec<u8>,
    tags: Tags,
    json: Json,
}

fn text(text: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    write::str(&mut encoded, text.as_bytes());
    encoded
}

impl Events {
    fn read(settings: &mut Settings<'_>, json: Json) -> Self {
        let mut fields = Vec::new();
        for (key, name) in [
            ("dd_source", "ddsource"),
            ("dd_service", "service"),
            ("dd_hostname", "hostname"),
        ] {
            if let Some(value) = settings.text(key) {
                fields.push((text(name), text(&value)));
            }
        }
        let tag_key = settings.text("tag_key");
        let includes_tag = settings.flag("include_tag_key", false);
        let tag_key = tag_key.as_deref().unwrap_or("tagkey");
        let message_key = settings.text("dd_message_key");
        let date_key = settings.text("json_date_key");
        Self {
            date_key: text(date_key.as_deref().unwrap_or("timestamp")),
            tag_key: includes_tag.then(|| text(tag_key)),
            fields,
            message_key: message_key
                .unwrap_or_else(|| "log".to_owned())
                .into_bytes()
                .into(),
            message: text("message"),
            tags_key: text("ddtags"),
            tags: Tags::read(settings),
            json,
        }
    }

    /// `scratch` is room that is used again for each event.
    fn write(&self, item: Item<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let Scratch {
            time,
            tag,
            plain,
            tags,
        } = scratch;
        time.clear();
        write::unsigned(time, millis(item.event.time));
        if self.tag_key.is_some() {
            tag.clear();
            write::str(tag, item.tag.as_bytes());
        }
        let has_tags = self.tags.collect(item.event.record, plain, tags);
        let moves = self.tags.moves();
        let rename = |(key, value)| {
            if read::text(key) == Some(&*self.message_key) {
                (&self.message[..], value)
            } else {
                (key, value)
            }
        };
        let fields = self.fields.iter();
        let tag_pair = self.tag_key.as_ref().map(|key| (&key[..], &tag[..]));
        let record = Pairs::of(item.event.record)
            .filter(|(key, value)| !(moves && is_remapped(key, value)))
            .map(rename);
        let pairs = once((&self.date_key[..], &time[..]))
            .chain(tag_pair)
            .chain(fields.map(|(key, value)| (&key[..], &value[..])))
            .chain(record)
            .chain(has_tags.then_some((&self.tags_key[..], &tags[..])));
        self.json.object(pairs, out);
    }
}

/// Buffers for one event.
#[derive(Default)]
struct Scratch {
    time: Vec<u8>,
    tag: Vec<u8>,
    plain: Vec<u8>,
    tags: Vec<u8>,
}

/// Milliseconds, rounded.
fn millis(time: EventTime) -> u64 {
    let nanos = u64::from(time.nanos) + 500_000;
    time.seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000)
}

impl Content for Events {
    fn room(&self) -> Room {
        ROOM
    }

    fn write(&self, items: &mut dyn Iterator<Item = Item<'_>>, body: &mut Vec<u8>) -> Encoded {
        let mut scratch = Scratch::default();
        let encoded = ROOM.fill(items, body, 1, |index, item, body| {
            body.push(if index == 0 { b'[' } else { b',' });
            self.write(item, &mut scratch, body);
            Ok(())
        });
        body.push(b']');
        encoded
    }
}

#[cfg(test)]
mod tests;
