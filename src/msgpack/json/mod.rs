//! Records as JSON text, written straight from `MessagePack` into the request body.
//!
//! The text is Fluent Bit's, byte for byte, where that is JSON: key order kept, a repeated key written once with its
//! last value, floats with a decimal point, everything beyond ASCII as `\uXXXX` unless `json.escape_unicode` is off.
//! Where Fluent Bit writes what is no JSON, this writes: NaN and infinities as `null`, keys that are no strings in
//! quotes, an ext as a string of `\xNN`, a bad byte as U+FFFD.

mod escape;
mod object;

use std::collections::HashSet;
use std::io::Write as _;

use self::escape::printable;
use super::read::{self, Pairs, Value};

/// So many keys are compared with each other; more go through a set.
const FEW: u32 = 32;

/// A key and a value, encoded.
pub type Pair<'v> = (&'v [u8], &'v [u8]);

/// How records become JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json {
    /// Writes what lies beyond ASCII as `\uXXXX`.
    pub escape_unicode: bool,
}

impl Default for Json {
    fn default() -> Self {
        Self {
            escape_unicode: true,
        }
    }
}

impl Json {
    /// Appends the JSON of an encoded value.
    pub fn value(self, value: &[u8], out: &mut Vec<u8>) {
        Writer::<false> {
            out,
            json: self,
            grown: 0,
        }
        .value(value);
    }

    /// Appends the JSON of an encoded value as it stands inside a JSON string, and gives its length before that
    /// escaping, which is what services count.
    pub fn nested(self, value: &[u8], out: &mut Vec<u8>) -> usize {
        let start = out.len();
        let mut writer = Writer::<true> {
            out,
            json: self,
            grown: 0,
        };
        writer.value(value);
        let grown = writer.grown;
        out.len() - start - grown
    }

    /// Appends an object of these pairs of encoded keys and values, a repeated key once with its last value.
    pub fn object<'v>(self, pairs: impl Iterator<Item = Pair<'v>> + Clone, out: &mut Vec<u8>) {
        Writer::<false> {
            out,
            json: self,
            grown: 0,
        }
        .object(pairs);
    }

    /// As [`Json::object`], inside a JSON string.
    pub fn nested_object<'v>(
        self,
        pairs: impl Iterator<Item = Pair<'v>> + Clone,
        out: &mut Vec<u8>,
    ) {
        Writer::<true> {
            out,
            json: self,
            grown: 0,
        }
        .object(pairs);
    }

    /// Appends a text with its quotes.
    pub fn string(self, text: &[u8], out: &mut Vec<u8>) {
        Writer::<false> {
            out,
            json: self,
            grown: 0,
        }
        .string(text);
    }
}

/// Appends a text as it stands inside a JSON string, everything beyond ASCII as it is, and gives its length before
/// escaping. Bad bytes become U+FFFD.
pub fn escape(mut text: &[u8], out: &mut Vec<u8>) -> usize {
    let mut length = text.len();
    loop {
        let rest = text
            .get(printable::<false>(text, out)..)
            .unwrap_or_default();
        match rest.first() {
            None => return length,
            Some(&byte) if byte < 0x80 => {
                control::<false>(byte, out);
                text = rest.get(1..).unwrap_or_default();
            }
            Some(_) => {
                let (run, behind) = rest.split_at(ascii_position(rest));
                for chunk in run.utf8_chunks() {
                    out.extend_from_slice(chunk.valid().as_bytes());
                    if !chunk.invalid().is_empty() {
                        out.extend_from_slice("\u{fffd}".as_bytes());
                        length += '\u{fffd}'.len_utf8();
                        length -= chunk.invalid().len();
                    }
                }
                text = behind;
            }
        }
    }
}

/// Where the run beyond ASCII at the start ends.
fn ascii_position(text: &[u8]) -> usize {
    text.iter().position(u8::is_ascii).unwrap_or(text.len())
}

/// Writes a control character, at one level or inside another string; gives by how much the inner level made it longer.
fn control<const NESTED: bool>(byte: u8, out: &mut Vec<u8>) -> usize {
    let letter = match byte {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => return unit::<NESTED>(u16::from(byte), out),
    };
    out.extend_from_slice(if NESTED { b"\\\\" } else { b"\\" });
    out.push(letter);
    usize::from(NESTED)
}

/// Writes `\uXXXX`.
fn unit<const NESTED: bool>(unit: u16, out: &mut Vec<u8>) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(if NESTED { b"\\\\u" } else { b"\\u" });
    for shift in [12, 8, 4, 0] {
        out.push(
            HEX.get(usize::from(unit >> shift & 0xf))
                .copied()
                .unwrap_or(b'0'),
        );
    }
    usize::from(NESTED)
}

/// Writes values; `NESTED` inside a JSON string.
struct Writer<'o, const NESTED: bool> {
    out: &'o mut Vec<u8>,
    json: Json,
    /// Bytes by which the nesting made the text longer.
    grown: usize,
}

impl<const NESTED: bool> Writer<'_, NESTED> {
    /// The depth is bounded: whoever decoded the record refused nesting beyond [`crate::msgpack::scan::MAX_DEPTH`].
    fn value<'v>(&mut self, value: &'v [u8]) -> &'v [u8] {
        let Ok((rest, value)) = read::value(value) else {
            self.out.extend_from_slice(b"null");
            return &[];
        };
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::Bool(truth) => {
                self.out
                    .extend_from_slice(if truth { b"true" } else { b"false" });
            }
            Value::Unsigned(number) => self
                .out
                .extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Value::Signed(number) => self
                .out
                .extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Value::Float(number) => float(number, self.out),
            Value::Str(text) | Value::Bin(text) => self.string(text),
            Value::Ext(_, bytes) => self.ext(bytes),
            Value::Array(count) => return self.array(rest, count),
            Value::Map(count) => return self.map(rest, count),
        }
        rest
    }

    fn quote(&mut self) {
        self.out
            .extend_from_slice(if NESTED { b"\\\"" } else { b"\"" });
        self.grown += usize::from(NESTED);
    }

    fn string(&mut self, text: &[u8]) {
        self.quote();
        self.text(text);
        self.quote();
    }

    fn text(&mut self, mut text: &[u8]) {
        loop {
            let before = self.out.len();
            let done = printable::<NESTED>(text, self.out);
            if NESTED {
                // Of the three backslashes in front of a quote, one belongs to the inner text.
                self.grown += (self.out.len() - before - done) / 3 * 2;
            }
            let rest = text.get(done..).unwrap_or_default();
            match rest.first() {
                None => return,
                Some(&byte) if byte < 0x80 => {
                    self.grown += control::<NESTED>(byte, self.out);
                    text = rest.get(1..).unwrap_or_default();
                }
                Some(_) => text = self.beyond_ascii(rest),
            }
        }
    }

    /// Writes the run beyond ASCII at the start of `text` and gives what follows it.
    fn beyond_ascii<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        let (run, rest) = text.split_at(ascii_position(text));
        for chunk in run.utf8_chunks() {
            for c in chunk.valid().chars() {
                self.character(c);
            }
            if !chunk.invalid().is_empty() {
                self.character('\u{fffd}');
            }
        }
        rest
    }

    fn character(&mut self, c: char) {
        if self.json.escape_unicode {
            for unit in c.encode_utf16(&mut [0; 2]) {
                self.grown += self::unit::<NESTED>(*unit, self.out);
            }
        } else {
            self.out
                .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn ext(&mut self, bytes: &[u8]) {
        let mut text = Vec::with_capacity(bytes.len() * 4);
        for byte in bytes {
            let _infallible = write!(text, "\\x{byte:02x}");
        }
        self.string(&text);
    }

    fn array<'v>(&mut self, mut rest: &'v [u8], count: u32) -> &'v [u8] {
        self.out.push(b'[');
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            rest = self.value(rest);
        }
        self.out.push(b']');
        rest
    }

    fn map<'v>(&mut self, rest: &'v [u8], count: u32) -> &'v [u8] {
        let (start, grown) = (self.out.len(), self.grown);
        if let Some(behind) = self.plain_map(rest, count) {
            return behind;
        }
        self.out.truncate(start);
        self.grown = grown;
        self.any_map(rest, count)
    }

    /// Writes a map in one pass, which nearly all are fit for: few pairs, keys of text, and no two alike. Gives what follows it, or
    /// nothing where it is no such map; what was written then has to be taken back.
    fn plain_map<'v>(&mut self, pairs: &'v [u8], count: u32) -> Option<&'v [u8]> {
        if count > FEW {
            return None;
        }
        let (mut rest, mut seen) = (pairs, 0);
        self.out.push(b'{');
        for index in 0..count {
            let (behind, Value::Str(key) | Value::Bin(key)) = read::value(rest).ok()? else {
                return None;
            };
            let bit = key_bit(key);
            if seen & bit != 0 && Pairs::inside(pairs, index).any(|(other, _)| name(other) == key) {
                return None;
            }
            seen |= bit;
            self.out.extend_from_slice(match (index, NESTED) {
                (0, false) => b"\"",
                (0, true) => b"\\\"",
                (_, false) => b",\"",
                (_, true) => b",\\\"",
            });
            self.text(key);
            self.out
                .extend_from_slice(if NESTED { b"\\\":" } else { b"\":" });
            self.grown += 2 * usize::from(NESTED);
            rest = self.value(behind);
        }
        self.out.push(b'}');
        Some(rest)
    }

    fn any_map<'v>(&mut self, rest: &'v [u8], count: u32) -> &'v [u8] {
        let mut pairs = Pairs::inside(rest, count);
        if has_repeated_key(pairs.clone()) {
            self.unique(pairs.clone());
        } else {
            self.pairs(pairs.clone());
        }
        pairs.by_ref().for_each(drop);
        pairs.rest()
    }

    fn key(&mut self, key: &[u8]) {
        if let Some(text) = read::text(key) {
            return self.string(text);
        }
        let mut text = Vec::new();
        self.json.value(key, &mut text);
        self.string(&text);
    }
}

/// What makes a key the same as another: its text, or its bytes where it is no text.
fn name(key: &[u8]) -> &[u8] {
    read::text(key).unwrap_or(key)
}

/// A bit for a key: equal keys have the same, different ones mostly not.
#[inline]
fn key_bit(key: &[u8]) -> u64 {
    let mixed = key.iter().rev().step_by(3).fold(key.len(), |mixed, &byte| {
        mixed.wrapping_mul(31).wrapping_add(usize::from(byte))
    });
    1 << (mixed % 64)
}

/// Whether two pairs have the same key. A map with many goes through a set, so that a hostile record costs no more than its size.
fn has_repeated_key(mut pairs: Pairs<'_>) -> bool {
    if pairs.left() > FEW {
        let mut seen = HashSet::new();
        return !pairs.all(|(key, _)| seen.insert(name(key)));
    }
    compare_keys(pairs)
}

fn compare_keys(mut pairs: Pairs<'_>) -> bool {
    while let Some((key, _)) = pairs.next() {
        if pairs.clone().any(|(later, _)| name(key) == name(later)) {
            return true;
        }
    }
    false
}

/// A float as C writes it: `%.1f` where it is integral and within 64 bits, else `%.16g`.
pub fn float(number: f64, out: &mut Vec<u8>) {
    const I64: f64 = 9_223_372_036_854_775_808.0;
    if !number.is_finite() {
        out.extend_from_slice(b"null");
    } else if number.fract() == 0.0 && (-I64..=I64).contains(&number) {
        let _infallible = write!(out, "{number:.1}");
    } else {
        significant(number, 16, out);
    }
}

/// C's `%.16g`: so many significant digits without trailing zeros, an exponent below -4 and from as many digits on.
pub fn significant(number: f64, digits: u8, out: &mut Vec<u8>) {
    let last = i32::from(digits.max(1)) - 1;
    let text = format!("{number:.*e}", usize::from(digits.max(1)) - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let _infallible = if (-4..=last).contains(&exponent) {
        let fixed = format!(
            "{number:.*}",
            usize::try_from(last - exponent).unwrap_or_default()
        );
        write!(out, "{}", trim_zeros(&fixed))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(
            out,
            "{}e{sign}{:02}",
            trim_zeros(mantissa),
            exponent.unsigned_abs()
        )
    };
}

fn trim_zeros(digits: &str) -> &str {
    if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::super::write;
    use super::*;

    fn string(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write::str(&mut out, text);
        out
    }

    fn plain(value: &[u8]) -> String {
        let mut out = Vec::new();
        Json::default().value(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Checklist: engine 67; firelens 3
    #[test]
    fn strings_are_escaped_as_fluent_bit_does() {
        let cases: [(&[u8], &str); 11] = [
            (b"q\"\\\n\t\x01/", r#""q\"\\\n\t\u0001/""#),
            (
                "\u{e9}\u{4e2d}\u{1f600}".as_bytes(),
                r#""\u00e9\u4e2d\ud83d\ude00""#,
            ),
            (
                b"sixteen bytes in a row, then \x7f",
                r#""sixteen bytes in a row, then \u007f""#,
            ),
            (b"ab\xffcd", r#""ab\ufffdcd""#),
            (b"A\xc3B", r#""A\ufffdB""#),
            (b"\x80x", r#""\ufffdx""#),
            (b"\xc0\xaf", r#""\ufffd\ufffd""#),
            (b"\xf4\x90\x80\x80z", r#""\ufffd\ufffd\ufffd\ufffdz""#),
            ("\u{2028}\u{8}\u{c}\r".as_bytes(), r#""\u2028\b\f\r""#),
            (b"end \xe2\x82", r#""end \ufffd""#),
            (b"\xed\xa0\x80z", r#""\ufffd\ufffd\ufffdz""#),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(&string(text)), expected);
        }
    }

    /// Checklist: engine 67
    #[test]
    fn text_beyond_ascii_stays_when_asked() {
        let mut out = Vec::new();
        Json {
            escape_unicode: false,
        }
        .value(&string("\u{e9}\u{1f600}\n".as_bytes()), &mut out);
        assert_eq!(out, "\"\u{e9}\u{1f600}\\n\"".as_bytes());
        out.clear();
        Json {
            escape_unicode: false,
        }
        .value(&string(b"A\xffB\xc3C end\xe2\x82"), &mut out);
        assert_eq!(out, "\"A\u{fffd}B\u{fffd}C end\u{fffd}\"".as_bytes());
    }

    /// Checklist: engine 66
    #[test]
    fn floats_read_as_c_prints_them() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (1e16, "10000000000000000.0"),
            (9_223_372_036_854_774_784.0, "9223372036854774784.0"),
            (9.3e18, "9.3e+18"),
            (0.1, "0.1"),
            (1e-7, "1e-07"),
            (1e300, "1e+300"),
            (f64::from(0.1_f32), "0.1000000014901161"),
            (1.844_674_407_370_955_2e19, "1.844674407370955e+19"),
            (1_700_000_000.123_457, "1700000000.123457"),
            (f64::NAN, "null"),
        ];
        for (number, expected) in cases {
            let mut out = Vec::new();
            float(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    /// Checklist: outputs 7; engine 68
    #[test]
    fn a_repeated_key_is_written_once_with_its_last_value() {
        assert_eq!(
            plain(&[0x83, 0xa1, b'a', 1, 0xa1, b'b', 2, 0xa1, b'a', 3]),
            r#"{"b":2,"a":3}"#
        );
    }

    #[test]
    fn a_map_of_many_equal_keys_costs_no_more_than_its_size() {
        let mut map = vec![0xdf, 0, 1, 0, 0];
        for place in 0..65_536_u32 {
            write::str(&mut map, b"key");
            write::unsigned(&mut map, u64::from(place));
        }
        assert_eq!(plain(&map), r#"{"key":65535}"#);
    }

    /// Checklist: engine 66
    #[test]
    fn odd_values_stay_json() {
        assert_eq!(
            plain(&[0x82, 1, 0xc0, 0xc3, 0xd4, 5, 0x80]),
            r#"{"1":null,"true":"\\x80"}"#
        );
        assert_eq!(plain(&[0x92, 0x90, 0x80]), "[[],{}]");
        let extremes = [
            &[0x92, 0xcf][..],
            &u64::MAX.to_be_bytes(),
            &[0xd3],
            &i64::MIN.to_be_bytes(),
        ];
        assert_eq!(
            plain(&extremes.concat()),
            "[18446744073709551615,-9223372036854775808]"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_becomes_json_that_reads_back(text in ".{0,80}") {
            let value = string(text.as_bytes());
            proptest::prop_assert_eq!(&serde_json::from_str::<String>(&plain(&value)).unwrap(), &text);
            let mut escaped = Vec::new();
            proptest::prop_assert_eq!(escape(text.as_bytes(), &mut escaped), text.len());
            let quoted = format!("\"{}\"", String::from_utf8(escaped).unwrap());
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }

        #[test]
        fn nested_text_is_the_plain_text_escaped_once_more(text in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let mut record = vec![0x81];
            record.extend(string(b"k\"\n"));
            record.extend(string(&text));
            let plain = plain(&record);
            let mut nested = Vec::new();
            let length = Json::default().nested(&record, &mut nested);
            let mut expected = Vec::new();
            proptest::prop_assert_eq!(escape(plain.as_bytes(), &mut expected), length);
            proptest::prop_assert_eq!(nested, expected);
        }
    }
}
