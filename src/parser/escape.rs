//! Escapes that texts arrive with.

/// Appends `text` with `\n \a \b \t \v \f \r \\` read; in front of anything else the backslash is dropped, at the end it
/// stays.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    each_escape(text, out, |letter, rest, out| {
        match letter {
            b'\\' => out.push(b'\\'),
            _ => match control(letter) {
                Some(byte) => out.push(byte),
                None => out.push(letter),
            },
        }
        rest
    });
}

/// As [`unescape`], and reads `\uXXXX` with surrogate pairs, `\UXXXXXXXX`, `\xHH` and octal numbers. What stands for no
/// character becomes U+FFFD.
pub(super) fn unescape_utf8(text: &[u8], out: &mut Vec<u8>) {
    each_escape(text, out, |letter, rest, out| {
        if let Some(byte) = control(letter) {
            out.push(byte);
            return rest;
        }
        let (digits, number, behind) = match letter {
            b'u' => return unit(rest, out),
            b'x' => number(rest, 16, 2),
            b'U' => number(rest, 16, 8),
            b'0'..=b'7' => {
                let first = u32::from(letter - b'0');
                let (digits, more, behind) = number(rest, 8, 2);
                (1, (first << (3 * digits)) | more, behind)
            }
            _ => (0, 0, rest),
        };
        if digits == 0 {
            out.push(letter);
        } else {
            character(number, out);
        }
        behind
    });
}

/// Appends text in the quotes of `mysql` without them: `\n \t \r \0 \Z \\ \' \"` are read, other escapes keep their backslash.
/// Text that is not in quotes is appended as it is.
pub(super) fn mysql_unquote(text: &[u8], out: &mut Vec<u8>) {
    let ([quote @ (b'\'' | b'"'), inside @ ..], true) = (text, text.len() >= 2) else {
        return out.extend_from_slice(text);
    };
    let Some(inside) = inside.strip_suffix(&[*quote]) else {
        return out.extend_from_slice(text);
    };
    each_escape(inside, out, |letter, rest, out| {
        match letter {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'0' => out.push(0),
            b'Z' => out.push(0x1a),
            b'\\' | b'\'' | b'"' => out.push(letter),
            _ => out.extend_from_slice(&[b'\\', letter]),
        }
        rest
    });
}

/// Copies what is plain, and has `read` append each escape: it gets the letter behind the backslash and what follows, and
/// gives what it has not read. A backslash at the end stays.
fn each_escape<'t>(
    mut text: &'t [u8],
    out: &mut Vec<u8>,
    mut read: impl FnMut(u8, &'t [u8], &mut Vec<u8>) -> &'t [u8],
) {
    while let Some((plain, escape)) =
        memchr::memchr(b'\\', text).and_then(|at| text.split_at_checked(at))
    {
        out.extend_from_slice(plain);
        let [_, letter, rest @ ..] = escape else {
            return out.extend_from_slice(escape);
        };
        text = read(*letter, rest, out);
    }
    out.extend_from_slice(text);
}

/// The control character that a letter stands for.
fn control(letter: u8) -> Option<u8> {
    Some(match letter {
        b'n' => b'\n',
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        _ => return None,
    })
}

/// Up to `most` digits: how many, their number, and what follows.
fn number(text: &[u8], base: u32, most: usize) -> (usize, u32, &[u8]) {
    let (mut digits, mut number) = (0, 0_u32);
    while digits < most
        && let Some(digit) = text
            .get(digits)
            .and_then(|byte| char::from(*byte).to_digit(base))
    {
        number = number.wrapping_mul(base).wrapping_add(digit);
        digits += 1;
    }
    (digits, number, text.get(digits..).unwrap_or_default())
}

/// Appends the character of four digits, or of a surrogate pair, and gives what follows.
fn unit<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let (digits, high, rest) = number(text, 16, 4);
    match digits {
        0 => {
            out.push(b'u');
            return rest;
        }
        4 => {}
        _ => {
            character(u32::MAX, out);
            return rest;
        }
    }
    if (0xd800..0xdc00).contains(&high)
        && let Some(second) = rest.strip_prefix(b"\\u")
        && let (4, low @ 0xdc00..0xe000, behind) = number(second, 16, 4)
    {
        character(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), out);
        return behind;
    }
    character(high, out);
    rest
}

fn character(number: u32, out: &mut Vec<u8>) {
    let character = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(how: fn(&[u8], &mut Vec<u8>), text: &str) -> String {
        let mut out = Vec::new();
        how(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Checklist: filters 39
    #[test]
    fn a_backslash_goes_unless_it_is_the_last_byte() {
        for (text, expected) in [
            (r#"a\nb\tc\"q\\z"#, "a\nb\tc\"q\\z"),
            (r"\a\b\v\f\r\/\j", "\x07\x08\x0b\x0c\r/j"),
            (r"end\", r"end\"),
            (r"\u0041", "u0041"),
            ("plain", "plain"),
        ] {
            assert_eq!(read(unescape, text), expected, "{text}");
        }
    }

    /// Checklist: filters 39
    #[test]
    fn numbers_become_characters() {
        for (text, expected) in [
            (r"a\nb \u00e9 \x41 \101", "a\nb \u{e9} A A"),
            (r"\ud83d\ude00", "\u{1f600}"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ude00x\ud83d", "\u{fffd}x\u{fffd}"),
            (
                r"\u12 \u \x \U0001F600 \UFFFFFFFF",
                "\u{fffd} u x \u{1f600} \u{fffd}",
            ),
            (r"\7\78\777", "\x07\x078\u{1ff}"),
            (r#"\'\"\\\/"#, r#"'"\/"#),
            (r"end\", r"end\"),
        ] {
            assert_eq!(read(unescape_utf8, text), expected, "{text}");
        }
    }

    /// Checklist: filters 39
    #[test]
    fn only_text_in_quotes_is_unquoted() {
        for (text, expected) in [
            (r"'a\n\'b\'\b\%'", "a\n'b'\\b\\%"),
            (r#""\0\Z\\""#, "\0\x1a\\"),
            (r"'open", r"'open"),
            (r"a\nb", r"a\nb"),
            (r"'", r"'"),
            ("''", ""),
            ("", ""),
        ] {
            assert_eq!(read(mysql_unquote, text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_them_panic_and_none_without_backslash_change(text in proptest::collection::vec(any::<u8>(), 0..60), nearly in r"[\\uUx0-9a-fdn']{0,40}") {
            for how in [unescape, unescape_utf8, mysql_unquote] {
                let mut out = Vec::new();
                how(nearly.as_bytes(), &mut out);
                prop_assert!(out.len() <= 3 * nearly.len());
                out.clear();
                how(&text, &mut out);
            }
            let plain: Vec<u8> = text.into_iter().filter(|byte| *byte != b'\\').collect();
            let mut out = Vec::new();
            unescape_utf8(&plain, &mut out);
            prop_assert_eq!(out, plain);
        }
    }
}
