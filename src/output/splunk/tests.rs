use super::*;
use crate::config::testing::configured;
use crate::output::Destination;
use crate::output::testing::{items, record};

fn output(properties: &[(&str, &str)]) -> (Arc<dyn Output>, Vec<String>) {
    configured(properties, |settings| build(settings, Options::default()))
}

fn body(properties: &[(&str, &str)], records: &[&str]) -> String {
    let (output, problems) = output(&[&[("splunk_token", "t")][..], properties].concat());
    assert_eq!(problems, [""; 0]);
    let records: Vec<_> = records.iter().map(|text| record(text)).collect();
    let encoded = output.encode(&Destination::default(), &mut items(&records), Vec::new());
    assert_eq!(encoded.taken(), records.len());
    String::from_utf8(encoded.body.to_vec()).unwrap()
}

/// Checklist: engine 64
#[test]
fn events_stand_in_envelopes_one_behind_the_other() {
    assert_eq!(
        body(&[], &[r#"{"log":"x"}"#, "{}"]),
        r#"{"time":1700000000.123457,"event":{"log":"x"}}{"time":1700000000.123457,"event":{}}"#
    );
    let settings = [
        ("event_key", "$log"),
        ("event_host", "h-$host"),
        ("event_source", "$TAG"),
        ("event_sourcetype", "st"),
        ("event_index", "ix"),
        ("event_field", "x $k['a']"),
        ("event_field", "y $none"),
    ];
    assert_eq!(
        body(&settings, &[r#"{"log":"te\"xt","k":{"a":1}}"#]),
        r#"{"time":1700000000.123457,"host":"h-","source":"app.web","sourcetype":"st","index":"ix","fields":{"x":1},"event":"te\"xt"}"#
    );
}

#[test]
fn what_a_record_says_wins_over_what_is_fixed() {
    let settings = [
        ("event_sourcetype", "st"),
        ("event_sourcetype_key", "$st"),
        ("event_index_key", "$ix"),
        ("event_source", "$none"),
    ];
    assert_eq!(
        body(&settings, &[r#"{"st":"own"}"#, r#"{"ix":"i","st":""}"#]),
        concat!(
            r#"{"time":1700000000.123457,"sourcetype":"own","event":{"st":"own"}}"#,
            r#"{"time":1700000000.123457,"sourcetype":"st","index":"i","event":{"ix":"i","st":""}}"#
        )
    );
}

#[test]
fn an_event_without_its_key_is_sent_whole() {
    let records = [r#"{"a":1}"#, r#"{"log":"","a":1}"#];
    assert_eq!(
        body(
            &[("event_key", "$log"), ("auto_extract_timestamp", "on")],
            &records
        ),
        r#"{"event":{"a":1}}{"event":{"log":"","a":1}}"#
    );
}

#[test]
fn raw_records_are_lines_without_an_envelope() {
    let settings = [("splunk_send_raw", "on"), ("event_host", "h")];
    assert_eq!(
        body(&settings, &[r#"{"event":1}"#, r#"{"log":"x"}"#]),
        "{\"event\":1}\n{\"log\":\"x\"}\n"
    );
    let text = [("splunk_send_raw", "on"), ("event_key", "$log")];
    assert_eq!(body(&text, &[r#"{"log":"x"}"#]), "\"x\"\n");
}

#[test]
fn only_200_is_success_and_what_is_wrong_with_a_request_is_final() {
    for (status, expected) in [
        (200, Verdict::Taken),
        (201, Verdict::Again),
        (400, Verdict::Refused),
        (403, Verdict::Refused),
        (408, Verdict::Again),
        (413, Verdict::Unacceptable(DropReason::TooLarge)),
        (429, Verdict::Again),
        (503, Verdict::Again),
    ] {
        assert_eq!(verdict(status), expected, "{status}");
    }
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for (properties, expected) in [
        (&[][..], "needs it, or http_user"),
        (
            &[("splunk_token", "t"), ("event_key", "log")],
            "with a dollar",
        ),
        (
            &[("splunk_token", "t"), ("event_host", "$")],
            "names no key",
        ),
        (
            &[("splunk_token", "t"), ("event_field", "x")],
            "1 words, not 2",
        ),
        (
            &[("splunk_token", "t"), ("event_field", "x $a[")],
            "bracket",
        ),
        (&[("splunk_token", "t\n")], "no header may have"),
    ] {
        let (_, problems) = output(properties);
        assert!(
            problems.concat().contains(expected),
            "{properties:?}: {problems:?}"
        );
    }
    let (_, problems) = output(&[("http_user", "u")]);
    assert_eq!(problems, [""; 0]);
}
