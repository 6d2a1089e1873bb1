//! Connected peers: TCP, unix, and TLS over either, all driven by readiness.

use std::io;

use bytes::BufMut;
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

use super::slots::Slot;
use super::tls::Session;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    kind: Kind,
    /// Its place among the connections that there may be.
    slot: Option<Slot>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// A peer that came over TCP.
    pub(super) fn tcp(stream: TcpStream, slot: Option<Slot>) -> Self {
        Self {
            kind: Kind::Tcp(stream),
            slot,
        }
    }

    /// A peer that came over a unix socket.
    pub(super) fn unix(stream: UnixStream, slot: Option<Slot>) -> Self {
        Self {
            kind: Kind::Unix(stream),
            slot,
        }
    }

    /// The stream of a peer that came over TCP, and its place.
    pub(super) fn into_tcp(self) -> Option<(TcpStream, Option<Slot>)> {
        match self.kind {
            Kind::Tcp(stream) => Some((stream, self.slot)),
            Kind::Unix(_) => None,
        }
    }

    /// Waits until one of `interest` is possible.
    ///
    /// # Errors
    /// When the socket is broken.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.kind {
            Kind::Tcp(stream) => stream.ready(interest).await,
            Kind::Unix(stream) => stream.ready(interest).await,
        }
    }

    /// Reads what is there into the spare room of `buffer`; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(super) fn try_read(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match &self.kind {
            Kind::Tcp(stream) => stream.try_read_buf(buffer),
            Kind::Unix(stream) => stream.try_read_buf(buffer),
        }
    }

    /// Writes what the peer has room for.
    ///
    /// # Errors
    /// `WouldBlock` when it has none.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Tcp(stream) => stream.try_write(bytes),
            Kind::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// The peer as records name it.
    pub(super) fn name(&self) -> String {
        match &self.kind {
            Kind::Tcp(stream) => stream
                .peer_addr()
                .map(|peer| format!("tcp://{peer}"))
                .unwrap_or_default(),
            Kind::Unix(_) => "unix://".to_owned(),
        }
    }
}

/// What an input reads from and answers on.
#[derive(Debug)]
pub(super) enum Stream {
    /// As it comes.
    Plain(Socket),
    /// Through TLS.
    Tls(Box<Session>),
}

impl Stream {
    /// As [`Socket::ready`].
    ///
    /// # Errors
    /// When the socket is broken.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ready(&mut self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Plain(socket) => socket.ready(interest).await,
            Self::Tls(session) => session.ready(interest).await,
        }
    }

    /// As [`Socket::try_read`].
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(super) fn try_read(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read(buffer),
            Self::Tls(session) => session.try_read(buffer),
        }
    }

    /// As [`Socket::try_write`].
    ///
    /// # Errors
    /// `WouldBlock` when the peer has no room.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Tls(session) => session.try_write(bytes),
        }
    }
}
