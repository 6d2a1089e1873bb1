use super::*;
use crate::config::testing::configured;
use crate::event::{Event, EventTime, Tag};
use crate::output::Destination;
use crate::output::testing::{TAG, TIME, items, record};

fn output(properties: &[(&str, &str)]) -> (Arc<dyn Output>, Vec<String>) {
    configured(properties, |settings| build(settings, Options::default()))
}

fn body(properties: &[(&str, &str)], records: &[&str]) -> String {
    let (output, problems) = output(properties);
    assert_eq!(problems, [""; 0]);
    let records: Vec<_> = records.iter().map(|text| record(text)).collect();
    let encoded = output.encode(&Destination::default(), &mut items(&records), Vec::new());
    assert_eq!(encoded.taken(), records.len());
    String::from_utf8(encoded.body.to_vec()).unwrap()
}

/// The labels and the line of one record.
fn stream(properties: &[(&str, &str)], record: &str) -> (String, String) {
    let body: serde_json::Value = serde_json::from_str(&body(properties, &[record])).unwrap();
    let stream = &body["streams"][0];
    let line = stream["values"][0][1].as_str().unwrap();
    (stream["stream"].to_string(), line.to_owned())
}

/// Checklist: engine 64
#[test]
fn events_with_the_same_labels_share_a_stream() {
    let (one, two) = (r#"{"log":"a"}"#, r#"{"log":"\u00e9\""}"#);
    assert_eq!(
        body(&[], &[one, two]),
        r#"{"streams":[{"stream":{"job":"fluent-bit"},"values":[["1700000000123456789","{\"log\":\"a\"}"],["1700000000123456789","{\"log\":\"\\u00e9\\\"\"}"]]}]}"#
    );
    let records = [
        r#"{"l":"i","n":1}"#,
        r#"{"l":"i","n":2}"#,
        r#"{"l":"w"}"#,
        r#"{"l":"i"}"#,
    ];
    assert_eq!(
        body(&[("labels", "lvl=$l"), ("remove_keys", "n")], &records),
        concat!(
            r#"{"streams":[{"stream":{"lvl":"i"},"values":[["1700000000123456789","{}"],["1700000000123456789","{}"]]},"#,
            r#"{"stream":{"lvl":"w"},"values":[["1700000000123456789","{}"]]},"#,
            r#"{"stream":{"lvl":"i"},"values":[["1700000000123456789","{}"]]}]}"#
        )
    );
}

#[test]
fn labels_come_from_the_settings_and_the_record_and_leave_the_line() {
    for (properties, expected, rest) in [
        (
            &[("labels", "job=app, $k['a.b'], env=$env, none=$none")][..],
            r#"{"env":"prod","job":"app","k_a_b":"1"}"#,
            r#"{"k":{"c":2}}"#,
        ),
        (
            &[("label_keys", "$env,$k['c']")],
            r#"{"env":"prod","k_c":"2"}"#,
            r#"{"k":{"a.b":1}}"#,
        ),
        (
            &[("labels", "tag=$TAG,part=$TAG[1]")],
            r#"{"part":"web","tag":"app.web"}"#,
            r#"{"k":{"a.b":1,"c":2},"env":"prod"}"#,
        ),
        (
            &[("remove_keys", "env,$k['c']")],
            r#"{"job":"fluent-bit"}"#,
            r#"{"k":{"a.b":1}}"#,
        ),
    ] {
        let (labels, line) = stream(properties, r#"{"k":{"a.b":1,"c":2},"env":"prod"}"#);
        assert_eq!((&*labels, &*line), (expected, rest), "{properties:?}");
    }
}

#[test]
fn labels_of_kubernetes_get_names_that_loki_takes() {
    let record = r#"{"kubernetes":{"labels":{"app.io/x":"a","1st":"b","n":5}}}"#;
    let (labels, line) = stream(&[("auto_kubernetes_labels", "on")], record);
    assert_eq!(labels, r#"{"_1st":"b","app_io_x":"a"}"#);
    assert_eq!(line, record);
}

#[test]
fn a_file_maps_values_of_the_record_to_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.json");
    let map = r#"{"k8s":{"name":"container","deep":{"x'y":"odd"}},"stream":"out"}"#;
    std::fs::write(&path, map).unwrap();
    let setting = [("label_map_path", path.to_str().unwrap())];
    let record = r#"{"k8s":{"name":"c","deep":{"x'y":"o","z":1}},"stream":"s"}"#;
    let (labels, line) = stream(&setting, record);
    assert_eq!(labels, r#"{"container":"c","odd":"o","out":"s"}"#);
    assert_eq!(line, r#"{"k8s":{"deep":{"z":1}}}"#);
    for (text, expected) in [("[", "cannot read it"), ("{\"a\":", "cannot read it")] {
        std::fs::write(&path, text).unwrap();
        let (_, problems) = output(&setting);
        assert!(problems.concat().contains(expected), "{problems:?}");
    }
}

#[test]
fn metadata_stands_behind_the_line_and_what_is_named_wins_over_maps() {
    let properties = [
        ("structured_metadata", "trace=$id, a=fixed"),
        ("structured_metadata_map_keys", "$m"),
    ];
    let record = r#"{"log":"x","id":"7","m":{"a":1,"b-c":{"d":2},"e":"t"}}"#;
    assert_eq!(
        body(&properties, &[record]),
        r#"{"streams":[{"stream":{"job":"fluent-bit"},"values":[["1700000000123456789","{\"log\":\"x\"}",{"b_c":"{\"d\":2}","e":"t","trace":"7","a":"fixed"}]]}]}"#
    );
}

#[test]
fn a_line_is_json_or_pairs_or_a_value_alone() {
    let pairs = ("line_format", "key_value");
    let (on, raw) = (("drop_single_key", "on"), ("drop_single_key", "raw"));
    for (properties, record, expected) in [
        (
            &[pairs][..],
            r#"{"log":"h \"w\"","n":-1,"f":1.0,"t":true,"z":null,"a":[1,"b"],"m":{"k":1,"l":{}}}"#,
            r#"log="h "w"" n=-1 f=1.0 t=true z=null a="[1 "b"]" m="map[k:1 l:"map[]"]""#,
        ),
        (&[on], r#"{"log":"x"}"#, r#""x""#),
        (&[raw], r#"{"log":"x\n"}"#, "x\n"),
        (&[raw], r#"{"log":{"a":1}}"#, r#"{"a":1}"#),
        (&[raw], r#"{"log":"x","n":1}"#, r#"{"log":"x","n":1}"#),
        (&[on, pairs], r#"{"log":"x"}"#, "x"),
        (&[on, pairs], r#"{"log":[1]}"#, r#""[1]""#),
        (&[on], "{}", "{}"),
    ] {
        let (_, line) = stream(properties, record);
        assert_eq!(line, expected, "{properties:?} {record}");
    }
}

#[test]
fn each_tenant_has_requests_of_its_own() {
    let (output, problems) = output(&[("tenant_id_key", "$t"), ("tenant_id", "rest")]);
    assert_eq!(problems, [""; 0]);
    assert_eq!(output.destination(&TAG), None);
    let tenant = |text: &str| {
        let record = record(text);
        let item = items(std::slice::from_ref(&record)).next();
        output.destination_of(item.unwrap()).name
    };
    assert_eq!(&*tenant(r#"{"t":"one"}"#), "one");
    assert_eq!(&*tenant(r#"{"t":5}"#), "rest");
    assert_eq!(&*tenant("{}"), "rest");
}

#[test]
fn a_time_beyond_64_bits_of_nanoseconds_is_written_whole() {
    let (output, _) = output(&[]);
    let time = EventTime {
        seconds: u64::MAX,
        ..TIME
    };
    let event = Event {
        time,
        metadata: &[],
        record: &[0x80],
    };
    let tag = Tag::new(b"t");
    let mut items = std::iter::once(Item { tag: &tag, event });
    let body = output.encode(&Destination::default(), &mut items, Vec::new());
    let text = String::from_utf8(body.body.to_vec()).unwrap();
    assert!(
        text.contains("[\"18446744073709551615123456789\","),
        "{text}"
    );
}

#[test]
fn what_is_out_of_order_is_final_and_everything_else_is_sent_again() {
    for (status, expected) in [
        (204, Verdict::Taken),
        (400, Verdict::Refused),
        (401, Verdict::Again),
        (413, Verdict::Unacceptable(DropReason::TooLarge)),
        (429, Verdict::Again),
        (500, Verdict::Again),
    ] {
        assert_eq!(verdict(status), expected, "{status}");
    }
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for (property, expected) in [
        (("labels", "job"), "is no label"),
        (("labels", "job="), "is no label"),
        (("labels", "$TAG"), "write tag=$TAG"),
        (("labels", "x=$a["), "bracket"),
        (("label_keys", "level"), "with a dollar"),
        (("structured_metadata_map_keys", "m"), "with a dollar"),
        (("remove_keys", "$"), "names no key"),
        (("line_format", "logfmt"), "is not known"),
        (("drop_single_key", "maybe"), "neither on nor off"),
        (("tenant_id_key", "$"), "names no key"),
    ] {
        let (_, problems) = output(&[property]);
        assert!(
            problems.concat().contains(expected),
            "{property:?}: {problems:?}"
        );
    }
}
