//! `DB`: the places of all files, on disk.
//!
//! ```text
//! sluice positions 1
//! CHECKSUM OFFSET DEVICE INODE MARK PATH
//! ```
//! One line for each change; the last one about a file counts, an offset of `-` forgets it. `MARK` is the bytes before the
//! offset in hex, `CHECKSUM` is the CRC-32 of the rest of the line. A line that is cut or damaged is passed over, so that a
//! crash costs at most the last change: the place is an older one then, and lines come twice. When the file has grown
//! it is written anew beside itself and takes its own place. A file of Fluent Bit (`SQLite`) is left alone; ours stands beside
//! it with `.sluice` behind the name.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::place::{FileId, Place};
use super::progress::Progress;

const HEADER: &str = "sluice positions 1\n";
const SQLITE: &[u8] = b"SQLite format 3\0";
/// A larger file is no list of places.
const FILE_MAX: u64 = 64 << 20;
/// So many bytes may lie behind what a new file would hold.
const SLACK: usize = 64 * 1024;

/// Open files by their names: two inputs may name the same.
static OPEN: Mutex<Vec<(PathBuf, Weak<Positions>)>> = Mutex::new(Vec::new());

/// The places of files.
#[derive(Debug)]
pub(super) struct Positions {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    entries: HashMap<FileId, Entry>,
    /// Bytes in the file, and what of them a new one would hold.
    length: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Entry {
    /// The name it was found by, escaped.
    path: String,
    /// As in the file.
    place: Place,
    /// Of the input that reads it.
    progress: Option<Arc<Progress>>,
}

impl Positions {
    /// Opens the list, or makes it; one that is open already is shared.
    ///
    /// # Errors
    /// A sentence with the path and what to do.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, String> {
        let path = if is_sqlite(path) {
            let mut beside = OsString::from(path);
            beside.push(".sluice");
            beside.into()
        } else {
            path.to_owned()
        };
        let describe = |error: io::Error| {
            format!(
                "cannot keep positions in {}: {error}; choose another `db`",
                path.display()
            )
        };
        let full = std::path::absolute(&path).map_err(describe)?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, positions)| positions.strong_count() > 0);
        let known = open.iter().find(|(known, _)| *known == full);
        if let Some(positions) = known.and_then(|(_, positions)| positions.upgrade()) {
            return Ok(positions);
        }
        let entries = load(&full).map_err(describe)?;
        let (file, length) = rewrite(&full, &entries).map_err(describe)?;
        let state = State {
            file,
            entries,
            length,
            is_closed: false,
        };
        let positions = Arc::new(Self {
            path: full.clone(),
            state: Mutex::new(state),
        });
        open.push((full, Arc::downgrade(&positions)));
        Ok(positions)
    }

    /// The place of a file. Devices are numbered anew at a boot, so a file with the same inode and name is the same.
    pub(super) fn find(&self, id: FileId, path: &Path) -> Option<Place> {
        let state = self.lock();
        let path = escaped(path);
        let is_same = |(known, entry): &(&FileId, &Entry)| {
            known.inode == id.inode && entry.path == path && entry.progress.is_none()
        };
        let entry = state
            .entries
            .get(&id)
            .or_else(|| state.entries.iter().find(is_same).map(|(_, entry)| entry));
        entry.map(|entry| entry.place)
    }

    /// The files that nobody reads, and the names they had.
    pub(super) fn unread(&self) -> Vec<(FileId, PathBuf)> {
        let state = self.lock();
        let unread = state.entries.iter();
        let unread = unread.filter(|(_, entry)| entry.progress.is_none());
        unread
            .map(|(id, entry)| (*id, unescaped(&entry.path)))
            .collect()
    }

    /// Follows the progress of a file.
    pub(super) fn follow(&self, id: FileId, path: &Path, progress: Arc<Progress>) {
        let path = escaped(path);
        let mut state = self.lock();
        state.entries.retain(|known, entry| {
            let is_renumbered = known.inode == id.inode && entry.path == path;
            *known == id || !is_renumbered || entry.progress.is_some()
        });
        let place = progress.safe();
        let entry = Entry {
            path,
            place,
            progress: Some(progress),
        };
        state.append(&line(id, Some(place), &entry.path));
        state.entries.insert(id, entry);
    }

    /// Forgets a file.
    pub(super) fn forget(&self, id: FileId) {
        let mut state = self.lock();
        if let Some(entry) = state.entries.remove(&id) {
            state.append(&line(id, None, &entry.path));
        }
    }

    /// Writes down how far every file has come.
    pub(super) fn save(&self) {
        let mut state = self.lock();
        state.save();
        let live: usize = state
            .entries
            .values()
            .map(|entry| entry.path.len() + 128)
            .sum();
        if state.length > SLACK + 2 * live
            && let Ok((file, length)) = rewrite(&self.path, &state.entries)
        {
            (state.file, state.length) = (file, length);
        }
    }

    /// Saves for the last time: what is let go of afterwards is not settled.
    pub(super) fn close(&self) {
        self.save();
        self.lock().is_closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes the places that have changed.
    fn save(&mut self) {
        if self.is_closed {
            return;
        }
        let mut lines = String::new();
        for (id, entry) in &mut self.entries {
            let Some(progress) = &entry.progress else {
                continue;
            };
            let safe = progress.safe();
            if safe != entry.place {
                entry.place = safe;
                lines += &line(*id, Some(safe), &entry.path);
            }
        }
        if !lines.is_empty() {
            self.append(&lines);
        }
    }

    fn append(&mut self, lines: &str) {
        if self.is_closed {
            return;
        }
        // A failure costs lines that come twice after a restart, and a full disk must not stop the reading. The newline
        // in front parts what follows from a line that was cut.
        match self.file.write_all(lines.as_bytes()) {
            Ok(()) => self.length += lines.len(),
            Err(_) => drop(self.file.write_all(b"\n")),
        }
    }
}

fn is_sqlite(path: &Path) -> bool {
    let mut start = [0; SQLITE.len()];
    let read = File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut start));
    read.is_ok() && start == SQLITE
}

/// Reads a list; one that is not there is empty.
fn load(path: &Path) -> io::Result<HashMap<FileId, Entry>> {
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.len() > FILE_MAX => return Err(foreign()),
        Ok(_) => fs::read(path)?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let Some(lines) = text.strip_prefix(HEADER) else {
        return if HEADER.starts_with(&*text) {
            Ok(HashMap::new())
        } else {
            Err(foreign())
        };
    };
    let mut entries = HashMap::new();
    for (id, change) in lines.lines().filter_map(parse) {
        match change {
            Some(entry) => drop(entries.insert(id, entry)),
            None => drop(entries.remove(&id)),
        }
    }
    Ok(entries)
}

fn foreign() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "something else is there")
}

/// Writes a list anew and opens it for more.
fn rewrite(path: &Path, entries: &HashMap<FileId, Entry>) -> io::Result<(File, usize)> {
    let mut text = HEADER.to_owned();
    for (id, entry) in entries {
        text += &line(*id, Some(entry.place), &entry.path);
    }
    let mut beside = OsString::from(path);
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let file = File::options().append(true).open(path)?;
    Ok((file, text.len()))
}

fn escaped(path: &Path) -> String {
    path.as_os_str()
        .as_encoded_bytes()
        .escape_ascii()
        .to_string()
}

fn unescaped(path: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let (byte, behind) = match (byte, behind) {
            (b'\\', [b'x', high, low, behind @ ..]) => (hex(*high) << 4 | hex(*low), behind),
            (b'\\', [b'n', behind @ ..]) => (b'\n', behind),
            (b'\\', [b'r', behind @ ..]) => (b'\r', behind),
            (b'\\', [b't', behind @ ..]) => (b'\t', behind),
            (b'\\', [other, behind @ ..]) => (*other, behind),
            _ => (byte, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    OsString::from_vec(bytes).into()
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or(0) as u8
}

fn line(id: FileId, place: Option<Place>, path: &str) -> String {
    let (device, inode) = (id.device, id.inode);
    let offset = place.map_or_else(|| "-".to_owned(), |place| place.offset.to_string());
    let mut mark = String::new();
    for byte in place.iter().flat_map(Place::mark) {
        let _infallible = write!(mark, "{byte:02x}");
    }
    let rest = format!("{offset} {device} {inode} {mark} {path}");
    format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes()))
}

fn parse(line: &str) -> Option<(FileId, Option<Entry>)> {
    let (sum, rest) = line.split_once(' ')?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(rest.as_bytes())) {
        return None;
    }
    let mut parts = rest.splitn(5, ' ');
    let offset = parts.next()?;
    let (device, inode) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let mark = parts.next()?.as_bytes().chunks(2).map(|digits| {
        let digits = std::str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 16).ok()
    });
    let mark = mark.collect::<Option<Vec<u8>>>()?;
    let path = parts.next()?.to_owned();
    let id = FileId { device, inode };
    if offset == "-" {
        return Some((id, None));
    }
    let entry = Entry {
        path,
        place: Place::new(offset.parse().ok()?, &mark),
        progress: None,
    };
    Some((id, Some(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(inode: u64) -> FileId {
        FileId { device: 7, inode }
    }

    fn reopened(path: &Path) -> Vec<(u64, u64)> {
        let entries = load(path).unwrap();
        let mut places: Vec<_> = entries
            .iter()
            .map(|(id, entry)| (id.inode, entry.place.offset))
            .collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn places_are_found_again_and_follow_the_progress() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let positions = Positions::open(&path).unwrap();
        let file = Path::new("/var/log/a b\n\u{e9}.log");
        let progress = Progress::new(Place::new(5, b"hello"));
        positions.follow(id(1), file, Arc::clone(&progress));
        drop(progress.store(Place::new(11, b" world")));
        positions.save();
        positions.follow(id(2), Path::new("b"), Progress::new(Place::default()));
        positions.forget(id(2));
        let unsettled = progress.store(Place::new(99, b"x"));
        positions.close();
        drop(unsettled);
        positions.save();
        assert!(Arc::ptr_eq(&positions, &Positions::open(&path).unwrap()));
        drop(positions);

        let again = Positions::open(&path).unwrap();
        assert_eq!(again.find(id(1), file), Some(Place::new(11, b" world")));
        assert_eq!(again.find(id(2), Path::new("b")), None);
        let elsewhere = FileId {
            device: 8,
            inode: 1,
        };
        assert_eq!(again.find(elsewhere, file), Some(Place::new(11, b" world")));
        assert_eq!(again.find(elsewhere, Path::new("other")), None);
    }

    #[test]
    fn a_file_of_fluent_bit_is_left_alone_and_anything_else_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tail.db");
        let theirs = [SQLITE, b"pages"].concat();
        fs::write(&path, &theirs).unwrap();
        let positions = Positions::open(&path).unwrap();
        positions.follow(id(1), Path::new("a"), Progress::new(Place::default()));
        assert_eq!(fs::read(&path).unwrap(), theirs);
        assert_eq!(reopened(&folder.path().join("tail.db.sluice")), [(1, 0)]);

        fs::write(&path, "precious").unwrap();
        let refused = Positions::open(&path).unwrap_err();
        assert!(refused.contains("tail.db"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn the_list_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let positions = Positions::open(&path).unwrap();
        let progress = Progress::new(Place::default());
        positions.follow(id(1), Path::new("a"), Arc::clone(&progress));
        for offset in 0..5000 {
            drop(progress.store(Place::new(offset, b"0123456789")));
            positions.save();
        }
        assert!(fs::metadata(&path).unwrap().len() < 2 * SLACK as u64);
        assert_eq!(reopened(&path), [(1, 4999)]);
    }

    proptest! {
        #[test]
        fn a_cut_or_damaged_list_gives_places_that_were_written(cut in 0..600_usize, damage in proptest::option::of((20..600_usize, any::<u8>()))) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("db");
            let mut bytes = HEADER.as_bytes().to_vec();
            for offset in 0..10 {
                bytes.extend(line(id(offset % 3), Some(Place::new(offset, b"mark")), "path").bytes());
            }
            bytes.truncate(cut);
            if let Some((at, byte)) = damage && let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
            fs::write(&path, &bytes).unwrap();
            for (inode, offset) in reopened(&path) {
                prop_assert!(offset < 10 && offset % 3 == inode);
            }
        }
    }
}
