//! Connections over socket pairs: the recorded streams in every split, and peers that are slow or silent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::connection::{Connection, End, Rules};
use super::reject::Reject;
use super::retag::Retag;
use super::security::Security;
use crate::config::testing::configured;
use crate::input::stream::{Socket, Stream};
use crate::input::testing::Keeper;
use crate::input::{Context, Phase};
use crate::msgpack::write;

/// The most that serving a connection may take; what it reads comes on top.
const ROOM_MAX: usize = 2048;

/// Beyond this a stream is not split at every byte.
const EVERY_BYTE: usize = 2000;

fn rules() -> Rules {
    Rules {
        frame_max: 6_144_000,
        retag: Retag::default(),
        security: None,
        io_timeout: None,
        join_partial: false,
    }
}

/// A connection, and the peer's end of it.
struct Pair {
    peer: UnixStream,
    served: JoinHandle<End>,
    context: Context,
    keeper: Keeper,
    _phase: watch::Sender<Phase>,
}

impl Pair {
    fn open(rules: Rules) -> Self {
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(64 << 20);
        let (peer, socket) = UnixStream::pair().unwrap();
        let stream = Stream::Plain(Socket::unix(socket, None));
        let connection = Connection::new(stream, &context, &Arc::new(rules), None);
        let served = tokio::spawn(connection.serve(context.phase.clone()));
        Self {
            peer,
            served,
            context,
            keeper,
            _phase: phase,
        }
    }

    /// Writes, and waits until the connection has read all it ever will of it.
    async fn write(&mut self, bytes: &[u8]) {
        let goal = self.context.activity.bytes() + bytes.len() as u64;
        // The connection may be closed in the middle.
        drop(self.peer.write_all(bytes).await);
        while self.context.activity.bytes() < goal && !self.served.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Closes the writing side; how it ended, and everything that was answered.
    async fn finish(mut self) -> (String, Vec<u8>, Keeper) {
        drop(self.peer.shutdown().await);
        let end = self.served.await.unwrap();
        let mut answers = Vec::new();
        // A reset ends it as well.
        drop(self.peer.read_to_end(&mut answers).await);
        (format!("{end:?}"), answers, self.keeper)
    }
}

/// What became of a stream that came in two parts: the end, the answers, the events.
async fn played(bytes: &[u8], cut: usize) -> (String, Vec<u8>, impl PartialEq + std::fmt::Debug) {
    let mut pair = Pair::open(rules());
    let (first, second) = bytes.split_at(cut);
    pair.write(first).await;
    pair.write(second).await;
    let (end, answers, keeper) = pair.finish().await;
    (end, answers, keeper.take())
}

/// The streams of one kind with their names, but for those that a recipe makes longer than a megabyte.
fn streams(kind: &str) -> Vec<(String, Vec<u8>)> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    let root = option_env!("VECTORS").map_or_else(beside, PathBuf::from);
    let folder = root.join("forward").join(kind);
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    let names = index.iter().map(|vector| vector["name"].as_str().unwrap());
    names
        .filter_map(|name| {
            let bytes = std::fs::read(folder.join(format!("{name}.msgpack"))).ok()?;
            Some((name.to_owned(), bytes))
        })
        .collect()
}

async fn every_split_is_the_same(kind: &str) {
    let streams = streams(kind);
    assert!(streams.len() > 50, "{}", streams.len());
    for (name, bytes) in streams {
        let whole = played(&bytes, 0).await;
        let step = if bytes.len() <= EVERY_BYTE {
            1
        } else {
            bytes.len() / 10
        };
        for cut in (1..bytes.len()).step_by(step) {
            assert_eq!(played(&bytes, cut).await, whole, "{name} cut at {cut}");
        }
    }
}

/// Checklist: forward 30.
#[tokio::test(start_paused = true)]
async fn valid_streams_mean_the_same_wherever_they_are_split() {
    every_split_is_the_same("valid").await;
}

#[tokio::test(start_paused = true)]
async fn malformed_streams_end_the_same_wherever_they_are_split() {
    every_split_is_the_same("malformed").await;
}

/// How a connection ends of which the peer says `bytes` and then nothing.
async fn silence(rules: Rules, bytes: &[u8]) -> (End, Duration) {
    let mut pair = Pair::open(rules);
    let begun = tokio::time::Instant::now();
    pair.write(bytes).await;
    (pair.served.await.unwrap(), begun.elapsed())
}

/// Checklist: forward 48.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_sends_its_ping_is_closed() {
    let properties = [("shared_key", "secret")];
    for bytes in [&b""[..], b"\x96\xa4PING\xa1h"] {
        let (security, _) = configured(&properties, Security::read);
        let rules = Rules {
            security,
            ..rules()
        };
        let (end, after) = silence(rules, bytes).await;
        assert!(
            matches!(end, End::Rejected(Reject::HandshakeTimeout)),
            "{end:?}"
        );
        assert!(after.as_secs() < 11, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_in_a_message_is_closed_after_a_minute() {
    let (end, after) = silence(rules(), b"\x93\xa1t").await;
    assert!(matches!(end, End::Rejected(Reject::Slow)), "{end:?}");
    assert!((60..70).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_byte_by_byte_for_ever_is_closed() {
    let mut pair = Pair::open(rules());
    pair.write(b"\x93\xa1t\x05\xdb\x00\x00\xff\xff").await;
    while !pair.served.is_finished() {
        pair.write(b"x").await;
        sleep(Duration::from_secs(1)).await;
    }
    let end = pair.served.await.unwrap();
    assert!(matches!(end, End::Rejected(Reject::Slow)), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_peer_is_closed_only_where_that_is_configured() {
    let limited = Rules {
        io_timeout: Some(Duration::from_secs(20)),
        ..rules()
    };
    let (end, after) = silence(limited, b"\x93\xa1t\x05\x80").await;
    assert!(matches!(end, End::Rejected(Reject::Silent)), "{end:?}");
    assert!((20..22).contains(&after.as_secs()), "{after:?}");

    let mut pair = Pair::open(rules());
    pair.write(b"\x93\xa1t\x05\x80").await;
    sleep(Duration::from_hours(24)).await;
    assert!(!pair.served.is_finished());
    pair.write(b"\x93\xa1t\x06\x80").await;
    let (_, _, keeper) = pair.finish().await;
    assert_eq!(keeper.take().len(), 2);
}

/// Checklist: forward 7.
#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_no_answers_is_not_read_from_and_holds_no_memory() {
    let mut pair = Pair::open(rules());
    let id = [b'i'; 1000];
    let frame = [&b"\x94\xa1t\x05\x80\x81\xa5chunk\xda\x03\xe8"[..], &id].concat();
    let mut sent = 0;
    while let Ok(written) =
        tokio::time::timeout(Duration::from_secs(5), pair.peer.write(&frame)).await
    {
        // A part of a frame goes on with the rest of it.
        let written = written.unwrap();
        pair.peer.write_all(&frame[written..]).await.unwrap();
        sent += 1;
    }
    assert!(!pair.served.is_finished(), "it waits");
    assert!(sent < 3000, "{sent} frames of a kilobyte");
    let kept = pair.keeper.take().len();
    assert!(kept <= sent);
    let used = pair.context.budget.used();
    assert!(used <= 256 * 1024, "{used} bytes");

    // It goes on where it stopped once the answers are read.
    let mut answers = vec![0; sent * (8 + id.len() - 1)];
    pair.peer.read_exact(&mut answers).await.unwrap();
    assert_eq!(kept + pair.keeper.take().len(), sent);
}

/// A frame of these entries that asks for an acknowledgement, and that.
fn packed(entries: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut frame = b"\x93\xa1t".to_vec();
    write::bin(&mut frame, entries);
    frame.extend_from_slice(b"\x81\xa5chunk\xa1c");
    (frame, b"\x81\xa3ack\xa1c".to_vec())
}

#[tokio::test(start_paused = true)]
async fn very_many_very_short_events_are_stored_in_steps_and_all_of_them_or_none() {
    // Three bytes on the wire, and nine times that once stored.
    const COUNT: usize = 100_000;
    let good = b"\x92\x05\x80".repeat(COUNT);
    let (frame, ack) = packed(&good);
    let mut pair = Pair::open(rules());
    pair.write(&frame).await;
    let (end, answers, keeper) = pair.finish().await;
    assert_eq!((end.as_str(), answers), ("Closed { incomplete: 0 }", ack));
    assert_eq!(keeper.take().len(), COUNT);
    let at_once = keeper.most_at_once();
    assert!(at_once < COUNT / 2, "{at_once}");

    let (frame, _) = packed(&[good, vec![0x91; 2000]].concat());
    let mut pair = Pair::open(rules());
    pair.write(&frame).await;
    let (end, answers, keeper) = pair.finish().await;
    assert_eq!((end.as_str(), answers), ("Rejected(DepthLimit)", vec![]));
    assert_eq!(keeper.take().len(), 0);
}

/// Checklist: forward 10.
#[tokio::test]
async fn a_connection_that_waits_takes_little_room() {
    let keeper = Keeper::default();
    let (context, _phase) = keeper.context(64 << 20);
    let (_peer, socket) = UnixStream::pair().unwrap();
    let stream = Stream::Plain(Socket::unix(socket, None));
    let connection = Connection::new(stream, &context, &Arc::new(rules()), None);
    let room = size_of_val(&connection.serve(context.phase.clone()));
    // Of 4 KiB; the session, the registration of the socket and the allocator need some as well.
    assert!(room <= ROOM_MAX, "{room} bytes");
}
