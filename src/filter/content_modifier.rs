//! `content_modifier`, a processor: changes one top-level pair of the record or of the metadata.
//!
//! | `action` | effect |
//! |---|---|
//! | `insert` | append `key` with `value`, if there is none |
//! | `upsert` | the same in place of one there is |
//! | `delete` | remove |
//! | `rename` | call it `value` |
//! | `hash` | SHA-256 of the value, in hexadecimal digits |
//! | `extract` | append the named groups of `pattern` in the value, in place of pairs of these names |
//! | `convert` | append it as `converted_type`: `string`, `boolean`, `int`, `double` |
//!
//! `context` is `body` (also `message`, `record`; the default) or `attributes` (also `metadata`). Of pairs of one name the
//! first is meant. <https://docs.fluentbit.io/manual/pipeline/processors/content-modifier>

use sha2::{Digest, Sha256};

use super::pattern::encoded;
use super::{Filter, Means, Scratch, Verdict, View};
use crate::config::Settings;
use crate::event::Event;
use crate::msgpack::json::{self, Json};
use crate::msgpack::read::{self, Value};
use crate::msgpack::write;
use crate::parser::number;
use crate::regex::{Captures, Regex};
use crate::telemetry::log::Limiter;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Int,
    Double,
}

enum Action {
    Insert(Vec<u8>),
    Upsert(Vec<u8>),
    Delete,
    /// The new key, encoded.
    Rename(Vec<u8>),
    Hash,
    Extract(Regex),
    Convert(Kind),
    /// Only where the section is refused, or means what events here do not have.
    Nothing,
}

struct ContentModifier {
    key: Box<[u8]>,
    encoded_key: Vec<u8>,
    action: Action,
    /// Whether the metadata is meant.
    metadata: bool,
    failures: Limiter,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let key = settings.required("key").unwrap_or_default();
    let action = action(settings);
    let context = settings.choice(
        "context",
        &[
            "body",
            "message",
            "record",
            "attributes",
            "metadata",
            "otel_resource_attributes",
            "otel_scope_name",
            "otel_scope_version",
            "otel_scope_attributes",
            "otel_log_attributes",
        ],
    );
    let is_otel = context.is_some_and(|context| context.starts_with("otel_"));
    if is_otel {
        settings.lapse(
            "context",
            "events here are not grouped as in OpenTelemetry",
            "the processor does nothing",
        );
    }
    Box::new(ContentModifier {
        encoded_key: encoded(&key),
        key: key.as_bytes().into(),
        action: if is_otel { Action::Nothing } else { action },
        metadata: matches!(context, Some("attributes" | "metadata")),
        failures: Limiter::default(),
    })
}

fn action(settings: &mut Settings<'_>) -> Action {
    let value = settings.text("value");
    let pattern = settings.text("pattern");
    let kind = settings.choice("converted_type", &["string", "boolean", "int", "double"]);
    let action = settings.choice(
        "action",
        &[
            "insert", "upsert", "delete", "rename", "hash", "extract", "convert",
        ],
    );
    let needs = |settings: &mut Settings<'_>, key: &'static str| {
        settings.required(key);
        Action::Nothing
    };
    match (action, value) {
        (Some("delete"), _) => Action::Delete,
        (Some("hash"), _) => Action::Hash,
        (Some("insert"), Some(value)) => Action::Insert(encoded(&value)),
        (Some("upsert"), Some(value)) => Action::Upsert(encoded(&value)),
        (Some("rename"), Some(value)) => Action::Rename(encoded(&value)),
        (Some("insert" | "upsert" | "rename"), None) => needs(settings, "value"),
        (Some("extract"), _) => match pattern.as_deref().map(Regex::new) {
            Some(Ok(regex)) => Action::Extract(regex),
            Some(Err(error)) => {
                settings.error("pattern", error.to_string());
                Action::Nothing
            }
            None => needs(settings, "pattern"),
        },
        (Some(_), _) => match kind {
            Some("string") => Action::Convert(Kind::Text),
            Some("boolean") => Action::Convert(Kind::Bool),
            Some("int") => Action::Convert(Kind::Int),
            Some(_) => Action::Convert(Kind::Double),
            None => needs(settings, "converted_type"),
        },
        (None, _) => needs(settings, "action"),
    }
}

impl Filter for ContentModifier {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        let done = if self.metadata {
            self.change_metadata(record)
        } else {
            self.change(record)
        };
        if done.is_none()
            && let Some(more) = self.failures.admit()
        {
            crate::warning!(
                "processor:content_modifier",
                "the value of {} is missing or cannot be used; the record stays as it is{more}",
                String::from_utf8_lossy(&self.key).escape_debug()
            );
        }
        Verdict::Keep
    }
}

impl ContentModifier {
    /// `None` where the action could not be done.
    fn change(&self, pairs: &mut View<'_>) -> Option<()> {
        let (name, key) = (&*self.key, self.encoded_key.as_slice());
        match &self.action {
            Action::Insert(value) => {
                if pairs.count(name) == 0 {
                    pairs.push_encoded(key, value);
                }
            }
            Action::Upsert(value) => {
                pairs.remove_first(name);
                pairs.push_encoded(key, value);
            }
            Action::Delete => pairs.remove_first(name),
            Action::Rename(to) => pairs.rename_first(name, to),
            Action::Hash => pairs.replace_first(name, |value, out| {
                let mut text = Vec::new();
                text_of(value, &mut text)?;
                if text.is_empty() {
                    return None;
                }
                let digits = base16(&Sha256::digest(&text));
                write::str(out, &digits);
                Some(())
            }),
            Action::Extract(pattern) => return extract(pairs, name, pattern),
            Action::Convert(kind) => {
                let first = first_value(pairs, name)?;
                let mut value = Vec::new();
                convert(first, *kind, &mut value)?;
                pairs.remove_first(name);
                pairs.push_encoded(key, &value);
            }
            Action::Nothing => {}
        }
        Some(())
    }

    /// The metadata is a record of its own; few events have one.
    fn change_metadata(&self, record: &mut View<'_>) -> Option<()> {
        let before = match record.metadata() {
            [] => vec![0x80],
            metadata => metadata.to_vec(),
        };
        let event = Event {
            time: record.time(),
            metadata: &[],
            record: &before,
        };
        let mut scratch = Scratch::default();
        let mut metadata = View::open(record.tag(), event, &mut scratch);
        let done = self.change(&mut metadata);
        if metadata.changed() {
            let mut after = Vec::new();
            metadata.write(&mut after);
            record.set_metadata(&after);
        }
        done
    }
}

fn first_value<'v>(pairs: &'v View<'_>, name: &[u8]) -> Option<&'v [u8]> {
    let mut pairs = pairs.fields();
    pairs
        .find(|(key, _)| *key == Some(name))
        .map(|(_, value)| value)
}

fn extract(pairs: &mut View<'_>, name: &[u8], pattern: &Regex) -> Option<()> {
    let text = read::text(first_value(pairs, name)?)?.to_vec();
    let mut captures = Captures::default();
    if !pattern.captures(&text, &mut captures) {
        return None;
    }
    for group in pattern.names() {
        let place = captures.named(group).unwrap_or(0..0);
        let value = text.get(place).unwrap_or_default();
        let (mut key, mut encoded_value) = (Vec::new(), Vec::new());
        write::str(&mut key, group.name.as_bytes());
        write::str(&mut encoded_value, value);
        pairs.remove(group.name.as_bytes());
        pairs.push_encoded(&key, &encoded_value);
    }
    Some(())
}

fn base16(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |number: u8| DIGITS.get(usize::from(number)).copied().unwrap_or(b'0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
        .collect()
}

/// Appends a value as text.
fn text_of(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match read::value(value).ok()?.1 {
        Value::Str(text) | Value::Bin(text) => out.extend_from_slice(text),
        Value::Unsigned(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        Value::Signed(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        Value::Float(number) => json::significant(number, 17, out),
        Value::Bool(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Array(_) | Value::Map(_) => Json::default().value(value, out),
        Value::Ext(..) => return None,
    }
    Some(())
}

/// Appends a value in another type; `None`, and nothing appended, where that cannot be done.
fn convert(value: &[u8], kind: Kind, out: &mut Vec<u8>) -> Option<()> {
    if kind == Kind::Text {
        let mut text = Vec::new();
        text_of(value, &mut text)?;
        write::str(out, &text);
        return Some(());
    }
    match (read::value(value).ok()?.1, kind) {
        (Value::Str(text) | Value::Bin(text), _) => return convert_text(text, kind, out),
        (Value::Unsigned(number), Kind::Bool) => write::bool(out, number != 0),
        (Value::Unsigned(number), Kind::Int) => write::unsigned(out, number),
        (Value::Unsigned(number), _) => write::float(out, number as f64),
        (Value::Signed(_), Kind::Bool) => write::bool(out, true),
        (Value::Signed(number), Kind::Int) => write::signed(out, number),
        (Value::Signed(number), _) => write::float(out, number as f64),
        (Value::Float(number), Kind::Bool) => write::bool(out, number != 0.0),
        (Value::Float(number), Kind::Int) => write::signed(out, number.round() as i64),
        (Value::Float(number), _) => write::float(out, number),
        (Value::Nil, Kind::Bool) => write::bool(out, false),
        (Value::Nil, Kind::Int) => write::unsigned(out, 0),
        (Value::Nil, _) => write::float(out, 0.0),
        (Value::Bool(truth), Kind::Bool) => write::bool(out, truth),
        (Value::Bool(truth), Kind::Int) => write::unsigned(out, u64::from(truth)),
        (Value::Bool(truth), _) => write::float(out, f64::from(truth)),
        (Value::Array(_) | Value::Map(_) | Value::Ext(..), _) => return None,
    }
    Some(())
}

fn convert_text(text: &[u8], kind: Kind, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        // Whatever is not `true` is false.
        Kind::Bool => write::bool(out, text.eq_ignore_ascii_case(b"true")),
        Kind::Int => {
            let text = std::str::from_utf8(text).ok()?.trim_ascii_start();
            let number: i64 = text.parse().ok()?;
            let fits = (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&number);
            write::signed(out, Some(number).filter(|_| fits)?);
        }
        _ => write::float(out, number::float(text)?),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TIME, built, check, encoded as json, refused, shown};
    use super::*;

    /// Checklist: filters 74
    #[test]
    fn pairs_are_inserted_replaced_removed_and_renamed() {
        let key = ("key", "k");
        let value = ("value", "v");
        check(
            build,
            &[("action", "insert"), key, value],
            &[(r#"{"a":1}"#, r#"{"a":1,"k":"v"}"#), (r#"{"k":1}"#, "=")],
        );
        check(
            build,
            &[("action", "UPSERT"), key, value],
            &[
                (r#"{"k":1,"a":1,"k":2}"#, r#"{"a":1,"k":2,"k":"v"}"#),
                ("{}", r#"{"k":"v"}"#),
            ],
        );
        check(
            build,
            &[("action", "delete"), key],
            &[
                (r#"{"k":1,"a":1,"k":2}"#, r#"{"a":1,"k":2}"#),
                (r#"{"K":1}"#, "="),
            ],
        );
        check(
            build,
            &[("action", "rename"), key, value],
            &[
                (r#"{"k":{"x":1},"a":1}"#, r#"{"v":{"x":1},"a":1}"#),
                (r#"{"a":1}"#, "="),
            ],
        );
    }

    /// Checklist: filters 74
    #[test]
    fn a_hash_is_that_of_the_text() {
        check(
            build,
            &[("action", "hash"), ("key", "s")],
            &[
                (
                    r#"{"s":"x"}"#,
                    r#"{"s":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}"#,
                ),
                (
                    r#"{"s":5}"#,
                    r#"{"s":"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d"}"#,
                ),
                (r#"{"s":""}"#, "="),
                (r#"{"a":1}"#, "="),
            ],
        );
    }

    /// Checklist: filters 74
    #[test]
    fn groups_of_a_pattern_are_appended() {
        check(
            build,
            &[
                ("action", "extract"),
                ("key", "log"),
                ("pattern", r"(?<a>\w+) (?<b>\w+)"),
            ],
            &[
                (r#"{"b":0,"log":"x y"}"#, r#"{"log":"x y","a":"x","b":"y"}"#),
                (r#"{"log":"x"}"#, "="),
                (r#"{"log":5}"#, "="),
                ("{}", "="),
            ],
        );
    }

    /// Checklist: filters 74
    #[test]
    fn values_are_converted_as_far_as_they_can() {
        let converted = |kind: &str, cases: &[(&str, &str)]| {
            check(
                build,
                &[
                    ("action", "convert"),
                    ("key", "k"),
                    ("converted_type", kind),
                ],
                cases,
            );
        };
        converted(
            "string",
            &[
                (r#"{"k":5,"z":0}"#, r#"{"z":0,"k":"5"}"#),
                (r#"{"k":0.1}"#, r#"{"k":"0.10000000000000001"}"#),
                (r#"{"k":null}"#, r#"{"k":"null"}"#),
                (r#"{"k":{"a":[1]}}"#, r#"{"k":"{\"a\":[1]}"}"#),
            ],
        );
        converted(
            "boolean",
            &[
                (r#"{"k":"True"}"#, r#"{"k":true}"#),
                (r#"{"k":"yes"}"#, r#"{"k":false}"#),
                (r#"{"k":-1}"#, r#"{"k":true}"#),
            ],
        );
        converted(
            "int",
            &[
                (r#"{"k":"12"}"#, r#"{"k":12}"#),
                (r#"{"k":"12x"}"#, "="),
                (r#"{"k":"99999999999"}"#, "="),
                (r#"{"k":2.5}"#, r#"{"k":3}"#),
                (r#"{"k":true}"#, r#"{"k":1}"#),
                (r#"{"k":[1]}"#, "="),
            ],
        );
        converted(
            "double",
            &[
                (r#"{"k":"1.5"}"#, r#"{"k":1.5}"#),
                (r#"{"k":"x"}"#, "="),
                (r#"{"k":2}"#, r#"{"k":2.0}"#),
            ],
        );
    }

    #[test]
    fn metadata_can_be_changed_instead() {
        let (filter, _) = built(
            build,
            &[
                ("context", "attributes"),
                ("action", "upsert"),
                ("key", "k"),
                ("value", "v"),
            ],
        );
        let metadata = |before: &[u8]| {
            let record = json(r#"{"a":1}"#);
            let event = Event {
                time: TIME,
                metadata: before,
                record: &record,
            };
            let mut scratch = Scratch::default();
            let mut view = View::open(b"t", event, &mut scratch);
            assert_eq!(filter.apply(&mut view), Verdict::Keep);
            assert!(view.changed());
            shown(view.metadata())
        };
        assert_eq!(metadata(&[]), r#"{"k":"v"}"#);
        assert_eq!(metadata(&json(r#"{"k":1,"m":2}"#)), r#"{"m":2,"k":"v"}"#);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (properties, words) in [
            (
                &[("action", "insert"), ("key", "k")][..],
                "key `value`: missing",
            ),
            (&[("action", "delete")], "key `key`: missing"),
            (&[("key", "k")], "key `action`: missing"),
            (
                &[("action", "extract"), ("key", "k")],
                "key `pattern`: missing",
            ),
            (
                &[("action", "convert"), ("key", "k")],
                "key `converted_type`: missing",
            ),
            (&[("action", "shred"), ("key", "k")], "is not known"),
            (
                &[("action", "delete"), ("key", "k"), ("context", "span")],
                "is not known",
            ),
        ] {
            refused(build, properties, words);
        }
    }
}
