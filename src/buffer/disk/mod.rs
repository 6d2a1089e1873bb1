//! Events on disk: what `storage.type filesystem` promises.
//!
//! Everything that such an input takes is appended to one log and is safe when `fdatasync` has returned; only then is the commit
//! done. Beside that, batches go through memory as ever, so outputs that keep up never wait for the disk and nothing is read.
//!
//! ```text
//! stream ── append ──▶ log (in memory, a few milliseconds) ──▶ writer ──▶ segments
//!    │                                                         ▲           │
//!    └─ batch ──▶ inbox of a route ──▶ settle ── marks ────────┘           │
//!                      ▲                                                   │
//!                      └── what memory had no room for, and the backlog ── reader
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `frame.rs` | the form of an entry; which bytes are one |
//! | `marks.rs` | what is settled, beside each segment |
//! | `segments.rs` | the files, and what is owed of each |
//! | `log.rs`, `slot.rs` | what the threads and streams share; which routes are behind |
//! | `writer.rs` | the thread that writes |
//! | `reader.rs`, `cursor.rs` | the thread that reads |
//! | `recovery.rs` | what an earlier run has left |
//!
//! There is one log for the process, in the folder `sluice` below `storage.path`. Each run begins segments of its own and only reads
//! those of earlier runs. A segment goes when every route has let go of every entry in it.

mod cursor;
mod frame;
mod log;
mod marks;
mod reader;
mod recovery;
mod segments;
mod slot;
mod writer;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use frame::{Entry, Step, step};

use self::frame::Prefix;
use self::log::{Appended, Log};
use self::marks::Runs;
use self::reader::Reader;
use self::segments::{Segments, private};
use self::slot::{Amount, Mode, Slot};
use self::writer::Writer;
use super::{Inbox, Source};
use crate::budget::Budget;
use crate::event::{Part, Receipt, Tag};
use crate::telemetry::RouteLedger;

/// The folder below `storage.path`. Fluent Bit has a folder there for each input; this one is none of those.
const FOLDER: &str = "sluice";

/// Says whether an output wants a tag.
pub type Wants = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// `storage.path`.
    pub path: PathBuf,
    /// `storage.sync full`: `fsync` in place of `fdatasync`.
    pub full_sync: bool,
    /// Whether damaged parts are kept, for somebody to look at.
    pub keep_damaged: bool,
    /// The most that may be read ahead for all routes.
    pub backlog_max: u64,
    /// The most that all routes may hold in memory without having it on disk only.
    pub direct_max: u64,
    /// A segment that is so long is followed by another.
    pub segment_max: u64,
}

/// An output, as it is made known to the log.
pub struct Registration {
    /// Its name, by which it is known in the next run.
    pub name: Arc<str>,
    /// Where its batches go.
    pub inbox: Arc<Inbox>,
    /// Its book.
    pub ledger: Arc<RouteLedger>,
    /// `storage.total_limit_size`.
    pub limit: Option<u64>,
    /// The tags it wants of what an earlier run left.
    pub wants: Wants,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is used by another process; give each its own storage.path", .0.display())]
    InUse(PathBuf),
    /// The file system refuses.
    #[error("cannot use {}: {error}", path.display())]
    Refused {
        /// The folder.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

/// What is on disk now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Segments.
    pub segments: u64,
    /// Their size.
    pub bytes: u64,
    /// Events that are owed to a route; each route counts.
    pub owed_events: u64,
    /// Events of an earlier run that were found owed to a route; each route counts.
    pub recovered_events: u64,
    /// Bytes that are owed to a route and not in memory; each route counts.
    pub behind_bytes: u64,
}

/// The log.
pub struct Disk {
    log: Arc<Log>,
    /// From which sequence on an earlier run has left something.
    backlog: Option<u64>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held, so that no other process comes here.
    _lock: File,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    /// Whether an earlier run has left something below this folder.
    pub fn has_backlog(path: &Path) -> bool {
        let is_segment = |file: fs::DirEntry| file.path().extension().is_some_and(|it| it == "log");
        fs::read_dir(path.join(FOLDER))
            .is_ok_and(|mut files| files.any(|file| file.is_ok_and(is_segment)))
    }

    /// Takes possession of the folder. Nothing of an earlier run is read before [`Disk::begin`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: Options, budget: &Arc<Budget>) -> Result<Self, OpenError> {
        let folder = options.path.join(FOLDER);
        let refused = |error| OpenError::Refused {
            path: folder.clone(),
            error,
        };
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&folder);
        made.map_err(refused)?;
        let lock = private(&folder.join("lock"), false).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(folder)),
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let (segments, next) = Segments::list(&folder).map_err(refused)?;
        let backlog = segments.lock().keys().next().copied();
        let log = Arc::new(Log::new(options, segments, next, Arc::clone(budget)));
        let (writer, reader) = (Writer::new(Arc::clone(&log)), Reader::new(Arc::clone(&log)));
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let threads = thread("disk-writer")
            .spawn(|| writer.run())
            .and_then(|writer| Ok(vec![writer, thread("disk-reader").spawn(|| reader.run())?]))
            .inspect_err(|_| log.close())
            .map_err(refused)?;
        Ok(Self {
            log,
            backlog,
            threads: Mutex::new(threads),
            _lock: lock,
        })
    }

    /// `storage.path`.
    pub fn path(&self) -> &Path {
        &self.log.options.path
    }

    /// Makes an output known, or notes what has changed about it. Those that are known before [`Disk::begin`] are owed the backlog.
    pub fn register(&self, registration: Registration) {
        self.log.register(registration, self.backlog);
    }

    /// Has entries of this input, also those of earlier runs, counted as its own.
    pub fn know(&self, source: &Arc<Source>) {
        self.log.know(source);
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has what an earlier run has left delivered to the outputs that are known by now.
    pub fn begin(&self) {
        self.log.begin();
    }

    /// Waits until everything appended so far is safe.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn safe(&self) {
        self.log.safe().await;
    }

    /// From now on nothing that an output lets go of counts as delivered: the process is ending, and what is left is left.
    pub fn freeze(&self) {
        self.log.freeze();
    }

    /// Writes what is to be written and ends. Blocks; a file system that refuses is not waited for.
    pub fn close(&self) {
        self.log.close();
        for thread in self.threads().drain(..) {
            // A panic ends the process.
            drop(thread.join());
        }
    }

    /// What is on disk now.
    pub fn figures(&self) -> Figures {
        let (segments, bytes) = self.log.segments.size();
        let state = self.log.lock();
        let behind = state.slots.iter().filter(|slot| slot.mode != Mode::Direct);
        let owed_events = state.slots.iter().map(|slot| slot.owed_events).sum();
        Figures {
            segments,
            bytes,
            owed_events,
            recovered_events: self.log.recovered.load(Ordering::Relaxed),
            behind_bytes: behind.map(Slot::on_disk).sum(),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a stream has to do with the log.
#[derive(Debug)]
pub struct Kept {
    disk: Arc<Disk>,
    /// The slots of its routes, in their order.
    places: Vec<usize>,
    prefix: Prefix,
    may_fall_behind: bool,
}

/// What of a stream's open batch is in the log.
#[derive(Debug, Default)]
pub struct Open {
    generation: u64,
    /// Which routes the batch goes to; the others find it in the log.
    direct: Vec<bool>,
    runs: Runs,
    amount: Amount,
}

impl Open {
    /// Whether the batch goes to the route at this place.
    pub fn is_for(&self, route: usize) -> bool {
        self.direct.get(route).copied().unwrap_or(false)
    }

    fn is_for_any(&self) -> bool {
        self.direct.iter().any(|direct| *direct)
    }
}

impl Kept {
    /// For a stream of these routes, which have been made known; `may_fall_behind` says whether events may leave memory.
    pub fn new(
        disk: &Arc<Disk>,
        source: &Source,
        tag: &Tag,
        routes: &[Arc<Inbox>],
        may_fall_behind: bool,
    ) -> Self {
        let places: Vec<usize> = routes.iter().filter_map(|route| route.slot()).collect();
        let keys = disk.log.keys(&places);
        let source = source.name.as_bytes();
        Self {
            prefix: Prefix::new(disk.log.salt, &keys, source, tag.as_bytes()),
            disk: Arc::clone(disk),
            places,
            may_fall_behind,
        }
    }

    /// Appends events to the log; whether they go into the open batch as well. `seal` is called when they must not go into the one that
    /// is open.
    pub fn append(
        &self,
        open: &mut Open,
        part: Part<'_>,
        receipts: &[Receipt],
        mut seal: impl FnMut(&mut Open),
    ) -> bool {
        loop {
            let generation = open.generation;
            if generation != self.disk.log.generation() {
                seal(open);
                open.generation = self.disk.log.modes(&self.places, &mut open.direct);
                continue;
            }
            let appended = self.disk.log.append(&Appended {
                generation,
                places: &self.places,
                prefix: &self.prefix,
                part,
                receipts,
                may_fall_behind: self.may_fall_behind,
            });
            if let Some(sequence) = appended {
                if !open.is_for_any() {
                    return false;
                }
                open.runs.push(sequence);
                open.amount.add(Amount {
                    bytes: self.prefix.entry_length(part.bytes()) as u64,
                    events: part.count() as u64,
                });
                return true;
            }
        }
    }

    /// What the routes owe of a batch that is sealed, one for each that it goes to.
    pub fn owe(&self, open: &mut Open) -> impl Iterator<Item = Option<Arc<Owed>>> {
        let runs = Arc::new(std::mem::take(&mut open.runs));
        let amount = std::mem::take(&mut open.amount);
        let owed = move |(place, direct): (&usize, &bool)| {
            direct.then(|| {
                Arc::new(Owed {
                    log: Arc::clone(&self.disk.log),
                    place: *place,
                    runs: Arc::clone(&runs),
                    amount,
                    was_direct: true,
                })
            })
        };
        self.places.iter().zip(&open.direct).map(owed)
    }
}

/// Entries that a route has not let go of. It has when this is dropped.
pub struct Owed {
    log: Arc<Log>,
    place: usize,
    runs: Arc<Runs>,
    amount: Amount,
    was_direct: bool,
}

impl fmt::Debug for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owed")
            .field("runs", &self.runs)
            .finish_non_exhaustive()
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.log
            .settle(self.place, &self.runs, self.amount, Some(self.was_direct));
    }
}

#[cfg(test)]
mod tests;
