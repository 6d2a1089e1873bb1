//! A connection to a node: one frame at a time, and its acknowledgement.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::messages::{ACK_MAX, Messages, Silence, acknowledged, is_helo};
use crate::output::net::Stream;

/// Why a frame may not have been stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The connection ended.
    #[error("the connection broke")]
    Cut(#[source] Silence),
    /// Nothing came, or nothing could be written, for so long.
    #[error("no acknowledgement within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// Something else came.
    #[error("{0}")]
    Wrong(&'static str),
}

/// A peer that speaks before we do wants a handshake.
const GREETED: Failure = Failure::Wrong("it asks for a shared key; set shared_key");

/// A connection that is ready for frames.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    messages: Messages,
    /// Frames sent.
    uses: u32,
    /// Frames it may carry.
    uses_max: u32,
}

impl Link {
    /// A connection that may carry so many frames.
    pub(super) fn new(stream: Stream, messages: Messages, uses_max: u32) -> Self {
        Self {
            stream,
            messages,
            uses: 0,
            uses_max,
        }
    }

    /// Whether it may carry another frame.
    pub(super) fn is_good(&self) -> bool {
        self.uses < self.uses_max && self.messages.is_empty()
    }

    /// Whether the peer is still there, as far as can be seen without waiting.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when it has said something: nothing was owed.
    pub(super) fn is_alive(&mut self) -> Result<bool, Failure> {
        match self.messages.next(&mut self.stream, ACK_MAX).now_or_never() {
            None => Ok(self.messages.is_empty()),
            Some(Ok(message)) if is_helo(&message) => Err(GREETED),
            Some(_) => Ok(false),
        }
    }

    /// Sends a frame, and waits for its acknowledgement where it asks for one.
    ///
    /// # Errors
    /// See [`Failure`]; the connection must not be used again then.
    ///
    /// # Cancel safety
    /// When dropped, nobody knows whether the peer has the frame, and the connection must not be used again.
    pub(super) async fn exchange(
        &mut self,
        frame: &Bytes,
        id: Option<&Bytes>,
        limit: Duration,
    ) -> Result<(), Failure> {
        self.uses += 1;
        let exchange = async {
            self.write(frame)
                .await
                .map_err(|error| Failure::Cut(error.into()))?;
            match id {
                Some(id) => self.confirm(id).await,
                None => Ok(()),
            }
        };
        timeout(limit, exchange)
            .await
            .unwrap_or(Err(Failure::Late(limit)))
    }

    async fn write(&mut self, frame: &Bytes) -> io::Result<()> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await
    }

    async fn confirm(&mut self, id: &Bytes) -> Result<(), Failure> {
        let message = self.messages.next(&mut self.stream, ACK_MAX).await;
        match message.map_err(Failure::Cut)? {
            message if acknowledged(&message) == Some(&id[..]) => Ok(()),
            message if is_helo(&message) => Err(GREETED),
            message if acknowledged(&message).is_some() => {
                Err(Failure::Wrong("it acknowledged what was not sent"))
            }
            _ => Err(Failure::Wrong("its acknowledgement is none")),
        }
    }
}
