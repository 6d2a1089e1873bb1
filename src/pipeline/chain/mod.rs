//! The chain of filters over the streams that [operators](crate::filter::Operator) belong to.
//!
//! Where a tag has filters only, each event runs through them as it is offered (`dispatch.rs`). Where it has operators, events
//! wait for the commit and run then, all at once and with the stream's operators locked until what came out is stored. So
//! nobody else's events, and nothing that [`Releaser`](super::release::Releaser) lets go, comes between them: the order of a stream
//! is the order of its commits. A frame that is refused has not touched an operator.
//!
//! What goes on under another tag waits until the lock is given back, and then goes its way at once: one lock at a time.

mod receipts;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::future::BoxFuture;

use self::receipts::Receipts;
use super::dispatch::{Dispatcher, Lane, Tally};
use super::fork::Sorter;
use crate::budget::Charge;
use crate::event::{Block, Event, Receipt};
use crate::filter::{Link, Operator, Outbox, Passage, Scratch, Verdict, View, Way};
use crate::telemetry::Filtered;

/// The operators of one stream.
#[derive(Default)]
pub(super) struct Operators {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// One for each filter of the lane; nothing where that is no operator.
    steps: Vec<Option<Box<dyn Operator>>>,
    /// What is held, as a part of the budget.
    charge: Option<Charge>,
    /// Of those who want to know when it is settled.
    receipts: Receipts,
    /// The releaser looks after the lane.
    is_awaited: bool,
}

impl Operators {
    /// The operators among the filters at these places, if there are any.
    pub(super) fn of(
        chain: &[super::dispatch::ChainLink],
        places: &[usize],
        tag: &[u8],
    ) -> Option<Self> {
        let step = |place: &usize| match &chain.get(*place)?.link {
            Link::Operator(maker) => Some(maker.operator(tag)),
            Link::Filter(_) => None,
        };
        let steps: Vec<_> = places.iter().map(step).collect();
        steps.iter().any(Option::is_some).then(|| Self {
            state: Mutex::new(State {
                steps,
                ..State::default()
            }),
        })
    }

    /// Whether nothing is held.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().charge.is_none()
    }

    /// What to wait for before these events pass.
    pub(super) fn ready(&self, events: &Block) -> Vec<BoxFuture<'static, ()>> {
        let mut state = self.lock();
        let steps = state.steps.iter_mut().flatten();
        steps.filter_map(|step| step.ready(events)).collect()
    }

    /// When one of them wants to let something go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.lock().due()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held(&self) -> usize {
        self.steps.iter().flatten().map(|step| step.held()).sum()
    }

    fn due(&self) -> Option<Instant> {
        let due = self.steps.iter().flatten().filter_map(|step| step.due());
        due.min()
    }
}

/// Events on their way under another tag.
#[derive(Debug, Default)]
struct Moved {
    tags: Vec<Box<[u8]>>,
    passages: Vec<Passage>,
    events: Block,
}

/// Runs events through the chains that have operators.
#[derive(Debug, Default)]
pub(super) struct Runner {
    scratches: Vec<Scratch>,
    outboxes: Vec<Outbox>,
    moved: Moved,
    out: Block,
    /// Of the events at work, and of those that come out because of them.
    receipts: Vec<Receipt>,
    pub(super) sorter: Sorter,
    /// What each filter of the chain has done and is not booked yet.
    pub(super) filtered: Vec<Filtered>,
}

impl Runner {
    /// Notes what the filter at a place of the chain has done.
    pub(super) fn note(&mut self, place: usize, note: impl FnOnce(&mut Filtered)) {
        if self.filtered.len() <= place {
            self.filtered.resize(place + 1, Filtered::default());
        }
        if let Some(done) = self.filtered.get_mut(place) {
            note(done);
        }
    }

    /// Runs the events of a lane, which came in messages that begin at `chunks`, and stores what comes out.
    pub(super) fn pass(
        &mut self,
        dispatcher: &Dispatcher,
        lane: &Arc<Lane>,
        events: &Block,
        chunks: &[usize],
        receipt: Option<Receipt>,
        tally: &mut Tally,
    ) {
        self.receipts.extend(receipt);
        self.work(dispatcher, lane, tally, |passing| {
            let mut chunks = chunks.iter().peekable();
            for (at, event) in events.events_from(0).enumerate() {
                while chunks.next_if(|start| **start <= at).is_some() {
                    passing.end_chunk();
                }
                passing.event(event, 0, Passage::default());
            }
            // Events that came without messages end with what was read.
            passing.end_chunk();
        });
        self.follow_moved(dispatcher, tally);
    }

    /// Has the lane's operators let go of what may wait no longer, and says when to come again.
    pub(super) fn release(
        &mut self,
        dispatcher: &Dispatcher,
        lane: &Arc<Lane>,
        everything: bool,
        tally: &mut Tally,
    ) -> Option<Instant> {
        self.work(dispatcher, lane, tally, |passing| {
            passing.release(everything);
        });
        self.follow_moved(dispatcher, tally);
        let mut state = lane.operators.as_ref()?.lock();
        let due = state.due();
        state.is_awaited = due.is_some();
        due
    }

    /// Takes what has another tag now through the chain of that one, and so on: [`Outbox::may_hop`] ends it.
    fn follow_moved(&mut self, dispatcher: &Dispatcher, tally: &mut Tally) {
        while !self.moved.tags.is_empty() {
            let moved = std::mem::take(&mut self.moved);
            let mut events = moved.events.events_from(0).zip(&moved.passages);
            // Neighbours with one tag go together.
            for tags in moved.tags.chunk_by(|one, other| one == other) {
                let Some(tag) = tags.first() else { continue };
                let lane = dispatcher.lane_of_given(tag);
                self.work(dispatcher, &lane, tally, |passing| {
                    for (event, passage) in events.by_ref().take(tags.len()) {
                        // Processors see what their input took, once.
                        passing.event(event, lane.processors, *passage);
                    }
                });
            }
        }
        self.receipts.clear();
    }

    /// Does work on a lane with its operators locked, and stores what comes out before they are unlocked.
    fn work(
        &mut self,
        dispatcher: &Dispatcher,
        lane: &Arc<Lane>,
        tally: &mut Tally,
        work: impl FnOnce(&mut Passing<'_>),
    ) {
        let mut state = lane.operators.as_ref().map(Operators::lock);
        let (own, taken, settled) = (self.receipts.len(), tally.taken, tally.settled);
        if let Some(state) = &state {
            // What comes out may be what was held.
            self.receipts.extend(state.receipts.held().cloned());
        }
        let steps = state.as_mut().map(|state| state.steps.as_mut_slice());
        let now = Instant::now();
        work(&mut Passing {
            dispatcher,
            lane,
            steps: steps.unwrap_or_default(),
            runner: self,
            tally,
            now,
        });
        let receipts = &self.receipts;
        dispatcher.store(lane, &self.out, receipts, &mut self.sorter, tally);
        self.out.clear();
        let Some(mut state) = state else { return };
        let own = self.receipts.get(..own).unwrap_or_default();
        let (taken, settled) = (tally.taken - taken, tally.settled - settled);
        state.receipts.note(own, taken, settled, now);
        let held = state.held() as u64;
        if held == 0 {
            state.receipts.clear();
        }
        // The new charge comes before the old one goes: in between, nothing held would look like room.
        state.charge = (held > 0).then(|| dispatcher.charge(held));
        if !state.is_awaited && state.due().is_some() {
            state.is_awaited = true;
            dispatcher.awaited().add(lane);
        }
    }
}

/// A lane, its operators, and the events that pass.
struct Passing<'p> {
    dispatcher: &'p Dispatcher,
    lane: &'p Lane,
    steps: &'p mut [Option<Box<dyn Operator>>],
    runner: &'p mut Runner,
    tally: &'p mut Tally,
    now: Instant,
}

impl Passing<'_> {
    /// Runs one event through the lane's filters from the step `first` on. Goes deeper only with what operators put out, so no
    /// deeper than the chain is long.
    fn event(&mut self, event: Event<'_>, first: usize, passage: Passage) {
        let mut scratch = self.runner.scratches.pop().unwrap_or_default();
        let mut view = View::open(self.lane.tag.as_bytes(), event, &mut scratch);
        let bytes = event.record.len() as u64;
        match self.steps(&mut view, first, passage, bytes) {
            Verdict::Drop => self.tally.filtered += 1,
            Verdict::Taken => self.tally.taken += 1,
            Verdict::Keep if !self.lane.is_routed() => {
                self.tally.unrouted += 1;
                self.tally.unrouted_bytes += bytes;
            }
            Verdict::Keep => self
                .runner
                .out
                .push_with(view.time(), view.carried(), |out| view.write(out)),
        }
        self.runner.scratches.push(scratch);
    }

    fn steps(
        &mut self,
        view: &mut View<'_>,
        first: usize,
        passage: Passage,
        bytes: u64,
    ) -> Verdict {
        for (step, place) in self.lane.filters.iter().enumerate().skip(first) {
            self.runner.note(*place, |done| done.show(bytes));
            let verdict = match &self.dispatcher.link(*place) {
                Some(Link::Filter(filter)) => filter.apply(view),
                Some(Link::Operator(_)) => {
                    self.operator(step, *place, passage, |operator, outbox| {
                        operator.apply(view, outbox)
                    })
                }
                None => Verdict::Keep,
            };
            if verdict == Verdict::Drop {
                self.runner.note(*place, |done| done.drop(bytes));
            }
            if verdict != Verdict::Keep {
                return verdict;
            }
        }
        Verdict::Keep
    }

    /// Asks one operator, and has what it puts out go on.
    fn operator(
        &mut self,
        step: usize,
        place: usize,
        passage: Passage,
        ask: impl FnOnce(&mut dyn Operator, &mut Outbox) -> Verdict,
    ) -> Verdict {
        let mut outbox = match self.runner.outboxes.pop() {
            Some(outbox) => outbox,
            None => Outbox::new(self.now),
        };
        outbox.begin(self.now, place, step == 0, passage);
        let Some(Some(operator)) = self.steps.get_mut(step) else {
            return Verdict::Keep;
        };
        let verdict = ask(operator.as_mut(), &mut outbox);
        let counts = outbox.counts();
        self.tally.settled += counts.settled;
        self.tally.joined += counts.joined;
        self.tally.added += counts.added;
        self.tally.filtered += counts.dropped.0;
        self.runner.note(place, |done| {
            done.drop_records += counts.joined + counts.dropped.0;
            done.drop_bytes += counts.dropped.1;
            done.add_records += counts.added;
            done.bare_records += counts.bare;
        });
        for emitted in outbox.emitted() {
            match emitted.way {
                Way::Next => self.event(emitted.event, step + 1, emitted.passage),
                Way::Again => {
                    let first = self.lane.processors.min(step);
                    self.event(emitted.event, first, emitted.passage);
                }
                Way::Retag => self.runner.moved.push(&emitted),
            }
        }
        self.runner.outboxes.push(outbox);
        verdict
    }

    fn each_operator(&mut self, mut ask: impl FnMut(&mut dyn Operator, &mut Outbox)) {
        let lane = self.lane;
        for (step, place) in lane.filters.iter().enumerate() {
            self.operator(step, *place, Passage::default(), |operator, outbox| {
                ask(operator, outbox);
                Verdict::Taken
            });
        }
    }

    fn end_chunk(&mut self) {
        self.each_operator(|operator, outbox| operator.end_chunk(outbox));
    }

    fn release(&mut self, everything: bool) {
        self.each_operator(|operator, outbox| operator.release(outbox, everything));
    }
}

impl Moved {
    fn push(&mut self, emitted: &crate::filter::Emitted<'_>) {
        self.tags.push(emitted.tag.into());
        self.passages.push(emitted.passage);
        self.events.push(emitted.event);
    }
}

#[cfg(test)]
mod tests;
