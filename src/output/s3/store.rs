//! The files in which events wait for their upload.
//!
//! ```text
//! store_dir/bucket/OUTPUT/lock            held while the output lives
//!                         index           what $INDEX is next
//!                         ID.json         a chunk: its tag, when it was begun, what tells its key apart
//!                         ID.data         its bytes, appended
//!                         ID.packed       the same, compressed for the upload
//!                         upload-ID.json  a multipart upload under way
//!                         quarantine/     chunks that were given up
//! ```
//!
//! A chunk's description is there before its data, and both go when the upload is done, so what a killed process leaves behind is
//! found by the next one. A request that was only partly appended is cut off again.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::key;

/// A description is a few hundred bytes; a tag and a key are bounded.
const DESCRIPTION_MAX: u64 = 1 << 20;

/// Events of one tag in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) id: u64,
    pub(super) tag: String,
    pub(super) created: SystemTime,
    /// The same for every attempt to upload it, so that a second one replaces the first.
    pub(super) random: String,
    #[serde(skip)]
    pub(super) size: u64,
}

/// A multipart upload under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) id: u64,
    pub(super) tag: String,
    pub(super) key: String,
    /// What S3 calls it.
    pub(super) token: String,
    pub(super) created: SystemTime,
    /// The `ETag` of each part, in order.
    pub(super) parts: Vec<String>,
    pub(super) bytes: u64,
}

/// How the store is bounded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Of all chunks; `None` for as much as the disk holds.
    pub(super) bytes: Option<u64>,
    /// Of those given up.
    pub(super) quarantine: Option<u64>,
}

/// The files of one output.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Held while the store is in use.
    lock: Option<File>,
    open: HashMap<String, Chunk>,
    next_id: u64,
    index: u64,
    bytes: u64,
    quarantined: u64,
}

/// What was found in the folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    pub(super) chunks: Vec<Chunk>,
    pub(super) uploads: Vec<Upload>,
}

impl Store {
    /// A store in a folder; nothing is touched before [`Store::open`].
    pub(super) fn new(folder: PathBuf, bounds: Bounds) -> Self {
        Self {
            folder,
            bounds,
            state: Mutex::default(),
        }
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the folder its own and finds what another process has left there. A second call finds nothing.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process uses it.
    pub(super) fn open(&self) -> io::Result<Leftovers> {
        let mut state = self.state();
        if state.lock.is_some() {
            return Ok(Leftovers::default());
        }
        fs::create_dir_all(self.folder.join("quarantine"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join("lock"))?;
        lock.try_lock()?;
        let leftovers = self.find_leftovers()?;
        let ids = leftovers.chunks.iter().map(|chunk| chunk.id);
        let ids = ids.chain(leftovers.uploads.iter().map(|upload| upload.id));
        let index = fs::read_to_string(self.folder.join("index"));
        *state = State {
            lock: Some(lock),
            open: HashMap::new(),
            next_id: ids.max().map_or(0, |id| id.saturating_add(1)),
            index: index
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or_default(),
            bytes: leftovers.chunks.iter().map(|chunk| chunk.size).sum(),
            quarantined: size_of_files(&self.folder.join("quarantine"))?,
        };
        Ok(leftovers)
    }

    fn find_leftovers(&self) -> io::Result<Leftovers> {
        let mut leftovers = Leftovers::default();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(stem) = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".json"))
            else {
                continue;
            };
            if stem.starts_with("upload-") {
                leftovers.uploads.extend(read_json::<Upload>(&path)?);
            } else if let Some(mut chunk) = read_json::<Chunk>(&path)? {
                chunk.size = fs::metadata(self.data(&chunk)).map_or(0, |data| data.len());
                if chunk.size == 0 {
                    self.remove(&chunk)?;
                } else {
                    leftovers.chunks.push(chunk);
                }
            }
        }
        leftovers.chunks.sort_by_key(|chunk| chunk.id);
        leftovers.uploads.sort_by_key(|upload| upload.id);
        Ok(leftovers)
    }

    /// Appends to the chunk of a tag; gives the chunk when it is larger than `most` by then.
    ///
    /// # Errors
    /// When the file cannot be written, or the store is full; then nothing was appended.
    pub(super) fn append(&self, tag: &str, bytes: &[u8], most: u64) -> io::Result<Option<Chunk>> {
        let mut state = self.state();
        let length = bytes.len() as u64;
        if self
            .bounds
            .bytes
            .is_some_and(|limit| state.bytes + length > limit)
        {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "store_dir_limit_size is reached",
            ));
        }
        let mut chunk = match state.open.remove(tag) {
            Some(chunk) => chunk,
            None => self.begin(tag, &mut state)?,
        };
        let written = append_whole(&self.data(&chunk), bytes, chunk.size);
        if written.is_ok() {
            chunk.size += length;
            state.bytes += length;
        }
        if chunk.size > most {
            return written.map(|()| Some(chunk));
        }
        state.open.insert(tag.to_owned(), chunk);
        written.map(|()| None)
    }

    fn begin(&self, tag: &str, state: &mut State) -> io::Result<Chunk> {
        let chunk = Chunk {
            id: state.next_id,
            tag: tag.to_owned(),
            created: SystemTime::now(),
            random: key::random(),
            size: 0,
        };
        write_json(&self.description(&chunk), &chunk)?;
        state.next_id += 1;
        Ok(chunk)
    }

    /// Closes the chunks that were begun so long ago.
    pub(super) fn take_older(&self, age: Duration) -> Vec<Chunk> {
        let now = SystemTime::now();
        let is_old = |chunk: &Chunk| {
            let lived = now.duration_since(chunk.created);
            chunk.size > 0 && lived.is_ok_and(|lived| lived >= age)
        };
        let mut state = self.state();
        let old = state.open.extract_if(|_, chunk| is_old(chunk));
        let mut old: Vec<_> = old.map(|(_, chunk)| chunk).collect();
        old.sort_by_key(|chunk| chunk.id);
        old
    }

    /// Where a chunk's bytes are.
    pub(super) fn data(&self, chunk: &Chunk) -> PathBuf {
        self.folder.join(format!("{:016x}.data", chunk.id))
    }

    /// Where a chunk's compressed bytes go.
    pub(super) fn packed(&self, chunk: &Chunk) -> PathBuf {
        self.folder.join(format!("{:016x}.packed", chunk.id))
    }

    fn description(&self, chunk: &Chunk) -> PathBuf {
        self.folder.join(format!("{:016x}.json", chunk.id))
    }

    /// Forgets a chunk that was uploaded.
    ///
    /// # Errors
    /// When its files cannot be removed.
    pub(super) fn forget(&self, chunk: &Chunk) -> io::Result<()> {
        self.remove(chunk)?;
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(chunk.size);
        Ok(())
    }

    fn remove(&self, chunk: &Chunk) -> io::Result<()> {
        // The description last: without it nothing would ever remove the data.
        for path in [
            self.packed(chunk),
            self.data(chunk),
            self.description(chunk),
        ] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves a chunk that is given up out of the way; whether there was room for it. Without, it is deleted.
    ///
    /// # Errors
    /// When its files cannot be moved.
    pub(super) fn give_up(&self, chunk: &Chunk, keep: bool) -> io::Result<bool> {
        let mut state = self.state();
        let size = state.quarantined + chunk.size;
        let keep = keep && self.bounds.quarantine.is_none_or(|limit| size <= limit);
        if keep {
            let quarantine = self.folder.join("quarantine");
            for path in [self.data(chunk), self.description(chunk)] {
                fs::rename(&path, quarantine.join(path.file_name().unwrap_or_default()))?;
            }
            state.quarantined = size;
        }
        state.bytes = state.bytes.saturating_sub(chunk.size);
        drop(state);
        self.remove(chunk)?;
        Ok(keep)
    }

    /// What `$INDEX` is next.
    pub(super) fn index(&self) -> u64 {
        self.state().index
    }

    /// Counts an object.
    ///
    /// # Errors
    /// When the number cannot be kept for the next start.
    pub(super) fn advance_index(&self) -> io::Result<()> {
        let mut state = self.state();
        state.index += 1;
        replace(
            &self.folder.join("index"),
            state.index.to_string().as_bytes(),
        )
    }

    /// An identity for an upload.
    pub(super) fn next_id(&self) -> u64 {
        let mut state = self.state();
        state.next_id += 1;
        state.next_id - 1
    }

    /// Keeps how far an upload is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep_upload(&self, upload: &Upload) -> io::Result<()> {
        write_json(&self.upload(upload), upload)
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub(super) fn forget_upload(&self, upload: &Upload) -> io::Result<()> {
        fs::remove_file(self.upload(upload))
    }

    fn upload(&self, upload: &Upload) -> PathBuf {
        self.folder.join(format!("upload-{:016x}.json", upload.id))
    }
}

/// Appends all, or nothing: a failure leaves the file as long as it was.
fn append_whole(path: &Path, bytes: &[u8], size: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let written = file.write_all(bytes);
    if written.is_err() {
        file.set_len(size)?;
    }
    written
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    replace(path, &serde_json::to_vec(value)?)
}

/// Puts a file in the place of another, which is there whole until then.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes)?;
    fs::rename(fresh, path)
}

/// Reads a description; `None` for one that says nothing, which is told and left where it is.
fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    if fs::metadata(path)?.len() <= DESCRIPTION_MAX
        && let Ok(value) = serde_json::from_slice(&fs::read(path)?)
    {
        return Ok(Some(value));
    }
    let path = path.display();
    crate::error!(
        "output:s3",
        "{path} cannot be read; its data stay where they are"
    );
    Ok(None)
}

fn size_of_files(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        size += entry?.metadata()?.len();
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNBOUNDED: Bounds = Bounds {
        bytes: None,
        quarantine: None,
    };

    fn store(folder: &Path, bounds: Bounds) -> (Store, Leftovers) {
        let store = Store::new(folder.join("out"), bounds);
        let leftovers = store.open().unwrap();
        (store, leftovers)
    }

    #[test]
    fn a_chunk_is_closed_when_it_is_larger_than_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = store(folder.path(), UNBOUNDED);
        assert_eq!(store.append("t", b"12345", 5).unwrap(), None);
        assert_eq!(store.append("u", b"x", 5).unwrap(), None);
        let chunk = store.append("t", b"6", 5).unwrap().unwrap();
        assert_eq!(fs::read(store.data(&chunk)).unwrap(), b"123456");
        assert_eq!((chunk.tag.as_str(), chunk.size), ("t", 6));
        let rest = store.take_older(Duration::ZERO);
        assert_eq!((rest.len(), rest[0].tag.as_str()), (1, "u"));
    }

    #[test]
    fn what_a_killed_process_leaves_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = store(folder.path(), UNBOUNDED);
        first.append("t", b"one", 2).unwrap();
        first.append("t", b"two", 20).unwrap();
        let upload = Upload {
            id: first.next_id(),
            tag: "t".into(),
            key: "/k".into(),
            token: "u".into(),
            created: SystemTime::UNIX_EPOCH,
            parts: vec!["e".into()],
            bytes: 3,
        };
        first.keep_upload(&upload).unwrap();
        first.advance_index().unwrap();
        assert!(
            Store::new(folder.path().join("out"), UNBOUNDED)
                .open()
                .is_err(),
            "two processes do not share a store"
        );
        drop(first);
        // Begun, and killed before the first byte.
        let empty = folder.path().join("out/00000000000000ff.json");
        let chunk = r#"{"id":255,"tag":"t","created":{"secs_since_epoch":1,"nanos_since_epoch":0},"random":"r"}"#;
        fs::write(&empty, chunk).unwrap();
        let (second, found) = store(folder.path(), UNBOUNDED);
        let sizes: Vec<_> = found
            .chunks
            .iter()
            .map(|chunk| (chunk.id, chunk.size))
            .collect();
        assert_eq!(sizes, [(0, 3), (1, 3)]);
        assert_eq!(found.uploads, [upload]);
        assert!(!empty.exists());
        assert_eq!((second.index(), second.next_id()), (1, 3));
        for chunk in &found.chunks {
            second.forget(chunk).unwrap();
        }
        second.forget_upload(&found.uploads[0]).unwrap();
        drop(second);
        assert_eq!(store(folder.path(), UNBOUNDED).1, Leftovers::default());
    }

    /// Checklist: outputs 44
    #[test]
    fn a_full_store_takes_nothing_until_something_is_uploaded() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            bytes: Some(5),
            ..UNBOUNDED
        };
        let (store, _) = store(folder.path(), bounds);
        let chunk = store.append("t", b"1234", 1).unwrap().unwrap();
        assert!(store.append("t", b"56", 1).is_err());
        store.forget(&chunk).unwrap();
        assert!(store.append("t", b"56", 1).unwrap().is_some());
    }

    /// Checklist: outputs 44
    #[test]
    fn the_quarantine_keeps_what_it_has_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            quarantine: Some(5),
            ..UNBOUNDED
        };
        let (store, _) = store(folder.path(), bounds);
        let chunk = || store.append("t", b"1234", 1).unwrap().unwrap();
        let (first, second, third) = (chunk(), chunk(), chunk());
        assert!(store.give_up(&first, true).unwrap());
        assert!(!store.give_up(&second, true).unwrap());
        assert!(!store.give_up(&third, false).unwrap());
        let kept = store.folder().join("quarantine/0000000000000000.data");
        assert_eq!(fs::read(kept).unwrap(), b"1234");
        assert!(!store.data(&second).exists() && !store.data(&third).exists());
    }
}
