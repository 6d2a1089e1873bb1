//! The lanes of one output: for each destination the events it is owed, in order, and how it fares.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::queue::{Piece, Queue, count};
use super::retry::{Gate, Policy};
use super::throttle::{Throttle, Throttles};
use crate::output::{Destination, Item, Output};

/// Lanes kept although nothing waits in them.
const IDLE_LANES: usize = 1024;

/// What is known of whether a destination exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Nothing was sent to it yet.
    Untried,
    /// It does not exist, or did not when it was asked.
    Missing,
    /// It is being made.
    BeingMade,
    /// It was made, and nothing was sent to it since.
    Made,
    /// It is there, or what comes next will tell.
    Assumed,
}

/// What one destination is owed and how it fares.
pub(super) struct Lane {
    pub(super) destination: Arc<Destination>,
    pub(super) queue: Queue,
    pub(super) gate: Gate,
    /// Whether it exists.
    pub(super) presence: Presence,
    /// What its service grants; other outputs may have the same.
    pub(super) throttle: Arc<Throttle>,
    pub(super) in_flight: usize,
    /// Since when the oldest event in flight is held, and how many there are.
    pub(super) oldest_flying: Option<Instant>,
    pub(super) flying: u64,
    /// The next request takes exactly so many events: those of one that may have been stored, so that a duplicate is exact.
    pub(super) again: Option<usize>,
    /// The next request takes at most so many: halved when a request is unacceptable.
    pub(super) most: usize,
    /// Events refused one by one without one accepted in between.
    pub(super) refusals: u32,
    /// Readers wait for the memory that these events take, so they go although more would fit into a request.
    pub(super) hurry: bool,
    /// The lane's index stands among the active ones.
    active: bool,
}

impl Lane {
    fn new(destination: Arc<Destination>, throttle: Arc<Throttle>) -> Self {
        Self {
            destination,
            queue: Queue::default(),
            gate: Gate::default(),
            presence: Presence::Untried,
            throttle,
            in_flight: 0,
            oldest_flying: None,
            flying: 0,
            again: None,
            most: usize::MAX,
            refusals: 0,
            hurry: false,
            active: false,
        }
    }

    /// Since when the oldest event is held, waiting or in flight.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let both = [self.queue.oldest(), self.oldest_flying];
        both.into_iter().flatten().min()
    }

    /// When its next request may go; `None` is now.
    pub(super) fn opens(&self) -> Option<Instant> {
        let both = [self.gate.opens(), self.throttle.opens()];
        both.into_iter().flatten().max()
    }

    /// Notes that a request with these events is on its way.
    pub(super) fn depart(&mut self, pieces: &[Piece], now: Instant) {
        self.throttle.depart(now);
        self.in_flight += 1;
        self.flying += count(pieces) as u64;
        let oldest = pieces.iter().map(Piece::begun).min();
        self.oldest_flying = self.oldest_flying.into_iter().chain(oldest).min();
    }

    /// Notes that its answer has come.
    pub(super) fn arrive(&mut self, pieces: &[Piece]) {
        self.in_flight -= 1;
        self.flying -= count(pieces) as u64;
        if self.in_flight == 0 {
            self.oldest_flying = None;
        }
    }

    fn is_idle(&self) -> bool {
        !self.active && self.in_flight == 0 && self.queue.events() == 0
    }
}

/// All lanes of an output.
pub(super) struct Lanes {
    throttles: Arc<Throttles>,
    list: Vec<Lane>,
    by_destination: HashMap<Arc<Destination>, usize>,
    /// Lanes in which something waits.
    active: VecDeque<usize>,
    /// Pieces that have come so far.
    arrivals: u64,
}

impl Lanes {
    /// No lanes yet.
    pub(super) fn new(throttles: Arc<Throttles>) -> Self {
        Self {
            throttles,
            list: Vec::new(),
            by_destination: HashMap::new(),
            active: VecDeque::new(),
            arrivals: 0,
        }
    }

    /// Puts events into the lanes they belong to.
    pub(super) fn place(&mut self, mut piece: Piece, output: &dyn Output) {
        piece.arrival = self.arrivals;
        self.arrivals += 1;
        if let Some(destination) = output.destination(piece.tag()) {
            let lane = self.index_of(destination, output);
            self.push(lane, piece);
            return;
        }
        let mut starts: Vec<(usize, Vec<u32>)> = Vec::new();
        for (start, event) in piece.events() {
            let (start, tag) = (start as u32, piece.tag());
            let destination = output.destination_of(Item { tag, event });
            let lane = self.index_of(destination, output);
            match starts.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, starts)) => starts.push(start),
                None => starts.push((lane, vec![start])),
            }
        }
        for (lane, starts) in starts {
            self.push(lane, piece.part(starts));
        }
    }

    /// Takes everything that waits, in the order in which it came.
    pub(super) fn take_all(&mut self) -> Vec<Piece> {
        let lanes = self.list.iter_mut();
        let mut pieces: Vec<_> = lanes.flat_map(|lane| lane.queue.take(usize::MAX)).collect();
        pieces.sort_by_key(|piece| (piece.arrival, piece.start()));
        pieces
    }

    fn push(&mut self, index: usize, piece: Piece) {
        if let Some(lane) = self.list.get_mut(index) {
            lane.queue.push(piece);
        }
        self.wake(index);
    }

    /// The lane of a destination. Idle ones are forgotten when there are too many, which costs them nothing but their gate.
    fn index_of(&mut self, destination: Destination, output: &dyn Output) -> usize {
        if let Some(&index) = self.by_destination.get(&destination) {
            return index;
        }
        let throttle = match output.throttled_as(&destination) {
            Some(name) => self.throttles.of(name),
            None => Arc::default(),
        };
        let destination = Arc::new(destination);
        let fresh = Lane::new(Arc::clone(&destination), throttle);
        let crowded = self.list.len() >= IDLE_LANES;
        let reused = crowded.then(|| self.list.iter().position(Lane::is_idle));
        let index = reused.flatten().unwrap_or(self.list.len());
        match self.list.get_mut(index) {
            Some(lane) => {
                self.by_destination.remove(&lane.destination);
                *lane = fresh;
            }
            None => self.list.push(fresh),
        }
        self.by_destination.insert(destination, index);
        index
    }

    /// A lane.
    pub(super) fn get(&self, index: usize) -> Option<&Lane> {
        self.list.get(index)
    }

    /// A lane.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Lane> {
        self.list.get_mut(index)
    }

    /// Counts the lane among the active ones while something waits in it.
    pub(super) fn wake(&mut self, index: usize) {
        if let Some(lane) = self.list.get_mut(index)
            && !lane.active
            && lane.queue.events() > 0
        {
            lane.active = true;
            self.active.push_back(index);
        }
    }

    /// Takes the lane that has waited longest for a look; to be [woken](Lanes::wake) again if something is left in it.
    pub(super) fn next_active(&mut self) -> Option<usize> {
        let index = self.active.pop_front()?;
        if let Some(lane) = self.list.get_mut(index) {
            lane.active = false;
        }
        Some(index)
    }

    /// How many lanes something waits in.
    pub(super) fn active_count(&self) -> usize {
        self.active.len()
    }

    /// The lanes in which something waits.
    pub(super) fn active(&self) -> impl Iterator<Item = &Lane> {
        self.active.iter().filter_map(|&index| self.list.get(index))
    }

    /// Every lane.
    pub(super) fn all(&self) -> impl Iterator<Item = &Lane> {
        self.list.iter()
    }

    /// Lets everything that waits go as soon as its gate is open.
    pub(super) fn hurry(&mut self) {
        for &index in &self.active {
            if let Some(lane) = self.list.get_mut(index) {
                lane.hurry = true;
            }
        }
    }

    /// How many destinations fail, for how long the next of them has to wait. Without one that is asked within `soon` it counts as the
    /// only one: so somebody is always about to ask, and the end of an outage is noticed in time.
    pub(super) fn failing(&self, soon: Instant) -> usize {
        let failing = |lane: &&Lane| lane.gate.failures() > 0;
        let asks_soon = |lane: &Lane| {
            lane.queue.events() > 0 && lane.gate.opens().is_none_or(|opens| opens <= soon)
        };
        let lanes = || self.list.iter().filter(failing);
        if lanes().any(asks_soon) {
            lanes().count()
        } else {
            1
        }
    }

    /// Tells all gates that a destination was served; whether none is closed by a failure any more.
    pub(super) fn hear_of_success(&mut self, policy: &Policy, now: Instant) -> bool {
        for lane in &mut self.list {
            lane.gate.hear_of_success(policy, now, fastrand::f64());
        }
        self.list.iter().all(|lane| lane.gate.failures() == 0)
    }
}
