//! The parsers that the image brings along.

use std::path::Path;

use super::*;
use crate::config::{Role, load_named};

/// Every parser of the files, which must hold no mistake.
fn bundled() -> Parsers {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut problems = Problems::default();
    let mut sections = Vec::new();
    for file in [
        "parsers.conf",
        "parsers_ambassador.conf",
        "parsers_cinder.conf",
        "parsers_extra.conf",
        "parsers_java.conf",
        "parsers_kafka.conf",
        "parsers_mult.conf",
        "parsers_multiline.conf",
        "parsers_openstack.conf",
    ] {
        let named_at = Property {
            key: "parsers_file".to_owned(),
            value: file.to_owned(),
            place: Place::command_line(),
        };
        let path = folder.join(file);
        sections.extend(load_named(
            path.to_str().unwrap(),
            &named_at,
            &folder,
            Role::Parsers,
            &mut problems,
        ));
    }
    let parsers = Parsers::read(&sections, &Variables::default(), &mut problems);
    assert_eq!(problems.to_string(), "");
    parsers
}

#[test]
fn every_bundled_parser_is_there_under_its_name() {
    let parsers = bundled();
    assert_eq!(parsers.names().count(), 53);
    for name in [
        "docker",
        "logfmt",
        "k8s-nginx-ingress",
        "nova",
        "mult_4",
        "uuid",
        "ceph",
    ] {
        assert!(parsers.get(name).is_some(), "{name}");
    }
}

/// Checklist: filters 75
#[test]
fn bundled_parsers_read_what_they_are_for() {
    let parsers = bundled();
    for (name, text, expected) in [
        (
            "nginx",
            r#"10.0.0.1 - bob [10/Oct/2023:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 12 "http://r/" "curl/8""#,
            r#"1696971336 {"remote":"10.0.0.1","host":"-","user":"bob","method":"GET","path":"/a?b=c","code":"200","size":"12","referer":"http://r/","agent":"curl/8"}"#,
        ),
        (
            "apache_error",
            "[Wed Oct 11 14:32:52 2000] [error] [client 127.0.0.1] denied",
            r#"{"time":"Oct 11 14:32:52 2000","level":"error","client":"127.0.0.1","message":"denied"}"#,
        ),
        (
            "json",
            r#"{"time":"10/Oct/2023:13:55:36 -0700","a":1}"#,
            r#"1696971336 {"a":1}"#,
        ),
        (
            "docker",
            r#"{"log":"x\n","stream":"stdout","time":"2024-01-02T03:04:05.5Z"}"#,
            r#"1704164645 {"log":"x\n","stream":"stdout","time":"2024-01-02T03:04:05.5Z"}"#,
        ),
        (
            "docker-daemon",
            r#"time="2024-01-02T03:04:05.5" level=info msg="started""#,
            r#"1704164645 {"time":"2024-01-02T03:04:05.5","level":"info","msg":"started"}"#,
        ),
        (
            "syslog-rfc5424",
            "<13>1 2024-01-02T03:04:05.123Z host app 42 ID47 - hello world",
            r#"1704164645 {"pri":"13","time":"2024-01-02T03:04:05.123Z","host":"host","ident":"app","pid":"42","msgid":"ID47","extradata":"-","message":"hello world"}"#,
        ),
        (
            "mongodb",
            "2024-01-02T03:04:05.123 I COMMAND [conn1] query 12ms",
            r#"1704164645 {"time":"2024-01-02T03:04:05.123","severity":"I","component":"COMMAND","context":"conn1","message":"query","ms":"12"}"#,
        ),
        (
            "cri",
            "2024-01-02T03:04:05.123456789Z stderr F it broke",
            r#"1704164645 {"time":"2024-01-02T03:04:05.123456789Z","stream":"stderr","logtag":"F","message":"it broke"}"#,
        ),
        (
            "logfmt",
            r#"at=info path="/a b" dyno"#,
            r#"{"at":"info","path":"/a b","dyno":true}"#,
        ),
        (
            "envoy",
            r#"[2024-01-02T03:04:05.123Z] "GET /a HTTP/1.1" 200 - 0 5 1 1 "-" "curl" "id" "host" "10.0.0.1:80""#,
            r#"1704164645 {"start_time":"2024-01-02T03:04:05.123Z","method":"GET","path":"/a","protocol":"HTTP/1.1","code":"200","response_flags":"-","bytes_received":"0","bytes_sent":"5","duration":"1","x_envoy_upstream_service_time":"1","x_forwarded_for":"-","user_agent":"curl","request_id":"id","authority":"host","upstream_host":"10.0.0.1:80"}"#,
        ),
        (
            "rabbitmq",
            "=INFO REPORT==== 2-Jan-2024::03:04:05 === closing",
            r#"1704164645 {"severity":"INFO","message":"closing"}"#,
        ),
        (
            "couchbase_simple_log_utc",
            "2024-01-02T03:04:05.123Z INFO hello",
            r#"1704164645 {"timestamp":"2024-01-02T03:04:05.123Z","level":"INFO","message":" hello"}"#,
        ),
        (
            "java_multiline",
            "2024-01-02 3:4:5 [main] INFO started",
            r#"1704164645 {"thread":"main","level":"INFO","message":" started"}"#,
        ),
        (
            "nova",
            "2024-01-02 03:04:05.123 1234 INFO nova.compute [-] hello",
            r#"1704164645 {"pid":"1234","severity":"INFO","component":"nova.compute","message":"hello"}"#,
        ),
        (
            "mult_first",
            r#"Started GET "/" for 127.0.0.1 at 2024-01-02 03:04:05 +0000"#,
            r#"1704164645 {"method":"GET","path":"/","host":"127.0.0.1"}"#,
        ),
        (
            "uuid",
            "x 6ba7b810-9dad-11d1-80b4-00c04fd430c8 y",
            r#"{"uuid":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"}"#,
        ),
    ] {
        let parser = parsers.get(name).unwrap();
        assert_eq!(parsed(&parser, text).as_deref(), Some(expected), "{name}");
    }
    let syslog = parsers.get("syslog-rfc3164").unwrap();
    let read = parsed(&syslog, "<34>Oct 11 22:14:15 host su[5]: failed").unwrap();
    assert!(
        read.ends_with(r#"{"pri":"34","time":"Oct 11 22:14:15","host":"host","ident":"su","pid":"5","message":"failed"}"#),
        "{read}"
    );
}
