//! Where batches come from, and how many of them are held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An input as its batches know it.
#[derive(Debug)]
pub struct Source {
    /// The input's name.
    pub name: Arc<str>,
    batches: AtomicU64,
    sealed: AtomicU64,
    sealed_bytes: AtomicU64,
}

/// What is held of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Batches.
    pub batches: u64,
    /// Those of them that no longer grow.
    pub sealed: u64,
    /// The size of those.
    pub sealed_bytes: u64,
}

impl Source {
    /// A source of which nothing is held.
    pub fn new(name: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            name,
            batches: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            sealed_bytes: AtomicU64::new(0),
        })
    }

    /// What is held now.
    pub fn held(&self) -> Held {
        Held {
            batches: self.batches.load(Ordering::Relaxed),
            sealed: self.sealed.load(Ordering::Relaxed),
            sealed_bytes: self.sealed_bytes.load(Ordering::Relaxed),
        }
    }

    /// Notes that a batch was begun.
    pub(super) fn begin(&self) {
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a batch was sealed.
    pub(super) fn seal(&self, bytes: usize) {
        self.sealed.fetch_add(1, Ordering::Relaxed);
        self.sealed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes that the last route has let go of a sealed batch.
    pub(super) fn settle(&self, bytes: usize) {
        self.batches.fetch_sub(1, Ordering::Relaxed);
        self.sealed.fetch_sub(1, Ordering::Relaxed);
        self.sealed_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }
}
