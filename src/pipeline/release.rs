//! Lets events go that an operator holds, when their time has come, when an answer that they wait for is there, and at the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};

use super::chain::Runner;
use super::dispatch::{Dispatcher, Lane, Tally};

/// The lanes that have begun to hold something. As many as there are lanes, at most.
#[derive(Default)]
pub(super) struct Awaited {
    lanes: Mutex<Vec<Arc<Lane>>>,
    arrived: Notify,
}

impl Awaited {
    /// Has the releaser look after a lane.
    pub(super) fn add(&self, lane: &Arc<Lane>) {
        self.lock().push(Arc::clone(lane));
        self.arrived.notify_one();
    }

    fn take(&self) -> Vec<Arc<Lane>> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after what the operators of one input's streams hold.
pub(super) struct Releaser {
    dispatcher: Dispatcher,
    runner: Runner,
    waiting: Vec<(Instant, Arc<Lane>)>,
    /// Ends for each lane when its operators wait for nothing any more that others have to say.
    told: FuturesUnordered<BoxFuture<'static, Arc<Lane>>>,
}

impl Releaser {
    /// For the streams of this dispatcher.
    pub(super) fn new(dispatcher: Dispatcher) -> Self {
        Self {
            dispatcher,
            runner: Runner::default(),
            waiting: Vec::new(),
            told: FuturesUnordered::new(),
        }
    }

    /// Releases what is due, until `end` holds true; then releases everything. No input may hand over events after that.
    pub(super) async fn run(mut self, mut end: watch::Receiver<bool>) {
        let awaited = Arc::clone(self.dispatcher.awaited());
        loop {
            let next = self.waiting.iter().map(|(due, _)| *due).min();
            let sleep = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = awaited.arrived.notified() => self.take_awaited(),
                () = sleep => self.release_due(Instant::now()),
                Some(lane) = self.told.next() => self.release_told(lane),
                // Also when the sender is gone.
                _ = end.wait_for(|end| *end) => return self.release_everything(),
            }
        }
    }

    /// Takes over the lanes that have begun to hold something.
    fn take_awaited(&mut self) {
        let now = Instant::now();
        for lane in self.dispatcher.awaited().take() {
            self.look_after(lane.due().unwrap_or(now), lane);
        }
    }

    /// Comes back to a lane when something of it is due, or an answer that it waits for is there.
    fn look_after(&mut self, due: Instant, lane: Arc<Lane>) {
        let waits = lane.waits();
        if !waits.is_empty() {
            let lane = Arc::clone(&lane);
            self.told.push(Box::pin(async move {
                join_all(waits).await;
                lane
            }));
        }
        self.waiting.push((due, lane));
    }

    /// Releases what has waited for an answer that is there now.
    fn release_told(&mut self, lane: Arc<Lane>) {
        self.waiting.retain(|(_, known)| !Arc::ptr_eq(known, &lane));
        if let Some(next) = self.release(&lane, false) {
            self.look_after(next, lane);
        }
    }

    fn release_due(&mut self, now: Instant) {
        let (due, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(due, _)| *due <= now);
        self.waiting = waiting;
        for (_, lane) in due {
            if let Some(next) = self.release(&lane, false) {
                self.look_after(next, lane);
            }
        }
    }

    /// What is let go may be held again by an operator further on, so this goes on until none holds anything. Each time an event has
    /// come further, so it ends.
    fn release_everything(&mut self) {
        loop {
            self.take_awaited();
            let lanes = std::mem::take(&mut self.waiting);
            if lanes.is_empty() {
                return;
            }
            for (_, lane) in lanes {
                if let Some(due) = self.release(&lane, true) {
                    self.waiting.push((due, lane));
                }
            }
        }
    }

    fn release(&mut self, lane: &Arc<Lane>, everything: bool) -> Option<Instant> {
        let mut tally = Tally::default();
        let due = self
            .runner
            .release(&self.dispatcher, lane, everything, &mut tally);
        self.dispatcher.book(tally, &mut self.runner.filtered);
        due
    }
}
