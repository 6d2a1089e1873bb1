//! Texts made from a record, a tag and a match: `out.$container['name'].$TAG[1].$2`.
//!
//! | token | meaning |
//! |---|---|
//! | `$key`, `$key['sub'][0]` | a value |
//! | `$TAG`, `$TAG[n]` | the tag, its n-th part between dots |
//! | `$0` … `$9` | what a rule's pattern matched, and its groups |
//!
//! Fluent Bit reads the same syntax with more or less care, depending on who asks; so there are two ways to read it here:
//!
//! | | [`Template::of_tag`]: the tags of filters | [`Template::of_name`]: the names of outputs |
//! |---|---|---|
//! | groups | yes | no: `$1` is a key |
//! | a key | letters, digits, `_`, `-` and `/` | any characters but `$` |
//! | a key ends at | `.` `,` a blank `"` or the end; anything else behind it is a mistake | these, or a `]` |
//! | one of them at the end of the text, behind a key | is dropped | stays |
//! | `$` behind `$TAG` | stands for itself | begins the next token |
//! | `$` at the end | is nothing | is a mistake |
//!
//! Fluent Bit reads `$12` as a group 12; here it is group 1 and a `2`, since no group has two digits.
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
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Tag,
    Piece(usize),
    Group(usize),
    Value(Accessor),
}

/// Who reads; see the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Tag,
    Name,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `$` that starts no accessor.
    #[error(transparent)]
    Accessor(#[from] AccessorError),
    /// A key of a tag that runs into what follows it.
    #[error("`{0}`: a key ends at a dot, a comma, a blank or a quote; put one behind it")]
    NoEnd(String),
    /// A key of a name that runs into the next one.
    #[error("`{0}` holds `$` within a key; put a dot, a comma or a blank between two keys")]
    NoSeparator(String),
}

/// Where the values of a template come from.
pub struct Sources<'s, V, G> {
    /// The tag.
    pub tag: &'s [u8],
    /// The raw value that an accessor names.
    pub value: V,
    /// The text of a group.
    pub group: G,
}

impl Template {
    /// Reads a template as filters do, with groups.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn of_tag(text: &str) -> Result<Self, TemplateError> {
        let mut parts = read(text, Dialect::Tag)?;
        let is_separator = |text: &str| text.len() == 1 && text.starts_with(SEPARATORS);
        if let [.., Part::Value(_), Part::Text(last)] = parts.as_slice()
            && is_separator(last)
        {
            parts.pop();
        }
        Ok(Self(parts))
    }

    /// Reads a template as outputs do, without groups.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn of_name(text: &str) -> Result<Self, TemplateError> {
        read(text, Dialect::Name).map(Self)
    }

    /// Appends the text that the sources make of it; what is missing is empty. Gives whether nothing was missing.
    pub fn render<'s>(
        &self,
        sources: &Sources<'s, impl Fn(&Accessor) -> Option<&'s [u8]>, impl Fn(usize) -> &'s [u8]>,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut is_whole = true;
        for part in &self.0 {
            match part {
                Part::Text(literal) => out.extend_from_slice(literal.as_bytes()),
                Part::Tag => out.extend_from_slice(sources.tag),
                Part::Piece(index) => match piece(sources.tag, *index) {
                    Some(piece) => out.extend_from_slice(piece),
                    None => is_whole = false,
                },
                Part::Group(number) => out.extend_from_slice((sources.group)(*number)),
                Part::Value(accessor) => match (sources.value)(accessor) {
                    Some(value) => push_value(out, value),
                    None => is_whole = false,
                },
            }
        }
        is_whole
    }
}

fn read(text: &str, dialect: Dialect) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        push_text(&mut parts, before);
        rest = match (behind.strip_prefix("TAG"), dialect) {
            (Some(behind), Dialect::Name) => tag(&mut parts, behind),
            (Some(behind), Dialect::Tag) => {
                let behind = tag(&mut parts, behind);
                let literal = behind.strip_prefix('$');
                literal
                    .inspect(|_| push_text(&mut parts, "$"))
                    .unwrap_or(behind)
            }
            (None, Dialect::Tag) => tag_token(&mut parts, text, behind)?,
            (None, Dialect::Name) => name_token(&mut parts, text, behind)?,
        };
    }
    push_text(&mut parts, rest);
    Ok(parts)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// Reads what follows `$TAG`: `[n]`, or nothing of it.
fn tag<'t>(parts: &mut Vec<Part>, behind: &'t str) -> &'t str {
    let indexed = behind
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'));
    let indexed = indexed.and_then(|(index, rest)| Some((index.parse().ok()?, rest)));
    let (part, rest) = indexed.map_or((Part::Tag, behind), |(index, rest)| {
        (Part::Piece(index), rest)
    });
    parts.push(part);
    rest
}

/// Reads a group or a key, `behind` its `$`.
fn tag_token<'t>(
    parts: &mut Vec<Part>,
    text: &str,
    behind: &'t str,
) -> Result<&'t str, TemplateError> {
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
        return Err(TemplateError::NoEnd(text.to_owned()));
    }
    parts.push(Part::Value(accessor));
    Ok(rest)
}

/// Reads a key, `behind` its `$`.
fn name_token<'t>(
    parts: &mut Vec<Part>,
    text: &str,
    behind: &'t str,
) -> Result<&'t str, TemplateError> {
    let (accessor, rest) = Accessor::prefix(behind)?;
    if accessor.key().contains(&b'$') {
        return Err(TemplateError::NoSeparator(text.to_owned()));
    }
    parts.push(Part::Value(accessor));
    Ok(rest)
}

/// A part of a tag between dots.
fn piece(tag: &[u8], index: usize) -> Option<&[u8]> {
    tag.split(|byte| *byte == b'.').nth(index)
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

    /// What a template makes of a record, and whether nothing was missing.
    fn rendered(template: &Template) -> (String, bool) {
        let mut record = Vec::new();
        let text = br#"{"k":{"a":"deep","q'q":1},"n":5,"big":18446744073709551615,"f":1.5,"b":true,"arr":["p","q"],"e-x":"hyphen","1":"one key"}"#;
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
        let is_whole = template.render(&sources, &mut out);
        (String::from_utf8(out).unwrap(), is_whole)
    }

    /// Checklist: filters 48
    #[test]
    fn tokens_of_a_tag_are_replaced_and_what_is_missing_is_empty() {
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
            let template = Template::of_tag(template).unwrap();
            assert_eq!(rendered(&template).0, text, "{template:?}");
        }
    }

    #[test]
    fn keys_of_a_tag_that_run_into_what_follows_are_refused() {
        for template in [
            "$s$s", "$s-$s", "$s:e", "$$", "$s)", "$a['b']c", "$-a", "$é",
        ] {
            assert!(Template::of_tag(template).is_err(), "{template}");
        }
    }

    #[test]
    fn tokens_of_a_name_are_replaced_and_what_is_missing_is_told() {
        for (template, text, is_whole) in [
            ("x.$k['a'].$n", "x.deep.5", true),
            ("$TAG[1]/$TAG", "b/a.b.c", true),
            ("$TAG$n", "a.b.c5", true),
            ("$k['a']c", "deepc", true),
            ("x.$n.", "x.5.", true),
            ("$1", "one key", true),
            ("x.$missing", "x.", false),
            ("$TAG[7]", "", false),
        ] {
            let template = Template::of_name(template).unwrap();
            assert_eq!(
                rendered(&template),
                (text.to_owned(), is_whole),
                "{template:?}"
            );
        }
    }

    #[test]
    fn keys_of_a_name_that_run_into_each_other_are_refused() {
        assert!(matches!(
            Template::of_name("$a-$b"),
            Err(TemplateError::NoSeparator(_))
        ));
        assert!(matches!(
            Template::of_name("$"),
            Err(TemplateError::Accessor(_))
        ));
    }
}
