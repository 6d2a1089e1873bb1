//! Datagram sockets, UDP and unix alike.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UdpSocket, UnixDatagram};

use super::listen::Address;
use super::{Context, Ingest, Phase, Session, handover, reached};

/// The longest datagram.
const LENGTH: usize = 64 * 1024;
/// What a byte of it takes: itself and the record it becomes.
const ROOM: usize = 4;
/// So many are taken before they are stored.
const TURN: usize = 64;
/// So many turns are still taken of what has arrived when the process closes.
const LAST: usize = 16;

/// A bound socket, perhaps with another input that leaves it to us or that we leave it to.
#[derive(Debug)]
pub(super) struct Datagrams(Arc<Socket>);

/// The socket.
#[derive(Debug)]
pub(super) enum Socket {
    /// UDP.
    Udp(UdpSocket),
    /// A socket file, which is removed at the end.
    Unix(UnixDatagram, PathBuf),
}

impl Datagrams {
    /// Binds, or takes the socket over from an input that a reload replaces. A socket file left behind by a process that is gone is
    /// replaced, anything else is left alone.
    ///
    /// # Errors
    /// A sentence that names the address and what to do.
    pub(super) fn bind(address: &Address) -> Result<Self, String> {
        let socket = match handover::datagrams_left_behind(address) {
            Some(socket) => socket,
            None => Arc::new(open(address).map_err(|error| {
                format!("cannot listen on {address}: {error}; choose another address")
            })?),
        };
        handover::note_datagrams(address, &socket);
        Ok(Self(socket))
    }

    /// Where UDP is bound.
    #[cfg(test)]
    pub(super) fn local_address(&self) -> std::net::SocketAddr {
        match self.0.as_ref() {
            Socket::Udp(socket) => socket.local_addr().unwrap(),
            Socket::Unix(..) => panic!("no UDP"),
        }
    }

    /// Hands every datagram, with its sender, to `take` until the process closes, and stores what that offers.
    pub(super) async fn serve(
        self,
        context: &Context,
        mut take: impl FnMut(&mut dyn Session, &[u8], &str),
    ) {
        let mut ingest = Ingest::open_source(context);
        let mut phase = context.phase.clone();
        loop {
            let permit = tokio::select! {
                permit = async {
                    // A socket that is broken says so at the next read.
                    drop(self.0.readable().await);
                    ingest.permit(LENGTH * ROOM).await
                } => permit,
                () = reached(&mut phase, Phase::Close) => break,
            };
            self.turn(context, &mut ingest, &mut take).await;
            drop(permit);
        }
        for _ in 0..LAST {
            let permit = ingest.permit(LENGTH * ROOM).await;
            let is_over = self.turn(context, &mut ingest, &mut take).await < TURN;
            drop(permit);
            if is_over {
                break;
            }
        }
    }

    /// Takes what has arrived; how many.
    async fn turn(
        &self,
        context: &Context,
        ingest: &mut Ingest,
        take: &mut impl FnMut(&mut dyn Session, &[u8], &str),
    ) -> usize {
        let mut datagram = Vec::with_capacity(LENGTH);
        let mut taken = 0;
        ingest.session().tag(context.tag.as_bytes());
        while taken < TURN {
            datagram.clear();
            let Ok(peer) = self.0.try_read(&mut datagram) else {
                break;
            };
            ingest.note_read(datagram.len());
            take(ingest.session(), &datagram, &peer);
            taken += 1;
        }
        ingest.session().commit().await;
        taken
    }
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Unix(socket, _) => socket.readable().await,
        }
    }

    /// Reads a datagram; who sent it.
    fn try_read(&self, datagram: &mut Vec<u8>) -> io::Result<String> {
        match self {
            Self::Udp(socket) => socket
                .try_recv_buf_from(datagram)
                .map(|(_, peer)| format!("udp://{peer}")),
            Self::Unix(socket, _) => socket
                .try_recv_buf_from(datagram)
                .map(|_| "unix://".to_owned()),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            drop(fs::remove_file(path));
        }
    }
}

fn open(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Tcp(host, port) => bind_udp(host, *port),
        Address::Unix(path, mode) => bind_unix(path, *mode),
    }
}

fn bind_udp(host: &str, port: u16) -> io::Result<Socket> {
    let socket = std::net::UdpSocket::bind((host, port))?;
    socket.set_nonblocking(true)?;
    Ok(Socket::Udp(UdpSocket::from_std(socket)?))
}

fn bind_unix(path: &Path, mode: Option<u32>) -> io::Result<Socket> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            let message = "something that is no socket is there";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        let probe = std::os::unix::net::UnixDatagram::unbound()?;
        if probe.connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let socket = std::os::unix::net::UnixDatagram::bind(path)?;
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    socket.set_nonblocking(true)?;
    let socket = UnixDatagram::from_std(socket)?;
    Ok(Socket::Unix(socket, path.to_owned()))
}
