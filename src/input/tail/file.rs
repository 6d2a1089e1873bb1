//! One file that is followed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::cursor::Cursor;
use super::join::Joiner;
use super::place::{FileId, Place};
use super::progress::Progress;
use crate::budget::{Budget, Charge};

/// What has become of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that matters.
    None,
    /// There is more to read.
    Grown,
    /// It is shorter than what was read of it.
    Emptied,
    /// Its name leads to another file, or to none. Its new name, if it has one.
    Renamed(Option<PathBuf>),
}

/// A file and how far it is read.
#[derive(Debug)]
pub(super) struct Followed {
    /// Open, whatever becomes of its name.
    pub(super) file: File,
    /// Which file it is.
    pub(super) id: FileId,
    /// The name it was found by.
    pub(super) path: PathBuf,
    /// The tag of its lines.
    pub(super) tag: Vec<u8>,
    /// What tells that it changes.
    pub(super) watch: Option<i32>,
    /// How far it is read.
    pub(super) cursor: Cursor,
    /// How far it is settled, where places are kept.
    pub(super) progress: Option<Arc<Progress>>,
    /// Joins lines.
    pub(super) joiner: Option<Joiner>,
    /// What that holds, as a part of the budget.
    pub(super) charge: Option<Charge>,
    /// A read may find something.
    pub(super) is_ready: bool,
    /// When it was found to have lost its name.
    pub(super) rotated: Option<Instant>,
}

impl Followed {
    /// Everything before this place has been stored.
    pub(super) fn stored(&self) -> Place {
        let joining = self.joiner.as_ref().and_then(Joiner::start);
        joining.unwrap_or_else(|| self.cursor.place())
    }

    /// Charges what the joiner holds.
    pub(super) fn charge(&mut self, budget: &Arc<Budget>) {
        let held = self.joiner.as_ref().map_or(0, Joiner::held);
        // The new charge comes before the old one goes: in between, nothing held would look like room.
        self.charge = (held > 0).then(|| budget.charge(held as u64));
    }

    /// Whether its place may have to be written down soon.
    pub(super) fn is_unsaved(&self) -> bool {
        let progress = self.progress.as_ref();
        progress.is_some_and(|progress| progress.is_waiting())
    }

    /// Starts at the first byte again.
    pub(super) fn restart(&mut self) {
        self.cursor = Cursor::default();
        self.is_ready = true;
        if let Some(progress) = &self.progress {
            progress.restart(Place::default());
        }
    }

    /// Looks at the file and at its name.
    ///
    /// # Errors
    /// When the file cannot be looked at any more.
    pub(super) fn look(&self) -> io::Result<Change> {
        let metadata = self.file.metadata()?;
        if metadata.len() < self.cursor.offset() {
            return Ok(Change::Emptied);
        }
        if self.rotated.is_none() && !self.has_its_name() {
            return Ok(Change::Renamed(self.current_name()));
        }
        if metadata.len() > self.cursor.offset() {
            return Ok(Change::Grown);
        }
        Ok(Change::None)
    }

    fn has_its_name(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| FileId::of(&metadata) == self.id)
    }

    /// The name the system knows the open file by.
    fn current_name(&self) -> Option<PathBuf> {
        use std::os::fd::AsRawFd as _;
        let link = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        fs::read_link(link)
            .ok()
            .filter(|name| is_name_of(name, self.id))
    }
}

/// Whether a name leads to this file.
pub(super) fn is_name_of(path: &Path, id: FileId) -> bool {
    fs::metadata(path).is_ok_and(|metadata| FileId::of(&metadata) == id)
}
