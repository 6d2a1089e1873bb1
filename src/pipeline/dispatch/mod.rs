//! From an input to the buffer: the filter chain over each event, and the streams its tag leads to.

mod lane;
mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub(super) use self::lane::Lane;
use self::session::TagSession;
use super::fork::{Processors, Sorter};
use super::release::Awaited;
use super::routes::Routes;
use crate::budget::{Budget, Charge};
use crate::buffer::{Disk, Inbox, Pool, Source, Stream};
use crate::event::{Block, Receipt, Tag};
use crate::filter::Link;
use crate::input::{Dispatch, Session};
use crate::router::Matcher;
use crate::telemetry::log::Limiter;
use crate::telemetry::{FilterLedger, Filtered, InputLedger, RouteLedger, Routing};

/// Tags whose lanes an input remembers. Clients choose tags, so there must be a bound.
const TAGS_MAX: usize = 4096;

/// A filter and the tags it wants.
pub(super) struct ChainLink {
    /// The tags.
    pub matcher: Matcher,
    /// The input whose processor it is, by its place among the inputs; nothing for filters, which
    /// run behind all processors.
    pub processor_of: Option<usize>,
    /// The only input whose events it wants, by its place among the inputs; mostly it wants those of all.
    pub only_of: Option<usize>,
    /// The filter.
    pub link: Link,
    /// Its book; processors have none.
    pub ledger: Option<Arc<FilterLedger>>,
}

/// An output as seen from here.
pub(super) struct Route {
    /// The tags it wants.
    pub matcher: Matcher,
    /// Where its batches go.
    pub inbox: Arc<Inbox>,
    /// Its book.
    pub ledger: Arc<RouteLedger>,
    /// What its events pass before they are stored for it; mostly nothing.
    pub processors: Option<Processors>,
}

/// What all inputs share.
pub(super) struct Stages {
    /// The filters in the order of the configuration.
    pub chain: Vec<ChainLink>,
    /// The outputs.
    pub routes: Vec<Route>,
    /// The routes of each input that has some, by its place among the inputs.
    pub chosen: HashMap<usize, Arc<Routes>>,
    /// The room of full batches.
    pub pool: Arc<Pool>,
    /// `Flush`.
    pub linger: Duration,
    /// Whether what filters ask for is waited for no longer, since the process is about to end.
    pub hasty: watch::Receiver<bool>,
    /// What runs beside the filters, and ends when the last session is gone.
    pub _tasks: JoinSet<()>,
    /// Tells, by being dropped, that nobody can store anything through these stages any more.
    pub _alive: watch::Sender<()>,
}

/// Where the events of an input with `storage.type filesystem` are kept.
#[derive(Clone)]
pub(super) struct Keeping {
    /// The log.
    pub(super) disk: Arc<Disk>,
    /// Whether events may leave memory when it is short; else senders wait.
    pub(super) may_fall_behind: bool,
}

/// The dispatcher of one input.
#[derive(Clone)]
pub(super) struct Dispatcher {
    stages: Arc<Stages>,
    budget: Arc<Budget>,
    ledger: Arc<InputLedger>,
    source: Arc<Source>,
    /// The way to each output.
    routings: Arc<[Routing]>,
    component: String,
    /// The input's place among those of the configuration; none when it is there no more.
    input: Option<usize>,
    keeping: Option<Keeping>,
    lanes: Arc<Mutex<HashMap<Tag, Arc<Lane>>>>,
    /// Of tags that filters gave: the routes of an input are not for these.
    given: Arc<Mutex<HashMap<Tag, Arc<Lane>>>>,
    unrouted: Arc<Limiter>,
    awaited: Arc<Awaited>,
    /// Tells, by being dropped, that no session is left.
    _sessions: Option<Arc<watch::Sender<()>>>,
}

impl Dispatcher {
    /// A dispatcher for the input with this budget and book.
    pub(super) fn new(
        stages: Arc<Stages>,
        budget: Arc<Budget>,
        ledger: Arc<InputLedger>,
        source: Arc<Source>,
        component: String,
        input: Option<usize>,
        keeping: Option<Keeping>,
    ) -> Self {
        let way = |route: &Route| Routing::new(&source.name, route.ledger.name());
        Self {
            routings: stages.routes.iter().map(way).collect(),
            stages,
            budget,
            ledger,
            source,
            component,
            input,
            keeping,
            lanes: Arc::default(),
            given: Arc::default(),
            unrouted: Arc::default(),
            awaited: Arc::default(),
            _sessions: None,
        }
    }

    /// The same, for an input's sessions; the receiver's sender is gone when it and all sessions are.
    pub(super) fn counted(&self) -> (Self, watch::Receiver<()>) {
        let (sessions, gone) = watch::channel(());
        let counted = Self {
            _sessions: Some(Arc::new(sessions)),
            ..self.clone()
        };
        (counted, gone)
    }

    /// The filter at a place of the chain.
    pub(super) fn link(&self, place: usize) -> Option<&Link> {
        self.stages.chain.get(place).map(|link| &link.link)
    }

    /// Takes `bytes` of the budget for what an operator holds.
    pub(super) fn charge(&self, bytes: u64) -> Charge {
        self.budget.charge(bytes)
    }

    /// The lanes that hold something.
    pub(super) fn awaited(&self) -> &Arc<Awaited> {
        &self.awaited
    }

    /// Stores events that have been through the filters of their lane; the receipts are kept until they are settled.
    pub(super) fn store(
        &self,
        lane: &Lane,
        events: &Block,
        receipts: &[Receipt],
        sorter: &mut Sorter,
        tally: &mut Tally,
    ) {
        if let Some(stream) = &lane.stream {
            self.append(&lane.routes, stream, events, receipts);
        } else if let Some(fork) = &lane.fork {
            fork.store(self, lane.tag.as_bytes(), events, receipts, sorter, tally);
        }
    }

    /// Stores events for the outputs at these places.
    pub(super) fn append(
        &self,
        outputs: &[usize],
        stream: &Arc<Stream>,
        events: &Block,
        receipts: &[Receipt],
    ) {
        if events.is_empty() {
            return;
        }
        let routes = || {
            outputs.iter().filter_map(|&place| {
                let route = self.stages.routes.get(place)?;
                Some((route, self.routings.get(place)?))
            })
        };
        // Booked before it can be delivered, so that no book ever shows more delivered than routed.
        for (route, way) in routes() {
            route.ledger.route(events.count() as u64);
            way.route(events.count() as u64, events.len() as u64);
        }
        stream.append(events, receipts);
        if self.budget.is_short() {
            // Whoever waits for memory asked for haste before these events were there.
            for (route, _) in routes() {
                route.inbox.hurry();
            }
        }
    }

    /// The books of the outputs at these places.
    pub(super) fn ledgers(&self, outputs: &[usize]) -> impl Iterator<Item = &RouteLedger> {
        let routes = outputs.iter();
        let routes = routes.filter_map(|&place| self.stages.routes.get(place));
        routes.map(|route| route.ledger.as_ref())
    }

    /// Says now and then that events are dropped because no output wants them.
    pub(super) fn warn_of_unrouted(&self, tag: &[u8], why: &str) {
        if let Some(more) = self.unrouted.admit() {
            let tag = Tag::new(tag);
            crate::warning!(
                &self.component,
                "{why} the tag {tag}; its events are dropped and counted as unrouted{more}"
            );
        }
    }

    /// Enters what was counted into the books, and what each filter of the chain has done.
    pub(super) fn book(&self, tally: Tally, filtered: &mut [Filtered]) {
        for (link, done) in self.stages.chain.iter().zip(filtered) {
            let done = std::mem::take(done);
            if let Some(ledger) = link.ledger.as_ref()
                && done != Filtered::default()
            {
                ledger.book(done);
            }
        }
        self.ledger.accept(tally.accepted, tally.bytes);
        self.ledger.filter(tally.filtered);
        self.ledger.unroute(tally.unrouted, tally.unrouted_bytes);
        self.ledger.join(tally.joined);
        self.ledger.add(tally.added);
        self.ledger.hold(tally.taken, tally.settled);
    }

    fn lanes(&self) -> Vec<Arc<Lane>> {
        let all = |lanes: &Mutex<HashMap<Tag, Arc<Lane>>>| {
            let lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.values().cloned().collect::<Vec<_>>()
        };
        let mut lanes = all(&self.lanes);
        lanes.append(&mut all(&self.given));
        lanes
    }

    /// What becomes of the events of a tag.
    pub(super) fn lane(&self, tag: &[u8]) -> Arc<Lane> {
        self.lane_in(&self.lanes, tag, self.chosen())
    }

    /// What becomes of the events that filters gave this tag.
    pub(super) fn lane_of_given(&self, tag: &[u8]) -> Arc<Lane> {
        match self.chosen() {
            Some(_) => self.lane_in(&self.given, tag, None),
            None => self.lane(tag),
        }
    }

    /// The routes of the input.
    fn chosen(&self) -> Option<&Arc<Routes>> {
        self.stages.chosen.get(&self.input?)
    }

    fn lane_in(
        &self,
        lanes: &Mutex<HashMap<Tag, Arc<Lane>>>,
        tag: &[u8],
        chosen: Option<&Arc<Routes>>,
    ) -> Arc<Lane> {
        let tag = Tag::new(tag);
        let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&tag) {
            return Arc::clone(lane);
        }
        if lanes.len() >= TAGS_MAX {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle());
        }
        let lane = Arc::new(self.new_lane(&tag, chosen));
        lanes.insert(tag, Arc::clone(&lane));
        lane
    }
}

impl Dispatch for Dispatcher {
    fn hurry(&self) {
        for route in &self.stages.routes {
            route.inbox.hurry();
        }
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(TagSession::new(self.clone()))
    }
}

/// What happened to events and is not booked yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) bytes: u64,
    pub(super) filtered: u64,
    pub(super) unrouted: u64,
    pub(super) unrouted_bytes: u64,
    /// Taken by operators.
    pub(super) taken: u64,
    /// Let go by operators.
    pub(super) settled: u64,
    /// Of these, become part of another event.
    pub(super) joined: u64,
    /// Made by operators.
    pub(super) added: u64,
}
