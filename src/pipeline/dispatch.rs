//! From an input to the buffer: the filter chain over each event, and the streams its tag leads to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::chain::{Operators, Runner};
use super::fork::{Branch, Fork, Processors, Sorter};
use super::release::Awaited;
use super::routes::{Routes, Taken};
use crate::budget::{Budget, Charge};
use crate::buffer::{Disk, Inbox, Kept, Pool, Source, Stream};
use crate::event::{Block, Event, Receipt, Tag};
use crate::filter::{Link, Scratch, Verdict, View};
use crate::input::{Dispatch, Session};
use crate::router::Matcher;
use crate::telemetry::log::Limiter;
use crate::telemetry::{FilterLedger, Filtered, InputLedger, RouteLedger, Routing};

/// Tags whose lanes an input remembers. Clients choose tags, so there must be a bound.
const TAGS_MAX: usize = 4096;
/// The room of the tags whose lanes a session remembers. There may be thousands of sessions, and tags of 4 KiB.
const KNOWN_MAX: usize = 32 * 1024;
/// The same while it is idle.
const KNOWN_IDLE: usize = 1024;
/// What a tag takes there beside its bytes.
const KNOWN_TAG: usize = 64;

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

/// What becomes of the events of one tag.
pub(super) struct Lane {
    pub(super) tag: Tag,
    /// The places in the chain of the filters that want it, the input's processors first.
    pub(super) filters: Vec<usize>,
    /// How many of them are processors.
    pub(super) processors: usize,
    /// The operators among them; with some, the events run through the chain at the commit.
    pub(super) operators: Option<Operators>,
    /// The places of the outputs that want it.
    routes: Vec<usize>,
    stream: Option<Arc<Stream>>,
    /// In place of the stream, where not all events go to the same outputs as they are.
    fork: Option<Fork>,
}

impl Lane {
    /// Whether an output wants the tag.
    pub(super) fn is_routed(&self) -> bool {
        self.stream.is_some() || self.fork.is_some()
    }

    /// When an operator wants to let something go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.operators.as_ref().and_then(Operators::due)
    }

    /// What its operators wait for before they let go of what they hold.
    pub(super) fn waits(&self) -> Vec<BoxFuture<'static, ()>> {
        let operators = self.operators.as_ref();
        operators.map_or_else(Vec::new, |operators| operators.ready(&Block::default()))
    }

    /// Whether nothing of the tag waits here.
    fn is_idle(&self) -> bool {
        self.operators.as_ref().is_none_or(Operators::is_idle)
            && self.stream.as_ref().is_none_or(Stream::is_idle)
            && self.fork.as_ref().is_none_or(Fork::is_idle)
    }
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

    fn new_lane(&self, tag: &Tag, chosen: Option<&Arc<Routes>>) -> Lane {
        let wants = |matcher: &Matcher| matcher.matches(tag.as_bytes());
        let places = |wanted: Vec<bool>| {
            wanted
                .iter()
                .enumerate()
                .filter_map(|(place, wanted)| wanted.then_some(place))
                .collect()
        };
        let chain = &self.stages.chain;
        let has = |link: &ChainLink| match link.processor_of {
            Some(input) => Some(input) == self.input,
            None => wants(&link.matcher) && (link.only_of.is_none() || link.only_of == self.input),
        };
        let filters: Vec<usize> = places(chain.iter().map(has).collect());
        let is_processor = |place: &&usize| {
            chain
                .get(**place)
                .is_some_and(|link| link.processor_of.is_some())
        };
        let processors = filters.iter().filter(is_processor).count();
        let wanted = || {
            let wanted = self.stages.routes.iter();
            let wanted: Vec<usize> = places(wanted.map(|route| wants(&route.matcher)).collect());
            wanted
                .into_iter()
                .map(|place| (place, Taken::MAX))
                .collect()
        };
        let routes = chosen.map_or_else(wanted, |chosen| chosen.outputs().to_vec());
        let mut branches = self.branches(tag, routes);
        // Everything goes everywhere as it is.
        let is_plain = chosen.is_none() && branches.iter().all(|it| it.processors.is_none());
        let whole = if is_plain { branches.pop() } else { None };
        let (routes, stream) = whole.map(|whole| (whole.outputs, whole.stream)).unzip();
        let fork = (!branches.is_empty()).then(|| Fork {
            routes: chosen.cloned(),
            branches,
        });
        let operators = Operators::of(&self.stages.chain, &filters, tag.as_bytes());
        // What reaches no output under its tag may reach one under another.
        if stream.is_none() && fork.is_none() && operators.is_none() {
            self.warn_of_unrouted(tag.as_bytes(), "no output's Match accepts");
        }
        Lane {
            tag: tag.clone(),
            filters,
            processors,
            operators,
            routes: routes.unwrap_or_default(),
            stream,
            fork,
        }
    }

    /// A way for each group of outputs that get the same events of a tag.
    fn branches(&self, tag: &Tag, routes: Vec<(usize, Taken)>) -> Vec<Branch> {
        let mut groups: Vec<(Vec<usize>, Taken, Option<Processors>)> = Vec::new();
        for (place, taken_by) in routes {
            let Some(route) = self.stages.routes.get(place) else {
                continue;
            };
            let same = groups.iter_mut().find(|(_, known, processors)| {
                *known == taken_by && processors.is_none() && route.processors.is_none()
            });
            match same {
                Some((outputs, ..)) => outputs.push(place),
                None => groups.push((vec![place], taken_by, route.processors.clone())),
            }
        }
        let branch = |(outputs, taken_by, processors): (Vec<usize>, _, _)| Branch {
            stream: self.stream(tag, &outputs),
            outputs,
            taken_by,
            processors,
        };
        groups.into_iter().map(branch).collect()
    }

    fn stream(&self, tag: &Tag, outputs: &[usize]) -> Arc<Stream> {
        let inboxes: Vec<_> = outputs
            .iter()
            .filter_map(|&place| self.stages.routes.get(place))
            .map(|route| Arc::clone(&route.inbox))
            .collect();
        let kept = self.keeping.as_ref().map(|keeping| {
            let may_fall_behind = keeping.may_fall_behind;
            Kept::new(&keeping.disk, &self.source, tag, &inboxes, may_fall_behind)
        });
        Stream::new(
            tag.clone(),
            Arc::clone(&self.source),
            inboxes,
            Arc::clone(&self.budget),
            Arc::clone(&self.stages.pool),
            self.stages.linger,
            kept,
        )
    }
}

impl Dispatch for Dispatcher {
    fn hurry(&self) {
        for route in &self.stages.routes {
            route.inbox.hurry();
        }
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(TagSession {
            dispatcher: self.clone(),
            known: HashMap::new(),
            known_bytes: 0,
            tag: Vec::new(),
            run: None,
            finished: Vec::new(),
            spare: Vec::new(),
            scratch: Scratch::default(),
            runner: Runner::default(),
            tally: Tally::default(),
            filtered_before: Vec::new(),
            frame: None,
            receipt: None,
        })
    }
}

/// Events of one tag, waiting for the commit.
struct Run {
    lane: Arc<Lane>,
    block: Block,
    /// Where messages begin, as a number of events; of lanes with operators.
    chunks: Vec<usize>,
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

/// One connection's session.
struct TagSession {
    dispatcher: Dispatcher,
    known: HashMap<Box<[u8]>, Arc<Lane>>,
    /// The room of these, about.
    known_bytes: usize,
    tag: Vec<u8>,
    run: Option<Run>,
    finished: Vec<Run>,
    spare: Vec<Block>,
    scratch: Scratch,
    runner: Runner,
    tally: Tally,
    /// What the filters had done before the frame that is open.
    filtered_before: Vec<Filtered>,
    /// What to go back to when the frame is refused. A frame has one tag, so its events lie in the current run.
    frame: Option<((usize, usize), Tally)>,
    /// For what the next commit stores.
    receipt: Option<Receipt>,
}

/// The most room a block keeps for its next use.
const SPARE_MAX: usize = 512 * 1024;

impl Session for TagSession {
    fn tag(&mut self, tag: &[u8]) {
        if self.run.is_some() && self.tag == tag {
            return;
        }
        self.tag.clear();
        self.tag.extend_from_slice(tag);
        self.finish_run();
        let lane = if let Some(lane) = self.known.get(tag) {
            Arc::clone(lane)
        } else {
            self.known_bytes += tag.len() + KNOWN_TAG;
            if self.known_bytes > KNOWN_MAX {
                self.known.clear();
                self.known_bytes = tag.len() + KNOWN_TAG;
            }
            let lane = self.dispatcher.lane(tag);
            self.known.insert(tag.into(), Arc::clone(&lane));
            lane
        };
        self.run = Some(Run {
            lane,
            block: self.spare.pop().unwrap_or_default(),
            chunks: Vec::new(),
        });
    }

    fn offer(&mut self, event: Event<'_>) {
        let Some(run) = &mut self.run else { return };
        self.tally.accepted += 1;
        self.tally.bytes += event.record.len() as u64;
        let lane = &run.lane;
        if lane.operators.is_some() {
            run.block.push(event);
            return;
        }
        if lane.filters.is_empty() {
            if lane.is_routed() {
                run.block.push(event);
            } else {
                self.tally.unrouted += 1;
                self.tally.unrouted_bytes += event.record.len() as u64;
            }
            return;
        }
        let mut view = View::open(&self.tag, event, &mut self.scratch);
        let chain = &self.dispatcher.stages.chain;
        let bytes = event.record.len() as u64;
        for &place in &lane.filters {
            let Some(Link::Filter(filter)) = chain.get(place).map(|link| &link.link) else {
                continue;
            };
            let verdict = filter.apply(&mut view);
            self.runner.note(place, |done| done.show(bytes));
            if verdict == Verdict::Drop {
                self.runner.note(place, |done| done.drop(bytes));
                self.tally.filtered += 1;
                return;
            }
        }
        if !lane.is_routed() {
            self.tally.unrouted += 1;
            self.tally.unrouted_bytes += bytes;
        } else if view.changed() {
            run.block
                .push_with(view.time(), view.carried(), |out| view.write(out));
        } else {
            run.block.push(event);
        }
    }

    fn open_frame(&mut self) {
        self.frame = self.run.as_ref().map(|run| (run.block.mark(), self.tally));
        self.filtered_before.clone_from(&self.runner.filtered);
        if let Some(run) = &mut self.run
            && run.lane.operators.is_some()
        {
            run.chunks.push(run.block.count());
        }
    }

    fn refuse_frame(&mut self) {
        if let (Some((mark, tally)), Some(run)) = (self.frame.take(), &mut self.run) {
            run.block.cut(mark);
            self.tally = tally;
            // Filters that were first asked within the frame are not in the copy.
            self.filtered_before
                .resize(self.runner.filtered.len(), Filtered::default());
            self.runner.filtered.clone_from(&self.filtered_before);
        }
    }

    fn is_clean(&self) -> bool {
        self.run.is_none() && self.finished.is_empty()
    }

    fn rest(&mut self) {
        if !self.is_clean() {
            return;
        }
        self.tag = Vec::new();
        self.finished = Vec::new();
        self.spare = Vec::new();
        self.scratch = Scratch::default();
        self.runner = Runner::default();
        if self.known_bytes > KNOWN_IDLE {
            self.known = HashMap::new();
            self.known_bytes = 0;
        }
    }

    /// All tags of the input: this session may have forgotten some of its own.
    fn leave(&mut self) {
        // What one operator lets go another further on may hold, so there are as many turns as there are filters.
        for _ in &self.dispatcher.stages.chain {
            for lane in self.dispatcher.lanes() {
                if lane.operators.is_some() {
                    self.runner
                        .release(&self.dispatcher, &lane, true, &mut self.tally);
                }
            }
        }
        let tally = std::mem::take(&mut self.tally);
        self.dispatcher.book(tally, &mut self.runner.filtered);
        for lane in self.dispatcher.lanes() {
            let forked = lane.fork.iter().flat_map(|fork| &fork.branches);
            let streams = forked.map(|branch| &branch.stream).chain(&lane.stream);
            for stream in streams {
                stream.seal();
            }
        }
    }

    fn receipt(&mut self, receipt: Receipt) {
        self.receipt = Some(receipt);
    }

    fn commit(&mut self) -> BoxFuture<'_, ()> {
        self.finish_run();
        let waits = self.waits();
        if waits.is_empty() {
            self.store();
            return self.kept();
        }
        Box::pin(async move {
            let mut hasty = self.dispatcher.stages.hasty.clone();
            tokio::select! {
                _ = join_all(waits) => {}
                // Also when the sender is gone.
                _ = hasty.wait_for(|hasty| *hasty) => {}
            }
            self.store();
            self.kept().await;
        })
    }
}

impl TagSession {
    /// What operators want to wait for before the events that were offered run through the chain.
    fn waits(&self) -> Vec<BoxFuture<'static, ()>> {
        let mut waits = Vec::new();
        for run in &self.finished {
            if let Some(operators) = &run.lane.operators {
                waits.append(&mut operators.ready(&run.block));
            }
        }
        waits
    }

    /// Stores what was offered, behind the operators of its lane where it has some.
    fn store(&mut self) {
        let receipt = self.receipt.take();
        for mut run in std::mem::take(&mut self.finished) {
            if run.lane.operators.is_some() {
                self.runner.pass(
                    &self.dispatcher,
                    &run.lane,
                    &run.block,
                    &run.chunks,
                    receipt.clone(),
                    &mut self.tally,
                );
            } else {
                let receipts = receipt.as_slice();
                self.dispatcher.store(
                    &run.lane,
                    &run.block,
                    receipts,
                    &mut self.runner.sorter,
                    &mut self.tally,
                );
            }
            run.block.clear();
            if self.spare.is_empty() && run.block.capacity() <= SPARE_MAX {
                self.spare.push(run.block);
            }
        }
        let tally = std::mem::take(&mut self.tally);
        self.dispatcher.book(tally, &mut self.runner.filtered);
    }

    /// Waits until what was stored is as safe as `storage.type` promises.
    fn kept(&self) -> BoxFuture<'_, ()> {
        match &self.dispatcher.keeping {
            Some(keeping) => Box::pin(keeping.disk.safe()),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn finish_run(&mut self) {
        if let Some(run) = self.run.take() {
            if run.block.is_empty() {
                self.spare.push(run.block);
            } else {
                self.finished.push(run);
            }
        }
    }
}
