//! Numbers at the start of a text, as C's `strtoll`, `strtoull` and `strtod` read them.
//!
//! Blanks before the number are skipped and anything behind it is ignored. `None` means that there is no number; C says 0.

/// A decimal integer; beyond 64 bits the nearest one there is.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, rest) = sign(text);
    let digits = leading(rest, u8::is_ascii_digit);
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().fold(0_i128, |number, digit| {
        (number * 10 + i128::from(digit - b'0')).min(1 << 64)
    });
    let number = if negative { -magnitude } else { magnitude };
    let clamped = number.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(clamped).ok()
}

/// A decimal integer without sign; a minus wraps, beyond 64 bits it is the greatest there is.
pub fn unsigned(text: &[u8]) -> Option<u64> {
    let (negative, rest) = sign(text);
    wrapped(negative, leading(rest, u8::is_ascii_digit), 10)
}

/// A hexadecimal integer, with or without `0x`; a minus wraps, beyond 64 bits it is the greatest there is.
pub fn hex(text: &[u8]) -> Option<u64> {
    let (negative, rest) = sign(text);
    let digits = leading(hex_body(rest).unwrap_or(rest), u8::is_ascii_hexdigit);
    wrapped(negative, digits, 16)
}

/// A number with fraction and exponent, also hexadecimal, `nan` and `infinity`.
pub fn float(text: &[u8]) -> Option<f64> {
    let (negative, rest) = sign(text);
    let number = if let Some(body) = hex_body(rest) {
        hex_float(body)
    } else {
        decimal(rest).or_else(|| word(rest))?
    };
    Some(if negative { -number } else { number })
}

/// Skips blanks and takes the sign.
fn sign(text: &[u8]) -> (bool, &[u8]) {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let blanks = leading(text, is_blank).len();
    match text.get(blanks..).unwrap_or_default() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    }
}

fn leading(text: &[u8], wanted: impl Fn(&u8) -> bool) -> &[u8] {
    let length = text.iter().take_while(|byte| wanted(byte)).count();
    text.get(..length).unwrap_or_default()
}

fn wrapped(negative: bool, digits: &[u8], base: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let add = |number: u64, digit: &u8| {
        let digit = char::from(*digit).to_digit(base)?;
        number
            .checked_mul(u64::from(base))?
            .checked_add(digit.into())
    };
    let number = digits.iter().try_fold(0, add);
    Some(match number {
        None => u64::MAX,
        Some(number) if negative => number.wrapping_neg(),
        Some(number) => number,
    })
}

/// What follows `0x`, if a hexadecimal digit does.
fn hex_body(text: &[u8]) -> Option<&[u8]> {
    let [b'0', b'x' | b'X', body @ ..] = text else {
        return None;
    };
    let digits = body.strip_prefix(b".").unwrap_or(body);
    digits
        .first()
        .is_some_and(u8::is_ascii_hexdigit)
        .then_some(body)
}

fn decimal(text: &[u8]) -> Option<f64> {
    let whole = leading(text, u8::is_ascii_digit).len();
    let mut end = whole;
    let mut digits = whole;
    if text.get(end) == Some(&b'.') {
        let fraction = leading(text.get(end + 1..).unwrap_or_default(), u8::is_ascii_digit).len();
        digits += fraction;
        end += 1 + fraction;
    }
    if digits == 0 {
        return None;
    }
    if let Some((_, length)) = exponent(text.get(end..).unwrap_or_default(), b'e') {
        end += length;
    }
    std::str::from_utf8(text.get(..end)?).ok()?.parse().ok()
}

/// An exponent behind its letter, and how long it is.
fn exponent(text: &[u8], letter: u8) -> Option<(i32, usize)> {
    let (first, rest) = text.split_first()?;
    if !first.eq_ignore_ascii_case(&letter) {
        return None;
    }
    let signs = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
    let digits = leading(rest.get(signs..)?, u8::is_ascii_digit);
    if digits.is_empty() {
        return None;
    }
    // No double has an exponent of five digits.
    let size = digits.iter().fold(0, |number: i32, digit| {
        (number * 10 + i32::from(digit - b'0')).min(99_999)
    });
    let negative = rest.first() == Some(&b'-');
    Some((
        if negative { -size } else { size },
        1 + signs + digits.len(),
    ))
}

/// `1.8p3`: hexadecimal digits, a fraction and a power of two.
fn hex_float(text: &[u8]) -> f64 {
    let whole = leading(text, u8::is_ascii_hexdigit);
    let mut rest = text.get(whole.len()..).unwrap_or_default();
    let mut fraction: &[u8] = &[];
    if let [b'.', behind @ ..] = rest {
        fraction = leading(behind, u8::is_ascii_hexdigit);
        rest = behind.get(fraction.len()..).unwrap_or_default();
    }
    let value = |number: f64, digit: &u8| {
        number * 16.0 + f64::from(char::from(*digit).to_digit(16).unwrap_or(0))
    };
    let mantissa = whole.iter().chain(fraction).fold(0.0, value);
    let power = exponent(rest, b'p').map_or(0, |(power, _)| power);
    let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    mantissa * 2_f64.powi(power.saturating_sub(places.saturating_mul(4)))
}

fn word(text: &[u8]) -> Option<f64> {
    let starts = |word: &[u8]| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if starts(b"nan") {
        Some(f64::NAN)
    } else {
        starts(b"inf").then_some(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_end_where_digits_do() {
        for (text, expected) in [
            ("12", Some(12)),
            ("-3x", Some(-3)),
            (" \t+7 8", Some(7)),
            ("x", None),
            ("", None),
            ("-", None),
            ("9223372036854775808", Some(i64::MAX)),
            ("-99999999999999999999999", Some(i64::MIN)),
            ("0x10", Some(0)),
        ] {
            assert_eq!(integer(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"-5"), Some(u64::MAX - 4));
    }

    #[test]
    fn hexadecimal_integers_wrap_and_saturate() {
        for (text, expected) in [
            ("ff", Some(255)),
            ("0xFF", Some(255)),
            ("-1", Some(u64::MAX)),
            ("zz", None),
            ("0x", Some(0)),
            ("0xg", Some(0)),
            ("fffffffffffffffff", Some(u64::MAX)),
        ] {
            assert_eq!(hex(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn floats_are_those_of_c() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            ("1e3", Some(1000.0)),
            (".5x", Some(0.5)),
            ("5.", Some(5.0)),
            ("-2.5e-1z", Some(-0.25)),
            ("1e", Some(1.0)),
            ("1e+", Some(1.0)),
            (".", None),
            ("y", None),
            ("0x1.8p3", Some(12.0)),
            ("0x10", Some(16.0)),
            ("0xg", Some(0.0)),
            ("INFINITY", Some(f64::INFINITY)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("1e999", Some(f64::INFINITY)),
        ] {
            assert_eq!(float(text.as_bytes()), expected, "{text}");
        }
        assert!(float(b"NaN(1)").is_some_and(f64::is_nan));
    }

    proptest! {
        #[test]
        fn numbers_written_by_rust_read_back(whole: i64, real: f64) {
            prop_assert_eq!(integer(whole.to_string().as_bytes()), Some(whole));
            let read = float(format!("{real:e} tail").as_bytes()).unwrap();
            prop_assert!(read.to_bits() == real.to_bits() || read.is_nan() && real.is_nan());
        }

        #[test]
        fn no_text_makes_them_panic(text in r"[-+ ]{0,2}(0x)?[0-9a-fA-FpPeEinft.]{0,30}") {
            let text = text.as_bytes();
            let _ = (integer(text), unsigned(text), hex(text), float(text));
        }
    }
}
