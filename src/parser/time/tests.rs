use super::*;
use proptest::prelude::*;

const UTC: Zone = Zone::Fixed(0);

/// 22 November 2026, 10:11:12 UTC.
const NOW: EventTime = EventTime {
    seconds: 1_795_342_272,
    nanos: 0,
};

/// What a format makes of a text: `seconds.nanos`, or nothing.
fn read(format: &str, zone: &Zone, text: &str) -> Option<String> {
    let time = TimeFormat::new(format, zone.clone())
        .read(text.as_bytes(), || NOW)
        .ok()?;
    Some(format!("{}.{}", time.seconds, time.nanos))
}

fn check(zone: &Zone, cases: &[(&str, &str, &str)]) {
    for (format, text, expected) in cases {
        let expected = Some((*expected).to_owned()).filter(|time| !time.is_empty());
        assert_eq!(read(format, zone, text), expected, "{format} on {text}");
    }
}

/// Checklist: filters 40
#[test]
fn formats_of_real_parsers_read_their_times() {
    check(
        &UTC,
        &[
            (
                "%Y-%m-%dT%H:%M:%S.%L%z",
                "2024-01-02T03:04:05.123456789Z",
                "1704164645.123456789",
            ),
            (
                "%Y-%m-%dT%H:%M:%S.%L%z",
                "2024-01-02T03:04:05.5+0130",
                "1704159245.500000000",
            ),
            (
                "%Y-%m-%dT%H:%M:%S.%L%z",
                "2024-01-02T03:04:05.125+05",
                "1704146645.125000000",
            ),
            (
                "%Y-%m-%dT%H:%M:%S.%L%z",
                "2024-01-02T03:04:05.125-05:30",
                "1704184445.125000000",
            ),
            (
                "%d/%b/%Y:%H:%M:%S %z",
                "10/Oct/2023:13:55:36 -0700",
                "1696971336.0",
            ),
            ("%Y-%m-%d %H:%M:%S", "2024-1-2 3:4:5", "1704164645.0"),
            (
                "%Y-%m-%d %H:%M:%S",
                "2024-01-02   03:04:05 and more",
                "1704164645.0",
            ),
            (
                "%a, %d %b %Y %H:%M:%S %Z",
                "tuesday, 2 january 2024 03:04:05 PST",
                "1704193445.0",
            ),
            (
                "%a, %d %b %Y %H:%M:%S %Z",
                "Tue, 02 Jan 2024 03:04:05 IST",
                "1704144845.0",
            ),
            ("%s", "1700000001.75", "1700000001.0"),
            ("%s.%L", "1700000001.75", "1700000001.750000000"),
            (
                "%Y-%m-%d %H:%M:%S,%L",
                "2024-01-02 03:04:05,007",
                "1704164645.7000000",
            ),
            ("%d-%b-%Y::%H:%M:%S", "2-Jan-2024::03:04:05", "1704164645.0"),
        ],
    );
}

/// Checklist: filters 42
#[test]
fn a_time_zone_in_the_text_wins_over_the_offset() {
    let zone = Zone::offset("-0530").unwrap();
    check(
        &zone,
        &[
            ("%Y-%m-%d %H:%M:%S", "2024-01-02 03:04:05", "1704184445.0"),
            (
                "%Y-%m-%d %H:%M:%S %z",
                "2024-01-02 03:04:05 Z",
                "1704164645.0",
            ),
            ("%Y-%m-%dT%H:%M:%SZ", "2024-01-02T03:04:05Z", "1704164645.0"),
            (
                "%Y-%m-%dT%H:%M:%S.%LZ",
                "2024-01-02T03:04:05.1Z",
                "1704164645.100000000",
            ),
            ("%s", "1700000001", "1700000001.0"),
        ],
    );
}

/// Checklist: filters 42
#[test]
fn local_times_heed_daylight_saving() {
    let zone = Zone::named("America/New_York").unwrap();
    check(
        &zone,
        &[
            ("%Y-%m-%d %H:%M:%S", "2024-01-02 03:04:05", "1704182645.0"),
            ("%Y-%m-%d %H:%M:%S", "2024-07-02 03:04:05", "1719903845.0"),
            // Twice: the first of the two, in daylight time.
            ("%Y-%m-%d %H:%M:%S", "2024-11-03 01:30:00", "1730611800.0"),
            // Never: 07:30 UTC.
            ("%Y-%m-%d %H:%M:%S", "2024-03-10 02:30:00", "1710055800.0"),
        ],
    );
}

/// Checklist: filters 43
#[test]
fn a_format_without_year_means_this_year() {
    check(
        &UTC,
        &[
            ("%b %d %H:%M:%S", "Nov 22 10:11:12", "1795342272.0"),
            ("%b %d %H:%M:%S", "Dec 31 23:59:59", "1798761599.0"),
            ("%H:%M:%S", "00:00:01", "1795305601.0"),
            ("%b %e", "Nov  1", "1793491200.0"),
            ("%j %H", "002 00", "1767312000.0"),
            ("%F %T", "2024-01-02 03:04:05", "1704164645.0"),
            ("%D %R", "01/02/24 03:04", "1704164640.0"),
            ("%c", "Tue Jan  2 03:04:05 2024", "1704164645.0"),
        ],
    );
}

/// Checklist: filters 40, 45
#[test]
fn every_conversion_has_its_range() {
    check(
        &UTC,
        &[
            ("%Y-%m-%d", "2024-13-01", ""),
            ("%Y-%m-%d", "2024-00-01", ""),
            ("%Y-%m-%d", "2024-02-30", "1709251200.0"),
            ("%Y-%m-%d", "2023-02-29", "1677628800.0"),
            ("%Y-%m-%d %H", "2024-01-02 24", ""),
            ("%Y-%m-%d %H:%M:%S", "2024-01-02 03:04:60", "1704164700.0"),
            ("%Y-%m-%d %H:%M:%S", "2024-01-02 03:04:61", ""),
            ("%Y-%m-%d %H:%M:%S", "2024-01-02 03:04", ""),
            ("%y%m%d", "240102", "1704153600.0"),
            ("%y-%m-%d", "69-1-1", ""),
            ("%y-%m-%d", "70-1-2", "86400.0"),
            ("%C%y-%m-%d", "2124-01-02", "4859827200.0"),
            ("%Y %j", "2024 60", "1709164800.0"),
            ("%Y %j", "2024 366", "1735603200.0"),
            ("%I:%M %p %Y-%m-%d", "12:05 am 2024-01-02", "1704153900.0"),
            ("%I:%M %p %Y-%m-%d", "12:05 PM 2024-01-02", "1704197100.0"),
            ("%I:%M %p %Y-%m-%d", "1:05 pm 2024-01-02", "1704200700.0"),
            ("%I:%M %p %Y-%m-%d", "13:05 pm 2024-01-02", ""),
            ("%r %Y-%m-%d", "01:02:03 PM 2024-01-02", "1704200523.0"),
            ("%Y-%m-%d %k", "2024-01-02 3", "1704164400.0"),
            ("%Y-%m-%d%%", "2024-01-02%", "1704153600.0"),
            ("%Y-%m-%d%n%H", "2024-01-02\t\n5", "1704171600.0"),
            ("%Y-%m-%d%n", "2024-01-02", ""),
            ("%Y-%m-%d ", "2024-01-02", "1704153600.0"),
            ("%Y-%m-%dZ", "2024-01-02", ""),
            ("%EY-%Om-%Od", "2024-01-02", "1704153600.0"),
            ("%OY-%m-%d", "2024-01-02", ""),
            ("%Y-%m-%d %f", "2024-01-02 5", ""),
            ("%Y-%m-%d %", "2024-01-02 5", ""),
            ("%G %V %u %Y-%m-%d", "2024 53 7 2024-01-02", "1704153600.0"),
            ("%Y-%m-%d", " 2024-01-02", ""),
            (" %Y-%m-%d", "2024-01-02", "1704153600.0"),
            ("%s", "", ""),
            ("%s", "99999999999999999999", ""),
            ("%Y-%m-%d", "1969-12-31", ""),
            ("%Y-%m-%d", "1970-01-01", "0.0"),
        ],
    );
}

/// Checklist: filters 40
#[test]
fn zones_are_read_as_c_reads_them() {
    for (text, expected) in [
        ("Z", Some(0)),
        ("UTC", Some(0)),
        ("UT", Some(0)),
        ("GMT", Some(0)),
        ("GM", None),
        ("est", Some(-18_000)),
        ("PDT", Some(-25_200)),
        ("+5", None),
        ("+05:", Some(18_000)),
        ("+05:3", None),
        ("-0030", Some(-1800)),
        ("CET", None),
    ] {
        let read = zone::offset(text.as_bytes()).map(|(offset, _)| offset);
        assert_eq!(read, expected, "%z {text}");
    }
    for (text, expected) in [
        ("cet", Some((3600, ""))),
        ("NPT x", Some((20_700, " x"))),
        ("ESTX", None),
        ("E]", Some((18_000, "]"))),
        ("J", None),
        ("UTC1", Some((0, "1"))),
        ("+0100", None),
    ] {
        let read = zone::named(text.as_bytes());
        let expected = expected.map(|(offset, rest): (i64, &str)| (offset, rest.as_bytes()));
        assert_eq!(read, expected, "%Z {text}");
    }
    for text in ["0530", "+5", "+053", "+0560x", "+6000", "x", "+05-30"] {
        assert!(Zone::offset(text).is_err(), "{text}");
    }
    assert_eq!(Zone::offset("+05:45"), Ok(Zone::Fixed(20_700)));
    assert!(Zone::named("Nowhere/Here").is_err());
}

/// Checklist: filters 44, 45
#[test]
fn fractions_are_exact_and_need_a_digit() {
    for (text, nanos) in [
        ("000065", "65000"),
        ("1", "100000000"),
        ("000000001", "1"),
        ("999999999", "999999999"),
    ] {
        let text = format!("1700000000.{text}");
        assert_eq!(
            read("%s.%L", &UTC, &text),
            Some(format!("1700000000.{nanos}"))
        );
    }
    check(
        &UTC,
        &[
            ("%s.%L", "1700000000.", ""),
            ("%s.%L", "1700000000.x", ""),
            ("%s.%L", "1700000000.1234567891", "1700000000.123456789"),
            (
                "%Y-%m-%dT%H:%M:%S.%L%z",
                "2024-01-02T03:04:05.1234567891Z",
                "",
            ),
            ("%Y-%m-%dT%H:%M:%S.%L%z", "2024-01-02T03:04:05.125", ""),
            ("%s.%L%L", "1700000000.1", ""),
        ],
    );
}

#[test]
fn a_loose_format_takes_what_there_is() {
    let loosely = |format: &str, text: &str| {
        TimeFormat::new(format, UTC)
            .parse_loosely(text.as_bytes())
            .map(|time| time.seconds)
    };
    assert_eq!(
        loosely("%Y-%m-%dT%H:%M:%S.%L", "2024-01-02T03:04:05Z"),
        Some(1_704_164_645)
    );
    assert_eq!(
        loosely("%Y-%m-%dT%H:%M:%S", "2024-01-02T03:04"),
        Some(1_704_164_640)
    );
    assert_eq!(loosely("%Y-%m-%dT%H:%M:%S", "bad"), None);
    assert_eq!(loosely("%Y-%m-%dT%H:%M:%S", ""), None);
}

proptest! {
    #[test]
    fn times_written_by_a_calendar_read_back(seconds in 0_i64..250_000_000_000, nanos in 0_i32..1_000_000_000, form in 0..5_usize) {
        let formats = ["%Y-%m-%dT%H:%M:%S.%L%z", "%a, %d %b %Y %H:%M:%S.%L %z", "%s.%L", "%Y %j %H:%M:%S.%L%z", "%F %T.%L%z"];
        let format = formats[form];
        let time = jiff::Timestamp::new(seconds, nanos).unwrap();
        let text = time.strftime(&format.replace("%L", "%9f")).to_string();
        let expected = EventTime { seconds: seconds.unsigned_abs(), nanos: nanos.unsigned_abs() };
        prop_assert_eq!(TimeFormat::new(format, UTC).parse(text.as_bytes()), Some(expected), "{}", text);
    }

    #[test]
    fn no_format_and_no_text_make_it_panic(format in r"(%[EO]?[a-zA-Z%]|[-: .]){0,8}", text in r"[-+0-9A-Za-z:. ]{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        for zone in [UTC, Zone::named("America/New_York").unwrap()] {
            let format = TimeFormat::new(&format, zone);
            for text in [text.as_bytes(), &bytes] {
                let _ = (format.parse(text), format.parse_loosely(text));
            }
        }
    }
}
