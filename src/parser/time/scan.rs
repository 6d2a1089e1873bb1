//! The steps of a format, run over a text.

use super::format::{Field, Step};
use super::zone;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// What has been read of a time. Where nothing was read it is what C's empty `tm` says: the day before 1 January 1900.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    /// Years since 1900.
    year: i64,
    /// From 0.
    month: i64,
    /// From 1.
    day: i64,
    /// From 0.
    day_of_year: i64,
    hour: i64,
    minute: i64,
    second: i64,
    /// Seconds east of Greenwich.
    pub(super) offset: i64,
    century: Option<i64>,
    year_of_century: Option<i64>,
    known: Known,
}

/// The fields that others can be concluded from.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent facts, as C's bit set has them"
)]
struct Known {
    year: bool,
    month: bool,
    day: bool,
    day_of_year: bool,
}

impl Scan {
    /// Begins with a date instead of nothing: years since 1900, month from 0, day from 1.
    pub(super) fn start_today(&mut self, (year, month, day): (i64, i64, i64)) {
        (self.year, self.month, self.day) = (year, month, day);
        self.known.year = true;
    }

    /// What follows `%L` is read by a second `strptime`, which knows nothing of the first but the fields.
    pub(super) fn forget_zone(&mut self) {
        self.offset = 0;
        self.century = None;
        self.year_of_century = None;
        self.known = Known::default();
    }

    /// Seconds since 1970, the fields taken for UTC. What is out of range runs over, as with C's `timegm`.
    pub(super) fn seconds(&self) -> i64 {
        let days = days_before(self.year + 1900, self.month) + self.day - 1;
        days * 86_400 + self.hour * 3600 + self.minute * 60 + self.second
    }

    /// Runs the steps; gives what they leave, or `None` where one does not fit.
    pub(super) fn run<'t>(&mut self, steps: &[Step], mut text: &'t [u8]) -> Option<&'t [u8]> {
        for step in steps {
            text = match step {
                Step::Blanks => skip_blanks(text),
                Step::Conclude => {
                    self.conclude();
                    text
                }
                // Everything else needs a text that goes on.
                _ if text.is_empty() => return None,
                step => self.step(*step, text)?,
            };
        }
        self.conclude();
        Some(text)
    }

    fn step<'t>(&mut self, step: Step, text: &'t [u8]) -> Option<&'t [u8]> {
        match step {
            Step::Blanks | Step::InnerBlanks => Some(skip_blanks(text)),
            Step::Byte(byte) => text.strip_prefix(&[byte]),
            Step::Number(field, low, high) => self.number(field, low, high, text),
            Step::BlankDay => {
                let text = text
                    .split_first()
                    .filter(|(first, _)| is_blank(**first))
                    .map_or(text, |(_, rest)| rest);
                self.number(Field::Day, 1, 31, text)
            }
            Step::Weekday => name(&WEEKDAYS, text).map(|(_, rest)| rest),
            Step::Month => {
                let (month, rest) = name(&MONTHS, text)?;
                self.set(Field::Month, month + 1);
                Some(rest)
            }
            Step::Half => self.half(text),
            Step::Epoch => self.epoch(text),
            Step::IsoYear => {
                let digits = text.iter().skip(1).take_while(|byte| byte.is_ascii_digit());
                text.get(1 + digits.count()..)
            }
            Step::Offset => self.zone(zone::offset(skip_blanks(text))),
            Step::ZoneName => self.zone(zone::named(text)),
            Step::Conclude => Some(text),
            Step::Never => None,
        }
    }

    fn zone<'t>(&mut self, zone: Option<(i64, &'t [u8])>) -> Option<&'t [u8]> {
        let (offset, rest) = zone?;
        self.offset = offset;
        Some(rest)
    }

    fn number<'t>(
        &mut self,
        field: Field,
        low: i64,
        high: i64,
        text: &'t [u8],
    ) -> Option<&'t [u8]> {
        let (number, rest) = digits(high, text)?;
        if !(low..=high).contains(&number) {
            return None;
        }
        self.set(field, number);
        Some(rest)
    }

    fn set(&mut self, field: Field, number: i64) {
        match field {
            Field::Year => {
                self.year = number - 1900;
                self.year_of_century = None;
                self.known.year = true;
            }
            Field::YearOfCentury => self.year_of_century = Some(number),
            Field::Century => self.century = Some(number),
            Field::Month => {
                self.month = number - 1;
                self.known.month = true;
            }
            Field::Day => {
                self.day = number;
                self.known.day = true;
            }
            Field::DayOfYear => {
                self.day_of_year = number - 1;
                self.known.day_of_year = true;
            }
            Field::Hour => self.hour = number,
            Field::Minute => self.minute = number,
            Field::Second => self.second = number,
            Field::Unused => {}
        }
    }

    /// AM or PM, of the hour read before.
    fn half<'t>(&mut self, text: &'t [u8]) -> Option<&'t [u8]> {
        let (half, rest) = text.split_at_checked(2)?;
        let is_pm = half.eq_ignore_ascii_case(b"pm");
        if self.hour > 12 || !is_pm && !half.eq_ignore_ascii_case(b"am") {
            return None;
        }
        self.hour = self.hour % 12 + if is_pm { 12 } else { 0 };
        Some(rest)
    }

    fn epoch<'t>(&mut self, text: &'t [u8]) -> Option<&'t [u8]> {
        let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = text.split_at_checked(length)?;
        let seconds: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        // C gives up where the year leaves its 32 bits.
        if seconds > 67_768_036_191_676_799 {
            return None;
        }
        *self = Self {
            year: 70,
            day: 1 + seconds / 86_400,
            second: seconds % 86_400,
            known: Known {
                year: true,
                month: true,
                day: true,
                day_of_year: true,
            },
            ..Self::default()
        };
        Some(rest)
    }

    /// Finds the year from its parts, and the day from the day of the year.
    fn conclude(&mut self) {
        if let Some(year) = self.year_of_century {
            self.year = match self.century {
                Some(century) if century != 19 => century * 100 + year - 1900,
                _ if year <= 68 => year + 100,
                _ => year,
            };
            self.known.year = true;
        }
        if !self.known.year {
            return;
        }
        let starts =
            |month: i64| days_before(self.year + 1900, month) - days_before(self.year + 1900, 0);
        if !self.known.day_of_year && self.known.month && self.known.day {
            self.day_of_year = starts(self.month) + self.day - 1;
            self.known.day_of_year = true;
        }
        if self.known.day_of_year {
            let mut days = self.day_of_year;
            if !self.known.month {
                self.month = (1..12)
                    .rev()
                    .find(|month| starts(*month) <= days)
                    .unwrap_or(0);
                days -= starts(self.month);
            }
            if !self.known.day {
                self.day = days + 1;
            }
        }
    }
}

/// Days from 1970 to the first of a month, which is counted from 0.
fn days_before(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    // The leap days of all years before this one.
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let in_year = usize::try_from(month)
        .ok()
        .and_then(|month| BEFORE.get(month));
    let leap_day = i64::from(is_leap && month > 1);
    (year - 1970) * 365 + leap_days - 477 + in_year.copied().unwrap_or(0) + leap_day
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
    text.get(blanks..).unwrap_or_default()
}

/// A number of at most as many digits as `high` has, and that no further digit could leave within it.
fn digits(high: i64, text: &[u8]) -> Option<(i64, &[u8])> {
    let (mut number, mut room, mut length) = (0, high, 0);
    while let Some(digit) = text.get(length).filter(|byte| byte.is_ascii_digit()) {
        number = number * 10 + i64::from(digit - b'0');
        length += 1;
        room /= 10;
        if room == 0 || number * 10 > high {
            break;
        }
    }
    let rest = text.get(length..)?;
    (length > 0).then_some((number, rest))
}

/// The place of the name, or of its first three letters, that the text begins with.
fn name<'t>(names: &[&str], text: &'t [u8]) -> Option<(i64, &'t [u8])> {
    let after = |name: &[u8]| {
        let (start, rest) = text.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(rest)
    };
    (0..).zip(names).find_map(|(place, name)| {
        let name = name.as_bytes();
        let rest = after(name).or_else(|| after(name.get(..3)?))?;
        Some((place, rest))
    })
}
