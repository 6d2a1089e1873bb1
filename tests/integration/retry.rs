use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Frame, Load, Router, Sink, ask, eventually};

/// Sends through a fault; nothing is lost, and only a fault that hides what was stored makes duplicates.
fn check(fault: &[&str], may_duplicate: bool) {
    let sink = Sink::with(fault);
    let router = Router::new()
        .forward(&[])
        .logs(&sink, &[])
        .firehose(&sink, &[])
        .start();
    // Slower than it could be, so that there are many requests.
    let load = [
        "--records",
        "3000",
        "--connections",
        "3",
        "--size",
        "200",
        "--rate",
        "3000",
    ];
    let accepted = Load::start(router.forward(), &load).accepted();
    router.settles();
    let stats = sink.stats();
    let sent: u64 = accepted.iter().sum();
    assert_eq!(
        (sent, stats["unique"].as_u64()),
        (3000, Some(3000)),
        "{stats}"
    );
    // Two outputs, so each record is expected twice.
    let beyond = stats["items"].as_u64().unwrap() - 2 * sent;
    assert!(may_duplicate || beyond == 0, "{beyond} duplicates: {stats}");
    assert_eq!(stats["violations"]["count"], 0, "{stats}");
    let answers = stats["answers"].as_object().unwrap();
    assert!(
        answers.keys().any(|answer| !answer.ends_with(" 200")),
        "no fault: {stats}"
    );
}

/// Checklist: outputs 32; firelens 49
#[test]
fn throttling_loses_nothing() {
    check(&["--throttle", "40%"], false);
}

#[test]
fn internal_errors_lose_nothing() {
    check(&["--fail", "40%"], false);
}

#[test]
fn an_outage_loses_nothing() {
    check(&["--outage", "0s,1s"], false);
}

#[test]
fn refused_connections_lose_nothing() {
    check(&["--outage", "0s,1s,refuse"], false);
}

/// Checklist: firelens 49
#[test]
fn cut_connections_lose_nothing_although_they_make_duplicates() {
    check(&["--reset", "30%"], true);
}

/// Checklist: outputs 45; engine 42; firelens 34
#[test]
fn what_has_used_up_its_retries_is_dropped_and_counted() {
    let sink = Sink::with(&["--deny"]);
    let settings = [("Retry_Limit", "1")];
    let mut router = Router::new().forward(&[]).logs(&sink, &settings).start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("one").log("two").log("three"));
    drop(client);
    router.process.says("Retry_Limit is used up");
    let dropped = "name=\"cloudwatch_logs.0\",reason=\"retry_limit\"";
    assert_eq!(router.counter("sluice_dropped_records_total", dropped), 3);
    // The first attempt and one retry.
    assert_eq!(sink.stats()["requests"]["PutLogEvents"], 2);
    router.terminate();
    let (status, closing) = router.end();
    assert!(status.success());
    assert_eq!(
        closing,
        "(0 pending records); accepted 3, filtered 0, unrouted 0; \
         cloudwatch_logs.0: delivered 0, dropped retry_limit 3, left behind 0"
    );
}

/// Checklist: engine 49
#[test]
fn what_is_given_up_is_kept_where_that_is_wanted() {
    let sink = Sink::with(&["--deny"]);
    let folder = tempfile::tempdir().unwrap();
    let mut router = Router::new()
        .service("storage.keep.rejected", "on")
        .service("storage.rejected.path", folder.path().to_str().unwrap())
        .forward(&[])
        .logs(&sink, &[("Retry_Limit", "no_retries")])
        .start();
    router
        .connect()
        .send(&Frame::new("app").log("one").log("two"));
    router.process.says("Retry_Limit is used up");
    router.terminate();
    let (status, closing) = router.end();
    assert!(status.success());
    assert!(closing.contains("dropped retry_limit 2"), "{closing}");
    let files = std::fs::read_dir(folder.path()).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else {
        panic!("{files:?}");
    };
    let text = std::fs::read_to_string(file).unwrap();
    let letters = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let letters: Vec<_> = letters.map(Result::unwrap).collect();
    assert_eq!(letters.len(), 2, "{text}");
    assert_eq!(letters[1]["record"]["log"], "two");
    assert_eq!(letters[0]["tag"], "app");
    assert_eq!(letters[0]["reason"], "retry_limit");
    assert_eq!(letters[0]["destination"], "group:-app");
}

#[test]
fn a_folder_of_dead_letters_that_is_full_holds_up_nothing() {
    let sink = Sink::start();
    let folder = tempfile::tempdir().unwrap();
    let router = Router::new()
        .service("storage.keep.rejected", "on")
        .service("storage.rejected.path", folder.path().to_str().unwrap())
        .service("storage.rejected.limit", "1K")
        .forward(&[])
        .logs(&sink, &[("oversized_events", "dead_letter")])
        .start();
    let frame = Frame::new("app")
        .log(&"x".repeat(1_100_000))
        .marked(0, 0, 50);
    router.connect().send(&frame);
    sink.has(1);
    router.process.says("it is counted, and delivery goes on");
    let dropped = "name=\"cloudwatch_logs.0\",reason=\"too_large\"";
    assert_eq!(router.counter("sluice_dropped_records_total", dropped), 1);
    assert_eq!(
        router.counter("sluice_dead_letters_failed_total", dropped),
        1
    );
}

/// Checklist: outputs 32
#[test]
fn two_outputs_of_one_stream_share_what_the_service_grants() {
    let sink = Sink::with(&["--throttle", "100%"]);
    let router = Router::new()
        .service("HTTP_Server", "On")
        .service("HTTP_Listen", "127.0.0.1")
        .service("HTTP_Port", "0")
        .forward(&[])
        .logs(&sink, &[("Match", "ab"), ("log_stream_prefix", "-")])
        .logs(&sink, &[("Match", "b"), ("log_stream_prefix", "-a")])
        .start();
    let spacing = |output: &str| {
        let reply = ask(router.http(), "GET", "/api/v2/metrics/prometheus", "");
        let name = format!("name=\"{output}\"");
        let is_it = |line: &&str| {
            line.starts_with("sluice_destination_spacing_seconds{") && line.contains(&name)
        };
        let line = reply.body.lines().find(is_it);
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0.0)
    };
    let wait = |output: &str| {
        eventually(
            output,
            || ask(router.http(), "GET", "/metrics", "").body,
            || Some(spacing(output)).filter(|spacing: &f64| *spacing > 0.0),
        )
    };
    let mut client = router.connect();
    client.send(&Frame::new("ab").marked(0, 0, 50));
    wait("cloudwatch_logs.0");
    sink.faults(&json!({ "throttle": "0" }));
    let refused = |stats: &serde_json::Value| {
        let answers = stats["answers"].as_object().unwrap();
        let refused = answers
            .iter()
            .filter(|(name, _)| name.contains("Throttling"));
        refused
            .map(|(_, count)| count.as_u64().unwrap())
            .sum::<u64>()
    };
    let before = refused(&sink.stats());
    client.send(&Frame::new("b").marked(1, 0, 50));
    // The second output was refused nothing, and knows of the limit all the same.
    wait("cloudwatch_logs.1");
    assert_eq!(refused(&sink.has(2)), before);
}

/// Checklist: outputs 27
#[test]
fn a_lonely_event_does_not_wait_for_flush_and_the_next_not_longer() {
    let sink = Sink::start();
    let router = Router::new()
        .service("Flush", "1")
        .forward(&[])
        .logs(&sink, &[])
        .start();
    let mut client = router.connect();
    client.send(&Frame::new("app").marked(0, 0, 50));
    sink.has(1);
    let begin = Instant::now();
    client.send(&Frame::new("app").marked(0, 1, 50));
    sink.has(2);
    // A second, and what a busy machine takes.
    assert!(begin.elapsed() < Duration::from_secs(3));
}
