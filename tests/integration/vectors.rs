//! Every recorded frame of the shared vectors, good and bad, against one running process.
//!
//! The events come out through three files: one in msgpack, which shows them exactly, one in text, which shows their tags, and
//! one in JSON, which has to be JSON whatever they hold.

use std::fmt::Write as _;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json as value};
use sha2::{Digest, Sha256};

use super::support::vectors::{all, folder, json, unhex};
use super::support::{Client, Frame, Router, Running, ack, msgpack};

/// How soon a good peer has to be served beside garbage. 100 ms are asked for; a debug build, which takes most of a second to
/// inflate a bomb up to the limit, gets more.
const SERVED_WITHIN: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 5000 } else { 100 });

/// How soon a connection has to be closed that holds garbage. A second is asked for; a debug build on a busy machine gets more.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// What all malformed frames together may cost: 32 MiB beyond a frame and what it inflates to.
const GROWTH_MAX: u64 = (32 << 20) + 2 * 6_144_000;

type Outcome = Result<(), String>;

/// A router and how far its files have been read.
struct Stage {
    router: Running,
    events_read: u64,
    lines_read: u64,
    json_read: u64,
    guards: u32,
}

/// What came out since the last time.
struct Out {
    /// As `time_sec`, `time_nsec`, `record`, `metadata`, and `group` where there is one.
    events: Vec<Value>,
    /// The encoded events.
    raw: Vec<Vec<u8>>,
    /// `tag: [time, record]`.
    lines: Vec<String>,
}

impl Stage {
    fn open() -> Self {
        let router = Router::new()
            .service("Flush", "0.01")
            .forward(&[])
            .file("events.msgpack", &[("Match", "*"), ("Format", "msgpack")])
            .file("events.txt", &[("Match", "*"), ("Format", "out_file")])
            .file("events.json", &[("Match", "*"), ("Format", "plain")])
            .start();
        Self {
            router,
            events_read: 0,
            lines_read: 0,
            json_read: 0,
            guards: 0,
        }
    }

    /// A good frame for this tag, its acknowledgement, and its event.
    fn guard(&mut self, tag: &str) -> (Frame, Vec<u8>, Value) {
        self.guards += 1;
        let id = format!("guard {}", self.guards);
        let frame = Frame::new(tag).log(&id).chunk(&id);
        (frame, ack(&id), value!({ "log": id }))
    }

    /// Everything that has come out, once all of it has.
    fn out(&mut self) -> Out {
        self.router.settles();
        let bytes = self.unread("events.msgpack", self.events_read);
        let lines = self.unread("events.txt", self.lines_read);
        self.events_read += bytes.len() as u64;
        self.lines_read += lines.len() as u64;
        let json = self.unread("events.json", self.json_read);
        self.json_read += json.len() as u64;
        for line in json.split_inclusive(|byte| *byte == b'\n') {
            let parsed = serde_json::from_slice::<Value>(line);
            assert!(parsed.is_ok_and(|it| it.is_object()), "{line:02x?}");
        }
        let (mut events, mut raw, mut rest) = (Vec::new(), Vec::new(), bytes.as_slice());
        let mut group = None;
        while !rest.is_empty() {
            let before = rest;
            let entry = msgpack::value(&mut rest);
            let mut event = event(&entry);
            match event["time_sec"].as_u64() {
                Some(0xffff_ffff) => {
                    group = Some(value!({ "metadata": entry[0][1], "attributes": entry[1] }));
                }
                Some(0xffff_fffe) => group = None,
                _ => {
                    if let Some(group) = &group {
                        event["group"] = group.clone();
                    }
                    events.push(event);
                    raw.push(before[..before.len() - rest.len()].to_vec());
                }
            }
        }
        let lines = String::from_utf8(lines).unwrap();
        Out {
            events,
            raw,
            lines: lines.lines().map(str::to_owned).collect(),
        }
    }

    fn unread(&self, file: &str, from: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Before the first event there is no file.
        if let Ok(mut file) = std::fs::File::open(self.router.path(file)) {
            file.seek(SeekFrom::Start(from)).unwrap();
            file.read_to_end(&mut bytes).unwrap();
        }
        bytes
    }
}

/// `[[time, metadata], record]` as the vectors write events.
fn event(entry: &Value) -> Value {
    let (time, metadata) = (&entry[0][0], &entry[0][1]);
    let (seconds, nanos) = match &time["$ext"][1] {
        Value::String(bytes) => {
            let bytes = base64_simd::STANDARD.decode_to_vec(bytes).unwrap();
            let (seconds, nanos) = bytes.split_at(4);
            let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
            (value!(number(seconds)), number(nanos))
        }
        _ => (time.clone(), 0),
    };
    value!({ "time_sec": seconds, "time_nsec": nanos, "record": entry[1], "metadata": metadata })
}

impl Out {
    /// Takes out the event of a guard; false when it is not there exactly once.
    fn without(&mut self, record: &Value) -> bool {
        let places: Vec<_> = (0..self.events.len())
            .filter(|&place| self.events[place]["record"] == *record)
            .collect();
        let [place] = places[..] else { return false };
        self.events.remove(place);
        self.raw.remove(place);
        let text = record.to_string();
        let line = self.lines.iter().position(|line| line.contains(&text));
        line.map(|line| self.lines.remove(line)).is_some()
    }
}

fn ensure(truth: bool, why: impl FnOnce() -> String) -> Outcome {
    if truth { Ok(()) } else { Err(why()) }
}

/// Texts of vectors can be megabytes.
fn brief(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take(600).collect()
}

// Valid frames.

/// Plays one valid vector in pieces of `piece` bytes.
fn play(stage: &mut Stage, name: &str, piece: usize) -> Outcome {
    let bytes = std::fs::read(folder().join(format!("valid/{name}.msgpack"))).unwrap();
    let vector = json(&format!("valid/{name}.json"));
    let messages = vector["messages"].as_array().unwrap();
    let is_json = bytes.first() == Some(&b'[');
    let (guard, mut acks, record) = stage.guard("guard");
    let mut guard = guard.bytes();
    if is_json {
        (guard, acks) = json_guard(&record);
    }
    acks.splice(..0, messages.iter().flat_map(expected_ack));
    let mut client = stage.router.connect();
    for piece in bytes.chunks(piece) {
        client.write(piece).map_err(|error| error.to_string())?;
    }
    // Only a connection that is still open answers this, and behind everything else.
    client.write(&guard).map_err(|error| error.to_string())?;
    let received = client.read(acks.len());
    let mut out = stage.out();
    ensure(received == acks, || {
        format!("received {received:02x?}, not {acks:02x?}")
    })?;
    ensure(out.without(&record), || {
        "the frame behind it is lost".to_owned()
    })?;
    came_out(messages, &out)?;
    let holds = |magic: &[u8]| bytes.windows(magic.len()).any(|bytes| bytes == magic);
    let is_recoded = is_json || holds(b"\x1f\x8b") || holds(b"\x28\xb5\x2f\xfd");
    ensure(
        is_recoded || out.raw.iter().all(|raw| holds_record(&bytes, raw)),
        || "a record was changed".to_owned(),
    )
}

/// As [`Stage::guard`] for a peer that speaks JSON.
fn json_guard(record: &Value) -> (Vec<u8>, Vec<u8>) {
    let id = &record["log"];
    let frame = value!(["guard", 1_700_000_000, record, { "chunk": id }]);
    let ack = value!({ "ack": id });
    (frame.to_string().into_bytes(), ack.to_string().into_bytes())
}

/// Whether the record of an entry was sent byte for byte. The head of an entry is our own: arrays, time, metadata.
fn holds_record(sent: &[u8], entry: &[u8]) -> bool {
    let mut rest = &entry[2..];
    msgpack::value(&mut rest);
    msgpack::value(&mut rest);
    sent.windows(rest.len()).any(|window| window == rest)
}

fn expected_ack(message: &Value) -> Vec<u8> {
    let hex = message["ack_response_hex"].as_str().unwrap_or_default();
    unhex(hex)
}

/// Checks events and tags. Metrics and traces are taken and ignored. The order counts within a tag.
fn came_out(messages: &[Value], out: &Out) -> Outcome {
    let mut rest: Vec<&Value> = out.events.iter().collect();
    for message in messages
        .iter()
        .filter(|message| message["signal"] == "logs")
    {
        let count = message["events_summary"]["count"].as_u64();
        let listed = message["events"].as_array().unwrap();
        let count = count.map_or(listed.len(), |count| count as usize);
        let tag = message["tag"].as_str().unwrap();
        let tagged = out
            .lines
            .iter()
            .filter(|line| line.starts_with(&format!("{tag}: [")));
        ensure(tagged.count() >= count, || {
            format!("tag {tag:?}: {}", brief(&out.lines))
        })?;
        if let Some(sum) = message["events_summary"]["sha256_of_canonical_events"].as_str() {
            let found = digest(&rest);
            ensure(found == sum, || {
                format!("events add up to {found}, not {sum}")
            })?;
            rest.clear();
            continue;
        }
        for expected in listed {
            let place = rest.iter().position(|event| *event == expected);
            let is_next = |place: &usize| messages.len() > 1 || *place == 0;
            let Some(place) = place.filter(is_next) else {
                return Err(format!("no {} in {}", brief(expected), brief(&rest)));
            };
            rest.remove(place);
        }
    }
    ensure(rest.is_empty(), || format!("too much: {}", brief(&rest)))
}

/// SHA-256 of the events as canonical JSON, joined by newlines.
fn digest(events: &[&Value]) -> String {
    let texts: Vec<_> = events
        .iter()
        .map(|event| ascii(&event.to_string()))
        .collect();
    let hash = Sha256::digest(texts.join("\n"));
    hash.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn ascii(text: &str) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => out.push(char::from(byte)),
            _ => write!(out, "\\u{unit:04x}").unwrap(),
        }
    }
    out
}

/// Plays every valid vector in pieces.
fn play_all(piece: usize) {
    let mut stage = Stage::open();
    check("valid", |vector| {
        play(&mut stage, vector["name"].as_str().unwrap(), piece)
    });
}

/// Has every vector of a kind judged and reports all that are wrong.
fn check(kind: &str, mut judge: impl FnMut(&Value) -> Outcome) {
    let mut report = String::new();
    for vector in all(kind) {
        let name = vector["name"].as_str().unwrap();
        if let Err(why) = judge(&vector) {
            writeln!(report, "{name}: {why}").unwrap();
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Checklist: forward 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 35, 37; firelens 2, 3
#[test]
fn valid_frames_come_out_as_they_were_sent() {
    play_all(usize::MAX);
}

/// Checklist: forward 30.
#[test]
fn valid_frames_come_out_the_same_when_they_come_byte_by_byte() {
    play_all(1);
}

// Malformed frames.

/// What became of a connection.
struct Fate {
    is_open: bool,
    /// Everything received, but for the guard's acknowledgement.
    acks: Vec<Value>,
    /// The record of the frame sent behind on the same connection, if that was taken.
    guard: Option<Value>,
}

fn bytes_of(vector: &Value) -> Vec<u8> {
    let bytes = if let Some(file) = vector["file"].as_str() {
        std::fs::read(folder().join("malformed").join(file)).unwrap()
    } else {
        let segments = vector["recipe"].as_array().unwrap().iter();
        segments
            .flat_map(|segment| match segment["hex"].as_str() {
                Some(hex) => unhex(hex),
                None => unhex(segment["repeat_hex"].as_str().unwrap())
                    .repeat(segment["count"].as_u64().unwrap() as usize),
            })
            .collect()
    };
    let sum = Sha256::digest(&bytes);
    assert_eq!(sum[..], unhex(vector["sha256"].as_str().unwrap())[..]);
    bytes
}

/// Sends the bytes and finds out whether the connection stays open.
fn abuse(stage: &mut Stage, vector: &Value) -> Result<Fate, String> {
    let disposition = &vector["disposition"];
    let mut client = stage.router.connect();
    // The router may close before everything is written.
    drop(client.write(&bytes_of(vector)));
    let fate = |received: &[u8], guard: Option<Value>| Fate {
        is_open: guard.is_some(),
        acks: acks_of(received),
        guard,
    };
    let recommended = &disposition["recommended"];
    if recommended["connection"] == "closed" {
        let received = client.read_to_end(CLOSED_WITHIN).ok_or("it stays open")?;
        return Ok(fate(&received, None));
    }
    if vector["then_eof"] == true {
        return end_of_file(&mut client, recommended);
    }
    let (guard, ack, record) = stage.guard("guard");
    drop(client.write(&guard.bytes()));
    let (received, is_open) = client.read_until(&ack);
    let acks = received.strip_suffix(ack.as_slice()).unwrap_or(&received);
    Ok(fate(acks, is_open.then_some(record)))
}

/// Closes the writing side of a connection that may have to be open until then.
fn end_of_file(client: &mut Client, recommended: &Value) -> Result<Fate, String> {
    let acks = recommended["acks"].as_array().unwrap();
    let length: usize = acks.iter().map(|id| ack(id.as_str().unwrap()).len()).sum();
    let mut received = client.read(length);
    let is_open = client.is_open_and_silent();
    client.finish();
    received.extend(
        client
            .read_to_end(CLOSED_WITHIN)
            .ok_or("it stays open at the end")?,
    );
    Ok(Fate {
        is_open,
        acks: acks_of(&received),
        guard: None,
    })
}

fn acks_of(mut received: &[u8]) -> Vec<Value> {
    let mut acks = Vec::new();
    while !received.is_empty() {
        acks.push(msgpack::value(&mut received)["ack"].take());
    }
    acks
}

/// Plays one malformed vector and sends a good frame with its tag behind, on a new connection. It has to end as the index
/// recommends, which is one of the ways it allows.
fn survive(stage: &mut Stage, vector: &Value) -> Outcome {
    let recommended = &vector["disposition"]["recommended"];
    let mut events = recommended["events"].as_array().unwrap().clone();
    let tags: Vec<_> = events
        .iter_mut()
        .map(|event| event.as_object_mut().unwrap().remove("tag"))
        .collect();
    let tag = tags.first().and_then(|tag| tag.as_ref()?.as_str());

    let fate = abuse(stage, vector);
    let own = tag_of(&bytes_of(vector));
    let (guard, ack, record) = stage.guard(tag.or(own.as_deref()).unwrap_or("bad"));
    let mut client = stage.router.connect();
    client.send(&guard);
    let received = client.read(ack.len());
    let mut out = stage.out();
    let fate = fate?;

    ensure(received == ack && out.without(&record), || {
        "the good frame behind it is lost".to_owned()
    })?;
    if let Some(guard) = &fate.guard {
        ensure(out.without(guard), || {
            "it swallows the next frame".to_owned()
        })?;
    }
    let is_open = recommended["connection"] != "closed";
    ensure(fate.is_open == is_open, || {
        format!("open: {}", fate.is_open)
    })?;
    ensure(out.events == events, || {
        format!("not these events: {}", brief(&out.events))
    })?;
    ensure(
        fate.acks == *recommended["acks"].as_array().unwrap(),
        || format!("not these acks: {}", brief(&fate.acks)),
    )
}

/// The tag of a frame that begins as most do.
fn tag_of(bytes: &[u8]) -> Option<String> {
    let [0x90..=0x9f, length @ 0xa1..=0xbf, rest @ ..] = bytes else {
        return None;
    };
    let tag = rest.get(..usize::from(length & 0x1f))?;
    String::from_utf8(tag.to_vec()).ok()
}

/// A good peer that sends without a pause, on one connection, and remembers how long it waited for an answer.
struct Other {
    stop: Arc<AtomicBool>,
    worst: JoinHandle<Duration>,
}

impl Other {
    fn start(router: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let worst = thread::spawn(move || {
            let mut client = Client::connect(router);
            // A message without an event leaves nothing in the files.
            let frame = Frame::new("other").chunk("other");
            let mut worst = Duration::ZERO;
            while !stopped.load(Ordering::Acquire) {
                let sent = Instant::now();
                client.send(&frame);
                assert_eq!(client.read(ack("other").len()), ack("other"));
                worst = worst.max(sent.elapsed());
                // Often enough to meet every frame; a busy loop would take the time it measures.
                thread::park_timeout(Duration::from_millis(10));
            }
            worst
        });
        Self { stop, worst }
    }

    fn worst(self) -> Duration {
        self.stop.store(true, Ordering::Release);
        self.worst.join().unwrap()
    }
}

/// Checklist: forward 38, 49, 50, 53, 54.
#[test]
fn malformed_frames_end_as_they_should_and_harm_nobody() {
    let mut stage = Stage::open();
    let other = Other::start(stage.router.forward());
    let (guard, ack, record) = stage.guard("first");
    let mut client = stage.router.connect();
    client.send(&guard);
    client.read(ack.len());
    assert!(stage.out().without(&record));
    let before = stage.router.process.peak_memory();
    check("malformed", |vector| survive(&mut stage, vector));
    let growth = stage.router.process.peak_memory() - before;
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes");
    let worst = other.worst();
    assert!(worst < SERVED_WITHIN, "{worst:?}");
    // The connection from before is still served.
    let (guard, ack, record) = stage.guard("last");
    client.send(&guard);
    assert_eq!(client.read(ack.len()), ack);
    assert!(stage.out().without(&record));
}
