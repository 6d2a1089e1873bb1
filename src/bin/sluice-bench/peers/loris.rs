//! A good peer beside many that send a byte a second.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::Load;
use super::peer::{Frames, Peer, connect_all, flood};
use super::report::{Goal, Report};
use super::router::Router;
use crate::error::{Error, Result};
use crate::stats::{median, ratio};

/// A message whose text is a megabyte long, it says.
const BEGINNING: &[u8] = b"\x93\xa1t\x05\x81\xa3log\xdb\x00\x10\x00\x00";
/// Those that are not closed by then are never closed.
const CLOSED_WITHIN: Duration = Duration::from_mins(2);

/// Runs the scenario.
pub(super) async fn measure(router: &Router, load: &Load, report: &mut Report) -> Result<()> {
    let frames = Frames::new(load.size)?;
    let good = connect_all(router.address, 0..1, &frames).await?;
    let (good, before) = flood(good, load.phase).await?;
    let resident = router.resident();

    let mut slow = JoinSet::new();
    for number in 1..=load.loris {
        slow.spawn(trickle(router.address, number, frames.clone()));
    }
    router.has_accepted(load.loris + 1).await?;
    let (good, beside) = flood(good, load.phase).await?;
    report.memory("RSS without slow peers", resident, Goal::Any);
    report.memory("RSS with slow peers", router.resident(), Goal::Any);

    let mut closed = Vec::new();
    while let Some(lasted) = slow.join_next().await {
        closed.extend(lasted.map_err(|_| Error::Stopped)??);
    }
    let (good, after) = flood(good, load.phase).await?;
    let alone = f64::midpoint(before, after);
    report.add("good peer alone, before", "MB/s", before, Goal::Any);
    report.add("good peer alone, after", "MB/s", after, Goal::Any);
    report.add("good peer beside slow ones", "MB/s", beside, Goal::Any);
    let share = ratio(beside, alone);
    report.add("beside by alone", "", share, Goal::AtLeast(0.95));
    let open = load.loris - closed.len() as u64;
    report.count("slow peers never closed", open, Goal::Below(1.0));
    let middle = median(closed.iter().map(Duration::as_secs_f64));
    if let (Some(middle), Some(last)) = (middle, closed.iter().max()) {
        report.add("slow peers closed after, median", "s", middle, Goal::Any);
        let last = last.as_secs_f64();
        report.add("slow peers closed after, last", "s", last, Goal::Any);
    }
    drop(good);
    let left = router.left_behind().await;
    report.count("descriptors left behind", left, Goal::Below(1.0));
    Ok(())
}

/// Sends a byte a second until it is closed; when that was, if it was.
async fn trickle(to: SocketAddr, number: u64, frames: Frames) -> Result<Option<Duration>> {
    let begin = Instant::now();
    let connected = Peer::connect(to, number, &frames).await;
    let mut stream = connected.map_err(Error::io("connect a slow peer"))?.stream;
    // The router may close at any byte; the read tells.
    let _ = stream.write_all(BEGINNING).await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    while begin.elapsed() < CLOSED_WITHIN {
        let mut answer = [0];
        tokio::select! {
            // The end, a reset, or a byte that nobody asked for.
            _ = stream.read(&mut answer) => return Ok(Some(begin.elapsed())),
            _ = ticks.tick() => {}
        }
        let _ = stream.write_all(b"x").await;
    }
    Ok(None)
}
