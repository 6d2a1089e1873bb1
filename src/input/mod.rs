//! Inputs: the trait, the registry, and the handle ([`Ingest`]) through which they hand over what they read.

mod datagram;
mod dummy;
mod exec;
mod fluentbit_logs;
mod fluentbit_metrics;
mod forward;
mod handover;
mod head;
mod health;
mod http;
mod ingest;
mod lines;
mod listen;
mod net;
mod random;
mod requests;
mod room;
mod slots;
mod sluice_metrics;
mod stdin;
mod stream;
mod syslog;
mod tail;
mod tcp;
#[cfg(test)]
mod testing;
mod text;
mod thread;
mod tls;
mod udp;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

pub use forward::{Reject, Replay};
pub use handover::{InputId, bind, give_up};
pub use ingest::{Activity, Dispatch, Ingest, Pause, Session};
pub use requests::Requests;

use crate::budget::Budget;
use crate::config::Settings;
use crate::event::Tag;
use crate::parser::Parsers;

/// What an input is told about the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Take what comes.
    Run,
    /// The process is ending: take what is there and what open connections still send, make nothing up.
    Drain,
    /// Read what has arrived and stop.
    Close,
}

/// Waits until the process has come to `wanted`, or is gone.
///
/// # Cancel safety
/// Cancel safe.
pub async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    drop(phase.wait_for(|phase| *phase >= wanted).await);
}

/// What a running input needs.
#[derive(Clone)]
pub struct Context {
    /// Its name in logs and counters, such as `forward.0`.
    pub name: Arc<str>,
    /// The component of its log lines, such as `input:forward:forward.0`.
    pub component: Arc<str>,
    /// The tag of events whose sender gives none.
    pub tag: Tag,
    /// The bytes it may hold.
    pub budget: Arc<Budget>,
    /// Says when its readers wait.
    pub pause: Arc<Pause>,
    /// Where events go.
    pub dispatch: Arc<dyn Dispatch>,
    /// What all inputs have done lately.
    pub activity: Arc<Activity>,
    /// What it may ask of the process.
    pub requests: Arc<Requests>,
    /// What the process is doing.
    pub phase: watch::Receiver<Phase>,
}

impl Context {
    /// The component of a log line.
    pub fn component(&self) -> String {
        self.component.to_string()
    }
}

/// Longer than any test, and short enough for clocks to add.
const INTERVAL_MAX: Duration = Duration::from_hours(365 * 24);

/// Reads `Interval_Sec` and `Interval_NSec`; a second where neither is above 0.
fn interval(settings: &mut Settings<'_>) -> Duration {
    let mut part = |key, default| {
        let number = settings.integer(key).unwrap_or(default);
        u64::try_from(number).unwrap_or(0)
    };
    let (seconds, nanos) = (part("interval_sec", 1), part("interval_nsec", 0));
    let interval = Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos));
    match interval {
        Duration::ZERO => Duration::from_secs(1),
        interval => interval.min(INTERVAL_MAX),
    }
}

/// One input instance.
pub trait Input: Send {
    /// Opens its sockets; called once, before anything else starts.
    ///
    /// # Errors
    /// A sentence that names the address and what to do.
    fn bind(&mut self) -> Result<(), String>;

    /// Whether it serves peers that should not notice a reload. Then an input that has to be made anew goes on with the peers it
    /// has, in [`Phase::Drain`], until they leave. Any other is closed before the new one runs, so that no two read the same.
    fn has_peers(&self) -> bool {
        false
    }

    /// Takes events until [`Phase::Close`].
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()>;
}

/// Makes an input from its section and the parsers of the configuration; mistakes go to the section's problems.
type Build = fn(&mut Settings<'_>, &Parsers) -> Box<dyn Input>;

/// Every input, under the `Name` that selects it. Alphabetical.
const INPUTS: &[(&str, Build)] = &[
    ("dummy", dummy::build),
    ("exec", exec::build),
    ("fluentbit_logs", fluentbit_logs::build),
    ("fluentbit_metrics", fluentbit_metrics::build),
    ("forward", forward::build),
    ("head", head::build),
    ("health", health::build),
    ("http", http::build),
    ("random", random::build),
    ("sluice_metrics", sluice_metrics::build),
    ("stdin", stdin::build),
    ("syslog", syslog::build),
    ("tail", tail::build),
    ("tcp", tcp::build),
    ("udp", udp::build),
];

/// The inputs that can speak TLS.
const TLS: &[&str] = &["forward", "tcp"];

/// How to build the input called `name`.
pub fn find(name: &str) -> Option<Build> {
    INPUTS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, build)| *build)
}

/// Whether an input can speak TLS.
pub fn speaks_tls(name: &str) -> bool {
    TLS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The names of all inputs.
pub fn names() -> impl Iterator<Item = &'static str> {
    INPUTS.iter().map(|(name, _)| *name)
}
