//! How many peers may be connected at once, all inputs together.
//!
//! Each takes a descriptor of the process, and the outputs need some too: if peers could take all of them, nothing could be
//! delivered any more, and nothing would ever be freed.

use std::sync::{Arc, LazyLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors that are left for everything else.
const KEPT: u64 = 128;
/// The least number of peers, however few descriptors there are.
const LEAST: u64 = 16;
/// Where no limit is set.
const MOST: u64 = 1 << 20;

static SLOTS: LazyLock<Slots> = LazyLock::new(|| Slots::new(descriptors()));

/// The right of one peer to be connected.
pub(super) type Slot = OwnedSemaphorePermit;

/// The slots of a process.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    count: u64,
}

impl Slots {
    /// Those of this process.
    pub(super) fn of_process() -> &'static Self {
        &SLOTS
    }

    fn new(descriptors: u64) -> Self {
        let count = descriptors.saturating_sub(KEPT).clamp(LEAST, MOST);
        Self {
            free: Arc::new(Semaphore::new(count as usize)),
            count,
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether all are taken.
    pub(super) fn is_full(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// Waits for a slot.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn take(&self) -> Option<Slot> {
        // Nobody closes the semaphore.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }
}

/// How many descriptors the process may have; first raised to what it may be raised to.
fn descriptors() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    limit.unwrap_or(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_leaves_makes_room_for_another() {
        let slots = Slots::new(0);
        let mut taken = Vec::new();
        for _ in 0..LEAST {
            taken.extend(slots.take().await);
        }
        assert!(slots.is_full());
        assert_eq!(taken.len() as u64, slots.count());
        taken.pop();
        assert!(slots.take().await.is_some());
    }

    #[test]
    fn some_descriptors_are_left_for_the_outputs() {
        assert_eq!(Slots::new(1024).count(), 1024 - KEPT);
        assert_eq!(Slots::new(u64::MAX).count(), MOST);
    }
}
