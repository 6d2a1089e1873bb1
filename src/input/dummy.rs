//! `dummy`: makes the same record up, again and again. For trying out what comes behind it.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `dummy` | `{"message":"dummy"}` | the record |
//! | `metadata` | `{}` | its metadata |
//! | `rate` | 1 | times in a second |
//! | `interval_sec`, `interval_nsec` | 0 | the time between two, instead of a rate |
//! | `copies` | 1 | records each time |
//! | `samples` | 0 | how many times; 0 for no end |
//! | `start_time_sec`, `start_time_nsec` | -1 | the time of the first, from which it goes on |
//! | `fixed_timestamp` | off | all records have the time of the first |
//! | `flush_on_startup` | off | the first comes at once, not after an interval |
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/dummy>

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Interval};

use super::{Context, Ingest, Input, Phase, Session, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime, Tag};
use crate::msgpack::read::{self, Value};
use crate::parser::{Parsers, json};

/// Copies are stored after about so many bytes.
const COMMIT: usize = 64 * 1024;

/// Longer than any test, and short enough for clocks to add.
const PERIOD_MAX: Duration = Duration::from_hours(365 * 24);

/// The settings as meant.
#[derive(Debug, Clone, PartialEq)]
struct Dummy {
    record: Vec<u8>,
    /// Empty for none.
    metadata: Vec<u8>,
    period: Duration,
    copies: u64,
    /// `None` for no end.
    samples: Option<u64>,
    start: Option<EventTime>,
    is_fixed: bool,
    at_once: bool,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    Box::new(read(settings))
}

fn read(settings: &mut Settings<'_>) -> Dummy {
    Dummy {
        record: map(settings, "dummy", r#"{"message":"dummy"}"#),
        metadata: Some(map(settings, "metadata", "{}"))
            .filter(|map| *map != [0x80])
            .unwrap_or_default(),
        period: period(settings),
        copies: positive(settings, "copies").unwrap_or(1),
        samples: positive(settings, "samples"),
        start: start(settings),
        is_fixed: settings.flag("fixed_timestamp", false),
        at_once: settings.flag("flush_on_startup", false),
    }
}

/// A JSON object as `MessagePack`. What is none is overlooked, as in Fluent Bit.
fn map(settings: &mut Settings<'_>, key: &'static str, default: &str) -> Vec<u8> {
    let text = settings.text(key).unwrap_or_else(|| default.to_owned());
    object(&text).unwrap_or_else(|| {
        settings.lapse(key, "is no JSON object", &format!("`{default}` is used"));
        object(default).unwrap_or_default()
    })
}

fn object(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let length = json::to_msgpack(text.as_bytes(), &mut out).ok()?;
    let is_all = text.get(length..)?.trim_ascii().is_empty();
    let is_map = matches!(read::value(&out), Ok((_, Value::Map(_))));
    (is_all && is_map).then_some(out)
}

/// A number above 0.
fn positive(settings: &mut Settings<'_>, key: &'static str) -> Option<u64> {
    let number = settings.integer(key)?;
    u64::try_from(number).ok().filter(|&number| number > 0)
}

fn period(settings: &mut Settings<'_>) -> Duration {
    let rate = positive(settings, "rate").unwrap_or(1);
    let seconds = positive(settings, "interval_sec").unwrap_or(0);
    let nanos = positive(settings, "interval_nsec").unwrap_or(0);
    match Duration::from_secs(seconds) + Duration::from_nanos(nanos) {
        Duration::ZERO => Duration::from_secs(1)
            .div_f64(rate as f64)
            .max(Duration::from_nanos(1)),
        period => period.min(PERIOD_MAX),
    }
}

fn start(settings: &mut Settings<'_>) -> Option<EventTime> {
    let mut part = |key| {
        settings
            .integer(key)
            .and_then(|number| u64::try_from(number).ok())
    };
    let (seconds, nanos) = (part("start_time_sec"), part("start_time_nsec"));
    if seconds.is_none() && nanos.is_none() {
        return None;
    }
    Some(later(
        EventTime {
            seconds: seconds.unwrap_or(0),
            nanos: 0,
        },
        Duration::from_nanos(nanos.unwrap_or(0)),
    ))
}

fn later(time: EventTime, by: Duration) -> EventTime {
    let whole = Duration::from_nanos(u64::from(time.nanos)) + by;
    EventTime {
        seconds: time.seconds.saturating_add(whole.as_secs()),
        nanos: whole.subsec_nanos(),
    }
}

impl Dummy {
    /// What is late is made up for, so that a rate above a thousand comes out right over timers of a millisecond.
    fn interval(&self) -> Interval {
        let now = Instant::now();
        let first = if self.at_once { now } else { now + self.period };
        tokio::time::interval_at(first, self.period)
    }

    /// The time of what is made so long after the first, which is made `now` if nothing else is asked for.
    fn time(&self, first: EventTime, since_first: Duration) -> EventTime {
        let start = self.start.unwrap_or(first);
        if self.is_fixed {
            start
        } else {
            later(start, since_first)
        }
    }

    async fn make(&self, context: Context) {
        let mut ingest = Ingest::open(&context);
        let mut phase = context.phase.clone();
        let mut interval = self.interval();
        let mut first = None;
        let mut made = 0;
        crate::info!(
            &context.component(),
            "makes {} records every {:?}",
            self.copies,
            self.period
        );
        while self.samples.is_none_or(|samples| made < samples) {
            tokio::select! {
                _ = interval.tick() => {}
                () = reached(&mut phase, Phase::Drain) => return,
            }
            let &mut (start, since) =
                first.get_or_insert_with(|| (EventTime::now(), Instant::now()));
            let time = self.time(start, since.elapsed());
            let mut left = self.copies;
            while left > 0 {
                let count = left.min(self.copies_at_once());
                let permit = tokio::select! {
                    permit = ingest.permit(self.size() * count as usize) => permit,
                    () = reached(&mut phase, Phase::Drain) => return,
                };
                self.store(&context.tag, ingest.session(), time, count)
                    .await;
                drop(permit);
                left -= count;
            }
            made += 1;
        }
        crate::debug!(&context.component(), "has made its {made} samples");
    }

    async fn store(&self, tag: &Tag, session: &mut dyn Session, time: EventTime, count: u64) {
        session.tag(tag.as_bytes());
        for _ in 0..count {
            session.offer(Event {
                time,
                metadata: &self.metadata,
                record: &self.record,
            });
        }
        session.commit().await;
    }

    fn size(&self) -> usize {
        self.record.len() + self.metadata.len()
    }

    fn copies_at_once(&self) -> u64 {
        (COMMIT / self.size().max(1)).max(1) as u64
    }
}

impl Input for Dummy {
    fn bind(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.make(context).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::testing::Keeper;

    fn dummy(properties: &[(&str, &str)]) -> Dummy {
        let (dummy, problems) = configured(properties, read);
        assert_eq!(problems, [""; 0]);
        dummy
    }

    async fn made(properties: &[(&str, &str)]) -> Vec<(Vec<u8>, EventTime, Vec<u8>)> {
        let keeper = Keeper::default();
        let (context, _phase) = keeper.context(1 << 20);
        Box::new(dummy(properties)).run(context).await;
        keeper.take()
    }

    #[test]
    fn without_settings_it_says_dummy_once_a_second() {
        let dummy = dummy(&[]);
        assert_eq!(dummy.record, b"\x81\xa7message\xa5dummy");
        assert_eq!(
            (dummy.period, dummy.copies, dummy.samples, dummy.start),
            (Duration::from_secs(1), 1, None, None)
        );
        assert_eq!(dummy.metadata, b"");
    }

    #[test]
    fn a_rate_or_an_interval_gives_the_period() {
        for (properties, expected) in [
            (&[("rate", "10")][..], Duration::from_millis(100)),
            (
                &[
                    ("rate", "10"),
                    ("interval_sec", "2"),
                    ("interval_nsec", "5"),
                ],
                Duration::new(2, 5),
            ),
            (&[("rate", "0")], Duration::from_secs(1)),
            (&[("rate", "9223372036854775807")], Duration::from_nanos(1)),
            (&[("interval_sec", "9223372036854775807")], PERIOD_MAX),
        ] {
            let dummy = dummy(properties);
            assert_eq!(dummy.period, expected);
        }
    }

    #[test]
    fn what_is_no_json_object_is_named_and_replaced() {
        for text in ["{", "[1]", "17", r#"{"a":1} x"#] {
            let (dummy, problems) = configured(&[("dummy", text), ("metadata", text)], read);
            assert_eq!(dummy.record, b"\x81\xa7message\xa5dummy");
            assert!(
                problems.len() == 2 && problems.concat().contains("is no JSON object"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn times_go_on_from_the_start_unless_they_are_fixed() {
        let now = EventTime {
            seconds: 50,
            nanos: 999_999_999,
        };
        let time =
            |properties: &[(&str, &str)]| dummy(properties).time(now, Duration::from_nanos(2));
        assert_eq!(
            time(&[]),
            EventTime {
                seconds: 51,
                nanos: 1
            }
        );
        assert_eq!(time(&[("fixed_timestamp", "on")]), now);
        let start = [("start_time_sec", "7"), ("start_time_nsec", "1000000003")];
        assert_eq!(
            time(&start),
            EventTime {
                seconds: 8,
                nanos: 5
            }
        );
        assert_eq!(
            time(&[start[0], ("fixed_timestamp", "on")]),
            EventTime {
                seconds: 7,
                nanos: 0
            }
        );
        assert_eq!(
            time(&[("start_time_sec", "-1"), ("start_time_nsec", "4")]),
            EventTime {
                seconds: 0,
                nanos: 6
            }
        );
    }

    #[tokio::test]
    async fn samples_end_the_series_and_copies_multiply() {
        let properties = [
            ("dummy", "{}"),
            ("rate", "1000"),
            ("samples", "3"),
            ("copies", "2"),
            ("start_time_sec", "7"),
        ];
        let made = made(&properties).await;
        assert_eq!(made.len(), 6);
        assert!(
            made.iter()
                .all(|(tag, time, record)| tag == b"t" && time.seconds == 7 && record == &[0x80])
        );
        assert!(made[0].1 == made[1].1 && made[1].1 < made[2].1, "{made:?}");
    }

    #[tokio::test]
    async fn many_copies_need_no_more_room_than_a_few() {
        let keeper = Keeper::default();
        let (context, _phase) = keeper.context(COMMIT as u64);
        let dummy = dummy(&[
            ("samples", "1"),
            ("copies", "100000"),
            ("flush_on_startup", "on"),
        ]);
        Box::new(dummy).run(context).await;
        assert_eq!(keeper.take().len(), 100_000);
    }

    #[tokio::test]
    async fn nothing_is_made_up_while_the_process_is_ending() {
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        phase.send_replace(Phase::Drain);
        Box::new(dummy(&[])).run(context).await;
        assert_eq!(keeper.take(), []);
    }
}
