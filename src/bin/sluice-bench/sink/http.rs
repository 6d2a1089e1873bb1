//! The services' side of HTTP/1.1: TLS or plain on one port, keep-alive, one request at a time.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::HeaderValue;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::answer::{ApiError, Reply};
use super::cloud::{Cloud, Operation, too_large};
use super::faults::{Moment, Silence, Verdict};
use super::line::Line;
use super::wire::Wire;
use crate::output::hex;
use crate::stats::now_nanos;

/// Above the largest body that any of the services takes.
const MAX_BODY: usize = 64 << 20;
/// How often something that hangs looks whether the fault is over.
const LOOK: Duration = Duration::from_millis(50);
/// How long a hanging request hangs; longer than any client waits.
const HANG: Duration = Duration::from_mins(10);
/// The first byte of a TLS handshake, which no HTTP method begins with.
const TLS_HANDSHAKE: u8 = 0x16;

/// What one request may need to know about its connection.
struct Link {
    cloud: Arc<Cloud>,
    cut: Arc<AtomicBool>,
    request_ids: Arc<AtomicU64>,
    /// The last body's memory, for the next: fresh megabytes cost a page fault for every 4 KiB.
    spare: Mutex<Vec<u8>>,
}

/// Connections that wait to be accepted; few, so that a fault can fill their room.
pub(super) const BACKLOG: u32 = 128;

/// The connection shall end with a reset and no answer.
#[derive(Debug, thiserror::Error)]
#[error("cut on demand")]
struct Cut;

/// Accepts connections for ever.
pub(super) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    cloud: Arc<Cloud>,
    read_rate: Arc<AtomicU64>,
) {
    let request_ids = Arc::new(AtomicU64::new(1));
    loop {
        if cloud.state().faults.silence == Some(Silence::Connect) {
            stay_away(&listener, &cloud).await;
        }
        // The time is for looking at the faults again.
        let Ok(accepted) = tokio::time::timeout(LOOK, listener.accept()).await else {
            continue;
        };
        let Ok((stream, _)) = accepted else {
            continue;
        };
        let cut = Arc::new(AtomicBool::new(cloud.state().faults.refuses()));
        if cut.load(Ordering::Relaxed) {
            drop(Wire::new(stream, Arc::clone(&read_rate), cut));
            continue;
        }
        let link = Link {
            cloud: Arc::clone(&cloud),
            cut,
            request_ids: Arc::clone(&request_ids),
            spare: Mutex::default(),
        };
        tokio::spawn(connection(
            stream,
            tls.clone(),
            link,
            Arc::clone(&read_rate),
        ));
    }
}

/// Accepts nothing until the fault is over; the room for connections that wait is filled, so that others hang.
async fn stay_away(listener: &TcpListener, cloud: &Cloud) {
    let mut waiting = Vec::new();
    while cloud.state().faults.silence == Some(Silence::Connect) {
        let Ok(address) = listener.local_addr() else {
            return;
        };
        match tokio::time::timeout(LOOK, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => waiting.push(stream),
            // Full, or the system is short of something: either way it is time to look again.
            Ok(Err(_)) => tokio::time::sleep(LOOK).await,
            Err(_) => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, link: Link, read_rate: Arc<AtomicU64>) {
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    let Ok(1) = stream.peek(&mut first).await else {
        return;
    };
    let wire = Wire::new(stream, read_rate, Arc::clone(&link.cut));
    while link.cloud.state().faults.silence.is_some() {
        tokio::time::sleep(LOOK).await;
    }
    if first == [TLS_HANDSHAKE] {
        // A client that breaks the handshake off, for example because it doubts the certificate, knows why itself.
        if let Ok(stream) = tls.accept(wire).await {
            requests(stream, link).await;
        }
    } else {
        requests(wire, link).await;
    }
}

async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, link: Link) {
    let line = Line::new(stream, Arc::clone(&link.cloud), Arc::clone(&link.cut));
    let link = &link;
    let service = service_fn(move |request| answer(request, link));
    // Clients close connections as they like; what matters of it shows in the counters.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(line), service)
        .await;
}

async fn answer(request: Request<Incoming>, link: &Link) -> Result<Response<Full<Bytes>>, Cut> {
    if request.uri().path() == "/floor" {
        return discard(request.into_body(), &link.cloud).await;
    }
    let (parts, body) = request.into_parts();
    let body = match link.read(body).await? {
        Ok(body) => body,
        Err(error) => return Ok(finish(link, Operation::UNKNOWN, 0, Err(error))),
    };
    let operation = match Operation::of(&parts) {
        Ok(operation) => operation,
        Err(error) => {
            let read = body.bytes.len();
            return Ok(finish(link, Operation::UNKNOWN, read, Err(error)));
        }
    };
    let verdict = link.cloud.judge(operation);
    if !verdict.delay.is_zero() {
        // Even a sleep of nothing lasts until the timer's next millisecond.
        tokio::time::sleep(verdict.delay).await;
    }
    link.interrupt(operation, Moment::Before, verdict.reset, verdict.hang)
        .await?;
    let (reset, hang) = (verdict.reset, verdict.hang);
    let response = if verdict.page {
        link.cloud
            .state()
            .ledger
            .outcome(operation.name, "a page instead of storing");
        response(StatusCode::OK, Reply::page())
    } else {
        let result = process(link, operation, &parts, &body, verdict);
        link.interrupt(operation, Moment::After, reset, hang)
            .await?;
        finish(link, operation, body.bytes.len(), result)
    };
    link.put_back(body.bytes);
    Ok(response)
}

fn process(
    link: &Link,
    operation: Operation<'_>,
    parts: &Parts,
    body: &Body,
    verdict: Verdict,
) -> Result<Reply, ApiError> {
    // An object's encoding is its own; S3 looks at none.
    let plain = if operation.service == "s3" {
        None
    } else {
        body.plain(parts)?
    };
    let plain = plain.as_deref().unwrap_or(&body.bytes);
    // Other faults come after the checks: a broken request stays broken when the service is busy.
    let fault = verdict.error.as_ref();
    let call = (link.cloud).check(operation, parts, &body.hash, plain, fault)?;
    match verdict.error {
        Some(error) => Err(error),
        None => link.cloud.apply(call, plain, verdict.items),
    }
}

impl Link {
    /// Cuts the connection or lets the request hang, if this is the moment for it.
    async fn interrupt(
        &self,
        operation: Operation<'_>,
        now: Moment,
        reset: Option<Moment>,
        hang: Option<Moment>,
    ) -> Result<(), Cut> {
        let how = match now {
            _ if reset == Some(now) => "reset",
            _ if hang == Some(now) => "hang",
            _ => return Ok(()),
        };
        let when = if now == Moment::Before {
            "before storing"
        } else {
            "after storing"
        };
        self.cloud
            .state()
            .ledger
            .outcome(operation.name, &format!("{how} {when}"));
        if how == "hang" {
            let (begin, generation) = (Instant::now(), self.cloud.fault_generation());
            while begin.elapsed() < HANG && self.cloud.fault_generation() == generation {
                tokio::time::sleep(LOOK).await;
            }
        }
        self.cut.store(true, Ordering::Relaxed);
        Err(Cut)
    }

    /// Takes a whole body in and hashes it on the way.
    async fn read(&self, mut body: Incoming) -> Result<Result<Body, ApiError>, Cut> {
        let mut hasher = Sha256::new();
        let mut bytes = std::mem::take(&mut *self.spare());
        let announced = hyper::body::Body::size_hint(&body).lower();
        bytes.reserve(announced.min(MAX_BODY as u64) as usize);
        while let Some(frame) = body.frame().await {
            // The client went away in the middle: there is no one left to answer.
            let Ok(data) = frame.map_err(|_| Cut)?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > MAX_BODY {
                return Ok(Err(too_large(MAX_BODY)));
            }
            hasher.update(&data);
            bytes.extend_from_slice(&data);
        }
        let hash = hex(&hasher.finalize());
        Ok(Ok(Body { bytes, hash }))
    }

    fn put_back(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        *self.spare() = bytes;
    }

    fn spare(&self) -> MutexGuard<'_, Vec<u8>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body as it came, and its SHA-256 in hexadecimal.
struct Body {
    bytes: Vec<u8>,
    hash: String,
}

impl Body {
    /// The inflated body where `Content-Encoding` says that it is compressed.
    fn plain(&self, parts: &Parts) -> Result<Option<Vec<u8>>, ApiError> {
        let Some(encoding) = parts.headers.get("content-encoding") else {
            return Ok(None);
        };
        if encoding != "gzip" {
            return Err(ApiError::violation(
                "SerializationException",
                "Content-Encoding may only be gzip",
            ));
        }
        let mut plain = Vec::new();
        let read = flate2::read::GzDecoder::new(self.bytes.as_slice())
            .take(MAX_BODY as u64)
            .read_to_end(&mut plain);
        match read {
            Ok(MAX_BODY) => Err(too_large(MAX_BODY)),
            Ok(_) => Ok(Some(plain)),
            Err(error) => Err(ApiError::violation(
                "SerializationException",
                format!("body is broken gzip: {error}"),
            )),
        }
    }
}

/// Takes what the floor sends; nobody looks at it.
async fn discard(mut body: Incoming, cloud: &Cloud) -> Result<Response<Full<Bytes>>, Cut> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.map_err(|_| Cut)?.data_ref().map_or(0, Bytes::len) as u64;
    }
    cloud.state().ledger.floor(length, now_nanos());
    Ok(Response::new(Full::default()))
}

fn finish(
    link: &Link,
    operation: Operation<'_>,
    body_bytes: usize,
    result: Result<Reply, ApiError>,
) -> Response<Full<Bytes>> {
    let outcome = result.as_ref().map(|_| ());
    link.cloud
        .state()
        .ledger
        .answer(operation.name, body_bytes as u64, outcome);
    let (status, code, reply) = match result {
        Ok(reply) => (StatusCode::OK, None, reply),
        Err(error) => (
            error.status,
            Some(error.code),
            error.body(operation.service),
        ),
    };
    let mut response = response(status, reply);
    let id = link.request_ids.fetch_add(1, Ordering::Relaxed);
    let id = format!("5eed5eed-0000-4000-8000-{id:012x}");
    let more = [
        ("x-amzn-requestid", Some(id.as_str())),
        ("x-amz-request-id", Some(id.as_str())),
        ("x-amzn-errortype", code),
    ];
    for (name, value) in more {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn response(status: StatusCode, reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(status)
        .header("content-type", reply.content_type);
    if let Some(tag) = reply.tag {
        response = response.header("etag", tag);
    }
    response.body(Full::from(reply.body)).unwrap_or_default()
}
