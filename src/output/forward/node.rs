//! One node: where it is, how to get in, the connections to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::link::{Failure, Link};
use super::login::{Login, Unwelcome};
use super::messages::Messages;
use super::pool::Pool;
use crate::output::net::{DialError, Dialer, Net, Stream, Tls, secure};

/// How long an acknowledgement may take, below what a request may take in all.
const ACK_TIMEOUT: Duration = Duration::from_secs(50);

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// Host and port.
    Tcp(String, u16),
    /// A socket file.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How a node is reached.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) address: Address,
    pub(super) tls: Option<Tls>,
    pub(super) login: Option<Login>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    way: Way,
    dialer: Arc<Dialer>,
    pool: Pool,
    ack_timeout: Duration,
}

/// Why a node does not have a frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// No connection; nothing was sent.
    #[error(transparent)]
    Unreachable(#[from] DialError),
    /// It may have the frame or not.
    #[error("{node}")]
    Failed {
        /// Its address.
        node: Address,
        /// What happened.
        source: Failure,
    },
}

impl Node {
    /// A node without a connection yet.
    pub(super) fn new(way: Way, dialer: Arc<Dialer>) -> Self {
        let net: &Net = dialer.net();
        Self {
            pool: Pool::new(net.idle_timeout),
            ack_timeout: net.io_timeout.unwrap_or(ACK_TIMEOUT).min(ACK_TIMEOUT),
            way,
            dialer,
        }
    }

    /// How it is reached.
    #[cfg(test)]
    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Sends a frame over a connection that waits or a new one. Where one that has waited turns out dead, the frame goes over a
    /// new one at once.
    ///
    /// # Errors
    /// See [`NodeError`].
    ///
    /// # Cancel safety
    /// When dropped, the connection in use is closed.
    pub(super) async fn send(&self, frame: &Bytes, id: Option<&Bytes>) -> Result<(), NodeError> {
        let failed = |source| NodeError::Failed {
            node: self.way.address.clone(),
            source,
        };
        while let Some(mut link) = self.pool.take() {
            if !link.is_alive().map_err(failed)? {
                continue;
            }
            match link.exchange(frame, id, self.ack_timeout).await {
                Ok(()) => {
                    self.keep(link);
                    return Ok(());
                }
                Err(Failure::Cut(_)) => {
                    // The others are as old.
                    self.pool.clear();
                    break;
                }
                Err(failure) => return Err(failed(failure)),
            }
        }
        let mut link = self.connect().await?;
        let exchanged = link.exchange(frame, id, self.ack_timeout).await;
        exchanged.map_err(failed)?;
        self.keep(link);
        Ok(())
    }

    fn keep(&self, link: Link) {
        if link.is_good() {
            self.pool.put(link);
        }
    }

    /// Connects and logs in, and sends nothing.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(super) async fn check(&self) -> Result<String, DialError> {
        self.connect().await?;
        let (node, login) = (&self.way.address, self.way.login.is_some());
        let how = if login {
            "lets us in"
        } else {
            "accepts connections"
        };
        Ok(format!("{node} {how}"))
    }

    async fn connect(&self) -> Result<Link, DialError> {
        let peer = self.way.address.to_string();
        self.dialer.in_time(&peer, self.enter(&peer)).await
    }

    /// Connects and logs in, under each of our names until the server has another.
    async fn enter(&self, peer: &str) -> Result<Link, DialError> {
        let uses_max = if self.dialer.net().keepalive {
            self.dialer.net().uses_max
        } else {
            1
        };
        let Some(login) = &self.way.login else {
            return Ok(Link::new(self.dial().await?, Messages::default(), uses_max));
        };
        let mut last = Unwelcome::SameName;
        for name in login.names() {
            let (mut stream, mut messages) = (self.dial().await?, Messages::default());
            match login.greet(&name, &mut stream, &mut messages).await {
                Ok(keepalive) => {
                    let uses_max = if keepalive { uses_max } else { 1 };
                    return Ok(Link::new(stream, messages, uses_max));
                }
                Err(Unwelcome::SameName) => {}
                Err(other) => {
                    last = other;
                    break;
                }
            }
        }
        Err(DialError::Greeting {
            peer: peer.to_owned(),
            why: last.to_string(),
        })
    }

    async fn dial(&self) -> Result<Stream, DialError> {
        let (host, port) = match &self.way.address {
            Address::Unix(path) => return Dialer::unix(path).await,
            Address::Tcp(host, port) => (host, *port),
        };
        let stream = self.dialer.tcp(host, port).await?;
        match &self.way.tls {
            Some(tls) => secure(stream, tls, host, port).await,
            None => Ok(stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::testing::configured;
    use crate::forward::handshake::{Helo, Ping, Pong, key_digest};
    use crate::output::net::with_causes;

    static FRAME: Bytes = Bytes::from_static(b"\x92\xa1t\x90");

    /// A server and a node that points to it.
    async fn pair(properties: &[(&str, &str)]) -> (TcpListener, Node) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((login, net), problems) = configured(properties, |settings| {
            let login = Login::read(settings, None);
            (login, Net::read(settings, Duration::from_secs(30)))
        });
        assert_eq!(problems, [""; 0]);
        let way = Way {
            address: Address::Tcp("127.0.0.1".to_owned(), port),
            tls: None,
            login,
        };
        (listener, Node::new(way, Arc::new(Dialer::new(net))))
    }

    async fn read_frame(stream: &mut TcpStream) {
        let mut frame = vec![0; FRAME.len()];
        stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame, FRAME[..]);
    }

    /// Plays the server of a handshake; what the client calls itself.
    async fn greet(stream: &mut TcpStream, hostname: &str, keepalive: bool) -> String {
        let mut out = Vec::new();
        let helo = Helo {
            nonce: b"nonce",
            auth: b"",
            keepalive,
        };
        helo.write(&mut out);
        stream.write_all(&out).await.unwrap();
        let ping = Messages::default().next(stream, 4096).await.unwrap();
        let ping = Ping::read(&ping).unwrap();
        assert!(key_digest(ping.salt, ping.hostname, b"nonce", b"key").is(ping.digest));
        let digest = key_digest(ping.salt, hostname.as_bytes(), b"nonce", b"key");
        out.clear();
        Pong::Accepted {
            hostname: hostname.as_bytes(),
            digest: digest.as_bytes(),
        }
        .write(&mut out);
        stream.write_all(&out).await.unwrap();
        String::from_utf8(ping.hostname.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_server_with_our_name_is_visited_again_under_another() {
        let (listener, node) = pair(&[("shared_key", "key")]).await;
        let serve = async {
            let (mut first, _) = listener.accept().await.unwrap();
            let name = greet(&mut first, "localhost", true).await;
            let (mut second, _) = listener.accept().await.unwrap();
            let other = greet(&mut second, "localhost", true).await;
            read_frame(&mut second).await;
            (name, other)
        };
        let ((name, other), outcome) = tokio::join!(serve, node.send(&FRAME, None));
        outcome.unwrap();
        assert!(name == "localhost" && other != "localhost", "{other}");
    }

    #[tokio::test]
    async fn a_server_with_the_name_that_was_chosen_for_us_is_not_believed() {
        let (listener, node) = pair(&[("shared_key", "key"), ("self_hostname", "a")]).await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            greet(&mut stream, "a", true).await;
            stream.read(&mut [0]).await.unwrap()
        };
        let (sent, outcome) = tokio::join!(serve, node.send(&FRAME, None));
        let said = outcome.unwrap_err().to_string();
        assert!(sent == 0 && said.contains("set self_hostname"), "{said}");
    }

    #[tokio::test]
    async fn a_connection_carries_one_frame_where_the_server_says_so() {
        let (listener, node) = pair(&[("shared_key", "key")]).await;
        let serve = async {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                greet(&mut stream, "server", false).await;
                read_frame(&mut stream).await;
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            }
        };
        let sent = async {
            node.send(&FRAME, None).await.unwrap();
            node.send(&FRAME, None).await.unwrap();
        };
        tokio::join!(serve, sent);
    }

    #[tokio::test]
    async fn a_server_that_asks_for_a_key_we_have_not_is_named() {
        let (listener, node) = pair(&[]).await;
        let id = Bytes::from_static(b"id");
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"\x92\xa4HELO\x81\xa5nonce\xa1n")
                .await
                .unwrap();
            read_frame(&mut stream).await;
        };
        let ((), outcome) = tokio::join!(serve, node.send(&FRAME, Some(&id)));
        let said = with_causes(&outcome.unwrap_err());
        let peer = listener.local_addr().unwrap();
        assert_eq!(
            said,
            format!("{peer}: it asks for a shared key; set shared_key")
        );
    }

    #[tokio::test]
    async fn a_connection_that_the_server_has_closed_is_not_written_to() {
        let (listener, node) = pair(&[]).await;
        let (sent, accepted) = tokio::join!(node.send(&FRAME, None), listener.accept());
        sent.unwrap();
        let (mut first, _) = accepted.unwrap();
        read_frame(&mut first).await;
        // The node's end sees the close before it is used again.
        first.shutdown().await.unwrap();
        drop(first);
        let mut link = node.pool.take().unwrap();
        while link.is_alive().unwrap() {
            tokio::task::yield_now().await;
        }
        node.pool.put(link);
        let (sent, accepted) = tokio::join!(node.send(&FRAME, None), listener.accept());
        sent.unwrap();
        read_frame(&mut accepted.unwrap().0).await;
    }

    #[tokio::test]
    async fn a_connection_that_nobody_needs_is_closed() {
        let (listener, node) = pair(&[("net.keepalive_idle_timeout", "1")]).await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_frame(&mut stream).await;
            stream.read(&mut [0]).await.unwrap()
        };
        let (end, sent) = tokio::join!(serve, node.send(&FRAME, None));
        assert_eq!((end, sent.is_ok()), (0, true));
        assert!(node.pool.take().is_none());
    }

    #[tokio::test]
    async fn nothing_is_reached_where_nobody_listens() {
        let (listener, node) = pair(&[]).await;
        drop(listener);
        let outcome = node.send(&FRAME, None).await;
        assert!(matches!(outcome, Err(NodeError::Unreachable(_))));
    }
}
