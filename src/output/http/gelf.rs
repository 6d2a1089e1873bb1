//! Graylog's format: one flat object for each event.
//!
//! | setting | default | becomes |
//! |---|---|---|
//! | `gelf_short_message_key` | `short_message` | `short_message`, without which there is no event |
//! | `gelf_full_message_key` | `full_message` | `full_message` |
//! | `gelf_host_key` | `host` | `host` |
//! | `gelf_level_key` | `level` | `level`: 0 to 7, or a word of syslog |
//! | `gelf_timestamp_key` | `timestamp` | `timestamp`; otherwise the event's time |
//!
//! Every other key gets `_` in front. Maps are flattened with `_` between their keys, lists and switches become texts, what is nil
//! and the key `id`, which Graylog keeps for itself, are left out.
//!
//! <https://go2docs.graylog.org/current/getting_in_log_data/gelf.html>

use std::io::Write as _;

use crate::config::Settings;
use crate::event::{DropReason, Event};
use crate::msgpack::json::Json;
use crate::msgpack::read::{self, Pairs, Value};

/// The words of syslog, by their level.
const LEVELS: [&[u8]; 8] = [
    b"emerg", b"alert", b"crit", b"err", b"warning", b"notice", b"info", b"debug",
];
/// The names of the fields that have a meaning.
const FIELDS: [&str; 5] = [
    "short_message",
    "full_message",
    "host",
    "level",
    "timestamp",
];
const SHORT_MESSAGE: usize = 0;
const LEVEL: usize = 3;
const TIMESTAMP: usize = 4;

/// Which keys of a record become which fields.
pub(super) struct Gelf {
    keys: [Box<[u8]>; FIELDS.len()],
}

impl Gelf {
    /// Reads the settings.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let mut key = |setting, default: &str| {
            let text = settings.text(setting);
            text.unwrap_or_else(|| default.to_owned())
                .into_bytes()
                .into()
        };
        Self {
            keys: [
                key("gelf_short_message_key", "short_message"),
                key("gelf_full_message_key", "full_message"),
                key("gelf_host_key", "host"),
                key("gelf_level_key", "level"),
                key("gelf_timestamp_key", "timestamp"),
            ],
        }
    }

    /// Appends an event and a newline.
    ///
    /// # Errors
    /// [`DropReason::KeyMissing`] when it has no short message; something is appended all the same.
    pub(super) fn write(
        &self,
        event: Event<'_>,
        json: Json,
        out: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        out.extend_from_slice(b"{\"version\":\"1.1\"");
        let mut fields = Fields { json, out };
        let mut seen = [false; FIELDS.len()];
        for (key, value) in Pairs::of(event.record) {
            let Some(key) = read::text(key) else { continue };
            let field = self.keys.iter().position(|known| **known == *key);
            let Some((name, is_seen)) =
                field.and_then(|field| Some((*FIELDS.get(field)?, seen.get_mut(field)?)))
            else {
                if key != b"id" {
                    fields.add(&[b"_", key].concat(), value);
                }
                continue;
            };
            if std::mem::replace(is_seen, true) {
                continue;
            }
            match level_of(value).filter(|_| field == Some(LEVEL)) {
                Some(level) => fields.number(name.as_bytes(), level),
                None => *is_seen = fields.add(name.as_bytes(), value),
            }
        }
        if !seen[TIMESTAMP] {
            fields.key(b"timestamp");
            let (seconds, millis) = (event.time.seconds, event.time.nanos / 1_000_000);
            let _infallible = write!(out, "{seconds}.{millis:03}");
        }
        out.extend_from_slice(b"}\n");
        if seen[SHORT_MESSAGE] {
            Ok(())
        } else {
            Err(DropReason::KeyMissing)
        }
    }
}

/// The level that a text names.
fn level_of(value: &[u8]) -> Option<usize> {
    let text = read::text(value)?;
    if let [digit @ b'0'..=b'7'] = text {
        return Some(usize::from(digit - b'0'));
    }
    LEVELS
        .iter()
        .position(|word| word.eq_ignore_ascii_case(text))
}

/// Writes the fields of one object.
struct Fields<'o> {
    json: Json,
    out: &'o mut Vec<u8>,
}

impl Fields<'_> {
    fn key(&mut self, name: &[u8]) {
        self.out.extend_from_slice(b", \"");
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let valid = name
            .iter()
            .map(|&byte| if is_valid(byte) { byte } else { b'_' });
        self.out.extend(valid);
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &[u8], number: usize) {
        self.key(name);
        let _infallible = write!(self.out, "{number}");
    }

    /// Adds a value, of a map all that is in it; whether there was anything to add. The depth is bounded, see
    /// [`crate::msgpack::scan::MAX_DEPTH`].
    fn add(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Ok((_, kind)) = read::value(value) else {
            return false;
        };
        match kind {
            Value::Nil => return false,
            Value::Map(_) => {
                // A field with a meaning is none when it is a map: its parts are additional ones.
                let prefix = if name.starts_with(b"_") {
                    &[][..]
                } else {
                    b"_"
                };
                let mut any = false;
                for (key, inner) in Pairs::of(value) {
                    let Some(key) = read::text(key) else { continue };
                    let name = [prefix, name, b"_", key].concat();
                    if let Ok((_, Value::Nil)) = read::value(inner) {
                        self.key(&name);
                        self.out.extend_from_slice(b"null");
                        any = true;
                    } else {
                        any |= self.add(&name, inner);
                    }
                }
                return any && name.starts_with(b"_");
            }
            Value::Unsigned(_) | Value::Signed(_) => {
                self.key(name);
                self.json.value(value, self.out);
            }
            Value::Float(number) if number.is_finite() => {
                self.key(name);
                let _infallible = write!(self.out, "{number:.6}");
            }
            _ => {
                let mut text = Vec::new();
                plain(value, &mut text);
                self.key(name);
                self.json.string(&text, self.out);
            }
        }
        true
    }
}

/// Appends a value as a text: a list with commas, a map as `key=value` with blanks.
fn plain(value: &[u8], out: &mut Vec<u8>) {
    let Ok((mut rest, kind)) = read::value(value) else {
        return;
    };
    let _infallible = match kind {
        Value::Nil => out.write_all(b"null"),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Unsigned(number) => write!(out, "{number}"),
        Value::Signed(number) => write!(out, "{number}"),
        Value::Float(number) => write!(out, "{number:.6}"),
        Value::Str(text) | Value::Bin(text) => out.write_all(text),
        Value::Ext(_, bytes) => bytes
            .iter()
            .try_for_each(|byte| write!(out, "\\x{byte:02x}")),
        Value::Array(count) => {
            for index in 0..count {
                let Ok((behind, item)) = read::raw(rest) else {
                    break;
                };
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                plain(item, out);
                rest = behind;
            }
            Ok(())
        }
        Value::Map(_) => {
            for (index, (key, value)) in Pairs::of(value).enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                plain(key, out);
                out.push(b'=');
                plain(value, out);
            }
            Ok(())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::EventTime;
    use crate::parser::json;

    fn written(properties: &[(&str, &str)], record: &str) -> Result<String, DropReason> {
        let (gelf, problems) = configured(properties, Gelf::read);
        assert_eq!(problems, [""; 0]);
        let (mut encoded, mut out) = (Vec::new(), Vec::new());
        json::to_msgpack(record.as_bytes(), &mut encoded).unwrap();
        let event = Event {
            time: EventTime {
                seconds: 1_700_000_000,
                nanos: 123_456_789,
            },
            metadata: &[],
            record: &encoded,
        };
        gelf.write(event, Json::default(), &mut out)?;
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let text = text.strip_prefix("{\"version\":\"1.1\"").unwrap();
        Ok(text.strip_suffix("}\n").unwrap().to_owned())
    }

    #[test]
    fn an_event_becomes_a_flat_object() {
        for (record, expected) in [
            (r#"{"host":"h"}"#, r#", "host":"h""#),
            (
                r#"{"n":1,"f":1.5,"t":true,"z":null,"id":5}"#,
                r#", "_n":1, "_f":1.500000, "_t":"true""#,
            ),
            (
                r#"{"k":{"a":"b","c":{"d":-1}}}"#,
                r#", "_k_a":"b", "_k_c_d":-1"#,
            ),
            (r#"{"a b\"":"x\ny"}"#, r#", "_a_b_":"x\ny""#),
            (
                r#"{"l":[1,"x",{"a":1,"b":[2]}]}"#,
                r#", "_l":"1, x, a=1 b=2""#,
            ),
            (r#"{"level":"5"}"#, r#", "level":5"#),
            (r#"{"level":"WARNING"}"#, r#", "level":4"#),
            (r#"{"level":3}"#, r#", "level":3"#),
            (r#"{"level":"loud"}"#, r#", "level":"loud""#),
            (r#"{"host":{"a":1}}"#, r#", "_host_a":1"#),
        ] {
            let whole = format!(r#"{{"short_message":"m",{}"#, &record[1..]);
            let tail = r#", "timestamp":1700000000.123"#;
            let expected = format!(r#", "short_message":"m"{expected}{tail}"#);
            assert_eq!(written(&[], &whole), Ok(expected), "{record}");
        }
    }

    #[test]
    fn fields_come_from_the_keys_configured_and_the_first_counts() {
        let keys = [
            ("gelf_short_message_key", "log"),
            ("gelf_timestamp_key", "ts"),
        ];
        assert_eq!(
            written(&keys, r#"{"log":"a","ts":7,"log":"b","short_message":"c"}"#).as_deref(),
            Ok(r#", "short_message":"a", "timestamp":7, "_short_message":"c""#)
        );
    }

    #[test]
    fn without_a_short_message_there_is_no_event() {
        for record in [
            "{}",
            r#"{"short_message":null}"#,
            r#"{"short_message":{"a":1}}"#,
        ] {
            assert_eq!(
                written(&[], record),
                Err(DropReason::KeyMissing),
                "{record}"
            );
        }
    }
}
