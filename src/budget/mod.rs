//! The bytes this process may hold, and the permits that are parts of it.
//!
//! A [`Budget`] may lie inside another: `Mem_Buf_Limit` bounds one input inside the limit of the process. A reader asks
//! for a permit **before** it reads ([`Reader::permit`]), what is stored is [`Budget::charge`]d, and both give back what
//! they hold when dropped. Waiting for a permit is the backpressure: nothing else slows a reader down.

mod cgroup;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub use cgroup::{cpus, memory_limit};

/// What stays outside the budget: code, stacks, TLS and sockets, and the request bodies in flight.
///
/// Idle it is 10 MiB; the rest is room for the bodies of four requests in flight, whole records to CloudWatch Logs, and for what the
/// allocator keeps. A 64 MiB container that is flooded peaked at 49 MiB with it.
pub const RESERVE: u64 = 24 << 20;

/// The smallest budget worth running with, whatever the limit says.
const LEAST: u64 = 4 << 20;

/// Who has gone beyond the limit, and by how many permits that are still held.
#[derive(Debug, Default)]
struct Overdraft {
    reader: u64,
    permits: u32,
}

/// A bounded number of bytes; cheap to share.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    /// Bytes that will be given back by delivering; permits are not among them.
    stored: AtomicU64,
    /// One reader at a time may go beyond the limit, and only while nothing is stored. Without it, readers that each
    /// hold a part of a frame could fill the budget and wait for each other for ever, and so could one with a frame that
    /// is longer than the budget.
    overdraft: Mutex<Overdraft>,
    /// See [`Budget::is_short`].
    full: AtomicBool,
    outer: Option<Arc<Budget>>,
    freed: Notify,
}

impl Budget {
    /// A budget of `limit` bytes of its own.
    pub fn new(limit: u64) -> Arc<Self> {
        Self::build(limit, None)
    }

    /// A budget of at most `limit` bytes of `outer`.
    pub fn inside(outer: &Arc<Self>, limit: u64) -> Arc<Self> {
        Self::build(limit, Some(Arc::clone(outer)))
    }

    fn build(limit: u64, outer: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            overdraft: Mutex::default(),
            full: AtomicBool::new(false),
            outer,
            freed: Notify::new(),
        })
    }

    /// The budget of a process: the cgroup's limit less [`RESERVE`], or a quarter of RAM.
    pub fn of_process() -> Arc<Self> {
        let limit = match memory_limit() {
            Some(limit) => limit.saturating_sub(RESERVE).max(LEAST),
            None => cgroup::ram().map_or(256 << 20, |ram| ram / 4),
        };
        Self::new(limit)
    }

    /// Its size in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes held by permits and charges.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether somebody found no room, and not enough has been given back since.
    pub fn is_short(&self) -> bool {
        self.levels()
            .any(|budget| budget.full.load(Ordering::Acquire))
    }

    /// A reader of its own, told apart from all others.
    pub fn reader(self: &Arc<Self>) -> Reader {
        static READERS: AtomicU64 = AtomicU64::new(0);
        Reader {
            budget: Arc::clone(self),
            id: READERS.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn try_permit(self: &Arc<Self>, bytes: u64, reader: u64) -> Option<Permit> {
        let overdraft = self.take(bytes, reader)?;
        let outer = match &self.outer {
            None => None,
            Some(outer) => {
                if let Some(permit) = outer.try_permit(bytes, reader) {
                    Some(Box::new(permit))
                } else {
                    // In silence: whoever waits here waits for the outer budget as well, which is full.
                    self.untake(bytes, overdraft);
                    return None;
                }
            }
        };
        Some(Permit {
            budget: Arc::clone(self),
            bytes,
            overdraft,
            _outer: outer,
        })
    }

    /// Takes `bytes` for something stored. Never refused: the reader had a permit for it.
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Charge {
        self.add(bytes);
        Charge {
            budget: Arc::clone(self),
            bytes,
        }
    }

    fn add(&self, bytes: u64) {
        for budget in self.levels() {
            budget.used.fetch_add(bytes, Ordering::AcqRel);
            budget.stored.fetch_add(bytes, Ordering::AcqRel);
        }
    }

    /// This budget and those around it.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |budget| budget.outer.as_deref())
    }

    /// Takes room, or the overdraft (true), or nothing.
    fn take(&self, bytes: u64, reader: u64) -> Option<bool> {
        if !self.full.load(Ordering::Acquire) && self.take_room(bytes) {
            return Some(false);
        }
        // Set before looking again, so that whoever gives back from now on knows that somebody may be waiting.
        self.full.store(true, Ordering::Release);
        if self.is_low() {
            self.full.store(false, Ordering::Release);
            if self.take_room(bytes) {
                return Some(false);
            }
            self.full.store(true, Ordering::Release);
        }
        if self.stored.load(Ordering::Acquire) > 0 {
            return None;
        }
        let mut overdraft = self.overdraft();
        if overdraft.permits > 0 && overdraft.reader != reader {
            return None;
        }
        overdraft.reader = reader;
        overdraft.permits += 1;
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Some(true)
    }

    fn take_room(&self, bytes: u64) -> bool {
        let room = |used: u64| used.checked_add(bytes).filter(|&total| total <= self.limit);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .is_ok()
    }

    /// Whether a full budget has room again. A part has to be free before anybody goes on: else each batch that is delivered would
    /// wake every reader for one read.
    fn is_low(&self) -> bool {
        self.used() <= self.limit - self.limit / 8
    }

    fn untake(&self, bytes: u64, overdraft: bool) {
        if overdraft {
            self.overdraft().permits -= 1;
        }
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    fn overdraft(&self) -> MutexGuard<'_, Overdraft> {
        self.overdraft
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who waits, if it is worth it.
    fn wake(&self) {
        if self.full.load(Ordering::Acquire)
            && (self.is_low() || self.stored.load(Ordering::Acquire) == 0)
        {
            self.freed.notify_waiters();
        }
    }
}

/// One reader, whose permits belong together.
#[derive(Debug)]
pub struct Reader {
    budget: Arc<Budget>,
    id: u64,
}

impl Reader {
    /// The budget it reads within.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Takes a permit for `bytes` if there is room now.
    pub fn try_permit(&self, bytes: u64) -> Option<Permit> {
        self.budget.try_permit(bytes, self.id)
    }

    /// Waits for room for `bytes`. Dropping the future waits no longer and takes nothing.
    pub async fn permit(&self, bytes: u64) -> Permit {
        loop {
            let freed = self.budget.freed.notified();
            let outer_freed = self
                .budget
                .outer
                .as_ref()
                .map(|outer| outer.freed.notified());
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(outer_freed) = outer_freed {
                tokio::pin!(outer_freed);
                outer_freed.as_mut().enable();
                if let Some(permit) = self.try_permit(bytes) {
                    return permit;
                }
                tokio::select! { () = freed => {} () = outer_freed => {} }
            } else {
                if let Some(permit) = self.try_permit(bytes) {
                    return permit;
                }
                freed.await;
            }
        }
    }
}

/// The right to hold some bytes that are being read.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
    overdraft: bool,
    /// The same bytes of the budget around this one.
    _outer: Option<Box<Permit>>,
}

impl Permit {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.untake(self.bytes, self.overdraft);
        self.budget.wake();
    }
}

/// Bytes held by something stored.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Charge {
    /// Adds to what is held.
    pub fn grow(&mut self, bytes: u64) {
        self.budget.add(bytes);
        self.bytes += bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        for budget in self.budget.levels() {
            budget.stored.fetch_sub(self.bytes, Ordering::AcqRel);
            budget.untake(self.bytes, false);
            budget.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_waits_until_something_stored_is_gone() {
        let budget = Budget::new(100);
        let stored = budget.charge(80);
        assert!(budget.reader().try_permit(30).is_none());
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.reader().permit(30).await.bytes() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(stored);
        assert_eq!(waiting.await.unwrap(), 30);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn an_inner_budget_takes_from_the_outer_one() {
        let outer = Budget::new(100);
        let inner = Budget::inside(&outer, 60);
        let _elsewhere = outer.charge(50);
        let permit = inner.reader().try_permit(50).unwrap();
        assert_eq!((inner.used(), outer.used()), (50, 100));
        let stored = inner.charge(1);
        assert!(
            inner.reader().try_permit(5).is_none(),
            "the outer budget is spent"
        );
        drop((permit, stored));
        assert_eq!((inner.used(), outer.used()), (0, 50));
        assert!(
            inner.reader().try_permit(60).is_none(),
            "the outer budget has room for 50 only"
        );
        assert_eq!((inner.used(), outer.used()), (0, 50));
    }

    #[test]
    fn one_reader_may_finish_its_frame_when_only_readers_fill_the_budget() {
        let budget = Budget::new(100);
        let (one, other) = (budget.reader(), budget.reader());
        let first = one.try_permit(60).unwrap();
        let second = other.try_permit(60);
        assert!(
            second.is_some(),
            "nothing is stored, so somebody must go on"
        );
        assert!(one.try_permit(60).is_none(), "but only one");
        let third = other.try_permit(60);
        assert!(third.is_some(), "and that one to the end of its frame");
        drop(second);
        assert!(one.try_permit(60).is_none(), "which is not reached yet");
        drop((first, third));
        assert_eq!(budget.used(), 0);
        assert!(one.try_permit(100).is_some());
    }

    #[test]
    fn while_something_is_stored_nobody_goes_beyond_the_limit() {
        let budget = Budget::new(100);
        let reader = budget.reader();
        let _frame = reader.try_permit(150).unwrap();
        let stored = budget.charge(1);
        assert!(reader.try_permit(10).is_none());
        drop(stored);
        assert!(reader.try_permit(10).is_some());
    }

    #[test]
    fn a_charge_that_grows_gives_back_all_of_it() {
        let outer = Budget::new(100);
        let budget = Budget::inside(&outer, 100);
        let mut charge = budget.charge(10);
        charge.grow(25);
        assert_eq!((budget.used(), outer.used()), (35, 35));
        drop(charge);
        assert_eq!((budget.used(), outer.used()), (0, 0));
    }
}
