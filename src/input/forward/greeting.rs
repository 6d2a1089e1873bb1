//! The shared-key handshake on a socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::time::{Instant, timeout_at};

use super::connection::End;
use super::reject::Reject;
use super::security::{Greeting, Security};
use crate::budget::Permit;
use crate::forward::handshake::MESSAGE_MAX;
use crate::input::Ingest;
use crate::input::listen::Stream;
use crate::msgpack::scan::Scanner;

/// How long a peer may take to show that it knows the key.
const WITHIN: Duration = Duration::from_secs(10);

/// Room for a usual PING and a frame behind it.
const ROOM: usize = 4096;

/// Has the peer show that it knows the key; what it sent behind that, and the permits for its room.
///
/// # Errors
/// How the connection ends instead. The peer has been told by then.
///
/// # Cancel safety
/// Not cancel safe: the peer would have to begin again.
pub(super) async fn greet(
    stream: &mut Stream,
    ingest: &Ingest,
    security: &Arc<Security>,
) -> Result<(Vec<u8>, Vec<Permit>), End> {
    let deadline = Instant::now() + WITHIN;
    let greeting = Greeting::new(security);
    let mut answer = Vec::new();
    greeting.helo(&mut answer);
    write_all(stream, &answer, deadline).await?;
    let mut permits = Vec::new();
    let mut buffer = Vec::new();
    let mut scanner = Scanner::default();
    let length = loop {
        match scanner.end(&buffer) {
            Ok(Some(length)) => break length,
            Ok(None) if scanner.least() <= MESSAGE_MAX => {}
            // Nothing of it can be a PING, which the peer is told as well.
            Ok(None) | Err(_) => break 0,
        }
        if buffer.len() == buffer.capacity() {
            let more = buffer.capacity().max(ROOM);
            permits.push(ingest.permit(more).await);
            buffer.reserve_exact(more);
        }
        ready(stream, Interest::READABLE, deadline).await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => {
                let incomplete = buffer.len();
                return Err(End::Closed { incomplete });
            }
            Ok(length) => ingest.note_read(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(End::Broken(error)),
        }
    };
    answer.clear();
    let outcome = greeting.answer(buffer.get(..length).unwrap_or_default(), &mut answer);
    write_all(stream, &answer, deadline).await?;
    outcome.map_err(End::Rejected)?;
    buffer.drain(..length);
    Ok((buffer, permits))
}

/// Waits until the socket is ready, but not beyond the deadline.
async fn ready(stream: &mut Stream, interest: Interest, deadline: Instant) -> Result<(), End> {
    match timeout_at(deadline, stream.ready(interest)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(End::Broken(error)),
        Err(_) => Err(End::Rejected(Reject::HandshakeTimeout)),
    }
}

async fn write_all(stream: &mut Stream, mut bytes: &[u8], deadline: Instant) -> Result<(), End> {
    while !bytes.is_empty() {
        ready(stream, Interest::WRITABLE, deadline).await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(End::Broken(error)),
        }
    }
    Ok(())
}
