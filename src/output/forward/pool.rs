//! Connections that wait for their next frame, and are closed when they have waited too long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::link::Link;

/// The idle connections to one node, the one used last on top.
#[derive(Debug)]
pub(super) struct Pool {
    shelf: Arc<Mutex<Shelf>>,
    idle_timeout: Duration,
}

#[derive(Debug, Default)]
struct Shelf {
    links: Vec<(Link, Instant)>,
    /// A task closes those that have waited too long.
    is_watched: bool,
}

impl Pool {
    /// A pool that keeps a connection so long.
    pub(super) fn new(idle_timeout: Duration) -> Self {
        Self {
            shelf: Arc::default(),
            idle_timeout,
        }
    }

    /// Takes the connection that was used last.
    pub(super) fn take(&self) -> Option<Link> {
        lock(&self.shelf).links.pop().map(|(link, _)| link)
    }

    /// Keeps a connection for later.
    pub(super) fn put(&self, link: Link) {
        let mut shelf = lock(&self.shelf);
        shelf.links.push((link, Instant::now()));
        if !shelf.is_watched {
            shelf.is_watched = true;
            tokio::spawn(watch(Arc::downgrade(&self.shelf), self.idle_timeout));
        }
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        lock(&self.shelf).links.clear();
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what has waited too long, until nothing waits.
async fn watch(shelf: Weak<Mutex<Shelf>>, idle_timeout: Duration) {
    let mut wake = Instant::now() + idle_timeout;
    loop {
        tokio::time::sleep_until(wake).await;
        let Some(shelf) = shelf.upgrade() else {
            return;
        };
        let mut shelf = lock(&shelf);
        let now = Instant::now();
        shelf.links.retain(|(_, since)| *since + idle_timeout > now);
        let Some(oldest) = shelf.links.iter().map(|(_, since)| *since).min() else {
            shelf.is_watched = false;
            return;
        };
        wake = oldest + idle_timeout;
    }
}
