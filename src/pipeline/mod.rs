//! The one module that knows every stage: builds them from a configuration, runs them, and ends them in time.
//!
//! ```text
//! input ──▶ dispatch (filters, router) ──▶ buffer ──▶ deliver ──▶ output
//! ```

mod build;
mod chain;
mod common;
mod deliver;
mod dispatch;
mod files;
mod foreign;
mod lanes;
mod queue;
mod release;
mod retry;
mod service;
mod storage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use build::{Plan, plan, settings_of};
pub use service::Service;
pub use storage::Storage;

use self::deliver::{Deliver, Delivery};
use crate::input::{Activity, Context, Phase, Requests};
use crate::telemetry::{Ledger, log, serve_health};

/// After this long without a byte and a connection, nothing more is coming.
const QUIET: Duration = Duration::from_secs(1);
/// How often the end looks whether it is quiet.
const LOOK: Duration = Duration::from_millis(20);
/// Of the grace, this part at most is kept for delivering what came last.
const LAST_PART: u32 = 4;

/// Runs a plan until a signal or an input ends it; the exit code.
///
/// # Errors
/// When a socket cannot be bound, or a filter wanted the end, with a sentence that says so.
pub async fn run(plan: Plan, mut signals: Signals) -> Result<u8, String> {
    log::admit_own(plan.levels);
    plan.service.storage.make_folder()?;
    let mut inputs = plan.inputs;
    for input in &mut inputs {
        input.input.bind()?;
    }
    if let Err(error) = serve_health() {
        crate::warning!("health", "`--health` will not find this process: {error}");
    }
    let (drain, draining) = watch::channel(false);
    let mut deliveries = JoinSet::new();
    for delivery in plan.deliveries {
        deliveries.spawn(deliver(delivery, draining.clone()));
    }
    let (phase, phases) = watch::channel(Phase::Run);
    let activity = Arc::new(Activity::default());
    let requests = Arc::new(Requests::default());
    let mut readers = JoinSet::new();
    for input in inputs {
        let context = Context {
            phase: phases.clone(),
            activity: Arc::clone(&activity),
            requests: Arc::clone(&requests),
            ..input.context
        };
        readers.spawn(input.input.run(context));
    }
    let (read_end, end_of_reading) = watch::channel(false);
    let mut releasers = JoinSet::new();
    for releaser in plan.releasers {
        releasers.spawn(releaser.run(end_of_reading.clone()));
    }
    drop((draining, phases, end_of_reading));
    let code = tokio::select! {
        () = signals.wait_for_the_end() => 0,
        code = requests.ended() => code,
        () = plan.halt.asked() => 0,
    };
    let end = End {
        grace: plan.service.grace,
        started: Instant::now(),
    };
    end.announce();
    phase.send_replace(Phase::Drain);
    end.wait_for_quiet(&activity).await;
    phase.send_replace(Phase::Close);
    end.within_grace(async { while readers.join_next().await.is_some() {} })
        .await;
    // Nothing new comes, so what filters hold is whole, or never will be.
    read_end.send_replace(true);
    end.within_grace(async { while releasers.join_next().await.is_some() {} })
        .await;
    drain.send_replace(true);
    end.within_grace(async { while deliveries.join_next().await.is_some() {} })
        .await;
    requests.act_at_last();
    deliveries.shutdown().await;
    close_the_books(&plan.ledger);
    if plan.halt.is_asked() {
        return Err("ended by a filter".to_owned());
    }
    Ok(code)
}

/// Delivers until nothing more comes, while the output tends to what goes by the clock, and then lets it finish.
async fn deliver(delivery: Delivery, drain: watch::Receiver<bool>) {
    let output = Arc::clone(&delivery.output);
    let tended = Arc::clone(&output);
    let tending = tokio::spawn(async move { tended.tend().await });
    Deliver::new(delivery).run(drain).await;
    tending.abort();
    // Only when it has let go of what it was at, another may take that up.
    drop(tending.await);
    output.finish().await;
}

/// The last line: everything that came and what became of it.
fn close_the_books(ledger: &Ledger) {
    let held = ledger.held();
    crate::info!(
        "engine",
        "service has stopped ({held} pending records); {ledger}"
    );
    if held > 0 {
        crate::error!(
            "engine",
            "{held} records were not delivered within Grace and are left behind; raise Grace and stopTimeout"
        );
    }
}

/// The time there is for ending.
struct End {
    grace: Option<Duration>,
    started: Instant,
}

impl End {
    fn announce(&self) {
        match self.grace {
            Some(grace) => crate::warning!(
                "engine",
                "service will shutdown in max {} seconds",
                grace.as_secs()
            ),
            None => crate::warning!(
                "engine",
                "service will shutdown when all remaining tasks are flushed"
            ),
        }
    }

    /// Peers may still be sending their last words: waits until they have closed and it has been quiet, or the grace is nearly spent.
    async fn wait_for_quiet(&self, activity: &Activity) {
        let mut seen = activity.bytes();
        let mut since = Instant::now();
        loop {
            let reading_time = self
                .grace
                .map(|grace| grace.saturating_sub((grace / LAST_PART).min(Duration::from_secs(5))));
            if reading_time.is_some_and(|time| self.started.elapsed() >= time) {
                return;
            }
            if activity.bytes() != seen || activity.connections() > 0 {
                seen = activity.bytes();
                since = Instant::now();
            } else if since.elapsed() >= QUIET {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Lets `work` go on until the grace is spent.
    async fn within_grace(&self, work: impl Future<Output = ()>) {
        match self.grace {
            None => work.await,
            // Half a second more than nothing, so that a `Grace` of 0 still delivers what is at hand.
            Some(grace) => {
                let left = grace
                    .saturating_sub(self.started.elapsed())
                    .max(Duration::from_millis(500));
                drop(tokio::time::timeout(left, work).await);
            }
        }
    }
}

/// The signals a router is sent. To be made before anything else, so that none is missed.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    /// Handles the signals from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn wait_for_the_end(&mut self) {
        let name = loop {
            tokio::select! {
                _ = self.terminate.recv() => break "SIGTERM",
                _ = self.interrupt.recv() => break "SIGINT",
                _ = self.quit.recv() => break "SIGQUIT",
                _ = self.hangup.recv() => crate::warning!("reload", "hot reloading is not enabled"),
            }
        };
        log::signal(name);
    }
}
