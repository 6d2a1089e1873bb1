//! From an event to the two lines of a bulk request: what to do, and the document.

use std::io::Write as _;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use md5::{Digest as _, Md5};

use crate::accessor::Accessor;
use crate::config::Settings;
use crate::event::{DropReason, Event, EventTime};
use crate::msgpack::json::{Json, escape};
use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::write;
use crate::output::Item;
use crate::output::template::Template;

/// The index where a template comes to nothing.
const INDEX: &str = "fluent-bit";
/// The most bytes of a prefix out of a record.
const PREFIX_MAX: usize = 128;

/// How documents are made.
#[derive(Debug)]
pub(super) struct Documents {
    json: Json,
    index: Index,
    /// `None` without a type.
    kind: Option<String>,
    operation: Operation,
    id: Id,
    time_key: String,
    time_format: String,
    nanos: bool,
    tag_key: Option<String>,
    replace_dots: bool,
}

#[derive(Debug)]
enum Index {
    Fixed(String),
    /// With the date of now in it.
    Dated(String),
    Template(Template),
    /// A prefix, perhaps out of the record, and a date.
    Logstash {
        prefix: String,
        key: Option<Template>,
        separator: String,
        format: String,
        /// Of now instead of the event.
        now: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Index,
    Update,
    Upsert,
}

#[derive(Debug)]
enum Id {
    None,
    Key(Accessor),
    /// Made of the document: the same one has the same.
    Generated,
}

impl Documents {
    /// Reads the settings; `templates`: `index` may hold keys of the record.
    pub(super) fn read(settings: &mut Settings<'_>, json: Json, templates: bool) -> Self {
        let kind = settings.text("type").unwrap_or_else(|| "_doc".to_owned());
        let suppressed = settings.flag("suppress_type_name", false);
        let tag_key = settings.text("tag_key");
        let include_tag = settings.flag("include_tag_key", false);
        let id = id(settings);
        let operation = operation(settings, &id);
        Self {
            json,
            index: Index::read(settings, templates),
            kind: Some(kind).filter(|_| !suppressed),
            operation,
            id,
            time_key: settings
                .text("time_key")
                .unwrap_or_else(|| "@timestamp".to_owned()),
            time_format: date_format(settings, "time_key_format", "%Y-%m-%dT%H:%M:%S"),
            nanos: settings.flag("time_key_nanos", false),
            tag_key: include_tag.then(|| tag_key.unwrap_or_else(|| "flb-key".to_owned())),
            replace_dots: settings.flag("replace_dots", false),
        }
    }

    /// Something that writes documents, one after the other.
    pub(super) fn writer(&self) -> Writer<'_> {
        Writer {
            documents: self,
            document: Vec::new(),
            record: Vec::new(),
        }
    }
}

fn id(settings: &mut Settings<'_>) -> Id {
    let generate = settings.flag("generate_id", false);
    match settings.text("id_key") {
        None if generate => Id::Generated,
        None => Id::None,
        Some(key) => match Accessor::new(&key) {
            Ok(accessor) => Id::Key(accessor),
            Err(error) => {
                settings.error("id_key", error.to_string());
                Id::None
            }
        },
    }
}

fn operation(settings: &mut Settings<'_>, id: &Id) -> Operation {
    let words = ["create", "index", "update", "upsert"];
    let operation = match settings.choice("write_operation", &words) {
        Some("index") => Operation::Index,
        Some("update") => Operation::Update,
        Some("upsert") => Operation::Upsert,
        _ => Operation::Create,
    };
    if matches!(operation, Operation::Update | Operation::Upsert) && matches!(id, Id::None) {
        let message = "update and upsert need an id: set id_key or generate_id";
        settings.error("write_operation", message);
    }
    operation
}

/// Reads a strftime format.
fn date_format(settings: &mut Settings<'_>, key: &'static str, default: &str) -> String {
    let format = settings.text(key).unwrap_or_else(|| default.to_owned());
    match strtime::format(&format, &date(EventTime::default())) {
        Ok(_) => format,
        Err(error) => {
            settings.error(key, error.to_string());
            default.to_owned()
        }
    }
}

impl Index {
    fn read(settings: &mut Settings<'_>, templates: bool) -> Self {
        let index = settings.text("index").unwrap_or_else(|| INDEX.to_owned());
        let prefix = settings.text("logstash_prefix");
        let key = settings.text("logstash_prefix_key");
        let separator = settings.text("logstash_prefix_separator");
        let format = date_format(settings, "logstash_dateformat", "%Y.%m.%d");
        let now = settings.flag("current_time_index", false);
        if settings.flag("logstash_format", false) {
            let key = key.and_then(|key| {
                let pattern = if key.starts_with('$') {
                    key
                } else {
                    format!("${key}")
                };
                Template::new(&pattern)
                    .map_err(|error| settings.error("logstash_prefix_key", error.to_string()))
                    .ok()
            });
            return Self::Logstash {
                prefix: prefix.unwrap_or_else(|| "logstash".to_owned()),
                key,
                separator: separator.unwrap_or_else(|| "-".to_owned()),
                format,
                now,
            };
        }
        if !templates || !index.contains('$') {
            let is_dated =
                index.contains('%') && strtime::format(&index, &date(EventTime::default())).is_ok();
            return if is_dated { Self::Dated } else { Self::Fixed }(index);
        }
        match Template::new(&index) {
            Ok(template) => Self::Template(template),
            Err(error) => {
                settings.error("index", error.to_string());
                Self::Fixed(index)
            }
        }
    }

    fn write(&self, item: Item<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(index) => {
                escape(index.as_bytes(), out);
            }
            Self::Dated(format) => {
                let index = date(EventTime::now()).strftime(format).to_string();
                escape(index.as_bytes(), out);
            }
            Self::Template(template) => {
                let mut index = Vec::new();
                // What is missing is left out.
                template.render_into(item, &mut index);
                let index = if index.is_empty() {
                    INDEX.as_bytes()
                } else {
                    &index
                };
                escape(index, out);
            }
            Self::Logstash {
                prefix,
                key,
                separator,
                format,
                now,
            } => {
                let mut found = Vec::new();
                if let Some(key) = key {
                    key.render_into(item, &mut found);
                    found.truncate(PREFIX_MAX);
                }
                let is_unfit = |byte: &u8| byte.is_ascii_control() || b"\"\\".contains(byte);
                let is_fit = !found.is_empty() && !found.iter().any(is_unfit);
                escape(if is_fit { &found } else { prefix.as_bytes() }, out);
                escape(separator.as_bytes(), out);
                let time = if *now {
                    EventTime::now()
                } else {
                    item.event.time
                };
                let _infallible = write!(out, "{}", date(time).strftime(format));
            }
        }
    }
}

fn date(time: EventTime) -> Zoned {
    let seconds = i64::try_from(time.seconds).unwrap_or(i64::MAX);
    let timestamp = Timestamp::new(seconds, time.nanos.cast_signed()).unwrap_or(Timestamp::MAX);
    timestamp.to_zoned(TimeZone::UTC)
}

/// Writes documents.
pub(super) struct Writer<'d> {
    documents: &'d Documents,
    /// The document, where its id is made of it.
    document: Vec<u8>,
    /// The record, where its keys are changed.
    record: Vec<u8>,
}

impl Writer<'_> {
    /// Appends the lines of an event.
    ///
    /// # Errors
    /// When an update has no id.
    pub(super) fn write(&mut self, item: Item<'_>, out: &mut Vec<u8>) -> Result<(), DropReason> {
        let documents = self.documents;
        let mut id = String::new();
        match &documents.id {
            Id::None => {}
            Id::Key(key) => {
                let text = key.find_in(item.event.record).and_then(read::text);
                id.push_str(&String::from_utf8_lossy(text.unwrap_or_default()));
            }
            Id::Generated => {
                let mut document = std::mem::take(&mut self.document);
                document.clear();
                self.document(item, &mut document);
                let digest: [u8; 16] = Md5::digest(&document).into();
                id = uuid::Uuid::from_bytes(digest).to_string();
                documents.action(item, &id, out);
                out.extend_from_slice(&document);
                self.document = document;
                return Ok(());
            }
        }
        if id.is_empty() && matches!(documents.operation, Operation::Update | Operation::Upsert) {
            return Err(DropReason::KeyMissing);
        }
        documents.action(item, &id, out);
        self.document(item, out);
        Ok(())
    }

    /// Appends the document's line.
    fn document(&mut self, item: Item<'_>, out: &mut Vec<u8>) {
        let documents = self.documents;
        out.extend_from_slice(match documents.operation {
            Operation::Create | Operation::Index => b"",
            Operation::Update => b"{\"doc\":",
            Operation::Upsert => b"{\"doc_as_upsert\":true,\"doc\":",
        });
        let mut event = item.event;
        if documents.replace_dots {
            self.record.clear();
            without_dots(event.record, &mut self.record);
            event.record = &self.record;
        }
        documents.body(item, event, out);
        if matches!(documents.operation, Operation::Update | Operation::Upsert) {
            out.push(b'}');
        }
        out.push(b'\n');
    }
}

impl Documents {
    /// Appends the line that says what to do.
    fn action(&self, item: Item<'_>, id: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(match self.operation {
            Operation::Create => b"{\"create\":{\"_index\":\"",
            Operation::Index => b"{\"index\":{\"_index\":\"",
            Operation::Update | Operation::Upsert => b"{\"update\":{\"_index\":\"",
        });
        self.index.write(item, out);
        if let Some(kind) = &self.kind {
            out.extend_from_slice(b"\",\"_type\":\"");
            escape(kind.as_bytes(), out);
        }
        if !id.is_empty() {
            out.extend_from_slice(b"\",\"_id\":\"");
            escape(id.as_bytes(), out);
        }
        out.extend_from_slice(b"\"}}\n");
    }

    /// Appends the record with time and tag before its keys; a key of the record by the same name wins.
    fn body(&self, item: Item<'_>, event: Event<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let is_taken = |name: &str| {
            Pairs::of(event.record).any(|(key, _)| read::text(key) == Some(name.as_bytes()))
        };
        if !is_taken(&self.time_key) {
            out.push(b'{');
            self.json.string(self.time_key.as_bytes(), out);
            out.extend_from_slice(b":\"");
            let date = date(event.time);
            let date = date.strftime(&self.time_format);
            let _infallible = if self.nanos {
                write!(out, "{date}.{:09}Z\"", event.time.nanos)
            } else {
                write!(out, "{date}.{:03}Z\"", event.time.nanos / 1_000_000)
            };
        }
        if let Some(tag_key) = self.tag_key.as_ref().filter(|key| !is_taken(key)) {
            out.push(if out.len() == start { b'{' } else { b',' });
            self.json.string(tag_key.as_bytes(), out);
            out.push(b':');
            self.json.string(item.tag.as_bytes(), out);
        }
        let brace = out.len();
        self.json.value(event.record, out);
        if brace == start {
            return;
        }
        if out.get(brace + 1) == Some(&b'}') {
            out.remove(brace);
        } else if let Some(brace) = out.get_mut(brace) {
            *brace = b',';
        }
    }
}

/// Copies a value, with underscores for the dots in keys; gives what follows it. The depth is bounded, see
/// [`crate::msgpack::scan::MAX_DEPTH`].
fn without_dots<'v>(value: &'v [u8], out: &mut Vec<u8>) -> &'v [u8] {
    match read::value(value) {
        Ok((mut rest, Value::Array(count))) => {
            write::array_header(out, count);
            for _ in 0..count {
                rest = without_dots(rest, out);
            }
            rest
        }
        Ok((rest, Value::Map(count))) => {
            write::map_header(out, count);
            let mut pairs = Pairs::inside(rest, count);
            for (key, value) in pairs.by_ref() {
                match read::text(key) {
                    Some(text) if text.contains(&b'.') => {
                        let dotless = text
                            .iter()
                            .map(|&byte| if byte == b'.' { b'_' } else { byte });
                        write::str(out, &dotless.collect::<Vec<_>>());
                    }
                    _ => out.extend_from_slice(key),
                }
                without_dots(value, out);
            }
            pairs.rest()
        }
        Ok((rest, _)) => {
            let length = value.len() - rest.len();
            out.extend_from_slice(value.get(..length).unwrap_or_default());
            rest
        }
        Err(_) => {
            write::nil(out);
            &[]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::Tag;

    fn written(properties: &[(&str, &str)], record: &[u8]) -> Result<String, DropReason> {
        let (documents, problems) = configured(properties, |settings| {
            Documents::read(settings, Json::default(), true)
        });
        assert_eq!(problems, [""; 0]);
        let tag = Tag::new(b"a.b");
        let event = Event {
            time: EventTime {
                seconds: 1_700_000_000,
                nanos: 123_456_789,
            },
            metadata: &[],
            record,
        };
        let mut out = Vec::new();
        documents
            .writer()
            .write(Item { tag: &tag, event }, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// Checklist: engine 64
    #[test]
    fn an_event_is_two_lines() {
        assert_eq!(
            written(&[], b"\x81\xa1a\x01").unwrap(),
            "{\"create\":{\"_index\":\"fluent-bit\",\"_type\":\"_doc\"}}\n\
             {\"@timestamp\":\"2023-11-14T22:13:20.123Z\",\"a\":1}\n"
        );
    }

    #[test]
    fn keys_of_the_record_win_over_time_and_tag() {
        let properties = [("suppress_type_name", "on"), ("include_tag_key", "on")];
        let document = |record| {
            let lines = written(&properties, record).unwrap();
            lines.lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(
            document(b"\x81\xaa@timestamp\x01"),
            r#"{"flb-key":"a.b","@timestamp":1}"#
        );
        assert_eq!(
            document(b"\x82\xaa@timestamp\x01\xa7flb-key\x02"),
            r#"{"@timestamp":1,"flb-key":2}"#
        );
        assert_eq!(
            document(b"\x80"),
            r#"{"@timestamp":"2023-11-14T22:13:20.123Z","flb-key":"a.b"}"#
        );
    }

    #[test]
    fn dots_in_keys_become_underscores_at_every_depth() {
        let record = b"\x82\xa3a.b\x91\x81\xa3c.d\x01\xa1s\xa3x.y";
        let properties = [("replace_dots", "on"), ("time_key", "s")];
        let lines = written(&properties, record).unwrap();
        assert!(
            lines.ends_with("{\"a_b\":[{\"c_d\":1}],\"s\":\"x.y\"}\n"),
            "{lines}"
        );
    }

    #[test]
    fn the_same_document_has_the_same_id() {
        let id = |record| {
            let lines = written(&[("generate_id", "on")], record).unwrap();
            lines
                .split_once("_id")
                .unwrap()
                .1
                .get(..40)
                .unwrap()
                .to_owned()
        };
        assert_eq!(id(b"\x81\xa1a\x01"), id(b"\x81\xa1a\x01"));
        assert_ne!(id(b"\x81\xa1a\x01"), id(b"\x81\xa1a\x02"));
    }

    #[test]
    fn an_update_without_an_id_is_refused() {
        let properties = [("write_operation", "update"), ("id_key", "$id")];
        assert_eq!(written(&properties, b"\x80"), Err(DropReason::KeyMissing));
        let lines = written(&properties, b"\x81\xa2id\xa1x").unwrap();
        assert!(lines.starts_with(
            "{\"update\":{\"_index\":\"fluent-bit\",\"_type\":\"_doc\",\"_id\":\"x\"}}\n{\"doc\":{"
        ));
        let (_, problems) = configured(&[("write_operation", "upsert")], |settings| {
            Documents::read(settings, Json::default(), true)
        });
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn an_index_comes_from_the_record_or_the_date() {
        let index = |properties: &[(&str, &str)], record| {
            let lines = written(properties, record).unwrap();
            lines.split('"').nth(5).unwrap().to_owned()
        };
        let record = b"\x81\xa1k\xa1v";
        assert_eq!(index(&[("index", "l-$k")], record), "l-v");
        assert_eq!(index(&[("index", "l-$none")], record), "l-");
        assert_eq!(index(&[("index", "$none")], record), "fluent-bit");
        let dated = index(&[("index", "l-%Y-%Z")], record);
        assert!(
            dated.starts_with("l-2") && dated.ends_with("-UTC"),
            "{dated}"
        );
        assert_eq!(index(&[("index", "100%")], record), "100%");
        let logstash = ("logstash_format", "on");
        assert_eq!(index(&[logstash], record), "logstash-2023.11.14");
        let keyed = [
            logstash,
            ("logstash_prefix_key", "$k"),
            ("logstash_dateformat", "%Y"),
        ];
        assert_eq!(index(&keyed, record), "v-2023");
    }
}
