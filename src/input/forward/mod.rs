//! `forward`: the Fluent Forward protocol over TCP or a unix socket.
//!
//! | file | purpose |
//! |---|---|
//! | [`message`] | the shapes on the wire |
//! | [`security`], [`greeting`] | the shared-key handshake, and the same on a socket |
//! | [`heartbeat`] | Fluentd's, over UDP |
//! | [`framing`] | where frames end, in msgpack and JSON |
//! | [`decode`] | from a frame to events |
//! | [`inflate`] | decompression |
//! | [`signal`] | metrics and traces, which are not logs |
//! | [`partial`] | Docker's pieces put together |
//! | [`patience`] | how long a peer may be silent, and how slow |
//! | [`retag`] | tags as the section wants them |
//! | [`replay`] | a peer without a socket, for measurements and tests |
//! | [`reject`] | why a frame is refused |
//! | [`connection`] | one peer |
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Listen`, `Port` | 0.0.0.0, 24224 | where to listen |
//! | `Unix_Path` | | listen on a socket file instead |
//! | `Unix_Perm` | | its mode, octal |
//! | `Buffer_Max_Size` | 6144000 | the longest message, also after decompression |
//! | `Tag_Prefix` | | put in front of every tag, without a dot |
//! | `Tag` | | replaces every tag |
//! | `Shared_Key`, `Empty_Shared_Key` | | peers have to know this key, or an empty one |
//! | `Security.Users` | | names and passwords; peers have to know one of them too |
//! | `UDP_Heartbeat` | off | answer Fluentd's heartbeats, over UDP on the same port |
//! | `docker.join_partial` | off | put lines together that Docker has cut |
//! | `net.*` | | see [`net`](super::net) |
//! | `tls`, `tls.*` | off | see `input/tls` |
//! | `Self_Hostname` | localhost | what we call ourselves in the handshake |
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/forward>

mod connection;
mod decode;
mod framing;
mod greeting;
mod heartbeat;
mod inflate;
#[cfg(test)]
mod matrix;
pub(super) mod message;
mod partial;
mod patience;
mod reject;
mod replay;
mod retag;
mod security;
mod signal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use self::reject::Reject;
pub use self::replay::Replay;

use self::connection::{Connection, End, Rules};
use self::heartbeat::Heartbeat;
use self::partial::Joiner;
use self::retag::Retag;
use self::security::Security;
use super::listen::{Address, Listener};
use super::net::Net;
use super::tls::{self, Tls};
use super::{Context, Input, Phase, reached};
use crate::config::Settings;
use crate::parser::Parsers;
use crate::telemetry::log::Limiter;

const BUFFER_MAX_SIZE: u64 = 6_144_000;

struct Forward {
    address: Address,
    rules: Arc<Rules>,
    net: Net,
    tls: Option<Arc<Tls>>,
    udp_heartbeat: bool,
    listener: Option<Listener>,
    heartbeat: Option<Heartbeat>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    let address = address(settings);
    let limit = settings
        .size("buffer_max_size")
        .unwrap_or(BUFFER_MAX_SIZE)
        .clamp(1024, 1 << 30);
    let retag = Retag {
        prefix: settings.text("tag_prefix"),
        tag: settings.text("tag"),
    };
    settings.accept(&["buffer_chunk_size", "workers", "threaded"]);
    let security = Security::read(settings);
    let net = Net::read(settings);
    let udp_heartbeat = settings.flag("udp_heartbeat", false);
    if udp_heartbeat && matches!(address, Address::Unix(..)) {
        settings.error("udp_heartbeat", "needs a port; there is a `unix_path`");
    }
    Box::new(Forward {
        address,
        rules: Arc::new(Rules {
            frame_max: limit as usize,
            retag,
            security,
            io_timeout: net.io_timeout,
            join_partial: settings.flag("docker.join_partial", false),
        }),
        net,
        tls: Tls::read(settings, net),
        udp_heartbeat,
        listener: None,
        heartbeat: None,
    })
}

fn address(settings: &mut Settings<'_>) -> Address {
    let host = settings
        .text("listen")
        .or_else(|| settings.text("host"))
        .unwrap_or_else(|| "0.0.0.0".to_owned());
    let port = settings.port("port").unwrap_or(24224);
    let path = settings.text("unix_path");
    let mode = settings.text("unix_perm").and_then(|text| {
        let mode = u32::from_str_radix(&text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777);
        if mode.is_none() {
            settings.error("unix_perm", "not an octal mode; write for example 0666");
        }
        mode
    });
    match path {
        Some(path) => Address::Unix(path.into(), mode),
        None => Address::Tcp(host, port),
    }
}

impl Input for Forward {
    fn bind(&mut self) -> Result<(), String> {
        let listener = Listener::bind(&self.address, &self.net)?;
        if self.udp_heartbeat {
            self.heartbeat = Some(Heartbeat::bind(listener.address())?);
        }
        self.listener = Some(listener);
        Ok(())
    }

    fn has_peers(&self) -> bool {
        true
    }

    fn run(mut self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let component = context.component();
            let Some(mut listener) = self.listener.take() else {
                return;
            };
            crate::info!(&component, "listening on {}", listener.address());
            let limiter = Arc::new(Limiter::default());
            let joiner = self.rules.join_partial.then(|| {
                let joiner = Arc::new(Joiner::new(&context.budget, self.rules.frame_max));
                let (sweeper, context) = (Arc::clone(&joiner), context.clone());
                tokio::spawn(async move { sweeper.sweep(&context).await });
                joiner
            });
            let mut connections = tokio::task::JoinSet::new();
            let mut phase = context.phase.clone();
            loop {
                tokio::select! {
                    socket = listener.accept(&component) => {
                        let (rules, tls) = (Arc::clone(&self.rules), self.tls.clone());
                        let (joiner, context, limiter) = (joiner.clone(), context.clone(), Arc::clone(&limiter));
                        connections.spawn(async move {
                            if let Some(stream) = tls::accept(tls.as_deref(), socket, &context).await {
                                let connection = Connection::new(stream, &context, &rules, joiner);
                                let end = connection.serve(context.phase.clone()).await;
                                report(&end, &context, &limiter);
                            }
                        });
                    }
                    Some(_) = connections.join_next() => {}
                    () = beat(self.heartbeat.as_ref()), if self.heartbeat.is_some() => {}
                    () = reached(&mut phase, Phase::Close) => break,
                }
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
            if let Some(joiner) = joiner {
                joiner.finish(&context).await;
            }
        })
    }
}

/// Answers heartbeats, if there are any to answer.
async fn beat(heartbeat: Option<&Heartbeat>) {
    if let Some(heartbeat) = heartbeat {
        heartbeat.answer().await;
    }
}

/// Counts how a connection ended and says so where somebody has to know.
fn report(end: &End, context: &Context, limiter: &Limiter) {
    let component = context.component();
    let reason = match end {
        End::Closed { incomplete: 0 } | End::Stopped => return,
        End::Closed { incomplete } => {
            crate::debug!(
                &component,
                "a peer closed in the middle of a message, {incomplete} bytes of it are ignored"
            );
            "incomplete"
        }
        End::Broken(error) => {
            crate::debug!(&component, "a connection broke: {error}");
            "broken"
        }
        End::Rejected(reject) => {
            if let Some(before) = limiter.admit() {
                crate::warning!(
                    &component,
                    "closed a connection: {reject}{before}; what came before it is kept"
                );
            }
            reject.label()
        }
    };
    metrics::counter!("sluice_frames_rejected_total", "name" => context.name.to_string(), "reason" => reason).increment(1);
}
