use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::support::{Frame, Load, Router, Sink, ack};

/// Checklist: outputs 27; firelens 37, 50
#[test]
fn everything_write_accepted_is_delivered_although_records_flow_while_it_ends() {
    let sink = Sink::start();
    let mut router = Router::new()
        .service("Grace", "10")
        .forward(&[])
        .logs(&sink, &[])
        .start();
    let load = [
        "--records",
        "0",
        "--rate",
        "5000",
        "--connections",
        "3",
        "--size",
        "300",
    ];
    let load = Load::start(router.forward(), &load);
    sink.has(1000);
    router.terminate();
    router.process.says("service will shutdown");
    // The peers go on for a while, as containers do that are stopped later.
    let then = sink.stats()["unique"].as_u64().unwrap();
    sink.has(then + 1000);
    load.stop();
    let accepted = load.accepted();
    let sent: u64 = accepted.iter().sum();
    let (status, closing) = router.end();
    assert!(status.success());
    assert_eq!(
        closing,
        format!(
            "(0 pending records); accepted {sent}, filtered 0, unrouted 0; \
             cloudwatch_logs.0: delivered {sent}, left behind 0"
        )
    );
    sink.expect(&json!(accepted));
    let stats = sink.stats();
    assert_eq!(
        (&stats["missing"], &stats["duplicates"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn what_is_acknowledged_is_delivered_although_the_peers_never_stop() {
    let sink = Sink::start();
    let mut router = Router::new()
        .service("Grace", "2")
        .forward(&[])
        .logs(&sink, &[])
        .start();
    let load = [
        "--records",
        "0",
        "--rate",
        "3000",
        "--connections",
        "3",
        "--ack",
        "--write",
        "each",
    ];
    let load = Load::start(router.forward(), &load);
    sink.has(500);
    let start = Instant::now();
    router.terminate();
    let (status, closing) = router.end();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "took {took:?}");
    assert!(status.success());
    assert!(closing.contains("left behind 0"), "{closing}");
    let acknowledged = load.acknowledged();
    assert!(acknowledged.iter().sum::<u64>() > 500);
    sink.expect(&json!(acknowledged));
    assert_eq!(sink.stats()["missing"], 0, "{acknowledged:?} {closing}");
}

/// Checklist: firelens 37, 50
#[test]
fn the_last_words_of_a_peer_that_has_gone_are_delivered() {
    let sink = Sink::start();
    let mut router = Router::new().forward(&[]).logs(&sink, &[]).start();
    let mut client = router.connect();
    let frames = (0..2000).flat_map(|number| Frame::new("app").marked(0, number, 300).bytes());
    let bytes: Vec<u8> = frames.collect();
    router.terminate();
    client.write(&bytes).unwrap();
    drop(client);
    let (status, closing) = router.end();
    assert!(status.success());
    assert!(
        closing.contains("delivered 2000, left behind 0"),
        "{closing}"
    );
    assert_eq!(sink.stats()["unique"], 2000);
}

/// Checklist: engine 45; firelens 38
#[test]
fn a_dead_destination_does_not_hold_up_the_end_beyond_the_grace() {
    let sink = Sink::with(&["--deny"]);
    let mut router = Router::new()
        .service("Grace", "2")
        .forward(&[])
        .logs(&sink, &[])
        .start();
    let mut client = router.connect();
    for _ in 0..70 {
        client.send(&Frame::new("app").log("one"));
    }
    router.process.says("failed to flush");
    let start = Instant::now();
    router.terminate();
    let (status, closing) = router.end();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "took {took:?}");
    assert!(status.success());
    assert_eq!(
        closing,
        "(70 pending records); accepted 70, filtered 0, unrouted 0; \
         cloudwatch_logs.0: delivered 0, left behind 70"
    );
    let text = router.process.text();
    assert!(
        text.contains("70 records were not delivered within Grace"),
        "{text}"
    );
}

#[test]
fn a_destination_that_does_not_answer_does_not_hold_up_the_end_either() {
    let sink = Sink::with(&["--hang", "100%"]);
    let mut router = Router::new()
        .service("Grace", "1")
        .forward(&[])
        .logs(&sink, &[])
        .start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("one"));
    sink.counts("a request hangs", |stats| stats["answers"] != json!({}));
    let start = Instant::now();
    router.terminate();
    let (_, closing) = router.end();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "took {took:?}");
    assert!(closing.contains("left behind 1"), "{closing}");
}

/// Checklist: engine 36
#[test]
fn sigcont_shows_what_is_held_and_everything_goes_on() {
    let sink = Sink::with(&["--deny"]);
    let mut router = Router::new().forward(&[]).logs(&sink, &[]).start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("a").log("b").log("c").chunk("1"));
    assert_eq!(client.read(ack("1").len()), ack("1"));
    router.process.says("the events are held");
    router.process.signal(Signal::CONT);
    router.process.says("Fluent Bit Dump");
    router.process.says("forward.0 (forward)");
    router.process.says("===== Storage Layer =====");
    router.process.says("held records     : 3");
    client.send(&Frame::new("app").log("d").chunk("2"));
    assert_eq!(client.read(ack("2").len()), ack("2"));
    assert!(router.process.is_running());
}
