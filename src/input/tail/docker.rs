//! `Docker_Mode`: joins the JSON lines that Docker cut a long line into.
//!
//! Docker's `json-file` driver writes `{"log":"text\n","stream":..,"time":..}` for each 16 KiB of a line, and only the last of
//! them has a text with a newline at its end. What comes out is the last of them with the texts of all.

use std::ops::Range;
use std::time::{Duration, Instant};

use memchr::memchr2;

use super::place::Place;

/// The parts of one line.
#[derive(Debug)]
pub(super) struct Docker {
    patience: Duration,
    /// The longest line that is put together.
    limit: usize,
    /// The texts so far, as JSON has them.
    texts: Vec<u8>,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    /// Where its first part starts.
    start: Place,
    /// Its last part.
    line: Vec<u8>,
    /// The text in it.
    text: Range<usize>,
    due: Instant,
}

impl Docker {
    /// Waits so long for the next part of a line, which has at most `limit` bytes.
    pub(super) fn new(patience: Duration, limit: usize) -> Self {
        Self {
            patience,
            limit,
            texts: Vec::new(),
            pending: None,
        }
    }

    /// Takes a line that starts at `start` and hands what is whole to `sink`, with the place where it starts.
    pub(super) fn take(
        &mut self,
        line: &[u8],
        start: impl Fn() -> Place,
        now: Instant,
        sink: &mut dyn FnMut(Place, &[u8]),
    ) {
        let Some(text) = log_text(line) else {
            self.flush(sink);
            return sink(start(), line);
        };
        let part = line.get(text.clone()).unwrap_or_default();
        let is_last = ends_with_newline(part);
        if is_last && self.pending.is_none() {
            return sink(start(), line);
        }
        self.texts.extend_from_slice(part);
        let first = self
            .pending
            .take()
            .map_or_else(start, |pending| pending.start);
        self.pending = Some(Pending {
            start: first,
            line: line.to_vec(),
            text,
            due: now + self.patience,
        });
        if is_last || self.texts.len() > self.limit {
            self.flush(sink);
        }
    }

    /// Hands over what there is of a line.
    pub(super) fn flush(&mut self, sink: &mut dyn FnMut(Place, &[u8])) {
        if let Some(pending) = self.pending.take() {
            let mut line = pending.line;
            line.splice(pending.text, self.texts.drain(..));
            self.texts = Vec::new();
            sink(pending.start, &line);
        }
    }

    /// Where the line that is not whole starts.
    pub(super) fn start(&self) -> Option<Place> {
        self.pending.as_ref().map(|pending| pending.start)
    }

    /// The bytes it holds.
    pub(super) fn held(&self) -> usize {
        let line = self
            .pending
            .as_ref()
            .map_or(0, |pending| pending.line.len());
        line + self.texts.capacity()
    }

    /// When its next part is given up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.due)
    }
}

/// Where the text of the top-level key `log` stands in a JSON object.
fn log_text(line: &[u8]) -> Option<Range<usize>> {
    let mut at = 0;
    let mut depth = 0_usize;
    let mut key: Option<Range<usize>> = None;
    let mut is_value = false;
    if line.first() != Some(&b'{') {
        return None;
    }
    while let Some(byte) = line.get(at) {
        match byte {
            b'"' => {
                let text = string(line, at)?;
                at = text.end;
                let is_log = key.clone().and_then(|key| line.get(key)) == Some(b"log");
                if depth == 1 && is_value && is_log {
                    return Some(text);
                }
                if depth == 1 && !is_value {
                    key = Some(text);
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b':' if depth == 1 => is_value = true,
            b',' if depth == 1 => is_value = false,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The inside of the string that opens at `at`.
fn string(line: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + 1;
    let mut end = start;
    loop {
        end += memchr2(b'"', b'\\', line.get(end..)?)?;
        if line.get(end) == Some(&b'"') {
            return Some(start..end);
        }
        end += 2;
    }
}

/// Whether a text in JSON's form ends in `\n`, and the backslash is not itself escaped.
fn ends_with_newline(text: &[u8]) -> bool {
    let Some(before) = text
        .strip_suffix(b"n")
        .or_else(|| text.strip_suffix(b"u000a"))
        .or_else(|| text.strip_suffix(b"u000A"))
    else {
        return false;
    };
    before
        .iter()
        .rev()
        .take_while(|&&byte| byte == b'\\')
        .count()
        % 2
        == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(lines: &[&str]) -> Vec<(u64, String)> {
        let mut docker = Docker::new(Duration::from_secs(4), 50);
        let mut found = Vec::new();
        let mut sink = |place: Place, line: &[u8]| {
            found.push((place.offset, String::from_utf8(line.to_vec()).unwrap()));
        };
        for (at, line) in lines.iter().enumerate() {
            let start = || Place::new(at as u64, b"");
            docker.take(line.as_bytes(), start, Instant::now(), &mut sink);
        }
        docker.flush(&mut sink);
        assert_eq!(docker.start(), None);
        found
    }

    #[test]
    fn parts_become_the_last_one_with_the_text_of_all() {
        let lines = [
            r#"{"log":"whole\n","stream":"stdout"}"#,
            r#"{"log":"one, ","stream":"stdout","time":"1"}"#,
            r#"{"a":{"log":"x\n"},"log":"two\\n, ","time":"2"}"#,
            r#"{"log":"three\n","stream":"stderr","time":"3"}"#,
            "no json",
            r#"{"log":"cut"}"#,
        ];
        let expected = [
            (0, lines[0]),
            (
                1,
                r#"{"log":"one, two\\n, three\n","stream":"stderr","time":"3"}"#,
            ),
            (4, "no json"),
            (5, r#"{"log":"cut"}"#),
        ];
        assert_eq!(
            joined(&lines),
            expected.map(|(at, line)| (at, line.to_owned()))
        );
    }

    #[test]
    fn what_is_no_part_ends_the_line_before_it() {
        let lines = [
            r#"{"log":"a"}"#,
            r#"{"nolog":"b"}"#,
            r#"{"log":5}"#,
            "{",
            r#"{"log":"#,
        ];
        let texts: Vec<_> = joined(&lines).into_iter().map(|(_, line)| line).collect();
        assert_eq!(texts, lines);
    }

    #[test]
    fn a_line_that_grows_beyond_the_limit_is_handed_over() {
        let part = r#"{"log":"0123456789012345678901234567890123456789"}"#;
        assert_eq!(joined(&[part, part, part]).len(), 2);
    }

    #[test]
    fn the_end_of_a_line_is_an_escape() {
        for (text, expected) in [
            (r"a\n", true),
            (r"a\\n", false),
            (r"a\\\n", true),
            (r"\u000a", true),
            (r"\\u000A", false),
            ("n", false),
            ("", false),
        ] {
            assert_eq!(ends_with_newline(text.as_bytes()), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(line in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = log_text(&line);
            let _ = log_text(&[b"{\"log\":\"", &line[..]].concat());
        }
    }
}
