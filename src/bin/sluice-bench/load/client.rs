//! One connection of the load: connect, write blocks, wait for acks, connect again if told to.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::frames::{self, Block, Blueprint, Mode};
use super::{Options, Target};
use crate::error::{Error, Result};
use crate::stats::{Histogram, approx, now_nanos};

/// How long one blocking call may last before the stop flag is looked at again.
const PATIENCE: Duration = Duration::from_millis(200);
/// How far ahead of the rate a connection runs before it sleeps: fewer wake-ups than one per record.
const AHEAD: Duration = Duration::from_millis(1);

/// What one connection did.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Complete records that `write` accepted.
    pub(super) records: u64,
    /// Bytes that `write` accepted.
    pub(super) bytes: u64,
    /// Frames that were acknowledged.
    pub(super) acks: u64,
    /// From the start of a write to each of its acks.
    pub(super) ack_latency: Histogram,
    /// How often the connection was made anew.
    pub(super) reconnects: u64,
    /// Why it ended before its last record.
    pub(super) error: Option<String>,
}

/// One connection, connected and with its first block prepared.
pub(super) struct Client<'a> {
    options: &'a Options,
    shared: &'a Shared,
    blueprint: Blueprint,
    wire: Box<dyn Wire>,
    /// Frames that were compressed before the clock starts; empty in the other modes.
    prepared: std::vec::IntoIter<Block>,
    next_number: u64,
    end_number: u64,
    next_ack: u64,
    sent: Sent,
}

/// What all connections look at.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Set when the load shall end early.
    pub(super) stop: std::sync::Arc<AtomicBool>,
    /// Records accepted so far, for the progress line.
    pub(super) progress: AtomicU64,
}

/// A connected stream with time limits on its calls.
trait Wire: Read + Write + Send {}
impl Wire for TcpStream {}
impl Wire for UnixStream {}

/// How far a block got before its connection broke.
enum Outcome {
    Done,
    Stopped,
    Broken(String),
}

impl<'a> Client<'a> {
    /// Connects and prepares connection number `connection`.
    pub(super) fn new(options: &'a Options, shared: &'a Shared, connection: u32) -> Result<Self> {
        let shape = (options.mode, options.text, options.size);
        let blueprint = Blueprint::new(
            shape,
            (options.tag(connection), connection),
            options.ack,
            options.level,
        )?
        .over(options.tags);
        let end_number = options.share(connection);
        let prepared = if options.mode == Mode::Gzip {
            compressed(&blueprint, end_number, options.batch())?
        } else {
            vec![]
        };
        Ok(Self {
            options,
            shared,
            blueprint,
            wire: connect(options, &shared.stop)?,
            prepared: prepared.into_iter(),
            next_number: 0,
            end_number,
            next_ack: u64::from(connection) << 32,
            sent: Sent::default(),
        })
    }

    /// Sends everything, or what can be sent until the stop flag.
    pub(super) fn run(mut self, start: Instant) -> Sent {
        let batch = self.options.batch();
        let mut block = Block::default();
        while self.next_number < self.end_number && !self.stopped() {
            self.keep_the_rate(start);
            let records = batch.min(self.end_number - self.next_number);
            if let Some(prepared) = self.prepared.next() {
                block = prepared;
            } else if block.records != records || !self.blueprint.is_reusable() {
                block = self.blueprint.block(self.next_number, records);
            }
            let now = now_nanos();
            block.stamp(self.next_number, now, now);
            block.stamp_ack_ids(self.next_ack);
            if !self.deliver(&block) {
                break;
            }
            self.next_number += block.records;
            self.next_ack += block.frames;
        }
        self.sent
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    fn keep_the_rate(&self, start: Instant) {
        let Some(rate) = self.options.rate else {
            return;
        };
        let rate = approx(rate) / f64::from(self.options.connections);
        let due = start + Duration::from_secs_f64(approx(self.next_number) / rate);
        if due < Instant::now() + AHEAD {
            return;
        }
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            if self.stopped() {
                return;
            }
            thread::sleep(left.min(PATIENCE));
        }
    }

    /// Writes one block and waits for its acks; whether the load goes on.
    fn deliver(&mut self, block: &Block) -> bool {
        // Frames that need not be sent again: accepted ones, or acknowledged ones where acks are asked for.
        let mut settled = 0;
        loop {
            let problem = match self.attempt(block, &mut settled) {
                Outcome::Done => return true,
                Outcome::Stopped => return false,
                Outcome::Broken(problem) => problem,
            };
            if !self.options.reconnect {
                self.sent.error = Some(problem);
                return false;
            }
            match connect(self.options, &self.shared.stop) {
                Ok(wire) => self.wire = wire,
                Err(error) => {
                    self.sent.error = Some(format!("{problem}; {error}"));
                    return false;
                }
            }
            self.sent.reconnects += 1;
        }
    }

    fn attempt(&mut self, block: &Block, settled: &mut u64) -> Outcome {
        let begin = Instant::now();
        let skipped = block.frame_length() * *settled as usize;
        let mut written = skipped;
        let outcome = self.write(block, &mut written);
        self.sent.bytes += (written - skipped) as u64;
        if !self.options.ack {
            let before = block.records_within(skipped);
            self.count(block.records_within(written) - before);
            *settled = block.records_within(written) * block.frames / block.records.max(1);
            return outcome;
        }
        if let Outcome::Done = outcome {
            self.await_acks(block, settled, begin)
        } else {
            outcome
        }
    }

    fn count(&mut self, records: u64) {
        self.sent.records += records;
        self.shared.progress.fetch_add(records, Ordering::Relaxed);
    }

    fn write(&mut self, block: &Block, written: &mut usize) -> Outcome {
        while let Some(rest) = block.bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            match self.wire.write(rest) {
                Ok(0) => return Outcome::Broken("the router takes no more bytes".to_owned()),
                Ok(accepted) => *written += accepted,
                Err(error) if is_pause(&error) => {
                    if self.stopped() {
                        return Outcome::Stopped;
                    }
                }
                Err(error) => return Outcome::Broken(format!("write: {error}")),
            }
        }
        Outcome::Done
    }

    /// Reads the acks of all frames that are not settled, in the order of the frames.
    fn await_acks(&mut self, block: &Block, settled: &mut u64, begin: Instant) -> Outcome {
        while *settled < block.frames {
            let expected = frames::ack_answer(self.next_ack + *settled);
            let mut answer = vec![0; expected.len()];
            match self.read(&mut answer, begin) {
                Outcome::Done => {}
                other => return other,
            }
            if answer != expected {
                return Outcome::Broken(format!(
                    "wrong ack: {answer:02x?} instead of {expected:02x?}"
                ));
            }
            *settled += 1;
            self.sent.acks += 1;
            self.sent
                .ack_latency
                .add(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
            self.count(block.records / block.frames.max(1));
        }
        Outcome::Done
    }

    fn read(&mut self, mut space: &mut [u8], begin: Instant) -> Outcome {
        while !space.is_empty() {
            match self.wire.read(space) {
                Ok(0) => return Outcome::Broken("closed before the ack".to_owned()),
                Ok(read) => space = space.split_at_mut(read).1,
                Err(error) if is_pause(&error) => {
                    if self.stopped() {
                        return Outcome::Stopped;
                    }
                    if begin.elapsed() > self.options.ack_timeout {
                        return Outcome::Broken(format!(
                            "no ack within {:?}",
                            self.options.ack_timeout
                        ));
                    }
                }
                Err(error) => return Outcome::Broken(format!("read: {error}")),
            }
        }
        Outcome::Done
    }
}

fn compressed(blueprint: &Blueprint, records: u64, batch: u64) -> Result<Vec<Block>> {
    let now = now_nanos();
    let step = usize::try_from(batch).unwrap_or(usize::MAX);
    (0..records)
        .step_by(step)
        .map(|first| blueprint.gzip_frame(first, batch.min(records - first), now))
        .collect()
}

fn connect(options: &Options, stop: &AtomicBool) -> Result<Box<dyn Wire>> {
    let deadline = Instant::now() + options.connect_timeout;
    loop {
        let problem = match try_connect(&options.target) {
            Ok(wire) => return Ok(wire),
            Err(problem) => problem,
        };
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        if Instant::now() > deadline {
            let doing = format!(
                "connect to the router at {:?} within {:?}",
                options.target, options.connect_timeout
            );
            return Err(Error::Io {
                doing,
                source: problem,
            });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn try_connect(target: &Target) -> io::Result<Box<dyn Wire>> {
    match target {
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
        Target::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::marks;
    use std::net::TcpListener;

    fn options(listener: &TcpListener) -> Options {
        let target = Target::Tcp(listener.local_addr().unwrap());
        Options {
            target,
            records: 100,
            connections: 1,
            batch: Some(10),
            size: 200,
            ..Options::default()
        }
    }

    fn numbers(bytes: &[u8]) -> Vec<u64> {
        marks(bytes).map(|mark| mark.number).collect()
    }

    #[test]
    fn all_records_arrive_once_and_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = options(&listener);
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            listener
                .accept()
                .unwrap()
                .0
                .read_to_end(&mut bytes)
                .unwrap();
            bytes
        });
        let shared = Shared::default();
        let sent = Client::new(&options, &shared, 0)
            .unwrap()
            .run(Instant::now());
        let bytes = reader.join().unwrap();
        assert_eq!(
            (sent.records, sent.bytes, sent.error),
            (100, bytes.len() as u64, None)
        );
        assert_eq!(numbers(&bytes), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn unacknowledged_frames_are_sent_again_on_a_new_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = Options {
            ack: true,
            reconnect: true,
            records: 10,
            ..options(&listener)
        };
        let router = thread::spawn(move || {
            let mut first = listener.accept().unwrap().0;
            let mut seen = vec![0; 1 << 16];
            let read = first.read(&mut seen).unwrap();
            first.write_all(&frames::ack_answer(0)).unwrap();
            drop(first);
            let mut second = listener.accept().unwrap().0;
            let again = second.read(&mut seen).unwrap();
            (1..10).for_each(|id| second.write_all(&frames::ack_answer(id)).unwrap());
            (read, again, numbers(&seen[..again]))
        });
        let shared = Shared::default();
        let sent = Client::new(&options, &shared, 0)
            .unwrap()
            .run(Instant::now());
        let (read, again, resent) = router.join().unwrap();
        assert_eq!(again, read / 10 * 9);
        assert_eq!(resent, (1..10).collect::<Vec<_>>());
        assert_eq!(
            (sent.records, sent.acks, sent.reconnects, sent.error),
            (10, 10, 1, None)
        );
    }

    #[test]
    fn a_stop_ends_a_write_that_the_router_does_not_take() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = Options {
            records: 0,
            size: 100_000,
            ..options(&listener)
        };
        let shared = Shared::default();
        let sent = thread::scope(|scope| {
            let client = Client::new(&options, &shared, 0).unwrap();
            let running = scope.spawn(|| client.run(Instant::now()));
            thread::sleep(Duration::from_millis(300));
            shared.stop.store(true, Ordering::Relaxed);
            running.join().unwrap()
        });
        assert_eq!(sent.error, None);
        assert!(sent.bytes > 0);
    }
}
