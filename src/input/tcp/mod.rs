//! `tcp`: JSON objects or lines of text, one record each.
//!
//! | file | purpose |
//! |---|---|
//! | [`framing`] | from bytes to records |
//! | [`connection`] | one peer |
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Listen`, `Port` | 0.0.0.0, 5170 | where to listen |
//! | `Format` | json | `json`: objects, with blanks or nothing between them; `none`: lines |
//! | `Separator` | `\n` | ends a line; `\r`, `\n`, `\t`, `\\` and the like may be written |
//! | `Buffer_Size` | `Chunk_Size` | the longest object or line, in KB unless it has a unit |
//! | `Chunk_Size` | 32 | the same where `Buffer_Size` is not set |
//! | `net.*` | | see [`net`](super::net) |
//! | `tls`, `tls.*` | off | see `input/tls` |
//! | `Source_Address_Key` | | the key under which a record gets its peer, as in `tcp://10.0.0.1:5060` |
//!
//! An array becomes `{"msg": [..]}`, a line `{"log": "line"}`. What is no JSON costs its own line and nothing else. A line that
//! is too long becomes several records; an object that is too long is skipped, counted and reported.
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/tcp>

mod connection;
pub(super) mod framing;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::connection::{Connection, Reporter};
use self::framing::{Format, Framing};
use super::listen::{Address, Listener};
use super::net::Net;
use super::tls::{self, Tls};
use super::{Context, Input, Phase, reached};
use crate::config::Settings;
use crate::parser::Parsers;

const PORT: u16 = 5170;
const KILOBYTE: u64 = 1024;
const CHUNK_SIZE: u64 = 32 * KILOBYTE;

struct Tcp {
    address: Address,
    format: Format,
    limit: usize,
    source_key: Option<String>,
    net: Net,
    tls: Option<Arc<Tls>>,
    listener: Option<Listener>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    Box::new(read(settings))
}

fn read(settings: &mut Settings<'_>) -> Tcp {
    let host = settings
        .text("listen")
        .or_else(|| settings.text("host"))
        .unwrap_or_else(|| "0.0.0.0".to_owned());
    let address = Address::Tcp(host, settings.port("port").unwrap_or(PORT));
    let limit = limit(settings);
    if settings.text("parser").is_some() {
        settings.error(
            "parser",
            "not supported yet; write `format none` and parse with a filter",
        );
    }
    let net = Net::read(settings);
    Tcp {
        address,
        format: format(settings),
        limit,
        source_key: settings.text("source_address_key"),
        net,
        tls: Tls::read(settings, net),
        listener: None,
    }
}

/// The longest record, in bytes of text.
pub(super) fn limit(settings: &mut Settings<'_>) -> usize {
    let (buffer, chunk) = (
        kilobytes(settings, "buffer_size"),
        kilobytes(settings, "chunk_size"),
    );
    let limit = buffer.or(chunk).unwrap_or(CHUNK_SIZE);
    limit.clamp(KILOBYTE, 1 << 30) as usize
}

/// A bare number counts kilobytes, one with a unit says so itself.
fn kilobytes(settings: &mut Settings<'_>, key: &'static str) -> Option<u64> {
    let bare = settings
        .text(key)
        .and_then(|text| text.trim_ascii().parse().ok());
    match bare {
        Some(number) => KILOBYTE.checked_mul(number),
        None => settings.size(key),
    }
}

/// What peers send.
pub(super) fn format(settings: &mut Settings<'_>) -> Format {
    let separator = settings
        .text("separator")
        .map_or_else(|| b"\n".to_vec(), |text| unescape(&text));
    match settings.choice("format", &["json", "none"]) {
        Some("none") => Format::Lines { separator },
        _ => Format::Json,
    }
}

/// Replaces escapes as C has them; a backslash before anything else stands for itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = match (byte, bytes.peek()) {
            (b'\\', Some(b'n')) => Some(b'\n'),
            (b'\\', Some(b'r')) => Some(b'\r'),
            (b'\\', Some(b't')) => Some(b'\t'),
            (b'\\', Some(b'a')) => Some(0x07),
            (b'\\', Some(b'b')) => Some(0x08),
            (b'\\', Some(b'v')) => Some(0x0b),
            (b'\\', Some(b'f')) => Some(0x0c),
            (b'\\', Some(b'0')) => Some(0x00),
            (b'\\', Some(b'\\')) => Some(b'\\'),
            _ => None,
        };
        out.push(escaped.unwrap_or(byte));
        if escaped.is_some() {
            bytes.next();
        }
    }
    out
}

impl Input for Tcp {
    fn bind(&mut self) -> Result<(), String> {
        self.listener = Some(Listener::bind(&self.address, &self.net)?);
        Ok(())
    }

    fn has_peers(&self) -> bool {
        true
    }

    fn run(mut self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let component = context.component();
            let Some(mut listener) = self.listener.take() else {
                return;
            };
            crate::info!(&component, "listening on {}", listener.address());
            let reporter = Arc::new(Reporter::new(&context, self.limit));
            let mut connections = tokio::task::JoinSet::new();
            let mut phase = context.phase.clone();
            loop {
                tokio::select! {
                    socket = listener.accept(&component) => {
                        let source = self.source_key.as_ref().map(|key| (key.as_str(), socket.name()));
                        let framing = Framing::new(&self.format, self.limit, source);
                        let (context, tls, reporter) = (context.clone(), self.tls.clone(), Arc::clone(&reporter));
                        let io_timeout = self.net.io_timeout;
                        connections.spawn(async move {
                            if let Some(stream) = tls::accept(tls.as_deref(), socket, &context).await {
                                let connection = Connection::new(stream, &context, framing, io_timeout, reporter);
                                connection.serve(context.phase.clone()).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::testing::Keeper;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    fn tcp(properties: &[(&str, &str)]) -> Tcp {
        let (tcp, problems) = configured(properties, read);
        assert_eq!(problems, [""; 0]);
        tcp
    }

    #[test]
    fn it_listens_where_fluent_bit_listens() {
        let tcp = tcp(&[]);
        assert_eq!(tcp.address, Address::Tcp("0.0.0.0".to_owned(), 5170));
        assert_eq!(
            (tcp.format, tcp.limit, tcp.source_key),
            (Format::Json, 32_768, None)
        );
    }

    #[test]
    fn sizes_count_kilobytes_unless_they_say_otherwise() {
        for (properties, expected) in [
            (&[("chunk_size", "64")][..], 65_536),
            (&[("chunk_size", "64"), ("buffer_size", "100")], 102_400),
            (&[("buffer_size", "2M")], 2_000_000),
            (&[("buffer_size", "0")], 1024),
            (&[("buffer_size", "99999999")], 1 << 30),
        ] {
            assert_eq!(tcp(properties).limit, expected);
        }
    }

    #[test]
    fn separators_may_be_escaped() {
        for (text, expected) in [
            ("|", "|"),
            (r"\r\n", "\r\n"),
            (r"\\n", "\\n"),
            (r"\x\t\", "\\x\t\\"),
        ] {
            let tcp = tcp(&[("format", "NONE"), ("separator", text)]);
            assert_eq!(
                tcp.format,
                Format::Lines {
                    separator: expected.as_bytes().to_vec()
                }
            );
        }
    }

    #[test]
    fn a_parser_is_refused() {
        let (_, problems) = configured(&[("parser", "json")], read);
        assert!(problems.concat().contains("format none"), "{problems:?}");
    }

    /// Runs an input on a free port until `talk` is done with it and its peers have left; what it kept.
    async fn kept(
        properties: &[(&str, &str)],
        limit: u64,
        talk: impl AsyncFnOnce(&str),
    ) -> Vec<Vec<u8>> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut tcp = Box::new(tcp(properties));
        tcp.address = Address::Tcp("127.0.0.1".to_owned(), free.port());
        tcp.bind().unwrap();
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(limit);
        let budget = Arc::clone(&context.budget);
        let input = tokio::spawn(tcp.run(context));
        talk(&free.to_string()).await;
        phase.send_replace(Phase::Close);
        tokio::time::timeout(Duration::from_secs(10), input)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(budget.used(), 0);
        keeper.take_records()
    }

    /// Sends, closes, and waits until the other side has closed as well, as `nc` does.
    async fn exchange(address: &str, text: &[u8]) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_health_check_is_answered_by_closing() {
        let records = kept(&[], 1 << 20, async |address| {
            exchange(address, b"{\"health\": \"check\"}\n").await;
            exchange(address, b"").await;
            exchange(address, b"ping").await;
        });
        assert_eq!(records.await, [b"\x81\xa6health\xa5check"]);
    }

    #[tokio::test]
    async fn a_line_over_many_writes_is_one_record() {
        let records = kept(&[("format", "none")], 1 << 20, async |address| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            for part in [&b"one\nfo"[..], b"ur", b"\nfive"] {
                stream.write_all(part).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert_eq!(
            records.await,
            [
                &b"\x81\xa3log\xa3one"[..],
                b"\x81\xa3log\xa4four",
                b"\x81\xa3log\xa4five"
            ]
        );
    }

    #[tokio::test]
    async fn peers_that_send_more_than_the_budget_wait_and_lose_nothing() {
        let text = "x".repeat(99) + "\n";
        let records = kept(&[("format", "none")], 256 * 1024, async |address| {
            let text = text.repeat(10_000);
            let peer = || exchange(address, text.as_bytes());
            tokio::join!(peer(), peer(), peer(), peer());
        });
        assert_eq!(records.await.len(), 40_000);
    }

    #[tokio::test]
    async fn the_end_of_the_process_takes_what_has_arrived() {
        let mut open = None;
        let records = kept(&[], 1 << 20, async |address| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"{}{\"never").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            open = Some(stream);
        });
        assert_eq!(records.await, [[0x80]]);
    }
}
