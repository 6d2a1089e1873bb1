//! What the HTTP server shows: the pipeline puts it up here and replaces it at a reload.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::ledger::{FilterLedger, InputLedger};
use super::route_ledger::RouteLedger;

/// Rates are averages over so many seconds.
const RATE_SECONDS: usize = 10;

/// What the process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Not all inputs listen yet.
    Starting,
    /// It takes what comes.
    Running,
    /// It was told to end.
    Ending,
}

/// What an input holds now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Holding {
    /// Batches.
    pub batches: u64,
    /// Those of them that no longer grow, and their size.
    pub sealed: (u64, u64),
    /// Bytes of memory that batches take.
    pub bytes: u64,
    /// `Mem_Buf_Limit`; 0 for none.
    pub limit: u64,
    /// Its readers wait for memory.
    pub paused: bool,
    /// `storage.type filesystem`.
    pub on_disk: bool,
}

/// What lies on disk now.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnDisk {
    /// Files.
    pub segments: u64,
    /// Their size.
    pub bytes: u64,
    /// Bytes that outputs are owed and that are not in memory.
    pub behind_bytes: u64,
    /// About how many batches those are.
    pub batches: u64,
}

type Ask<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// One input.
#[derive(Clone)]
pub struct InputView {
    /// The plugin's name.
    pub plugin: String,
    /// Its book.
    pub ledger: Arc<InputLedger>,
    /// Asks what it holds.
    pub holding: Ask<Holding>,
}

/// One filter.
#[derive(Clone)]
pub struct FilterView {
    /// The plugin's name.
    pub plugin: String,
    /// Its book.
    pub ledger: Arc<FilterLedger>,
    /// The tags it takes.
    pub matching: String,
}

/// One output.
#[derive(Clone)]
pub struct OutputView {
    /// The plugin's name.
    pub plugin: String,
    /// Its book.
    pub ledger: Arc<RouteLedger>,
    /// The tags it takes.
    pub matching: String,
}

/// Every plugin there is.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Plugins {
    /// Inputs.
    pub inputs: Vec<&'static str>,
    /// Filters.
    pub filters: Vec<&'static str>,
    /// Outputs.
    pub outputs: Vec<&'static str>,
}

/// When `/api/v1/health` says that something is wrong (`HC_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthRule {
    /// More errors than this.
    pub errors: u64,
    /// More batches given up than this.
    pub retries_failed: u64,
    /// Within so many seconds.
    pub period: u64,
}

/// The pipeline as it runs now.
#[derive(Clone)]
pub struct View {
    /// The inputs, in the order of the configuration.
    pub inputs: Vec<InputView>,
    /// The filters.
    pub filters: Vec<FilterView>,
    /// The outputs.
    pub outputs: Vec<OutputView>,
    /// Every plugin there is.
    pub plugins: Plugins,
    /// The bytes the process may hold.
    pub memory_limit: u64,
    /// Asks how many it holds.
    pub memory_used: Ask<u64>,
    /// `Health_Check`; `None` for off.
    pub health: Option<HealthRule>,
    /// `storage.metrics`.
    pub storage_metrics: bool,
    /// Asks what lies on disk, if anything is kept there.
    pub on_disk: Option<Ask<OnDisk>>,
}

impl View {
    /// Errors and given up batches of all outputs so far.
    fn failures(&self) -> (u64, u64) {
        let failures = self.outputs.iter().map(|output| output.ledger.failures());
        failures.fold((0, 0), |(errors, given_up), failures| {
            (errors + failures.errors, given_up + failures.retries_failed)
        })
    }

    fn totals(&self) -> Vec<(u64, u64)> {
        let inputs = self.inputs.iter().map(|input| input.ledger.accepted());
        let outputs = self.outputs.iter().map(|output| output.ledger.delivered());
        inputs.chain(outputs).collect()
    }
}

/// How a reload went: what was wrong, if something was.
pub type Reloaded = Result<(), String>;

/// How the server asks for a reload.
#[derive(Debug)]
pub struct Reload {
    enabled: AtomicBool,
    busy: AtomicBool,
    done: AtomicU64,
    requests: mpsc::Sender<oneshot::Sender<Reloaded>>,
}

/// Why there was no reload.
#[derive(Debug, PartialEq, Eq)]
pub enum NoReload {
    /// `Hot_Reload` is off.
    NotEnabled,
    /// Another one is under way.
    InProgress,
    /// The configuration, or a socket it names, cannot be used; the one before it goes on.
    Failed(String),
}

impl Reload {
    /// A way to ask, and where the questions arrive.
    pub fn new() -> (Self, mpsc::Receiver<oneshot::Sender<Reloaded>>) {
        let (requests, asked) = mpsc::channel(1);
        let reload = Self {
            enabled: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            done: AtomicU64::new(0),
            requests,
        };
        (reload, asked)
    }

    /// Follows `Hot_Reload`.
    pub fn enable(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Whether `Hot_Reload` is on.
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Marks a reload as begun; `None` while another one is under way. It is over when what is given is dropped.
    pub fn begin(&self) -> Option<Busy<'_>> {
        (!self.busy.swap(true, Ordering::AcqRel)).then_some(Busy(self))
    }

    /// Counts a reload that went well.
    pub fn succeed(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// How many went well.
    pub fn count(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Asks for one and waits for its end.
    ///
    /// # Cancel safety
    /// When dropped, the reload goes on.
    pub(super) async fn ask(&self) -> Result<(), NoReload> {
        if !self.is_enabled() {
            return Err(NoReload::NotEnabled);
        }
        if self.busy.load(Ordering::Acquire) {
            return Err(NoReload::InProgress);
        }
        let (answer, answered) = oneshot::channel();
        if self.requests.try_send(answer).is_err() {
            return Err(NoReload::InProgress);
        }
        match answered.await {
            Ok(reloaded) => reloaded.map_err(NoReload::Failed),
            Err(_) => Err(NoReload::InProgress),
        }
    }
}

/// A reload under way.
#[derive(Debug)]
pub struct Busy<'r>(&'r Reload);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// What was counted at one second.
struct Tick {
    at: Instant,
    /// Events and bytes of each input, then of each output.
    totals: Vec<(u64, u64)>,
}

/// Events and bytes in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    /// Events.
    pub records: f64,
    /// Bytes.
    pub bytes: f64,
}

/// Rates of the inputs and of the outputs, in their order.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// Taken in.
    pub inputs: Vec<Rate>,
    /// Delivered.
    pub outputs: Vec<Rate>,
}

/// The board.
pub struct Board {
    started: (Instant, SystemTime),
    hostname: String,
    view: RwLock<Arc<View>>,
    stage: AtomicU8,
    reload: Reload,
    ticks: Mutex<VecDeque<Tick>>,
    /// Errors and given up batches, a pair for each second of `HC_Period`.
    failures: Mutex<VecDeque<(u64, u64)>>,
}

impl Board {
    /// Puts up a view.
    pub fn new(hostname: String, reload: Reload, view: View) -> Self {
        Self {
            started: (Instant::now(), SystemTime::now()),
            hostname,
            view: RwLock::new(Arc::new(view)),
            stage: AtomicU8::new(Stage::Starting as u8),
            reload,
            ticks: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// Replaces the view.
    pub fn show(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        // Its inputs and outputs are others.
        lock(&self.ticks).clear();
    }

    /// Says what the process is doing.
    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Reloading.
    pub fn reload(&self) -> &Reload {
        &self.reload
    }

    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Running,
            _ => Stage::Ending,
        }
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn hostname(&self) -> &str {
        &self.hostname
    }

    pub(super) fn uptime(&self) -> Duration {
        self.started.0.elapsed()
    }

    pub(super) fn started_at(&self) -> SystemTime {
        self.started.1
    }

    /// Notes the counters; to be called every second.
    pub(super) fn tick(&self, now: Instant) {
        let view = self.view();
        let mut ticks = lock(&self.ticks);
        if ticks.len() > RATE_SECONDS {
            ticks.pop_front();
        }
        ticks.push_back(Tick {
            at: now,
            totals: view.totals(),
        });
        drop(ticks);
        let period = view.health.map_or(0, |rule| rule.period) as usize;
        let mut failures = lock(&self.failures);
        // As many steps as there are seconds lie between one more samples.
        while failures.len() > period {
            failures.pop_front();
        }
        failures.push_back(view.failures());
    }

    /// Averages over the last seconds.
    pub(super) fn rates(&self) -> Rates {
        let view = self.view();
        let ticks = lock(&self.ticks);
        let (Some(first), Some(last)) = (ticks.front(), ticks.back()) else {
            return Rates::default();
        };
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        let pairs = first.totals.iter().zip(&last.totals);
        let mut rates = pairs.map(|(first, last)| Rate {
            records: last.0.saturating_sub(first.0) as f64 / seconds,
            bytes: last.1.saturating_sub(first.1) as f64 / seconds,
        });
        Rates {
            inputs: rates.by_ref().take(view.inputs.len()).collect(),
            outputs: rates.collect(),
        }
    }

    /// Errors and given up batches within `HC_Period`, up to now.
    pub(super) fn recent_failures(&self) -> (u64, u64) {
        let now = self.view().failures();
        let oldest = lock(&self.failures).front().copied().unwrap_or_default();
        // An output that a reload has removed takes its failures along.
        (
            now.0.saturating_sub(oldest.0),
            now.1.saturating_sub(oldest.1),
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
