//! Connections that come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};

use super::Load;
use super::peer::{Frames, Peer, nanos_since};
use super::report::{Goal, Report};
use super::router::Router;
use crate::error::{Error, Result};
use crate::stats::{Histogram, approx, ratio};

/// As many connections may be under way at once; with more the storm slows down.
const UNDER_WAY: u32 = 2000;
/// The storm before the storm, after which everything that is made once is there.
const WARM_UP: Duration = Duration::from_secs(3);

/// What became of the connections.
#[derive(Default)]
struct Tally {
    made: AtomicU64,
    failed: AtomicU64,
    latency: Mutex<Histogram>,
}

/// Runs the scenario.
pub(super) async fn measure(router: &Router, load: &Load, report: &mut Report) -> Result<()> {
    let frames = Frames::new(load.size)?;
    report.memory("RSS without peers", router.resident(), Goal::Any);
    storm(router.address, load.connects, WARM_UP, &frames).await?;
    router.has_only(0).await?;
    let before = router.settled().await;
    report.memory("RSS before", before, Goal::Any);

    let begin = Instant::now();
    let tally = storm(router.address, load.connects, load.storm, &frames).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let made = tally.made.load(Ordering::Relaxed);
    report.count("connections", made, Goal::Any);
    let rate = ratio(approx(made), seconds);
    let wanted = approx(load.connects) * 0.95;
    report.add("connections", "/s", rate, Goal::AtLeast(wanted));
    let failed = tally.failed.load(Ordering::Relaxed);
    report.count("connections that failed", failed, Goal::Below(1.0));
    report.latency(
        [
            "from connect to ack, median",
            "from connect to ack, p99",
            "from connect to ack, worst",
        ],
        &*tally.latency.lock().await,
        Goal::Any,
    );
    let left = router.left_behind().await;
    report.count("descriptors left behind", left, Goal::Below(1.0));
    let after = router.settled().await;
    report.memory("RSS after", after, Goal::Any);
    let growth = ratio(approx(after.saturating_sub(before)), approx(made));
    report.add(
        "memory left by a connection",
        "bytes",
        growth,
        Goal::Below(16.0),
    );
    Ok(())
}

/// Makes so many connections a second, each for as long as it takes to connect or, every other, to have a record acknowledged.
async fn storm(to: SocketAddr, rate: u64, time: Duration, frames: &Frames) -> Result<Arc<Tally>> {
    let tally = Arc::new(Tally::default());
    let under_way = Arc::new(Semaphore::new(UNDER_WAY as usize));
    let begin = Instant::now();
    let total = (approx(rate) * time.as_secs_f64()) as u64;
    for number in 0..total {
        let due = begin + Duration::from_secs_f64(approx(number) / approx(rate));
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let turn = Arc::clone(&under_way).acquire_owned().await;
        let turn = turn.map_err(|_| Error::Stopped)?;
        let (tally, frames) = (Arc::clone(&tally), frames.clone());
        tokio::spawn(async move {
            let begin = Instant::now();
            let outcome = match Peer::connect(to, number, &frames).await {
                Ok(mut peer) if number % 2 == 1 => peer.ask().await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            tally.made.fetch_add(1, Ordering::Relaxed);
            if outcome.is_err() {
                tally.failed.fetch_add(1, Ordering::Relaxed);
            } else if number % 2 == 1 {
                tally.latency.lock().await.add(nanos_since(begin));
            }
            drop(turn);
        });
    }
    // All turns are back when all connections are over.
    let all = under_way.acquire_many(UNDER_WAY).await;
    drop(all.map_err(|_| Error::Stopped)?);
    Ok(tally)
}
