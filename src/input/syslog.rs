//! `syslog`: messages of RFC 3164 and RFC 5424, as a parser reads them.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Mode` | `unix_udp` | `tcp`, `udp`, `unix_tcp`, `unix_udp`: streams or datagrams, over the network or a socket file |
//! | `Listen`, `Port` | 0.0.0.0, 5140 | where to listen |
//! | `Path`, `Unix_Perm` | | the socket file, and its mode, octal |
//! | `Parser` | `syslog-rfc5424`, for socket files `syslog-rfc3164-local` | makes records of messages |
//! | `Format` | newline | what ends a message of a stream: `newline`, or `octet_counting` for its length before it |
//! | `Buffer_Max_Size`, `Buffer_Chunk_Size` | 32768 | the longest message, the larger of the two |
//! | `Raw_Message_Key`, `Source_Address_Key` | | keys of the message as it came, and of its sender |
//!
//! A message that the parser does not take is counted and logged.
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/syslog>

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::io::Interest;

use super::datagram::Datagrams;
use super::lines::Lines;
use super::listen::{Address, Listener, Socket};
use super::net::Net;
use super::room::Room;
use super::text::{Pairs, TextRecords};
use super::{Context, Ingest, Input, Phase, Session, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::parser::{Parser, Parsers};
use crate::telemetry::log::Limiter;

const PORT: u16 = 5140;
const LENGTH_MAX: u64 = 32_768;
/// More digits than any length has.
const DIGITS: usize = 10;

struct Syslog {
    address: Address,
    is_stream: bool,
    net: Net,
    rules: Arc<Rules>,
    bound: Option<Bound>,
}

/// How messages are read.
struct Rules {
    parser: Option<Arc<Parser>>,
    counts_octets: bool,
    limit: usize,
    raw_key: Option<String>,
    source_key: Option<String>,
    rejected: Limiter,
}

enum Bound {
    Stream(Listener),
    Datagrams(Datagrams),
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, parsers: &Parsers) -> Box<dyn Input> {
    Box::new(read(settings, parsers))
}

fn read(settings: &mut Settings<'_>, parsers: &Parsers) -> Syslog {
    let mode = settings.choice("mode", &["tcp", "udp", "unix_tcp", "unix_udp"]);
    let mode = mode.unwrap_or("unix_udp");
    let is_unix = mode.starts_with("unix");
    let host = settings.text("listen").or_else(|| settings.text("host"));
    let port = settings.port("port").unwrap_or(PORT);
    let path = settings.text("path");
    let perm = settings.text("unix_perm");
    let perm = perm.and_then(|text| u32::from_str_radix(&text, 8).ok());
    let address = if is_unix {
        if path.is_none() {
            settings.error(
                "path",
                format!("mode {mode} needs the name of a socket file"),
            );
        }
        Address::Unix(
            PathBuf::from(path.unwrap_or_default()),
            Some(perm.unwrap_or(0o644)),
        )
    } else {
        Address::Tcp(host.unwrap_or_else(|| "0.0.0.0".to_owned()), port)
    };
    let format = settings.choice("format", &["newline", "octet_counting"]);
    let mut size = |key| settings.size(key).unwrap_or(LENGTH_MAX);
    let limit = size("buffer_max_size").max(size("buffer_chunk_size"));
    settings.accept(&["receive_buffer_size"]);
    Syslog {
        address,
        is_stream: mode.ends_with("tcp"),
        net: Net::read(settings),
        rules: Arc::new(Rules {
            parser: parser(settings, parsers, is_unix),
            counts_octets: format == Some("octet_counting"),
            limit: limit.clamp(1, 1 << 30) as usize,
            raw_key: settings.text("raw_message_key"),
            source_key: settings.text("source_address_key"),
            rejected: Limiter::default(),
        }),
        bound: None,
    }
}

fn parser(settings: &mut Settings<'_>, parsers: &Parsers, is_unix: bool) -> Option<Arc<Parser>> {
    let default = if is_unix {
        "syslog-rfc3164-local"
    } else {
        "syslog-rfc5424"
    };
    let name = settings
        .text("parser")
        .unwrap_or_else(|| default.to_owned());
    let parser = parsers.get(&name);
    if parser.is_none() {
        settings.error(
            "parser",
            format!("parser not set: there is no `{name}`; name one that a Parsers_File defines"),
        );
    }
    parser
}

impl Input for Syslog {
    fn bind(&mut self) -> Result<(), String> {
        self.bound = Some(if self.is_stream {
            Bound::Stream(Listener::bind(&self.address, &self.net)?)
        } else {
            Bound::Datagrams(Datagrams::bind(&self.address)?)
        });
        Ok(())
    }

    fn has_peers(&self) -> bool {
        self.is_stream
    }

    fn run(mut self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            crate::info!(&context.component(), "listening on {}", self.address);
            match self.bound.take() {
                Some(Bound::Stream(listener)) => self.serve_streams(listener, &context).await,
                Some(Bound::Datagrams(datagrams)) => {
                    let mut messages = Messages::new(Arc::clone(&self.rules), &context);
                    let take = |session: &mut dyn Session, datagram: &[u8], peer: &str| {
                        messages.take(session, datagram, peer);
                    };
                    datagrams.serve(&context, take).await;
                }
                None => {}
            }
        })
    }
}

impl Syslog {
    async fn serve_streams(&self, mut listener: Listener, context: &Context) {
        let component = context.component();
        let mut connections = tokio::task::JoinSet::new();
        let mut phase = context.phase.clone();
        loop {
            tokio::select! {
                socket = listener.accept(&component) => {
                    let messages = Messages::new(Arc::clone(&self.rules), context);
                    connections.spawn(Connection::new(socket, messages, context).serve(context.phase.clone()));
                }
                Some(_) = connections.join_next() => {}
                () = reached(&mut phase, Phase::Close) => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

/// Makes records of messages.
struct Messages {
    rules: Arc<Rules>,
    records: TextRecords,
    pairs: Pairs,
    component: String,
    name: Arc<str>,
}

impl Messages {
    fn new(rules: Arc<Rules>, context: &Context) -> Self {
        Self {
            records: TextRecords::new("log", rules.parser.clone()),
            rules,
            pairs: Pairs::default(),
            component: context.component(),
            name: Arc::clone(&context.name),
        }
    }

    /// Offers the record of a message, if the parser takes it. Some senders end messages with NUL.
    fn take(&mut self, session: &mut dyn Session, message: &[u8], peer: &str) {
        let end = message.iter().rposition(|byte| !matches!(byte, b'\n' | 0));
        let Some(message) = end.and_then(|end| message.get(..=end)) else {
            return;
        };
        self.pairs.clear();
        if let Some(key) = &self.rules.raw_key {
            self.pairs.text(key, message);
        }
        if let Some(key) = &self.rules.source_key {
            self.pairs.text(key, peer.as_bytes());
        }
        match self
            .records
            .make_parsed(message, &self.pairs, EventTime::now())
        {
            Some((time, record)) => session.offer(Event {
                time,
                metadata: &[],
                record,
            }),
            None => self.reject("not_syslog"),
        }
    }

    fn reject(&self, reason: &'static str) {
        metrics::counter!("sluice_frames_rejected_total", "name" => self.name.to_string(), "reason" => reason)
            .increment(1);
        if let Some(before) = self.rules.rejected.admit() {
            let parser = self
                .rules
                .parser
                .as_ref()
                .map_or("", |parser| parser.name());
            crate::warning!(
                &self.component,
                "error parsing a message ({reason}) with parser `{parser}`, skipping it{before}"
            );
        }
    }
}

/// A peer of a stream.
struct Connection {
    socket: Socket,
    peer: String,
    ingest: Ingest,
    room: Room,
    lines: Lines,
    messages: Messages,
    context: Context,
}

impl Connection {
    fn new(socket: Socket, messages: Messages, context: &Context) -> Self {
        Self {
            peer: socket.name(),
            socket,
            ingest: Ingest::open(context),
            room: Room::default(),
            lines: Lines::new(messages.rules.limit),
            messages,
            context: context.clone(),
        }
    }

    /// Serves the peer until it leaves or the process ends.
    async fn serve(mut self, mut phase: tokio::sync::watch::Receiver<Phase>) {
        loop {
            let read = tokio::select! {
                read = self.read() => read,
                () = reached(&mut phase, Phase::Close) => break,
            };
            match read {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                _ => break,
            }
            if !self.take(false).await {
                return;
            }
        }
        while let Ok(1..) = self.read_now() {
            if !self.take(false).await {
                return;
            }
            self.room.make(&self.ingest).await;
        }
        self.take(true).await;
    }

    /// Reads once.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is waited for once something is read.
    async fn read(&mut self) -> io::Result<usize> {
        self.socket.ready(Interest::READABLE).await?;
        self.room.make(&self.ingest).await;
        self.read_now()
    }

    fn read_now(&mut self) -> io::Result<usize> {
        let bytes = self.room.bytes();
        if bytes.capacity() == bytes.len() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.socket.try_read(bytes)?;
        self.ingest.note_read(length);
        Ok(length)
    }

    /// Stores the whole messages that are there; false when what comes makes no sense.
    async fn take(&mut self, last: bool) -> bool {
        let Self {
            ingest,
            room,
            lines,
            messages,
            peer,
            context,
            ..
        } = self;
        let session = ingest.session();
        session.tag(context.tag.as_bytes());
        let bytes = room.bytes();
        let limit = messages.rules.limit;
        let taken = if messages.rules.counts_octets {
            counted(bytes, limit, |message| {
                messages.take(session, message, peer);
            })
        } else {
            Some(lines.take(bytes, last, |line| messages.take(session, line, peer)))
        };
        session.commit().await;
        if taken.is_none() {
            messages.reject("bad_length");
        }
        room.taken(taken.unwrap_or(usize::MAX));
        taken.is_some()
    }
}

/// Hands over the messages that each follow their length and a blank; how much they take, `None` where no length stands or a
/// message is too long.
fn counted(bytes: &[u8], limit: usize, mut sink: impl FnMut(&[u8])) -> Option<usize> {
    let mut taken = 0;
    while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match rest.get(digits) {
            _ if digits > DIGITS => return None,
            None => break,
            Some(b' ') => {}
            // Some senders end counted messages with a newline all the same.
            Some(b'\n') if digits == 0 => {
                taken += 1;
                continue;
            }
            Some(_) => return None,
        }
        let length = std::str::from_utf8(rest.get(..digits)?).ok()?;
        let length = length.parse::<usize>().ok();
        let length = length.filter(|length| *length <= limit)?;
        let start = digits + 1;
        let Some(message) = rest.get(start..start + length) else {
            break;
        };
        sink(message);
        taken += start + length;
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::text::test_parsers;

    #[test]
    fn counted_messages_are_taken_whole() {
        let taken = |text: &str| {
            let mut found = Vec::new();
            let length = counted(text.as_bytes(), 10, |message| {
                found.push(String::from_utf8_lossy(message).into_owned());
            });
            (length, found)
        };
        let both = vec!["abc".to_owned(), "d\ne".to_owned()];
        assert_eq!(taken("3 abc3 d\ne"), (Some(10), both.clone()));
        assert_eq!(taken("3 abc\n3 d\ne5 xx"), (Some(11), both));
        for incomplete in ["1", "12", "3 ab"] {
            assert_eq!(taken(incomplete), (Some(0), vec![]));
        }
        for wrong in ["<34>x", " x", "11 x", "99999999999999999999 x", "x"] {
            assert_eq!(taken(wrong).0, None, "{wrong}");
        }
    }

    #[test]
    fn a_parser_and_a_path_are_needed() {
        let parsers = test_parsers(&[("format", "logfmt")]);
        for (properties, named) in [
            (&[("mode", "tcp")][..], "syslog-rfc5424"),
            (&[("path", "x")], "syslog-rfc3164-local"),
            (&[("parser", "p")], "socket file"),
        ] {
            let (_, problems) = configured(properties, |settings| read(settings, &parsers));
            assert!(problems.concat().contains(named), "{problems:?}");
        }
        let properties = [("mode", "UDP"), ("parser", "p")];
        let (syslog, problems) = configured(&properties, |settings| read(settings, &parsers));
        assert_eq!(problems, [""; 0]);
        assert!(!syslog.is_stream && syslog.rules.limit == 32_768);
    }
}
