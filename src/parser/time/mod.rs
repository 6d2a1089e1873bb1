//! Times in texts: `Time_Format` in Fluent Bit's dialect of `strptime`, and the zone of times that name none.
//!
//! | file | holds |
//! |---|---|
//! | `format.rs` | a format as a list of steps |
//! | `scan.rs` | the steps, run over a text |
//! | `zone.rs` | names of zones, offsets, where local times lie |
//!
//! The dialect is that of OpenBSD's `strptime` with one conversion more: `%L`, a fraction of one to nine digits. What
//! follows the time in the text is ignored. <https://docs.fluentbit.io/manual/data-pipeline/parsers/configuring-parser>

mod format;
mod scan;
mod zone;

pub use zone::{Zone, ZoneError};

use self::format::Step;
use self::scan::Scan;
use crate::event::EventTime;

/// A `Time_Format`, ready to read texts.
#[derive(Debug)]
pub struct TimeFormat {
    /// Up to the `%L`.
    head: Vec<Step>,
    /// Behind it; `None` without one.
    tail: Option<Vec<Step>>,
    names_year: bool,
    zone: Zone,
}

impl TimeFormat {
    /// Reads a format; `zone` is where times lie whose format names no zone itself. Every text is a format; what is no
    /// conversion matches nothing.
    pub fn new(format: &str, zone: Zone) -> Self {
        let (head, tail) = match format.split_once("%L") {
            Some((head, tail)) => (head, Some(tail)),
            None => (format, None),
        };
        let has = |conversions: &[&str]| conversions.iter().any(|one| format.contains(one));
        Self {
            head: format::steps(head),
            tail: tail.map(format::steps),
            names_year: has(&["%Y", "%y", "%s"]),
            zone: if has(&["%z", "%Z", "%SZ", "%S.%LZ", "%s"]) {
                Zone::Named
            } else {
                zone
            },
        }
    }

    /// The time that `text` begins with. Without a year in the format it is this year's. `None` also for times before
    /// 1970.
    pub fn parse(&self, text: &[u8]) -> Option<EventTime> {
        self.read(text, EventTime::now).ok()
    }

    /// As [`TimeFormat::parse`], and takes what could be read for the time where the text is not whole.
    pub fn parse_loosely(&self, text: &[u8]) -> Option<EventTime> {
        match self.read(text, EventTime::now) {
            Ok(time) => Some(time),
            Err(part) => part.filter(|time| *time != EventTime::default()),
        }
    }

    /// `Err` holds what the fields read so far say.
    fn read(
        &self,
        text: &[u8],
        now: impl FnOnce() -> EventTime,
    ) -> Result<EventTime, Option<EventTime>> {
        // C ends a text there.
        let length = memchr::memchr(0, text).unwrap_or(text.len());
        let text = text.get(..length).unwrap_or_default();
        let mut scan = Scan::default();
        if !self.names_year {
            scan.start_today(self.zone.local(now()));
        }
        let mut nanos = 0;
        let whole = self.scan(text, &mut scan, &mut nanos);
        let seconds = self.zone.seconds(&scan);
        let time = seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(|seconds| EventTime { seconds, nanos });
        match (whole, time) {
            (Some(()), Some(time)) => Ok(time),
            (_, time) => Err(time),
        }
    }

    fn scan(&self, text: &[u8], scan: &mut Scan, nanos: &mut u32) -> Option<()> {
        let rest = scan.run(&self.head, text)?;
        let Some(tail) = &self.tail else {
            return Some(());
        };
        let (fraction, rest) = fraction(rest)?;
        *nanos = fraction;
        scan.forget_zone();
        scan.run(tail, rest).map(|_| ())
    }
}

/// One to nine digits as nanoseconds, and what follows them.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text
        .iter()
        .take(9)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = text.split_at_checked(digits)?;
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    let missing = 9 - digits.len();
    (missing < 9).then(|| (number * 10_u32.pow(missing as u32), rest))
}

/// `Time_Key` and what belongs to it.
#[derive(Debug)]
pub(super) struct TimeField {
    pub(super) key: Box<[u8]>,
    pub(super) format: TimeFormat,
    /// `Time_Keep`: whether the field stays after its time was read.
    pub(super) keep: bool,
    /// `Time_Strict`: whether the whole format has to match.
    pub(super) strict: bool,
}

/// What a text says about the time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is a time; 1970's first second stands for none.
    Time(Option<EventTime>),
    /// It is none, and the field is to stay what it is.
    Nothing,
    /// It is none, and it should be one.
    Refused,
}

impl TimeField {
    /// Whether this is the field.
    pub(super) fn is(&self, key: &[u8]) -> bool {
        *self.key == *key
    }

    /// Reads the field's text.
    pub(super) fn read(&self, text: &[u8]) -> Told {
        let time = if self.strict {
            self.format.parse(text)
        } else {
            self.format.parse_loosely(text)
        };
        match time {
            Some(time) => Told::Time(Some(time).filter(|time| *time != EventTime::default())),
            None if self.strict => Told::Refused,
            None => Told::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
