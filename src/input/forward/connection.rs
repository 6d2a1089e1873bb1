//! One peer of the forward port: reads, finds frames, offers their events, acknowledges.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::Instant;

use super::decode::{self, Events, Tally};
use super::framing::Framing;
use super::greeting;
use super::inflate::{Inflater, Method};
use super::message::{self, Body, Frame};
use super::partial::Joiner;
use super::patience::Patience;
use super::reject::Reject;
use super::retag::Retag;
use super::security::Security;
use super::signal;
use crate::budget::Permit;
use crate::input::listen::Stream;
use crate::input::{Context, Ingest, Phase, Session, reached};

/// The first read of a connection, and the least of any.
const READ_MIN: usize = 16 * 1024;
/// The most one read takes, which a busy connection grows to.
const READ_MAX: usize = 64 * 1024;
/// Acknowledgements a peer may leave unread before it is not read from any more.
const ACKS_MAX: usize = 64 * 1024;
/// Below this a read is small enough to wait for company.
const FULL_ENOUGH: usize = 16 * 1024;
/// A peer whose reads follow each other closer than this sends event by event (Docker's driver does). Waking up for each
/// would cost more than the events, so the next read lets them gather.
const BUSY: Duration = Duration::from_millis(2);
/// How long they gather. Far less than the socket's buffer lasts.
const GATHER: Duration = Duration::from_millis(1);

/// So many bytes of events are stored at once where they take much more than their frame does.
const STEP: usize = 256 * 1024;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer closed, perhaps in the middle of a frame.
    Closed {
        /// Bytes of a frame that never was completed.
        incomplete: usize,
    },
    /// The process is ending.
    Stopped,
    /// The peer sent what cannot be taken.
    Rejected(Reject),
    /// The socket broke.
    Broken(io::Error),
}

/// What holds for all connections of one input.
#[derive(Debug)]
pub(super) struct Rules {
    /// The longest frame, and the most a payload may inflate to (`Buffer_Max_Size`).
    pub frame_max: usize,
    /// What the tags of clients become.
    pub retag: Retag,
    /// What peers have to know.
    pub security: Option<Arc<Security>>,
    /// How long a peer may be silent.
    pub io_timeout: Option<Duration>,
    /// Whether Docker's pieces are put together.
    pub join_partial: bool,
}

/// A decompressed payload.
#[derive(Debug, Default)]
struct Inflated {
    bytes: Vec<u8>,
    /// The room of `bytes` within the budget.
    permits: Vec<Permit>,
}

/// A peer and what is known of it.
pub(super) struct Connection {
    stream: Stream,
    ingest: Ingest,
    rules: Arc<Rules>,
    /// Puts pieces together, where that is configured.
    joiner: Option<Arc<Joiner>>,
    /// Bytes read and not taken yet; starts with the first byte of a frame.
    buffer: Vec<u8>,
    /// The room of `buffer` within the budget. Given back when a connection falls idle.
    permits: Vec<Permit>,
    framing: Framing,
    read_size: usize,
    acks: Vec<u8>,
    inflated: Inflated,
    tag: Vec<u8>,
    name: Arc<str>,
}

impl Connection {
    /// Takes over a stream. Boxed, since the future that serves it would hold it more than once.
    pub(super) fn new(
        stream: Stream,
        context: &Context,
        rules: &Arc<Rules>,
        joiner: Option<Arc<Joiner>>,
    ) -> Box<Self> {
        Box::new(Self {
            stream,
            ingest: Ingest::open(context),
            rules: Arc::clone(rules),
            joiner,
            buffer: Vec::new(),
            permits: Vec::new(),
            framing: Framing::new(rules.frame_max),
            read_size: READ_MIN,
            acks: Vec::new(),
            inflated: Inflated::default(),
            tag: Vec::new(),
            name: Arc::clone(&context.name),
        })
    }

    /// Serves the peer until it leaves or the process ends.
    pub(super) async fn serve(
        mut self: Box<Self>,
        mut phase: tokio::sync::watch::Receiver<Phase>,
    ) -> End {
        if let Some(security) = &self.rules.security {
            // Boxed, so that it takes no room in connections that need none.
            let greeted = Box::pin(greeting::greet(&mut self.stream, &self.ingest, security));
            let (buffer, permits) = tokio::select! {
                greeted = greeted => match greeted {
                    Ok(behind) => behind,
                    Err(end) => return end,
                },
                () = reached(&mut phase, Phase::Close) => return End::Stopped,
            };
            (self.buffer, self.permits) = (buffer, permits);
            if let Err(reject) = self.take_frames().await {
                return End::Rejected(reject);
            }
        }
        let mut patience = Patience::new(self.rules.io_timeout);
        loop {
            if let Err(error) = self.write_acks() {
                return End::Broken(error);
            }
            if self.acks.len() >= ACKS_MAX {
                self.rest();
            }
            let interest = self.interest();
            let wait = patience.wait(self.buffer.len());
            tokio::select! {
                ready = self.stream.ready(interest) => match ready {
                    Ok(ready) if ready.is_readable() || ready.is_read_closed() => {}
                    Ok(_) => continue,
                    Err(error) => return End::Broken(error),
                },
                () = reached(&mut phase, Phase::Close) => return Box::pin(self.finish()).await,
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    match patience.judge(self.buffer.len(), self.ingest.is_memory_short()) {
                        Ok(()) => continue,
                        Err(reject) => return End::Rejected(reject),
                    }
                }
            }
            let (held, asked) = (self.buffer.len(), Instant::now());
            let read = tokio::select! {
                read = self.read() => read,
                () = reached(&mut phase, Phase::Close) => return Box::pin(self.finish()).await,
            };
            patience.note_pause(asked);
            let (length, room) = match read {
                Ok((0, _)) => {
                    return End::Closed {
                        incomplete: self.buffer.len(),
                    };
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.rest();
                    continue;
                }
                Err(error) => return End::Broken(error),
            };
            if let Err(reject) = self.take_frames().await {
                return End::Rejected(reject);
            }
            drop(room);
            let is_next = self.buffer.len() < held + length;
            let since = match patience.note_read(self.buffer.len(), is_next) {
                Ok(since) => since,
                Err(reject) => return End::Rejected(reject),
            };
            if length < FULL_ENOUGH && since < BUSY && self.acks.is_empty() {
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    /// Takes what has arrived already, for the end of the process.
    async fn finish(mut self: Box<Self>) -> End {
        while let Ok((1.., _room)) = self.read().await {
            if let Err(reject) = self.take_frames().await {
                return End::Rejected(reject);
            }
        }
        drop(self.write_acks());
        End::Stopped
    }

    fn interest(&self) -> Interest {
        match self.acks.len() {
            0 => Interest::READABLE,
            1..ACKS_MAX => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::WRITABLE,
        }
    }

    /// Reads once, with permits for the room of the buffer and for what will be stored of the read; the latter is
    /// given, to be kept until that is charged.
    ///
    /// # Cancel safety
    /// Cancel safe: it waits only for permits, before it reads.
    async fn read(&mut self) -> io::Result<(usize, Permit)> {
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < self.read_size / 2 {
            let more = self.read_size.max(self.buffer.len());
            self.permits.push(self.ingest.permit(more).await);
            self.buffer.reserve_exact(spare + more);
        }
        let room = self
            .ingest
            .permit(self.buffer.capacity() - self.buffer.len())
            .await;
        let length = self.stream.try_read(&mut self.buffer)?;
        self.ingest.note_read(length);
        if length >= self.read_size / 2 {
            self.read_size = (self.read_size * 2).min(READ_MAX);
        } else if length < self.read_size / 8 {
            self.read_size = (self.read_size / 2).max(READ_MIN);
        }
        Ok((length, room))
    }

    /// Gives back the room of an idle connection.
    fn rest(&mut self) {
        self.inflated = Inflated::default();
        self.ingest.rest();
        if self.acks.is_empty() {
            self.acks = Vec::new();
        }
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
            self.tag = Vec::new();
            self.framing.rest();
            self.permits = Vec::new();
        }
    }

    /// Takes every whole frame off the buffer, stores their events, and notes the acknowledgements that are due.
    async fn take_frames(&mut self) -> Result<(), Reject> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut taken = 0;
        let mut acks = Vec::new();
        let mut outcome = Ok(());
        loop {
            let rest = buffer.get(taken..).unwrap_or_default();
            if let Some((length, frame)) = self.framing.plain(rest) {
                taken += length;
                if let Err(reject) = self.take_frame(&frame, &mut acks).await {
                    outcome = Err(reject);
                    break;
                }
                continue;
            }
            let frame = match self.framing.next(rest) {
                Ok(Some(length)) => rest.get(..length).unwrap_or_default(),
                Ok(None) => break,
                Err(reject) => {
                    outcome = Err(reject);
                    break;
                }
            };
            taken += frame.len();
            let translated = self.framing.translated();
            let frame = translated.as_deref().unwrap_or(frame);
            if let Err(reject) = self.take_any_frame(frame, &mut acks).await {
                outcome = Err(reject);
                break;
            }
        }
        self.ingest.session().commit().await;
        self.acks.append(&mut acks);
        buffer.drain(..taken);
        self.buffer = buffer;
        if outcome.is_err() {
            // What came before the bad frame was taken and is acknowledged.
            drop(self.write_acks());
        }
        outcome
    }

    /// Decodes one frame and offers its events.
    async fn take_any_frame(&mut self, bytes: &[u8], acks: &mut Vec<u8>) -> Result<(), Reject> {
        if matches!(bytes, [] | [0xc0]) {
            return Ok(());
        }
        let frame = message::frame(bytes)?;
        if self.framing.is_json() && matches!(frame.body, Body::Packed(_)) {
            // Packed entries are bytes, and JSON has none.
            return Err(Reject::Mode);
        }
        self.take_frame(&frame, acks).await
    }

    /// Offers the events of one frame.
    async fn take_frame(&mut self, frame: &Frame<'_>, acks: &mut Vec<u8>) -> Result<(), Reject> {
        let inflated = match decode::compressed(frame) {
            None => None,
            Some((method, payload)) => {
                // Boxed, as what only some connections need; the same holds for the end.
                Box::pin(self.inflate(method, payload)).await?;
                Some(self.inflated.bytes.as_slice())
            }
        };
        if frame.options.foreign_signal {
            signal::check(frame, inflated)?;
            metrics::counter!("sluice_frames_ignored_total", "name" => self.name.to_string(), "reason" => "unsupported_signal")
                .increment(1);
            return Ok(());
        }
        let mut events = Events::of(frame, inflated, self.rules.frame_max);
        let tag = self.rules.retag.apply(frame.tag, &mut self.tag);
        let (ingest, joiner) = (&mut self.ingest, self.joiner.as_deref());
        if joiner.is_some() {
            events.check()?;
        }
        let session = ingest.session();
        session.tag(tag);
        session.open_frame();
        let room = events.len().saturating_mul(2).saturating_add(STEP);
        let is_through = match offer(&mut events, room, tag, joiner, session) {
            Ok(true) => true,
            Ok(false) => events
                .check()
                .map(|()| false)
                .inspect_err(|_| session.refuse_frame())?,
            Err(reject) => {
                session.refuse_frame();
                return Err(reject);
            }
        };
        if !is_through {
            Box::pin(offer_in_steps(&mut events, tag, joiner, ingest)).await?;
        }
        let Tally { bad, ungrouped, .. } = events.tally();
        if bad > 0 {
            metrics::counter!("sluice_events_skipped_total", "name" => self.name.to_string())
                .increment(bad);
        }
        if ungrouped > 0 {
            metrics::counter!("sluice_events_ungrouped_total", "name" => self.name.to_string())
                .increment(ungrouped);
        }
        if let Some(chunk) = frame.options.chunk {
            self.framing.acknowledge(chunk, acks);
        }
        Ok(())
    }

    /// Inflates a payload, with a permit for every byte of room before it is taken.
    async fn inflate(&mut self, method: Method, payload: &[u8]) -> Result<(), Reject> {
        let mut inflater = Inflater::new(method, payload, self.rules.frame_max);
        let mut room = inflater.hint()?;
        let Inflated { bytes, permits } = &mut self.inflated;
        bytes.clear();
        loop {
            if let Some(more) = room.checked_sub(bytes.capacity()) {
                permits.push(self.ingest.permit(more).await);
                bytes.reserve_exact(room - bytes.len());
            }
            if inflater.run(bytes)? {
                return Ok(());
            }
            room = inflater.more(room.max(bytes.capacity()))?;
        }
    }

    /// Writes as many acknowledgements as the peer has room for.
    fn write_acks(&mut self) -> io::Result<()> {
        while !self.acks.is_empty() {
            match self.stream.try_write(&self.acks) {
                Ok(written) => drop(self.acks.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Offers events until they take `room` bytes; whether these were the last.
fn offer(
    events: &mut Events<'_>,
    room: usize,
    tag: &[u8],
    joiner: Option<&Joiner>,
    session: &mut dyn Session,
) -> Result<bool, Reject> {
    match joiner {
        None => events.run(session, room),
        Some(joiner) => events.run(&mut joiner.session(tag, session), room),
    }
}

/// Stores what was offered and offers the rest step by step, each with a permit: what many short events take is a multiple of
/// what was read. Nothing can be taken back any more, so the rest has to be [sound](Events::check).
async fn offer_in_steps(
    events: &mut Events<'_>,
    tag: &[u8],
    joiner: Option<&Joiner>,
    ingest: &mut Ingest,
) -> Result<(), Reject> {
    loop {
        ingest.session().commit().await;
        let _room = ingest.permit(STEP).await;
        let session = ingest.session();
        session.tag(tag);
        session.open_frame();
        if offer(events, STEP, tag, joiner, session)? {
            session.commit().await;
            return Ok(());
        }
    }
}
