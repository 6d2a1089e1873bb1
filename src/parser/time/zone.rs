//! Names of zones, offsets, and where local times lie.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use super::scan::Scan;
use crate::event::EventTime;

/// Where a time lies whose text names no zone.
#[derive(Debug, Clone, PartialEq)]
pub enum Zone {
    /// At an offset of the same number of seconds from UTC, always.
    Fixed(i64),
    /// In a zone with its daylight saving.
    Local(TimeZone),
    /// The text names it.
    Named,
}

/// Why a text is no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// No `±HHMM`.
    #[error("`{0}` is no offset: write `+0530` or `-08:00`")]
    Offset(String),
    /// No name that the system knows.
    #[error("`{0}` is no time zone that this system knows: write a name such as `Europe/Berlin`")]
    Name(String),
}

impl Zone {
    /// Reads `±HHMM`, `±HH:MM` or `Z`.
    ///
    /// # Errors
    /// [`ZoneError::Offset`].
    pub fn offset(text: &str) -> Result<Self, ZoneError> {
        let refused = || ZoneError::Offset(text.to_owned());
        if text.starts_with('Z') {
            return Ok(Self::Fixed(0));
        }
        let number = |digits: &[u8]| match digits {
            [tens @ b'0'..=b'5', ones @ b'0'..=b'9'] => {
                Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
            }
            _ => None,
        };
        let (hours, minutes) = match text.as_bytes() {
            [b'+' | b'-', a, b, c, d] | [b'+' | b'-', a, b, b':', c, d] => {
                (number(&[*a, *b]), number(&[*c, *d]))
            }
            _ => return Err(refused()),
        };
        let seconds = hours.ok_or_else(refused)? * 3600 + minutes.ok_or_else(refused)? * 60;
        Ok(Self::Fixed(if text.starts_with('-') {
            -seconds
        } else {
            seconds
        }))
    }

    /// Finds a zone by its name in the IANA database.
    ///
    /// # Errors
    /// [`ZoneError::Name`].
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        TimeZone::get(name)
            .map(Self::Local)
            .map_err(|_| ZoneError::Name(name.to_owned()))
    }

    /// The zone of this process, as `TZ` says.
    pub fn system() -> Self {
        Self::Local(TimeZone::system())
    }

    /// The date of a moment: years since 1900, month from 0, day from 1.
    pub(super) fn local(&self, now: EventTime) -> (i64, i64, i64) {
        let zone = match self {
            Self::Local(zone) => zone.clone(),
            Self::Fixed(_) | Self::Named => TimeZone::UTC,
        };
        let seconds = i64::try_from(now.seconds).unwrap_or(i64::MAX);
        let date = Timestamp::from_second(seconds)
            .unwrap_or_default()
            .to_zoned(zone)
            .date();
        (
            i64::from(date.year()) - 1900,
            i64::from(date.month()) - 1,
            date.day().into(),
        )
    }

    /// Seconds since 1970 of a time that was read. A local time that there is twice is the first of the two, one that is
    /// skipped is read with the offset before the gap. `None` beyond the calendar.
    pub(super) fn seconds(&self, scan: &Scan) -> Option<i64> {
        let local = scan.seconds();
        match self {
            Self::Fixed(offset) => Some(local - offset),
            Self::Named => Some(local - scan.offset),
            Self::Local(zone) => {
                let wall: civil::DateTime =
                    TimeZone::UTC.to_datetime(Timestamp::from_second(local).ok()?);
                let timestamp = zone.to_ambiguous_timestamp(wall).compatible().ok()?;
                Some(timestamp.as_second())
            }
        }
    }
}

/// `%z`: the offset that the text begins with, in seconds, and what follows it.
pub(super) fn offset(text: &[u8]) -> Option<(i64, &[u8])> {
    const AMERICAN: [(&[u8], i64); 8] = [
        (b"EST", -5),
        (b"CST", -6),
        (b"MST", -7),
        (b"PST", -8),
        (b"EDT", -4),
        (b"CDT", -5),
        (b"MDT", -6),
        (b"PDT", -7),
    ];
    let (sign, digits) = match text {
        [b'Z', rest @ ..] => return Some((0, rest)),
        [b'G', b'M', b'T', rest @ ..] | [b'U', b'T', b'C', rest @ ..] | [b'U', b'T', rest @ ..] => {
            return Some((0, rest));
        }
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => {
            let (start, rest) = text.split_at_checked(3)?;
            let (_, hours) = AMERICAN
                .iter()
                .find(|(name, _)| start.eq_ignore_ascii_case(name))?;
            return Some((hours * 3600, rest));
        }
    };
    let (hours, rest) = two_digits(digits)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = if rest.first().is_some_and(u8::is_ascii_digit) {
        two_digits(rest)?
    } else {
        (0, rest)
    };
    Some((sign * (hours * 3600 + minutes * 60), rest))
}

fn two_digits(text: &[u8]) -> Option<(i64, &[u8])> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
            Some((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), rest))
        }
        _ => None,
    }
}

/// `%Z`: the offset of the name that the text begins with, in seconds, and what follows it.
pub(super) fn named(text: &[u8]) -> Option<(i64, &[u8])> {
    let after = |name: &[u8]| {
        let (start, rest) = text.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(rest)
    };
    let known = NAMES.iter().find_map(|(name, minutes)| {
        let rest = after(name.as_bytes())?;
        let ends = !rest.first().is_some_and(u8::is_ascii_alphanumeric);
        ends.then_some((minutes * 60, rest))
    });
    if known.is_some() {
        return known;
    }
    if let [b'G', b'M', b'T', rest @ ..] | [b'U', b'T', b'C', rest @ ..] = text {
        return Some((0, rest));
    }
    system_names(|name, offset| after(name.as_bytes()).map(|rest| (offset, rest)))
}

/// The system's two names, standard time's and daylight time's, which both mean its standard offset, as in C.
fn system_names<T>(found: impl Fn(&str, i64) -> Option<T>) -> Option<T> {
    let zone = TimeZone::system();
    let now = Timestamp::now();
    let year = zone.to_datetime(now).year();
    let moments = [1, 7].map(|month| {
        civil::Date::new(year, month, 1)
            .ok()
            .and_then(|date| {
                zone.to_timestamp(date.to_datetime(civil::Time::midnight()))
                    .ok()
            })
            .unwrap_or(now)
    });
    let infos = moments.map(|moment| zone.to_offset_info(moment));
    let standard = infos
        .iter()
        .find(|info| !info.dst().is_dst())
        .map_or(0, |info| i64::from(info.offset().seconds()));
    infos
        .iter()
        .find_map(|info| found(info.abbreviation(), standard))
}

/// What `%Z` knows, in minutes east of Greenwich. The first that fits wins.
const NAMES: &[(&str, i64)] = &[
    ("GMT", 0),
    ("UTC", 0),
    ("Z", 0),
    ("UT", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("HADT", -540),
    ("AST", -240),
    ("ADT", -180),
    ("NST", -210),
    ("NDT", -150),
    ("WET", 0),
    ("WEST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("ART", -180),
    ("BRT", -180),
    ("BRST", -120),
    ("CLT", -240),
    ("CLST", -180),
    ("AEST", 600),
    ("AEDT", 660),
    ("ACST", 570),
    ("ACDT", 630),
    ("AWST", 480),
    ("NZST", 720),
    ("NZDT", 780),
    ("JST", 540),
    ("KST", 540),
    ("SGT", 480),
    ("IST", 330),
    ("GST", 240),
    ("ICT", 420),
    ("WIB", 420),
    ("WITA", 480),
    ("WIT", 540),
    ("MYT", 480),
    ("BDT", 360),
    ("NPT", 345),
    ("WAT", 60),
    ("CAT", 120),
    ("EAT", 180),
    ("SAST", 120),
    ("A", 60),
    ("B", 120),
    ("C", 180),
    ("D", 240),
    ("E", 300),
    ("F", 360),
    ("G", 420),
    ("H", 480),
    ("I", 540),
    ("K", 600),
    ("L", 660),
    ("M", 720),
    ("N", -60),
    ("O", -120),
    ("P", -180),
    ("Q", -240),
    ("R", -300),
    ("S", -360),
    ("T", -420),
    ("U", -480),
    ("V", -540),
    ("W", -600),
    ("X", -660),
    ("Y", -720),
];
