//! Listening sockets, TCP and unix alike.

use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use super::handover;
use super::net::Net;
use super::slots::Slots;

pub(super) use super::stream::{Socket, Stream};

/// How long to leave the listener alone when the process is out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Where an input listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// Host and port.
    Tcp(String, u16),
    /// A socket file and its mode, if one is asked for.
    Unix(PathBuf, Option<u32>),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path, _) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(super) struct Listener {
    /// `None` once it was given up.
    socket: Option<Arc<Shared>>,
    given_up: watch::Receiver<bool>,
    /// Where it listens; port 0 has become the one the system chose.
    address: Address,
    /// What keeps peers waiting, once it has been said.
    trouble: Option<Trouble>,
}

/// Why peers have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// As many are connected as may be.
    Full,
    /// The system has no descriptor, or no memory, for another.
    Exhausted,
}

/// A socket that another listener may take over.
#[derive(Debug)]
pub(super) struct Shared {
    socket: Bound,
    /// Removed when the last listener goes.
    file: Option<Arc<SocketFile>>,
    given_up: watch::Sender<bool>,
}

impl Shared {
    fn new(socket: Bound, file: Option<Arc<SocketFile>>) -> Self {
        Self {
            socket,
            file,
            given_up: watch::Sender::new(false),
        }
    }

    /// Has the listener accept nobody more.
    pub(super) fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    /// The same socket once more.
    fn duplicate(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            Bound::Tcp(listener) => {
                let copy = listener.as_fd().try_clone_to_owned()?;
                Bound::Tcp(TcpListener::from_std(copy.into())?)
            }
            Bound::Unix(listener) => {
                let copy = listener.as_fd().try_clone_to_owned()?;
                Bound::Unix(UnixListener::from_std(copy.into())?)
            }
        };
        Ok(Self::new(socket, self.file.clone()))
    }
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds; a socket file left behind by a process that is gone is replaced, anything else is left alone. At a reload it takes
    /// over the socket of the input whose place it takes.
    ///
    /// # Errors
    /// A sentence that names the address and what to do.
    pub(super) fn bind(address: &Address, net: &Net) -> Result<Self, String> {
        let bound = match (handover::left_behind(address), address) {
            (Some(socket), _) => socket.duplicate(),
            (None, Address::Tcp(host, port)) => {
                bind_tcp(host, *port, net).map(|socket| Shared::new(socket, None))
            }
            (None, Address::Unix(path, mode)) => bind_unix(path, *mode)
                .map(|(socket, file)| Shared::new(socket, Some(Arc::new(file)))),
        };
        let socket = bound.map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "; is another router running? Choose another address or stop it"
                }
                io::ErrorKind::PermissionDenied => {
                    "; give the user of this process the right to it"
                }
                io::ErrorKind::NotFound => "; make its folder first",
                _ => "",
            };
            format!("cannot listen on {address}: {error}{advice}")
        })?;
        let socket = Arc::new(socket);
        handover::note(address, Arc::downgrade(&socket));
        let address = match (&socket.socket, address) {
            (Bound::Tcp(listener), Address::Tcp(host, port)) => {
                let bound = listener.local_addr().map_or(*port, |local| local.port());
                Address::Tcp(host.clone(), bound)
            }
            _ => address.clone(),
        };
        Ok(Self {
            given_up: socket.given_up.subscribe(),
            socket: Some(socket),
            address,
            trouble: None,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for the next peer, for ever once the socket was given up. When there may be no more of them, or the process is out of
    /// descriptors, that is said once, and they wait.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn accept(&mut self, component: &str) -> Socket {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        let slots = Slots::of_process();
        if slots.is_full() {
            let count = slots.count();
            self.say(Trouble::Full, || {
                crate::warning!(
                    component,
                    "{count} peers are connected, which is all the limit on descriptors has room for; others wait"
                );
            });
        }
        let mut slot = slots.take().await;
        loop {
            let Some(shared) = &self.socket else {
                return std::future::pending().await;
            };
            let accepted = tokio::select! {
                // First, so that nobody more is accepted from then on.
                biased;
                _ = self.given_up.wait_for(|given_up| *given_up) => {
                    self.socket = None;
                    slot = None;
                    continue;
                }
                accepted = shared.socket.accept() => accepted.map(|accepted| match accepted {
                    Accepted::Tcp(stream) => Socket::tcp(stream, slot.take()),
                    Accepted::Unix(stream) => Socket::unix(stream, slot.take()),
                }),
            };
            match accepted {
                Ok(socket) => {
                    if !slots.is_full() {
                        self.trouble = None;
                    }
                    return socket;
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    self.say(Trouble::Exhausted, || {
                        crate::error!(
                            component,
                            "cannot accept connections: {error}; trying on, peers wait"
                        );
                    });
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    /// Says something once.
    fn say(&mut self, trouble: Trouble, say: impl FnOnce()) {
        if self.trouble.replace(trouble) != Some(trouble) {
            say();
        }
    }
}

/// A peer that has just come.
enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Bound {
    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(listener) => Accepted::Tcp(listener.accept().await?.0),
            Self::Unix(listener) => Accepted::Unix(listener.accept().await?.0),
        })
    }
}

/// The peer was gone before it was accepted.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Listens on the first address of the host that can be had.
fn bind_tcp(host: &str, port: u16, net: &Net) -> io::Result<Bound> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match listen(address, net) {
            Ok(listener) => return Ok(Bound::Tcp(listener)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen(address: SocketAddr, net: &Net) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(net.share_port)?;
    // Accepted sockets inherit both. An acknowledgement must not wait for the one before it to arrive, and a peer whose machine
    // is gone must not hold its descriptor for ever.
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(net.backlog)
}

fn bind_unix(path: &Path, mode: Option<u32>) -> io::Result<(Bound, SocketFile)> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            let message = "something that is no socket is there; remove it or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    if let Some(mode) = mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    listener.set_nonblocking(true)?;
    let inode = fs::symlink_metadata(path)?.ino();
    let file = SocketFile {
        path: path.to_owned(),
        inode,
    };
    Ok((Bound::Unix(UnixListener::from_std(listener)?), file))
}

/// Removes the socket file at the end, unless somebody has put another in its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("sluice-listen-{}-{name}", std::process::id()))
    }

    fn bind(address: &Address) -> Result<Listener, String> {
        Listener::bind(address, &Net::default())
    }

    #[tokio::test]
    async fn ipv6_is_listened_on_and_shown_in_brackets() {
        let mut listener = bind(&Address::Tcp("::1".to_owned(), 0)).unwrap();
        let address = listener.address().to_string();
        assert!(address.starts_with("[::1]:"), "{address}");
        let _peer = tokio::net::TcpStream::connect(&address).await.unwrap();
        let socket = listener.accept("test").await;
        assert!(socket.name().starts_with("tcp://[::1]:"));
    }

    #[tokio::test]
    async fn a_port_is_shared_only_when_both_want_that() {
        let net = |share_port| Net {
            share_port,
            ..Net::default()
        };
        let first = Listener::bind(&Address::Tcp("127.0.0.1".to_owned(), 0), &net(true)).unwrap();
        assert!(Listener::bind(first.address(), &net(true)).is_ok());
        let alone = Listener::bind(first.address(), &net(false)).unwrap_err();
        assert!(alone.contains("is another router running"), "{alone}");
    }

    /// Checklist: forward 2, 3; firelens 1
    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_removed_at_the_end() {
        let path = path("stale");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = bind(&Address::Unix(path.clone(), Some(0o666))).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o666
        );
        let in_use = bind(&Address::Unix(path.clone(), None)).unwrap_err();
        assert!(in_use.contains("is another router running"), "{in_use}");
        drop(listener);
        assert!(!path.exists());
    }

    /// Checklist: forward 2.
    #[tokio::test]
    async fn without_a_mode_a_socket_gets_what_the_mask_leaves() {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        let mask = u32::from_str_radix(mask.unwrap().trim(), 8).unwrap();
        let path = path("mask");
        let _listener = bind(&Address::Unix(path.clone(), None)).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o777 & !mask);
    }

    /// Checklist: forward 3.
    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let path = path("file");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&Address::Unix(path.clone(), None)).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(path).unwrap();
    }
}
