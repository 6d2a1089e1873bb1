//! `load`: a forward client that sends numbered records as fast as they are taken, or at a given rate.

mod client;
pub(crate) mod frames;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::client::{Client, Sent, Shared};
use self::frames::Mode;
use crate::args;
use crate::error::{Error, Result};
use crate::output::{print_json, print_text};
use crate::procfs;
use crate::record::TextKind;
use crate::signals;
use crate::stats::{Histogram, approx, now_nanos, ratio, round};

const HELP: &str = "\
Send numbered records to a log router over the forward protocol.

Usage: sluice-bench load (--tcp ADDR | --unix PATH) [options]

Each record is what Docker's fluentd driver sends under FireLens: container_id,
container_name, source, log. The log text carries seq=CONN.NUMBER.TIME, by which
the sink counts losses, duplicates, disorder and latency.

Options:
      --tcp ADDR            Router's forward input, e.g. 127.0.0.1:24224
      --unix PATH           Router's unix socket
      --mode MODE           message (default), forward, packed or gzip
      --text KIND           access (default: access-log lines), plain, json
                            or java (stack traces of ten lines)
      --size N              Bytes of the log text [default: 1024]
      --records N           Records in all; 0 = until stopped [default: 1000000]
      --connections N       Connections, up to 999 [default: 4]
      --rate N              Records per second in all [default: as fast as taken]
      --write HOW           batch (many records per write, default) or each (one)
      --batch N             Records per write or frame [default: about 64 KiB]
      --ack                 Ask for acks and wait for them after each write
      --ack-timeout T       Give up on an ack after this long [default: 30s]
      --tag TAG             One tag for all [default: app<i>-firelens-<32 hex>]
      --tags N              Spread each connection's records over N tags, in turns:
                            TAG.00000, TAG.00001, ... (message mode) [default: 1]
      --level N             gzip level, 1 to 9 [default: 6]; frames are compressed
                            before the clock starts, so their send time is unknown
      --reconnect           After a broken connection connect again and resend the
                            write that was not accepted (with --ack: not acked)
      --connect-timeout T   Retry connecting this long [default: 10s]

SIGTERM or SIGINT stops it. It prints one JSON object: what write() accepted per
connection, wire bytes, seconds, CPU seconds, acks and their latency.
";

/// Bytes of one write unless asked otherwise: worth its system call, and well below a socket buffer.
const DEFAULT_WRITE_BYTES: u64 = 64 << 10;
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Where the router listens.
#[derive(Debug, Clone)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug, Clone)]
struct Options {
    target: Target,
    mode: Mode,
    text: TextKind,
    size: usize,
    records: u64,
    connections: u32,
    rate: Option<u64>,
    batch: Option<u64>,
    ack: bool,
    ack_timeout: Duration,
    tag: Option<String>,
    tags: u64,
    level: u32,
    reconnect: bool,
    connect_timeout: Duration,
}

/// Runs the command.
pub(crate) fn main(parser: &mut lexopt::Parser) -> Result<()> {
    let Some(options) = Options::parse(parser)? else {
        return print_text(HELP);
    };
    let report = run(&options, signals::stop_flag()?)?;
    print_json(&report)
}

fn run(options: &Options, stop: Arc<AtomicBool>) -> Result<Value> {
    let shared = Shared {
        stop,
        ..Shared::default()
    };
    let ready = Barrier::new(options.connections as usize);
    let start = OnceLock::new();
    let one = |connection| {
        let client = Client::new(options, &shared, connection);
        // Also a connection that failed must arrive here, or the others would wait for ever.
        ready.wait();
        let start = start.get_or_init(Clock::start);
        Ok(client?.run(start.begin))
    };
    let one = &one;
    let sent = thread::scope(|scope| {
        let clients: Vec<_> = (0..options.connections)
            .map(|connection| scope.spawn(move || one(connection)))
            .collect();
        while clients.iter().any(|client| !client.is_finished()) {
            report_progress(&shared, &clients);
        }
        let ended = clients
            .into_iter()
            .map(|client| client.join().unwrap_or(Err(Error::Stopped)));
        ended.collect::<Result<Vec<Sent>>>()
    })?;
    // At least one connection exists, and each has arrived at the start.
    let clock = start.into_inner().unwrap_or_else(Clock::start);
    Ok(report(
        options,
        &sent,
        &clock,
        shared.stop.load(Ordering::Relaxed),
    ))
}

/// The moment at which all connections were ready and the sending began.
struct Clock {
    begin: Instant,
    nanos: u64,
    cpu_seconds: f64,
}

impl Clock {
    fn start() -> Self {
        Self {
            begin: Instant::now(),
            nanos: now_nanos(),
            cpu_seconds: procfs::own_cpu_seconds(),
        }
    }
}

/// Waits a moment for the clients; every five seconds it says how far they are.
fn report_progress<T>(shared: &Shared, clients: &[thread::ScopedJoinHandle<'_, T>]) {
    let begin = Instant::now();
    let before = shared.progress.load(Ordering::Relaxed);
    while begin.elapsed() < PROGRESS_EVERY {
        if clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let now = shared.progress.load(Ordering::Relaxed);
    let rate = ratio(approx(now - before), begin.elapsed().as_secs_f64());
    eprintln!("load: {now} records accepted, {rate:.0}/s");
}

fn report(options: &Options, sent: &[Sent], clock: &Clock, stopped: bool) -> Value {
    let seconds = clock.begin.elapsed().as_secs_f64();
    let cpu = procfs::own_cpu_seconds() - clock.cpu_seconds;
    let total = |pick: fn(&Sent) -> u64| sent.iter().map(pick).sum::<u64>();
    let (records, bytes) = (total(|sent| sent.records), total(|sent| sent.bytes));
    let mut ack_latency = Histogram::default();
    for sent in sent {
        ack_latency.merge(&sent.ack_latency);
    }
    let connections = (0..).zip(sent).map(|(connection, sent)| {
        json!({
            "tag": options.tag(connection), "records": sent.records, "wire_bytes": sent.bytes,
            "acks": sent.acks, "reconnects": sent.reconnects, "error": sent.error,
        })
    });
    json!({
        "mode": options.mode.name(),
        "records": records,
        "wire_bytes": bytes,
        "started_ns": clock.nanos,
        "seconds": round(seconds),
        "records_per_second": ratio(approx(records), seconds).round(),
        "cpu_seconds": round(cpu),
        "cpu_seconds_per_gb": round(ratio(cpu, approx(bytes) / 1e9)),
        "acks": total(|sent| sent.acks),
        "ack_latency": ack_latency.to_json(),
        "stopped": stopped,
        "connections": connections.collect::<Vec<_>>(),
    })
}

impl Options {
    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>> {
        use lexopt::Arg::{Long, Short};
        let mut options = Self::default();
        let mut target = None;
        while let Some(arg) = parser.next()? {
            match arg {
                Long("tcp") => target = Some(Target::Tcp(args::address(&args::value(parser)?)?)),
                Long("unix") => target = Some(Target::Unix(args::path(parser)?)),
                Long("mode") => options.mode = Mode::parse(&args::value(parser)?)?,
                Long("text") => options.text = TextKind::parse(&args::value(parser)?)?,
                Long("size") => options.size = args::size(&args::value(parser)?)? as usize,
                Long("records") => options.records = args::count(&args::value(parser)?)?,
                Long("connections") => {
                    options.connections = args::count(&args::value(parser)?)? as u32;
                }
                Long("rate") => options.rate = Some(args::count(&args::value(parser)?)?),
                Long("write") => options.batch = batch_of(&args::value(parser)?)?,
                Long("batch") => options.batch = Some(args::count(&args::value(parser)?)?),
                Long("ack") => options.ack = true,
                Long("ack-timeout") => options.ack_timeout = args::duration(&args::value(parser)?)?,
                Long("tags") => options.tags = args::count(&args::value(parser)?)?.max(1),
                Long("tag") => options.tag = Some(args::value(parser)?),
                Long("level") => options.level = args::count(&args::value(parser)?)? as u32,
                Long("reconnect") => options.reconnect = true,
                Long("connect-timeout") => {
                    options.connect_timeout = args::duration(&args::value(parser)?)?;
                }
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        options.target = target.ok_or_else(|| Error::Usage("give --tcp or --unix".to_owned()))?;
        options.checked().map(Some)
    }

    fn checked(self) -> Result<Self> {
        let wrong = |text: &str| Err(Error::Usage(text.to_owned()));
        match () {
            () if !(1..=999).contains(&self.connections) => wrong("--connections takes 1 to 999"),
            () if self.batch == Some(0) || self.rate == Some(0) => {
                wrong("--batch and --rate take at least 1")
            }
            () if !(1..=9).contains(&self.level) => wrong("--level takes 1 to 9"),
            () if self.mode == Mode::Gzip && self.records == 0 => {
                wrong("--mode gzip needs --records")
            }
            () if self.size > 16 << 20 => wrong("--size takes up to 16M"),
            () => Ok(self),
        }
    }

    /// The tag of one connection: FireLens names tags `<container>-firelens-<task id>`.
    fn tag(&self, connection: u32) -> String {
        let task = "5d1c0f6b7a2e4c3d9b8a7f6e5d4c3b2a";
        self.tag
            .clone()
            .unwrap_or_else(|| format!("app{connection}-firelens-{task}"))
    }

    /// Records per write: as asked, or as many as make a write worth its system call without making lumps.
    fn batch(&self) -> u64 {
        if let Some(batch) = self.batch {
            return batch;
        }
        let by_size = DEFAULT_WRITE_BYTES / (self.size as u64 + 250);
        let by_rate = self
            .rate
            .map_or(u64::MAX, |rate| rate / u64::from(self.connections) / 100);
        by_size.min(by_rate).max(1)
    }

    /// How many records one connection sends; the first ones take the remainder.
    fn share(&self, connection: u32) -> u64 {
        let (each, rest) = (
            self.records / u64::from(self.connections),
            self.records % u64::from(self.connections),
        );
        if self.records == 0 {
            u64::MAX
        } else {
            each + u64::from(u64::from(connection) < rest)
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: Target::Unix(PathBuf::new()),
            mode: Mode::Message,
            text: TextKind::Access,
            size: 1024,
            records: 1_000_000,
            connections: 4,
            rate: None,
            batch: None,
            ack: false,
            ack_timeout: Duration::from_secs(30),
            tag: None,
            tags: 1,
            level: 6,
            reconnect: false,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

fn batch_of(write: &str) -> Result<Option<u64>> {
    match write {
        "each" => Ok(Some(1)),
        "batch" => Ok(None),
        _ => Err(Error::Value {
            text: write.to_owned(),
            wanted: "batch or each",
        }),
    }
}
