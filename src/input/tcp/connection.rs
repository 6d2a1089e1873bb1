//! One peer of the port: reads, finds records, stores them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::watch;

use super::framing::{Framing, Tally};
use crate::budget::Permit;
use crate::event::{Event, EventTime, Tag};
use crate::input::listen::Stream;
use crate::input::{Context, Ingest, Phase, reached};
use crate::telemetry::log::Limiter;

/// The least room for a read.
const READ: usize = 32 * 1024;

/// What a byte of text takes: itself, and 3 at most of the record it becomes: `1e1,` is a float of 9 bytes, and a text with
/// escapes stands in two places meanwhile.
const ROOM: usize = 4;

/// A peer and what is known of it.
pub(super) struct Connection {
    stream: Stream,
    ingest: Ingest,
    tag: Tag,
    framing: Framing,
    /// How long a peer may be silent.
    io_timeout: Option<Duration>,
    /// Bytes read and not taken yet.
    buffer: Vec<u8>,
    /// The room of `buffer` within the budget. Given back when a connection falls idle.
    permits: Vec<Permit>,
    reporter: Arc<Reporter>,
}

impl Connection {
    /// Takes over a stream.
    pub(super) fn new(
        stream: Stream,
        context: &Context,
        framing: Framing,
        io_timeout: Option<Duration>,
        reporter: Arc<Reporter>,
    ) -> Self {
        Self {
            stream,
            ingest: Ingest::open(context),
            tag: context.tag.clone(),
            framing,
            io_timeout,
            buffer: Vec::new(),
            permits: Vec::new(),
            reporter,
        }
    }

    /// Serves the peer until it leaves or the process ends.
    pub(super) async fn serve(mut self, mut phase: watch::Receiver<Phase>) {
        loop {
            let ready = tokio::select! {
                ready = self.stream.ready(Interest::READABLE) => ready.map(|_| ()),
                () = reached(&mut phase, Phase::Close) => return self.finish().await,
                () = tokio::time::sleep(self.io_timeout.unwrap_or_default()), if self.io_timeout.is_some() => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "the peer was silent for net.io_timeout"))
                }
            };
            if let Err(error) = ready {
                return self.end(Some(&error)).await;
            }
            let read = tokio::select! {
                read = self.read() => read,
                () = reached(&mut phase, Phase::Close) => return self.finish().await,
            };
            match read {
                Ok(0) => return self.end(None).await,
                Ok(_) => self.take(false).await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.rest(),
                Err(error) => return self.end(Some(&error)).await,
            }
        }
    }

    /// Takes what has arrived already, for the end of the process.
    async fn finish(mut self) {
        while let Ok(1..) = self.read().await {
            self.take(false).await;
        }
        self.end(None).await;
    }

    /// Takes what stands without its end, since nothing will follow it.
    async fn end(mut self, error: Option<&io::Error>) {
        if let Some(error) = error {
            crate::debug!(&self.reporter.component, "a connection broke: {error}");
        }
        self.take(true).await;
    }

    /// Reads once, with a permit for the room it takes.
    ///
    /// # Cancel safety
    /// Cancel safe: it waits only for the permit, before it reads.
    async fn read(&mut self) -> io::Result<usize> {
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < READ / 2 {
            let more = READ.max(self.buffer.len());
            self.permits.push(self.ingest.permit(more * ROOM).await);
            self.buffer.reserve_exact(spare + more);
        }
        let length = self.stream.try_read(&mut self.buffer)?;
        self.ingest.note_read(length);
        Ok(length)
    }

    /// Gives back the room of an idle connection.
    fn rest(&mut self) {
        self.ingest.rest();
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
            self.framing.rest();
            self.permits.clear();
        }
    }

    /// Stores every whole record of the buffer; after the `last` read, the one without its end as well.
    async fn take(&mut self, last: bool) {
        let mut tally = Tally::default();
        let session = self.ingest.session();
        session.tag(self.tag.as_bytes());
        let taken = self
            .framing
            .take(&self.buffer, last, &mut tally, &mut |record| {
                session.offer(Event {
                    time: EventTime::now(),
                    metadata: &[],
                    record,
                });
            });
        session.commit().await;
        self.buffer.drain(..taken);
        self.reporter.report(tally);
    }
}

/// Says what the peers of one input did wrong, and counts what that costs.
pub(super) struct Reporter {
    component: String,
    name: Arc<str>,
    limit: usize,
    not_json: Limiter,
    too_long: Limiter,
    incomplete: Limiter,
    cut: Limiter,
}

impl Reporter {
    /// For an input whose records have at most `limit` bytes.
    pub(super) fn new(context: &Context, limit: usize) -> Self {
        Self {
            component: context.component(),
            name: Arc::clone(&context.name),
            limit,
            not_json: Limiter::default(),
            too_long: Limiter::default(),
            incomplete: Limiter::default(),
            cut: Limiter::default(),
        }
    }

    fn report(&self, tally: Tally) {
        let (component, limit) = (&self.component, self.limit);
        if self.count("not_json", tally.not_json)
            && let Some(before) = self.not_json.admit()
        {
            crate::warning!(
                component,
                "invalid JSON message, skipping its line{before}; for plain text set `format none`"
            );
        }
        if self.count("too_long", tally.too_long)
            && let Some(before) = self.too_long.admit()
        {
            crate::warning!(
                component,
                "JSON message above {limit} bytes, skipping its line{before}; raise `buffer_size`"
            );
        }
        if self.count("incomplete", tally.incomplete)
            && let Some(before) = self.incomplete.admit()
        {
            crate::warning!(
                component,
                "a peer closed in the middle of a JSON message, skipping it{before}"
            );
        }
        if tally.cut > 0
            && let Some(before) = self.cut.admit()
        {
            crate::warning!(
                component,
                "cut a line above {limit} bytes into several records{before}; raise `buffer_size`"
            );
        }
    }

    /// Counts what is lost, if anything is.
    fn count(&self, reason: &'static str, lost: u64) -> bool {
        if lost > 0 {
            metrics::counter!("sluice_frames_rejected_total", "name" => self.name.to_string(), "reason" => reason)
                .increment(lost);
        }
        lost > 0
    }
}
