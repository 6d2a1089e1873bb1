//! Records as JSON the way Go's `encoding/json` writes a map: keys sorted, a repeated key once with its last value, `<`, `>`
//! and `&` as `\u003c`, `\u003e` and `\u0026`, everything beyond ASCII as it is, floats as short as they can be.

use std::cmp::Ordering;
use std::io::Write as _;

use crate::msgpack::read::{self, Pairs, Value};

/// Maps with no more pairs are sorted without an allocation.
const FEW: usize = 32;

/// Writes values; `dots` is what a dot in a key becomes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GoJson<'d> {
    pub(super) dots: Option<&'d [u8]>,
}

/// A pair of a map and its place in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pair<'r> {
    pub(super) key: &'r [u8],
    pub(super) value: &'r [u8],
    pub(super) place: usize,
}

impl<'r> Pair<'r> {
    /// The key's text, or its bytes where it is no text.
    pub(super) fn name(&self) -> &'r [u8] {
        read::text(self.key).unwrap_or(self.key)
    }
}

impl GoJson<'_> {
    /// Appends the JSON of an encoded value and gives what follows the value.
    ///
    /// The depth is bounded, see [`crate::msgpack::scan::MAX_DEPTH`].
    pub(super) fn value<'v>(self, value: &'v [u8], out: &mut Vec<u8>) -> &'v [u8] {
        let Ok((rest, value)) = read::value(value) else {
            out.extend_from_slice(b"null");
            return &[];
        };
        match value {
            Value::Nil => out.extend_from_slice(b"null"),
            Value::Bool(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
            Value::Unsigned(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Value::Signed(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Value::Float(number) => float(number, out),
            Value::Str(text) | Value::Bin(text) | Value::Ext(_, text) => string(text, out),
            Value::Array(count) => return array(rest, count, out),
            Value::Map(count) => {
                let mut pairs = Pairs::inside(rest, count);
                self.object(
                    pairs.left() as usize,
                    pairs
                        .by_ref()
                        .enumerate()
                        .map(|(place, (key, value))| Pair { key, value, place }),
                    out,
                );
                return pairs.rest();
            }
        }
        rest
    }

    /// Appends an object of at most `most` pairs.
    pub(super) fn object<'r>(
        self,
        most: usize,
        pairs: impl Iterator<Item = Pair<'r>>,
        out: &mut Vec<u8>,
    ) {
        let mut few = [Pair::default(); FEW];
        let mut many = Vec::new();
        let pairs = if most <= FEW {
            let count = few.iter_mut().zip(pairs).fold(0, |count, (slot, pair)| {
                *slot = pair;
                count + 1
            });
            few.get_mut(..count).unwrap_or_default()
        } else {
            many.extend(pairs);
            &mut many
        };
        pairs.sort_unstable_by(|a, b| self.compare(a, b).then(a.place.cmp(&b.place)));
        out.push(b'{');
        let mut first = true;
        for (index, pair) in pairs.iter().enumerate() {
            if pairs
                .get(index + 1)
                .is_some_and(|next| self.compare(pair, next) == Ordering::Equal)
            {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            self.key(pair.key, out);
            out.push(b':');
            self.value(pair.value, out);
        }
        out.push(b'}');
    }

    /// Orders pairs by what their keys become.
    fn compare(self, a: &Pair<'_>, b: &Pair<'_>) -> Ordering {
        match self.dots {
            None => a.name().cmp(b.name()),
            Some(dots) => replaced(a.name(), dots).cmp(replaced(b.name(), dots)),
        }
    }

    fn key(self, key: &[u8], out: &mut Vec<u8>) {
        match (read::text(key), self.dots) {
            (Some(text), Some(dots)) if text.contains(&b'.') => {
                let text: Vec<u8> = replaced(text, dots).collect();
                string(&text, out);
            }
            (Some(text), _) => string(text, out),
            (None, _) => {
                let mut text = Vec::new();
                self.value(key, &mut text);
                string(&text, out);
            }
        }
    }
}

/// A key with its dots replaced.
pub(super) fn replaced<'a>(name: &'a [u8], dots: &'a [u8]) -> impl Iterator<Item = u8> + 'a {
    name.iter().flat_map(move |byte| {
        let piece = if *byte == b'.' {
            dots
        } else {
            std::slice::from_ref(byte)
        };
        piece.iter().copied()
    })
}

/// Dots in keys below an array stay.
fn array<'v>(mut rest: &'v [u8], count: u32, out: &mut Vec<u8>) -> &'v [u8] {
    out.push(b'[');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        rest = GoJson::default().value(rest, out);
    }
    out.push(b']');
    rest
}

/// Whether a byte stands for itself in a JSON string of Go's.
fn is_plain(byte: u8) -> bool {
    !matches!(byte, 0..=0x1f | b'"' | b'\\' | b'<' | b'>' | b'&' | 0x80..)
}

/// Appends a text with its quotes.
pub(super) fn string(mut text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    loop {
        let plain = text
            .iter()
            .position(|&byte| !is_plain(byte))
            .unwrap_or(text.len());
        let (before, behind) = text.split_at(plain);
        out.extend_from_slice(before);
        let Some(&special) = behind.first() else {
            break;
        };
        if special < 0x80 {
            escape(special, out);
            text = behind.get(1..).unwrap_or_default();
        } else {
            let end = behind.iter().position(u8::is_ascii).unwrap_or(behind.len());
            let (run, behind) = behind.split_at(end);
            beyond_ascii(run, out);
            text = behind;
        }
    }
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            let _infallible = write!(out, "\\u{byte:04x}");
        }
    }
}

/// Text stays but for U+2028 and U+2029, which end lines in JavaScript; bad bytes become `\ufffd`.
fn beyond_ascii(run: &[u8], out: &mut Vec<u8>) {
    for chunk in run.utf8_chunks() {
        let mut valid = chunk.valid();
        while let Some((before, separator)) = valid
            .split_once('\u{2028}')
            .map(|(before, _)| (before, '\u{2028}'))
            .into_iter()
            .chain(
                valid
                    .split_once('\u{2029}')
                    .map(|(before, _)| (before, '\u{2029}')),
            )
            .min_by_key(|(before, _)| before.len())
        {
            out.extend_from_slice(before.as_bytes());
            let _infallible = write!(out, "\\u{:04x}", u32::from(separator));
            valid = valid
                .get(before.len() + separator.len_utf8()..)
                .unwrap_or_default();
        }
        out.extend_from_slice(valid.as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// A float as Go writes it: shortest, with an exponent below 1e-6 and from 1e21 on. What is no number is `null`.
fn float(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    let _infallible = if !number.is_finite() {
        out.write_all(b"null")
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        let sign = if text.contains("e-") { "" } else { "+" };
        write!(out, "{}", text.replace('e', &format!("e{sign}")))
    } else {
        write!(out, "{number}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::write;

    fn json(value: &[u8], dots: Option<&[u8]>) -> String {
        let mut out = Vec::new();
        let rest = GoJson { dots }.value(value, &mut out);
        assert_eq!(rest, b"");
        String::from_utf8(out).unwrap()
    }

    fn text(bytes: &[u8]) -> String {
        let mut value = Vec::new();
        write::str(&mut value, bytes);
        json(&value, None)
    }

    #[test]
    fn keys_are_sorted_and_the_last_of_equal_ones_counts() {
        let record = b"\x84\xa1b\x01\xa1a\x02\xa1b\x03\xa1c\x82\xa1z\x90\xa1y\xc0";
        assert_eq!(json(record, None), r#"{"a":2,"b":3,"c":{"y":null,"z":[]}}"#);
    }

    #[test]
    fn a_map_of_many_pairs_is_sorted_too() {
        let mut record = vec![0xde, 0, 100];
        for place in (0..100_u64).rev() {
            write::str(&mut record, format!("k{place:02}").as_bytes());
            write::unsigned(&mut record, place);
        }
        let json = json(&record, None);
        assert!(json.starts_with(r#"{"k00":0,"k01":1,"#) && json.ends_with(r#""k99":99}"#));
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        for (bytes, expected) in [
            (
                &b"a\"\\\n\r\t\x08\x01/"[..],
                r#""a\"\\\n\r\t\u0008\u0001/""#,
            ),
            (b"<a&b>", r#""\u003ca\u0026b\u003e""#),
            (
                "\u{e9}\u{2028}x\u{2029}\u{1f600}\x7f".as_bytes(),
                "\"\u{e9}\\u2028x\\u2029\u{1f600}\x7f\"",
            ),
            (b"a\xffb", r#""a\ufffdb""#),
        ] {
            assert_eq!(text(bytes), expected);
        }
    }

    #[test]
    fn floats_are_as_short_as_they_can_be() {
        for (number, expected) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1.5e21, "1.5e+21"),
            (1e20, "100000000000000000000"),
            (1e-7, "1e-7"),
            (f64::NAN, "null"),
        ] {
            let mut out = Vec::new();
            float(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    /// Checklist: outputs 12
    #[test]
    fn dots_are_replaced_in_keys_of_maps_and_not_below_arrays() {
        let record = b"\x83\xa3a.b\x81\xa2c.\x01\xa1l\x91\x81\xa3d.e\x02\xa3a_b\x03";
        assert_eq!(json(record, Some(b"_")), r#"{"a_b":3,"l":[{"d.e":2}]}"#);
    }

    proptest::proptest! {
        #[test]
        fn any_text_becomes_json_that_reads_back(original in ".{0,60}") {
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&text(original.as_bytes())).unwrap(), original);
        }
    }
}
