//! What numbers and strings say.

use memchr::memchr;

use crate::msgpack::write;

/// Appends what the token says, if it is a number.
pub(super) fn number(token: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let is_whole = is_whole(token)?;
    let text = std::str::from_utf8(token).ok()?;
    match text.parse().ok().filter(|_| is_whole) {
        Some(number) => write::unsigned(out, number),
        None => match text.parse().ok().filter(|_| is_whole) {
            Some(number) => write::signed(out, number),
            None => write::float(out, text.parse().ok()?),
        },
    }
    Some(())
}

/// Whether a number is without fraction and exponent; `None` where it is no number.
fn is_whole(token: &[u8]) -> Option<bool> {
    let unsigned = token.strip_prefix(b"-").unwrap_or(token);
    let after_whole = match unsigned.strip_prefix(b"0") {
        Some(rest) => rest,
        None => after_digits(unsigned)?,
    };
    let after_fraction = match after_whole.strip_prefix(b".") {
        Some(rest) => after_digits(rest)?,
        None => after_whole,
    };
    let end = match after_fraction {
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => after_digits(rest)?,
        rest => rest,
    };
    end.is_empty().then_some(after_whole.is_empty())
}

/// What follows the digits, of which there must be one.
fn after_digits(text: &[u8]) -> Option<&[u8]> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(digits..).filter(|_| digits > 0)
}

/// Appends a string's content; `None` where an escape is none.
pub(super) fn unescape(mut text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    while let Some((plain, escape)) = memchr(b'\\', text).and_then(|at| text.split_at_checked(at)) {
        out.extend_from_slice(plain);
        let (letter, rest) = escape.get(1..)?.split_first()?;
        text = rest;
        match letter {
            b'"' | b'\\' | b'/' => out.push(*letter),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => text = unicode(rest, out)?,
            _ => return None,
        }
    }
    out.extend_from_slice(text);
    Some(())
}

/// Appends the character of `\uXXXX`, or of two that are a surrogate pair, and gives what follows. `text` starts at the
/// first digit.
fn unicode<'t>(text: &'t [u8], out: &mut Vec<u8>) -> Option<&'t [u8]> {
    let (unit, rest) = unit(text)?;
    let next = rest.strip_prefix(b"\\u").and_then(self::unit);
    let units = [unit, next.map_or(0, |(unit, _)| unit)];
    let character = char::decode_utf16(units)
        .next()?
        .unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    match next {
        Some((_, after_pair)) if character.len_utf16() == 2 => Some(after_pair),
        _ => Some(rest),
    }
}

/// Four hexadecimal digits.
fn unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let unit = digits.iter().try_fold(0, |unit, &digit| {
        Some(unit * 16 + char::from(digit).to_digit(16)?)
    })?;
    Some((unit as u16, rest))
}
