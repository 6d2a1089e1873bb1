//! Where an input hands its events: the stages of the configuration that runs, whichever that is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::input::{Dispatch, Session};

/// A dispatcher whose stages a reload replaces while connections stay open.
pub(super) struct Switch {
    current: Mutex<Arc<dyn Dispatch>>,
    generation: AtomicU64,
}

impl Switch {
    /// Leads there.
    pub(super) fn new(dispatch: Arc<dyn Dispatch>) -> Self {
        Self {
            current: Mutex::new(dispatch),
            generation: AtomicU64::new(0),
        }
    }

    /// Leads elsewhere from now on. A connection follows at its next commit.
    pub(super) fn replace(&self, dispatch: Arc<dyn Dispatch>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = dispatch;
        // After the dispatcher, so that a session which is opened because of this is one of the new stages.
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn current(&self) -> Arc<dyn Dispatch> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Dispatch for Switch {
    fn session(&self) -> Box<dyn Session> {
        self.current().session()
    }

    fn hurry(&self) {
        self.current().hurry();
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
