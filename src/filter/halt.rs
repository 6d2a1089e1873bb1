//! The wish of a filter that the process end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Asks for the end of the process; cloning it shares the wish.
#[derive(Debug, Clone, Default)]
pub struct Halt(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    is_asked: AtomicBool,
    asked: Notify,
}

impl Halt {
    /// Asks for the end: what has arrived is still delivered, and the exit status says that something was wrong. Only the
    /// first call counts.
    pub fn ask(&self, reason: &str) {
        if !self.0.is_asked.swap(true, Ordering::Relaxed) {
            crate::error!("engine", "{reason}: ending");
            self.0.asked.notify_one();
        }
    }

    /// Whether the end was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.is_asked.load(Ordering::Relaxed)
    }

    /// Waits until the end is asked for; for one waiter.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn asked(&self) {
        self.0.asked.notified().await;
    }
}
