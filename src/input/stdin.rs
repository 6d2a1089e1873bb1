//! `stdin`: JSON from standard input; its end is the end of the process.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Buffer_Size` | 1M | the longest JSON value, or line |
//! | `Parser` | | makes records of the lines, instead of JSON; one that it does not take becomes `{"log": "line"}` |
//!
//! An object is a record with the time of its arrival. An array of a time and an object, `[1700000000.5, {"a": 1}]` or
//! `[[1700000000.5, {}], {"a": 1}]`, is a record with its time. What is no JSON costs its own line and nothing else.
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/standard-input>

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustix::buffer::spare_capacity;

use super::forward::message::{Entry, entry};
use super::lines::Lines;
use super::room::Room;
use super::tcp::framing::{Tally, Values};
use super::text::{Pairs, TextRecords};
use super::thread::{Bell, Woken, has_arrived, on_own_thread};
use super::{Context, Ingest, Input, Phase, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::read::{self, Value};
use crate::parser::{Parser, Parsers};
use crate::telemetry::log::Limiter;

/// Below this Fluent Bit does not start.
const LIMIT_MIN: u64 = 16_000;
const LIMIT: u64 = 1_000_000;
/// So much is still taken of what has arrived when the process closes.
const LAST: usize = 1 << 20;

struct Stdin {
    limit: usize,
    parser: Option<Arc<Parser>>,
    source: Option<File>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, parsers: &Parsers) -> Box<dyn Input> {
    let name = settings.text("parser");
    let parser = name.as_ref().and_then(|name| parsers.get(name));
    if let Some(name) = name.filter(|_| parser.is_none()) {
        let message =
            format!("parser `{name}` is not registered: name one that a Parsers_File defines");
        settings.error("parser", message);
    }
    Box::new(Stdin {
        limit: limit(settings),
        parser,
        source: None,
    })
}

fn limit(settings: &mut Settings<'_>) -> usize {
    let limit = settings.size("buffer_size").unwrap_or(LIMIT);
    if limit < LIMIT_MIN {
        settings.error(
            "buffer_size",
            format!("has to be {LIMIT_MIN} bytes at least"),
        );
    }
    limit.clamp(LIMIT_MIN, 1 << 30) as usize
}

impl Input for Stdin {
    fn bind(&mut self) -> Result<(), String> {
        // A descriptor of its own, so that nobody's buffer stands between. It stays as it is: other processes may share it.
        let source = io::stdin().as_fd().try_clone_to_owned();
        let source = source.map_err(|error| format!("cannot read standard input: {error}"))?;
        self.source = Some(source.into());
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(source) = self.source {
                on_own_thread(Reader::new(source, self.limit, self.parser, context).read_all())
                    .await;
            }
        })
    }
}

/// What is read.
enum Shape {
    Json(Values),
    Lines(Lines, Box<TextRecords>),
}

/// Reads a source to its end.
struct Reader {
    source: File,
    context: Context,
    ingest: Ingest,
    shape: Shape,
    limit: usize,
    room: Room,
    not_json: Limiter,
}

impl Reader {
    fn new(source: File, limit: usize, parser: Option<Arc<Parser>>, context: Context) -> Self {
        let shape = match parser {
            None => Shape::Json(Values::default()),
            parser => Shape::Lines(Lines::new(limit), Box::new(TextRecords::new("log", parser))),
        };
        Self {
            source,
            ingest: Ingest::open_source(&context),
            context,
            shape,
            limit,
            room: Room::default(),
            not_json: Limiter::default(),
        }
    }

    async fn read_all(mut self) {
        let component = self.context.component();
        let mut phase = self.context.phase.clone();
        let bell = match Bell::new(phase.clone(), Phase::Close) {
            Ok(bell) => bell,
            Err(error) => {
                return crate::error!(&component, "cannot read standard input: {error}");
            }
        };
        loop {
            match bell.wait(Some(self.source.as_fd()), None) {
                Woken::Rung => return self.read_last().await,
                Woken::TimedOut => continue,
                Woken::Readable => {}
            }
            tokio::select! {
                () = self.room.make(&self.ingest) => {}
                () = reached(&mut phase, Phase::Close) => return self.read_last().await,
            }
            match self.read() {
                Ok(0) => {
                    crate::warning!(&component, "end of file (stdin closed by remote end)");
                    break;
                }
                Ok(_) => self.take(false).await,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    crate::error!(&component, "cannot read standard input: {error}");
                    break;
                }
            }
        }
        self.take(true).await;
        self.context.requests.end(0);
    }

    /// Takes what has arrived already, for the end of the process.
    async fn read_last(mut self) {
        let mut taken = 0;
        while taken < LAST && has_arrived(&self.source) {
            self.room.make(&self.ingest).await;
            match self.read() {
                Ok(length @ 1..) => taken += length,
                _ => break,
            }
            self.take(false).await;
        }
        self.take(true).await;
    }

    fn read(&mut self) -> io::Result<usize> {
        let length = rustix::io::read(&self.source, spare_capacity(self.room.bytes()))?;
        self.ingest.note_read(length);
        Ok(length)
    }

    /// Stores every whole record of the buffer; after the `last` read, says what is cut.
    async fn take(&mut self, last: bool) {
        let mut tally = Tally::default();
        let mut no_events = 0;
        let session = self.ingest.session();
        session.tag(self.context.tag.as_bytes());
        let bytes = self.room.bytes();
        let taken = match &mut self.shape {
            Shape::Json(values) => values.take(bytes, last, self.limit, &mut tally, |value| {
                match event(value) {
                    Some(event) => session.offer(event),
                    None => no_events += 1,
                }
            }),
            Shape::Lines(lines, records) => lines.take(bytes, last, |line| {
                let (time, record) = records.make(line, &Pairs::default(), EventTime::now());
                session.offer(Event {
                    time,
                    metadata: &[],
                    record,
                });
            }),
        };
        session.commit().await;
        self.room.taken(taken);
        if let (true, Shape::Json(values)) = (self.room.bytes().is_empty(), &mut self.shape) {
            values.rest();
        }
        tally.not_json += no_events;
        self.report(tally);
    }

    fn report(&self, tally: Tally) {
        let reasons = [
            ("not_json", tally.not_json),
            ("too_long", tally.too_long),
            ("incomplete", tally.incomplete),
        ];
        for (reason, lost) in reasons.into_iter().filter(|(_, lost)| *lost > 0) {
            metrics::counter!("sluice_frames_rejected_total", "name" => self.context.name.to_string(), "reason" => reason)
                .increment(lost);
            if let Some(before) = self.not_json.admit() {
                let component = self.context.component();
                crate::warning!(
                    &component,
                    "invalid JSON message ({reason}), skipping its line{before}"
                );
            }
        }
    }
}

/// An object is a record, an array may be a time and a record.
fn event(value: &[u8]) -> Option<Event<'_>> {
    match read::value(value) {
        Ok((_, Value::Map(_))) => Some(Event {
            time: EventTime::now(),
            metadata: &[],
            record: value,
        }),
        _ => match entry(value) {
            Entry::Event(event) => Some(event),
            Entry::GroupStart(_) | Entry::GroupEnd | Entry::Bad => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::testing::Keeper;
    use std::io::Write;
    use std::time::Duration;

    /// Reads to the end.
    async fn read(source: File, keeper: &Keeper) -> u8 {
        let (context, _phase) = keeper.context(1 << 20);
        let requests = Arc::clone(&context.requests);
        let stdin = Box::new(Stdin {
            limit: LIMIT as usize,
            parser: None,
            source: Some(source),
        });
        stdin.run(context).await;
        requests.ended().await
    }

    fn into_file(reader: io::PipeReader) -> File {
        std::os::fd::OwnedFd::from(reader).into()
    }

    const TEXT: &[u8] = br#"{"a":1}
noise
[1700000000.5,{"b":2}]{"c":
3}
[[5,{"m":1}],{"d":4}]
[{"no":"event"}]
{"cut"#;

    fn check(keeper: &Keeper) {
        let kept = keeper.take();
        let records: Vec<_> = kept
            .iter()
            .map(|(_, _, record)| record.as_slice())
            .collect();
        let expected: [&[u8]; 4] = [
            b"\x81\xa1a\x01",
            b"\x81\xa1b\x02",
            b"\x81\xa1c\x03",
            b"\x81\xa1d\x04",
        ];
        assert_eq!(records, expected);
        assert_eq!(kept[1].1.nanos, 500_000_000);
        assert_eq!(kept[3].1.seconds, 5);
    }

    /// Checklist: engine 60
    #[tokio::test]
    async fn a_file_is_read_and_its_end_ends_the_process() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(TEXT).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let keeper = Keeper::default();
        assert_eq!(read(file, &keeper).await, 0);
        check(&keeper);
    }

    #[tokio::test]
    async fn a_pipe_is_read_as_it_comes() {
        let (reader, mut writer) = io::pipe().unwrap();
        let writing = std::thread::spawn(move || {
            for part in TEXT.chunks(3) {
                writer.write_all(part).unwrap();
            }
        });
        let keeper = Keeper::default();
        assert_eq!(read(into_file(reader), &keeper).await, 0);
        writing.join().unwrap();
        check(&keeper);
    }

    #[tokio::test]
    async fn the_end_of_the_process_takes_what_has_arrived() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"{\"a\":1}{\"never").unwrap();
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        phase.send_replace(Phase::Close);
        let stdin = Box::new(Stdin {
            limit: LIMIT as usize,
            parser: None,
            source: Some(into_file(reader)),
        });
        tokio::time::timeout(Duration::from_secs(10), stdin.run(context))
            .await
            .unwrap();
        assert_eq!(keeper.take_records(), [b"\x81\xa1a\x01"]);
    }

    #[tokio::test]
    async fn with_a_parser_every_line_is_a_record() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"a=1\n\nb=2").unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let keeper = Keeper::default();
        let (context, _phase) = keeper.context(1 << 20);
        let parsers = crate::input::text::test_parsers(&[("format", "logfmt")]);
        let stdin = Box::new(Stdin {
            limit: LIMIT as usize,
            parser: parsers.get("p"),
            source: Some(file),
        });
        stdin.run(context).await;
        let expected = [
            &b"\x81\xa1a\xa11"[..],
            b"\x81\xa3log\xa0",
            b"\x81\xa1b\xa12",
        ];
        assert_eq!(keeper.take_records(), expected);
    }

    #[test]
    fn a_buffer_too_small_for_fluent_bit_is_refused() {
        let (_, problems) = configured(&[("buffer_size", "10k")], limit);
        assert!(problems.concat().contains("16000"), "{problems:?}");
        let (limit, problems) = configured(&[("buffer_size", "2M")], limit);
        assert_eq!((limit, problems.len()), (2_000_000, 0));
    }
}
