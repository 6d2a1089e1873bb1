use super::support::{Frame, Load, Router, Sink};

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

#[test]
fn cut_connections_lose_nothing_although_they_make_duplicates() {
    check(&["--reset", "30%"], true);
}

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
