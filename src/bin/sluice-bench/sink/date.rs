//! The one date format of signatures.

/// Seconds since 1970 of `YYYYMMDDThhmmssZ`.
pub(super) fn seconds_of(date: &str) -> Option<u64> {
    let bytes = date.as_bytes();
    if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
        return None;
    }
    let part = |from: usize, to: usize| {
        date.get(from..to)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?
            .parse::<u64>()
            .ok()
    };
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(9, 11)?, part(11, 13)?, part(13, 15)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from civil, counted in years that begin in March: <https://howardhinnant.github.io/date_algorithms.html>.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_1970() {
        assert_eq!(seconds_of("19700101T000000Z"), Some(0));
        assert_eq!(seconds_of("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(seconds_of("20240229T235959Z"), Some(1_709_251_199));
        for text in [
            "",
            "20150830T123600",
            "2015-08-30T12:36:00Z",
            "20151330T123600Z",
            "2015083\u{e9}T12360Z",
        ] {
            assert_eq!(seconds_of(text), None, "{text}");
        }
    }
}
