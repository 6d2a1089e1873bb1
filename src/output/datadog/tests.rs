use super::*;
use crate::config::testing::configured;
use crate::output::Destination;
use crate::output::testing::{items, record};

fn body(properties: &[(&str, &str)], records: &[&str]) -> String {
    let properties = [&[("apikey", "k")][..], properties].concat();
    let read = |settings: &mut Settings<'_>| build(settings, Options::default());
    let (output, problems) = configured(&properties, read);
    assert_eq!(problems, [""; 0]);
    let records: Vec<_> = records.iter().map(|text| record(text)).collect();
    let destination = output.destination(&crate::output::testing::TAG).unwrap();
    let encoded = output.encode(&destination, &mut items(&records), Vec::new());
    assert_eq!(encoded.taken(), records.len());
    String::from_utf8(encoded.body.to_vec()).unwrap()
}

/// Checklist: engine 64
#[test]
fn an_event_is_an_object_with_a_message_and_a_time_in_milliseconds() {
    let records = [r#"{"log":"x","n":1}"#, r#"{"k":{"log":"deep"}}"#];
    assert_eq!(
        body(&[], &records),
        r#"[{"timestamp":1700000000123,"message":"x","n":1},{"timestamp":1700000000123,"k":{"log":"deep"}}]"#
    );
    let settings = [
        ("dd_service", "svc"),
        ("dd_source", "src"),
        ("dd_hostname", "h"),
        ("dd_tags", "a:b,c:d"),
        ("dd_message_key", "m"),
        ("include_tag_key", "on"),
        ("json_date_key", "t"),
    ];
    assert_eq!(
        body(&settings, &[r#"{"m":"x","log":"y"}"#]),
        r#"[{"t":1700000000123,"tagkey":"app.web","ddsource":"src","service":"svc","hostname":"h","message":"x","log":"y","ddtags":"a:b,c:d"}]"#
    );
}

#[test]
fn a_key_of_the_record_wins_over_a_setting_but_for_the_tags() {
    let settings = [("dd_service", "svc"), ("dd_tags", "a:b")];
    let record = r#"{"service":"mine","timestamp":5,"ddtags":"lost","message":"m","log":"l"}"#;
    assert_eq!(
        body(&settings, &[record]),
        r#"[{"service":"mine","timestamp":5,"message":"l","ddtags":"a:b"}]"#
    );
}

#[test]
fn what_ecs_says_of_a_container_becomes_tags() {
    let ecs = ("provider", "ecs");
    for (record, expected) in [
        (r#"{"container_name":"/web"}"#, "container_name:web"),
        (r#"{"container_image":"i:1"}"#, "container_image:i:1"),
        (
            r#"{"ecs_cluster":"arn:aws:ecs:r:1:cluster/c"}"#,
            "cluster_name:c",
        ),
        (
            r#"{"ecs_task_definition":"none"}"#,
            "ecs_task_definition:none",
        ),
        (
            r#"{"ecs_task_definition":"fam:3"}"#,
            "task_family:fam,task_version:3",
        ),
        (
            r#"{"ecs_task_arn":"arn:aws:ecs:eu-1:1:task/c/9"}"#,
            "task_arn:arn:aws:ecs:eu-1:1:task/c/9,region:eu-1,task_id:c/9",
        ),
        (r#"{"ecs_task_arn":"odd"}"#, "task_arn:odd,task_id:odd"),
    ] {
        assert_eq!(
            body(&[ecs], &[record]),
            format!(r#"[{{"timestamp":1700000000123,"ddtags":"{expected}"}}]"#)
        );
    }
    let both = [ecs, ("dd_tags", "a:b")];
    assert_eq!(
        body(&both, &[r#"{"container_id":"c","log":"x"}"#]),
        r#"[{"timestamp":1700000000123,"message":"x","ddtags":"container_id:c,a:b"}]"#
    );
    let kept = r#"{"container_id":"","ecs_cluster":7}"#;
    assert_eq!(
        body(&both, &[kept]),
        r#"[{"timestamp":1700000000123,"container_id":"","ecs_cluster":7,"ddtags":"a:b"}]"#
    );
}

#[test]
fn a_time_is_rounded_to_its_millisecond() {
    let time = |nanos| EventTime { seconds: 1, nanos };
    assert_eq!(millis(time(499_999)), 1000);
    assert_eq!(millis(time(500_000)), 1001);
    assert_eq!(millis(time(999_999_999)), 2000);
}

#[test]
fn a_request_has_at_most_a_thousand_events() {
    let (output, _) = configured(&[("apikey", "k")], |settings| {
        build(settings, Options::default())
    });
    let records = vec![record("{}"); 1500];
    let encoded = output.encode(&Destination::default(), &mut items(&records), Vec::new());
    assert_eq!(encoded.consumed, 1000);
}

#[test]
fn a_section_without_a_key_or_with_nonsense_says_what_to_write() {
    for (properties, expected) in [
        (&[][..], "missing or empty"),
        (&[("apikey", "a\u{7f}b")], "no header may have"),
        (&[("apikey", "k"), ("provider", "gcp")], "write ecs"),
        (&[("apikey", "k"), ("compress", "zip")], "no compression"),
    ] {
        let read = |settings: &mut Settings<'_>| build(settings, Options::default());
        let (_, problems) = configured(properties, read);
        assert!(
            problems.concat().contains(expected),
            "{properties:?}: {problems:?}"
        );
        assert!(!problems.concat().contains("a\u{7f}b"), "{problems:?}");
    }
}
