//! A route as the log knows it.

use std::sync::Arc;

use super::Wants;
use crate::buffer::{BATCH_MAX, Inbox};
use crate::telemetry::RouteLedger;
use crate::telemetry::log::Limiter;

/// How much.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount {
    pub(super) bytes: u64,
    pub(super) events: u64,
}

impl Amount {
    pub(super) fn add(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.events += more.events;
    }
}

/// How events come to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// In memory.
    Direct,
    /// From the files.
    Behind,
    /// Still from the files, below this sequence.
    Joining(u64),
}

/// A route that entries are owed to.
pub(super) struct Slot {
    pub(super) name: Arc<str>,
    /// What stands for it in the files.
    pub(super) key: u64,
    pub(super) inbox: Arc<Inbox>,
    pub(super) ledger: Arc<RouteLedger>,
    /// `storage.total_limit_size`.
    pub(super) limit: Option<u64>,
    /// The tags it wants of what an earlier run left.
    pub(super) wants: Option<Wants>,
    pub(super) mode: Mode,
    /// The sequence from which on it is behind.
    pub(super) from: u64,
    /// For what is said of it.
    pub(super) limiter: Limiter,
    /// It was said that it is behind.
    pub(super) is_said: bool,
    /// Bytes that it holds in memory and that came directly.
    pub(super) direct: u64,
    /// Bytes that were read for it and that it has not let go of.
    pub(super) ahead: u64,
    /// Bytes in the files that it has not let go of.
    pub(super) owed: u64,
    /// The events in those.
    pub(super) owed_events: u64,
}

impl Slot {
    /// How much it may be brought at once, when each route may hold so much, and whether it may be brought that now.
    pub(super) fn room(&self, room: u64) -> (u64, bool) {
        let room = room.min(self.limit.map_or(u64::MAX, |limit| limit / 2));
        let most = room.clamp(1, BATCH_MAX as u64);
        let held = self.direct + self.ahead;
        (most, held == 0 || held + most <= room)
    }

    /// Bytes owed to it that are not in memory.
    pub(super) fn on_disk(&self) -> u64 {
        self.owed.saturating_sub(self.direct + self.ahead)
    }

    /// By how many bytes too many are owed to it.
    pub(super) fn excess(&self) -> u64 {
        self.limit
            .map_or(0, |limit| self.owed.saturating_sub(limit))
    }
}

/// The key of a route: the same in every run, and another than those of the routes that are there.
pub(super) fn fresh_key(slots: &[Slot], name: &str) -> u64 {
    let mut salted = name.to_owned();
    loop {
        let key = key_of(&salted);
        let is_taken = |slot: &Slot| slot.key == key && Arc::strong_count(&slot.inbox) > 1;
        if !slots.iter().any(is_taken) {
            return key;
        }
        salted.push('\0');
    }
}

/// FNV-1a.
fn key_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
