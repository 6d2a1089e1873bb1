//! Notices that files change: inotify where the system has it.

use std::collections::HashMap;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::place::FileId;

/// What has happened since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Files that were written to, moved or removed.
    pub(super) files: Vec<FileId>,
    /// Files have appeared in a folder.
    pub(super) has_new_files: bool,
    /// Nobody knows what has happened: there was too much of it.
    pub(super) is_lost: bool,
}

/// Watches files and the folders they appear in.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: OwnedFd,
    files: HashMap<i32, FileId>,
    folders: HashMap<PathBuf, i32>,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the user has too many watchers already.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            files: HashMap::new(),
            folders: HashMap::new(),
        })
    }

    /// What to wait for.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Watches an open file, whatever its name leads to meanwhile; what to forget it by.
    ///
    /// # Errors
    /// When there are too many watches.
    pub(super) fn add_file(&mut self, file: &File, id: FileId) -> Result<i32, Errno> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let wanted = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE_SELF
            | WatchFlags::DELETE_SELF;
        let watch = inotify::add_watch(&self.inotify, path.as_str(), wanted)?;
        self.files.insert(watch, id);
        Ok(watch)
    }

    /// Forgets a file.
    pub(super) fn remove_file(&mut self, watch: i32) {
        if self.files.remove(&watch).is_some() {
            // The system forgets a file that is gone by itself.
            let _gone = inotify::remove_watch(&self.inotify, watch);
        }
    }

    /// Watches a folder for files that appear.
    ///
    /// # Errors
    /// When there are too many watches, or there is no such folder.
    pub(super) fn add_folder(&mut self, folder: &Path) -> Result<bool, Errno> {
        if self.folders.contains_key(folder) {
            return Ok(false);
        }
        let wanted = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let watch = inotify::add_watch(&self.inotify, folder, wanted)?;
        self.folders.insert(folder.to_owned(), watch);
        Ok(true)
    }

    /// Takes what has happened; does not wait.
    pub(super) fn news(&mut self) -> News {
        let mut news = News::default();
        let mut room = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(&self.inotify, &mut room);
        let mut gone = Vec::new();
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                news.is_lost = true;
            } else if event.events().contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
            } else if let Some(&id) = self.files.get(&event.wd()) {
                if news.files.last() != Some(&id) {
                    news.files.push(id);
                }
            } else {
                news.has_new_files = true;
            }
        }
        for watch in gone {
            self.files.remove(&watch);
            self.folders.retain(|_, known| *known != watch);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;

    #[test]
    fn it_tells_what_happens_to_files_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = File::create(&path).unwrap();
        let id = FileId::of(&file.metadata().unwrap());
        let mut watch = Watch::new().unwrap();
        let number = watch.add_file(&file, id).unwrap();
        assert!(watch.add_folder(folder.path()).unwrap());
        assert!(!watch.add_folder(folder.path()).unwrap());
        assert_eq!(watch.news(), News::default());

        file.write_all(b"x").unwrap();
        assert_eq!(watch.news().files, [id]);
        fs::write(folder.path().join("b"), "").unwrap();
        let news = watch.news();
        assert!(news.has_new_files && news.files.is_empty());
        fs::rename(&path, folder.path().join("c")).unwrap();
        assert_eq!(watch.news().files, [id]);
        watch.remove_file(number);
        file.write_all(b"x").unwrap();
        assert_eq!(watch.news().files, []);
    }
}
