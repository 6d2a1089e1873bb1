//! Record accessors: `$key`, `$key['sub'][2]`, as filters and templates name a value.

use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::write::OpenMap;

/// The deepest path accepted.
const STEPS_MAX: usize = 32;

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(Box<[u8]>),
    Index(usize),
}

/// Names one value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accessor {
    key: Box<[u8]>,
    steps: Vec<Step>,
}

/// Why a text is no accessor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessorError {
    /// Nothing where a key should stand.
    #[error("`{0}` names no key; write `$key` or `$key['sub']`")]
    NoKey(String),
    /// A bracket that is not closed, or holds neither a quoted key nor a number.
    #[error("`{0}` has a bracket that is neither ['key'] nor [number]")]
    Bracket(String),
    /// More steps than anyone needs.
    #[error("`{0}` has more than {STEPS_MAX} steps")]
    Long(String),
}

impl Accessor {
    /// Reads an accessor; a missing `$` is taken as written. A dot outside quotes ends the key, and what follows it is
    /// ignored, as in Fluent Bit.
    ///
    /// # Errors
    /// See [`AccessorError`].
    pub fn new(text: &str) -> Result<Self, AccessorError> {
        Self::prefix(text).map(|(accessor, _)| accessor)
    }

    /// Reads the accessor at the start of `text` and gives what follows it.
    ///
    /// # Errors
    /// See [`AccessorError`].
    pub fn prefix(text: &str) -> Result<(Self, &str), AccessorError> {
        let path = text.strip_prefix('$').unwrap_or(text);
        let end = path.find(['[', '.', ' ', ',', '"']).unwrap_or(path.len());
        let (key, mut rest) = path.split_at(end);
        if key.is_empty() {
            return Err(AccessorError::NoKey(text.to_owned()));
        }
        let mut steps = Vec::new();
        while let Some(inside) = rest.strip_prefix('[') {
            let (step, behind) =
                step(inside).ok_or_else(|| AccessorError::Bracket(text.to_owned()))?;
            steps.push(step);
            rest = behind;
            if steps.len() > STEPS_MAX {
                return Err(AccessorError::Long(text.to_owned()));
            }
        }
        Ok((
            Self {
                key: key.as_bytes().into(),
                steps,
            },
            rest,
        ))
    }

    /// The top-level key it starts at.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether it names a top-level key and nothing in it.
    pub fn is_flat(&self) -> bool {
        self.steps.is_empty()
    }

    /// All keys and numbers of the path with `_` between them.
    pub fn flat_name(&self) -> Vec<u8> {
        let mut name = self.key.to_vec();
        for step in &self.steps {
            name.push(b'_');
            match step {
                Step::Key(key) => name.extend_from_slice(key),
                Step::Index(index) => name.extend_from_slice(index.to_string().as_bytes()),
            }
        }
        name
    }

    /// Appends an encoded map without what it names. Items of arrays stay.
    pub fn write_without(&self, record: &[u8], out: &mut Vec<u8>) {
        write_without(record, &self.key, &self.steps, out);
    }

    /// The raw value in an encoded record.
    pub fn find_in<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        self.descend(last_value(record, &self.key)?)
    }

    /// Goes on from the value of the top-level key. A step into a scalar gives the scalar itself, as in Fluent Bit.
    pub fn descend<'r>(&self, mut value: &'r [u8]) -> Option<&'r [u8]> {
        for step in &self.steps {
            value = match (read::value(value).ok()?, step) {
                ((_, Value::Map(_)), Step::Key(key)) => last_value(value, key)?,
                ((items, Value::Array(count)), Step::Index(index)) => item(items, count, *index)?,
                ((_, Value::Map(_) | Value::Array(_)), _) => return None,
                _ => value,
            };
        }
        Some(value)
    }
}

/// As deep as the path, which is bounded.
fn write_without(map: &[u8], name: &[u8], steps: &[Step], out: &mut Vec<u8>) {
    let mut open = OpenMap::begin(out);
    for (key, value) in Pairs::of(map) {
        let is_named = matches!(read::value(key), Ok((_, Value::Str(text))) if text == name);
        let inner = matches!(read::value(value), Ok((_, Value::Map(_))));
        match steps {
            [] if is_named => continue,
            [Step::Key(next), rest @ ..] if is_named && inner => {
                out.extend_from_slice(key);
                write_without(value, next, rest, out);
            }
            _ => {
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }
        }
        open.count();
    }
    open.end(out);
}

/// What stands inside a bracket, and what follows it.
fn step(inside: &str) -> Option<(Step, &str)> {
    let Some(quoted) = inside.strip_prefix('\'') else {
        let (number, behind) = inside.split_once(']')?;
        return Some((Step::Index(number.parse().ok()?), behind));
    };
    let mut key = String::new();
    let mut rest = quoted;
    loop {
        let (text, behind) = rest.split_once('\'')?;
        key.push_str(text);
        if let Some(behind) = behind.strip_prefix('\'') {
            key.push('\'');
            rest = behind;
        } else {
            let step = Step::Key(key.into_bytes().into());
            return Some((step, behind.strip_prefix(']')?));
        }
    }
}

/// The value of the last pair with this key in an encoded map.
pub fn last_value<'r>(map: &'r [u8], name: &[u8]) -> Option<&'r [u8]> {
    let mut found = None;
    for (key, value) in Pairs::of(map) {
        if matches!(read::value(key), Ok((_, Value::Str(text))) if text == name) {
            found = Some(value);
        }
    }
    found
}

fn item(mut items: &[u8], count: u32, index: usize) -> Option<&[u8]> {
    if index >= count as usize {
        return None;
    }
    for _ in 0..index {
        (items, _) = read::raw(items).ok()?;
    }
    read::raw(items).ok().map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"k":{"a.b":[5,"x"]},"s":"t"}`
    const RECORD: &[u8] = &[
        0x82, 0xa1, b'k', 0x81, 0xa3, b'a', b'.', b'b', 0x92, 5, 0xa1, b'x', 0xa1, b's', 0xa1, b't',
    ];

    #[test]
    fn a_path_leads_to_its_value() {
        let cases: [(&str, Option<&[u8]>); 7] = [
            ("s", Some(&[0xa1, b't'])),
            ("$s", Some(&[0xa1, b't'])),
            ("$k['a.b'][1]", Some(&[0xa1, b'x'])),
            ("$k['a.b'][2]", None),
            ("$k['none']", None),
            ("$s['below a scalar']", Some(&[0xa1, b't'])),
            ("s.t", Some(&[0xa1, b't'])),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Accessor::new(text).unwrap().find_in(RECORD),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_record_is_written_without_what_a_path_names() {
        for (text, expected) in [
            ("$s", &b"\x81\xa1k\x81\xa3a.b\x92\x05\xa1x"[..]),
            ("$k['a.b']", b"\x82\xa1k\x80\xa1s\xa1t"),
            ("$k['none']", RECORD),
            ("$k['a.b'][0]", RECORD),
            ("$s['below a scalar']", RECORD),
        ] {
            let mut out = Vec::new();
            Accessor::new(text).unwrap().write_without(RECORD, &mut out);
            assert_eq!(out, expected, "{text}");
        }
    }

    #[test]
    fn a_path_has_a_name_without_brackets() {
        let name = |text| Accessor::new(text).unwrap().flat_name();
        assert_eq!(name("$k['a.b'][2]"), b"k_a.b_2");
        assert_eq!(name("$k"), b"k");
    }

    #[test]
    fn a_text_that_is_no_accessor_is_refused() {
        assert!(matches!(Accessor::new("$"), Err(AccessorError::NoKey(_))));
        assert!(matches!(
            Accessor::new("$a['b'"),
            Err(AccessorError::Bracket(_))
        ));
        assert!(matches!(
            Accessor::new("$a[x]"),
            Err(AccessorError::Bracket(_))
        ));
    }
}
