//! The thread that reads: brings routes that are behind what they are owed, in order, and looks into what an earlier run has left.
//!
//! A route is brought only what it has room for, so a route that is slow holds up no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Owed;
use super::Wants;
use super::cursor::{Cursor, Found, Place};
use super::log::{Log, State};
use super::marks::Runs;
use super::recovery::Recovery;
use super::slot::{Amount, Mode};
use crate::buffer::{Batch, Inbox, Source};
use crate::event::{Block, DropReason, Tag};
use crate::telemetry::RouteLedger;
use crate::telemetry::registry::registry;

/// How long a file that cannot be read is left alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many bytes are looked through for one route before it is another's turn.
const SCAN_MAX: usize = 4 << 20;

/// After so many failures a segment is left alone; it stays where it is.
const TRIES: u32 = 5;

/// What the thread does next.
enum Next {
    /// Brings a route something.
    Serve(Task),
    /// Looks into what an earlier run has left.
    Recover,
    /// Nothing any more.
    End,
}

/// The source and the tag of a stream.
type StreamId = (Box<[u8]>, Box<[u8]>);

/// What is to be done for a route.
struct Task {
    place: usize,
    key: u64,
    wants: Option<Wants>,
    inbox: Arc<Inbox>,
    ledger: Arc<RouteLedger>,
    name: Arc<str>,
    from: u64,
    /// What comes from this sequence on comes directly.
    until: u64,
    /// About how many bytes it may be brought at once.
    most: u64,
    /// Bytes that are to be dropped, or else events are to be brought.
    excess: u64,
}

/// The state of the thread.
pub(super) struct Reader {
    log: Arc<Log>,
    cursors: HashMap<usize, Cursor>,
    recovery: Recovery,
    is_failing: bool,
    /// How often reading has failed since it succeeded last.
    failures: u32,
    /// The route that was served last.
    served: Option<usize>,
    /// The slot that is asked first.
    turn: usize,
}

impl Reader {
    pub(super) fn new(log: Arc<Log>) -> Self {
        Self {
            recovery: Recovery::new(Arc::clone(&log)),
            log,
            cursors: HashMap::new(),
            is_failing: false,
            failures: 0,
            served: None,
            turn: 0,
        }
    }

    /// Reads until the log is closed.
    pub(super) fn run(mut self) {
        loop {
            let done = match self.next() {
                Next::Serve(task) => self.serve(&task),
                Next::Recover => self.recovery.look_into_one(),
                Next::End => return,
            };
            match done {
                Ok(()) => {
                    self.failures = 0;
                    if std::mem::take(&mut self.is_failing) {
                        crate::info!("storage", "reading again");
                    }
                }
                Err(error) => {
                    self.failures += 1;
                    if self.failures >= TRIES {
                        self.failures = 0;
                        self.give_up();
                    }
                    if !self.is_failing {
                        self.is_failing = true;
                        let folder = self.log.segments.folder().display();
                        crate::error!(
                            "storage",
                            "cannot read in {folder}: {error}; what lies there stays there and is tried again"
                        );
                    }
                    self.log.pause(PATIENCE);
                }
            }
        }
    }

    /// Waits for something to do.
    fn next(&mut self) -> Next {
        let log = Arc::clone(&self.log);
        let mut state = log.lock();
        loop {
            if state.is_closing {
                return Next::End;
            }
            if !state.has_begun {
                state = log.wait_for_turn(state);
                continue;
            }
            if let Some(task) = self.pick(&state) {
                return Next::Serve(task);
            }
            if self.recovery.has_work() {
                return Next::Recover;
            }
            state = log.wait_for_turn(state);
        }
    }

    /// The next route that is behind, has room, and something to read.
    fn pick(&mut self, state: &State) -> Option<Task> {
        let behind = |mode| mode != Mode::Direct;
        let share = state.slots.iter().filter(|slot| behind(slot.mode)).count();
        let room = self.log.options.backlog_max / share.max(1) as u64;
        let count = state.slots.len();
        for turn in 0..count {
            let place = (self.turn + turn) % count;
            let Some(slot) = state.slots.get(place).filter(|slot| behind(slot.mode)) else {
                self.cursors.remove(&place);
                continue;
            };
            let (most, has_room) = slot.room(room);
            let until = match slot.mode {
                Mode::Joining(until) => Some(until),
                _ => None,
            };
            let at = self.cursors.get(&place).map_or(slot.from, Cursor::sequence);
            let safe = self.log.safe_to();
            // Nothing can be dropped that is not to be read.
            let excess = if at < safe { slot.excess() } else { 0 };
            let may_read = excess > 0 || has_room || until.is_some();
            let has_something = at < safe || (until.is_none() && has_room);
            if may_read && has_something {
                self.turn = (place + 1) % count;
                return Some(Task {
                    place,
                    key: slot.key,
                    wants: slot.wants.clone(),
                    inbox: Arc::clone(&slot.inbox),
                    ledger: Arc::clone(&slot.ledger),
                    name: Arc::clone(&slot.name),
                    from: slot.from,
                    until: until.unwrap_or(u64::MAX),
                    most,
                    // What joins is brought whole.
                    excess: if until.is_some() { 0 } else { excess },
                });
            }
        }
        None
    }

    /// Passes over what cannot be read.
    fn give_up(&mut self) {
        let place = self.served.filter(|_| !self.recovery.is_stuck());
        match place.and_then(|place| self.cursors.get_mut(&place)) {
            Some(cursor) => cursor.skip_segment(),
            None => self.recovery.give_up(),
        }
        crate::error!(
            "storage",
            "a segment cannot be read; it stays on disk and what comes after it is delivered"
        );
    }

    /// Brings a route something, or drops what is too much for its limit.
    fn serve(&mut self, task: &Task) -> std::io::Result<()> {
        self.served = Some(task.place);
        let cursor = self
            .cursors
            .entry(task.place)
            .or_insert_with(|| Cursor::new(Arc::clone(&self.log), task.from));
        let mut taken = Taken::new(&self.log, task);
        let mut scanned = 0;
        let end = loop {
            if taken.is_enough() || scanned >= SCAN_MAX {
                break Ok(false);
            }
            let found = match cursor.next() {
                Ok(found) => found,
                // What was read before is the route's all the same.
                Err(error) => break Err(error),
            };
            match found {
                // It comes directly, and so does everything behind it.
                Found::Entry(entry, ..) if entry.sequence >= task.until => break Ok(true),
                Found::Entry(entry, length, place) => {
                    scanned += length;
                    if is_wanted(&entry, task, &place) {
                        taken.take(&entry, length as u64);
                    }
                }
                Found::Strange(first) => {
                    if let Err(error) = self.recovery.look_into(first) {
                        break Err(error);
                    }
                }
                Found::End => break Ok(true),
            }
        };
        let sequence = cursor.sequence();
        taken.hand_over();
        let has_read_all = end? && sequence >= self.log.safe_to().min(task.until);
        if has_read_all && task.excess == 0 && self.log.join(task.place, sequence) {
            self.cursors.remove(&task.place);
        }
        Ok(())
    }
}

/// Whether the route wants the entry.
fn is_wanted(entry: &super::frame::Entry<'_>, task: &Task, place: &Place) -> bool {
    match place {
        Place::Own => entry.keys().any(|key| key == task.key),
        Place::Earlier(marks) => task
            .wants
            .as_ref()
            .is_some_and(|wants| super::recovery::is_owed(entry, marks, task.key, wants)),
    }
}

/// Events of one stream.
struct Build {
    tag: Tag,
    source: Arc<Source>,
    block: Block,
    runs: Runs,
    amount: Amount,
}

/// What was read for a route.
struct Taken<'t> {
    log: &'t Arc<Log>,
    task: &'t Task,
    builds: Vec<Build>,
    places: HashMap<StreamId, usize>,
    bytes: u64,
    events: u64,
}

impl<'t> Taken<'t> {
    fn new(log: &'t Arc<Log>, task: &'t Task) -> Self {
        Self {
            log,
            task,
            builds: Vec::new(),
            places: HashMap::new(),
            bytes: 0,
            events: 0,
        }
    }

    fn is_enough(&self) -> bool {
        if self.task.excess > 0 {
            self.bytes >= self.task.excess
        } else {
            self.bytes >= self.task.most
        }
    }

    fn take(&mut self, entry: &super::frame::Entry<'_>, length: u64) {
        self.bytes += length;
        self.events += u64::from(entry.count);
        let id = (Box::from(entry.source), Box::from(entry.tag));
        let fresh = self.builds.len();
        let place = *self.places.entry(id).or_insert(fresh);
        if place == fresh {
            let source = String::from_utf8_lossy(entry.source);
            self.builds.push(Build {
                tag: Tag::new(entry.tag),
                source: self.log.source(&source),
                block: Block::default(),
                runs: Runs::default(),
                amount: Amount::default(),
            });
        }
        let Some(build) = self.builds.get_mut(place) else {
            return;
        };
        build.runs.push(entry.sequence);
        build.amount.add(Amount {
            bytes: length,
            events: u64::from(entry.count),
        });
        if self.task.excess == 0 {
            build
                .block
                .append_bytes(entry.events(), entry.count as usize);
        }
    }

    /// Puts what was read into the route's inbox, or books it as dropped.
    fn hand_over(self) {
        let Task { place, excess, .. } = *self.task;
        if excess > 0 {
            if self.events == 0 {
                return;
            }
            let ledger = &self.task.ledger;
            ledger.drop_events(DropReason::StorageLimit, self.events);
            let state = self.log.lock();
            let slot = state.slots.get(place);
            if let Some(more) = slot.and_then(|slot| slot.limiter.admit()) {
                crate::warning!(
                    "storage",
                    "storage.total_limit_size of {} is reached: the oldest {} events that lay on disk for it are dropped{more}",
                    self.task.name,
                    self.events
                );
            }
            drop(state);
            for build in &self.builds {
                self.log.settle(place, &build.runs, build.amount, None);
            }
            return;
        }
        if let Some(slot) = self.log.lock().slots.get_mut(place) {
            slot.ahead += self.bytes;
        }
        registry()
            .count("sluice_storage_read_records_total", &[])
            .fetch_add(self.events, Ordering::Relaxed);
        for build in self.builds {
            let owed = Owed {
                log: Arc::clone(self.log),
                place,
                runs: Arc::new(build.runs),
                amount: build.amount,
                was_direct: false,
            };
            let room = build.block.capacity() + owed.runs.size();
            let charge = self.log.budget().charge(room as u64);
            let batch =
                Batch::read_back(build.tag, build.block, build.source, charge, Instant::now());
            self.task.inbox.bring(Arc::new(batch), Arc::new(owed));
        }
    }
}
