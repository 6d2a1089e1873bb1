//! Handing a socket over at a reload: when an input has to be made anew, the one that takes its place listens on the
//! same socket, so that there is no moment at which nobody listens and no peer, and no datagram, in the queue is turned away.
//!
//! The pipeline binds the new input in the name of the old ones that will leave ([`bind`]). A listener that finds its address in
//! use takes a duplicate of the socket of one of those. Once the new inputs run, the old ones [`give_up`]: they accept nobody
//! more and serve the peers they have. A socket of datagrams goes over likewise: the old input takes its last ones and ends before
//! the new one begins, and what comes meanwhile waits in the socket.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Input;
use super::datagram;
use super::listen::{Address, Shared};

/// An input of this process; no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputId(u64);

impl InputId {
    /// One that nobody has had.
    pub fn fresh() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A socket of this process.
struct Open {
    owner: InputId,
    address: Address,
    socket: Kept,
}

enum Kept {
    Listener(Weak<Shared>),
    Datagrams(Weak<datagram::Socket>),
}

impl Kept {
    fn is_open(&self) -> bool {
        match self {
            Self::Listener(socket) => socket.strong_count() > 0,
            Self::Datagrams(socket) => socket.strong_count() > 0,
        }
    }
}

static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());

thread_local! {
    /// Who binds on this thread, and whose sockets it may take over.
    static BINDING: RefCell<Option<(InputId, Vec<InputId>)>> = const { RefCell::new(None) };
}

fn open() -> MutexGuard<'static, Vec<Open>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Binds an input, which may take over the sockets of those that are `leaving`.
///
/// # Errors
/// As [`Input::bind`].
pub fn bind(input: &mut dyn Input, owner: InputId, leaving: &[InputId]) -> Result<(), String> {
    BINDING.set(Some((owner, leaving.to_vec())));
    let bound = input.bind();
    BINDING.set(None);
    bound
}

/// Has an input accept no more peers; its sockets close unless another input has taken them over.
pub fn give_up(owner: InputId) {
    for entry in open().extract_if(.., |entry| entry.owner == owner) {
        if let Kept::Listener(socket) = entry.socket
            && let Some(socket) = socket.upgrade()
        {
            socket.give_up();
        }
    }
}

/// Notes a listener, if it is bound for an input of the pipeline.
pub(super) fn note(address: &Address, socket: Weak<Shared>) {
    keep(address, Kept::Listener(socket));
}

/// Notes a socket of datagrams likewise.
pub(super) fn note_datagrams(address: &Address, socket: &Arc<datagram::Socket>) {
    keep(address, Kept::Datagrams(Arc::downgrade(socket)));
}

fn keep(address: &Address, socket: Kept) {
    let owner = BINDING.with_borrow(|binding| binding.as_ref().map(|(owner, _)| *owner));
    let mut open = open();
    open.retain(|entry| entry.socket.is_open());
    if let Some(owner) = owner {
        open.push(Open {
            owner,
            address: address.clone(),
            socket,
        });
    }
}

/// The listener on this address of an input that is leaving.
pub(super) fn left_behind(address: &Address) -> Option<Arc<Shared>> {
    find_left(address, |socket| match socket {
        Kept::Listener(socket) => socket.upgrade(),
        Kept::Datagrams(_) => None,
    })
}

/// The socket of datagrams likewise.
pub(super) fn datagrams_left_behind(address: &Address) -> Option<Arc<datagram::Socket>> {
    find_left(address, |socket| match socket {
        Kept::Datagrams(socket) => socket.upgrade(),
        Kept::Listener(_) => None,
    })
}

fn find_left<S>(address: &Address, socket: impl Fn(&Kept) -> Option<Arc<S>>) -> Option<Arc<S>> {
    BINDING.with_borrow(|binding| {
        let (_, leaving) = binding.as_ref()?;
        let open = open();
        let mut fitting = open
            .iter()
            .filter(|entry| leaving.contains(&entry.owner) && entry.address == *address);
        fitting.find_map(|entry| socket(&entry.socket))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Context;
    use crate::input::listen::Listener;
    use crate::input::net::Net;
    use futures_util::future::BoxFuture;

    /// An input that only listens.
    struct Ear {
        address: Address,
        listener: Option<Listener>,
    }

    impl Input for Ear {
        fn bind(&mut self) -> Result<(), String> {
            self.listener = Some(Listener::bind(&self.address, &Net::default())?);
            Ok(())
        }

        fn run(self: Box<Self>, _: Context) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    fn ear(address: &Address) -> Ear {
        Ear {
            address: address.clone(),
            listener: None,
        }
    }

    /// Takes the next peer of a listener while everything else goes on.
    async fn accepts(listener: &mut Listener) -> bool {
        let second = std::time::Duration::from_millis(200);
        tokio::time::timeout(second, listener.accept("test"))
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn a_socket_goes_to_the_one_that_takes_the_place_and_is_never_closed() {
        let any = Address::Tcp("127.0.0.1".to_owned(), 0);
        let probe = Listener::bind(&any, &Net::default()).unwrap();
        let address = probe.address().clone();
        let Address::Tcp(host, port) = address.clone() else {
            unreachable!("a TCP address was bound")
        };
        drop(probe);
        let (mut old, mut new, mut stranger) = (ear(&address), ear(&address), ear(&address));
        let ids = [InputId::fresh(), InputId::fresh(), InputId::fresh()];
        bind(&mut old, ids[0], &[]).unwrap();
        let refused = bind(&mut stranger, ids[2], &[]).unwrap_err();
        assert!(refused.contains("another router"), "{refused}");
        bind(&mut new, ids[1], &[ids[0]]).unwrap();
        // In the queue before the old one gives up, and accepted by the new one.
        let _peer = std::net::TcpStream::connect((host.as_str(), port)).unwrap();
        give_up(ids[0]);
        let (mut old, mut new) = (old.listener.unwrap(), new.listener.unwrap());
        assert!(!accepts(&mut old).await);
        assert!(accepts(&mut new).await);
        drop(old);
        assert!(std::net::TcpStream::connect((host.as_str(), port)).is_ok());
        give_up(ids[1]);
        assert!(!accepts(&mut new).await);
        assert!(std::net::TcpStream::connect((host.as_str(), port)).is_err());
    }

    #[tokio::test]
    async fn a_socket_file_stays_while_somebody_listens_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let address = Address::Unix(path.clone(), None);
        let (mut old, mut new) = (ear(&address), ear(&address));
        let ids = [InputId::fresh(), InputId::fresh()];
        bind(&mut old, ids[0], &[]).unwrap();
        bind(&mut new, ids[1], &[ids[0]]).unwrap();
        give_up(ids[0]);
        assert!(!accepts(old.listener.as_mut().unwrap()).await);
        drop(old);
        let _peer = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(accepts(new.listener.as_mut().unwrap()).await);
        drop(new);
        assert!(!path.exists());
    }
}
