use super::support::{Frame, PATIENCE, Router, Sink, ack};

/// Text that must never be seen.
const SECRET: &str = "hunter2-do-not-show";

/// Checklist: firelens 20
#[test]
fn credentials_are_not_logged_whatever_the_level_and_whatever_fails() {
    let sink = Sink::with(&["--deny"]);
    let mut router = Router::new()
        .service("Grace", "1")
        .service("Log_Level", "trace")
        .environment("AWS_SECRET_ACCESS_KEY", SECRET)
        .environment("AWS_SESSION_TOKEN", SECRET)
        .forward(&[])
        .logs(&sink, &[])
        .firehose(&sink, &[])
        .start();
    router.connect().send(&Frame::new("app").log(SECRET));
    router.process.says("failed to flush 1 events to group");
    router.process.says("failed to flush 1 events to delivery");
    router.terminate();
    router.end();
    let text = router.process.text();
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn a_mistake_in_a_secret_setting_does_not_show_its_value() {
    let mut router = Router::new()
        .environment("KEY", SECRET)
        .forward(&[
            ("Shared_Key", "${KEY}"),
            ("Empty_Shared_Key", SECRET),
            ("Security.Users", SECRET),
            ("Shared_Kye", SECRET),
        ])
        .section(
            "OUTPUT",
            "null",
            &[("http_passwd", SECRET), ("tls.key_passwd", SECRET)],
        )
        .launch();
    assert_eq!(router.process.end().code(), Some(1));
    let text = router.process.text();
    for key in ["empty_shared_key", "security.users", "shared_kye"] {
        assert!(text.contains(&format!("key `{key}`")), "{text}");
    }
    assert!(!text.contains(SECRET), "{text}");
}

/// Checklist: forward 6.
#[test]
fn peers_that_connect_and_say_nothing_leave_no_trace() {
    let router = Router::new()
        .service("Log_Level", "info")
        .forward(&[])
        .section("OUTPUT", "null", &[("Match", "*")])
        .start();
    let before = router.process.text();
    for _ in 0..10_000 {
        drop(router.connect());
    }
    // Whoever comes behind them has been served when they have.
    let mut client = router.connect();
    client.send(&Frame::new("app").log("text").chunk("last"));
    assert_eq!(client.read(ack("last").len()), ack("last"));
    assert_eq!(router.process.text(), before);
    let counters = sluice::telemetry::probe(router.process.pid()).unwrap();
    assert!(
        !counters.contains("sluice_frames_rejected_total"),
        "{counters}"
    );
}

/// Checklist: forward 51.
#[test]
fn many_bad_messages_make_few_lines() {
    let router = Router::new()
        .forward(&[])
        .section("OUTPUT", "null", &[("Match", "*")])
        .start();
    let before = router.process.text().lines().count();
    // One that is bad in 50 000 places, and then many.
    let nils = [b"\x92\xa1t\xdc\xc3\x50".as_slice(), &vec![0xc0; 50_000]].concat();
    for bytes in std::iter::once(nils.as_slice()).chain([b"GET / HTTP/1.1".as_slice(); 500]) {
        let mut client = router.connect();
        // It may be closed before all of it is written.
        drop(client.write(bytes));
        assert!(client.read_to_end(PATIENCE).is_some(), "it stays open");
    }
    let rejected = |reason: &str| {
        let labels = format!("name=\"forward.0\",reason=\"{reason}\"");
        router.counter("sluice_frames_rejected_total", &labels)
    };
    assert_eq!((rejected("no_event"), rejected("not_a_frame")), (1, 500));
    let lines = router.process.text().lines().count() - before;
    assert!((1..=20).contains(&lines), "{}", router.process.text());
}
