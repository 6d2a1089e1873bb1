mod bundled;

use super::*;
use crate::config::{Place, Problems, Property, Section, SectionKind, Variables};
use crate::msgpack::json::Json;
use crate::msgpack::scan::value_len;
use proptest::prelude::*;

/// The parser with these properties, and what is wrong with them.
fn read(properties: &[(&str, &str)]) -> (Parsers, String) {
    let mut problems = Problems::default();
    let section = Section::of_pairs(
        SectionKind::Parser,
        &[&[("name", "p")], properties].concat(),
    );
    let parsers = Parsers::read([&section], &Variables::default(), &mut problems);
    (parsers, problems.to_string())
}

fn parser(properties: &[(&str, &str)]) -> std::sync::Arc<Parser> {
    let (parsers, problems) = read(properties);
    assert_eq!(problems, "");
    parsers.get("p").unwrap()
}

/// The record as JSON, with its time in seconds in front if there is one; nothing where the text does not fit.
fn parsed(parser: &Parser, text: &str) -> Option<String> {
    let (mut out, mut json) = (vec![0xc0], Vec::new());
    let Some(parsed) = parser.parse(text.as_bytes(), &mut Room::default(), &mut out) else {
        assert_eq!(out, [0xc0], "{text}");
        return None;
    };
    assert_eq!(value_len(&out[1..]), Ok(Some(out.len() - 1)), "{text}");
    Json {
        escape_unicode: false,
    }
    .value(&out[1..], &mut json);
    let json = String::from_utf8(json).unwrap();
    Some(match parsed.time {
        Some(time) => format!("{} {json}", time.seconds),
        None => json,
    })
}

fn check(properties: &[(&str, &str)], cases: &[(&str, &str)]) {
    let parser = parser(properties);
    for (text, expected) in cases {
        let expected = Some((*expected).to_owned()).filter(|json| !json.is_empty());
        assert_eq!(parsed(&parser, text), expected, "{text}");
    }
}

/// Checklist: filters 34
#[test]
fn json_is_one_object_and_perhaps_noise_behind_it() {
    check(
        &[("format", "JSON"), ("types", "a:string")],
        &[
            (" \t{\"a\":1}\n", r#"{"a":1}"#),
            (r#"{"a":2} trailing"#, r#"{"a":2}"#),
            (r#"{"a":2}]"#, r#"{"a":2}"#),
            (r#"{"a":4}{"b":5}"#, ""),
            (r#"{"a":4} 5"#, ""),
            (r#"{"a":4} {"b"#, r#"{"a":4}"#),
            ("{}", "{}"),
            ("[1,2]", ""),
            ("5", ""),
            ("", ""),
            ("  ", ""),
            ("{'a':1}", ""),
            (r#"{"a":1,}"#, ""),
            ("{\"a\":\"x\ty\"}", ""),
            (
                r#"{"i":18446744073709551615,"e":1e3,"z":-0}"#,
                r#"{"i":18446744073709551615,"e":1000.0,"z":0}"#,
            ),
            (
                r#"{"s":"\ud83d\ude00\ud83d","n":"a\u0000b"}"#,
                "{\"s\":\"\u{1f600}\u{fffd}\",\"n\":\"a\\u0000b\"}",
            ),
        ],
    );
}

/// Checklist: filters 35
#[test]
fn named_groups_are_fields() {
    check(
        &[
            ("format", "regex"),
            ("regex", r"^(?<level>[A-Z]+) (?<message>.*)$"),
        ],
        &[
            ("INFO hello", r#"{"level":"INFO","message":"hello"}"#),
            ("info no", ""),
            ("WARN ", r#"{"level":"WARN"}"#),
            ("INFO one\ntwo", r#"{"level":"INFO","message":"one"}"#),
        ],
    );
    check(
        &[("format", "regex"), ("regex", "^(a)-(?<x>b)-(?:c)$")],
        &[("a-b-c", r#"{"x":"b"}"#)],
    );
    check(&[("format", "regex"), ("regex", "^(a)$")], &[("a", "")]);
    check(
        &[("format", "regex"), ("regex", "^(?<a>x*)")],
        &[("y", "{}")],
    );
    check(
        &[
            ("format", "regex"),
            ("regex", r"^(?:id=(?<v>\d+)|uid=(?<v>\d+))$"),
        ],
        &[("uid=7", r#"{"v":"7"}"#), ("id=8", r#"{"v":"8"}"#)],
    );
    check(
        &[
            ("format", "regex"),
            ("regex", "^(?<a>x)?(?<b>y*)"),
            ("skip_empty_values", "off"),
        ],
        &[("", r#"{"a":"","b":""}"#), ("xyy", r#"{"a":"x","b":"yy"}"#)],
    );
}

#[test]
fn many_groups_make_a_long_map() {
    let groups: Vec<_> = (0..40).map(|n| format!("(?<g{n}>.)")).collect();
    let pattern = groups.concat();
    let parser = parser(&[("format", "regex"), ("regex", &pattern)]);
    let record = parsed(&parser, &"x".repeat(40)).unwrap();
    assert!(
        record.starts_with(r#"{"g0":"x","#) && record.ends_with(r#""g39":"x"}"#),
        "{record}"
    );
}

/// Checklist: filters 37
#[test]
fn ltsv_ends_at_the_first_label_that_is_none() {
    check(
        &[("format", "ltsv"), ("types", "status:integer")],
        &[
            (
                "host:1.2.3.4\tstatus:200\tempty:\treq:GET / x:y",
                r#"{"host":"1.2.3.4","status":200,"empty":"","req":"GET / x:y"}"#,
            ),
            ("a:1\tb b:2\tc:3", r#"{"a":"1"}"#),
            ("a:1\nb:2", r#"{"a":"1"}"#),
            ("a:1\r\nb:2", r#"{"a":"1"}"#),
            ("a:1\t\tb:2", r#"{"a":"1"}"#),
            ("a:1\t:x\tb:2", r#"{"a":"1","b":"2"}"#),
            ("no label", ""),
            ("label", ""),
            ("", ""),
        ],
    );
}

/// Checklist: filters 36
#[test]
fn logfmt_takes_the_first_line() {
    check(
        &[("format", "logfmt")],
        &[
            (
                r#"level=info msg="hello \"w\" \n x" n=5 bare empty= q="" dotted.key=v"#,
                r#"{"level":"info","msg":"hello \"w\" \n x","n":"5","bare":true,"empty":true,"q":"","dotted.key":"v"}"#,
            ),
            ("  lead=1\ttab=2  ", r#"{"lead":"1","tab":"2"}"#),
            ("a=1\nb=2", r#"{"a":"1"}"#),
            ("a=1=2", r#"{"a":"1","2":true}"#),
            ("a = 1", r#"{"a":true,"1":true}"#),
            (r#"a="open"#, r#"{"a":"open"}"#),
            (r#"a="open\"#, r#"{"a":"open\\"}"#),
            ("", ""),
            ("= \"", ""),
        ],
    );
    check(
        &[("format", "logfmt"), ("logfmt_no_bare_keys", "on")],
        &[
            ("a=1 bare", ""),
            (r#"a=1 b= c="""#, r#"{"a":"1","b":true,"c":""}"#),
        ],
    );
    check(
        &[("format", "logfmt"), ("types", "n:integer")],
        &[(r#"n=5 m="a\n" bare"#, r#"{"n":5,"m":"a\\n","bare":""}"#)],
    );
}

const ISO: (&str, &str) = ("time_format", "%Y-%m-%dT%H:%M:%S");

/// Checklist: filters 41
#[test]
fn a_time_that_was_read_leaves_its_field_unless_it_is_kept() {
    let json = [
        (
            r#"{"m":1,"time":"2024-01-02T03:04:05"}"#,
            r#"1704164645 {"m":1}"#,
        ),
        (
            r#"{"time":"yesterday","m":0}"#,
            r#"{"time":"yesterday","m":0}"#,
        ),
        (r#"{"time":1700000001}"#, r#"{"time":1700000001}"#),
        (r#"{"time":"1970-01-01T00:00:00","m":1}"#, r#"{"m":1}"#),
        (
            r#"{"time":"1969-12-31T23:59:59","m":1}"#,
            r#"{"time":"1969-12-31T23:59:59","m":1}"#,
        ),
    ];
    check(&[("format", "json"), ISO], &json);
    check(
        &[
            ("format", "json"),
            ISO,
            ("time_keep", "on"),
            ("time_key", "t"),
        ],
        &[(
            r#"{"t":"2024-01-02T03:04:05","time":"x"}"#,
            r#"1704164645 {"t":"2024-01-02T03:04:05","time":"x"}"#,
        )],
    );
    check(
        &[("format", "json")],
        &[(
            r#"{"time":"2024-01-02T03:04:05"}"#,
            r#"{"time":"2024-01-02T03:04:05"}"#,
        )],
    );
    let regex = [
        ("format", "regex"),
        ("regex", r"^(?<time>\S+) (?<msg>.*)$"),
        ISO,
        ("time_keep", "on"),
    ];
    check(
        &regex,
        &[
            (
                "2024-01-02T03:04:05 ok",
                r#"1704164645 {"time":"2024-01-02T03:04:05","msg":"ok"}"#,
            ),
            ("nonsense bad", r#"{"msg":"bad"}"#),
        ],
    );
    check(
        &[("format", "ltsv"), ISO],
        &[
            ("time:2024-01-02T03:04:05\ta:1", r#"1704164645 {"a":"1"}"#),
            ("a:1\ttime:bad", ""),
            ("a:1\ttime:", r#"{"a":"1","time":""}"#),
            ("time:2024-01-02T03:04:05", ""),
        ],
    );
    check(
        &[("format", "logfmt"), ISO],
        &[
            ("time=2024-01-02T03:04:05 a=1", r#"1704164645 {"a":"1"}"#),
            ("a=1 time=bad", ""),
            ("a=1 time=", r#"{"a":"1","time":true}"#),
        ],
    );
}

/// Checklist: filters 45
#[test]
fn without_time_strict_a_hopeless_time_stays_where_it_is() {
    check(
        &[("format", "json"), ISO, ("time_strict", "off")],
        &[
            (r#"{"time":"bad","m":1}"#, r#"{"time":"bad","m":1}"#),
            (
                r#"{"time":"2024-01-02T03:04:05","m":2}"#,
                r#"1704164645 {"m":2}"#,
            ),
        ],
    );
    check(
        &[("format", "ltsv"), ISO, ("time_strict", "off")],
        &[("time:bad\ta:1", r#"{"time":"bad","a":"1"}"#)],
    );
}

#[test]
fn taking_the_time_out_of_a_long_map_shortens_its_header() {
    let pairs: Vec<_> = (0..15).map(|n| format!("\"k{n}\":{n},")).collect();
    let pairs = pairs.concat();
    let text = format!("{{{pairs}\"time\":\"2024-01-02T03:04:05\"}}");
    let parser = parser(&[("format", "json"), ISO]);
    let mut out = Vec::new();
    parser
        .parse(text.as_bytes(), &mut Room::default(), &mut out)
        .unwrap();
    assert_eq!(out.first(), Some(&0x8f));
    assert_eq!(value_len(&out), Ok(Some(out.len())));
}

/// Checklist: filters 39
#[test]
fn decoders_read_what_is_inside_of_a_field() {
    let decoded = |rules: &[(&str, &str)], cases: &[(&str, &str)]| {
        check(&[&[("format", "json")], rules].concat(), cases);
    };
    decoded(
        &[("decode_field_as", "json log")],
        &[
            (
                r#"{"log":" {\"a\":{\"b\":[1]}} ","z":1}"#,
                r#"{"log":{"a":{"b":[1]}},"z":1}"#,
            ),
            (r#"{"log":"text"}"#, r#"{"log":"text"}"#),
            (r#"{"log":"[1]"}"#, r#"{"log":"[1]"}"#),
            (r#"{"log":5}"#, r#"{"log":5}"#),
        ],
    );
    decoded(
        &[("decode_field", "json log"), ("decode_field", "json more")],
        &[(
            r#"{"log":"{\"a\":1}","more":"{\"b\":2}","z":0}"#,
            r#"{"log":"{\"a\":1}","more":"{\"b\":2}","z":0,"a":1,"b":2}"#,
        )],
    );
    decoded(
        &[
            ("decode_field_as", "escaped_utf8 log do_next"),
            ("decode_field_as", "json log"),
        ],
        &[
            (r#"{"log":"{\\\"a\\\":1}"}"#, r#"{"log":{"a":1}}"#),
            (r#"{"log":"plain"}"#, r#"{"log":"plain"}"#),
        ],
    );
    decoded(
        &[
            ("decode_field_as", "json log try_next"),
            ("decode_field_as", "escaped log"),
        ],
        &[
            (r#"{"log":"a\\nb"}"#, r#"{"log":"a\nb"}"#),
            (r#"{"log":"{\"a\":\"\\\\n\"}"}"#, r#"{"log":{"a":"\\n"}}"#),
        ],
    );
    decoded(
        &[("decode_field_as", "mysql_quoted log")],
        &[(r#"{"log":"'it\\'s'"}"#, r#"{"log":"it's"}"#)],
    );
    decoded(
        &[("decode_field", "escaped log")],
        &[(r#"{"log":"a\\nb"}"#, r#"{"log":"a\\nb"}"#)],
    );
    check(
        &[("format", "logfmt"), ("decode_field_as", "json msg")],
        &[(r#"msg="{\"a\":1}" x=1"#, r#"{"msg":{"a":1},"x":"1"}"#)],
    );
}

#[test]
fn a_time_inside_of_a_decoded_field_counts() {
    check(
        &[("format", "json"), ISO, ("decode_field", "json log")],
        &[(
            r#"{"log":"{\"time\":\"2024-01-02T03:04:05\"}"}"#,
            r#"1704164645 {"log":"{\"time\":\"2024-01-02T03:04:05\"}"}"#,
        )],
    );
}

/// Checklist: filters 46
#[test]
fn what_makes_no_parser_is_refused() {
    for (properties, said) in [
        (&[][..], "missing or empty; parser `p` needs it"),
        (&[("format", "xml")], "`xml` is not known"),
        (&[("format", "regex")], "key `regex`: missing or empty"),
        (
            &[("format", "regex"), ("regex", "(a")],
            "error: command line: key `regex`",
        ),
        (
            &[("format", "json"), ISO, ("time_offset", "5")],
            "`5` is no offset",
        ),
        (
            &[("format", "json"), ISO, ("time_zone", "Nowhere")],
            "is no time zone",
        ),
        (
            &[("format", "json"), ("time_zone", "Europe/Berlin")],
            "needs a Time_Format",
        ),
        (
            &[
                ("format", "json"),
                ISO,
                ("time_zone", "Europe/Berlin"),
                ("time_offset", "+0100"),
            ],
            "exclude each other",
        ),
        (
            &[
                ("format", "json"),
                ISO,
                ("time_zone", "Europe/Berlin"),
                ("time_system_timezone", "on"),
            ],
            "exclude each other",
        ),
    ] {
        let (_, problems) = read(properties);
        assert!(
            problems.contains("error: ") && problems.contains(said),
            "{properties:?}: {problems}"
        );
    }
    let (_, problems) = read(&[("format", "json"), ("decode_field", "rot13 log")]);
    assert!(
        problems.starts_with("warning: ") && problems.contains("no such decoder"),
        "{problems}"
    );
}

/// Checklist: filters 46; engine 23
#[test]
fn two_parsers_of_one_name_are_refused_and_names_have_a_case() {
    let sections = [("json", "json"), ("JSON", "json"), ("json", "ltsv")].map(|(name, format)| {
        Section::of_pairs(SectionKind::Parser, &[("name", name), ("format", format)])
    });
    let mut problems = Problems::default();
    let parsers = Parsers::read(&sections, &Variables::default(), &mut problems);
    assert_eq!(parsers.names().collect::<Vec<_>>(), ["JSON", "json"]);
    assert!(parsers.get("Json").is_none());
    assert!(
        problems
            .to_string()
            .contains("there is a parser `json` already"),
        "{problems}"
    );
}

fn any_parser() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    proptest::sample::select(vec![
        vec![
            ("format", "json"),
            ISO,
            ("decode_field", "json a"),
            ("decode_field_as", "escaped_utf8 b"),
        ],
        vec![
            ("format", "ltsv"),
            ("types", "a:integer b:bool"),
            ("time_format", "%s"),
            ("time_key", "t"),
        ],
        vec![
            ("format", "logfmt"),
            ("time_format", "%s"),
            ("time_key", "t"),
            ("decode_field_as", "mysql_quoted a"),
        ],
        vec![("format", "logfmt"), ("types", "a:hex b:float")],
        vec![
            ("format", "regex"),
            ("regex", r"(?<a>\w*)=(?<b>[^ ]*)(?<t>\d+)?"),
            ("time_key", "t"),
            ("time_format", "%s"),
        ],
    ])
}

proptest! {
    #[test]
    fn any_text_gives_a_whole_map_or_nothing(properties in any_parser(), text in r#"[abt:=\\"'{}\[\], 0-9\tn\n]{0,60}"#, bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let parser = parser(&properties);
        let mut room = Room::default();
        for text in [text.as_bytes(), &bytes] {
            let mut out = vec![0xc0];
            if parser.parse(text, &mut room, &mut out).is_some() {
                prop_assert_eq!(value_len(&out[1..]), Ok(Some(out.len() - 1)));
                prop_assert!(matches!(read::value(&out[1..]), Ok((_, Value::Map(_)))));
            } else {
                prop_assert_eq!(out, [0xc0]);
            }
        }
    }
}
