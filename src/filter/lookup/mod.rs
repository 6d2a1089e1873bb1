//! Metadata from elsewhere: asked for in the background, kept, and waited for a while.
//!
//! A filter that adds what a service on the network knows is an [operator](super::Operator), and looks a key up once for each
//! stream:
//!
//! ```text
//! operator ── watch(key) ──▶ table ◀── settle ── task ──▶ source ──▶ service
//!     ▲                        │
//!     └──── an atomic load for each event; a new answer is taken over when there is one
//! ```
//!
//! Nothing here is on the path of an event but that load. The events of a stream whose key is not known yet wait before they run
//! through the chain, together with what follows on their connection, but never longer than [`Terms::wait`] after the key was first
//! asked for; while the service is known to be down nobody waits. So a service that is slow or away costs each stream a moment once,
//! and events without their metadata, but no event.
//!
//! | limit | |
//! |---|---|
//! | one question for a key at a time | and [`CALLS_MAX`] for all, one while the service is down |
//! | one question | [`Terms::deadline`] |
//! | after a failure | again at random below a bound that doubles from [`RETRY_BASE`] to [`Terms::retry_max`] |
//! | after "no such thing" | again after [`Terms::absent_ttl`] |
//! | what is known | older than [`Terms::ttl`] it is asked for again, and serves until the answer has come |
//! | the table | [`ENTRIES_MAX`] keys, [`BYTES_MAX`] bytes; keys that no stream watches go first |

mod http;
mod patient;
mod task;
#[cfg(test)]
mod tests;

pub(super) use self::http::{Asked, Client};
pub(super) use self::patient::{Decorator, Patient};

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::Settings;
use crate::telemetry::log::Limiter;

/// Keys that are known or asked for. Clients choose tags, and with them keys.
const ENTRIES_MAX: usize = 8192;
/// What is known may take so much.
const BYTES_MAX: usize = 8 << 20;
/// Questions under way.
pub(super) const CALLS_MAX: usize = 4;
/// After the first failure, at most so long.
const RETRY_BASE: Duration = Duration::from_millis(250);

/// A service that knows something of each key.
pub(super) trait Source: Send + Sync + 'static {
    /// What is asked for.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    /// What is known of it.
    type Found: Found;
    /// Asks once, without a loop and without a sleep: an answer for each key, in their order.
    fn fetch<'a>(&'a self, keys: &'a [Self::Key]) -> BoxFuture<'a, Vec<Answer<Self::Found>>>;

    /// How many keys one question may be about.
    fn keys_max(&self) -> usize {
        1
    }

    /// How many questions may be under way.
    fn calls_max(&self) -> usize {
        CALLS_MAX
    }
}

/// What a source knows of a key.
pub(super) trait Found: Send + Sync + 'static {
    /// The bytes it takes, about.
    fn size(&self) -> usize;
}

/// What became of the question for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer<F> {
    /// This is known.
    Found(F),
    /// This is known, the rest could not be asked for.
    Partly(F, String),
    /// The service is there and knows nothing of the key.
    Absent(String),
    /// No answer, or none that can be understood.
    Failed(String),
}

/// How to ask and for how long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// How long events wait for a key that was never asked for.
    pub wait: Duration,
    /// A question has to be answered by then.
    pub deadline: Duration,
    /// The longest pause between questions that fail.
    pub retry_max: Duration,
    /// What is known is asked for again after this time.
    pub ttl: Option<Duration>,
    /// What is absent is asked for again after this time.
    pub absent_ttl: Duration,
    /// How often a key has to be absent to count as such.
    pub absent_max: u32,
}

/// How long events wait where the user does not say.
const WAIT: Duration = Duration::from_secs(3);
/// No wait may be longer: senders have timeouts of their own.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Reads `metadata_wait`; 0 is no wait.
pub(super) fn wait(settings: &mut Settings<'_>) -> Duration {
    let wait = settings.duration("metadata_wait").unwrap_or(WAIT);
    if wait > WAIT_MAX {
        let message = "is too long: senders give up before; write at most 30s";
        settings.error("metadata_wait", message);
    }
    wait.min(WAIT_MAX)
}

/// What is known of a key now.
#[derive(Debug)]
struct State<F> {
    found: Option<Arc<F>>,
    /// There is nothing to wait for.
    is_settled: bool,
}

/// A key in the table.
struct Entry<F> {
    state: watch::Sender<State<F>>,
    /// Events wait until then.
    patience: Instant,
    /// When to ask; `None` while a question is under way, or when nothing is to be asked any more.
    due: Option<Instant>,
    /// How often in a row it failed.
    failures: u32,
    /// How often in a row it was absent.
    absences: u32,
    size: usize,
}

impl<F> Entry<F> {
    fn is_watched(&self) -> bool {
        self.state.receiver_count() > 0
    }
}

struct Table<S: Source> {
    entries: HashMap<S::Key, Entry<S::Found>>,
    bytes: usize,
    /// How often in a row the service has failed, for whatever key.
    failures: u32,
    /// While it is down, it is left alone until then.
    rest: Option<Instant>,
}

struct Shared<S: Source> {
    source: S,
    terms: Terms,
    /// In the log.
    component: String,
    table: Mutex<Table<S>>,
    /// A key was added.
    added: Notify,
    is_down: AtomicBool,
    full: Limiter,
    absent: Limiter,
}

/// A source with what it has answered. Cloning shares it.
pub(super) struct Lookup<S: Source>(Arc<Shared<S>>);

impl<S: Source> Clone for Lookup<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Source> Lookup<S> {
    /// Nothing is asked before [`Lookup::run`] runs. `component` stands in the log.
    pub(super) fn new(source: S, terms: Terms, component: &str) -> Self {
        let table = Table {
            entries: HashMap::new(),
            bytes: 0,
            failures: 0,
            rest: None,
        };
        Self(Arc::new(Shared {
            source,
            terms,
            component: component.to_owned(),
            table: Mutex::new(table),
            added: Notify::new(),
            is_down: AtomicBool::new(false),
            full: Limiter::default(),
            absent: Limiter::default(),
        }))
    }

    /// Asks and answers until it is dropped.
    pub(super) async fn run(self) {
        task::run(&self.0).await;
    }

    /// Looks at a key from now on, and has it asked for. `None` where the table is full of keys that others look at.
    pub(super) fn watch(&self, key: &S::Key) -> Option<Watched<S::Found>> {
        let shared = &self.0;
        let mut table = shared.lock();
        if let Some(entry) = table.entries.get(key) {
            return Some(Watched::new(entry));
        }
        if table.entries.len() >= ENTRIES_MAX {
            table.forget_unwatched();
        }
        if table.entries.len() >= ENTRIES_MAX {
            if let Some(more) = shared.full.admit() {
                crate::warning!(
                    &shared.component,
                    "metadata of {ENTRIES_MAX} things is in use, more is not asked for; their records pass without it{more}"
                );
            }
            return None;
        }
        let (entry, watched) = shared.new_entry();
        table.entries.insert(key.clone(), entry);
        shared.added.notify_one();
        Some(watched)
    }

    /// As [`Lookup::watch`], for the first key, which always has room.
    pub(super) fn watch_alone(&self, key: &S::Key) -> Watched<S::Found> {
        let (entry, watched) = self.0.new_entry();
        self.0.lock().entries.insert(key.clone(), entry);
        self.0.added.notify_one();
        watched
    }
}

impl<S: Source> Shared<S> {
    fn new_entry(&self) -> (Entry<S::Found>, Watched<S::Found>) {
        let now = Instant::now();
        let wait = if self.is_down.load(Ordering::Relaxed) {
            Duration::ZERO
        } else {
            self.terms.wait
        };
        let state = State {
            found: None,
            is_settled: false,
        };
        let entry = Entry {
            state: watch::Sender::new(state),
            patience: now + wait,
            due: Some(now),
            failures: 0,
            absences: 0,
            size: 0,
        };
        let watched = Watched::new(&entry);
        (entry, watched)
    }

    fn lock(&self) -> MutexGuard<'_, Table<S>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Table<S> {
    /// Makes room.
    fn forget_unwatched(&mut self) {
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let stays = entry.is_watched();
            if !stays {
                *bytes -= entry.size;
            }
            stays
        });
    }
}

/// What is known of one key, as one stream sees it.
#[derive(Debug)]
pub(super) struct Watched<F> {
    state: watch::Receiver<State<F>>,
    patience: Instant,
    /// Nothing is waited for any more; it never is again.
    is_over: bool,
}

impl<F> Clone for Watched<F> {
    /// Another look, to which everything is new.
    fn clone(&self) -> Self {
        let mut state = self.state.clone();
        state.mark_changed();
        Self {
            state,
            patience: self.patience,
            is_over: self.is_over,
        }
    }
}

impl<F> Watched<F> {
    fn new(entry: &Entry<F>) -> Self {
        let mut state = entry.state.subscribe();
        state.mark_changed();
        Self {
            state,
            patience: entry.patience,
            is_over: false,
        }
    }

    /// Whether there may be something new since [`Watched::take`]. An atomic load.
    pub(super) fn has_changed(&self) -> bool {
        self.state.has_changed().unwrap_or(false)
    }

    /// What is known now.
    pub(super) fn take(&mut self) -> Option<Arc<F>> {
        self.state.borrow_and_update().found.clone()
    }
}

impl<F: Found> Watched<F> {
    /// Until when events wait for the key; `None` when it is known, or known not to be, or has been waited for long enough.
    pub(super) fn waits_until(&mut self) -> Option<Instant> {
        if !self.is_over {
            self.is_over = Instant::now() >= self.patience || self.state.borrow().is_settled;
        }
        (!self.is_over).then_some(self.patience)
    }

    /// Ends when nothing is to be waited for any more; `None` if that is so already.
    pub(super) fn ready(&self) -> Option<BoxFuture<'static, ()>> {
        if Instant::now() >= self.patience || self.state.borrow().is_settled {
            return None;
        }
        let (mut state, patience) = (self.state.clone(), self.patience);
        Some(Box::pin(async move {
            let settled = state.wait_for(|state| state.is_settled);
            // Late, or the source is gone: either way nothing is to be waited for.
            drop(tokio::time::timeout_at(patience, settled).await);
        }))
    }
}
