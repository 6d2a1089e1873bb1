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
//! the one before. `memory.rs` is the one store so far; the disk store will hand out the same batches.

mod memory;
mod pool;
mod source;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

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
    /// A batch is ready.
    Sealed(Arc<Batch>),
    /// Readers wait for memory: whatever is held should go, full request or not.
    Hurry,
}

/// A route's inbox. Bounded by the budget: every message stands for bytes that are charged.
#[derive(Debug, Default)]
pub struct Inbox {
    messages: Mutex<Vec<Message>>,
    arrived: Notify,
}

impl Inbox {
    fn put(&self, message: Message) {
        self.messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message);
        self.arrived.notify_one();
    }

    /// Asks the route to let go of what it holds.
    pub fn hurry(&self) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        // One is enough until the route has looked.
        if !matches!(messages.last(), Some(Message::Hurry)) {
            messages.push(Message::Hurry);
            drop(messages);
            self.arrived.notify_one();
        }
    }

    /// Moves what has come into `messages`, which must be empty.
    pub fn take(&self, messages: &mut Vec<Message>) {
        std::mem::swap(
            &mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner),
            messages,
        );
    }

    /// Waits until something has come since the last call.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
