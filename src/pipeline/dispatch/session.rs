//! One connection's session: events pass the filters as they are offered, and are stored at the commit.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};

use super::{Dispatcher, Lane, Tally};
use crate::event::{Block, Event, Receipt};
use crate::filter::{Link, Scratch, Verdict, View};
use crate::input::Session;
use crate::pipeline::chain::Runner;
use crate::telemetry::Filtered;

/// The room of the tags whose lanes a session remembers. There may be thousands of sessions, and tags of 4 KiB.
const KNOWN_MAX: usize = 32 * 1024;
/// The same while it is idle.
const KNOWN_IDLE: usize = 1024;
/// What a tag takes there beside its bytes.
const KNOWN_TAG: usize = 64;

/// The most room a block keeps for its next use.
const SPARE_MAX: usize = 512 * 1024;

/// Events of one tag, waiting for the commit.
struct Run {
    lane: Arc<Lane>,
    block: Block,
    /// Where messages begin, as a number of events; of lanes with operators.
    chunks: Vec<usize>,
}

/// One connection's session.
pub(super) struct TagSession {
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

impl TagSession {
    /// A session with nothing in it.
    pub(super) fn new(dispatcher: Dispatcher) -> Self {
        Self {
            dispatcher,
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
        }
    }

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
