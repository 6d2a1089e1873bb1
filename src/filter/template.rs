//! Texts made from a record, a tag and a match: `out.$container['name'].$TAG[1].$2`.
//!
//! | token | meaning |
//! |---|---|
//! | `$key`, `$key['sub'][0]` | a value; nothing if it is missing |
//! | `$TAG`, `$TAG[n]` | the tag, its n-th part between dots |
//! | `$0` … `$9` | what the rule's pattern matched, and its groups |
//!
//! A key is letters, digits, `_`, `-` and `/`, and ends at `.`, `,`, a blank, `"` or the end: what else stands behind it is a mistake.
//! One of them at the very end of the text, behind a key, is dropped. Fluent Bit reads `$12` as a group 12; here it is group 1
//! and a `2`, since no group has two digits.
//!
//! <https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/classic-mode/record-accessor>

use std::io::Write as _;

use crate::accessor::{Accessor, AccessorError};
use crate::msgpack::json::Json;
use crate::msgpack::read::{self, Value};

/// What ends a key.
const SEPARATORS: [char; 4] = ['.', ',', ' ', '"'];

/// A template that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Tag,
    Piece(usize),
    Group(usize),
    Value(Accessor),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// A `$` that starts no accessor.
    #[error(transparent)]
    Accessor(#[from] AccessorError),
    /// A key that runs into what follows it.
    #[error("`{0}`: a key ends at a dot, a comma, a blank or a quote; put one behind it")]
    NoSeparator(String),
}

/// Where the values of a template come from.
pub(super) struct Sources<'s, V, G> {
    /// The tag.
    pub tag: &'s [u8],
    /// The raw value that an accessor names.
    pub value: V,
    /// The text of a group.
    pub group: G,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub(super) fn new(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            push_text(&mut parts, before);
            rest = match behind.strip_prefix("TAG") {
                Some(behind) => tag(&mut parts, behind),
                None => token(&mut parts, text, behind)?,
            };
        }
        push_text(&mut parts, rest);
        let ends_in_separator = rest.len() == 1 && rest.starts_with(SEPARATORS);
        if ends_in_separator && matches!(parts.iter().nth_back(1), Some(Part::Value(_))) {
            parts.pop();
        }
        Ok(Self(parts))
    }

    /// Appends the text that the sources make of it.
    pub(super) fn render<'s>(
        &self,
        sources: &Sources<'s, impl Fn(&Accessor) -> Option<&'s [u8]>, impl Fn(usize) -> &'s [u8]>,
        out: &mut Vec<u8>,
    ) {
        for part in &self.0 {
            match part {
                Part::Text(literal) => out.extend_from_slice(literal.as_bytes()),
                Part::Tag => out.extend_from_slice(sources.tag),
                Part::Piece(index) => out.extend_from_slice(piece(sources.tag, *index)),
                Part::Group(number) => out.extend_from_slice((sources.group)(*number)),
                Part::Value(accessor) => {
                    if let Some(value) = (sources.value)(accessor) {
                        push_value(out, value);
                    }
                }
            }
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// Reads what follows `$TAG`: `[n]`, or nothing of it. A `$` right behind it is a character like any other.
fn tag<'t>(parts: &mut Vec<Part>, behind: &'t str) -> &'t str {
    let indexed = behind
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'));
    let mut rest = behind;
    match indexed.and_then(|(index, rest)| Some((index.parse().ok()?, rest))) {
        Some((index, behind)) => {
            parts.push(Part::Piece(index));
            rest = behind;
        }
        None => parts.push(Part::Tag),
    }
    if let Some(behind) = rest.strip_prefix('$') {
        push_text(parts, "$");
        rest = behind;
    }
    rest
}

/// Reads a group or a key, `behind` its `$`.
fn token<'t>(parts: &mut Vec<Part>, text: &str, behind: &'t str) -> Result<&'t str, TemplateError> {
    let first = behind.chars().next();
    if let Some(digit) = first.and_then(|first| first.to_digit(10)) {
        parts.push(Part::Group(digit as usize));
        return Ok(behind.get(1..).unwrap_or_default());
    }
    if first.is_none() {
        return Ok(behind);
    }
    let (accessor, rest) = Accessor::prefix(behind)?;
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-/".contains(byte);
    let starts = |key: &[u8]| {
        key.first()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
    };
    let is_name = starts(accessor.key()) && accessor.key().iter().all(is_letter);
    if !is_name || !(rest.is_empty() || rest.starts_with(SEPARATORS)) {
        return Err(TemplateError::NoSeparator(text.to_owned()));
    }
    parts.push(Part::Value(accessor));
    Ok(rest)
}

/// A part of a tag between dots.
fn piece(tag: &[u8], index: usize) -> &[u8] {
    tag.split(|byte| *byte == b'.')
        .nth(index)
        .unwrap_or_default()
}

/// Appends a value as Fluent Bit's templates show it. An array shows nothing.
fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    match read::value(value) {
        Ok((_, Value::Str(text))) => out.extend_from_slice(text),
        Ok((_, Value::Bin(bytes))) => {
            for byte in bytes {
                let _infallible = write!(out, "{byte:02x}");
            }
        }
        Ok((_, Value::Float(number))) => {
            let _infallible = write!(out, "{number:.6}");
        }
        // It is printed as a signed number there.
        Ok((_, Value::Unsigned(number))) => {
            let _infallible = write!(out, "{}", number.cast_signed());
        }
        Ok((_, Value::Array(_))) | Err(_) => {}
        Ok(_) => Json::default().value(value, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> String {
        let mut record = Vec::new();
        let text = br#"{"k":{"a":"deep","q'q":1},"n":5,"big":18446744073709551615,"f":1.5,"b":true,"arr":["p","q"],"e-x":"hyphen"}"#;
        crate::parser::json::to_msgpack(text, &mut record).unwrap();
        let sources = Sources {
            tag: b"a.b.c",
            value: |accessor: &Accessor| accessor.find_in(&record),
            group: |number| {
                [&b"zero"[..], b"one"]
                    .get(number)
                    .copied()
                    .unwrap_or_default()
            },
        };
        let mut out = Vec::new();
        Template::new(template).unwrap().render(&sources, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tokens_are_replaced_and_what_is_missing_is_empty() {
        for (template, text) in [
            ("x.$k['a'].$arr[1].$miss.$n.e", "x.deep.q..5.e"),
            ("$TAG[0].$TAG[2].$TAG[9].$TAG.end", "a.c..a.b.c.end"),
            ("$f,$k,$b,$arr", "1.500000,{\"a\":\"deep\",\"q'q\":1},true,"),
            ("$big $k['q''q']", "-1 1"),
            ("t_$1_x.$1$1.$0", "t_one_x.oneone.zero"),
            ("http.$1xx.$12", "http.onexx.one2"),
            ("$e-x.y", "hyphen.y"),
            ("($n", "(5"),
            ("x.$n.", "x.5"),
            ("x.$n..", "x.5.."),
            ("x.$TAG.", "x.a.b.c."),
            ("$TAG$n.$TAGX", "a.b.c$n.a.b.cX"),
            ("lone $", "lone "),
            ("", ""),
        ] {
            assert_eq!(render(template), text, "{template}");
        }
    }

    #[test]
    fn keys_that_run_into_what_follows_are_refused() {
        for template in [
            "$s$s", "$s-$s", "$s:e", "$$", "$s)", "$a['b']c", "$-a", "$é",
        ] {
            assert!(Template::new(template).is_err(), "{template}");
        }
    }
}
