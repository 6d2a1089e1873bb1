//! The one module that knows every stage: builds them from a configuration, runs them, and ends them in time.
//!
//! ```text
//! input ──▶ dispatch (filters, router) ──▶ buffer ──▶ deliver ──▶ output
//! ```

mod build;
mod chain;
mod common;
mod dead_letters;
mod deliver;
mod dispatch;
mod dump;
mod engine;
mod fare;
mod files;
mod foreign;
mod fork;
mod identity;
mod lanes;
#[cfg(test)]
mod laws;
mod monitor;
mod outputs;
mod queue;
mod release;
mod retry;
mod routes;
mod service;
mod storage;
mod streams;
mod switch;
mod throttle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

pub use build::{Plan, plan, settings_of};
pub use routes::{Named, chosen};
pub use service::Service;
pub use storage::Storage;

use self::engine::{Change, Engine};
use self::monitor::Monitor;
use crate::input::Phase;
use crate::telemetry::{Ledger, Reloaded, Stage, log, serve_health};

/// After this long without a byte and a connection, nothing more is coming.
const QUIET: Duration = Duration::from_secs(1);
/// How often the end looks whether it is quiet.
const LOOK: Duration = Duration::from_millis(20);
/// Of the grace, this part at most is kept for delivering what came last.
const LAST_PART: u32 = 4;

/// Reads the configuration again; the error is a sentence that says how many mistakes there are. Mistakes are in the log then.
pub type Reread = Arc<dyn Fn() -> Result<Plan, String> + Send + Sync>;

/// Runs a plan until a signal or an input ends it, and others that `reread` gives after it when a reload is asked for; the exit
/// code.
///
/// # Errors
/// When a socket cannot be bound, or a filter wanted the end, with a sentence that says so.
pub async fn run(plan: Plan, mut signals: Signals, reread: Reread) -> Result<u8, String> {
    let mut engine = Engine::new(&plan);
    let mut monitor = Monitor::new(&engine);
    if let Err(error) = serve_health() {
        crate::warning!("health", "`--health` will not find this process: {error}");
    }
    engine.apply(plan, &mut monitor).await?;
    monitor.board().enter(Stage::Running);
    let code = serve(&mut engine, &mut monitor, &mut signals, &reread).await;
    monitor.board().enter(Stage::Ending);
    let end = End {
        grace: engine.service.grace,
        started: Instant::now(),
    };
    end.announce();
    engine.enter(Phase::Drain);
    end.wait_for_quiet(&engine).await;
    engine.enter(Phase::Close);
    end.within_grace(engine.inputs_stopped()).await;
    // Nothing new comes, so what filters hold is whole, or never will be.
    engine.release();
    end.within_grace(engine.released()).await;
    engine.outputs.drain();
    end.within_grace(engine.outputs.ended()).await;
    engine.freeze_disk();
    engine.requests.act_at_last();
    engine.outputs.abort().await;
    let on_disk = engine.close_disk().await;
    close_the_books(&engine.ledger, on_disk);
    if engine.halt.is_asked() {
        return Err("ended by a filter".to_owned());
    }
    Ok(code)
}

/// Reloads when asked to, until a signal, an input or a filter ends it; the exit code.
async fn serve(
    engine: &mut Engine,
    monitor: &mut Monitor,
    signals: &mut Signals,
    reread: &Reread,
) -> u8 {
    loop {
        let (halt, requests) = (engine.halt.clone(), Arc::clone(&engine.requests));
        let answer = tokio::select! {
            () = halt.asked() => return 0,
            code = requests.ended() => return code,
            called = signals.next() => match called {
                Called::End => return 0,
                Called::Reload => None,
                Called::Dump => {
                    log::raw(&dump::text(&monitor::view(engine)));
                    continue;
                }
            },
            answer = monitor.asked() => answer,
        };
        let board = Arc::clone(monitor.board());
        let busy = board.reload().begin();
        let Some(reloaded) = reload(engine, monitor, signals, reread).await else {
            return 0;
        };
        if reloaded.is_ok() {
            board.reload().succeed();
        }
        drop(busy);
        if let Some(answer) = answer {
            // Who has asked may have gone.
            drop(answer.send(reloaded));
        }
    }
}

/// Reads the configuration again and runs it, if it can be run; `None` when a signal has ended the process meanwhile.
async fn reload(
    engine: &mut Engine,
    monitor: &mut Monitor,
    signals: &mut Signals,
    reread: &Reread,
) -> Option<Reloaded> {
    if !engine.service.hot_reload {
        let sentence = "hot reloading is not enabled";
        crate::warning!("reload", "{sentence}; write Hot_Reload On in [SERVICE]");
        return Some(Err(sentence.to_owned()));
    }
    crate::info!("reload", "reloading instance pid={}", std::process::id());
    let read = {
        let reading = read_again(engine, reread);
        tokio::pin!(reading);
        loop {
            tokio::select! {
                read = &mut reading => break read,
                called = signals.next() => match called {
                    Called::End => return None,
                    // The files are being read: that is what it asks for.
                    Called::Reload => {}
                    Called::Dump => log::raw(&dump::text(&monitor::view(engine))),
                },
            }
        }
    };
    let changed = match read {
        Ok(plan) => engine.apply(plan, monitor).await,
        Err(error) => Err(error),
    };
    match changed {
        Ok(change) => {
            let Change {
                inputs_kept,
                inputs_started,
                outputs_kept,
                outputs_started,
            } = change;
            crate::info!(
                "reload",
                "successful reload done: inputs {inputs_kept} unchanged, {inputs_started} started; outputs {outputs_kept} unchanged, {outputs_started} started"
            );
            Some(Ok(()))
        }
        Err(error) => {
            crate::error!(
                "reload",
                "{error}; the pipeline that runs goes on unchanged"
            );
            Some(Err(error))
        }
    }
}

/// Reads the files without holding up the event loop.
async fn read_again(engine: &Engine, reread: &Reread) -> Result<Plan, String> {
    let reread = Arc::clone(reread);
    let reading = tokio::task::spawn_blocking(move || reread());
    let read = match engine.service.reload_timeout {
        None => reading.await,
        Some(limit) => tokio::time::timeout(limit, reading)
            .await
            .map_err(|_| format!("the configuration was not read within {limit:?}"))?,
    };
    read.unwrap_or_else(|error| Err(format!("the configuration could not be read: {error}")))
}

/// The last line: everything that came and what became of it.
fn close_the_books(ledger: &Ledger, on_disk: u64) {
    let held = ledger.held();
    crate::info!(
        "engine",
        "service has stopped ({held} pending records); {ledger}"
    );
    if on_disk > 0 {
        crate::warning!(
            "engine",
            "{on_disk} records were not delivered within Grace and are left behind on disk, from where they are delivered after the next start"
        );
    }
    let lost = held.saturating_sub(on_disk);
    if lost > 0 {
        crate::error!(
            "engine",
            "{lost} records were not delivered within Grace and are left behind; raise Grace and stopTimeout"
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
    async fn wait_for_quiet(&self, engine: &Engine) {
        let (mut seen, _) = engine.activity();
        let mut since = Instant::now();
        loop {
            let reading_time = self
                .grace
                .map(|grace| grace.saturating_sub((grace / LAST_PART).min(Duration::from_secs(5))));
            if reading_time.is_some_and(|time| self.started.elapsed() >= time) {
                return;
            }
            let (bytes, connections) = engine.activity();
            if bytes != seen || connections > 0 {
                seen = bytes;
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
    resume: Signal,
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
            resume: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    /// Waits for the next one that asks for something. The one that ends the process is noted in the log.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn next(&mut self) -> Called {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
            _ = self.hangup.recv() => return Called::Reload,
            _ = self.resume.recv() => return Called::Dump,
        };
        log::signal(name);
        Called::End
    }
}

/// What a signal asks for.
enum Called {
    /// Say what is held.
    Dump,
    End,
    Reload,
}
