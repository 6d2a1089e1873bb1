use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Frame, Reply, Router, Running, Sink, ask, eventually};

fn router() -> Router {
    Router::new()
        .service("HTTP_Server", "On")
        .service("HTTP_Listen", "127.0.0.1")
        .service("HTTP_Port", "0")
}

fn get(router: &Running, path: &str) -> Reply {
    ask(router.http(), "GET", path, "")
}

/// Five events of which a filter drops two, delivered.
fn after_five() -> Running {
    let router = router()
        .forward(&[("Alias", "din")])
        .section("FILTER", "grep", &[("Match", "*"), ("Exclude", "log drop")])
        .section("OUTPUT", "null", &[("Match", "*")])
        .launch();
    let mut client = super::support::Client::connect(router.address("din"));
    let mut frame = Frame::new("app");
    for text in ["1", "drop", "3", "drop 2", "5"] {
        frame = frame.log(text);
    }
    client.send(&frame);
    eventually(
        "three are delivered",
        || router.process.text(),
        || {
            let count = router.counter("sluice_output_delivered_records_total", "name=\"null.0\"");
            (count == 3).then_some(())
        },
    );
    router
}

/// The keys of an object in their order, with those of the objects inside.
fn keys(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('"') {
        let (word, after) = after.split_once('"').unwrap();
        if after.starts_with(':') {
            keys.push(word.to_owned());
        }
        rest = after;
    }
    keys
}

/// What Fluent Bit 5.1.1 answers, as recorded.
const METRICS: &str = r#"{"input":{"din":{"records":7,"bytes":196}},"filter":{"grep.0":{"drop_records":0,"add_records":0,"records":7,"bytes":0,"drop_bytes":0}},"output":{"null.0":{"proc_records":6,"proc_bytes":168,"errors":0,"retries":0,"retries_failed":0,"dropped_records":0,"retried_records":0}}}"#;
const STORAGE: &str = r#"{"storage_layer":{"chunks":{"total_chunks":1,"mem_chunks":1,"fs_chunks":0,"fs_chunks_up":0,"fs_chunks_down":0}},"input_chunks":{"din":{"status":{"overlimit":false,"mem_size":"28b","mem_limit":"0b"},"chunks":{"total":1,"up":1,"down":0,"busy":0,"busy_size":"0b"}}}}"#;
const HEALTH: &str = r#"{"status":"ok","errors":0,"retries_failed":0,"error_limit":0,"retry_failure_limit":0,"period_limit":5}"#;
const UPTIME: &str = r#"{"uptime_sec":8,"uptime_hr":"Fluent Bit has been running:  0 day, 0 hour, 0 minute and 8 seconds"}"#;
const ROOT: &str = r#"{"fluent-bit":{"version":"5.1.1","edition":"Community","flags":[]}}"#;
const PLUGINS: &str = r#"{"plugins":{"inputs":[],"filters":[],"outputs":[]}}"#;

/// Checklist: engine 40, 51; firelens 41
#[test]
fn every_endpoint_has_fluent_bits_keys_in_fluent_bits_order() {
    let router = after_five();
    for (path, example) in [
        ("/", ROOT),
        ("/api/v1/uptime", UPTIME),
        ("/api/v1/metrics", METRICS),
        ("/api/v1/storage", STORAGE),
        ("/api/v1/plugins", PLUGINS),
        ("/api/v2/health", HEALTH),
        ("/api/v2/reload", r#"{"hot_reload_count":0}"#),
    ] {
        let reply = get(&router, path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(keys(&reply.body), keys(example), "{path}: {}", reply.body);
    }
    // Nothing has failed, so this one is the same to the last byte.
    assert_eq!(get(&router, "/api/v2/health").body, HEALTH);
    let metrics = get(&router, "/api/v1/metrics").json();
    let filter = &metrics["filter"]["grep.0"];
    assert_eq!(metrics["input"]["din"]["records"], 5);
    assert_eq!(
        (&filter["records"], &filter["drop_records"]),
        (&json!(5), &json!(2))
    );
    assert_eq!(metrics["output"]["null.0"]["proc_records"], 3);
}

/// Checklist: engine 51, 55; firelens 41
#[test]
fn the_metrics_of_version_1_are_fluent_bits_line_by_line() {
    let router = after_five();
    let reply = get(&router, "/api/v1/metrics/prometheus");
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; version=0.0.4")
    );
    let names: Vec<_> = reply
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let counter = |name: &str| format!("fluentbit_{name}_total counter");
    let mut expected: Vec<_> = [
        "filter_add_records",
        "filter_bytes",
        "filter_drop_bytes",
        "filter_drop_records",
        "filter_records",
        "input_bytes",
        "input_records",
        "output_dropped_records",
        "output_errors",
        "output_proc_bytes",
        "output_proc_records",
        "output_retried_records",
        "output_retries_failed",
        "output_retries",
    ]
    .map(counter)
    .to_vec();
    expected.extend(
        [
            "fluentbit_uptime counter",
            "process_start_time_seconds gauge",
            "fluentbit_build_info gauge",
        ]
        .map(str::to_owned),
    );
    assert_eq!(names, expected);
    let line = reply
        .body
        .lines()
        .find(|line| line.starts_with("fluentbit_output_proc_records_total"));
    let (start, millis) = line.unwrap().rsplit_once(' ').unwrap();
    assert_eq!(
        start,
        "fluentbit_output_proc_records_total{name=\"null.0\"} 3"
    );
    assert!(
        millis.len() == 13 && millis.parse::<u64>().is_ok(),
        "{millis}"
    );
}

/// Checklist: engine 51, 54; firelens 42
#[test]
fn paths_are_exact_queries_do_not_matter_and_methods_do_where_they_should() {
    let router = after_five();
    for (path, status) in [
        ("/nothing", 404),
        ("/api/v1/uptime/", 404),
        ("/api/v1/uptime?x=1", 200),
        ("/api/v1/health", 404),
        ("/live", 200),
        ("/ready", 200),
        ("/delivering", 200),
        ("/delivering?within=soon", 400),
        ("/metrics", 200),
    ] {
        assert_eq!(get(&router, path).status, status, "{path}");
    }
    let head = ask(router.http(), "HEAD", "/api/v1/uptime", "");
    assert_eq!((head.status, &*head.body), (200, ""));
    let delete = ask(router.http(), "DELETE", "/api/v2/reload", "");
    assert_eq!(delete.status, 405);
    assert_eq!(delete.header("allow"), Some("GET, POST, PUT"));
    let post = ask(
        router.http(),
        "POST",
        "/api/v2/reload",
        "Content-Length: 0\r\n",
    );
    assert_eq!(post.json(), json!({"reload": "not enabled", "status": -1}));
}

#[test]
fn a_browser_gets_a_page_and_everybody_else_json() {
    let router = after_five();
    let page = ask(
        router.http(),
        "GET",
        "/",
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n",
    );
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.body.contains("<th scope=\"row\">null.0</th>"),
        "{}",
        page.body
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let json = ask(router.http(), "GET", "/", "Accept: */*\r\n");
    assert_eq!(json.header("content-type"), Some("application/json"));
}

#[test]
fn the_age_of_the_oldest_event_tells_that_a_destination_takes_nothing() {
    let sink = Sink::with(&["--fail", "100%"]);
    let router = router().forward(&[]).logs(&sink, &[]).start();
    assert_eq!(get(&router, "/delivering?within=0").status, 200);
    router.connect().send(&Frame::new("app").log("waits"));
    let waiting = eventually(
        "an age",
        || router.process.text(),
        || Some(get(&router, "/delivering?within=0")).filter(|reply| reply.status == 503),
    );
    let waiting: Value = waiting.json();
    assert_eq!(waiting["delivering"], false);
    assert_eq!(waiting["outputs"][0]["held_records"], 1);
    assert!(waiting["outputs"][0]["oldest_sec"].as_f64().unwrap() > 0.0);
    // Both the failing destination and its age are in the metrics.
    eventually(
        "the destination fails",
        || get(&router, "/metrics").body,
        || {
            let text = get(&router, "/metrics").body;
            let failing = text.lines().any(|line| {
                line.starts_with("sluice_destination_failures{name=\"cloudwatch_logs.0\"")
                    && !line.ends_with(" 0")
            });
            failing.then_some(())
        },
    );
    sink.faults(&json!({"fail": "0"}));
    eventually(
        "it is delivered",
        || get(&router, "/delivering?within=0").body,
        || (get(&router, "/delivering?within=0").status == 200).then_some(()),
    );
}

#[test]
fn peers_that_only_stay_keep_nobody_out() {
    let router = router().forward(&[]).start();
    let silent: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(router.http()).unwrap())
        .collect();
    let start = Instant::now();
    assert_eq!(get(&router, "/live").status, 200);
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(silent);
}

#[test]
fn a_head_or_a_body_without_end_is_refused() {
    let router = router().forward(&[]).start();
    let mut stream = TcpStream::connect(router.http()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut sent = 0;
    let line = format!("x: {}\r\n", "y".repeat(1000));
    // It answers, or closes, long before this.
    while sent < 1 << 20 && stream.write_all(line.as_bytes()).is_ok() {
        sent += line.len();
    }
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let length = "Content-Length: 99999999\r\n";
    let post = ask(
        router.http(),
        "POST",
        "/",
        &format!("{length}Expect: 100-continue\r\n"),
    );
    assert_eq!(post.status, 413);
    assert_eq!(get(&router, "/live").status, 200);
}

#[test]
fn a_port_that_is_taken_ends_the_start_with_status_255() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut router = Router::new()
        .service("HTTP_Server", "On")
        .service("HTTP_Listen", "127.0.0.1")
        .service("HTTP_Port", &port)
        .forward(&[])
        .section("OUTPUT", "null", &[("Match", "*")])
        .launch();
    assert_eq!(router.process.end().code(), Some(255));
    let said = router.process.text();
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
}
