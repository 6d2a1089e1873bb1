//! Lines of text out of what comes.

use memchr::memchr;

use super::tcp::framing::cut;

/// Finds the lines.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    /// How much of the first line is known to hold no newline.
    searched: usize,
}

impl Lines {
    /// Lines of at most `limit` bytes; longer ones come in pieces.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, searched: 0 }
    }

    /// Hands the lines in `text` to `sink`, without their newlines, and gives the length of what is done with; the rest has
    /// to come again, with more behind it. After the `last` text nothing comes, and a line needs no newline.
    pub(super) fn take(&mut self, text: &[u8], last: bool, mut sink: impl FnMut(&[u8])) -> usize {
        let mut taken = 0;
        while let Some(rest) = text.get(taken..).filter(|rest| !rest.is_empty()) {
            let unsearched = rest.get(self.searched..).unwrap_or_default();
            let end = memchr(b'\n', unsearched).map(|at| at + self.searched);
            let known = end.unwrap_or(rest.len());
            let (length, step) = match end {
                _ if known > self.limit => {
                    let length = cut(rest, self.limit);
                    (length, length)
                }
                Some(end) => (end, end + 1),
                None if last => (known, known),
                None => {
                    self.searched = known;
                    break;
                }
            };
            sink(rest.get(..length).unwrap_or_default());
            self.searched = 0;
            taken += step;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(parts: &[&[u8]], limit: usize) -> Vec<Vec<u8>> {
        let (mut lines, mut found, mut buffer) = (Lines::new(limit), Vec::new(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            buffer.extend_from_slice(part);
            let last = index + 1 == parts.len();
            let taken = lines.take(&buffer, last, |line| found.push(line.to_vec()));
            buffer.drain(..taken);
        }
        assert_eq!(buffer, b"");
        found
    }

    #[test]
    fn every_newline_ends_a_line_and_the_last_one_needs_none() {
        assert_eq!(lines(&[b"a\n\nb\r\nc"], 10), [&b"a"[..], b"", b"b\r", b"c"]);
        assert_eq!(lines(&[b"a\n"], 10), [b"a"]);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        assert_eq!(lines(&[b"abcdefgh\ni"], 4), [&b"abcd"[..], b"efgh", b"i"]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(text in "[a\n]{0,40}", at in 0..40_usize, limit in 4..20_usize) {
            let text = text.as_bytes();
            let (first, second) = text.split_at(at.min(text.len()));
            prop_assert_eq!(lines(&[first, second], limit), lines(&[text], limit));
        }
    }
}
