//! Room for what is read, within the budget.

use super::Ingest;
use crate::budget::Permit;

/// The least room for a read.
pub(super) const READ: usize = 32 * 1024;

/// What a byte of text takes: itself, and 3 at most of the record it becomes.
const FACTOR: usize = 4;

/// Bytes that were read and not taken yet. Their room has a permit each, given back when nothing is left.
#[derive(Debug, Default)]
pub(super) struct Room {
    bytes: Vec<u8>,
    permits: Vec<Permit>,
}

impl Room {
    /// Waits for room for a read.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn make(&mut self, ingest: &Ingest) {
        let spare = self.bytes.capacity() - self.bytes.len();
        if spare < READ {
            let more = READ.max(self.bytes.len());
            self.permits.push(ingest.permit(more * FACTOR).await);
            self.bytes.reserve_exact(spare + more);
        }
    }

    /// What is there; a read appends to it.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Forgets the first bytes, which are stored.
    pub(super) fn taken(&mut self, length: usize) {
        self.bytes.drain(..length.min(self.bytes.len()));
        if self.bytes.is_empty() {
            *self = Self::default();
        }
    }
}
