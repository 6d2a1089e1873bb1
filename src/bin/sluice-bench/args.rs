//! Values on the command line and in `POST /faults`: sizes, times, shares, addresses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// Reads a size: a number with an optional `k`, `M` or `G` (powers of 1024, an added `B` changes nothing).
pub(crate) fn size(text: &str) -> Result<u64> {
    let trimmed = text.trim_end_matches(['B', 'b']);
    let (digits, unit) = match trimmed.char_indices().last() {
        Some((at, 'k' | 'K')) => (trimmed.split_at(at).0, 1 << 10),
        Some((at, 'm' | 'M')) => (trimmed.split_at(at).0, 1 << 20),
        Some((at, 'g' | 'G')) => (trimmed.split_at(at).0, 1 << 30),
        _ => (trimmed, 1),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| bad(text, "a size such as 120, 64k or 25MB"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| bad(text, "a size below 16 EiB"))
}

/// Reads a time span: `300ms`, `5s`, `2m`, or a bare number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    let (digits, seconds) = if let Some(digits) = text.strip_suffix("ms") {
        (digits, 0.001)
    } else if let Some(digits) = text.strip_suffix('s') {
        (digits, 1.0)
    } else if let Some(digits) = text.strip_suffix('m') {
        (digits, 60.0)
    } else {
        (text, 1.0)
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| bad(text, "a time such as 300ms, 5s or 2m"))?;
    Duration::try_from_secs_f64(number * seconds)
        .map_err(|_| bad(text, "a time that is not negative"))
}

/// Reads a share of all cases, `30%` or `0.3`, as a number from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map(|number| number / 100.0),
        None => text.parse::<f64>(),
    };
    share
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| bad(text, "a share such as 30% or 0.3"))
}

/// Reads a whole number.
pub(crate) fn count(text: &str) -> Result<u64> {
    text.replace('_', "")
        .parse()
        .map_err(|_| bad(text, "a whole number"))
}

/// Reads `HOST:PORT` with a numeric host.
pub(crate) fn address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .map_err(|_| bad(text, "an address such as 127.0.0.1:24224"))
}

/// The value of the option that `parser` has just returned, as text.
pub(crate) fn value(parser: &mut lexopt::Parser) -> Result<String> {
    let value = parser.value()?;
    value
        .into_string()
        .map_err(|raw| bad(&raw.to_string_lossy(), "valid UTF-8"))
}

/// The value of the option that `parser` has just returned, as a path.
pub(crate) fn path(parser: &mut lexopt::Parser) -> Result<PathBuf> {
    Ok(parser.value()?.into())
}

fn bad(text: &str, wanted: &'static str) -> Error {
    Error::Value {
        text: text.to_owned(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_units_in_either_case() {
        for (text, expected) in [
            ("120", 120),
            ("1k", 1024),
            ("64M", 64 << 20),
            ("25MB", 25 << 20),
            ("1g", 1 << 30),
        ] {
            assert_eq!(size(text).unwrap(), expected, "{text}");
        }
        for text in ["", "k", "-1", "1.5M", "99999999999G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_take_milliseconds_seconds_and_minutes() {
        for (text, milliseconds) in [
            ("300ms", 300),
            ("5s", 5000),
            ("0.5s", 500),
            ("2m", 120_000),
            ("7", 7000),
        ] {
            assert_eq!(
                duration(text).unwrap(),
                Duration::from_millis(milliseconds),
                "{text}"
            );
        }
        for text in ["", "-1s", "NaN", "1h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_lie_between_nothing_and_all() {
        for (text, expected) in [("30%", 0.3), ("0.05", 0.05), ("100%", 1.0), ("0", 0.0)] {
            assert!((share(text).unwrap() - expected).abs() < 1e-12, "{text}");
        }
        for text in ["101%", "-1%", "2", "NaN", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
