//! Tags whose events do not all go the same way: to the outputs that the routes of their input choose, or through the processors of
//! an output.
//!
//! Most tags go whole to the outputs that match, as one stream. Here a tag has a stream for each group of outputs that get the same
//! events, and events are told apart when they are stored; so a batch's routes are fixed as everywhere, and the events of one
//! destination stay in order.

use std::sync::Arc;

use super::dispatch::{Dispatcher, Tally};
use super::routes::{Routes, Taken};
use crate::buffer::Stream;
use crate::event::{Block, DropReason, Receipt};
use crate::filter::{Filter, Scratch, Verdict, View};

/// The most room a block keeps for its next use.
const SPARE_MAX: usize = 512 * 1024;

/// Filters that the events of one output pass. They look at one event each: what was routed is the output's already.
pub(super) type Processors = Arc<[Box<dyn Filter>]>;

/// The ways of one tag.
pub(super) struct Fork {
    /// What chooses among them; nothing where every event goes every way.
    pub routes: Option<Arc<Routes>>,
    /// The ways.
    pub branches: Vec<Branch>,
}

/// One way.
pub(super) struct Branch {
    /// The places of its outputs.
    pub outputs: Vec<usize>,
    /// The routes that lead there.
    pub taken_by: Taken,
    /// What the events pass, where the output has processors; it has a branch of its own then.
    pub processors: Option<Processors>,
    /// Where they go.
    pub stream: Arc<Stream>,
}

/// The room that telling events apart takes.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    scratch: Scratch,
    blocks: Vec<Block>,
    /// How many events the processors of each branch have dropped.
    dropped: Vec<u64>,
}

impl Fork {
    /// Whether nothing waits in any of them.
    pub(super) fn is_idle(&self) -> bool {
        self.branches.iter().all(|branch| branch.stream.is_idle())
    }

    /// Stores each event on every way it goes.
    pub(super) fn store(
        &self,
        dispatcher: &Dispatcher,
        tag: &[u8],
        events: &Block,
        receipts: &[Receipt],
        sorter: &mut Sorter,
        tally: &mut Tally,
    ) {
        sorter.begin(self.branches.len());
        let before = tally.unrouted;
        for event in events.events_from(0) {
            let taken = match &self.routes {
                Some(routes) => routes.take(&View::open(tag, event, &mut sorter.scratch)),
                None => Taken::MAX,
            };
            if taken == 0 {
                tally.unrouted += 1;
                tally.unrouted_bytes += event.record.len() as u64;
                continue;
            }
            let ways = self.branches.iter().zip(&mut sorter.blocks);
            for ((branch, block), dropped) in ways.zip(&mut sorter.dropped) {
                if branch.taken_by & taken == 0 {
                    continue;
                }
                let Some(processors) = &branch.processors else {
                    block.push(event);
                    continue;
                };
                let mut view = View::open(tag, event, &mut sorter.scratch);
                let mut filters = processors.iter();
                if filters.any(|filter| filter.apply(&mut view) == Verdict::Drop) {
                    *dropped += 1;
                } else if view.changed() {
                    block.push_with(view.time(), view.carried(), |out| view.write(out));
                } else {
                    block.push(event);
                }
            }
        }
        if tally.unrouted > before {
            dispatcher.warn_of_unrouted(tag, "none of the input's routes takes some records of");
        }
        let ways = self.branches.iter().zip(&sorter.blocks);
        for ((branch, block), dropped) in ways.zip(&sorter.dropped) {
            for ledger in dispatcher.ledgers(&branch.outputs) {
                ledger.route(*dropped);
                ledger.drop_events(DropReason::Filtered, *dropped);
            }
            dispatcher.append(&branch.outputs, &branch.stream, block, receipts);
        }
    }
}

impl Sorter {
    fn begin(&mut self, branches: usize) {
        for block in &mut self.blocks {
            if block.capacity() > SPARE_MAX {
                *block = Block::default();
            }
            block.clear();
        }
        if self.blocks.len() < branches {
            self.blocks.resize_with(branches, Block::default);
        }
        self.dropped.clear();
        self.dropped.resize(branches, 0);
    }
}
