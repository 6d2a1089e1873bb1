//! Lines as the user wants them: `[{time}] {log}`.

use std::io::Write as _;

use crate::event::Event;
use crate::msgpack::read::{self, Pairs, Value};
use crate::output::text;

/// A template that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Stands for itself.
    Text(String),
    /// Seconds since 1970 with six decimals.
    Time,
    /// The value of a key. Text comes without quotes; of a key that the record lacks the placeholder stays.
    Key(String),
}

impl Template {
    /// Reads a template. A brace without its partner stands for itself.
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('}') {
            rest = behind;
            let Some((plain, key)) = before.rsplit_once('{') else {
                parts.push(Part::Text(format!("{before}}}")));
                continue;
            };
            parts.push(Part::Text(plain.to_owned()));
            parts.push(if key == "time" {
                Part::Time
            } else {
                Part::Key(key.to_owned())
            });
        }
        parts.push(Part::Text(rest.to_owned()));
        Self(parts)
    }

    /// Appends the line of an event, without a newline.
    pub(super) fn write(&self, event: Event<'_>, out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Time => {
                    let _infallible = write!(out, "{:.6}", text::seconds(event.time));
                }
                Part::Key(key) => value(event.record, key, out),
            }
        }
    }
}

fn value(record: &[u8], name: &str, out: &mut Vec<u8>) {
    let found = Pairs::of(record).find(|(key, _)| read::text(key) == Some(name.as_bytes()));
    let Some((_, value)) = found else {
        let _infallible = write!(out, "{{{name}}}");
        return;
    };
    match read::value(value) {
        Ok((_, Value::Str(text))) => out.extend_from_slice(text),
        _ => {
            text::print(value, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventTime;

    fn line(template: &str) -> String {
        let time = EventTime {
            seconds: 1_700_000_000,
            nanos: 500_000_000,
        };
        let event = Event {
            time,
            metadata: &[],
            record: b"\x83\xa1a\xa1x\xa1b\x07\xa1b\x08",
        };
        let mut out = Vec::new();
        Template::new(template).write(event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn placeholders_are_replaced_and_unknown_ones_stay() {
        for (template, expected) in [
            ("{time} [{b}] {a} {nope}", "1700000000.500000 [7] x {nope}"),
            ("plain", "plain"),
            ("", ""),
            ("{a", "{a"),
            ("a} {a}", "a} x"),
            ("{x {a}}", "{x x}"),
            ("{}", "{}"),
        ] {
            assert_eq!(line(template), expected, "{template}");
        }
    }
}
