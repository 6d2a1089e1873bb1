//! The bytes of a connection, above TLS: requests and answers that are cut, stalled, slowed down or spoilt at a chosen byte.
//!
//! An exchange begins with the first byte of a request and ends with the first byte of the next one. What goes wrong with it is decided
//! when it begins. Faults of a request come before the service has stored anything, faults of an answer after.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::cloud::Cloud;
use crate::args;
use crate::error::{Error, Result};
use crate::random::Random;

/// How often a stalled answer looks whether the fault is over.
const LOOK: Duration = Duration::from_millis(50);
/// What a broken middlebox might say.
const GARBAGE: &[u8] = b"\x15\x03\x01 \xff\xfe not http at all \x00\x01\r\n\r\n{\"__type\":";

/// What happens to the bytes of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireFault {
    /// The connection is reset when this many bytes of the request have been read.
    CutRequest(u64),
    /// The connection is reset when this many bytes of the answer have been written.
    CutAnswer(u64),
    /// The connection is closed in an orderly way after this many bytes of the answer.
    EndAnswer(u64),
    /// After this many bytes of the answer nothing follows until the fault is over.
    StallAnswer(u64),
    /// Something else than HTTP stands where the answer should be.
    Garbage,
    /// So many bytes of the answer are written each second.
    Slow(u64),
}

impl WireFault {
    /// How the ledger calls it.
    fn name(self) -> &'static str {
        match self {
            Self::CutRequest(_) => "cut in the request",
            Self::CutAnswer(_) => "cut in the answer",
            Self::EndAnswer(_) => "answer truncated",
            Self::StallAnswer(_) => "answer stalled",
            Self::Garbage => "answer spoilt",
            Self::Slow(_) => "answer slow",
        }
    }
}

/// Which of them happen, and to which share of the exchanges.
#[derive(Debug, Clone)]
pub(super) struct WireFaults {
    set: Vec<(&'static str, f64, WireFault)>,
    random: Random,
}

impl Default for WireFaults {
    fn default() -> Self {
        Self {
            set: Vec::new(),
            random: Random::new(2),
        }
    }
}

impl WireFaults {
    /// Sets one by its name: `SHARE,OFFSET`, `SHARE` for garbage, bytes per second for `slow-answer`; 0 ends it.
    ///
    /// # Errors
    /// When there is none of that name, or the value is not of its kind.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, share, fault) = match name {
            "cut-request" => at_offset("cut-request", value, WireFault::CutRequest)?,
            "cut-answer" => at_offset("cut-answer", value, WireFault::CutAnswer)?,
            "end-answer" => at_offset("end-answer", value, WireFault::EndAnswer)?,
            "stall-answer" => at_offset("stall-answer", value, WireFault::StallAnswer)?,
            "garbage" => ("garbage", args::share(value)?, WireFault::Garbage),
            "slow-answer" => {
                let rate = args::size(value)?;
                let share = if rate > 0 { 1.0 } else { 0.0 };
                ("slow-answer", share, WireFault::Slow(rate.max(1)))
            }
            _ => return Err(Error::Usage(format!("there is no fault {name:?}"))),
        };
        self.set.retain(|(known, ..)| *known != name);
        if share > 0.0 {
            self.set.push((name, share, fault));
        }
        Ok(())
    }

    /// Decides about the next exchange.
    pub(super) fn draw(&mut self) -> Option<WireFault> {
        let Self { set, random } = self;
        let drawn = set.iter().find(|(_, share, _)| random.happens(*share));
        drawn.map(|(_, _, fault)| *fault)
    }
}

fn at_offset(
    name: &'static str,
    value: &str,
    fault: fn(u64) -> WireFault,
) -> Result<(&'static str, f64, WireFault)> {
    let (share, offset) = value.split_once(',').unwrap_or((value, "0"));
    Ok((name, args::share(share)?, fault(args::size(offset)?)))
}

/// The stream of one connection.
pub(super) struct Line<S> {
    stream: S,
    cloud: Arc<Cloud>,
    /// Makes the end of the connection a reset.
    cut: Arc<AtomicBool>,
    fault: Option<WireFault>,
    /// Which faults were in force when the exchange began.
    generation: u64,
    /// Bytes of the request and of the answer so far.
    read: u64,
    written: u64,
    is_answering: bool,
    garbage: &'static [u8],
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S, cloud: Arc<Cloud>, cut: Arc<AtomicBool>) -> Self {
        Self {
            stream,
            cloud,
            cut,
            fault: None,
            generation: 0,
            read: 0,
            written: 0,
            is_answering: true,
            garbage: GARBAGE,
            pause: None,
        }
    }

    fn begin(&mut self) {
        (self.fault, self.generation) = self.cloud.draw_wire_fault();
        (self.read, self.written) = (0, 0);
        self.is_answering = false;
        self.garbage = GARBAGE;
        if let Some(fault) = self.fault
            && !matches!(fault, WireFault::CutRequest(_))
        {
            self.note(fault);
        }
    }

    fn note(&self, fault: WireFault) {
        let mut state = self.cloud.state();
        state.ledger.outcome("exchange", fault.name());
    }

    /// Ends the connection, with a reset or in order.
    fn end(&self, with_reset: bool) -> io::Error {
        self.cut.store(with_reset, Ordering::Relaxed);
        io::Error::new(io::ErrorKind::ConnectionAborted, "ended on demand")
    }

    /// Waits until it is time to look again.
    fn poll_pause(&mut self, time: Duration, context: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(pause.as_mut().poll(context));
        self.pause = None;
        Poll::Ready(())
    }

    fn is_over(&self) -> bool {
        self.cloud.fault_generation() != self.generation
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, out))?;
        let read = (out.filled().len() - before) as u64;
        if read > 0 && self.is_answering {
            self.begin();
        }
        self.read += read;
        if let Some(fault @ WireFault::CutRequest(at)) = self.fault
            && read > 0
            && self.read >= at
        {
            self.note(fault);
            return Poll::Ready(Err(self.end(true)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Line<S> {
    /// Writes what stands before the offset `at`; `None` when nothing does any more.
    fn poll_before(
        &mut self,
        at: u64,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Option<io::Result<usize>>> {
        let left = usize::try_from(at.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let (part, _) = bytes.split_at(left.min(bytes.len()));
        if part.is_empty() {
            return Pin::new(&mut self.stream).poll_flush(context).map(|_| None);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, part));
        if let Ok(written) = &written {
            self.written += *written as u64;
        }
        Poll::Ready(Some(written))
    }

    fn poll_garbage(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.garbage.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.garbage))?;
            self.garbage = self.garbage.get(written..).unwrap_or_default();
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Poll::Ready(Err(self.end(false)))
    }

    fn poll_slowly(
        &mut self,
        rate: u64,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pause(Duration::from_secs(1) / rate as u32, context));
        if self.is_over() {
            self.fault = None;
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        let byte = bytes.get(..1).unwrap_or_default();
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, byte));
        let _ = Pin::new(&mut self.stream).poll_flush(context)?;
        Poll::Ready(written)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let line = &mut *self;
        line.is_answering = true;
        loop {
            return match line.fault {
                None | Some(WireFault::CutRequest(_)) => {
                    Pin::new(&mut line.stream).poll_write(context, bytes)
                }
                Some(WireFault::CutAnswer(at) | WireFault::EndAnswer(at)) => {
                    let with_reset = matches!(line.fault, Some(WireFault::CutAnswer(_)));
                    let written = ready!(line.poll_before(at, context, bytes));
                    Poll::Ready(written.unwrap_or_else(|| Err(line.end(with_reset))))
                }
                Some(WireFault::StallAnswer(at)) => {
                    if let Some(written) = ready!(line.poll_before(at, context, bytes)) {
                        return Poll::Ready(written);
                    }
                    ready!(line.poll_pause(LOOK, context));
                    if line.is_over() {
                        line.fault = None;
                    }
                    continue;
                }
                Some(WireFault::Garbage) => line.poll_garbage(context).map_ok(|()| bytes.len()),
                Some(WireFault::Slow(rate)) => line.poll_slowly(rate, context, bytes),
            };
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = &mut *self;
        ready!(Pin::new(&mut line.stream).poll_flush(context))?;
        if let Some(WireFault::CutAnswer(at) | WireFault::EndAnswer(at)) = line.fault
            && line.is_answering
            && line.written >= at
        {
            let with_reset = matches!(line.fault, Some(WireFault::CutAnswer(_)));
            return Poll::Ready(Err(line.end(with_reset)));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_wire_are_set_and_ended_by_name() {
        let mut faults = WireFaults::default();
        assert_eq!(faults.draw(), None);
        faults.set("cut-request", "100%,1k").unwrap();
        assert_eq!(faults.draw(), Some(WireFault::CutRequest(1024)));
        faults.set("cut-request", "0").unwrap();
        faults.set("slow-answer", "1").unwrap();
        assert_eq!(faults.draw(), Some(WireFault::Slow(1)));
        faults.set("slow-answer", "0").unwrap();
        assert_eq!(faults.draw(), None);
        assert!(faults.set("cut-answer", "2,5").is_err());
        assert!(faults.set("flood", "1").is_err());
    }
}
