//! The pipeline as it runs, and how a plan becomes it: at the start, and again at a reload.
//!
//! A reload changes as little as it can:
//!
//! | what | when it is the same | when it is not |
//! |---|---|---|
//! | input | runs on, with its sockets and peers | the new one takes over its listening sockets; the old one serves the peers it has until they leave |
//! | filters | are made anew, and let go of what they hold | the same |
//! | output | runs on, with what it holds | see `outputs.rs` |
//!
//! Every connection goes on to the new filters and outputs at its next commit (`switch.rs`). Nothing is changed before
//! everything that can fail has been done.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::build::{Plan, PlannedFilter, PlannedInput};
use super::dispatch::{ChainLink, Dispatcher, Keeping, Stages};
use super::identity::Identity;
use super::monitor::Monitor;
use super::outputs::Outputs;
use super::release::Releaser;
use super::service::Service;
use super::storage::StorageKind;
use super::streams::PlannedTask;
use super::switch::Switch;
use crate::budget::Budget;
use crate::buffer::{BATCH_MAX, Disk, Pool, Source};
use crate::filter::{Halt, Link};
use crate::input::{self, Activity, Context, InputId, Pause, Phase, Requests};
use crate::router::Matcher;
use crate::telemetry::{FilterLedger, FilterView, InputLedger, Ledger, log};

/// An input without peers that a reload replaces has this long to stop before the new one starts.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// An input that runs.
pub(super) struct LiveInput {
    id: InputId,
    identity: Identity,
    has_peers: bool,
    pub(super) plugin: String,
    pub(super) name: Arc<str>,
    component: Arc<str>,
    pub(super) ledger: Arc<InputLedger>,
    pub(super) source: Arc<Source>,
    pub(super) budget: Arc<Budget>,
    /// `Mem_Buf_Limit`, or 0.
    pub(super) limit: u64,
    pub(super) kind: StorageKind,
    pub(super) pause: Arc<Pause>,
    switch: Arc<Switch>,
    activity: Arc<Activity>,
    phase: Arc<watch::Sender<Phase>>,
    task: JoinHandle<()>,
}

/// Everything that runs.
pub(super) struct Engine {
    pub(super) service: Service,
    /// Whether a filter wants the end.
    pub(super) halt: Halt,
    /// What inputs ask for.
    pub(super) requests: Arc<Requests>,
    pub(super) budget: Arc<Budget>,
    /// The books of all inputs and outputs that ever ran.
    pub(super) ledger: Ledger,
    pub(super) inputs: Vec<LiveInput>,
    pub(super) filters: Vec<FilterView>,
    pub(super) outputs: Outputs,
    /// Inputs that serve their last peers.
    leaving: Vec<LiveInput>,
    /// What lets go of the events that filters hold, for each input and each configuration it has sessions of.
    releasing: Vec<Releasing>,
    /// Whether filters are waited for no longer.
    hasty: watch::Sender<bool>,
    pool: Arc<Pool>,
    /// What is kept on disk, where something is.
    pub(super) disk: Option<Arc<Disk>>,
}

/// What a change came to.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) inputs_kept: usize,
    pub(super) inputs_started: usize,
    pub(super) outputs_kept: usize,
    pub(super) outputs_started: usize,
}

impl Engine {
    /// Nothing runs yet.
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            service: plan.service.clone(),
            halt: plan.halt.clone(),
            requests: Arc::default(),
            budget: Budget::of_process(),
            ledger: Ledger::default(),
            inputs: Vec::new(),
            filters: Vec::new(),
            outputs: Outputs::default(),
            leaving: Vec::new(),
            releasing: Vec::new(),
            hasty: watch::Sender::new(false),
            pool: Arc::new(Pool::new(BATCH_MAX)),
            disk: None,
        }
    }

    /// Runs a plan instead of what runs now.
    ///
    /// # Errors
    /// When a socket cannot be bound, with a sentence that says which and what to do; nothing has changed then.
    pub(super) async fn apply(
        &mut self,
        plan: Plan,
        monitor: &mut Monitor,
    ) -> Result<Change, String> {
        let Plan {
            service,
            inputs,
            filters,
            tasks,
            outputs,
            halt,
            levels,
        } = plan;
        service.storage.make_folder()?;
        let keeps = |planned: &PlannedInput| planned.kind != StorageKind::Memory;
        let limits = outputs.iter().filter_map(|output| output.storage_limit);
        let disk = self.open_disk(&service, inputs.iter().any(keeps), limits)?;
        let mut fresh = Vec::new();
        let mut stays = vec![false; self.inputs.len()];
        let mut order = Vec::new();
        let mut processors = Vec::new();
        let mut chosen = HashMap::new();
        for (place, mut planned) in inputs.into_iter().enumerate() {
            order.push(Arc::clone(&planned.name));
            let routes = planned.routes.take().map(Arc::new);
            chosen.extend(routes.map(|routes| (place, routes)));
            let own = std::mem::take(&mut planned.processors);
            processors.extend(own.into_iter().map(|link| (place, link)));
            let same = |(live, stays): (&LiveInput, &mut bool)| {
                let same = !*stays && live.is(&planned);
                *stays |= same;
                same
            };
            if !self.inputs.iter().zip(&mut stays).any(same) {
                fresh.push((InputId::fresh(), planned));
            }
        }
        let leaving = self.inputs.iter().zip(&stays);
        let leaving = leaving
            .filter(|(_, stays)| !**stays)
            .map(|(live, _)| live.id);
        let leaving: Vec<InputId> = leaving.collect();
        for (id, planned) in &mut fresh {
            input::bind(planned.input.as_mut(), *id, &leaving)?;
        }
        monitor.bind(service.http.as_ref())?;

        // From here on nothing fails.
        let mut change = Change {
            inputs_kept: self.inputs.len() - leaving.len(),
            inputs_started: fresh.len(),
            ..Change::default()
        };
        let routes = self.outputs.apply(outputs, &mut change);
        self.disk = disk;
        if let Some(disk) = &self.disk {
            self.outputs
                .registrations()
                .for_each(|output| disk.register(output));
        }
        let mut chain: Vec<_> = processors.into_iter().map(open_processor).collect();
        let (links, views): (Vec<_>, _) = filters.into_iter().map(open_filter).unzip();
        chain.extend(links);
        chain.extend(tasks.into_iter().map(open_task));
        self.filters = views;
        log::admit_own(levels);
        let (alive, gone) = watch::channel(());
        let stages = Arc::new(Stages {
            _tasks: beside(&chain),
            hasty: self.hasty.subscribe(),
            chain,
            routes,
            chosen,
            pool: Arc::clone(&self.pool),
            linger: service.flush,
            _alive: alive,
        });
        (self.service, self.halt) = (service, halt);
        self.releasing
            .retain(|releasing| !releasing.task.is_finished());
        for live in self.inputs.iter().chain(&self.leaving) {
            let place = order.iter().position(|name| *name == live.name);
            let keeping = keeping(self.disk.as_ref(), live.kind);
            let (dispatcher, releasing) = live.dispatcher(&stages, place, keeping);
            self.releasing.extend(releasing);
            live.switch.replace(dispatcher);
        }
        self.dismiss(&stays).await;
        for (id, planned) in fresh {
            let place = order.iter().position(|name| *name == planned.name);
            let live = self.start(id, planned, &stages, place);
            self.inputs.push(live);
        }
        let place = |live: &LiveInput| order.iter().position(|name| *name == live.name);
        self.inputs.sort_by_key(place);
        if let Some(disk) = &self.disk {
            disk.begin();
        }
        self.outputs.retire(gone);
        self.ledger.add(self.outputs.ledgers());
        self.requests.show(self.outputs.ledgers());
        monitor.show(self);
        Ok(change)
    }

    /// The log on disk, if something is to be kept there or an earlier run has left something; the one that is open stays.
    ///
    /// # Errors
    /// When it cannot be used although it is needed, with a sentence that says why.
    fn open_disk(
        &self,
        service: &Service,
        is_needed: bool,
        limits: impl Iterator<Item = u64>,
    ) -> Result<Option<Arc<Disk>>, String> {
        let Some(options) = service.storage.options(self.budget.limit(), limits) else {
            return Ok(self.disk.clone());
        };
        if let Some(disk) = &self.disk {
            if disk.path() != options.path {
                crate::warning!(
                    "storage",
                    "another storage.path takes effect with the next start; until then it is {}",
                    disk.path().display()
                );
            }
            return Ok(Some(Arc::clone(disk)));
        }
        if !is_needed && !Disk::has_backlog(&options.path) {
            return Ok(None);
        }
        match Disk::open(options, &self.budget) {
            Ok(disk) => Ok(Some(Arc::new(disk))),
            Err(error) if is_needed => Err(format!("storage.type filesystem: {error}")),
            Err(error) => {
                crate::warning!("storage", "the backlog is not delivered: {error}");
                Ok(None)
            }
        }
    }

    /// What is let go of from now on is left behind.
    pub(super) fn freeze_disk(&self) {
        if let Some(disk) = &self.disk {
            disk.freeze();
        }
    }

    /// Has everything written that is to be; gives the events that lie on disk for an output.
    pub(super) async fn close_disk(&mut self) -> u64 {
        let Some(disk) = self.disk.clone() else {
            return 0;
        };
        let closing = tokio::task::spawn_blocking(move || {
            disk.close();
            disk.figures()
        });
        // A panic ends the process.
        let figures = closing.await.unwrap_or_default();
        self.ledger.recovered = figures.recovered_events;
        figures.owed_events
    }

    /// Takes leave of the inputs that do not stay.
    async fn dismiss(&mut self, stays: &[bool]) {
        let mut stays = stays.iter();
        let gone: Vec<LiveInput> = self
            .inputs
            .extract_if(.., |_| !stays.next().copied().unwrap_or(true))
            .collect();
        for live in &gone {
            input::give_up(live.id);
            live.phase.send_replace(if live.has_peers {
                Phase::Drain
            } else {
                Phase::Close
            });
        }
        self.leaving.retain(|live| !live.task.is_finished());
        for mut live in gone {
            if live.has_peers {
                let (activity, phase) = (Arc::clone(&live.activity), Arc::clone(&live.phase));
                tokio::spawn(async move {
                    activity.idle().await;
                    phase.send_replace(Phase::Close);
                });
                self.leaving.push(live);
            } else if tokio::time::timeout(CLOSE_WITHIN, &mut live.task)
                .await
                .is_err()
            {
                crate::warning!(
                    "reload",
                    "{} has not stopped within {} seconds; it goes on beside what takes its place",
                    live.name,
                    CLOSE_WITHIN.as_secs()
                );
                self.leaving.push(live);
            }
        }
    }

    fn start(
        &mut self,
        id: InputId,
        planned: PlannedInput,
        stages: &Arc<Stages>,
        place: Option<usize>,
    ) -> LiveInput {
        let limit = match planned.kind {
            StorageKind::Memory => planned.mem_buf_limit,
            // As in Fluent Bit, Mem_Buf_Limit does not hold where events can leave memory.
            StorageKind::Filesystem { pauses } => {
                pauses.then(|| self.service.storage.chunks_bytes())
            }
        };
        let budget = match limit {
            Some(limit) => Budget::inside(&self.budget, limit),
            None => Arc::clone(&self.budget),
        };
        let ledger = self.ledger.input(&planned.name);
        let source = Source::new(Arc::clone(&planned.name));
        let component = Arc::clone(&planned.component);
        let keeping = keeping(self.disk.as_ref(), planned.kind);
        if let Some(Keeping { disk, .. }) = &keeping {
            disk.know(&source);
        }
        let (dispatcher, releasing) = dispatcher(
            stages, place, &component, &budget, &ledger, &source, keeping,
        );
        self.releasing.extend(releasing);
        let (phase, phases) = watch::channel(Phase::Run);
        let switch = Arc::new(Switch::new(dispatcher));
        let activity = Arc::new(Activity::default());
        let pause = Arc::new(Pause::new(Arc::clone(&planned.name)));
        let context = Context {
            pause: Arc::clone(&pause),
            name: Arc::clone(&planned.name),
            component: Arc::clone(&component),
            tag: planned.tag,
            budget: Arc::clone(&budget),
            dispatch: Arc::clone(&switch) as _,
            activity: Arc::clone(&activity),
            requests: Arc::clone(&self.requests),
            phase: phases,
        };
        LiveInput {
            id,
            identity: planned.identity,
            has_peers: planned.input.has_peers(),
            plugin: planned.plugin,
            name: planned.name,
            component,
            ledger,
            source,
            budget,
            limit: limit.unwrap_or(0),
            kind: planned.kind,
            pause,
            switch,
            activity,
            phase: Arc::new(phase),
            task: tokio::spawn(planned.input.run(context)),
        }
    }

    /// Tells every input what the process is doing.
    pub(super) fn enter(&self, phase: Phase) {
        for live in self.inputs.iter().chain(&self.leaving) {
            live.phase.send_replace(phase);
        }
        self.hasty.send_replace(phase != Phase::Run);
    }

    /// Bytes read so far and connections open now, over all inputs.
    pub(super) fn activity(&self) -> (u64, usize) {
        let live = self.inputs.iter().chain(&self.leaving);
        live.fold((0, 0), |(bytes, connections), live| {
            let activity = &live.activity;
            (
                bytes + activity.bytes(),
                connections + activity.connections(),
            )
        })
    }

    /// Has everything go that filters hold.
    pub(super) fn release(&self) {
        for releasing in &self.releasing {
            releasing.end.send_replace(true);
        }
    }

    /// Waits until it has gone.
    pub(super) async fn released(&mut self) {
        for releasing in self.releasing.drain(..) {
            // It cannot be cancelled, and a panic ends the process.
            drop(releasing.task.await);
        }
    }

    /// Waits until every input has stopped.
    pub(super) async fn inputs_stopped(&mut self) {
        for live in self.inputs.drain(..).chain(self.leaving.drain(..)) {
            // It cannot be cancelled, and a panic ends the process.
            drop(live.task.await);
        }
    }
}

impl LiveInput {
    fn is(&self, planned: &PlannedInput) -> bool {
        self.name == planned.name && self.identity == planned.identity
    }

    fn dispatcher(
        &self,
        stages: &Arc<Stages>,
        place: Option<usize>,
        keeping: Option<Keeping>,
    ) -> (Arc<Dispatcher>, Option<Releasing>) {
        let component = &self.component;
        dispatcher(
            stages,
            place,
            component,
            &self.budget,
            &self.ledger,
            &self.source,
            keeping,
        )
    }
}

/// Where an input of this kind keeps its events.
fn keeping(disk: Option<&Arc<Disk>>, kind: StorageKind) -> Option<Keeping> {
    let StorageKind::Filesystem { pauses } = kind else {
        return None;
    };
    Some(Keeping {
        disk: Arc::clone(disk?),
        may_fall_behind: !pauses,
    })
}

/// The way of an input's events through these stages; `place` is the input's among those of the plan, whose processors it has.
fn dispatcher(
    stages: &Arc<Stages>,
    place: Option<usize>,
    component: &str,
    budget: &Arc<Budget>,
    ledger: &Arc<InputLedger>,
    source: &Arc<Source>,
    keeping: Option<Keeping>,
) -> (Arc<Dispatcher>, Option<Releasing>) {
    let dispatcher = Dispatcher::new(
        Arc::clone(stages),
        Arc::clone(budget),
        Arc::clone(ledger),
        Arc::clone(source),
        component.to_owned(),
        place,
        keeping,
    );
    let (counted, sessions) = dispatcher.counted();
    let is_operator = |link: &ChainLink| matches!(link.link, Link::Operator(_));
    let holds = stages.chain.iter().any(is_operator);
    let releasing = holds.then(|| Releasing::start(dispatcher, sessions));
    (Arc::new(counted), releasing)
}

/// A running [`Releaser`].
struct Releasing {
    end: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Releasing {
    /// Lets go of everything and ends when no session is left that could have something held.
    fn start(dispatcher: Dispatcher, mut sessions: watch::Receiver<()>) -> Self {
        let (end, ended) = watch::channel(false);
        let end = Arc::new(end);
        let last = Arc::clone(&end);
        tokio::spawn(async move {
            while sessions.changed().await.is_ok() {}
            last.send_replace(true);
        });
        let task = tokio::spawn(Releaser::new(dispatcher).run(ended));
        Self { end, task }
    }
}

/// Starts what the links of a chain have run beside it.
fn beside(chain: &[ChainLink]) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for link in chain {
        if let Link::Operator(maker) = &link.link
            && let Some(task) = maker.task()
        {
            tasks.spawn(task);
        }
    }
    tasks
}

/// Processors are counted with the inputs they belong to.
fn open_processor((place, link): (usize, Link)) -> ChainLink {
    ChainLink {
        matcher: Matcher::all(),
        processor_of: Some(place),
        only_of: None,
        link,
        ledger: None,
    }
}

/// Tasks of the stream processor stand behind the filters.
fn open_task(planned: PlannedTask) -> ChainLink {
    ChainLink {
        matcher: planned.matcher,
        processor_of: None,
        only_of: planned.only_of,
        link: planned.link,
        ledger: None,
    }
}

fn open_filter(planned: PlannedFilter) -> (ChainLink, FilterView) {
    let ledger = Arc::new(FilterLedger::new(&planned.name));
    let view = FilterView {
        plugin: planned.plugin,
        ledger: Arc::clone(&ledger),
        matching: planned.matching,
    };
    let link = ChainLink {
        matcher: planned.matcher,
        processor_of: None,
        only_of: None,
        link: planned.link,
        ledger: Some(ledger),
    };
    (link, view)
}
