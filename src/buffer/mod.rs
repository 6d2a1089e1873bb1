//! Where events wait between the filters and the outputs.
//!
//! Events of one tag and one input lie in one [`Stream`], which fills a [`Batch`] at a time. A batch's routes are fixed when
//! it is opened. One copy is kept; each route has an [`Inbox`] of its own, in which it finds the batches it owes, and the bytes go
//! back to the budget when the last route has let go of them.
//!
//! ```text
//! connection ── append ──▶ Stream (one open batch) ── seal ──▶ Inbox of route 0 ──▶ deliver
//!                                                        └───▶ Inbox of route 1 ──▶ deliver
//! ```
//! A batch is sealed when it is full, or when the first route to want it asks: at once after a quiet period, else `Flush` after
//! the one before. Where an input has `storage.type filesystem`, everything is in the log of `disk/` as well, and a route that memory has
//! no room for finds its batches there.

mod disk;
mod memory;
mod pool;
mod source;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

pub use disk::{
    Disk, Entry, Figures, Kept, OpenError, Options, Owed, Registration, Step, Wants, step,
};
pub use memory::{BATCH_MAX, Stream};
pub use pool::Pool;
pub use source::{Held, Source};

use crate::budget::Charge;
use crate::event::{Block, Receipt, Tag};

/// Events of one tag, no longer growing.
#[derive(Debug)]
pub struct Batch {
    /// Their tag.
    pub tag: Tag,
    /// The events.
    pub block: Block,
    /// When they are due at the latest.
    pub due: Instant,
    /// When the first of them was stored.
    pub begun: Instant,
    /// The input they came from.
    pub source: Arc<Source>,
    /// Their part of the budget, given back when the last route drops the batch.
    _charge: Charge,
    /// Let go of with the batch: its events are settled then.
    _receipts: Vec<Receipt>,
    /// Where the block's room goes then, if it came from there.
    pool: Option<Arc<Pool>>,
}

impl Batch {
    /// A batch that was on disk.
    fn read_back(
        tag: Tag,
        block: Block,
        source: Arc<Source>,
        charge: Charge,
        now: Instant,
    ) -> Self {
        source.begin();
        source.seal(block.len());
        Self {
            tag,
            block,
            due: now,
            begun: now,
            source,
            _charge: charge,
            _receipts: Vec::new(),
            pool: None,
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.source.settle(self.block.len());
        if let Some(pool) = &self.pool {
            pool.give(std::mem::take(&mut self.block));
        }
    }
}

/// What a route finds in its inbox.
#[derive(Debug)]
pub enum Message {
    /// A stream has begun a batch, which is to be sealed then at the latest.
    Opened(Arc<Stream>, Instant),
    /// A batch is ready; with what the route owes of the log for it, to be kept as long as anything of the batch.
    Sealed(Arc<Batch>, Option<Arc<Owed>>),
    /// Readers wait for memory: whatever is held should go, full request or not.
    Hurry,
}

/// A route's inbox. Bounded by the budget: every message stands for bytes that are charged.
#[derive(Debug, Default)]
pub struct Inbox {
    messages: Mutex<Messages>,
    arrived: Notify,
    /// Its place in the log, if there is one.
    slot: OnceLock<usize>,
    /// More will come from the disk.
    expects_more: AtomicBool,
}

#[derive(Debug, Default)]
struct Messages {
    ready: Vec<Message>,
    /// What comes directly while the disk still has what goes before it.
    later: Option<Vec<Message>>,
}

impl Inbox {
    fn put(&self, message: Message) {
        let mut messages = self.lock();
        match (&message, &mut messages.later) {
            // What is in memory only has nothing before it on the disk.
            (Message::Sealed(_, Some(_)), Some(later)) => later.push(message),
            _ => messages.ready.push(message),
        }
        drop(messages);
        self.arrived.notify_one();
    }

    /// Puts in a batch that was read from the disk.
    fn bring(&self, batch: Arc<Batch>, owed: Arc<Owed>) {
        self.lock().ready.push(Message::Sealed(batch, Some(owed)));
        self.arrived.notify_one();
    }

    /// Has what comes from the log directly wait until [`Inbox::release`].
    fn hold(&self) {
        self.lock().later.get_or_insert_default();
    }

    fn release(&self) {
        let mut messages = self.lock();
        let mut later = messages.later.take().unwrap_or_default();
        messages.ready.append(&mut later);
        drop(messages);
        self.arrived.notify_one();
    }

    /// Asks the route to let go of what it holds.
    pub fn hurry(&self) {
        let mut messages = self.lock();
        // One is enough until the route has looked.
        if !matches!(messages.ready.last(), Some(Message::Hurry)) {
            messages.ready.push(Message::Hurry);
            drop(messages);
            self.arrived.notify_one();
        }
    }

    /// Moves what has come into `messages`, which must be empty.
    pub fn take(&self, messages: &mut Vec<Message>) {
        std::mem::swap(&mut self.lock().ready, messages);
    }

    /// Waits until something has come since the last call.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Whether something has come that nobody has taken.
    pub fn has_messages(&self) -> bool {
        !self.lock().ready.is_empty()
    }

    /// Whether more will come from the disk, without anybody's storing it.
    pub fn expects_more(&self) -> bool {
        self.expects_more.load(Ordering::Acquire)
    }

    fn expect_more(&self, more: bool) {
        self.expects_more.store(more, Ordering::Release);
        // Who waits for its end looks again.
        self.arrived.notify_one();
    }

    fn slot(&self) -> Option<usize> {
        self.slot.get().copied()
    }

    fn set_slot(&self, slot: usize) {
        // It is given one only while it has none.
        let _once = self.slot.set(slot);
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
