//! Inputs: the trait, the registry, and the handle ([`Ingest`]) through which they hand over what they read.

mod dummy;
mod forward;
mod ingest;
mod listen;
mod net;
mod slots;
mod stream;
mod tcp;
#[cfg(test)]
mod testing;
mod tls;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

pub use forward::{Reject, Replay};
pub use ingest::{Activity, Dispatch, Ingest, Pause, Session};

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
    /// What the process is doing.
    pub phase: watch::Receiver<Phase>,
}

impl Context {
    /// The component of a log line.
    pub fn component(&self) -> String {
        self.component.to_string()
    }
}

/// One input instance.
pub trait Input: Send {
    /// Opens its sockets; called once, before anything else starts.
    ///
    /// # Errors
    /// A sentence that names the address and what to do.
    fn bind(&mut self) -> Result<(), String>;

    /// Takes events until [`Phase::Close`].
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()>;
}

/// Makes an input from its section and the parsers of the configuration; mistakes go to the section's problems.
type Build = fn(&mut Settings<'_>, &Parsers) -> Box<dyn Input>;

/// Every input, under the `Name` that selects it. Alphabetical.
const INPUTS: &[(&str, Build)] = &[
    ("dummy", dummy::build),
    ("forward", forward::build),
    ("tcp", tcp::build),
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
