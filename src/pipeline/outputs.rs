//! The outputs that run, and what a reload does with what they hold.
//!
//! | an output | what it holds | order |
//! |---|---|---|
//! | is the same | stays | stays |
//! | has changed and has an `Alias` | is handed to the one of that alias, which begins when the last request of the old one is answered | stays |
//! | has changed and has none | is delivered as it was to be | of events before and after the reload, none is promised |
//! | is gone | is delivered as it was to be | stays |
//!
//! Without an alias nobody can say that `file.0` of two files is the same output: it is whichever comes first.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::build::PlannedOutput;
use super::dead_letters::DeadLetters;
use super::deliver::{Deliver, Delivery, Ending};
use super::dispatch::Route;
use super::engine::Change;
use super::identity::Identity;
use super::queue::Piece;
use super::throttle::Throttles;
use crate::buffer::{Inbox, Registration};
use crate::router::Matcher;
use crate::telemetry::{OutputView, RouteLedger};

/// An output that runs.
struct LiveOutput {
    identity: Identity,
    plugin: String,
    is_alias: bool,
    matcher: Matcher,
    matching: String,
    /// `storage.total_limit_size`.
    storage_limit: Option<u64>,
    inbox: Arc<Inbox>,
    ledger: Arc<RouteLedger>,
    ending: Arc<watch::Sender<Ending>>,
    task: JoinHandle<Vec<Piece>>,
}

/// All outputs that run.
#[derive(Default)]
pub(super) struct Outputs {
    live: Vec<LiveOutput>,
    /// Outputs that deliver their last events.
    leaving: Vec<LiveOutput>,
    /// Whether sessions are left of the stages that ran so far.
    generations: Vec<watch::Receiver<()>>,
    /// What services grant, which outlives the outputs that learned it.
    throttles: Arc<Throttles>,
    /// Where the first output that keeps what it gives up keeps it; one folder has one writer.
    dead_letters: Option<Arc<DeadLetters>>,
}

impl Outputs {
    /// Runs these outputs; what ran and is not among them is left for [`Outputs::retire`]. Gives the way to each.
    pub(super) fn apply(&mut self, planned: Vec<PlannedOutput>, change: &mut Change) -> Vec<Route> {
        let mut before = std::mem::take(&mut self.live);
        let mut routes = Vec::new();
        // Those that stay are found first, so that none of them is taken for the predecessor of another.
        let kept: Vec<Option<LiveOutput>> = planned
            .iter()
            .map(|planned| {
                let place = before.iter().position(|live| live.is(planned))?;
                Some(before.remove(place))
            })
            .collect();
        change.outputs_kept = kept.iter().flatten().count();
        change.outputs_started = planned.len() - change.outputs_kept;
        for (mut planned, kept) in planned.into_iter().zip(kept) {
            self.share(&mut planned.dead_letters);
            let matcher = planned.matcher.clone();
            let processors = planned.processors.take();
            let live = kept.unwrap_or_else(|| {
                let follows = |live: &LiveOutput| live.is_followed_by(&planned);
                let place = before.iter().position(follows);
                let before = place.map(|place| before.remove(place));
                LiveOutput::start(planned, before, &self.throttles)
            });
            routes.push(Route {
                matcher,
                inbox: Arc::clone(&live.inbox),
                ledger: Arc::clone(&live.ledger),
                processors,
            });
            self.live.push(live);
        }
        self.leaving.retain(|live| !live.task.is_finished());
        self.leaving.append(&mut before);
        routes
    }

    /// Puts the folder that is open already in place of the same one.
    fn share(&mut self, wanted: &mut Option<Arc<DeadLetters>>) {
        if let (Some(known), Some(same)) = (&self.dead_letters, wanted.as_deref())
            && known.place() == same.place()
        {
            *wanted = Some(Arc::clone(known));
        } else if wanted.is_some() {
            self.dead_letters.clone_from(wanted);
        }
    }

    /// Has the outputs that are no longer wanted end once no session can store anything for them. `alive` belongs to the stages
    /// that run now.
    pub(super) fn retire(&mut self, alive: watch::Receiver<()>) {
        self.generations
            .retain(|before| before.has_changed().is_ok());
        for live in &self.leaving {
            let (generations, ending) = (self.generations.clone(), Arc::clone(&live.ending));
            tokio::spawn(async move {
                for mut before in generations {
                    while before.changed().await.is_ok() {}
                }
                // The end of the process may have come first.
                ending.send_if_modified(|ending| {
                    let is_first = *ending == Ending::Not;
                    if is_first {
                        *ending = Ending::Empty;
                    }
                    is_first
                });
            });
        }
        self.generations.push(alive);
    }

    /// The books.
    pub(super) fn ledgers(&self) -> Vec<Arc<RouteLedger>> {
        let ledgers = self.live.iter().map(|live| Arc::clone(&live.ledger));
        ledgers.collect()
    }

    /// The outputs as the log on disk knows them.
    pub(super) fn registrations(&self) -> impl Iterator<Item = Registration> {
        self.live.iter().map(|live| {
            let matcher = live.matcher.clone();
            Registration {
                name: live.ledger.name().into(),
                inbox: Arc::clone(&live.inbox),
                ledger: Arc::clone(&live.ledger),
                limit: live.storage_limit,
                wants: Arc::new(move |tag| matcher.matches(tag)),
            }
        })
    }

    /// The outputs as they are shown.
    pub(super) fn views(&self) -> Vec<OutputView> {
        let views = self.live.iter().map(|live| OutputView {
            plugin: live.plugin.clone(),
            ledger: Arc::clone(&live.ledger),
            matching: live.matching.clone(),
        });
        views.collect()
    }

    /// Has everything end with its last event.
    pub(super) fn drain(&self) {
        for live in self.live.iter().chain(&self.leaving) {
            live.ending.send_replace(Ending::Drain);
        }
    }

    /// Waits until all have ended.
    ///
    /// # Cancel safety
    /// Cancel safe: what has ended is forgotten, everything else is waited for again.
    pub(super) async fn ended(&mut self) {
        for tasks in [&mut self.live, &mut self.leaving] {
            while let Some(live) = tasks.last_mut() {
                // A panic ends the process.
                drop((&mut live.task).await);
                tasks.pop();
            }
        }
    }

    /// Ends those that have not.
    pub(super) async fn abort(&mut self) {
        for live in self.live.iter().chain(&self.leaving) {
            live.task.abort();
        }
        self.ended().await;
    }
}

impl LiveOutput {
    fn is(&self, planned: &PlannedOutput) -> bool {
        self.ledger.name() == planned.name && self.identity == planned.identity
    }

    fn is_followed_by(&self, planned: &PlannedOutput) -> bool {
        let both = self.is_alias && planned.is_alias;
        both && self.ledger.name() == planned.name && self.plugin == planned.plugin
    }

    /// Starts an output, which takes over from the one whose place it takes.
    fn start(planned: PlannedOutput, before: Option<Self>, throttles: &Arc<Throttles>) -> Self {
        let (inbox, ledger) = match &before {
            // The same inbox: connections that still use the old stages put their events there.
            Some(before) => (Arc::clone(&before.inbox), Arc::clone(&before.ledger)),
            None => (
                Arc::new(Inbox::default()),
                Arc::new(RouteLedger::new(&planned.name)),
            ),
        };
        let (ending, ended) = watch::channel(Ending::Not);
        let delivery = Delivery {
            component: planned.component,
            output: planned.output,
            inbox: Arc::clone(&inbox),
            ledger: Arc::clone(&ledger),
            policy: planned.policy,
            workers: planned.workers,
            throttles: Arc::clone(throttles),
            dead_letters: planned.dead_letters,
        };
        let task = tokio::spawn(async move {
            let output = Arc::clone(&delivery.output);
            let mut deliver = Deliver::new(delivery);
            if let Some(before) = before {
                before.ending.send_replace(Ending::HandOver);
                // A panic ends the process, and nobody aborts it before this one.
                deliver.adopt(before.task.await.unwrap_or_default());
            }
            let tended = Arc::clone(&output);
            let tending = tokio::spawn(async move { tended.tend().await });
            let left = deliver.run(ended).await;
            tending.abort();
            // Only when it has let go of what it was at, another may take that up.
            drop(tending.await);
            output.finish().await;
            left
        });
        Self {
            identity: planned.identity,
            plugin: planned.plugin,
            is_alias: planned.is_alias,
            matcher: planned.matcher,
            storage_limit: planned.storage_limit,
            matching: planned.matching,
            inbox,
            ledger,
            ending: Arc::new(ending),
            task,
        }
    }
}
