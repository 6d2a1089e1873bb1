//! `tcp`: records over a connection, without an answer.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `host`, `port` | 127.0.0.1, 5170 | where to |
//! | `format` | msgpack | `msgpack`: `[[time, metadata], record]`, `json` (an array for each request), `json_lines`, `json_stream` |
//! | `json_date_key`, `json_date_format` | date, double | see `text.rs` |
//! | `raw_message_key` | | only this value of a record, a line each |
//! | `tls`, `tls.*`, `net.*` | off | how to reach it |
//!
//! What is written counts as delivered: nothing in this protocol says that it arrived. A connection that the peer has closed is
//! seen before the next request, not after it.
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/tcp-and-tls>

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::http::Format;
use super::net::{DialError, Dialer, Net, Stream, Tls, secure, with_causes};
use super::template::Template;
use super::web::Room;
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::{DropReason, Tag};

/// As Fluent Bit's `net.keepalive_idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A request has to be written by then; below what it may take in all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(50);

struct Tcp {
    host: String,
    port: u16,
    peer: String,
    tls: Option<Tls>,
    dialer: Dialer,
    idle: Mutex<Vec<Link>>,
    content: Content,
}

/// What is sent.
enum Content {
    Events(Format),
    /// One value of each record.
    Raw(Template),
}

/// A connection.
struct Link {
    stream: Stream,
    uses: u32,
    since: Instant,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    let host = settings.text("host");
    let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = settings.port("port").unwrap_or(5170);
    let format = Format::of_stream(settings, options.json);
    let raw = Template::read(settings, "raw_message_key");
    let uses_tls = settings.flag("tls", false);
    let tls = Tls::read(settings);
    Arc::new(Tcp {
        peer: if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        },
        host,
        port,
        tls: uses_tls.then_some(tls),
        dialer: Dialer::new(Net::read(settings, IDLE_TIMEOUT)),
        idle: Mutex::default(),
        content: raw.map_or(Content::Events(format), Content::Raw),
    })
}

impl Link {
    /// Whether the peer is still there, as far as can be seen without waiting. What it says is read and forgotten.
    fn is_alive(&mut self) -> bool {
        let mut said = [0; 4096];
        loop {
            match self.stream.read(&mut said).now_or_never() {
                None => return true,
                Some(Ok(0) | Err(_)) => return false,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn write(&mut self, body: &[u8]) -> io::Result<()> {
        self.uses += 1;
        self.stream.write_all(body).await?;
        self.stream.flush().await
    }
}

impl Tcp {
    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is there, or a new one.
    async fn connect(&self) -> Result<Link, DialError> {
        // So that the runtime learns of connections that were closed meanwhile.
        tokio::task::yield_now().await;
        loop {
            let Some(mut link) = self.idle().pop() else {
                break;
            };
            if link.since.elapsed() < self.dialer.net().idle_timeout && link.is_alive() {
                return Ok(link);
            }
        }
        let dial = async {
            let stream = self.dialer.tcp(&self.host, self.port).await?;
            match &self.tls {
                Some(tls) => secure(stream, tls, &self.host, self.port).await,
                None => Ok(stream),
            }
        };
        Ok(Link {
            stream: self.dialer.in_time(&self.peer, dial).await?,
            uses: 0,
            since: Instant::now(),
        })
    }

    async fn write(&self, body: Bytes) -> Answer {
        let mut link = match self.connect().await {
            Ok(link) => link,
            Err(error) => return Answer::again(with_causes(&error)),
        };
        let limit = self.dialer.net().io_timeout.unwrap_or(WRITE_TIMEOUT);
        let limit = limit.min(WRITE_TIMEOUT);
        match tokio::time::timeout(limit, link.write(&body)).await {
            Ok(Ok(())) => {
                let net = self.dialer.net();
                if net.keepalive && link.uses < net.uses_max {
                    link.since = Instant::now();
                    self.idle().push(link);
                }
                Answer::done()
            }
            Ok(Err(error)) => Answer::again(format!("{}: {error}", self.peer)),
            Err(_) => Answer::again(format!(
                "{} took nothing within {} s",
                self.peer,
                limit.as_secs_f32()
            )),
        }
    }
}

impl Output for Tcp {
    fn limits(&self) -> Limits {
        Room::FREE.limits()
    }

    fn destination(&self, _: &Tag) -> Option<Destination> {
        Some(Destination {
            group: Box::default(),
            name: self.peer.as_str().into(),
        })
    }

    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut body: Vec<u8>,
    ) -> Encoded {
        let template = match &self.content {
            Content::Events(format) => return format.encode(items, body),
            Content::Raw(template) => template,
        };
        let mut encoded = Room::FREE.fill(items, &mut body, 0, |_, item, body| {
            if !template.render_into(item, body) {
                return Err(DropReason::KeyMissing);
            }
            body.push(b'\n');
            Ok(())
        });
        encoded.body = body.into();
        encoded
    }

    fn send<'a>(&'a self, _: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(self.write(body))
    }

    /// Closes connections that nobody has used for long.
    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let limit = self.dialer.net().idle_timeout;
            loop {
                tokio::time::sleep(limit).await;
                self.idle().retain(|link| link.since.elapsed() < limit);
            }
        })
    }

    /// Only connects: what is sent is stored.
    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async {
            Some(match self.connect().await {
                Ok(_) => Ok(format!("{} accepts connections", self.peer)),
                Err(error) => Err(with_causes(&error)),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::testing::configured;
    use crate::output::testing::{items, record};

    fn output(properties: &[(&str, &str)]) -> Arc<dyn Output> {
        let read = |settings: &mut Settings<'_>| build(settings, Options::default());
        let (output, problems) = configured(properties, read);
        assert_eq!(problems, [""; 0]);
        output
    }

    fn body(properties: &[(&str, &str)], records: &[&str]) -> Encoded {
        let records: Vec<_> = records.iter().map(|text| record(text)).collect();
        let output = output(properties);
        output.encode(&Destination::default(), &mut items(&records), Vec::new())
    }

    #[test]
    fn every_format_is_written_and_msgpack_where_none_is_named() {
        let records = [r#"{"a":1}"#, r#"{"b":"x"}"#];
        let (one, two) = (
            r#"{"date":1700000000.123457,"a":1}"#,
            r#"{"date":1700000000.123457,"b":"x"}"#,
        );
        for (format, expected) in [
            ("json", format!("[{one},{two}]")),
            ("json_lines", format!("{one}\n{two}\n")),
            ("json_stream", format!("{one}{two}")),
        ] {
            assert_eq!(body(&[("format", format)], &records).body, expected);
        }
        let msgpack = b"\x92\x92\xd7\x00\x65\x53\xf1\x00\x07\x5b\xcd\x15\x80\x81\xa1a\x01";
        assert_eq!(body(&[], &records[..1]).body, &msgpack[..]);
    }

    #[test]
    fn a_raw_message_is_a_line_and_a_record_without_one_is_refused() {
        let records = [r#"{"log":"x"}"#, r#"{"a":1}"#, r#"{"log":"y"}"#];
        let encoded = body(&[("raw_message_key", "$log")], &records);
        assert_eq!(encoded.body, "x\ny\n");
        assert_eq!(encoded.refused, [(1, DropReason::KeyMissing)]);
    }

    async fn read(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = vec![0; 3];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_connection_that_the_peer_has_closed_is_replaced_before_anything_is_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let output = output(&[("port", &port)]);
        let to = Destination::default();
        let send = async |body: &'static [u8]| output.send(&to, Bytes::from_static(body)).await;
        assert_eq!(send(b"one").await, Answer::done());
        let (mut first, _) = listener.accept().await.unwrap();
        assert_eq!(read(&mut first).await, b"one");
        // What a peer says is no reason to leave it.
        first.write_all(b"hello").await.unwrap();
        assert_eq!(send(b"two").await, Answer::done());
        assert_eq!(read(&mut first).await, b"two");
        drop(first);
        assert_eq!(send(b"six").await, Answer::done());
        let (mut second, _) = listener.accept().await.unwrap();
        assert_eq!(read(&mut second).await, b"six");
    }

    #[tokio::test]
    async fn a_peer_that_is_not_there_is_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        drop(listener);
        let output = output(&[("port", &port)]);
        let answer = output.send(&Destination::default(), Bytes::new()).await;
        assert!(matches!(
            answer,
            Answer::Again {
                throttled: false,
                ..
            }
        ));
    }
}
