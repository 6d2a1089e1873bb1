//! `Types`: which fields of a text become numbers and switches.

use super::number;
use crate::msgpack::write;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Integer,
    Float,
    Hex,
    Bool,
    Text,
}

/// The types of some fields; every other field is text.
#[derive(Debug, Default)]
pub(super) struct Types(Vec<(Box<[u8]>, Type)>);

impl Types {
    /// Reads `key:type key:type`. A word without a colon is skipped, and an unknown type is text, as in Fluent Bit.
    pub(super) fn new(text: &str) -> Self {
        let entries = text.split_ascii_whitespace().filter_map(|word| {
            let (key, kind) = word.split_once(':')?;
            let kind = match kind.to_ascii_lowercase().as_str() {
                "integer" => Type::Integer,
                "float" => Type::Float,
                "hex" => Type::Hex,
                "bool" => Type::Bool,
                _ => Type::Text,
            };
            Some((key.as_bytes().into(), kind))
        });
        Self(entries.collect())
    }

    /// Whether no field has a type. With one, logfmt takes quoted values as they stand.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a field's value in its type. Text that is no number is 0, text that is no switch stays text.
    pub(super) fn write(&self, key: &[u8], text: &[u8], out: &mut Vec<u8>) {
        let entry = self.0.iter().find(|(name, _)| **name == *key);
        match entry.map_or(Type::Text, |(_, kind)| *kind) {
            Type::Integer => write::signed(out, number::integer(text).unwrap_or(0)),
            Type::Float => write::float(out, number::float(text).unwrap_or(0.0)),
            Type::Hex => write::unsigned(out, number::hex(text).unwrap_or(0)),
            Type::Bool => match truth(text) {
                Some(truth) => write::bool(out, truth),
                None => write::str(out, text),
            },
            Type::Text => write::str(out, text),
        }
    }
}

/// What a text that begins with `true` or `false` says, in any case.
fn truth(text: &[u8]) -> Option<bool> {
    let starts = |word: &[u8]| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if starts(b"true") {
        Some(true)
    } else {
        starts(b"false").then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::json::Json;

    /// Checklist: filters 38
    #[test]
    fn values_take_their_type_as_far_as_they_can() {
        let types =
            Types::new("i:integer f:Float b:BOOL h:hex s:string n:number bare i:string a:b:float");
        for (key, text, expected) in [
            ("i", "-3x", "-3"),
            ("i", "x", "0"),
            ("f", "1e3", "1000.0"),
            ("f", "junk", "0.0"),
            ("b", "FALSEhood", "false"),
            ("b", "maybe", "\"maybe\""),
            ("h", "0xFF", "255"),
            ("s", "7", "\"7\""),
            ("n", "7", "\"7\""),
            ("bare", "7", "\"7\""),
            ("other", "7", "\"7\""),
            ("I", "7", "\"7\""),
        ] {
            let (mut value, mut json) = (Vec::new(), Vec::new());
            types.write(key.as_bytes(), text.as_bytes(), &mut value);
            Json::default().value(&value, &mut json);
            assert_eq!(String::from_utf8(json).unwrap(), expected, "{key} {text}");
        }
    }

    #[test]
    fn a_list_with_commas_is_one_entry_of_no_known_type() {
        let types = Types::new("a:integer,b:integer");
        let mut value = Vec::new();
        types.write(b"a", b"5", &mut value);
        assert_eq!(value, [0xa1, b'5']);
    }
}
