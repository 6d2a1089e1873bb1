//! JSON to `MessagePack`, in one pass and without a tree.
//!
//! What is kept, as in Fluent Bit: the order of keys, repeated keys, NUL and bytes that are no UTF-8. An integer of 64 bits
//! stays one, other numbers become doubles, `-0` the integer 0. A lone surrogate becomes U+FFFD.
//!
//! The grammar is RFC 8259's, <https://www.rfc-editor.org/rfc/rfc8259>, with one liberty: control characters may stand in a
//! string as they are, but for the newline, so that a quote left open never swallows the line below it.

mod token;

use memchr::memchr3;

use crate::msgpack::scan::MAX_DEPTH;
use crate::msgpack::write;

/// Arrays and objects that may be open at once. Below [`MAX_DEPTH`], so that a value still fits into a map of one key.
const MAX_OPEN: usize = MAX_DEPTH - 2;

/// Why a text is no JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes may finish it.
    #[error("the text ends in the middle of a value")]
    Incomplete,
    /// No bytes can mend it.
    #[error("byte {0} is not what JSON has there")]
    Unexpected(usize),
    /// Nesting that nobody downstream would accept.
    #[error("values are nested more than {MAX_OPEN} deep")]
    Depth,
}

/// Appends the value at the start of `text` to `out` and gives its length in the text, blanks before it included.
///
/// What follows the value is the caller's business. A number that ends with the text counts as whole.
///
/// # Errors
/// Why there is no value; `out` is then as it was.
pub fn to_msgpack(text: &[u8], out: &mut Vec<u8>) -> Result<usize, JsonError> {
    Transcoder::default().append(text, false, out)
}

/// A translation of one value that can be taken up again when more text has come.
///
/// The cost over all calls is linear in the text, also when it arrives byte by byte.
#[derive(Debug, Default)]
pub struct Transcoder {
    /// How much of the text is done with.
    position: usize,
    /// How much of the token at `position` is known not to end it.
    searched: usize,
    /// Whether that token, a string, holds escapes.
    escaped: bool,
    expect: Expect,
    open: Vec<Level>,
    out: Vec<u8>,
    scratch: Vec<u8>,
    /// Whether control characters in a string make it no JSON, as the RFC says.
    strict: bool,
}

/// Whether JSON takes the byte for a blank; fewer are than ASCII has.
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What may come next, blanks aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// An array or object whose end has not come.
#[derive(Debug)]
struct Level {
    /// Where its header stands; one byte until the count is known.
    header: usize,
    /// Items or pairs so far.
    count: usize,
    is_object: bool,
}

/// Whether a token was there whole.
type Progress = Result<Option<()>, JsonError>;

impl Transcoder {
    /// Goes on in `text`, which starts where it started at the first call; the value's length in the text, or `None` while
    /// it is incomplete.
    ///
    /// # Errors
    /// What makes the value impossible: [`JsonError::Unexpected`] or [`JsonError::Depth`].
    pub fn run(&mut self, text: &[u8]) -> Result<Option<usize>, JsonError> {
        while self.expect != Expect::Nothing {
            let rest = text.get(self.position..).unwrap_or_default();
            let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
            self.position += blanks;
            let Some(&byte) = rest.get(blanks) else {
                return Ok(None);
            };
            if self.step(byte, text)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(self.position))
    }

    /// The value, once [`Transcoder::run`] has found its end.
    pub fn value(&self) -> &[u8] {
        &self.out
    }

    /// As [`to_msgpack`], in the room of this transcoder and by the letter of the RFC: no control character may stand in a
    /// string.
    ///
    /// # Errors
    /// Why there is no value; `out` is then as it was.
    pub fn append_strictly(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<usize, JsonError> {
        self.append(text, true, out)
    }

    fn append(&mut self, text: &[u8], strict: bool, out: &mut Vec<u8>) -> Result<usize, JsonError> {
        let before = out.len();
        self.reset();
        self.strict = strict;
        std::mem::swap(&mut self.out, out);
        let outcome = self.run(text);
        std::mem::swap(&mut self.out, out);
        self.strict = false;
        let length = outcome.and_then(|length| length.ok_or(JsonError::Incomplete));
        if length.is_err() {
            out.truncate(before);
        }
        length
    }

    /// Makes it ready for another value; its room is kept.
    pub fn reset(&mut self) {
        let Self {
            open, out, scratch, ..
        } = std::mem::take(self);
        *self = Self {
            open,
            out,
            scratch,
            ..Self::default()
        };
        self.open.clear();
        self.out.clear();
    }

    fn step(&mut self, byte: u8, text: &[u8]) -> Progress {
        let in_object = self.open.last().is_some_and(|level| level.is_object);
        match (self.expect, byte) {
            (Expect::ValueOrEnd, b']') | (Expect::KeyOrEnd, b'}') => self.close(),
            (Expect::CommaOrEnd, b'}') if in_object => self.close(),
            (Expect::CommaOrEnd, b']') if !in_object => self.close(),
            (Expect::CommaOrEnd, b',') => self.punctuation(if in_object {
                Expect::Key
            } else {
                Expect::Value
            }),
            (Expect::Colon, b':') => self.punctuation(Expect::Value),
            (Expect::Key | Expect::KeyOrEnd, b'"') => return self.string(text, Expect::Colon),
            (Expect::Value | Expect::ValueOrEnd, _) => return self.begin_value(byte, text),
            _ => return Err(JsonError::Unexpected(self.position)),
        }
        Ok(Some(()))
    }

    fn punctuation(&mut self, next: Expect) {
        self.position += 1;
        self.expect = next;
    }

    fn begin_value(&mut self, byte: u8, text: &[u8]) -> Progress {
        match byte {
            b'{' => self.open_level(true),
            b'[' => self.open_level(false),
            b'"' => {
                let string = self.string(text, Expect::CommaOrEnd)?;
                if string.is_some() {
                    self.end_value();
                }
                Ok(string)
            }
            b'-' | b'0'..=b'9' => self.number(text),
            b't' => self.word(text, b"true", |out| write::bool(out, true)),
            b'f' => self.word(text, b"false", |out| write::bool(out, false)),
            b'n' => self.word(text, b"null", write::nil),
            _ => Err(JsonError::Unexpected(self.position)),
        }
    }

    /// Notes a finished value where it stands.
    fn end_value(&mut self) {
        self.expect = match self.open.last_mut() {
            None => Expect::Nothing,
            Some(level) => {
                level.count += 1;
                Expect::CommaOrEnd
            }
        };
    }

    fn open_level(&mut self, is_object: bool) -> Progress {
        if self.open.len() >= MAX_OPEN {
            return Err(JsonError::Depth);
        }
        self.open.push(Level {
            header: self.out.len(),
            count: 0,
            is_object,
        });
        self.out.push(0);
        self.punctuation(if is_object {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        });
        Ok(Some(()))
    }

    /// Ends the innermost level. A header that needs more than its byte moves the content, at most once for each level.
    fn close(&mut self) {
        let Some(Level {
            header,
            count,
            is_object,
        }) = self.open.pop()
        else {
            return;
        };
        let (small, write_header): (u8, fn(&mut Vec<u8>, u32)) = if is_object {
            (0x80, write::map_header)
        } else {
            (0x90, write::array_header)
        };
        if let (0..=15, Some(byte)) = (count, self.out.get_mut(header)) {
            *byte = small | count as u8;
        } else {
            self.scratch.clear();
            write_header(&mut self.scratch, count as u32);
            self.out
                .splice(header..=header, self.scratch.iter().copied());
        }
        self.position += 1;
        self.end_value();
    }

    fn string(&mut self, text: &[u8], next: Expect) -> Progress {
        let Some(end) = self.string_end(text)? else {
            return Ok(None);
        };
        let content = text.get(self.position + 1..end).unwrap_or_default();
        if self.strict && has_control(content) {
            return Err(JsonError::Unexpected(self.position));
        }
        if self.escaped {
            self.scratch.clear();
            token::unescape(content, &mut self.scratch)
                .ok_or(JsonError::Unexpected(self.position))?;
            write::str(&mut self.out, &self.scratch);
        } else {
            write::str(&mut self.out, content);
        }
        self.end_token(end + 1);
        self.expect = next;
        Ok(Some(()))
    }

    /// Where the closing quote stands.
    fn string_end(&mut self, text: &[u8]) -> Result<Option<usize>, JsonError> {
        loop {
            let start = self.position + 1 + self.searched;
            let rest = text.get(start..).unwrap_or_default();
            let Some(found) = memchr3(b'"', b'\\', b'\n', rest) else {
                self.searched += rest.len();
                return Ok(None);
            };
            self.searched += found;
            match rest.get(found..) {
                Some([b'"', ..]) => return Ok(Some(start + found)),
                Some([b'\\', _, ..]) => {
                    self.searched += 2;
                    self.escaped = true;
                }
                Some([b'\\']) => return Ok(None),
                _ => return Err(JsonError::Unexpected(start + found)),
            }
        }
    }

    fn number(&mut self, text: &[u8]) -> Progress {
        let rest = text
            .get(self.position + self.searched..)
            .unwrap_or_default();
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        self.searched += rest.iter().take_while(is_part).count();
        let end = self.position + self.searched;
        let at_end = end >= text.len();
        if at_end && !self.open.is_empty() {
            return Ok(None);
        }
        let token = text.get(self.position..end).unwrap_or_default();
        match token::number(token, &mut self.out) {
            Some(()) => {
                self.end_token(end);
                self.end_value();
                Ok(Some(()))
            }
            None if at_end => Ok(None),
            None => Err(JsonError::Unexpected(self.position)),
        }
    }

    fn word(&mut self, text: &[u8], word: &[u8], write: fn(&mut Vec<u8>)) -> Progress {
        let rest = text.get(self.position..).unwrap_or_default();
        if rest.starts_with(word) {
            write(&mut self.out);
            self.end_token(self.position + word.len());
            self.end_value();
            return Ok(Some(()));
        }
        if word.starts_with(rest) {
            Ok(None)
        } else {
            Err(JsonError::Unexpected(self.position))
        }
    }

    fn end_token(&mut self, end: usize) {
        self.position = end;
        self.searched = 0;
        self.escaped = false;
    }
}

/// Whether a text holds a control character. Each piece is looked at to its end, so that many bytes are done at once.
fn has_control(text: &[u8]) -> bool {
    let least = |piece: &[u8]| piece.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    text.chunks(64).any(|piece| least(piece) < 0x20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::json::Json;
    use crate::msgpack::scan::value_len;
    use proptest::prelude::*;

    fn transcode(text: &[u8]) -> Result<Vec<u8>, JsonError> {
        let mut out = Vec::new();
        to_msgpack(text, &mut out).map(|_| out)
    }

    /// What the JSON reads as when it is written again.
    fn again(text: &str) -> String {
        let mut json = Vec::new();
        Json {
            escape_unicode: false,
        }
        .value(&transcode(text.as_bytes()).unwrap(), &mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn values_are_what_fluent_bit_makes_of_them() {
        for (text, expected) in [
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.844674407370955e+19"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-9223372036854775809", "-9223372036854775808.0"),
            ("1e3", "1000.0"),
            ("1.50", "1.5"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("1E+2", "100.0"),
            (r#""\ud83d\ude00\u00e9\/""#, "\"\u{1f600}\u{e9}/\""),
            (
                r#""\ud83dx\ude00\ud83d\u0041""#,
                "\"\u{fffd}x\u{fffd}\u{fffd}A\"",
            ),
            (r#""\u0000\b\f\n\r\t\"\\""#, r#""\u0000\b\f\n\r\t\"\\""#),
            ("\"a\tb\"", r#""a\tb""#),
            (
                " { \"a\" : [ 1 , true , null , { } , [ ] ] } ",
                r#"{"a":[1,true,null,{},[]]}"#,
            ),
            (r#"{"k":1,"k":false}"#, r#"{"k":false}"#),
        ] {
            assert_eq!(again(text), expected, "{text}");
        }
    }

    #[test]
    fn bytes_and_repeated_keys_are_kept() {
        assert_eq!(transcode(b"\"a\xff\xc3\""), Ok(b"\xa3a\xff\xc3".to_vec()));
        assert_eq!(
            transcode(br#"{"k":1,"k":2}"#),
            Ok(b"\x82\xa1k\x01\xa1k\x02".to_vec())
        );
    }

    #[test]
    fn by_the_letter_no_control_character_stands_in_a_string_wherever() {
        for length in [0, 1, 63, 64, 65, 200] {
            for (c, expected) in [('\u{1f}', false), (' ', true)] {
                let text = format!("[\"{}{c}\"]", "x".repeat(length));
                let read = Transcoder::default().append_strictly(text.as_bytes(), &mut Vec::new());
                assert_eq!(read.is_ok(), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn headers_take_their_shortest_form() {
        for (items, header) in [
            (15, &[0x9f][..]),
            (16, &[0xdc, 0, 16]),
            (65_536, &[0xdd, 0, 1, 0, 0]),
        ] {
            let text = format!("[{}]", vec!["7"; items].join(","));
            let out = transcode(text.as_bytes()).unwrap();
            assert_eq!(out, [header, &vec![7; items]].concat());
        }
    }

    #[test]
    fn a_cut_value_asks_for_more() {
        let text = br#"{"key\u00e9":[-1.5e3,true,false,null,"\ud83d\ude00",{}]}"#;
        for cut in 0..text.len() {
            assert_eq!(transcode(&text[..cut]), Err(JsonError::Incomplete), "{cut}");
        }
        assert!(transcode(text).is_ok());
    }

    #[test]
    fn what_is_wrong_is_found_where_it_stands() {
        for (text, at) in [
            ("noise", 0),
            ("nul!", 0),
            ("{a", 1),
            (r#"{"a" 1"#, 5),
            (r#"{"a":1,}"#, 7),
            (r#"{"a":1]"#, 6),
            ("[1,]", 3),
            ("[1}", 2),
            ("[1 2", 3),
            ("[01]", 1),
            ("[1.]", 1),
            ("[-]", 1),
            ("[+1]", 1),
            ("[.5]", 1),
            ("[1e]", 1),
            ("[NaN]", 1),
            ("\"a\nb\"", 2),
            (r#"["\x"]"#, 1),
            (r#"["\u12g4"]"#, 1),
            ("{\"a\":1\n{\"b\":2}", 7),
        ] {
            assert_eq!(
                transcode(text.as_bytes()),
                Err(JsonError::Unexpected(at)),
                "{text}"
            );
        }
    }

    #[test]
    fn only_the_first_value_is_taken() {
        let mut out = vec![0xc0];
        assert_eq!(to_msgpack(b" [1] [2]", &mut out), Ok(4));
        assert_eq!(to_msgpack(b"17", &mut out), Ok(2));
        assert_eq!(to_msgpack(b"[2,!", &mut out), Err(JsonError::Unexpected(3)));
        assert_eq!(out, [0xc0, 0x91, 1, 17]);
    }

    #[test]
    fn nesting_is_fine_up_to_the_limit() {
        let nested =
            |depth: usize| [b"[".repeat(depth), b"7".to_vec(), b"]".repeat(depth)].concat();
        let deepest = transcode(&nested(MAX_OPEN)).unwrap();
        let in_a_map = [&[0x81, 0xa1, b'k'], &deepest[..]].concat();
        assert_eq!(value_len(&in_a_map), Ok(Some(in_a_map.len())));
        assert_eq!(transcode(&nested(MAX_OPEN + 1)), Err(JsonError::Depth));
        assert_eq!(transcode(&b"[".repeat(1_000_000)), Err(JsonError::Depth));
    }

    #[test]
    fn a_transcoder_can_be_used_again() {
        let mut transcoder = Transcoder::default();
        assert_eq!(transcoder.run(b"[1,\"\\n"), Ok(None));
        transcoder.reset();
        assert_eq!(transcoder.run(b"{}x"), Ok(Some(2)));
        assert_eq!(
            (transcoder.run(b"{}x"), transcoder.value()),
            (Ok(Some(2)), &[0x80][..])
        );
    }

    #[test]
    fn long_tokens_that_come_byte_by_byte_cost_linear_time() {
        let text = [
            b"[\"".to_vec(),
            b"\\n".repeat(200_000),
            b"\",".to_vec(),
            b"1".repeat(200_000),
            b"]".to_vec(),
        ]
        .concat();
        let mut transcoder = Transcoder::default();
        for cut in 0..text.len() {
            assert_eq!(transcoder.run(&text[..cut]), Ok(None));
        }
        assert_eq!(transcoder.run(&text), Ok(Some(text.len())));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            (any::<i32>(), 0..9)
                .prop_map(|(digits, places)| (f64::from(digits) / 10_f64.powi(places)).into()),
            ".{0,40}".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 60, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(Into::into),
                proptest::collection::btree_map(".{0,5}", inner, 0..20)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_comes_back_as_it_was(value in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&again(&text)).unwrap(), value);
        }

        #[test]
        fn any_split_of_the_text_gives_the_same(value in any_json(), cuts in proptest::collection::vec(0..500_usize, 0..5)) {
            let text = format!("[{value}]");
            let mut cuts: Vec<_> = cuts.into_iter().filter(|&cut| cut < text.len()).collect();
            cuts.sort_unstable();
            let mut transcoder = Transcoder::default();
            for cut in cuts {
                prop_assert_eq!(transcoder.run(&text.as_bytes()[..cut]), Ok(None));
            }
            prop_assert_eq!(transcoder.run(text.as_bytes()), Ok(Some(text.len())));
            prop_assert_eq!(transcoder.value(), transcode(text.as_bytes()).unwrap());
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(out) = transcode(&text) {
                prop_assert_eq!(value_len(&out), Ok(Some(out.len())));
            }
        }

        #[test]
        fn no_text_that_is_nearly_json_makes_it_panic(text in r#"[\[\]{}:,"\\ud8a0-9.eE+ tfn\n]{0,60}"#) {
            let lenient = transcode(text.as_bytes());
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                prop_assert!(lenient.is_ok(), "{}", text);
            }
        }
    }
}
