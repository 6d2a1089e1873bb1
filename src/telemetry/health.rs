//! The answer to `sluice --health`: a liveness check that needs no shell, no port and no file.
//!
//! A running router listens on an abstract unix socket named after its PID namespace and PID, so that a probe started
//! in the same container finds it, and two containers on one host never meet. The answer is the counters as text.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use super::registry::registry;

/// A router that cannot answer within this is not healthy.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to leave the listener alone when the process is out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The most a probe reads.
const ANSWER_MAX: u64 = 1 << 20;

fn address(pid: u32) -> io::Result<SocketAddr> {
    let namespace = std::fs::read_link("/proc/self/ns/pid")?;
    SocketAddr::from_abstract_name(format!("sluice-{}-{pid}", namespace.display()))
}

/// Answers probes until the runtime ends. The answer comes from the event loop, so a stuck one does not answer.
///
/// # Errors
/// When the socket cannot be bound.
pub fn serve() -> io::Result<()> {
    let listener = UnixListener::bind_addr(&address(std::process::id())?)?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    tokio::spawn(async move {
        loop {
            let Ok((mut probe, _)) = listener.accept().await else {
                // Out of descriptors, which passes; a router that delivers must not be taken for dead afterwards.
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            };
            let text = registry().text();
            // A probe that does not read gets no second chance and holds up nothing but itself.
            drop(
                tokio::time::timeout(
                    PATIENCE,
                    tokio::io::AsyncWriteExt::write_all(&mut probe, text.as_bytes()),
                )
                .await,
            );
        }
    });
    Ok(())
}

/// Asks the router with this PID; its counters when it answers.
///
/// # Errors
/// When there is none, or it does not answer in time.
pub fn probe(pid: u32) -> io::Result<String> {
    let mut router = UnixStream::connect_addr(&address(pid)?)?;
    router.set_read_timeout(Some(PATIENCE))?;
    router.set_write_timeout(Some(PATIENCE))?;
    router.flush()?;
    let mut text = String::new();
    router.take(ANSWER_MAX).read_to_string(&mut text)?;
    Ok(text)
}
