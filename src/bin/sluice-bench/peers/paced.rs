//! One connection at a steady rate: a write for each record, or an acknowledgement for each frame.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::Load;
use super::peer::{Frames, Peer, nanos_since};
use super::report::{Goal, Report};
use super::router::Router;
use crate::error::{Error, Result};
use crate::load::frames::ack_answer;
use crate::procfs;
use crate::stats::{Histogram, approx, ratio};

/// Of the records that are written one by one, one in so many asks for its acknowledgement.
const SAMPLE: u64 = 100;
/// After the last frame, until the last acknowledgement.
const ACKS_WITHIN: Duration = Duration::from_mins(1);

/// When the frames were written whose acknowledgements are awaited.
type Sent = Arc<Mutex<VecDeque<Instant>>>;

/// What a connection at a steady rate has shown.
struct Paced {
    sent: u64,
    asked: u64,
    acked: u64,
    latency: Histogram,
    seconds: f64,
    cpu_seconds: f64,
    own_cpu_seconds: f64,
}

/// One write for each record.
pub(super) async fn each(router: &Router, load: &Load, report: &mut Report) -> Result<()> {
    let paced = pace(router, load, load.each, SAMPLE).await?;
    report_rate(&paced, load.each, report);
    let cpu = ratio(paced.cpu_seconds, paced.seconds);
    report.add("CPU of the router", "cores", cpu, Goal::Below(0.5));
    let own = ratio(paced.own_cpu_seconds, paced.seconds);
    report.add("CPU of the client", "cores", own, Goal::Any);
    report_acks(&paced, report, Goal::Any);
    Ok(())
}

/// One acknowledgement for each frame.
pub(super) async fn acks(router: &Router, load: &Load, report: &mut Report) -> Result<()> {
    let paced = pace(router, load, load.frames, 1).await?;
    report_rate(&paced, load.frames, report);
    let cpu = ratio(paced.cpu_seconds, paced.seconds);
    report.add("CPU of the router", "cores", cpu, Goal::Any);
    report_acks(&paced, report, Goal::Below(5.0));
    Ok(())
}

fn report_rate(paced: &Paced, wanted: u64, report: &mut Report) {
    let rate = ratio(approx(paced.sent), paced.seconds);
    let wanted = Goal::AtLeast(approx(wanted) * 0.95);
    report.add("frames", "/s", rate, wanted);
}

fn report_acks(paced: &Paced, report: &mut Report, goal: Goal) {
    let missing = paced.asked - paced.acked;
    report.count("acks that never came", missing, Goal::Below(1.0));
    let names = ["ack, median", "ack, p99", "ack, worst"];
    report.latency(names, &paced.latency, goal);
}

/// Writes so many records a second, each by itself; one in `sample` asks for its acknowledgement.
async fn pace(router: &Router, load: &Load, rate: u64, sample: u64) -> Result<Paced> {
    let frames = Frames::new(load.size)?;
    let connected = Peer::connect(router.address, 0, &frames).await;
    let peer = connected.map_err(Error::io("connect"))?;
    let (reader, writer) = peer.stream.into_split();
    let waiting = Sent::default();
    let reading = tokio::spawn(read_acks(reader, Arc::clone(&waiting)));
    let (cpu, own_cpu) = (router.cpu_seconds(), procfs::own_cpu_seconds());
    let begin = Instant::now();
    let end = begin + load.phase;
    let mut frames = frames;
    let (mut writer, mut sent, mut asked) = (writer, 0, 0);
    while Instant::now() < end {
        // As many as are due by now, so that a late wake-up does not lower the rate.
        let due = (begin.elapsed().as_secs_f64() * approx(rate)) as u64;
        for number in sent..due {
            let asks = number % sample == 0;
            asked += u64::from(asks);
            let written = write(&mut writer, &mut frames, asks.then_some(asked), &waiting).await;
            written.map_err(Error::io("write at a steady rate"))?;
        }
        sent = sent.max(due);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let cpu_seconds = router.cpu_seconds() - cpu;
    let own_cpu_seconds = procfs::own_cpu_seconds() - own_cpu;
    writer
        .shutdown()
        .await
        .map_err(Error::io("close the writing side"))?;
    let read = tokio::time::timeout(ACKS_WITHIN, reading).await;
    let (acked, latency) = match read {
        Ok(read) => read.map_err(|_| Error::Stopped)?,
        Err(_) => (0, Histogram::default()),
    };
    Ok(Paced {
        sent,
        asked,
        acked,
        latency,
        seconds,
        cpu_seconds,
        own_cpu_seconds,
    })
}

/// Writes one record with one call; with an id it asks for its acknowledgement.
async fn write(
    writer: &mut OwnedWriteHalf,
    frames: &mut Frames,
    id: Option<u64>,
    waiting: &Sent,
) -> std::io::Result<()> {
    let Some(id) = id else {
        return writer.write_all(&frames.silent.bytes).await;
    };
    frames.asking.stamp_ack_ids(id);
    waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push_back(Instant::now());
    writer.write_all(&frames.asking.bytes).await
}

/// Reads acknowledgements, which have to come in order, until the end; how many, and how long they took.
async fn read_acks(mut reader: OwnedReadHalf, waiting: Sent) -> (u64, Histogram) {
    let mut latency = Histogram::default();
    let mut acked = 0;
    let mut answer = ack_answer(0);
    while reader.read_exact(&mut answer).await.is_ok() && answer == ack_answer(acked + 1) {
        acked += 1;
        let mut times = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sent) = times.pop_front() {
            latency.add(nanos_since(sent));
        }
    }
    (acked, latency)
}
