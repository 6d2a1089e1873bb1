use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use super::support::{Frame, Router, Server, Taken, eventually};

/// An output with what it needs to start.
const OUTPUTS: [(&str, &[(&str, &str)]); 4] = [
    ("datadog", &[("apikey", "hush-hush")]),
    ("loki", &[("bearer_token", "hush-hush")]),
    ("opentelemetry", &[("Header", "X-Key hush-hush")]),
    ("splunk", &[("splunk_token", "hush-hush")]),
];

fn router(plugin: &str, server: &Server, settings: &[(&str, &str)]) -> Router {
    let port = server.address.port().to_string();
    let common = [("Match", "*"), ("host", "127.0.0.1"), ("port", &*port)];
    Router::new()
        .forward(&[])
        .section("OUTPUT", plugin, &[&common, settings].concat())
}

/// How often the texts stand in what was taken.
fn counts(taken: &[Taken], texts: &[&str]) -> Vec<usize> {
    let mut counts = Vec::new();
    for text in texts {
        let bodies = taken.iter().map(|request| &request.body);
        counts.push(bodies.map(|body| body.matches(text).count()).sum());
    }
    counts
}

#[test]
fn what_a_service_could_not_take_arrives_once_it_can() {
    for (plugin, settings) in OUTPUTS {
        let asked = AtomicU32::new(0);
        let server = Server::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => (503, "retry-after: 1\r\n"),
            _ => (200, ""),
        });
        let router = router(plugin, &server, settings).start();
        let frame = Frame::new("app").log("first-one").log("second-one");
        router.connect().send(&frame);
        let texts = ["first-one", "second-one"];
        eventually(
            plugin,
            || format!("{:?}", server.taken().len()),
            || (counts(&server.taken(), &texts) == [1, 1]).then_some(()),
        );
        let text = router.process.text();
        assert!(!text.contains("hush-hush"), "{plugin}: {text}");
    }
}

#[test]
fn a_body_that_a_service_finds_too_large_is_cut_until_it_fits() {
    for (plugin, settings) in OUTPUTS {
        let server = Server::start(|request| {
            let is_large = request.body.matches("entry-").count() > 2;
            (if is_large { 413 } else { 200 }, "")
        });
        let router = router(plugin, &server, settings).start();
        let texts: Vec<String> = (0..9).map(|number| format!("entry-{number}")).collect();
        let frame = texts
            .iter()
            .fold(Frame::new("app"), |frame, text| frame.log(text));
        router.connect().send(&frame);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        eventually(
            plugin,
            || format!("{:?}", counts(&server.taken(), &texts)),
            || (counts(&server.taken(), &texts) == [1; 9]).then_some(()),
        );
    }
}

#[test]
fn an_event_that_datadog_refuses_costs_itself_and_not_its_neighbours() {
    let server = Server::start(|request| {
        let is_poisoned = request.body.contains("poison");
        (if is_poisoned { 400 } else { 200 }, "")
    });
    let router = router("datadog", &server, &[("apikey", "k")]).start();
    let frame = Frame::new("app").log("one-a").log("poison").log("one-b");
    router.connect().send(&frame);
    eventually(
        "the others arrive",
        || format!("{:?}", server.taken().len()),
        || (counts(&server.taken(), &["one-a", "one-b"]) == [1, 1]).then_some(()),
    );
    let labels = "name=\"datadog.0\",reason=\"refused\"";
    eventually(
        "it is counted",
        || router.process.text(),
        || (router.counter("sluice_dropped_records_total", labels) == 1).then_some(()),
    );
}

#[test]
fn what_splunk_and_loki_refuse_for_good_is_dropped_counted_and_told() {
    for (plugin, settings) in [OUTPUTS[1], OUTPUTS[3]] {
        let server = Server::start(|_| (400, ""));
        let router = router(plugin, &server, settings).start();
        router
            .connect()
            .send(&Frame::new("app").log("one").log("two"));
        router.process.says("its events are lost");
        let labels = format!("name=\"{plugin}.0\",reason=\"refused\"");
        eventually(
            plugin,
            || router.process.text(),
            || (router.counter("sluice_dropped_records_total", &labels) == 2).then_some(()),
        );
    }
}

#[test]
fn each_tenant_of_loki_has_requests_of_its_own() {
    let server = Server::start(|_| (200, ""));
    let settings = [("tenant_id_key", "$log"), ("tenant_id", "rest")];
    let router = router("loki", &server, &settings).start();
    router
        .connect()
        .send(&Frame::new("app").log("one").log("two").log("one"));
    let of = |tenant: &str| {
        let taken = server.taken();
        let header = format!("x-scope-orgid: {tenant}\r\n");
        let own: Vec<Taken> = taken
            .into_iter()
            .filter(|request| request.head.contains(&header))
            .collect();
        counts(&own, &["\\\"one\\\"", "\\\"two\\\""])
    };
    eventually(
        "all arrive under their tenants",
        || format!("{:?}", server.taken().len()),
        || (of("one") == [2, 0] && of("two") == [0, 1]).then_some(()),
    );
}

#[test]
fn lines_follow_each_other_over_a_connection_and_over_the_next() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let settings = [
        ("Match", "*"),
        ("port", &*port),
        ("format", "json_lines"),
        ("json_date_key", "off"),
    ];
    let router = Router::new()
        .forward(&[])
        .section("OUTPUT", "tcp", &settings)
        .start();
    let mut client = router.connect();
    for text in ["one", "two"] {
        client.send(&Frame::new("app").log(text));
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert_eq!(line, format!("{{\"log\":\"{text}\"}}\n"));
    }
}

#[test]
fn outputs_of_metrics_are_read_and_get_no_records() {
    let server = Server::start(|_| (200, ""));
    let remote = [("Match", "*"), ("host", "127.0.0.1"), ("add_label", "a b")];
    let router = router("http", &server, &[])
        .section("OUTPUT", "prometheus_remote_write", &remote)
        .section("OUTPUT", "prometheus_exporter", &[("Match", "*")])
        .start();
    router.process.says("there are no metrics to send here");
    router.connect().send(&Frame::new("app").log("one-a"));
    eventually(
        "the record arrives",
        || router.process.text(),
        || (counts(&server.taken(), &["one-a"]) == [1]).then_some(()),
    );
    let labels = "name=\"prometheus_remote_write.1\",reason=\"refused\"";
    assert_eq!(router.counter("sluice_dropped_records_total", labels), 0);
}

/// Checklist: firelens 33
#[test]
fn requests_to_aws_carry_the_name_that_dashboards_look_for() {
    let plugins: [(&str, &[(&str, &str)]); 4] = [
        (
            "cloudwatch_logs",
            &[("log_group_name", "g"), ("log_stream_name", "s")],
        ),
        ("kinesis_firehose", &[("delivery_stream", "d")]),
        ("kinesis", &[("stream", "d")]),
        ("s3", &[("bucket", "b"), ("upload_timeout", "1s")]),
    ];
    for (plugin, settings) in plugins {
        for (extra, suffix) in [(None, "-of-all"), (Some("of this"), "-of-this")] {
            let server = Server::start(|_| (200, ""));
            let store = tempfile::tempdir().unwrap();
            let endpoint = format!("http://{}", server.address);
            let mut common = vec![("Match", "*"), ("endpoint", &*endpoint), ("region", "r")];
            common.extend(extra.map(|extra| ("extra_user_agent", extra)));
            common.extend((plugin == "s3").then(|| ("store_dir", store.path().to_str().unwrap())));
            let router = Router::new()
                .environment("FLB_AWS_USER_AGENT", "of-all")
                .forward(&[])
                .section("OUTPUT", plugin, &[&common, settings].concat())
                .start();
            router.connect().send(&Frame::new("app").log("line"));
            let head = eventually(
                plugin,
                || router.process.text(),
                || server.taken().first().map(|request| request.head.clone()),
            );
            let agent = head.lines().find(|line| line.starts_with("user-agent: "));
            let name = format!("aws-fluent-bit-plugin{suffix}");
            assert!(agent.is_some_and(|agent| agent.contains(&name)), "{head}");
        }
    }
}
