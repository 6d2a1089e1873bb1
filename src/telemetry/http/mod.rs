//! The HTTP server (`HTTP_Server On`): Fluent Bit's endpoints, our own, and a page for people.
//!
//! | file | purpose |
//! |---|---|
//! | `route` | paths and methods |
//! | `fluent` | Fluent Bit's JSON and its metrics, name by name |
//! | `own` | our own metrics, `/live`, `/ready`, `/delivering` |
//! | `text` | metrics as text |
//! | `page` | the page |
//!
//! Anybody who reaches the port may be hostile: a request's head and body are bounded, a head that does not come, a peer that does
//! not read and too many peers at once cost it its connection and nobody else anything.
//!
//! <https://docs.fluentbit.io/manual/administration/monitoring>

mod fluent;
mod own;
mod page;
mod route;
mod text;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use self::route::{Asked, Reply};
use super::board::Board;

/// Connections at once. One more, and the oldest has to go, so that nobody is kept out by those who only stay.
const CONNECTIONS_MAX: usize = 64;
/// A head has to be there by then, also that of the next request on a connection.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A connection is closed after this, whatever it does. Long enough for a scraper to keep one between two scrapes.
const CONNECTION_MAX: Duration = Duration::from_mins(5);
/// The longest head, and how many headers it may have.
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// The longest body; no endpoint wants one.
const BODY_MAX: usize = 64 * 1024;
/// A body has to be there by then.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long to leave the listener alone when the process is out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How often counters are noted for rates and `/api/v1/health`.
const TICK: Duration = Duration::from_secs(1);

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds; port 0 lets the system choose.
    ///
    /// # Errors
    /// A sentence that names the address and what to do.
    pub fn bind(host: &str, port: u16) -> Result<Self, String> {
        let bound = || -> io::Result<Self> {
            let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
            let listener = std::net::TcpListener::bind(addresses.as_slice())?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let listener = TcpListener::from_std(listener)?;
            Ok(Self { listener, address })
        };
        bound().map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "; stop what listens there, or choose another HTTP_Port"
                }
                io::ErrorKind::AddrNotAvailable => "; write an address of this host in HTTP_Listen",
                io::ErrorKind::PermissionDenied => "; choose an HTTP_Port above 1023",
                _ => "; check HTTP_Listen and HTTP_Port",
            };
            format!("the HTTP server cannot listen on {host}:{port}: {error}{advice}")
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves what is on the board until told to stop, and then what has been asked already.
    pub async fn run(self, board: Arc<Board>, mut stop: watch::Receiver<bool>) {
        let (host, port) = (self.address.ip(), self.address.port());
        crate::info!("http_server", "listen iface={host} tcp_port={port}");
        let mut connections = JoinSet::new();
        let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        oldest.retain(|connection| !connection.is_finished());
                        if oldest.len() >= CONNECTIONS_MAX && let Some(connection) = oldest.pop_front() {
                            connection.abort();
                        }
                        oldest.push_back(connections.spawn(serve(stream, Arc::clone(&board))));
                    }
                    // The peer is gone again, or the process is out of descriptors, which passes.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(_) => tokio::time::sleep(EXHAUSTED_PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
                _ = tick.tick() => board.tick(Instant::now()),
                () = stopped(&mut stop) => break,
            }
        }
        drop(self.listener);
        let rest = async { while connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(HEAD_WITHIN, rest).await);
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Serves one connection. What goes wrong on it concerns its peer alone.
async fn serve(stream: TcpStream, board: Arc<Board>) {
    let service = service_fn(|request| answer(request, Arc::clone(&board)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    drop(tokio::time::timeout(CONNECTION_MAX, connection).await);
}

async fn answer(
    request: Request<Incoming>,
    board: Arc<Board>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > BODY_MAX as u64 {
        let reply = Reply::empty(StatusCode::PAYLOAD_TOO_LARGE).closing();
        return Ok(reply.into_response());
    }
    // Read to its end, so that the connection can be used again.
    let body = Limited::new(body, BODY_MAX).collect();
    let reply = match tokio::time::timeout(BODY_WITHIN, body).await {
        Ok(Ok(_)) => route::reply(&board, &Asked::of(&head)).await,
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Reply::empty(StatusCode::PAYLOAD_TOO_LARGE).closing()
        }
        Ok(Err(_)) => Reply::empty(StatusCode::BAD_REQUEST).closing(),
        Err(_) => Reply::empty(StatusCode::REQUEST_TIMEOUT).closing(),
    };
    Ok(reply.into_response())
}
