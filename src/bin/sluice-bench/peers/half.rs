//! Peers that send half a frame and wait, beyond the memory that the input may have.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use super::Load;
use super::peer::{Frames, Peer, nanos_since};
use super::report::{Goal, MEBI, Report};
use super::router::Router;
use crate::error::{Error, Result};
use crate::stats::{Histogram, approx};

/// A message whose text is a megabyte long, it says.
const BEGINNING: &[u8] = b"\x93\xa1t\x05\x81\xa3log\xdb\x00\x10\x00\x00";
/// What comes of it.
const HALF: usize = 512 << 10;
/// How often the good peer sends a record.
const BEAT: Duration = Duration::from_millis(100);

/// Runs the scenario.
pub(super) async fn measure(router: &Router, load: &Load, report: &mut Report) -> Result<()> {
    let frames = Frames::new(load.size)?;
    let fresh = router.resident();
    let end = Instant::now() + load.phase;
    let mut halves = JoinSet::new();
    for number in 1..=load.half {
        halves.spawn(half(router.address, number, frames.clone(), end));
    }
    let connected = Peer::connect(router.address, 0, &frames).await;
    let mut good = connected.map_err(Error::io("connect the good peer"))?;
    let mut latency = Histogram::default();
    let mut ticks = tokio::time::interval(BEAT);
    while Instant::now() < end {
        ticks.tick().await;
        let begin = Instant::now();
        let asked = good.ask().await;
        asked.map_err(Error::io("send a record beside half frames"))?;
        latency.add(nanos_since(begin));
    }
    let growth = router.peak().saturating_sub(fresh);
    report.memory("RSS without peers", fresh, Goal::Any);
    report.memory("Mem_Buf_Limit", load.limit, Goal::Any);
    let limit = approx(load.limit) / MEBI;
    report.memory("growth of the peak RSS", growth, Goal::Below(limit));
    report.latency(
        [
            "ack of a good peer, median",
            "ack of a good peer, p99",
            "ack of a good peer, worst",
        ],
        &latency,
        Goal::Any,
    );
    while halves.join_next().await.is_some() {}
    drop(good);
    let left = router.left_behind().await;
    report.count("descriptors left behind", left, Goal::Below(1.0));
    report.memory("RSS at the end", router.settled().await, Goal::Any);
    Ok(())
}

/// Writes half a frame, as far as it is taken, and holds the connection until `end`.
async fn half(to: SocketAddr, number: u64, frames: Frames, end: Instant) {
    let Ok(peer) = Peer::connect(to, number, &frames).await else {
        return;
    };
    let mut stream = peer.stream;
    let bytes = vec![b'x'; HALF];
    let writing = async {
        stream.write_all(BEGINNING).await?;
        stream.write_all(&bytes).await
    };
    // Cut off, or closed by the router: both end it.
    let _ = tokio::time::timeout_at(end.into(), writing).await;
    tokio::time::sleep_until(end.into()).await;
}
