//! What is settled of a segment: a file beside it, to which a mark is appended for each run of entries that a route has let go of.
//!
//! ```text
//! mark   key of the route u64 │ first sequence u64 │ last sequence u64 │ checksum u32
//! ```
//! A mark that is lost or damaged costs a duplicate, never an event.

use std::collections::HashMap;

const MARK: usize = 28;

/// Sequences, as runs in rising order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs(Vec<(u64, u64)>);

impl Runs {
    /// Adds a sequence above all others.
    pub(super) fn push(&mut self, sequence: u64) {
        match self.0.last_mut() {
            Some((_, last)) if sequence.checked_sub(1) == Some(*last) => *last = sequence,
            _ => self.0.push((sequence, sequence)),
        }
    }

    /// The runs, with their first and their last sequence.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// About how much memory it takes.
    pub(super) fn size(&self) -> usize {
        self.0.capacity() * size_of::<(u64, u64)>()
    }

    fn contains(&self, sequence: u64) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= sequence);
        let run = behind.checked_sub(1).and_then(|place| self.0.get(place));
        run.is_some_and(|(_, last)| sequence <= *last)
    }

    /// Makes one of runs in any order.
    fn of(mut runs: Vec<(u64, u64)>) -> Self {
        runs.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (first, last) in runs {
            match joined.last_mut() {
                Some((_, before)) if first <= before.saturating_add(1) => {
                    *before = last.max(*before);
                }
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }
}

/// Appends a mark.
pub(super) fn write(out: &mut Vec<u8>, salt: u32, key: u64, first: u64, last: u64) {
    let start = out.len();
    for field in [key, first, last] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    let checksum = crc32c::crc32c_append(salt, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// What the routes had let go of.
#[derive(Debug, Default)]
pub(super) struct Marks(HashMap<u64, Runs>);

impl Marks {
    /// Reads the marks among these bytes, and passes over everything else.
    pub(super) fn read(mut bytes: &[u8], salt: u32) -> Self {
        let mut runs: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
        while let Some((mark, rest)) = bytes.split_first_chunk::<MARK>() {
            if let Some((key, first, last)) = read_mark(mark, salt) {
                runs.entry(key).or_default().push((first, last));
                bytes = rest;
            } else {
                bytes = bytes.get(1..).unwrap_or_default();
            }
        }
        let runs = runs.into_iter().map(|(key, runs)| (key, Runs::of(runs)));
        Self(runs.collect())
    }

    /// Whether the route with this key has let go of the entry.
    pub(super) fn has(&self, key: u64, sequence: u64) -> bool {
        self.0.get(&key).is_some_and(|runs| runs.contains(sequence))
    }
}

fn read_mark(mark: &[u8; MARK], salt: u32) -> Option<(u64, u64, u64)> {
    let (fields, checksum) = mark.split_last_chunk::<4>()?;
    if crc32c::crc32c_append(salt, fields) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (fields, _) = fields.as_chunks::<8>();
    let [key, first, last] = fields else {
        return None;
    };
    let number = |field: &[u8; 8]| u64::from_le_bytes(*field);
    let (key, first, last) = (number(key), number(first), number(last));
    (first <= last).then_some((key, first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_make_one_run() {
        let mut runs = Runs::default();
        for sequence in [3, 4, 5, 9] {
            runs.push(sequence);
        }
        assert_eq!(runs.iter().collect::<Vec<_>>(), [(3, 5), (9, 9)]);
        let found: Vec<u64> = (0..12)
            .filter(|sequence| runs.contains(*sequence))
            .collect();
        assert_eq!(found, [3, 4, 5, 9]);
    }

    #[test]
    fn marks_are_read_around_what_is_damaged() {
        let mut bytes = Vec::new();
        write(&mut bytes, 7, 1, 10, 12);
        write(&mut bytes, 7, 2, 10, 11);
        write(&mut bytes, 7, 1, 5, 9);
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x10;
            let marks = Marks::read(&broken, 7);
            let expected = |mark: usize| at / MARK != mark;
            assert_eq!(marks.has(1, 11), expected(0), "{at}");
            assert_eq!(marks.has(2, 11), expected(1), "{at}");
            assert_eq!(marks.has(1, 5), expected(2), "{at}");
        }
        let cut = Marks::read(&bytes[3..], 7);
        assert!(!cut.has(1, 11) && cut.has(2, 10) && cut.has(1, 7) && !cut.has(2, 12));
    }

    #[test]
    fn a_run_that_ends_before_it_begins_is_no_mark() {
        let mut bytes = Vec::new();
        write(&mut bytes, 7, 1, 9, 8);
        write(&mut bytes, 7, 1, 0, u64::MAX);
        write(&mut bytes, 7, 1, u64::MAX, u64::MAX);
        assert!(Marks::read(&bytes[..MARK], 7).0.is_empty());
        assert!(Marks::read(&bytes, 7).has(1, u64::MAX));
    }
}
