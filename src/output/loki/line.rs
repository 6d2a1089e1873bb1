//! What of a record becomes the line.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `line_format` | json | the record as JSON; `key_value`: `key="text" other=1` |
//! | `remove_keys` | | what is left out, beside what became labels |
//! | `drop_single_key` | off | on: a value that stands alone is the line; `raw`: a text without its quotes |

use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::json::{self, Json, Pair};
use crate::msgpack::read::{self, Pairs, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Single {
    Stays,
    Alone,
    Raw,
}

/// Room for what one line is made of, used again for each.
#[derive(Default)]
pub(super) struct Scratch {
    pruned: Vec<u8>,
    next: Vec<u8>,
    text: Vec<u8>,
}

/// How lines are made.
pub(super) struct Line {
    /// As `key=value`, not as JSON.
    as_pairs: bool,
    single: Single,
    /// Top-level keys that are left out.
    flat: Vec<Box<[u8]>>,
    /// Deeper ones.
    deep: Vec<Accessor>,
    json: Json,
}

impl Line {
    /// Reads the settings. `removed` is left out too.
    pub(super) fn read(
        settings: &mut Settings<'_>,
        json: Json,
        mut removed: Vec<Accessor>,
    ) -> Self {
        for path in settings.list("remove_keys") {
            match Accessor::new(&path) {
                Ok(accessor) => removed.push(accessor),
                Err(error) => settings.error("remove_keys", error.to_string()),
            }
        }
        let (flat, deep) = removed.into_iter().partition(Accessor::is_flat);
        let flat: Vec<Accessor> = flat;
        let format = settings.choice("line_format", &["json", "key_value"]);
        let raw = settings.text("drop_single_key");
        let is_raw = raw.is_some_and(|raw| raw.eq_ignore_ascii_case("raw"));
        let single = if is_raw {
            Single::Raw
        } else if settings.flag("drop_single_key", false) {
            Single::Alone
        } else {
            Single::Stays
        };
        Self {
            as_pairs: format == Some("key_value"),
            single,
            flat: flat.iter().map(|accessor| accessor.key().into()).collect(),
            deep,
            json,
        }
    }

    /// Appends the line as a text of JSON.
    pub(super) fn write(&self, record: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) {
        let Scratch { pruned, next, text } = scratch;
        let Some((first, others)) = self.deep.split_first() else {
            return self.write_kept(record, text, out);
        };
        pruned.clear();
        first.write_without(record, pruned);
        for accessor in others {
            next.clear();
            accessor.write_without(pruned, next);
            std::mem::swap(pruned, next);
        }
        self.write_kept(pruned, text, out);
    }

    fn write_kept(&self, record: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        let is_left_out = |key: &[u8]| match read::value(key) {
            Ok((_, Value::Str(name))) => self.flat.iter().any(|left_out| **left_out == *name),
            _ => false,
        };
        let kept = Pairs::of(record).filter(|(key, _)| !is_left_out(key));
        if let Some(value) = self.alone(kept.clone()) {
            return self.write_alone(value, scratch, out);
        }
        if self.as_pairs {
            scratch.clear();
            key_values(kept, scratch);
            self.json.string(scratch, out);
        } else {
            out.push(b'"');
            self.json.nested_object(kept, out);
            out.push(b'"');
        }
    }

    /// The value that is the line.
    fn alone<'r>(&self, mut kept: impl Iterator<Item = Pair<'r>>) -> Option<&'r [u8]> {
        if self.single == Single::Stays {
            return None;
        }
        let (_, value) = kept.next()?;
        kept.next().is_none().then_some(value)
    }

    fn write_alone(&self, value: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        match read::value(value) {
            Ok((_, Value::Str(text))) if self.as_pairs || self.single == Single::Raw => {
                self.json.string(text, out);
            }
            _ if self.as_pairs => {
                scratch.clear();
                plain(value, scratch);
                self.json.string(scratch, out);
            }
            _ => {
                out.push(b'"');
                self.json.nested(value, out);
                out.push(b'"');
            }
        }
    }
}

/// Appends `key=value` with blanks between.
fn key_values<'r>(pairs: impl Iterator<Item = Pair<'r>>, out: &mut Vec<u8>) {
    for (key, value) in pairs {
        let Ok((_, Value::Str(name))) = read::value(key) else {
            continue;
        };
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        plain(value, out);
    }
}

/// Appends a value as Fluent Bit writes it there: texts in quotes that nothing escapes, `"[1 2]"`, `"map[key:1]"`. The depth is
/// bounded, see [`crate::msgpack::scan::MAX_DEPTH`].
fn plain<'v>(value: &'v [u8], out: &mut Vec<u8>) -> &'v [u8] {
    let Ok((mut rest, kind)) = read::value(value) else {
        return &[];
    };
    match kind {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Unsigned(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        Value::Signed(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        Value::Float(number) => json::float(number, out),
        Value::Str(text) => {
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
        }
        Value::Bin(_) | Value::Ext(..) => {}
        Value::Array(count) => {
            out.extend_from_slice(b"\"[");
            for index in 0..count {
                if index > 0 {
                    out.push(b' ');
                }
                rest = plain(rest, out);
            }
            out.extend_from_slice(b"]\"");
        }
        Value::Map(count) => {
            out.extend_from_slice(b"\"map[");
            let mut pairs = Pairs::inside(rest, count);
            for (index, (key, value)) in pairs.by_ref().enumerate() {
                let Ok((_, Value::Str(name))) = read::value(key) else {
                    continue;
                };
                if index > 0 {
                    out.push(b' ');
                }
                out.extend_from_slice(name);
                out.push(b':');
                plain(value, out);
            }
            rest = pairs.rest();
            out.extend_from_slice(b"]\"");
        }
    }
    rest
}
