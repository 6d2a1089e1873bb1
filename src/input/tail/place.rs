//! Places in files, and how to tell whether a file still is the one it was.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// So many bytes in front of a place are remembered.
pub(super) const MARK: usize = 24;

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    /// The device.
    pub(super) device: u64,
    /// The inode on it.
    pub(super) inode: u64,
}

impl FileId {
    /// Of a file that was looked at.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// An offset in a file, with the last bytes in front of it. Where these are others, the file was written anew, or another
/// file has got the inode, and the offset means nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Bytes from the start.
    pub(super) offset: u64,
    mark: [u8; MARK],
    length: u8,
}

impl Place {
    /// At `offset`, behind `before`, which ends there.
    pub(super) fn new(offset: u64, before: &[u8]) -> Self {
        let mut place = Self {
            offset,
            ..Self::default()
        };
        place.remember(before);
        place
    }

    /// A place so many bytes further on, behind `text`, which starts at this one.
    pub(super) fn after(&self, text: &[u8]) -> Self {
        let mut place = *self;
        place.offset += text.len() as u64;
        place.remember(text);
        place
    }

    /// The bytes in front of it.
    pub(super) fn mark(&self) -> &[u8] {
        self.mark.get(..self.length.into()).unwrap_or_default()
    }

    /// Appends to the mark and keeps its end.
    fn remember(&mut self, text: &[u8]) {
        let fresh = text.get(text.len().saturating_sub(MARK)..).unwrap_or(text);
        let kept = MARK.saturating_sub(fresh.len()).min(self.mark().len());
        let start = usize::from(self.length) - kept;
        self.mark.copy_within(start..start + kept, 0);
        if let Some(room) = self.mark.get_mut(kept..kept + fresh.len()) {
            room.copy_from_slice(fresh);
        }
        self.length = (kept + fresh.len()) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_mark_is_the_end_of_what_stands_before(parts in proptest::collection::vec("[a-z]{0,40}", 0..6)) {
            let whole = parts.concat();
            let place = parts.iter().fold(Place::default(), |place, part| place.after(part.as_bytes()));
            prop_assert_eq!(place, Place::new(whole.len() as u64, whole.as_bytes()));
            prop_assert_eq!(place.mark(), &whole.as_bytes()[whole.len().saturating_sub(MARK)..]);
        }
    }
}
