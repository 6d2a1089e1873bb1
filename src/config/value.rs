//! Texts to values: switches, numbers, sizes, times, lists. `None` means that the text is no such
//! value.

use std::time::Duration;

/// `true`/`on`/`yes` or `false`/`off`/`no`, in any case.
pub fn flag(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "on", "yes"]) {
        Some(true)
    } else {
        is_one_of(["false", "off", "no"]).then_some(false)
    }
}

/// A whole number with an optional sign.
pub fn integer(text: &str) -> Option<i64> {
    text.trim_ascii().parse().ok()
}

/// A finite number, `0.3` or `1e3`.
pub fn number(text: &str) -> Option<f64> {
    text.trim_ascii()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// Bytes: a number, and optionally `K`, `M` or `G`, which count by thousands, with or without `B`,
/// in any case. A word for "off" is 0.
pub fn size(text: &str) -> Option<u64> {
    if flag(text) == Some(false) {
        return Some(0);
    }
    let (digits, unit) = number_and_unit(text);
    let factor: u32 = match unit.to_ascii_uppercase().as_str() {
        "" => 1,
        "K" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        _ => return None,
    };
    match digits.parse::<u64>() {
        Ok(whole) => whole.checked_mul(u64::from(factor)),
        Err(_) => fraction_of(digits, factor),
    }
}

/// Seconds, or minutes, hours, days with `m`, `h`, `d`; `s` may be written too.
pub fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = number_and_unit(text);
    let seconds: u32 = match unit.trim_ascii_start() {
        "" | "s" | "S" => 1,
        "m" | "M" => 60,
        "h" | "H" => 3_600,
        "d" | "D" => 86_400,
        _ => return None,
    };
    match digits.parse::<u64>() {
        Ok(whole) => whole
            .checked_mul(u64::from(seconds))
            .map(Duration::from_secs),
        Err(_) => Duration::try_from_secs_f64(number(digits)? * f64::from(seconds)).ok(),
    }
}

/// The parts between commas, blanks around them and empty ones dropped.
pub fn comma_list(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim_ascii);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Parts `1.5M` into `1.5` and `M`. A sign is no part of the number: sizes and times have none.
fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim_ascii();
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// A size that is no whole number of its unit. Beyond 2^53 bytes a double is no longer exact, and
/// no one writes `9007199.3G`.
#[expect(
    clippy::cast_sign_loss,
    reason = "the text holds digits and a point, no sign"
)]
fn fraction_of(digits: &str, factor: u32) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let bytes = number(digits)? * f64::from(factor);
    (bytes <= EXACT).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_six_words() {
        for (text, expected) in [
            ("on", Some(true)),
            ("YES", Some(true)),
            ("True", Some(true)),
            ("oFF", Some(false)),
            ("no", Some(false)),
            ("FALSE", Some(false)),
            ("1", None),
            ("maybe", None),
            ("", None),
        ] {
            assert_eq!(flag(text), expected, "{text}");
        }
    }

    /// Checklist: engine 21
    #[test]
    fn sizes_count_by_thousands() {
        for (text, expected) in [
            ("50000", Some(50_000)),
            ("10k", Some(10_000)),
            ("10KB", Some(10_000)),
            ("1.5m", Some(1_500_000)),
            (".5k", Some(500)),
            ("25MB", Some(25_000_000)),
            ("1G", Some(1_000_000_000)),
            ("off", Some(0)),
            ("false", Some(0)),
            ("10 MB", None),
            ("10KiB", None),
            ("10T", None),
            ("-1", None),
            ("1.2.3", None),
            ("K", None),
            ("on", None),
            ("", None),
            ("99999999999999999999", None),
            ("18446744073709551615G", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn times_are_seconds_unless_a_unit_follows() {
        for (text, seconds) in [
            ("5", Some(5.0)),
            ("10s", Some(10.0)),
            ("0s", Some(0.0)),
            ("1m", Some(60.0)),
            ("2H", Some(7200.0)),
            ("1d", Some(86_400.0)),
            ("1.5m", Some(90.0)),
            ("3 s", Some(3.0)),
            ("5x", None),
            ("-1", None),
            ("s", None),
            ("", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(
                duration(text).map(|time| time.as_secs_f64()),
                seconds,
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_hold_nothing_else() {
        for (text, expected) in [
            ("5", Some(5)),
            ("-1", Some(-1)),
            ("+2", Some(2)),
            ("5x", None),
            ("many", None),
            ("1.0", None),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
        for (text, expected) in [
            ("0.3", Some(0.3)),
            ("1e3", Some(1000.0)),
            ("nan", None),
            ("inf", None),
            ("1e999", None),
            ("x", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn comma_lists_drop_what_is_empty() {
        assert_eq!(comma_list(" a, b c ,,d"), ["a", "b c", "d"]);
        assert!(comma_list(" , ").is_empty());
    }
}
