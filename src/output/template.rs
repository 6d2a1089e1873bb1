//! Names made from a record: `/ecs/$ecs_cluster.$TAG[0]`.
//!
//! | token | meaning |
//! |---|---|
//! | `$key`, `$key['sub'][0]` | a value of the record |
//! | `$TAG`, `$TAG[n]` | the tag, its n-th part between dots |
//!
//! A key ends at `.`, `,`, a blank, `"` or the end; it has to be followed by one of them.

use super::Item;
use crate::accessor::{Accessor, AccessorError};
use crate::msgpack::json::Json;
use crate::msgpack::read::{self, Value};

/// A template that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Tag,
    Piece(usize),
    Value(Accessor),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// A `$` that starts no accessor.
    #[error(transparent)]
    Accessor(#[from] AccessorError),
    /// A key that runs into what follows it.
    #[error("`{0}` holds `$` within a key; put a dot, a comma or a blank between two keys")]
    NoSeparator(String),
}

impl Template {
    /// Reads a template.
    pub(super) fn new(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if let Some(behind) = behind.strip_prefix("TAG") {
                let (part, behind) = tag_part(behind);
                parts.push(part);
                rest = behind;
                continue;
            }
            let (accessor, behind) = Accessor::prefix(behind)?;
            if accessor.key().contains(&b'$') {
                return Err(TemplateError::NoSeparator(text.to_owned()));
            }
            parts.push(Part::Value(accessor));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Fills the template in; `None` when a value is missing.
    pub(super) fn render(&self, item: Item<'_>) -> Option<String> {
        let mut text = String::new();
        let tag = item.tag.to_text();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Tag => text.push_str(&tag),
                Part::Piece(index) => text.push_str(tag.split('.').nth(*index)?),
                Part::Value(accessor) => {
                    push_value(&mut text, accessor.find_in(item.event.record)?);
                }
            }
        }
        Some(text)
    }
}

/// What follows `$TAG`: `[n]`, or nothing of it.
fn tag_part(behind: &str) -> (Part, &str) {
    let indexed = behind
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'));
    match indexed.and_then(|(index, rest)| Some((index.parse().ok()?, rest))) {
        Some((index, rest)) => (Part::Piece(index), rest),
        None => (Part::Tag, behind),
    }
}

/// Appends a value as Fluent Bit's templates show it.
fn push_value(text: &mut String, value: &[u8]) {
    use std::fmt::Write as _;
    match read::value(value) {
        Ok((_, Value::Str(string))) => text.push_str(&String::from_utf8_lossy(string)),
        Ok((_, Value::Bin(bytes))) => {
            for byte in bytes {
                let _infallible = write!(text, "{byte:02x}");
            }
        }
        Ok((_, Value::Float(number))) => {
            let _infallible = write!(text, "{number:.6}");
        }
        Ok((_, Value::Array(_))) | Err(_) => {}
        Ok(_) => {
            let mut json = Vec::new();
            Json::default().value(value, &mut json);
            text.push_str(&String::from_utf8_lossy(&json));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventTime, Tag};

    /// `{"k":{"a":"deep"},"n":5,"f":1.5,"b":bin}`
    const RECORD: &[u8] = &[
        0x84, 0xa1, b'k', 0x81, 0xa1, b'a', 0xa4, b'd', b'e', b'e', b'p', 0xa1, b'n', 5, 0xa1,
        b'f', 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xa1, b'b', 0xc4, 1, 0xab,
    ];

    fn render(template: &str) -> Option<String> {
        let tag = Tag::new(b"a.b.c");
        let event = Event {
            time: EventTime::default(),
            metadata: &[],
            record: RECORD,
        };
        Template::new(template)
            .unwrap()
            .render(Item { tag: &tag, event })
    }

    #[test]
    fn tokens_are_replaced_and_a_missing_one_gives_the_whole_up() {
        assert_eq!(render("x.$k['a'].$n"), Some("x.deep.5".into()));
        assert_eq!(render("$TAG[1]/$TAG"), Some("b/a.b.c".into()));
        assert_eq!(
            render("$f,$b,$k"),
            Some("1.500000,ab,{\"a\":\"deep\"}".into())
        );
        assert_eq!(render("x.$missing"), None);
        assert_eq!(render("$TAG[7]"), None);
    }

    #[test]
    fn keys_that_run_into_each_other_are_refused() {
        assert!(matches!(
            Template::new("$a-$b"),
            Err(TemplateError::NoSeparator(_))
        ));
        assert!(matches!(
            Template::new("$"),
            Err(TemplateError::Accessor(_))
        ));
    }
}
