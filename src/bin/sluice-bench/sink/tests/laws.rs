//! The router's encoders against the sink's limits: random batches, none of which a service may refuse.
//!
//! The one place where this tool meets the router's code: the outputs are built from settings, as the router builds them, and what they
//! encode goes through the checks of the sink and into its ledger. `SLUICE_LAW_BATCHES` says how many requests are made (a million
//! take some minutes with `--release`), `SLUICE_LAW_SEED` which ones.

use std::sync::Arc;

use sluice::config::{Problems, Section, SectionKind, Settings, Variables};
use sluice::event::{Event, EventTime, Tag};
use sluice::output::{self, Destination, Item, Output};

use super::super::answer::ApiError;
use super::super::cloud::Storage;
use super::super::faults::Faults;
use super::super::firehose::{self, DeliveryStreams};
use super::super::kept::Kept;
use super::super::kinesis::{self, Streams};
use super::super::ledger::Ledger;
use super::super::logs::{self, Groups};
use crate::random::Random;
use crate::stats::now_nanos;

/// Requests, unless `SLUICE_LAW_BATCHES` says otherwise: as many as an unoptimised build makes in some seconds.
const BATCHES: u64 = 1_000;

const LOGS: &[(&str, &str)] = &[
    ("log_group_name", "g"),
    ("log_stream_name", "s"),
    ("region", "r"),
];
const FIREHOSE: &[(&str, &str)] = &[("delivery_stream", "d"), ("region", "r")];
const KINESIS: &[(&str, &str)] = &[("stream", "k"), ("region", "r")];

/// Every output with the options that change what it encodes: name, settings, whether the sink can read the marks (not in packings other
/// than gzip, nor in texts that are packed before they are joined).
type Subject = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
    bool,
);
const SUBJECTS: &[Subject] = &[
    ("cloudwatch_logs", LOGS, &[], true),
    ("cloudwatch_logs", LOGS, &[("log_key", "log")], true),
    (
        "cloudwatch_logs",
        LOGS,
        &[("log_key", "log"), ("oversized_events", "drop")],
        true,
    ),
    ("cloudwatch", LOGS, &[("log_key", "log")], true),
    ("kinesis_firehose", FIREHOSE, &[("time_key", "t")], true),
    ("kinesis_firehose", FIREHOSE, &[("log_key", "log")], true),
    (
        "kinesis_firehose",
        FIREHOSE,
        &[("log_key", "log"), ("simple_aggregation", "on")],
        true,
    ),
    (
        "kinesis_firehose",
        FIREHOSE,
        &[("compression", "gzip")],
        true,
    ),
    (
        "kinesis_firehose",
        FIREHOSE,
        &[("compression", "gzip"), ("simple_aggregation", "on")],
        true,
    ),
    (
        "kinesis_firehose",
        FIREHOSE,
        &[("compression", "zstd")],
        false,
    ),
    (
        "kinesis_firehose",
        FIREHOSE,
        &[("compression", "snappy"), ("oversized_events", "drop")],
        false,
    ),
    (
        "firehose",
        FIREHOSE,
        &[("data_keys", "log"), ("replace_dots", "-")],
        true,
    ),
    ("kinesis_streams", KINESIS, &[], true),
    (
        "kinesis_streams",
        KINESIS,
        &[("partition_key", "id"), ("log_key", "log")],
        true,
    ),
    (
        "kinesis_streams",
        KINESIS,
        &[("simple_aggregation", "on"), ("log_key", "log")],
        true,
    ),
    ("kinesis_streams", KINESIS, &[("compression", "gzip")], true),
    (
        "kinesis",
        KINESIS,
        &[("aggregation", "true"), ("partition_key", "id")],
        true,
    ),
    (
        "kinesis",
        KINESIS,
        &[("aggregation", "true"), ("compression", "gzip")],
        false,
    ),
    (
        "kinesis",
        KINESIS,
        &[("append_newline", "true"), ("log_key", "log")],
        true,
    ),
];

/// An output, and where its requests go.
struct Bound {
    name: &'static str,
    output: Arc<dyn Output>,
    destination: Destination,
    has_marks: bool,
}

fn bound(&(name, base, more, has_marks): &Subject) -> Bound {
    let pairs = [&[("name", name)], base, more].concat();
    let section = Section::of_pairs(SectionKind::Output, &pairs);
    let (variables, mut problems) = (Variables::default(), Problems::default());
    let mut settings = Settings::new(&section, &variables, &mut problems);
    let output = output::find(name).unwrap()(&mut settings, output::Options::default());
    let destination = output.destination(&Tag::new(b"tag")).unwrap_or_default();
    Bound {
        name,
        output,
        destination,
        has_marks,
    }
}

/// Texts to cut lines from: each is longer than the longest line.
struct Texts(Vec<Vec<u8>>);

impl Texts {
    fn new() -> Self {
        let patterns: [&[u8]; 7] = [
            b"x",
            b"a \"quote\" \\ and / ",
            b"\n\t\x00\x1b",
            "é".as_bytes(),
            "\u{1f600}".as_bytes(),
            b"\xff\xfe\xc3(\xe2\x82",
            "GET /index.html 200 \u{2028}日本".as_bytes(),
        ];
        let long = |pattern: &[u8]| pattern.repeat((2 << 20) / pattern.len());
        Self(patterns.iter().map(|pattern| long(pattern)).collect())
    }
}

/// One event of a batch.
struct Line {
    time: EventTime,
    record: Vec<u8>,
    has_mark: bool,
}

/// How large the events of a batch are, and how many there may be.
fn shape(random: &mut Random) -> (u64, fn(&mut Random) -> u64) {
    match random.below(100) {
        0..70 => (200, |random| random.below(300)),
        70..72 => (12_000, |random| random.below(45)),
        72..82 => (1200, |random| 30 + random.below(2_500)),
        82..92 => (12, |random| random.below(400_000)),
        92..96 => (6, |random| 1_048_576 - 60 + random.below(120)),
        96..98 => (6, |random| 1_024_000 - 60 + random.below(120)),
        // Sums that end at the limit, give or take a byte: sixteen events with what the service adds to each.
        _ => (40, |random| 65_536 - 26 - 1 + random.below(3)),
    }
}

/// Seconds and nanoseconds from now.
fn offset(kind: u64, random: &mut Random) -> i64 {
    const DAY: i64 = 86_400_000;
    let below = |random: &mut Random, end: u64| i64::try_from(random.below(end)).unwrap_or(0);
    match kind {
        0 => 0,
        1 => -below(random, 100_000),
        2 => below(random, 200_000) - 100_000,
        // Around a day, and around the oldest and the newest that are taken.
        3 => -DAY * below(random, 3) + below(random, 3) - 1,
        4 => -14 * DAY + below(random, 240_000) - 120_000,
        5 => 2 * 3_600_000 + below(random, 20_000) - 10_000,
        _ => below(random, 18 * 86_400_000) - 16 * DAY,
    }
}

fn lines(random: &mut Random, texts: &Texts) -> Vec<Line> {
    let (most, size) = shape(random);
    let count = 1 + random.below(most);
    let kind = random.below(12);
    let now = i64::try_from(now_nanos() / 1_000_000).unwrap_or(0);
    let line = |number: u64| {
        let size = size(random) as usize;
        let time = now + offset(kind, random);
        let mark = format!("seq=0.{number}.0 ");
        let text = random.below(texts.0.len() as u64) as usize;
        let filler = &texts.0[text];
        let has_mark = size >= mark.len();
        let rest = size.saturating_sub(if has_mark { mark.len() } else { 0 });
        let mut log = if has_mark {
            mark.into_bytes()
        } else {
            Vec::new()
        };
        log.extend_from_slice(&filler[..rest]);
        let mut record = Vec::with_capacity(log.len() + 64);
        crate::msgpack::small_map(&mut record, 2);
        crate::msgpack::text(&mut record, b"log");
        crate::msgpack::text(&mut record, &log);
        crate::msgpack::text(&mut record, b"id");
        crate::msgpack::text(&mut record, &filler[..random.below(300) as usize]);
        Line {
            time: EventTime {
                seconds: u64::try_from(time.div_euclid(1000)).unwrap_or(0),
                nanos: u32::try_from(time.rem_euclid(1000)).unwrap_or(0) * 1_000_000,
            },
            record,
            has_mark,
        }
    };
    (0..count).map(line).collect()
}

/// The services, and what they have stored.
struct Services {
    groups: Groups,
    delivery_streams: DeliveryStreams,
    streams: Streams,
    ledger: Ledger,
    kept: Kept,
}

impl Services {
    fn new() -> Self {
        Self {
            groups: Groups::new(true),
            delivery_streams: DeliveryStreams {
                any: true,
                ..DeliveryStreams::default()
            },
            streams: Streams {
                any: true,
                ..Streams::default()
            },
            ledger: Ledger::default(),
            kept: Kept::default(),
        }
    }

    fn take(&mut self, name: &str, body: &[u8]) -> Result<String, ApiError> {
        let mut storage = Storage {
            ledger: &mut self.ledger,
            kept: &mut self.kept,
            now: now_nanos(),
        };
        let mut items = Faults::default().judge("", "").items;
        if name.starts_with("cloudwatch") {
            let call = logs::parse("PutLogEvents", body)?;
            self.groups.apply(call, body, &mut storage)
        } else if name.ends_with("firehose") {
            let batch = firehose::parse("PutRecordBatch", body)?;
            self.delivery_streams
                .apply(&batch, body, &mut items, &mut storage)
        } else {
            let batch = kinesis::parse("PutRecords", body)?;
            self.streams.apply(&batch, body, &mut items, &mut storage)
        }
    }
}

/// Encodes all events, request by request, and lets the service check each; how many requests that took.
fn deliver(bound: &Bound, lines: &[Line]) -> Result<u64, String> {
    let tag = Tag::new(b"tag");
    let mut services = Services::new();
    let (mut done, mut requests, mut marked) = (0, 0, 0);
    while done < lines.len() {
        let rest = &lines[done..];
        let mut items = rest.iter().map(|line| Item {
            tag: &tag,
            event: Event {
                time: line.time,
                metadata: &[],
                record: &line.record,
            },
        });
        let encoded = bound
            .output
            .encode(&bound.destination, &mut items, Vec::new());
        if encoded.consumed == 0 {
            return Err(format!("event {done} is offered for ever"));
        }
        let refused: Vec<usize> = encoded.refused.iter().map(|(at, _)| *at).collect();
        let taken = (0..encoded.consumed).filter(|at| refused.binary_search(at).is_err());
        marked += taken.filter(|at| rest[*at].has_mark).count() as u64;
        if encoded.taken() > 0 {
            let answer = services.take(bound.name, &encoded.body);
            let answer = answer.map_err(|error| format!("{}: {}", error.code, error.message))?;
            if answer.contains("rejectedLogEventsInfo") {
                return Err(format!("the service rejects events: {answer}"));
            }
            requests += 1;
        }
        done += encoded.consumed;
    }
    let (unique, duplicates) = services.ledger.unique_and_duplicates();
    if bound.has_marks && (unique, duplicates) != (marked, 0) {
        return Err(format!(
            "{unique} of {marked} have arrived, {duplicates} twice"
        ));
    }
    Ok(requests)
}

fn given(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Checklist: outputs 19, 26
#[test]
fn no_service_refuses_any_request_and_every_event_is_in_one() {
    let batches = given("SLUICE_LAW_BATCHES", BATCHES);
    let seed = given("SLUICE_LAW_SEED", 1);
    let (subjects, texts) = (SUBJECTS.iter().map(bound).collect::<Vec<_>>(), Texts::new());
    let (mut random, mut made, mut turn) = (Random::new(seed), 0, 0);
    while made < batches {
        let at = turn % subjects.len();
        let bound = &subjects[at];
        let lines = lines(&mut random, &texts);
        match deliver(bound, &lines) {
            Ok(requests) => made += requests,
            Err(problem) => panic!(
                "{} {:?}, {} events, turn {turn} of seed {seed}: {problem}",
                bound.name,
                SUBJECTS[at].2,
                lines.len()
            ),
        }
        turn += 1;
    }
    eprintln!("{made} requests of {turn} batches, 0 refused");
}
