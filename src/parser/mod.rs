//! Texts that become records: the parsers that `[PARSER]` sections define, and what they are made of.
//!
//! | file | holds |
//! |---|---|
//! | `registry.rs`, `build.rs` | [`Parsers`], every parser by its name; a section as a [`Parser`] |
//! | [`json`], `pattern.rs`, `ltsv.rs`, `logfmt.rs` | the formats, text to msgpack |
//! | `fields.rs` | what all formats do with a field: its type, or its time |
//! | `types.rs`, [`number`] | `Types`; numbers as C reads them |
//! | [`time`] | `Time_Format` |
//! | [`multiline`] | lines that belong together |
//! | `decode.rs`, `escape.rs` | `Decode_Field`, `Decode_Field_As` |
//!
//! A parser writes msgpack behind what a buffer holds; there is no tree in between, and nothing is allocated for a text
//! beside what [`Room`] keeps. A text that does not fit leaves the buffer as it was.

mod build;
mod decode;
mod escape;
mod fields;
pub mod json;
mod logfmt;
mod ltsv;
pub mod multiline;
pub mod number;
mod pattern;
mod registry;
pub mod time;
mod types;

pub use registry::Parsers;

use self::decode::Decoders;
use self::fields::Rules;
use self::json::Transcoder;
use self::pattern::Pattern;
use self::time::Told;
use crate::event::EventTime;
use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::write;
use crate::regex::Captures;
use crate::telemetry::log::Limiter;

/// How a text is written.
#[derive(Debug)]
enum Format {
    Json,
    Regex(Pattern),
    Ltsv,
    Logfmt { no_bare_keys: bool },
}

/// A parser, as its section says.
#[derive(Debug)]
pub struct Parser {
    name: String,
    format: Format,
    rules: Rules,
    decoders: Decoders,
    bad_time: Limiter,
}

/// What a text said beside its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// The time in it, if the parser was told to look for one and found it.
    pub time: Option<EventTime>,
}

/// What parsing needs, kept from text to text so that nothing is allocated for one. Fits any parser.
#[derive(Debug, Default)]
pub struct Room {
    captures: Captures,
    json: Transcoder,
    text: Vec<u8>,
    decode: decode::Room,
}

impl Parser {
    /// The name, as written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends the record that `text` is, a msgpack map. `None`, and nothing appended, if it is none.
    pub fn parse(&self, text: &[u8], room: &mut Room, out: &mut Vec<u8>) -> Option<Parsed> {
        let start = out.len();
        let parsed = match &self.format {
            Format::Json => {
                object(text, &mut room.json, out)?;
                self.decoders.run(start, room, out);
                let time = self.take_time(start, out);
                return Some(Parsed { time });
            }
            Format::Regex(pattern) => pattern.parse(text, &self.rules, &mut room.captures, out),
            Format::Ltsv => ltsv::parse(text, &self.rules, out),
            Format::Logfmt { no_bare_keys } => {
                logfmt::parse(text, *no_bare_keys, &self.rules, &mut room.text, out)
            }
        };
        let parsed = parsed?;
        self.decoders.run(start, room, out);
        Some(parsed)
    }

    /// Reads the time of a JSON object that starts at `start`, and takes its field out unless it is kept.
    fn take_time(&self, start: usize, out: &mut Vec<u8>) -> Option<EventTime> {
        let field = self.rules.time.as_ref()?;
        let record = out.get(start..)?;
        let (key, value) = Pairs::of(record).find(
            |(key, _)| matches!(read::value(key), Ok((_, Value::Str(key))) if field.is(key)),
        )?;
        let Ok((_, Value::Str(text))) = read::value(value) else {
            return None;
        };
        match field.read(text) {
            Told::Time(time) => {
                if !field.keep {
                    let at = key.as_ptr() as usize - record.as_ptr() as usize;
                    let length = key.len() + value.len();
                    remove_pair(start, start + at..start + at + length, out);
                }
                time
            }
            Told::Nothing => None,
            Told::Refused => {
                self.complain(text);
                None
            }
        }
    }

    /// Says that a time could not be read.
    fn complain(&self, text: &[u8]) {
        if let Some(more) = self.bad_time.admit() {
            let text = String::from_utf8_lossy(text.get(..text.len().min(254)).unwrap_or_default());
            crate::warning!(
                &format!("parser:{}", self.name),
                "`{}` is no time of Time_Format; the event keeps its time{more}",
                text.escape_debug()
            );
        }
    }
}

/// Appends the one JSON object that `text` is. Behind it may stand anything but a second value.
fn object(text: &[u8], json: &mut Transcoder, out: &mut Vec<u8>) -> Option<()> {
    let blanks = |text: &[u8]| {
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        text.iter().take_while(is_blank).count()
    };
    let text = text.get(blanks(text)..)?;
    if text.first() != Some(&b'{') {
        return None;
    }
    let start = out.len();
    let length = json.append_strictly(text, out).ok()?;
    let rest = text.get(length..).unwrap_or_default();
    let rest = rest.get(blanks(rest)..).unwrap_or_default();
    if rest.is_empty() {
        return Some(());
    }
    let end = out.len();
    let second = json.append_strictly(rest, out);
    out.truncate(if second.is_ok() { start } else { end });
    second.is_err().then_some(())
}

/// Takes a pair out of the map that starts at `start`.
fn remove_pair(start: usize, pair: std::ops::Range<usize>, out: &mut Vec<u8>) {
    out.drain(pair);
    let Some(Ok((rest, Value::Map(pairs)))) = out.get(start..).map(read::value) else {
        return;
    };
    let header = out.len() - start - rest.len();
    if let (1..=15, Some(first)) = (pairs, out.get_mut(start)) {
        *first -= 1;
    } else {
        let mut shorter = Vec::with_capacity(5);
        write::map_header(&mut shorter, pairs.saturating_sub(1));
        out.splice(start..start + header, shorter);
    }
}

#[cfg(test)]
mod tests;
