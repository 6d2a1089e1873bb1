//! A TCP stream that can be read slowly and cut with a reset.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A slow reader takes this much time's worth of bytes at once.
const SLICE: Duration = Duration::from_millis(50);
const SLICES_PER_SECOND: u64 = 20;

/// The stream of one connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// Bytes per second, 0 for no limit; shared, because it changes at run time.
    rate: Arc<AtomicU64>,
    /// Whether dropping the stream resets the connection instead of closing it.
    cut: Arc<AtomicBool>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, rate: Arc<AtomicU64>, cut: Arc<AtomicBool>) -> Self {
        Self {
            stream,
            rate,
            cut,
            pause: None,
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.cut.load(Ordering::Relaxed) {
            // Without the reset the client only sees an orderly close; there is no one to tell either way.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return Pin::new(&mut self.stream).poll_read(context, out);
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let slice = (rate / SLICES_PER_SECOND).max(1) as usize;
        let mut part = ReadBuf::new(out.initialize_unfilled_to(slice.min(out.remaining())));
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        out.advance(read);
        self.pause = Some(Box::pin(sleep(SLICE)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
