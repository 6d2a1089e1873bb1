//! The open files.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many files are kept open; opening one costs little beside a write.
const OPEN_MAX: usize = 256;

/// Appends to files, and keeps those written last open. All of it blocks.
#[derive(Debug)]
pub(super) struct Files {
    /// Whether missing folders are made.
    mkdir: bool,
    /// Those not being written to, the one used last at the end.
    idle: Mutex<Vec<(Box<str>, File)>>,
}

impl Files {
    /// With none open.
    pub(super) fn new(mkdir: bool) -> Self {
        Self {
            mkdir,
            idle: Mutex::default(),
        }
    }

    /// Appends `rows` to the file at `path`, behind `head` if it is empty. After an error nothing of them is there, so that
    /// they can be appended again.
    pub(super) fn append(&self, path: &str, head: &[u8], rows: &[u8]) -> io::Result<()> {
        let mut file = self.take(path)?;
        let before = file.metadata()?.len();
        let bytes = match before {
            0 if !head.is_empty() => Cow::Owned([head, rows].concat()),
            _ => Cow::Borrowed(rows),
        };
        if let Err(error) = file.write_all(&bytes) {
            // What is no regular file has no length to go back to; the error says what there is to say.
            drop(file.set_len(before));
            return Err(error);
        }
        self.put_back(path, file);
        Ok(())
    }

    /// The file at this path, whether or not it was open.
    fn take(&self, path: &str) -> io::Result<File> {
        let idle = {
            let mut idle = self.idle();
            let found = idle.iter().position(|(open, _)| &**open == path);
            found.map(|position| idle.remove(position).1)
        };
        match idle {
            Some(file) if is_at(&file, path) => Ok(file),
            _ => self.open(path),
        }
    }

    fn open(&self, path: &str) -> io::Result<File> {
        let open = || File::options().append(true).create(true).open(path);
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.mkdir => {
                fs::create_dir_all(Path::new(path).parent().unwrap_or(Path::new("")))?;
                open()
            }
            opened => opened,
        }
    }

    fn put_back(&self, path: &str, file: File) {
        let mut idle = self.idle();
        if idle.len() >= OPEN_MAX {
            idle.remove(0);
        }
        idle.push((path.into(), file));
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Box<str>, File)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the path still leads to this file, and not to none or to another since it was moved.
fn is_at(file: &File, path: &str) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(folder: &tempfile::TempDir, name: &str) -> String {
        folder.path().join(name).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_file_that_was_moved_or_removed_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (path(&folder, "a.log"), path(&folder, "a.log.1"));
        let files = Files::new(false);
        files.append(&path, b"", b"1\n").unwrap();
        files.append(&path, b"", b"2\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        files.append(&path, b"", b"3\n").unwrap();
        fs::remove_file(&path).unwrap();
        files.append(&path, b"", b"4\n").unwrap();
        assert_eq!(
            (fs::read(moved).unwrap(), fs::read(path).unwrap()),
            (b"1\n2\n".to_vec(), b"4\n".to_vec())
        );
    }

    #[test]
    fn the_head_stands_once_at_the_top() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder, "a.csv");
        for _ in 0..2 {
            let files = Files::new(false);
            files.append(&path, b"head\n", b"row\n").unwrap();
            files.append(&path, b"head\n", b"row\n").unwrap();
        }
        assert_eq!(fs::read(path).unwrap(), b"head\nrow\nrow\nrow\nrow\n");
    }

    #[test]
    fn folders_are_made_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder, "x/y/a.log");
        assert_eq!(
            Files::new(false)
                .append(&path, b"", b"1")
                .unwrap_err()
                .kind(),
            io::ErrorKind::NotFound
        );
        Files::new(true).append(&path, b"", b"2").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"2");
    }

    #[test]
    fn few_files_stay_open_however_many_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(false);
        for number in 0..OPEN_MAX + 10 {
            files
                .append(&path(&folder, &number.to_string()), b"", b"1")
                .unwrap();
        }
        assert_eq!(files.idle().len(), OPEN_MAX);
        assert_eq!(&*files.idle()[0].0, path(&folder, "10"));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        assert_eq!(
            Files::new(false)
                .append("/dev/full", b"", b"1")
                .unwrap_err()
                .kind(),
            io::ErrorKind::StorageFull
        );
    }
}
