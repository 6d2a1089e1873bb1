//! The files: which segments there are, how far they can be read, and what is still owed of each.
//!
//! A segment is named after the sequence of its first entry and the salt of its checksums: `0000000000000010-5ca1ab1e.log`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frame::{HEADER, MAGIC};
use super::marks::{self, Marks, Runs};

/// Sequences beyond this are no file of ours.
const SEQUENCE_MAX: u64 = 1 << 62;

/// Of a file of marks, at most so much is read; what comes after it may be delivered twice.
const MARKS_MAX: u64 = 64 << 20;

/// One segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) salt: u32,
    /// Bytes that can be read.
    pub(super) end: u64,
    /// How often an entry in it is owed to a route.
    pub(super) owed: u64,
    /// It grows.
    pub(super) is_open: bool,
    /// What was there at the start, and nobody has looked into it yet.
    pub(super) is_strange: bool,
    /// Of a segment that was there at the start: how long its file of marks was when it was looked into.
    pub(super) marks: Option<u64>,
}

impl Segment {
    /// Nothing in it is wanted any more.
    fn is_done(&self) -> bool {
        !self.is_open && !self.is_strange && self.owed == 0
    }

    /// The file of its marks.
    fn marks_path(&self) -> PathBuf {
        self.path.with_extension("settled")
    }

    /// The marks that were there when the segment was looked into.
    pub(super) fn read_marks(&self) -> Marks {
        let mut bytes = Vec::new();
        let most = self.marks.unwrap_or(MARKS_MAX).min(MARKS_MAX);
        let read =
            File::open(self.marks_path()).and_then(|file| file.take(most).read_to_end(&mut bytes));
        if let Err(error) = read
            && error.kind() != io::ErrorKind::NotFound
        {
            let path = self.marks_path();
            crate::warning!(
                "storage",
                "cannot read {}: {error}; what it says is settled may be delivered twice",
                path.display()
            );
        }
        Marks::read(&bytes, self.salt)
    }
}

/// All segments of a folder.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    list: Mutex<BTreeMap<u64, Segment>>,
}

impl Segments {
    /// Lists what is there; also says which sequence is above all that are in use.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn list(folder: &Path) -> io::Result<(Self, u64)> {
        let mut list = BTreeMap::new();
        let mut next = 1;
        for found in fs::read_dir(folder)? {
            let found = found?;
            let Some((first, salt)) = found.file_name().to_str().and_then(parse_name) else {
                continue;
            };
            let end = found.metadata()?.len();
            // An entry is at least a header long.
            next = next.max(first + end / HEADER as u64 + 1);
            let segment = Segment {
                path: found.path(),
                salt,
                end,
                owed: 0,
                is_open: false,
                is_strange: true,
                marks: None,
            };
            list.insert(first, segment);
        }
        let list = Mutex::new(list);
        let folder = folder.to_owned();
        Ok((Self { folder, list }, next))
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Segment>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, and how many bytes they take.
    pub(super) fn size(&self) -> (u64, u64) {
        let list = self.lock();
        (
            list.len() as u64,
            list.values().map(|segment| segment.end).sum(),
        )
    }

    /// Makes a segment that begins with this sequence and grows.
    ///
    /// # Errors
    /// When the file system refuses; nothing is left behind then, as far as it can be helped.
    pub(super) fn create(&self, first: u64, salt: u32) -> io::Result<File> {
        let path = self.folder.join(format!("{first:016x}-{salt:08x}.log"));
        let made = private(&path, true).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()?;
            Ok(file)
        });
        if made.is_err() {
            // It may not be there at all.
            drop(fs::remove_file(&path));
        }
        let file = made?;
        let segment = Segment {
            path,
            salt,
            end: MAGIC.len() as u64,
            owed: 0,
            is_open: true,
            is_strange: false,
            marks: None,
        };
        self.lock().insert(first, segment);
        Ok(file)
    }

    /// The segment that holds the sequence, or else the first one behind it; with the sequence it begins with, and the one that the
    /// segment behind it begins with.
    pub(super) fn find(&self, sequence: u64) -> Option<(u64, Segment, u64)> {
        let list = self.lock();
        let (first, segment) = list
            .range(..=sequence)
            .next_back()
            .or_else(|| list.range(sequence..).next())?;
        Some((*first, segment.clone(), Self::behind(&list, *first)))
    }

    /// The first segment behind the one that begins with this sequence.
    pub(super) fn after(&self, first: u64) -> Option<(u64, Segment, u64)> {
        let list = self.lock();
        let (first, segment) = list.range(first + 1..).next()?;
        Some((*first, segment.clone(), Self::behind(&list, *first)))
    }

    /// The first segment that nobody has looked into.
    pub(super) fn strange(&self) -> Option<(u64, Segment, u64)> {
        let list = self.lock();
        let (first, segment) = list.iter().find(|(_, segment)| segment.is_strange)?;
        Some((*first, segment.clone(), Self::behind(&list, *first)))
    }

    fn behind(list: &BTreeMap<u64, Segment>, first: u64) -> u64 {
        let next = list.range(first + 1..).next();
        next.map_or(u64::MAX, |(first, _)| *first)
    }

    /// Notes that a route has let go of these entries.
    pub(super) fn settle(&self, runs: &Runs) {
        let mut list = self.lock();
        for (first, last) in runs.iter() {
            for (start, from, to) in Self::parts(&list, first, last) {
                if let Some(segment) = list.get_mut(&start) {
                    segment.owed = segment.owed.saturating_sub(to - from + 1);
                }
            }
        }
    }

    /// Writes down that a route has let go of these entries, where their segments are still there. What fails costs duplicates.
    pub(super) fn mark(&self, settled: &[(u64, Runs)]) {
        let mut marks: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut files = BTreeMap::new();
        {
            let list = self.lock();
            for (key, runs) in settled {
                for (first, last) in runs.iter() {
                    for (start, from, to) in Self::parts(&list, first, last) {
                        let Some(segment) = list.get(&start) else {
                            continue;
                        };
                        let bytes = marks.entry(start).or_default();
                        marks::write(bytes, segment.salt, *key, from, to);
                        files.entry(start).or_insert_with(|| segment.marks_path());
                    }
                }
            }
        }
        for (start, path) in files {
            let bytes = marks.remove(&start).unwrap_or_default();
            let written = private(&path, false).and_then(|mut file| file.write_all(&bytes));
            if let Err(error) = written {
                let path = path.display();
                crate::debug!(
                    "storage",
                    "cannot write {path}: {error}; after a crash some events would be delivered twice"
                );
            }
        }
    }

    /// The parts of a run that lie in one segment each.
    fn parts(list: &BTreeMap<u64, Segment>, first: u64, last: u64) -> Vec<(u64, u64, u64)> {
        let start = list.range(..=first).next_back();
        let start = start.map_or(first, |(start, _)| *start);
        let mut starts = list.range(start..=last).map(|(start, _)| *start).peekable();
        let mut parts = Vec::new();
        while let Some(start) = starts.next() {
            let behind = starts.peek().copied().unwrap_or(u64::MAX);
            let (from, to) = (first.max(start), last.min(behind - 1));
            if from <= to {
                parts.push((start, from, to));
            }
        }
        parts
    }

    /// Removes the files of which nothing is wanted any more.
    pub(super) fn remove_done(&self) {
        let mut done = Vec::new();
        self.lock().retain(|_, segment| {
            if segment.is_done() {
                done.push(segment.clone());
            }
            !segment.is_done()
        });
        for segment in done {
            // The marks last: without them everything in the segment would be delivered again.
            for path in [segment.path.clone(), segment.marks_path()] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        let path = path.display();
                        crate::warning!("storage", "cannot remove {path}: {error}");
                        break;
                    }
                    _ => {}
                }
            }
        }
    }
}

/// A file that only its owner may read, to be written from its beginning or appended to.
pub(super) fn private(path: &Path, afresh: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if afresh {
        options.write(true).truncate(true);
    } else {
        options.append(true);
    }
    options.open(path)
}

fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (first, salt) = name.strip_suffix(".log")?.split_once('-')?;
    if first.len() != 16 || salt.len() != 8 {
        return None;
    }
    let first = u64::from_str_radix(first, 16).ok()?;
    let salt = u32::from_str_radix(salt, 16).ok()?;
    (first < SEQUENCE_MAX).then_some((first, salt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_segments() {
        assert_eq!(parse_name("0000000000000010-0000000a.log"), Some((16, 10)));
        for name in [
            "10-a.log",
            "0000000000000010-0000000a.settled",
            "ffffffffffffffff-0000000a.log",
            "1-1700000000.123.flb",
            "+000000000000010-0000000a.log.",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_segment_goes_with_its_last_debt_and_its_marks_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (segments, next) = Segments::list(folder.path()).unwrap();
        assert_eq!(next, 1);
        for first in [1, 10] {
            segments.create(first, 7).unwrap();
            let mut list = segments.lock();
            let segment = list.get_mut(&first).unwrap();
            (segment.owed, segment.is_open) = (9, false);
        }
        let mut runs = Runs::default();
        (5..=12).for_each(|sequence| runs.push(sequence));
        segments.settle(&runs);
        segments.mark(&[(3, runs)]);
        let owed: Vec<u64> = segments.lock().values().map(|it| it.owed).collect();
        assert_eq!(owed, [4, 6]);
        let marks = segments.find(3).unwrap().1.read_marks();
        assert!(marks.has(3, 9) && !marks.has(3, 4) && !marks.has(3, 10));
        let mut rest = Runs::default();
        (1..=4).for_each(|sequence| rest.push(sequence));
        segments.settle(&rest);
        segments.remove_done();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "000000000000000a-00000007.log",
                "000000000000000a-00000007.settled"
            ]
        );
    }
}
