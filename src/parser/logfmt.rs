//! logfmt: `level=info msg="hello world" retry`, <https://brandur.org/logfmt>.
//!
//! The first line counts. Keys and bare values are runs of bytes above the blank but for `=` and `"`, everything else
//! separates.

use super::Parsed;
use super::escape;
use super::fields::{Fields, Rules};
use crate::msgpack::write;

/// A key, and what follows it.
struct Pair<'t> {
    key: &'t [u8],
    value: Written<'t>,
    rest: &'t [u8],
}

/// A value as it stands in the text.
enum Written<'t> {
    /// There is no `=`.
    Missing,
    Plain(&'t [u8]),
    Quoted {
        text: &'t [u8],
        escaped: bool,
    },
}

impl<'t> Written<'t> {
    fn text(&self) -> &'t [u8] {
        match self {
            Self::Missing => &[],
            Self::Plain(text) | Self::Quoted { text, .. } => text,
        }
    }
}

/// Appends the record of `text`; `None`, and nothing appended, where it has no key, a time that cannot be read, or, with
/// `no_bare_keys`, a key without `=`. `room` is scratch.
pub(super) fn parse(
    text: &[u8],
    no_bare_keys: bool,
    rules: &Rules,
    room: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Option<Parsed> {
    let mut fields = Fields::begin(rules, out);
    let mut rest = text;
    while let Some(pair) = pair(rest) {
        let refused = no_bare_keys && matches!(pair.value, Written::Missing);
        if refused || add(&pair, rules, &mut fields, room, out).is_none() {
            fields.abandon(out);
            return None;
        }
        rest = pair.rest;
        if matches!(rest.first(), None | Some(b'\r' | b'\n')) {
            break;
        }
    }
    if fields.is_empty() {
        fields.abandon(out);
        return None;
    }
    let time = fields.end(out);
    Some(Parsed { time })
}

/// Adds a pair; `None` where it holds a time that cannot be read.
fn add(
    pair: &Pair<'_>,
    rules: &Rules,
    fields: &mut Fields<'_>,
    room: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let text = pair.value.text();
    let is_typed = !rules.types.is_empty();
    let added = match pair.value {
        // An empty value is no time, whatever its key.
        Written::Missing | Written::Plain([]) if !is_typed => {
            fields.add_true(pair.key, out);
            Ok(())
        }
        _ if text.is_empty() => {
            fields.add_empty(pair.key, out);
            Ok(())
        }
        Written::Quoted { escaped: true, .. } if !is_typed => {
            fields.add_with(pair.key, text, out, |out| {
                room.clear();
                escape::unescape_utf8(text, room);
                write::str(out, room);
            })
        }
        _ => fields.add(pair.key, text, out),
    };
    added.ok()
}

/// The first pair of `text`, whatever stands before it; `None` where no key is left.
fn pair(text: &[u8]) -> Option<Pair<'_>> {
    let start = text.iter().position(|byte| is_plain(*byte))?;
    let (key, rest) = plain(text.get(start..)?);
    let Some(rest) = rest.strip_prefix(b"=") else {
        return Some(Pair {
            key,
            value: Written::Missing,
            rest,
        });
    };
    let (value, rest) = if let Some(inside) = rest.strip_prefix(b"\"") {
        quoted(inside)
    } else {
        let (text, rest) = plain(rest);
        (Written::Plain(text), rest)
    };
    Some(Pair { key, value, rest })
}

fn is_plain(byte: u8) -> bool {
    byte > b' ' && !matches!(byte, b'=' | b'"')
}

fn plain(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| is_plain(**byte)).count();
    text.split_at_checked(length).unwrap_or((text, &[]))
}

/// The value in front of the closing quote, which may be missing at the end.
fn quoted(text: &[u8]) -> (Written<'_>, &[u8]) {
    let (mut end, mut escaped) = (0, false);
    while let Some(found) = memchr::memchr2(b'"', b'\\', text.get(end..).unwrap_or_default()) {
        end += found;
        if text.get(end) == Some(&b'"') {
            break;
        }
        escaped = true;
        end += 2;
    }
    let is_open = text.get(end) != Some(&b'"');
    let end = if is_open { text.len() } else { end };
    let (text, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
    (Written::Quoted { text, escaped }, rest)
}
