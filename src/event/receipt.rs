//! What tells the source of events that they are settled.

use std::fmt;
use std::sync::Arc;

/// Goes with stored events. When the last copy is gone, every output has settled all of them: delivered or dropped with a
/// reason. An input that can read the same bytes again remembers its place only then.
///
/// What is left behind at the end of the process lets go of its receipts too; who hands them out has to stop listening before.
#[derive(Clone)]
pub struct Receipt(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Notice>);

/// Calls when it is dropped.
struct Notice(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Receipt {
    /// Calls `settled` when the events are settled, in the task of the output that was last. It must be quick.
    pub fn new(settled: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Notice(Some(Box::new(settled)))))
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        if let Some(settled) = self.0.take() {
            settled();
        }
    }
}
