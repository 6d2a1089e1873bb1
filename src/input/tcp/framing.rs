//! From bytes to records.

use memchr::memchr;
use memchr::memmem::Finder;

use crate::msgpack::read::{self, Value};
use crate::msgpack::write;
use crate::parser::json::Transcoder;

/// What peers send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::input) enum Format {
    /// JSON objects and arrays.
    Json,
    /// Texts with something behind each.
    Lines {
        /// Not empty.
        separator: Vec<u8>,
    },
}

/// What went wrong, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::input) struct Tally {
    /// Lines that are no JSON.
    pub(in crate::input) not_json: u64,
    /// JSON values beyond the limit.
    pub(in crate::input) too_long: u64,
    /// JSON values that the peer did not finish.
    pub(in crate::input) incomplete: u64,
    /// Lines that became several records.
    pub(in crate::input) cut: u64,
}

/// Finds the records in what one peer sends.
#[derive(Debug)]
pub(in crate::input) struct Framing {
    frames: Frames,
    limit: usize,
    builder: Builder,
}

#[derive(Debug)]
enum Frames {
    Json(Values),
    Lines(Box<Lines>),
}

impl Framing {
    /// Records of at most `limit` bytes of text; each gets `source`, a key and a text.
    pub(in crate::input) fn new(
        format: &Format,
        limit: usize,
        source: Option<(&str, String)>,
    ) -> Self {
        let frames = match format {
            Format::Json => Frames::Json(Values::default()),
            Format::Lines { separator } => Frames::Lines(Box::new(Lines {
                separator: Finder::new(separator).into_owned(),
                searched: 0,
            })),
        };
        Self {
            frames,
            limit,
            builder: Builder::new(source),
        }
    }

    /// Hands the records in `text` to `sink` and gives the length of what is done with; the rest has to come again, with
    /// more behind it. After the `last` text nothing comes.
    pub(in crate::input) fn take(
        &mut self,
        text: &[u8],
        last: bool,
        tally: &mut Tally,
        sink: &mut dyn FnMut(&[u8]),
    ) -> usize {
        match &mut self.frames {
            Frames::Json(values) => values.take(text, last, self.limit, tally, |value| {
                self.builder.value(value, sink);
            }),
            Frames::Lines(lines) => lines.take(text, last, self.limit, tally, |line| {
                self.builder.line(line, sink);
            }),
        }
    }

    /// Gives back the room it took. To be called between records.
    pub(super) fn rest(&mut self) {
        if let Frames::Json(values) = &mut self.frames {
            values.rest();
        }
        self.builder.record = Vec::new();
    }
}

/// Puts records together.
#[derive(Debug, Default)]
struct Builder {
    /// An encoded pair for every record.
    source: Option<Vec<u8>>,
    record: Vec<u8>,
}

impl Builder {
    fn new(source: Option<(&str, String)>) -> Self {
        let source = source.map(|(key, name)| {
            let mut pair = Vec::new();
            write::str(&mut pair, key.as_bytes());
            write::str(&mut pair, name.as_bytes());
            pair
        });
        Self {
            source,
            record: Vec::new(),
        }
    }

    fn line(&mut self, line: &[u8], sink: &mut dyn FnMut(&[u8])) {
        self.begin(1);
        write::str(&mut self.record, b"log");
        write::str(&mut self.record, line);
        self.end(sink);
    }

    fn value(&mut self, value: &[u8], sink: &mut dyn FnMut(&[u8])) {
        match read::value(value) {
            Ok((_, Value::Map(_))) if self.source.is_none() => sink(value),
            Ok((pairs, Value::Map(count))) => {
                self.begin(count);
                self.record.extend_from_slice(pairs);
                self.end(sink);
            }
            _ => {
                self.begin(1);
                write::str(&mut self.record, b"msg");
                self.record.extend_from_slice(value);
                self.end(sink);
            }
        }
    }

    fn begin(&mut self, pairs: u32) {
        self.record.clear();
        write::map_header(
            &mut self.record,
            pairs.saturating_add(u32::from(self.source.is_some())),
        );
    }

    fn end(&mut self, sink: &mut dyn FnMut(&[u8])) {
        self.record
            .extend_from_slice(self.source.as_deref().unwrap_or_default());
        sink(&self.record);
    }
}

/// JSON objects and arrays, one behind the other.
#[derive(Debug, Default)]
pub(in crate::input) struct Values {
    state: State,
    transcoder: Transcoder,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    Within,
    /// What comes up to the next newline is not looked at.
    Skipping,
}

impl Values {
    /// Hands the values in `text` to `sink`, as `MessagePack`; otherwise as [`Framing::take`].
    pub(in crate::input) fn take(
        &mut self,
        text: &[u8],
        last: bool,
        limit: usize,
        tally: &mut Tally,
        mut sink: impl FnMut(&[u8]),
    ) -> usize {
        let mut taken = 0;
        while let Some(rest) = text.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Between => {
                    let blanks = rest
                        .iter()
                        .take_while(|byte| byte.is_ascii_whitespace())
                        .count();
                    taken += blanks;
                    match rest.get(blanks) {
                        None => {}
                        Some(b'{' | b'[') => self.state = State::Within,
                        Some(_) => self.skip(&mut tally.not_json),
                    }
                }
                State::Skipping => match memchr(b'\n', rest) {
                    None => return text.len(),
                    Some(newline) => {
                        taken += newline + 1;
                        self.state = State::Between;
                    }
                },
                State::Within => match self.transcoder.run(rest) {
                    Ok(Some(length)) if length <= limit => {
                        sink(self.transcoder.value());
                        self.transcoder.reset();
                        self.state = State::Between;
                        taken += length;
                    }
                    Ok(None) if !last && rest.len() <= limit => return taken,
                    Ok(None) if last => self.skip(&mut tally.incomplete),
                    Ok(_) => self.skip(&mut tally.too_long),
                    Err(_) => self.skip(&mut tally.not_json),
                },
            }
        }
        taken
    }

    /// Gives back the room it took. To be called between values.
    pub(in crate::input) fn rest(&mut self) {
        self.transcoder = Transcoder::default();
    }

    /// Gives up the line in which the value starts. Only that one: the next may be whole.
    fn skip(&mut self, count: &mut u64) {
        *count += 1;
        self.transcoder.reset();
        self.state = State::Skipping;
    }
}

/// Texts with a separator behind each.
#[derive(Debug)]
pub(in crate::input) struct Lines {
    separator: Finder<'static>,
    /// How much of the line's start is known not to hold the separator's start.
    searched: usize,
}

impl Lines {
    /// Hands the lines in `text` to `sink`, without the empty ones; otherwise as [`Framing::take`].
    pub(in crate::input) fn take(
        &mut self,
        text: &[u8],
        last: bool,
        limit: usize,
        tally: &mut Tally,
        mut sink: impl FnMut(&[u8]),
    ) -> usize {
        let width = self.separator.needle().len();
        let mut taken = 0;
        loop {
            let rest = text.get(taken..).unwrap_or_default();
            let unsearched = rest.get(self.searched..).unwrap_or_default();
            let end = self
                .separator
                .find(unsearched)
                .map(|found| self.searched + found);
            // The last bytes may begin a separator whose rest is to come.
            let open_end = if last { 0 } else { width.saturating_sub(1) };
            let known = end.unwrap_or(rest.len().saturating_sub(open_end));
            if known > limit {
                // The line is longer, however much comes.
                let length = cut(rest, limit);
                sink(rest.get(..length).unwrap_or_default());
                tally.cut += 1;
                taken += length;
                self.searched = known - length;
                continue;
            }
            if end.is_none() && !last {
                self.searched = known;
                return taken;
            }
            let line = rest.get(..known).unwrap_or_default();
            if !line.is_empty() {
                sink(line);
            }
            self.searched = 0;
            let Some(end) = end else { return text.len() };
            taken += end + width;
        }
    }
}

/// The end of the last whole character within `limit` bytes; `limit` where the text is no UTF-8.
pub(in crate::input) fn cut(text: &[u8], limit: usize) -> usize {
    let is_boundary = |&at: &usize| text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (limit.saturating_sub(3)..=limit)
        .rev()
        .find(is_boundary)
        .filter(|&at| at > 0)
        .unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(separator: &str) -> Format {
        Format::Lines {
            separator: separator.as_bytes().to_vec(),
        }
    }

    /// What becomes of parts that come one after the other, the last one at the end.
    fn framed(framing: &mut Framing, parts: &[&[u8]]) -> (Vec<Vec<u8>>, Tally) {
        let (mut records, mut tally, mut buffer) = (Vec::new(), Tally::default(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            buffer.extend_from_slice(part);
            let last = index + 1 == parts.len();
            let taken = framing.take(&buffer, last, &mut tally, &mut |record| {
                records.push(record.to_vec());
            });
            buffer.drain(..taken);
        }
        assert_eq!(buffer, b"");
        (records, tally)
    }

    fn check(format: &Format, limit: usize, text: &str, expected: &[&str], tally: Tally) {
        let (records, found) = framed(&mut Framing::new(format, limit, None), &[text.as_bytes()]);
        let json = crate::msgpack::json::Json {
            escape_unicode: false,
        };
        let texts = records.iter().map(|record| {
            let mut out = Vec::new();
            json.value(record, &mut out);
            String::from_utf8(out).unwrap()
        });
        assert_eq!(texts.collect::<Vec<_>>(), expected, "{text}");
        assert_eq!(found, tally, "{text}");
    }

    /// Checklist: engine 58
    #[test]
    fn json_values_need_nothing_between_them() {
        let text = " {\"a\":1}\n{\"b\":{}}{\"c\":[1,\n2]}\r\n\t[1,\"x\"] ";
        let expected = [
            r#"{"a":1}"#,
            r#"{"b":{}}"#,
            r#"{"c":[1,2]}"#,
            r#"{"msg":[1,"x"]}"#,
        ];
        check(&Format::Json, 100, text, &expected, Tally::default());
    }

    /// Checklist: engine 58
    #[test]
    fn what_is_no_json_costs_its_own_line() {
        let two = Tally {
            not_json: 2,
            ..Tally::default()
        };
        check(
            &Format::Json,
            100,
            "{\"a\":1}\nnoise here\n17\n{\"b\":2}\n",
            &[r#"{"a":1}"#, r#"{"b":2}"#],
            two,
        );
        let broken =
            "{\"a\":tru}{\"lost\":1}\n{\"b\":2\n{\"c\":3} x {\"lost\":1}\n{\"d\":\"\n{\"e\":5}";
        let expected = [r#"{"c":3}"#, r#"{"e":5}"#];
        check(
            &Format::Json,
            100,
            broken,
            &expected,
            Tally {
                not_json: 4,
                ..Tally::default()
            },
        );
        check(
            &Format::Json,
            100,
            "GET / HTTP/1.0\r\n\r\n",
            &[],
            Tally {
                not_json: 1,
                ..Tally::default()
            },
        );
    }

    #[test]
    fn a_value_that_never_ends_costs_its_own_line() {
        let incomplete = Tally {
            incomplete: 1,
            ..Tally::default()
        };
        check(
            &Format::Json,
            100,
            "{\"a\":[\n{\"b\":2}\n",
            &[r#"{"b":2}"#],
            incomplete,
        );
    }

    #[test]
    fn a_value_may_be_as_long_as_the_limit() {
        check(
            &Format::Json,
            10,
            "{\"a\":\"bc\"}\n",
            &[r#"{"a":"bc"}"#],
            Tally::default(),
        );
        let too_long = Tally {
            too_long: 1,
            ..Tally::default()
        };
        check(
            &Format::Json,
            10,
            "{\"a\":\"bcd\"}\n{\"b\":2}",
            &[r#"{"b":2}"#],
            too_long,
        );
        check(
            &Format::Json,
            10,
            "{\"a\":\"bcdefghijklmnopq",
            &[],
            Tally {
                incomplete: 1,
                ..Tally::default()
            },
        );
    }

    /// Checklist: engine 58
    #[test]
    fn lines_are_kept_as_they_are_and_empty_ones_are_none() {
        let expected = [
            r#"{"log":"one"}"#,
            r#"{"log":"tw\u0000o\r"}"#,
            r#"{"log":"three"}"#,
        ];
        check(
            &lines("\n"),
            100,
            "one\n\n\ntw\0o\r\nthree",
            &expected,
            Tally::default(),
        );
        let expected = [r#"{"log":"a"}"#, r#"{"log":"b b"}"#, r#"{"log":"|\nc|"}"#];
        check(
            &lines("||"),
            100,
            "a||||b b|||\nc|",
            &expected,
            Tally::default(),
        );
    }

    #[test]
    fn a_long_line_becomes_several_records_of_whole_characters() {
        let expected = [
            r#"{"log":"abcd"}"#,
            r#"{"log":"ab"}"#,
            "{\"log\":\"\u{1f600}\"}",
            r#"{"log":"abc"}"#,
        ];
        check(
            &lines("\n"),
            4,
            "abcd\nab\u{1f600}abc\n",
            &expected,
            Tally {
                cut: 2,
                ..Tally::default()
            },
        );
        assert_eq!((cut(&[0x80; 9], 4), cut(b"abc", 1)), (4, 1));
    }

    #[test]
    fn the_peer_stands_in_every_record() {
        let source = || Some(("peer", "tcp://[::1]:5".to_owned()));
        let pair = b"\xa4peer\xadtcp://[::1]:5";
        let (records, _) = framed(&mut Framing::new(&lines("\n"), 10, source()), &[b"x\n"]);
        assert_eq!(records, [[b"\x82\xa3log\xa1x", &pair[..]].concat()]);
        let (records, _) = framed(
            &mut Framing::new(&Format::Json, 10, source()),
            &[b"{\"a\":1}[]"],
        );
        assert_eq!(
            records,
            [
                [b"\x82\xa1a\x01", &pair[..]].concat(),
                [b"\x82\xa3msg\x90", &pair[..]].concat()
            ]
        );
    }

    /// Checklist: engine 58
    #[test]
    fn an_incomplete_end_waits() {
        let mut framing = Framing::new(&lines("\n"), 100, None);
        let mut tally = Tally::default();
        assert_eq!(framing.take(b"one\nfo", false, &mut tally, &mut |_| {}), 4);
        let mut framing = Framing::new(&Format::Json, 100, None);
        assert_eq!(
            framing.take(b"{}\n{\"d\":", false, &mut tally, &mut |_| {}),
            3
        );
        assert_eq!(tally, Tally::default());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_records(
            text in r#"([\[\]{}:,"\\ 12a\n|é]{0,12}(\{"a":"[^\x00-\x1f"\\]{0,9}"\})?\n?){0,6}"#,
            cuts in proptest::collection::vec(0..100_usize, 0..6),
            format in prop_oneof![Just(Format::Json), Just(lines("\n")), Just(lines("a\n")), Just(lines("||"))],
            limit in 4..30_usize,
        ) {
            let text = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let parts: Vec<_> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let whole = framed(&mut Framing::new(&format, limit, None), &[text]);
            prop_assert_eq!(framed(&mut Framing::new(&format, limit, None), &parts).0, whole.0);
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..300), limit in 1..40_usize) {
            for format in [Format::Json, lines("\n"), lines("ab")] {
                framed(&mut Framing::new(&format, limit, None), &[&text]);
            }
        }
    }
}
