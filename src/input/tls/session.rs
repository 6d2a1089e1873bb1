//! TLS between a socket and an input, driven by readiness as plain sockets are.

use std::io::{self, BufRead as _, Read, Write};
use std::sync::Arc;

use bytes::BufMut;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{Interest, Ready};

use crate::budget::Permit;
use crate::input::listen::Socket;

/// A peer that speaks TLS.
#[derive(Debug)]
pub(in crate::input) struct Session {
    socket: Socket,
    tls: ServerConnection,
    /// For what rustls holds: a record or two that are not whole, or not sent.
    _permit: Permit,
}

/// The bytes that a session is taken to hold.
pub(super) const ROOM: u64 = 16 * 1024;

impl Session {
    /// Does the handshake; whoever calls bounds its time.
    ///
    /// # Errors
    /// When the socket breaks, or the peer does not want what we want. It has been told then.
    ///
    /// # Cancel safety
    /// Not cancel safe: the connection is over then.
    pub(super) async fn open(
        socket: Socket,
        config: Arc<ServerConfig>,
        permit: Permit,
    ) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut session = Self {
            socket,
            tls,
            _permit: permit,
        };
        while session.tls.is_handshaking() || session.tls.wants_write() {
            let progress = if session.tls.wants_write() {
                session.socket.ready(Interest::WRITABLE).await?;
                session.flush()
            } else {
                session.socket.ready(Interest::READABLE).await?;
                match session.fill() {
                    Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                    filled => filled.map(|_| ()),
                }
            };
            match progress {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(session)
    }

    /// As [`Socket::ready`]; what waits to be sent is sent meanwhile.
    ///
    /// # Errors
    /// When the socket is broken.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(in crate::input) async fn ready(&mut self, interest: Interest) -> io::Result<Ready> {
        loop {
            if interest.is_readable() && self.tls.reader().fill_buf().is_ok() {
                return Ok(Ready::READABLE);
            }
            let is_behind = self.tls.wants_write();
            let wanted = if is_behind {
                interest | Interest::WRITABLE
            } else {
                interest
            };
            let ready = self.socket.ready(wanted).await?;
            if !is_behind || !ready.is_writable() {
                return Ok(ready);
            }
            match self.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            let is_wanted = interest.is_writable() && !self.tls.wants_write();
            if is_wanted || ready.is_readable() || ready.is_read_closed() {
                return Ok(ready);
            }
        }
    }

    /// Reads what is there into the spare room of `buffer`; 0 is the end, whether the peer said goodbye or not.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `InvalidData` when it is no TLS.
    pub(in crate::input) fn try_read(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        loop {
            match self.take(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                taken => return taken,
            }
            self.fill()?;
        }
    }

    /// Takes what is decrypted already.
    fn take(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            // No more than the room there is: it has a permit, and more room has none.
            let room = buffer.chunk_mut().len().min(buffer.remaining_mut());
            let mut reader = self.tls.reader();
            let text = match reader.fill_buf() {
                Ok(text) => text,
                Err(_) if taken > 0 => return Ok(taken),
                Err(error) => return Err(error),
            };
            let length = text.len().min(room);
            buffer.put_slice(text.get(..length).unwrap_or_default());
            reader.consume(length);
            taken += length;
            if length == 0 || length == room {
                return Ok(taken);
            }
        }
    }

    /// Writes what the peer has room for, as one record.
    ///
    /// # Errors
    /// `WouldBlock` when it has none: what was written before has not left yet.
    pub(in crate::input) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let written = self.tls.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(written),
        }
    }

    /// Reads from the socket and decrypts; 0 when the peer has closed.
    fn fill(&mut self) -> io::Result<usize> {
        let length = self.tls.read_tls(&mut Plain(&self.socket))?;
        if let Err(error) = self.tls.process_new_packets() {
            // The alert that says why.
            drop(self.flush());
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Plain(&self.socket))?;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.tls.send_close_notify();
        drop(self.flush());
    }
}

/// The socket as rustls reads and writes it.
struct Plain<'s>(&'s Socket);

impl Read for Plain<'_> {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(&mut buffer)
    }
}

impl Write for Plain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
