//! `http`: records in the bodies of POST requests.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Listen`, `Port` | 0.0.0.0, 9880 | where to listen |
//! | `Buffer_Max_Size` | 4M | the longest body, also after decompression |
//! | `Tag_Key` | | the key of a record whose text is its tag |
//! | `Successful_Response_Code` | 201 | 200, 201 or 204 |
//! | `Success_Header` | | `Name value`, sent with it; may be repeated |
//! | `Add_Remote_Addr`, `Remote_Addr_Key` | off, `REMOTE_ADDR` | adds the sender as a proxy names it, unless the record has the key |
//! | `Enable_Health_Endpoint` | off | answers `GET /health` |
//!
//! The answer comes when the records are stored. A request is taken whole or not at all.
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/http>

mod body;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use self::body::Kind;
use super::listen::{Address, Listener};
use super::net::Net;
use super::text::Pairs;
use super::{Context, Ingest, Input, Phase, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::read;
use crate::parser::Parsers;

const PORT: u16 = 9880;
const BODY_MAX: u64 = 4_000_000;
/// What a byte of a body takes: itself, its value, and the record it becomes.
const ROOM: usize = 5;
/// The least room for a body whose length is not known.
const READ: usize = 64 * 1024;
/// How long a peer may be silent within a request, or between two.
const PATIENCE: Duration = Duration::from_secs(30);

struct Http {
    address: Address,
    net: Net,
    rules: Rules,
    listener: Option<Listener>,
}

/// What becomes of requests.
#[derive(Debug)]
struct Rules {
    limit: usize,
    tag_key: Option<String>,
    success: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The key of the sender.
    remote_key: Option<String>,
    answers_health: bool,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    let host = settings.text("listen").or_else(|| settings.text("host"));
    let host = host.unwrap_or_else(|| "0.0.0.0".to_owned());
    settings.accept(&[
        "http2",
        "buffer_chunk_size",
        "max_connections",
        "http_server.*",
    ]);
    Box::new(Http {
        address: Address::Tcp(host, settings.port("port").unwrap_or(PORT)),
        net: Net::read(settings),
        rules: rules(settings),
        listener: None,
    })
}

fn rules(settings: &mut Settings<'_>) -> Rules {
    let code = settings.integer("successful_response_code").unwrap_or(201);
    let success = match code {
        200 => StatusCode::OK,
        204 => StatusCode::NO_CONTENT,
        201 => StatusCode::CREATED,
        _ => {
            settings.lapse(
                "successful_response_code",
                "is not 200, 201 or 204",
                "201 is used",
            );
            StatusCode::CREATED
        }
    };
    let mut headers = Vec::new();
    for ((name, value), _) in settings.pairs("success_header") {
        match (name.parse(), HeaderValue::from_str(&value)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => settings.error("success_header", "is no header"),
        }
    }
    let adds_remote = settings.flag("add_remote_addr", false);
    let remote_key = settings.text("remote_addr_key");
    let remote_key = remote_key.unwrap_or_else(|| "REMOTE_ADDR".to_owned());
    let limit = settings.size("buffer_max_size").unwrap_or(BODY_MAX);
    Rules {
        limit: limit.clamp(1, 1 << 30) as usize,
        tag_key: settings.text("tag_key"),
        success,
        headers,
        remote_key: adds_remote.then_some(remote_key),
        answers_health: settings.flag("enable_health_endpoint", false),
    }
}

impl Input for Http {
    fn bind(&mut self) -> Result<(), String> {
        self.listener = Some(Listener::bind(&self.address, &self.net)?);
        Ok(())
    }

    fn has_peers(&self) -> bool {
        true
    }

    fn run(mut self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Some(mut listener) = self.listener.take() else {
                return;
            };
            let component = context.component();
            crate::info!(&component, "listening on {}", listener.address());
            let rules = Arc::new(self.rules);
            let mut connections = tokio::task::JoinSet::new();
            let mut phase = context.phase.clone();
            loop {
                tokio::select! {
                    socket = listener.accept(&component) => {
                        let (rules, context) = (Arc::clone(&rules), context.clone());
                        connections.spawn(async move {
                            if let Some((stream, _slot)) = socket.into_tcp() {
                                serve(stream, &rules, &context).await;
                            }
                        });
                    }
                    Some(_) = connections.join_next() => {}
                    () = reached(&mut phase, Phase::Close) => break,
                }
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
        })
    }
}

/// Serves a peer until it leaves or falls silent; when the process ends, until its request is answered.
async fn serve(stream: TcpStream, rules: &Rules, context: &Context) {
    let ingest = Mutex::new(Ingest::open(context));
    let ingest = &ingest;
    let service = service_fn(|request| async move {
        let mut ingest = ingest.lock().await;
        Ok::<_, Infallible>(rules.answer(request, &mut ingest, context).await)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(READ)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut phase = context.phase.clone();
    tokio::select! {
        ended = connection.as_mut() => return drop(ended),
        () = reached(&mut phase, Phase::Drain) => connection.as_mut().graceful_shutdown(),
    }
    drop(tokio::time::timeout(PATIENCE, connection).await);
}

type Answer = Response<Full<Bytes>>;

fn answer(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    answer
}

fn refusal(text: &'static str) -> Answer {
    answer(StatusCode::BAD_REQUEST, text)
}

impl Rules {
    async fn answer(
        &self,
        request: Request<Incoming>,
        ingest: &mut Ingest,
        context: &Context,
    ) -> Answer {
        if self.answers_health
            && request.method() == Method::GET
            && request.uri().path() == "/health"
        {
            return answer(StatusCode::OK, "{\"status\": \"ok\"}\n");
        }
        if request.method() != Method::POST {
            return refusal("error: invalid HTTP method\n");
        }
        let Some(content_type) = request.headers().get(header::CONTENT_TYPE) else {
            return refusal("error: header 'Content-Type' is not set\n");
        };
        let Some(kind) = Kind::of(content_type.as_bytes()) else {
            return refusal("error: invalid 'Content-Type'\n");
        };
        match self.take(request, kind, ingest, context).await {
            Ok(()) => {
                let mut success = answer(self.success, "");
                let headers = self.headers.iter().cloned();
                success
                    .headers_mut()
                    .extend(headers.map(|(name, value)| (Some(name), value)));
                success
            }
            Err(refusal) => refusal,
        }
    }

    /// Reads the body and stores its records.
    async fn take(
        &self,
        request: Request<Incoming>,
        kind: Kind,
        ingest: &mut Ingest,
        context: &Context,
    ) -> Result<(), Answer> {
        let (parts, mut incoming) = request.into_parts();
        let too_large = || answer(StatusCode::PAYLOAD_TOO_LARGE, "error: payload too large\n");
        let invalid = || refusal("error: unable to process records\n");
        let declared = incoming.size_hint().exact().map(|length| length as usize);
        if declared.is_some_and(|length| length > self.limit) {
            return Err(too_large());
        }
        let mut room = declared.unwrap_or(READ);
        let mut permits = vec![ingest.permit(room * ROOM).await];
        let mut body = Vec::with_capacity(room);
        loop {
            let frame = tokio::time::timeout(PATIENCE, incoming.frame()).await;
            let frame = match frame {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame,
                _ => return Err(refusal("error: the body did not come\n")),
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            ingest.note_read(data.len());
            if body.len() + data.len() > self.limit {
                return Err(too_large());
            }
            if body.len() + data.len() > room {
                let more = room.max(data.len());
                permits.push(ingest.permit(more * ROOM).await);
                room += more;
            }
            body.extend_from_slice(&data);
        }
        if body.is_empty() {
            return Err(refusal("error: no payload found\n"));
        }
        if is_gzip(&parts.headers) {
            permits.push(ingest.permit(self.limit.min(body.len() * 8) * ROOM).await);
            body = body::inflate(&body, self.limit).ok_or_else(invalid)?;
        }
        let records = kind.records(&body).ok_or_else(invalid)?;
        drop(body);
        let tag = body::tag(parts.uri.path());
        let tag = tag.as_deref().unwrap_or(context.tag.as_bytes());
        self.store(&records, tag, &parts.headers, ingest).await;
        Ok(())
    }

    async fn store(&self, records: &[u8], tag: &[u8], headers: &HeaderMap, ingest: &mut Ingest) {
        let time = EventTime::now();
        let remote = self.remote_key.as_ref().zip(forwarded_for(headers));
        let mut extended = Vec::new();
        let session = ingest.session();
        let mut rest = records;
        while let Ok((behind, record)) = read::raw(rest) {
            rest = behind;
            let own = self.tag_key.as_deref().and_then(|key| text_of(record, key));
            session.tag(own.unwrap_or(tag));
            let record = match remote {
                Some((key, address)) if text_of(record, key).is_none() => {
                    let mut pairs = Pairs::default();
                    pairs.text(key, address);
                    super::text::extend(&mut extended, record, &pairs);
                    &extended
                }
                _ => record,
            };
            session.offer(Event {
                time,
                metadata: &[],
                record,
            });
        }
        session.commit().await;
    }
}

/// The text under a top-level key.
fn text_of<'r>(record: &'r [u8], key: &str) -> Option<&'r [u8]> {
    let mut pairs = read::Pairs::of(record);
    let (_, value) = pairs.find(|(name, _)| read::text(name) == Some(key.as_bytes()))?;
    read::text(value)
}

/// The first address that `X-Forwarded-For` names.
fn forwarded_for(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get("x-forwarded-for")?.as_bytes();
    let first = value.split(|&byte| byte == b',').next()?.trim_ascii();
    (!first.is_empty()).then_some(first)
}

fn is_gzip(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::testing::Keeper;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// What the input answers to a request, and what it kept.
    async fn exchange(
        properties: &[(&str, &str)],
        request: &str,
    ) -> (String, Vec<(String, Vec<u8>)>) {
        let (rules, problems) = configured(properties, rules);
        assert_eq!(problems, [""; 0]);
        let mut http = Box::new(Http {
            address: Address::Tcp("127.0.0.1".to_owned(), 0),
            net: Net::default(),
            rules,
            listener: None,
        });
        http.bind().unwrap();
        let address = http.listener.as_ref().unwrap().address().to_string();
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        let running = tokio::spawn(http.run(context));
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let answered =
            tokio::time::timeout(Duration::from_secs(10), peer.read_to_string(&mut answer));
        answered.await.unwrap().unwrap();
        phase.send_replace(Phase::Close);
        running.await.unwrap();
        let kept = keeper.take().into_iter();
        let kept = kept.map(|(tag, _, record)| (String::from_utf8(tag).unwrap(), record));
        (answer, kept.collect())
    }

    fn post(path: &str, more: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n{body}"
        )
    }

    #[tokio::test]
    async fn records_are_stored_under_the_path_and_answered() {
        let properties = [
            ("success_header", "X-Seen yes"),
            ("successful_response_code", "200"),
        ];
        let (answer, kept) = exchange(&properties, &post("/a/b?c=d", "", "[{\"a\":1},{}]")).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("x-seen: yes\r\n"),
            "{answer}"
        );
        let expected = [
            ("a_b".to_owned(), b"\x81\xa1a\x01".to_vec()),
            ("a_b".to_owned(), vec![0x80]),
        ];
        assert_eq!(kept, expected);
    }

    #[tokio::test]
    async fn a_record_may_name_its_tag_and_get_its_sender() {
        let properties = [("tag_key", "t"), ("add_remote_addr", "on")];
        let more = "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n";
        let (answer, kept) = exchange(&properties, &post("/", more, "{\"t\":\"own\"} {}")).await;
        assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
        assert_eq!((kept[0].0.as_str(), kept[1].0.as_str()), ("own", "t"));
        assert_eq!(kept[1].1, b"\x81\xabREMOTE_ADDR\xa810.0.0.1");
    }

    /// Checklist: engine 59
    #[tokio::test]
    async fn what_is_wrong_with_a_request_leaves_nothing_behind() {
        for (request, status) in [
            (post("/", "", "[{\"a\":1},{broken"), "400"),
            (post("/", "", ""), "400"),
            (post("/", "content-encoding: gzip\r\n", "{}"), "400"),
            (
                post("/", "", &format!("{{\"a\":\"{}\"}}", "x".repeat(2000))),
                "413",
            ),
            (
                "GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
                "400",
            ),
        ] {
            let (answer, kept) = exchange(&[("buffer_max_size", "1000")], &request).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
            assert_eq!(kept, []);
        }
    }
}
