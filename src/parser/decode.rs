//! `Decode_Field` and `Decode_Field_As`: texts inside of fields.
//!
//! The decoders of a field run in the order of the section, each on what the one before left. `_As` replaces the value;
//! without it the value stays, and the pairs of the object in it are appended to the record.

use super::json::Transcoder;
use super::{escape, object};
use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::write::{self, OpenMap};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decoder {
    Json,
    Escaped,
    EscapedUtf8,
    MysqlQuoted,
}

/// What happens behind a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Stop,
    /// The next one has a try if this one failed.
    TryNext,
    /// The next one goes on, whatever this one did.
    DoNext,
}

#[derive(Debug)]
struct Rule {
    decoder: Decoder,
    /// `Decode_Field_As`.
    replaces: bool,
    then: Then,
}

/// All decoders of a parser, by field.
#[derive(Debug, Default)]
pub(super) struct Decoders(Vec<(Box<[u8]>, Vec<Rule>)>);

/// What decoding needs, kept from text to text.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The value as the decoders have left it so far: text, or an encoded object.
    value: Vec<u8>,
    next: Vec<u8>,
    /// Pairs to append behind all others.
    extra: Vec<u8>,
    record: Vec<u8>,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    /// What it was.
    Same,
    Text,
    Object,
}

impl Decoders {
    /// Adds the decoder that `Decode_Field` or, with `replaces`, `Decode_Field_As` names; `false` if there is none of that
    /// name.
    pub(super) fn add(&mut self, words: &[String], replaces: bool) -> bool {
        let (Some(name), Some(field)) = (words.first(), words.get(1)) else {
            return false;
        };
        let decoder = match name.to_ascii_lowercase().as_str() {
            "json" => Decoder::Json,
            "escaped" => Decoder::Escaped,
            "escaped_utf8" => Decoder::EscapedUtf8,
            "mysql_quoted" => Decoder::MysqlQuoted,
            _ => return false,
        };
        let then = match words
            .get(2)
            .map(|word| word.to_ascii_lowercase())
            .as_deref()
        {
            Some("try_next") => Then::TryNext,
            Some("do_next") => Then::DoNext,
            _ => Then::Stop,
        };
        let rule = Rule {
            decoder,
            replaces,
            then,
        };
        let known = self
            .0
            .iter_mut()
            .find(|(key, _)| **key == *field.as_bytes());
        match known {
            Some((_, rules)) => rules.push(rule),
            None => self.0.push((field.as_bytes().into(), vec![rule])),
        }
        true
    }

    /// Decodes the fields of the record that starts at `start`.
    pub(super) fn run(&self, start: usize, room: &mut super::Room, out: &mut Vec<u8>) {
        if self.0.is_empty() || !self.concern(out.get(start..).unwrap_or_default()) {
            return;
        }
        let mut record = std::mem::take(&mut room.decode.record);
        record.clear();
        record.extend_from_slice(out.get(start..).unwrap_or_default());
        out.truncate(start);
        room.decode.extra.clear();
        let mut map = OpenMap::begin(out);
        let mut extra_pairs = 0;
        for (key, value) in Pairs::of(&record) {
            map.count();
            out.extend_from_slice(key);
            match (self.rules(key), read::value(value)) {
                (Some(rules), Ok((_, Value::Str(text)))) => {
                    extra_pairs += decode(rules, text, value, room, out);
                }
                _ => out.extend_from_slice(value),
            }
        }
        for _ in 0..extra_pairs {
            map.count();
        }
        out.extend_from_slice(&room.decode.extra);
        map.end(out);
        room.decode.record = record;
    }

    fn rules(&self, key: &[u8]) -> Option<&[Rule]> {
        let Ok((_, Value::Str(key))) = read::value(key) else {
            return None;
        };
        let (_, rules) = self.0.iter().find(|(name, _)| **name == *key)?;
        Some(rules)
    }

    /// Whether the record has a field with a decoder.
    fn concern(&self, record: &[u8]) -> bool {
        Pairs::of(record).any(|(key, _)| self.rules(key).is_some())
    }
}

/// Appends what becomes of a value, keeps the pairs that it adds to the record, and gives their number.
fn decode(
    rules: &[Rule],
    text: &[u8],
    value: &[u8],
    room: &mut super::Room,
    out: &mut Vec<u8>,
) -> u32 {
    let super::Room { json, decode, .. } = room;
    decode.value.clear();
    decode.value.extend_from_slice(text);
    let (mut became, mut extra) = (Became::Same, None);
    for rule in rules {
        let done = extra.is_some() && !rule.replaces && rule.then == Then::DoNext;
        if done || became == Became::Object {
            continue;
        }
        decode.next.clear();
        let Some(kind) = rule.decoder.run(&decode.value, json, &mut decode.next) else {
            if rule.then == Then::Stop {
                break;
            }
            continue;
        };
        if rule.replaces {
            std::mem::swap(&mut decode.value, &mut decode.next);
            became = kind;
        } else {
            // Text has no pairs that could be added; Fluent Bit complains at each record.
            let found = if kind == Became::Object {
                add_pairs(&decode.next, &mut decode.extra)
            } else {
                0
            };
            extra = Some(found);
        }
        if rule.then != Then::DoNext {
            break;
        }
    }
    match became {
        Became::Same => out.extend_from_slice(value),
        Became::Text => write::str(out, &decode.value),
        Became::Object => out.extend_from_slice(&decode.value),
    }
    extra.unwrap_or(0)
}

/// Appends the pairs of a map without its header, and gives their number.
fn add_pairs(map: &[u8], out: &mut Vec<u8>) -> u32 {
    match read::value(map) {
        Ok((pairs, Value::Map(count))) => {
            out.extend_from_slice(pairs);
            count
        }
        _ => 0,
    }
}

impl Decoder {
    /// Appends what the text says; `None` where it does not say it in this way.
    fn run(self, text: &[u8], json: &mut Transcoder, out: &mut Vec<u8>) -> Option<Became> {
        match self {
            Self::Json => {
                object(text, json, out)?;
                return Some(Became::Object);
            }
            Self::Escaped => escape::unescape(text, out),
            Self::EscapedUtf8 => escape::unescape_utf8(text, out),
            Self::MysqlQuoted => escape::mysql_unquote(text, out),
        }
        Some(Became::Text)
    }
}
