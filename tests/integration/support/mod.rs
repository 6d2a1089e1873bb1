//! The actors of a test: a [`Sink`] that plays AWS, a [`Router`] under test, a [`Client`] or a [`Load`] that sends, a
//! [`Proxy`] between them, a [`Receiver`] of the forward protocol, an HTTP
//! [`Server`].

mod bucket;
mod client;
mod frames;
mod http;
mod load;
pub(crate) mod msgpack;
mod process;
mod proxy;
mod receiver;
mod router;
mod server;
mod sink;
pub(crate) mod vectors;

use std::time::{Duration, Instant};

pub(crate) use bucket::Bucket;
pub(crate) use client::Client;
pub(crate) use frames::{Frame, ack, now};
pub(crate) use http::{Reply, ask};
pub(crate) use load::Load;
pub(crate) use process::Process;
pub(crate) use proxy::Proxy;
pub(crate) use receiver::{Reaction, Received, Receiver};
pub(crate) use router::{Router, Running};
pub(crate) use server::{Request as Taken, Server};
pub(crate) use sink::{ACCESS_KEY, SECRET_KEY, Sink};

/// What has not happened by then does not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks at something that cannot be waited for.
const LOOK: Duration = Duration::from_millis(5);

/// Asks until there is an answer; `state` is shown when there is none in time.
pub(crate) fn eventually<T>(
    what: &str,
    state: impl Fn() -> String,
    mut question: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never: {what}\n{}", state());
        std::thread::sleep(LOOK);
    }
}
