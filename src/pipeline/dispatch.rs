//! From an input to the buffer: the filter chain over each event, and the streams its tag leads to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::budget::Budget;
use crate::buffer::{Inbox, Pool, Stream};
use crate::event::{Block, Event, Tag};
use crate::filter::{Filter, Scratch, Verdict, View};
use crate::input::{Dispatch, Session};
use crate::router::Matcher;
use crate::telemetry::log::Limiter;
use crate::telemetry::{InputLedger, RouteLedger};

/// Tags whose lanes a session, or an input, remembers. Clients choose tags, so there must be a bound.
const TAGS_MAX: usize = 4096;

/// A filter and the tags it wants.
pub(super) struct ChainLink {
    /// The tags.
    pub matcher: Matcher,
    /// The filter.
    pub filter: Box<dyn Filter>,
}

/// An output as seen from here.
pub(super) struct Route {
    /// The tags it wants.
    pub matcher: Matcher,
    /// Where its batches go.
    pub inbox: Arc<Inbox>,
    /// Its book.
    pub ledger: Arc<RouteLedger>,
}

/// What all inputs share.
pub(super) struct Stages {
    /// The filters in the order of the configuration.
    pub chain: Vec<ChainLink>,
    /// The outputs.
    pub routes: Vec<Route>,
    /// The room of full batches.
    pub pool: Arc<Pool>,
    /// `Flush`.
    pub linger: Duration,
}

/// The dispatcher of one input.
pub(super) struct Dispatcher {
    stages: Arc<Stages>,
    budget: Arc<Budget>,
    ledger: Arc<InputLedger>,
    component: String,
    lanes: Arc<Mutex<HashMap<Tag, Arc<Lane>>>>,
    unrouted: Arc<Limiter>,
}

/// What becomes of the events of one tag.
struct Lane {
    /// The places in the chain of the filters that want it.
    filters: Vec<usize>,
    /// The places of the outputs that want it.
    routes: Vec<usize>,
    stream: Option<Arc<Stream>>,
}

impl Dispatcher {
    /// A dispatcher for the input with this budget and book.
    pub(super) fn new(
        stages: Arc<Stages>,
        budget: Arc<Budget>,
        ledger: Arc<InputLedger>,
        component: String,
    ) -> Self {
        Self {
            stages,
            budget,
            ledger,
            component,
            lanes: Arc::default(),
            unrouted: Arc::default(),
        }
    }

    fn lane(&self, tag: &[u8]) -> Arc<Lane> {
        let tag = Tag::new(tag);
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&tag) {
            return Arc::clone(lane);
        }
        if lanes.len() >= TAGS_MAX {
            lanes.retain(|_, lane| {
                Arc::strong_count(lane) > 1
                    || lane.stream.as_ref().is_some_and(|stream| !stream.is_idle())
            });
        }
        let lane = Arc::new(self.new_lane(&tag));
        lanes.insert(tag, Arc::clone(&lane));
        lane
    }

    fn new_lane(&self, tag: &Tag) -> Lane {
        let wants = |matcher: &Matcher| matcher.matches(tag.as_bytes());
        let places = |wanted: Vec<bool>| {
            wanted
                .iter()
                .enumerate()
                .filter_map(|(place, wanted)| wanted.then_some(place))
                .collect()
        };
        let filters: Vec<usize> = places(
            self.stages
                .chain
                .iter()
                .map(|link| wants(&link.matcher))
                .collect(),
        );
        let routes: Vec<usize> = places(
            self.stages
                .routes
                .iter()
                .map(|route| wants(&route.matcher))
                .collect(),
        );
        let inboxes: Vec<_> = routes
            .iter()
            .filter_map(|&place| self.stages.routes.get(place))
            .map(|route| Arc::clone(&route.inbox))
            .collect();
        let stream = (!inboxes.is_empty()).then(|| {
            Stream::new(
                tag.clone(),
                inboxes,
                Arc::clone(&self.budget),
                Arc::clone(&self.stages.pool),
                self.stages.linger,
            )
        });
        if stream.is_none()
            && let Some(more) = self.unrouted.admit()
        {
            crate::warning!(
                &self.component,
                "no output's Match accepts the tag {tag}; its events are dropped and counted as unrouted{more}"
            );
        }
        Lane {
            filters,
            routes,
            stream,
        }
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
            dispatcher: Self {
                stages: Arc::clone(&self.stages),
                budget: Arc::clone(&self.budget),
                ledger: Arc::clone(&self.ledger),
                component: self.component.clone(),
                lanes: Arc::clone(&self.lanes),
                unrouted: Arc::clone(&self.unrouted),
            },
            known: HashMap::new(),
            tag: Vec::new(),
            run: None,
            finished: Vec::new(),
            spare: Vec::new(),
            scratch: Scratch::default(),
            tally: Tally::default(),
            frame: None,
        })
    }
}

/// Events of one tag, waiting for the commit.
struct Run {
    lane: Arc<Lane>,
    block: Block,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    accepted: u64,
    bytes: u64,
    filtered: u64,
    unrouted: u64,
}

/// One connection's session.
struct TagSession {
    dispatcher: Dispatcher,
    known: HashMap<Box<[u8]>, Arc<Lane>>,
    tag: Vec<u8>,
    run: Option<Run>,
    finished: Vec<Run>,
    spare: Vec<Block>,
    scratch: Scratch,
    tally: Tally,
    /// What to go back to when the frame is refused. A frame has one tag, so its events lie in the current run.
    frame: Option<((usize, usize), Tally)>,
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
            if self.known.len() >= TAGS_MAX {
                self.known.clear();
            }
            let lane = self.dispatcher.lane(tag);
            self.known.insert(tag.into(), Arc::clone(&lane));
            lane
        };
        self.run = Some(Run {
            lane,
            block: self.spare.pop().unwrap_or_default(),
        });
    }

    fn offer(&mut self, event: Event<'_>) {
        let Some(run) = &mut self.run else { return };
        self.tally.accepted += 1;
        self.tally.bytes += event.record.len() as u64;
        let lane = &run.lane;
        if lane.filters.is_empty() {
            if lane.stream.is_some() {
                run.block.push(event);
            } else {
                self.tally.unrouted += 1;
            }
            return;
        }
        let mut view = View::open(&self.tag, event, &mut self.scratch);
        let chain = &self.dispatcher.stages.chain;
        for link in lane.filters.iter().filter_map(|&place| chain.get(place)) {
            if link.filter.apply(&mut view) == Verdict::Drop {
                self.tally.filtered += 1;
                return;
            }
        }
        if lane.stream.is_none() {
            self.tally.unrouted += 1;
        } else if view.changed() {
            run.block
                .push_with(view.time(), view.metadata(), |out| view.write(out));
        } else {
            run.block.push(event);
        }
    }

    fn open_frame(&mut self) {
        self.frame = self.run.as_ref().map(|run| (run.block.mark(), self.tally));
    }

    fn refuse_frame(&mut self) {
        if let (Some((mark, tally)), Some(run)) = (self.frame.take(), &mut self.run) {
            run.block.cut(mark);
            self.tally = tally;
        }
    }

    fn commit(&mut self) -> BoxFuture<'_, ()> {
        self.finish_run();
        for mut run in std::mem::take(&mut self.finished) {
            if let Some(stream) = &run.lane.stream {
                // Booked before it can be delivered, so that no book ever shows more delivered than routed.
                for route in run
                    .lane
                    .routes
                    .iter()
                    .filter_map(|&place| self.dispatcher.stages.routes.get(place))
                {
                    route.ledger.route(run.block.count() as u64);
                }
                stream.append(&run.block);
            }
            run.block.clear();
            if self.spare.is_empty() && run.block.capacity() <= SPARE_MAX {
                self.spare.push(run.block);
            }
        }
        let tally = std::mem::take(&mut self.tally);
        self.dispatcher.ledger.accept(tally.accepted, tally.bytes);
        self.dispatcher.ledger.filter(tally.filtered);
        self.dispatcher.ledger.unroute(tally.unrouted);
        Box::pin(std::future::ready(()))
    }
}

impl TagSession {
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
