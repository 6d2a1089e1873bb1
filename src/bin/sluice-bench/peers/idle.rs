//! Many idle connections beside some active ones.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::interval;

use super::Load;
use super::peer::{Frames, Peer, connect_all, flood, nanos_since};
use super::report::{Goal, Report};
use super::router::Router;
use crate::error::{Error, Result};
use crate::stats::{Histogram, approx, ratio};

/// Records per second of all active peers while new peers are timed.
const BEAT: u64 = 10_000;
/// New peers per second.
const NEW_PEERS: u64 = 100;

/// Runs the scenario.
pub(super) async fn measure(router: &Router, load: &Load, report: &mut Report) -> Result<()> {
    let frames = Frames::new(load.size)?;
    report.memory("RSS before the first peer", router.resident(), Goal::Any);
    let mut early = connect_all(router.address, 0..load.active, &frames).await?;
    for peer in &mut early {
        let sent = peer.burst().await;
        sent.map_err(Error::io("send records as an early peer"))?;
    }
    drop(early);
    // What is made once, and code that runs for the first time, is no cost of a connection.
    router.has_only(0).await?;
    let fresh = router.settled().await;
    report.memory("RSS without peers", fresh, Goal::Any);

    let mut idle = connect_all(router.address, 0..load.idle, &frames).await?;
    router.has_accepted(load.idle).await?;
    let silent = router.settled().await;
    let each = |bytes: u64| ratio(approx(bytes.saturating_sub(fresh)), approx(load.idle));
    report.memory("RSS with silent peers", silent, Goal::Any);
    report.add(
        "each silent peer",
        "bytes",
        each(silent),
        Goal::Below(4096.0),
    );

    for (number, peer) in idle.iter_mut().enumerate() {
        let sent = peer.burst().await;
        sent.map_err(Error::io(format!("send records as peer {number}")))?;
    }
    let idled = router.settled().await;
    report.memory("RSS with idle peers", idled, Goal::Any);
    report.add("each idle peer", "bytes", each(idled), Goal::Below(4096.0));

    let numbers = load.idle..load.idle + load.active;
    let active = connect_all(router.address, numbers, &frames).await?;
    let active = greet_while_busy(router, load, active, &frames, report).await?;
    report.memory(
        "RSS with idle and active peers",
        router.resident(),
        Goal::Below(64.0),
    );
    let (active, beside) = flood(active, load.phase).await?;
    report.add("active peers beside idle ones", "MB/s", beside, Goal::Any);
    report.memory(
        "peak RSS, active peers flooding",
        router.peak(),
        Goal::Below(64.0),
    );

    drop(idle);
    router.has_only(load.active).await?;
    let (active, alone) = flood(active, load.phase).await?;
    report.add("active peers alone", "MB/s", alone, Goal::Any);
    report.add("beside by alone", "", ratio(beside, alone), Goal::Any);
    drop(active);
    let left = router.left_behind().await;
    report.count("descriptors left behind", left, Goal::Below(1.0));
    report.memory("RSS at the end", router.settled().await, Goal::Any);
    Ok(())
}

/// Has the active peers keep a beat, and times how long new ones wait from connecting to their first acknowledgement.
async fn greet_while_busy(
    router: &Router,
    load: &Load,
    active: Vec<Peer>,
    frames: &Frames,
    report: &mut Report,
) -> Result<Vec<Peer>> {
    let end = Instant::now() + load.phase;
    let mut beats = JoinSet::new();
    let period = Duration::from_secs(1) * load.active as u32 / BEAT as u32;
    for mut peer in active {
        beats.spawn(async move { peer.keep_a_beat(period, end).await.map(|()| peer) });
    }
    let mut latency = Histogram::default();
    let mut ticks = interval(Duration::from_secs(1) / NEW_PEERS as u32);
    let mut number = load.idle + load.active;
    while Instant::now() < end {
        ticks.tick().await;
        number += 1;
        let begin = Instant::now();
        let mut peer = Peer::connect(router.address, number, frames)
            .await
            .map_err(Error::io("connect beside idle peers"))?;
        let asked = peer.ask().await;
        asked.map_err(Error::io("send a record beside idle peers"))?;
        latency.add(nanos_since(begin));
    }
    report.latency(
        [
            "first ack of a new peer, median",
            "first ack of a new peer, p99",
            "first ack of a new peer, worst",
        ],
        &latency,
        Goal::Below(10.0),
    );
    let mut active = Vec::new();
    while let Some(kept) = beats.join_next().await {
        let kept = kept.map_err(|_| Error::Stopped)?;
        active.push(kept.map_err(Error::io("send at a beat"))?);
    }
    Ok(active)
}
