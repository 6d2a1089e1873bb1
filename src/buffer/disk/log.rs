//! What streams, routes, the writer and the reader share: entries that are not written yet, and how far each route is.
//!
//! A route is *direct* while its memory lasts: batches come to it as they are sealed. When it holds too much it falls *behind*: from
//! one entry on, everything comes to it from the files, in their order, as fast as it lets go. When the reader has come to the end
//! the route *joins*: what is appended from then on comes directly again, and waits in the inbox until the reader has brought
//! the few entries before it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::frame::Prefix;
use super::marks::Runs;
use super::segments::Segments;
use super::slot::{Amount, Mode, Slot, fresh_key};
use super::{Options, Registration};
use crate::budget::{Budget, Charge};
use crate::buffer::Source;
use crate::event::{Part, Receipt};
use crate::telemetry::log::Limiter;

/// A direct route may hold so much although memory is short: less would be read back as soon as it was written.
const DIRECT_LEAST: u64 = 512 * 1024;

/// Inputs of an earlier run that are told apart.
const SOURCES_MAX: usize = 64;

/// The buffer of entries to be written keeps at most so much room.
const SPARE_MAX: usize = 4 << 20;

/// Entries on their way to the file.
#[derive(Default)]
pub(super) struct Group {
    pub(super) bytes: Vec<u8>,
    pub(super) first: u64,
    pub(super) next: u64,
    /// How often one of them is owed to a route.
    pub(super) owed: u64,
    /// Let go of when they are safe.
    pub(super) receipts: Vec<Receipt>,
    /// For its bytes.
    pub(super) charge: Option<Charge>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.first == self.next
    }
}

#[derive(Default)]
pub(super) struct State {
    pending: Group,
    spare: Vec<u8>,
    settled: Vec<(u64, Runs)>,
    /// The next entry's sequence.
    pub(super) next: u64,
    pub(super) slots: Vec<Slot>,
    sources: Vec<Arc<Source>>,
    /// The routes are known to which an earlier run's entries are owed.
    pub(super) has_begun: bool,
    /// What is let go of now is not delivered: the process is ending.
    is_frozen: bool,
    pub(super) is_closing: bool,
}

/// See the module.
pub(super) struct Log {
    pub(super) options: Options,
    pub(super) salt: u32,
    pub(super) segments: Segments,
    budget: Arc<Budget>,
    state: Mutex<State>,
    /// Something is to be written.
    work: Condvar,
    /// Something may be to read.
    turn: Condvar,
    /// Changes with the mode of any route.
    generation: AtomicU64,
    /// The sequence above all entries so far.
    next: AtomicU64,
    /// Everything below this sequence is safe.
    safe: watch::Sender<u64>,
    /// A route is not direct.
    any_behind: AtomicBool,
    /// Events of an earlier run that are owed to a route.
    pub(super) recovered: AtomicU64,
}

impl Log {
    pub(super) fn new(
        options: Options,
        segments: Segments,
        next: u64,
        budget: Arc<Budget>,
    ) -> Self {
        let state = State {
            next,
            pending: Group {
                first: next,
                next,
                ..Group::default()
            },
            ..State::default()
        };
        Self {
            options,
            salt: fastrand::u32(..),
            segments,
            budget,
            state: Mutex::new(state),
            work: Condvar::new(),
            turn: Condvar::new(),
            generation: AtomicU64::new(1),
            next: AtomicU64::new(next),
            safe: watch::Sender::new(next),
            any_behind: AtomicBool::new(false),
            recovered: AtomicU64::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Adds a route, or finds the one whose inbox this is. One that begins with a backlog is behind from its beginning.
    pub(super) fn register(&self, registration: Registration, backlog: Option<u64>) {
        let Registration {
            name,
            inbox,
            ledger,
            limit,
            wants,
        } = registration;
        let mut state = self.lock();
        let backlog = backlog.filter(|_| !state.has_begun);
        if let Some(place) = inbox.slot()
            && let Some(slot) = state.slots.get_mut(place)
        {
            (slot.limit, slot.ledger) = (limit, ledger);
            self.turn.notify_all();
            return;
        }
        let mode = backlog.map_or(Mode::Direct, |_| Mode::Behind);
        let key = fresh_key(&state.slots, &name);
        let slot = Slot {
            key,
            limit,
            wants: backlog.map(|_| wants),
            mode,
            from: backlog.unwrap_or(0),
            limiter: Limiter::default(),
            is_said: false,
            direct: 0,
            ahead: 0,
            owed: 0,
            owed_events: 0,
            ledger,
            inbox: Arc::clone(&inbox),
            name,
        };
        // One that has gone and is owed nothing gives up its place.
        let spent = |slot: &Slot| {
            slot.owed == 0 && slot.mode == Mode::Direct && Arc::strong_count(&slot.inbox) == 1
        };
        let place = state.slots.iter().position(spent);
        let place = place.unwrap_or(state.slots.len());
        inbox.set_slot(place);
        inbox.expect_more(mode != Mode::Direct);
        match state.slots.get_mut(place) {
            Some(spent) => *spent = slot,
            None => state.slots.push(slot),
        }
        self.changed(&state);
    }

    /// Lets the reader begin.
    pub(super) fn begin(&self) {
        self.lock().has_begun = true;
        self.turn.notify_all();
    }

    /// A mode has changed, or the slots have.
    fn changed(&self, state: &State) {
        let behind = state.slots.iter().any(|slot| slot.mode != Mode::Direct);
        self.any_behind.store(behind, Ordering::Release);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.turn.notify_all();
    }

    /// The input of this name, as its batches know it.
    pub(super) fn source(&self, name: &str) -> Arc<Source> {
        let mut state = self.lock();
        if let Some(known) = state.sources.iter().find(|source| &*source.name == name) {
            return Arc::clone(known);
        }
        let is_crowded = state.sources.len() >= SOURCES_MAX;
        if is_crowded && let Some(last) = state.sources.last() {
            return Arc::clone(last);
        }
        let source = Source::new(name.into());
        state.sources.push(Arc::clone(&source));
        source
    }

    /// Has entries of this input count as its own.
    pub(super) fn know(&self, source: &Arc<Source>) {
        let mut state = self.lock();
        state.sources.retain(|known| known.name != source.name);
        state.sources.insert(0, Arc::clone(source));
        state.sources.truncate(SOURCES_MAX);
    }

    /// What stands for these routes in the files.
    pub(super) fn keys(&self, places: &[usize]) -> Vec<u64> {
        let state = self.lock();
        let slots = places.iter().filter_map(|place| state.slots.get(*place));
        slots.map(|slot| slot.key).collect()
    }

    /// Which of these routes are direct, and the generation in which they are.
    pub(super) fn modes(&self, places: &[usize], direct: &mut Vec<bool>) -> u64 {
        let state = self.lock();
        direct.clear();
        direct.extend(places.iter().map(|place| {
            let slot = state.slots.get(*place);
            slot.is_none_or(|slot| slot.mode != Mode::Behind)
        }));
        self.generation()
    }

    /// Appends an entry and gives its sequence; `None` when the modes of routes are not those of `generation` (any more).
    pub(super) fn append(&self, entry: &Appended<'_>) -> Option<u64> {
        let Appended {
            generation,
            places,
            prefix,
            part,
            receipts,
            may_fall_behind,
        } = *entry;
        let bytes = part.bytes();
        let checksum = prefix.checksum(bytes);
        let length = prefix.entry_length(bytes) as u64;
        let mut state = self.lock();
        if self.generation() != generation {
            return None;
        }
        if may_fall_behind && self.fall_behind(&mut state, places, length) {
            return None;
        }
        let sequence = state.next;
        let mut is_over_limit = false;
        for place in places {
            let Some(slot) = state.slots.get_mut(*place) else {
                continue;
            };
            slot.owed += length;
            slot.owed_events += part.count() as u64;
            if slot.mode != Mode::Behind {
                slot.direct += length;
            }
            is_over_limit |= slot.excess() > 0;
        }
        let pending = &mut state.pending;
        let count = part.count() as u32;
        prefix.write(&mut pending.bytes, sequence, count, checksum, bytes);
        pending.owed += places.len() as u64;
        pending.receipts.extend_from_slice(receipts);
        pending.next = sequence + 1;
        match &mut pending.charge {
            Some(charge) => charge.grow(length),
            charge => *charge = Some(self.budget.charge(length)),
        }
        state.next = sequence + 1;
        self.next.store(sequence + 1, Ordering::Release);
        drop(state);
        self.work.notify_one();
        if is_over_limit {
            self.turn.notify_all();
        }
        Some(sequence)
    }

    /// Has those of the routes fall behind that hold too much memory; whether there are any.
    fn fall_behind(&self, state: &mut State, places: &[usize], length: u64) -> bool {
        let is_short = self.budget.is_short();
        let share = self.options.direct_max / state.slots.len().max(1) as u64;
        let next = state.next;
        let mut any = false;
        for place in places {
            let Some(slot) = state.slots.get_mut(*place) else {
                continue;
            };
            let most = share.min(slot.limit.map_or(u64::MAX, |limit| limit / 2));
            let most = if is_short {
                most.min(DIRECT_LEAST)
            } else {
                most
            };
            if slot.mode == Mode::Direct && slot.direct > 0 && slot.direct + length > most {
                (slot.mode, slot.from) = (Mode::Behind, next);
                slot.inbox.expect_more(true);
                any = true;
                if let Some(more) = slot.limiter.admit() {
                    slot.is_said = true;
                    crate::info!(
                        "storage",
                        "{} holds {} bytes of memory; what comes now stays on disk until it has delivered those{more}",
                        slot.name,
                        slot.direct
                    );
                }
            }
        }
        if any {
            self.changed(state);
        }
        any
    }

    /// Has a route that has read everything written take new entries directly; whether it has nothing more to read.
    pub(super) fn join(&self, place: usize, read_to: u64) -> bool {
        let mut state = self.lock();
        let next = state.next;
        let Some(slot) = state.slots.get_mut(place) else {
            return true;
        };
        let until = match slot.mode {
            Mode::Direct => return true,
            Mode::Joining(until) => until,
            Mode::Behind => {
                slot.mode = Mode::Joining(next);
                slot.inbox.hold();
                next
            }
        };
        let has_joined = read_to >= until;
        if has_joined {
            slot.mode = Mode::Direct;
            // The reader is the only one that brings what was before, so nothing of it is outstanding.
            slot.inbox.release();
            slot.inbox.expect_more(false);
            if std::mem::take(&mut slot.is_said) {
                crate::info!(
                    "storage",
                    "{} has caught up with what lay on disk",
                    slot.name
                );
            }
        }
        self.changed(&state);
        has_joined
    }

    /// Waits until everything appended so far is safe.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn safe(&self) {
        let next = self.next.load(Ordering::Acquire);
        if *self.safe.borrow() >= next {
            return;
        }
        let mut safe = self.safe.subscribe();
        // The sender is a part of this.
        drop(safe.wait_for(|safe| *safe >= next).await);
    }

    /// Everything below this sequence is safe.
    pub(super) fn safe_to(&self) -> u64 {
        *self.safe.borrow()
    }

    /// Says that everything below `next` is safe.
    pub(super) fn note_safe(&self, next: u64) {
        self.safe.send_replace(next);
        if self.any_behind.load(Ordering::Acquire) {
            // With the lock, so that the reader does not miss it between looking and waiting.
            let _state = self.lock();
            self.turn.notify_all();
        }
    }

    /// Waits for something to write or to note, for at most a while; `None` when everything is done and nothing more will come.
    pub(super) fn take_work(&self, most: Option<Duration>) -> Option<Work> {
        let mut state = self.lock();
        while state.pending.is_empty() && state.settled.is_empty() {
            if state.is_closing {
                return None;
            }
            state = match most {
                None => self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let waited = self.work.wait_timeout(state, most);
                    let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        return Some(Work::default());
                    }
                    state
                }
            };
        }
        let next = state.next;
        let fresh = Group {
            bytes: std::mem::take(&mut state.spare),
            first: next,
            next,
            ..Group::default()
        };
        Some(Work {
            group: std::mem::replace(&mut state.pending, fresh),
            settled: std::mem::take(&mut state.settled),
            is_closing: state.is_closing,
        })
    }

    /// Waits, while a group cannot be written, until something is settled or the time has passed.
    pub(super) fn take_settled(&self, most: Duration) -> (Vec<(u64, Runs)>, bool) {
        let state = self.lock();
        let waited = self.work.wait_timeout_while(state, most, |state| {
            state.settled.is_empty() && !state.is_closing
        });
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut state.settled), state.is_closing)
    }

    /// Takes the room of a group back.
    pub(super) fn give_spare(&self, mut bytes: Vec<u8>) {
        if bytes.capacity() <= SPARE_MAX {
            bytes.clear();
            self.lock().spare = bytes;
        }
    }

    /// Lets the reader wait for its turn.
    pub(super) fn wait_for_turn<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.turn
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a while, or the end.
    pub(super) fn pause(&self, time: Duration) {
        let waited = self
            .turn
            .wait_timeout_while(self.lock(), time, |state| !state.is_closing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes that a route is done with entries.
    pub(super) fn settle(
        &self,
        place: usize,
        runs: &Runs,
        amount: Amount,
        was_direct: Option<bool>,
    ) {
        // `None` for what never came to memory.
        let mut state = self.lock();
        if state.is_frozen {
            return;
        }
        let Some(slot) = state.slots.get_mut(place) else {
            return;
        };
        let Amount { bytes, events } = amount;
        slot.owed = slot.owed.saturating_sub(bytes);
        slot.owed_events = slot.owed_events.saturating_sub(events);
        match was_direct {
            Some(true) => slot.direct = slot.direct.saturating_sub(bytes),
            Some(false) => slot.ahead = slot.ahead.saturating_sub(bytes),
            None => {}
        }
        let is_behind = slot.mode != Mode::Direct;
        let key = slot.key;
        state.settled.push((key, runs.clone()));
        drop(state);
        self.work.notify_one();
        if is_behind {
            self.turn.notify_all();
        }
    }

    /// From now on nothing that is let go of counts as delivered.
    pub(super) fn freeze(&self) {
        self.lock().is_frozen = true;
    }

    /// Has the threads end when they have done what there is to do.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.work.notify_all();
        self.turn.notify_all();
    }
}

/// What [`Log::append`] appends.
pub(super) struct Appended<'a> {
    pub(super) generation: u64,
    /// The slots of the routes that it is owed to.
    pub(super) places: &'a [usize],
    pub(super) prefix: &'a Prefix,
    pub(super) part: Part<'a>,
    pub(super) receipts: &'a [Receipt],
    pub(super) may_fall_behind: bool,
}

/// What the writer has to do.
#[derive(Default)]
pub(super) struct Work {
    pub(super) group: Group,
    pub(super) settled: Vec<(u64, Runs)>,
    pub(super) is_closing: bool,
}
