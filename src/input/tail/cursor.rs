//! Where reading a file has come to, and the lines from there on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memchr::memchr;

use super::place::{MARK, Place};
use crate::input::tcp::framing::cut;

/// What becomes of lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The longest line.
    pub(super) limit: usize,
    /// A longer one becomes its start, else nothing.
    pub(super) truncates: bool,
    /// Lines without text are none.
    pub(super) skips_empty: bool,
}

/// What a read has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    /// Text from the cursor on; `true` if the file may go on.
    Text(bool),
    /// No whole line; `true` if the file may go on.
    Nothing(bool),
    /// What stood before the cursor no longer does.
    Changed,
}

/// A place in a file and what is known of the text behind it.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    /// The start of the first line that was not taken.
    place: Place,
    /// So many bytes behind it hold no newline.
    searched: u64,
    /// They are more than a line may have.
    is_skipping: bool,
}

impl Cursor {
    /// At this place.
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            ..Self::default()
        }
    }

    /// The start of the first line that was not taken.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Where the next read starts.
    pub(super) fn offset(&self) -> u64 {
        self.place.offset + self.searched
    }

    /// The room that a read of `most` bytes may take.
    pub(super) fn room(&self, most: usize) -> usize {
        if self.is_skipping {
            most
        } else {
            most + self.searched as usize
        }
    }

    /// Reads about `most` bytes into `text`, which then starts at the cursor.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn fill(
        &mut self,
        file: &File,
        rules: Rules,
        most: usize,
        text: &mut Vec<u8>,
    ) -> io::Result<Fill> {
        if self.searched > 0 {
            text.clear();
            read_at(file, self.offset(), most, text)?;
            let newline = memchr(b'\n', text);
            let is_known = self.is_skipping || self.searched as usize + text.len() <= rules.limit;
            if newline.is_none() && is_known {
                self.searched += text.len() as u64;
                return Ok(Fill::Nothing(text.len() == most));
            }
            if self.is_skipping {
                let end = newline.and_then(|newline| text.get(..=newline));
                let end = end.unwrap_or_default();
                self.place = Place::new(self.offset() + end.len() as u64, end);
                (self.searched, self.is_skipping) = (0, false);
            }
        }
        let mark = self.place.mark().len();
        let most = most + self.searched as usize;
        text.clear();
        read_at(file, self.place.offset - mark as u64, mark + most, text)?;
        if !text.starts_with(self.place.mark()) {
            return Ok(Fill::Changed);
        }
        text.drain(..mark);
        let has_more = text.len() == most;
        Ok(if text.is_empty() {
            Fill::Nothing(false)
        } else {
            Fill::Text(has_more)
        })
    }

    /// Hands the whole lines in `text`, which starts at the cursor, to `sink`, with where they start in it, and moves behind
    /// them. How many were too long.
    pub(super) fn take(
        &mut self,
        text: &[u8],
        rules: Rules,
        mut sink: impl FnMut(usize, &[u8]),
    ) -> u64 {
        let (mut taken, mut too_long) = (self.leading_zeros(text), 0);
        while let Some(rest) = text.get(taken..) {
            let end = memchr(b'\n', rest);
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            if line.len() > rules.limit {
                too_long += 1;
                if rules.truncates {
                    let start = rest.get(..cut(rest, rules.limit));
                    sink(taken, start.unwrap_or_default());
                }
            } else if end.is_some() {
                emit(line, rules, |line| sink(taken, line));
            }
            let Some(end) = end else {
                self.is_skipping = line.len() > rules.limit;
                break;
            };
            taken += end + 1;
        }
        self.searched = text.len().saturating_sub(taken) as u64;
        self.place = self.place.after(text.get(..taken).unwrap_or(text));
        too_long
    }

    /// A program that goes on at its old offset after its file was emptied leaves a hole in front of its text.
    fn leading_zeros(&self, text: &[u8]) -> usize {
        if self.place.mark().iter().any(|&byte| byte != 0) {
            return 0;
        }
        text.iter().take_while(|&&byte| byte == 0).count()
    }
}

/// Leaves the carriage return of a line end out.
fn emit(line: &[u8], rules: Rules, sink: impl FnOnce(&[u8])) {
    match line {
        [] | [b'\r'] if rules.skips_empty => {}
        [text @ .., b'\r'] if !text.is_empty() => sink(text),
        line => sink(line),
    }
}

/// The place at `offset` of a file.
///
/// # Errors
/// What the system says.
pub(super) fn place_at(file: &File, offset: u64) -> io::Result<Place> {
    let mut mark = Vec::with_capacity(MARK);
    let length = offset.min(MARK as u64);
    read_at(file, offset - length, length as usize, &mut mark)?;
    Ok(Place::new(offset, &mark))
}

/// Whether what stands before a place is what stood there.
pub(super) fn is_sound(file: &File, place: Place) -> bool {
    place_at(file, place.offset).is_ok_and(|found| found.mark().ends_with(place.mark()))
}

/// Appends up to `most` bytes from `offset` on.
fn read_at(file: &File, offset: u64, most: usize, text: &mut Vec<u8>) -> io::Result<()> {
    let start = text.len();
    text.resize(start + most, 0);
    let mut read = 0;
    let outcome = loop {
        let room = text.get_mut(start + read..).unwrap_or_default();
        match file.read_at(room, offset + read as u64) {
            Ok(0) => break Ok(()),
            Ok(length) => read += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    text.truncate(start + read);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    const RULES: Rules = Rules {
        limit: 10,
        truncates: false,
        skips_empty: false,
    };

    /// Lines with their offsets, as far as they are there.
    fn read_all(
        file: &File,
        cursor: &mut Cursor,
        rules: Rules,
        most: usize,
    ) -> (Vec<(u64, String)>, u64) {
        let (mut text, mut lines, mut too_long) = (Vec::new(), Vec::new(), 0);
        loop {
            let has_more = match cursor.fill(file, rules, most, &mut text).unwrap() {
                Fill::Changed => {
                    *cursor = Cursor::default();
                    true
                }
                Fill::Nothing(has_more) => has_more,
                Fill::Text(has_more) => {
                    let start = cursor.place().offset;
                    too_long += cursor.take(&text, rules, |at, line| {
                        let line = String::from_utf8_lossy(line).into_owned();
                        lines.push((start + at as u64, line));
                    });
                    has_more
                }
            };
            if !has_more {
                return (lines, too_long);
            }
        }
    }

    fn texts(lines: &(Vec<(u64, String)>, u64)) -> Vec<&str> {
        lines.0.iter().map(|(_, line)| line.as_str()).collect()
    }

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    /// Checklist: engine 57
    #[test]
    fn whole_lines_come_without_their_ends() {
        let (file, mut cursor) = (file("one\ntwo\r\n\n\r\nbeg"), Cursor::default());
        let lines = read_all(&file, &mut cursor, RULES, 64);
        let expected = [(0, "one"), (4, "two"), (9, ""), (10, "\r")];
        assert_eq!(lines.0, expected.map(|(at, line)| (at, line.to_owned())));
        assert_eq!(read_all(&file, &mut cursor, RULES, 64).0, []);
        (&file).write_all(b"in\n").unwrap();
        assert_eq!(
            read_all(&file, &mut cursor, RULES, 64).0,
            [(12, "begin".to_owned())]
        );
        let rules = Rules {
            skips_empty: true,
            ..RULES
        };
        assert_eq!(
            texts(&read_all(&file, &mut Cursor::default(), rules, 64)),
            ["one", "two", "begin"]
        );
    }

    /// Checklist: engine 57
    #[test]
    fn a_long_line_costs_itself_or_is_cut() {
        let text = "a\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\nb\n12345678901\n1234567890\n";
        for most in [5, 16, 64] {
            let (file, mut cursor) = (file(text), Cursor::default());
            let lines = read_all(&file, &mut cursor, RULES, most);
            assert_eq!((texts(&lines), lines.1), (vec!["a", "b", "1234567890"], 2));
            assert_eq!(cursor.place().offset, text.len() as u64);
            let rules = Rules {
                truncates: true,
                ..RULES
            };
            let lines = read_all(&file, &mut Cursor::default(), rules, most);
            assert_eq!(
                texts(&lines),
                ["a", "xxxxxxxxxx", "b", "1234567890", "1234567890"]
            );
        }
    }

    #[test]
    fn while_a_long_line_goes_on_the_place_is_its_start() {
        let (file, mut cursor) = (file("a\nxxxxxxxxxxxxxxx"), Cursor::default());
        assert_eq!(read_all(&file, &mut cursor, RULES, 4).1, 1);
        (&file).write_all(b"xxxxxxxx").unwrap();
        assert_eq!(read_all(&file, &mut cursor, RULES, 4).1, 0);
        assert_eq!(cursor.place().offset, 2);
        (&file).write_all(b"\nb\n").unwrap();
        assert_eq!(texts(&read_all(&file, &mut cursor, RULES, 4)), ["b"]);
    }

    #[test]
    fn a_file_that_was_emptied_and_written_anew_is_noticed() {
        let (file, mut cursor) = (file("one\ntwo\n"), Cursor::default());
        read_all(&file, &mut cursor, RULES, 64);
        file.set_len(0).unwrap();
        file.write_all_at(b"other\nthings\n", 0).unwrap();
        assert_eq!(
            texts(&read_all(&file, &mut cursor, RULES, 64)),
            ["other", "things"]
        );
        assert!(is_sound(&file, cursor.place()));
        file.set_len(3).unwrap();
        assert!(!is_sound(&file, cursor.place()));
        assert_eq!(
            cursor.fill(&file, RULES, 64, &mut Vec::new()).unwrap(),
            Fill::Changed
        );
    }

    #[test]
    fn a_hole_in_front_of_the_text_is_passed_over() {
        let hole = "\0".repeat(100);
        let (file, mut cursor) = (file(&(hole + "a\n\0b\n")), Cursor::default());
        assert_eq!(
            texts(&read_all(&file, &mut cursor, RULES, 32)),
            ["a", "\0b"]
        );
    }

    proptest! {
        #[test]
        fn any_writes_and_reads_give_the_same_lines(
            parts in proptest::collection::vec("[ab\n]{0,20}", 1..6),
            most in 1..30_usize,
        ) {
            let (mut file, mut cursor) = (file(""), Cursor::default());
            let (mut found, mut whole) = (Vec::new(), String::new());
            for part in &parts {
                file.write_all(part.as_bytes()).unwrap();
                whole += part;
                found.extend(read_all(&file, &mut cursor, RULES, most).0);
            }
            let mut expected = Vec::new();
            let mut at = 0;
            for line in whole.split_inclusive('\n') {
                if let Some(text) = line.strip_suffix('\n') && text.len() <= RULES.limit {
                    expected.push((at, text.to_owned()));
                }
                at += line.len() as u64;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
