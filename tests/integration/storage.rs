use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use super::support::{Client, Frame, Router, Running, Sink, ack};

fn router(folder: &Path, sink: &Sink, settings: &[(&str, &str)]) -> Running {
    let mut router = Router::new()
        .service("Grace", "1")
        .service("storage.path", &folder.display().to_string());
    for (key, value) in settings {
        router = router.service(key, value);
    }
    router
        .forward(&[("storage.type", "filesystem")])
        .logs(sink, &[])
        .start()
}

/// Sends records with a chunk each, and gives how many of them were acknowledged before `end` says that it is enough.
fn send(client: &mut Client, connection: u32, records: u64, size: usize, upto: u64) -> u64 {
    let frames = (0..records).flat_map(|number| {
        let frame = Frame::new("app").marked(connection, number, size);
        frame.chunk(&format!("{number:08}")).bytes()
    });
    let bytes: Vec<u8> = frames.collect();
    client.write(&bytes).unwrap();
    let length = ack("00000000").len();
    for number in 0..upto {
        assert_eq!(client.read(length), ack(&format!("{number:08}")));
    }
    upto
}

/// Checklist: forward 39.
#[test]
fn what_is_acknowledged_survives_being_killed_at_any_moment() {
    let (sink, folder) = (Sink::start(), tempfile::tempdir().unwrap());
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let mut router = router(folder.path(), &sink, &[]);
        let mut client = router.connect();
        // Somewhere in the midst of what was sent.
        let upto = fastrand::u64(1..=300);
        acknowledged.push(send(&mut client, round, 300, 200, upto));
        router.process.signal(Signal::KILL);
        router.process.end();
    }
    let router = router(folder.path(), &sink, &[]);
    sink.expect(&json!(acknowledged));
    let stats = sink.counts("everything acknowledged arrives", |stats| {
        stats["missing"] == 0
    });
    assert_eq!(stats["missing"], 0, "{stats}");
    // What has arrived and is not marked as delivered may come again, and nothing else: what was in flight at each end.
    let sent = 6 * 300;
    assert!(stats["duplicates"].as_u64().unwrap() <= sent, "{stats}");
    drop(router);
}

#[test]
fn what_was_not_delivered_when_it_was_killed_is_delivered_once_and_in_order() {
    let (sink, folder) = (Sink::with(&["--deny"]), tempfile::tempdir().unwrap());
    let mut acknowledged = Vec::new();
    for round in 0..2 {
        let mut router = router(folder.path(), &sink, &[]);
        let mut client = router.connect();
        acknowledged.push(send(&mut client, round, 200, 200, 200));
        router.process.signal(Signal::KILL);
        router.process.end();
    }
    sink.faults(&json!({ "deny": false }));
    let mut router = router(folder.path(), &sink, &[]);
    let mut client = router.connect();
    acknowledged.push(send(&mut client, 2, 200, 200, 200));
    sink.expect(&json!(acknowledged));
    sink.has(600);
    router.terminate();
    let (_, closing) = router.end();
    assert!(
        closing.contains("accepted 200, filtered 0, unrouted 0, found on disk 400"),
        "{closing}"
    );
    assert!(
        closing.contains("delivered 600, left behind 0"),
        "{closing}"
    );
    let stats = sink.stats();
    let faults = ["missing", "duplicates", "out_of_order"].map(|fault| &stats[fault]);
    assert_eq!(faults, [&json!(0); 3], "{stats}");
    let left = std::fs::read_dir(folder.path().join("sluice")).unwrap();
    let left: Vec<_> = left.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

/// Checklist: engine 46; firelens 38
#[test]
fn what_is_left_at_the_end_lies_on_disk_and_the_log_says_so() {
    let (sink, folder) = (Sink::with(&["--deny"]), tempfile::tempdir().unwrap());
    let mut first = router(folder.path(), &sink, &[]);
    let mut client = first.connect();
    send(&mut client, 0, 100, 200, 100);
    drop(client);
    first.terminate();
    let (status, closing) = first.end();
    assert!(status.success());
    assert!(
        closing.contains("delivered 0, left behind 100"),
        "{closing}"
    );
    first
        .process
        .says("100 records were not delivered within Grace and are left behind on disk");
    assert!(
        !first
            .process
            .text()
            .contains("are left behind; raise Grace")
    );
    sink.faults(&json!({ "deny": false }));
    let second = router(folder.path(), &sink, &[]);
    sink.has(100);
    assert_eq!(sink.stats()["duplicates"], 0);
    drop(second);
}

/// Checklist: firelens 5
#[test]
fn an_outage_is_bounded_by_the_disk_and_not_by_memory() {
    let (sink, folder) = (Sink::with(&["--deny"]), tempfile::tempdir().unwrap());
    let settings = [
        ("storage.max_chunks_up", "1"),
        ("storage.backlog.mem_limit", "1M"),
    ];
    let router = router(folder.path(), &sink, &settings);
    let mut client = router.connect();
    // Ten times what may stay in memory.
    let length = 2000;
    for connection in 0..10 {
        send(&mut client, connection, 1000, length, 1000);
    }
    router.process.says("stays on disk");
    sink.faults(&json!({ "deny": false }));
    sink.expect(&json!(vec![1000; 10]));
    sink.has(10_000);
    let stats = sink.stats();
    let faults = ["missing", "duplicates", "out_of_order"].map(|fault| &stats[fault]);
    assert_eq!(faults, [&json!(0); 3], "{stats}");
    router.process.says("has caught up with what lay on disk");
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let (sink, folder) = (Sink::start(), tempfile::tempdir().unwrap());
    let first = router(folder.path(), &sink, &[]);
    let mut second = Router::new()
        .service("storage.path", &folder.path().display().to_string())
        .forward(&[("storage.type", "filesystem")])
        .logs(&sink, &[])
        .launch();
    assert!(!second.process.end().success());
    second.process.says("is used by another process");
    drop(first);
}
