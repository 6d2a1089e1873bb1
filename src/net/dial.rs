//! Host and port to a connected stream.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::names::Names;
use super::settings::{Family, Net, Probes};
use super::stream::Stream;
use super::tls::Tls;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host has no address, or nobody knows it.
    #[error("cannot find {host}")]
    Name {
        /// The host.
        host: String,
        /// The system's words.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("cannot connect to {peer}")]
    Connect {
        /// Host and port, or the socket file.
        peer: String,
        /// The system's words.
        source: io::Error,
    },
    /// The host cannot stand in a certificate.
    #[error("`{0}` is no name that a certificate can be for")]
    HostName(String),
    /// Our own settings do not fit together.
    #[error("the TLS settings cannot be used")]
    Settings(#[source] rustls::Error),
    /// The peer is not trusted, does not trust us, or speaks no TLS.
    #[error("no TLS with {peer}")]
    Tls {
        /// Host and port.
        peer: String,
        /// What TLS says.
        source: io::Error,
    },
    /// A proxy does not let us through.
    #[error("the proxy {proxy} does not connect us to {peer}: {why}")]
    Proxy {
        /// The proxy's host and port.
        proxy: String,
        /// Host and port behind it.
        peer: String,
        /// What it says.
        why: String,
    },
    /// A forward peer does not let us in.
    #[error("{peer} {why}")]
    Greeting {
        /// Host and port, or the socket file.
        peer: String,
        /// What is wrong.
        why: String,
    },
    /// It took too long.
    #[error("no connection to {peer} within {} s", .limit.as_secs_f32())]
    Late {
        /// Host and port.
        peer: String,
        /// `net.connect_timeout`.
        limit: Duration,
    },
}

/// Makes connections.
#[derive(Debug)]
pub struct Dialer {
    net: Net,
    names: Names,
}

impl Dialer {
    /// A dialer that does as `net` says.
    pub fn new(net: Net) -> Self {
        Self {
            net,
            names: Names::default(),
        }
    }

    /// Its settings.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Has a connection made within `net.connect_timeout`.
    ///
    /// # Errors
    /// [`DialError::Late`], or that of the work.
    pub async fn in_time<T>(
        &self,
        peer: &str,
        work: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let limit = self.net.connect_timeout;
        let late = || DialError::Late {
            peer: peer.to_owned(),
            limit,
        };
        timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// Connects to a host: to the first of its addresses that answers, each with its share of the time.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn tcp(&self, host: &str, port: u16) -> Result<Stream, DialError> {
        let found = self.names.find(host, port).await;
        let mut addresses = found.map_err(|source| DialError::Name {
            host: host.to_owned(),
            source,
        })?;
        self.arrange(&mut addresses);
        let deadline = Instant::now() + self.net.connect_timeout;
        let mut last = io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "no address of the family of net.source_address",
        );
        for (done, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = Instant::now() + left / (addresses.len() - done) as u32;
            match timeout_at(share, self.connect(*address)).await {
                Ok(Ok(stream)) => return Ok(Stream::Tcp(stream)),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(DialError::Connect {
            peer: peer_name(host, port),
            source: last,
        })
    }

    /// Leaves out addresses that cannot be reached from the source, and puts the preferred family in front.
    fn arrange(&self, addresses: &mut Vec<SocketAddr>) {
        if let Some(source) = self.net.source {
            addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
        }
        if let Some(family) = self.net.prefer {
            addresses.sort_by_key(|address| !Family::has(family, address));
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(source) = self.net.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        if let Some(probes) = self.net.probes {
            probe(&stream, probes)?;
        }
        Ok(stream)
    }

    /// Connects to a socket file.
    ///
    /// # Errors
    /// [`DialError::Connect`].
    pub async fn unix(path: &Path) -> Result<Stream, DialError> {
        match UnixStream::connect(path).await {
            Ok(stream) => Ok(Stream::Unix(stream)),
            Err(source) => Err(DialError::Connect {
                peer: path.display().to_string(),
                source,
            }),
        }
    }
}

/// What may wait encrypted for the socket: a fourth of a large body. With less, the peer is woken for every 64 KiB, which cost a
/// twentieth of the time of a whole request.
const ENCRYPTED_MAX: usize = 256 * 1024;

/// Speaks TLS over a stream.
///
/// # Errors
/// See [`DialError`].
pub async fn secure(stream: Stream, tls: &Tls, host: &str, port: u16) -> Result<Stream, DialError> {
    let name = tls.name_of(host).map_err(DialError::HostName)?;
    let config = tls.config().map_err(DialError::Settings)?;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(mut stream) => {
            stream.get_mut().1.set_buffer_limit(Some(ENCRYPTED_MAX));
            Ok(Stream::Tls(Box::new(stream)))
        }
        Err(source) => Err(DialError::Tls {
            peer: peer_name(host, port),
            source,
        }),
    }
}

/// Host and port as they are written together.
pub(super) fn peer_name(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn probe(stream: &TcpStream, probes: Probes) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    if let Some(time) = probes.time {
        sockopt::set_tcp_keepidle(stream, time)?;
    }
    if let Some(interval) = probes.interval {
        sockopt::set_tcp_keepintvl(stream, interval)?;
    }
    if let Some(count) = probes.count {
        sockopt::set_tcp_keepcnt(stream, count)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    fn dialer(properties: &[(&str, &str)]) -> Dialer {
        let (net, problems) = configured(properties, |settings| {
            Net::read(settings, Duration::from_secs(1))
        });
        assert_eq!(problems, [""; 0]);
        Dialer::new(net)
    }

    #[test]
    fn addresses_are_tried_in_the_order_asked_for() {
        let all: Vec<SocketAddr> = ["127.0.0.1:1", "[::1]:1", "127.0.0.2:1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let arranged = |properties: &[(&str, &str)]| {
            let mut addresses = all.clone();
            dialer(properties).arrange(&mut addresses);
            addresses
        };
        assert_eq!(arranged(&[]), all);
        assert_eq!(
            arranged(&[("net.dns.prefer_ipv6", "on")]),
            [all[1], all[0], all[2]]
        );
        assert_eq!(
            arranged(&[("net.dns.prefer_ipv4", "on")]),
            [all[0], all[2], all[1]]
        );
        assert_eq!(arranged(&[("net.source_address", "::1")]), [all[1]]);
    }

    #[tokio::test]
    async fn the_source_address_and_the_probes_are_those_configured() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = dialer(&[
            ("net.source_address", "127.0.0.9"),
            ("net.tcp_keepalive", "on"),
            ("net.tcp_keepalive_time", "77"),
            ("net.tcp_keepalive_interval", "7"),
            ("net.tcp_keepalive_probes", "3"),
        ]);
        let Ok(Stream::Tcp(stream)) = dialer.tcp("127.0.0.1", port).await else {
            panic!("no connection");
        };
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.9");
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(
            sockopt::tcp_keepidle(&stream).unwrap(),
            Duration::from_secs(77)
        );
        assert_eq!(
            sockopt::tcp_keepintvl(&stream).unwrap(),
            Duration::from_secs(7)
        );
        assert_eq!(sockopt::tcp_keepcnt(&stream).unwrap(), 3);
    }

    #[tokio::test]
    async fn a_refusal_names_the_peer_and_the_cause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = dialer(&[]).tcp("127.0.0.1", port).await.unwrap_err();
        let said = super::super::with_causes(&error);
        assert!(
            said.starts_with(&format!(
                "cannot connect to 127.0.0.1:{port}: Connection refused"
            )),
            "{said}"
        );
    }
}
