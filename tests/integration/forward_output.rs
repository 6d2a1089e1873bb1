use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::support::{Client, Frame, Reaction, Receiver, Router, ack, eventually};

/// A router with an output to this receiver.
fn router(receiver: &Receiver, settings: &[(&str, &str)]) -> Router {
    let port = receiver.address.port().to_string();
    let address = [("Match", "*"), ("host", "127.0.0.1"), ("port", &*port)];
    Router::new()
        .forward(&[])
        .section("OUTPUT", "forward", &[&address, settings].concat())
}

/// Sends frames of one event each, and waits for each to be taken in.
fn send(client: &mut Client, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        client.send(&Frame::new("app").log(&text).chunk("c"));
        assert_eq!(client.read(ack("c").len()), ack("c"));
    }
}

fn texts(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("text {number}"))
}

/// Checklist: forward 57.
#[test]
fn every_event_arrives_although_frames_meet_every_kind_of_failure() {
    let receiver = Receiver::start(|before| match before {
        0 | 3 => Reaction::Close,
        1 | 5 => Reaction::StoreAndClose,
        2 | 7 => Reaction::StoreAndSplit,
        4 => Reaction::Confuse,
        _ => Reaction::Store,
    });
    let router = router(&receiver, &[("require_ack_response", "on")]).start();
    send(&mut router.connect(), texts(30));
    receiver.has(30);
    router.settles();
    // What was not acknowledged came again, unchanged and under its old id.
    let mut ids: HashMap<Vec<String>, BTreeSet<String>> = HashMap::new();
    let frames = receiver.frames();
    for frame in &frames {
        let id = frame.chunk.clone().unwrap();
        assert_eq!((frame.tag.as_str(), id.len()), ("app", 24));
        ids.entry(frame.texts.clone()).or_default().insert(id);
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
    assert!(frames.len() > ids.len());
    // Nothing was stored twice but what the receiver kept to itself.
    assert_eq!(receiver.texts().len(), 30 + duplicates(&frames));
}

/// How many events were stored without an acknowledgement.
fn duplicates(frames: &[super::support::Received]) -> usize {
    let closed = [1, 5]
        .into_iter()
        .filter_map(|place: usize| frames.get(place));
    closed.map(|frame| frame.texts.len()).sum()
}

#[test]
fn events_keep_their_order_over_broken_connections() {
    let receiver = Receiver::start(|before| {
        if before % 3 == 1 {
            Reaction::Close
        } else {
            Reaction::Store
        }
    });
    let router = router(&receiver, &[("require_ack_response", "on")]).start();
    send(&mut router.connect(), texts(12));
    receiver.has(12);
    assert_eq!(receiver.texts(), texts(12).collect::<Vec<_>>());
}

#[test]
fn a_connection_carries_many_frames_and_one_that_died_is_replaced_at_once() {
    let receiver = Receiver::start(|before| {
        if before == 2 {
            Reaction::StoreAndLeave
        } else {
            Reaction::Store
        }
    });
    let router = router(&receiver, &[("require_ack_response", "on")]).start();
    let mut client = router.connect();
    for count in 1..=5 {
        send(&mut client, [format!("text {count}")]);
        receiver.has(count);
    }
    let connections: Vec<_> = receiver
        .frames()
        .iter()
        .map(|frame| frame.connection)
        .collect();
    assert_eq!(connections, [0, 0, 0, 1, 1]);
    assert!(!router.process.text().contains("failed to flush"));
}

/// Checklist: forward 57.
#[test]
fn a_peer_that_says_nothing_is_given_up_and_asked_again() {
    let receiver = Receiver::start(|before| {
        if before == 0 {
            Reaction::Ignore
        } else {
            Reaction::Store
        }
    });
    let settings = [("require_ack_response", "on"), ("net.io_timeout", "1")];
    let router = router(&receiver, &settings).start();
    send(&mut router.connect(), texts(1));
    router.process.says("no acknowledgement within 1 s");
    receiver.has(1);
    let frames = receiver.frames();
    assert_eq!((frames[0].connection, frames[1].connection), (0, 1));
    assert_eq!(frames[0].chunk, frames[1].chunk);
}

/// Checklist: forward 59.
#[test]
fn the_process_ends_in_time_although_a_peer_says_nothing() {
    let receiver = Receiver::start(|_| Reaction::Ignore);
    let settings = [("require_ack_response", "on")];
    let mut router = router(&receiver, &settings).service("Grace", "2").start();
    let mut client = router.connect();
    send(&mut client, texts(1));
    eventually("a frame comes", String::new, || {
        (!receiver.frames().is_empty()).then_some(())
    });
    drop(client);
    let start = Instant::now();
    router.terminate();
    let (_, closing) = router.end();
    assert!(start.elapsed().as_secs() < 5);
    assert!(closing.contains("delivered 0, left behind 1"), "{closing}");
}

/// Checklist: forward 58.
#[test]
fn nodes_share_the_frames_and_one_that_is_away_costs_nothing() {
    let receivers = [
        Receiver::start(|_| Reaction::Store),
        Receiver::start(|_| Reaction::Store),
    ];
    let away = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("upstream.conf");
    let mut text = "[UPSTREAM]\n    Name all\n".to_owned();
    for address in [away, receivers[0].address, receivers[1].address] {
        let (host, port) = (address.ip(), address.port());
        let node = [
            "[NODE]",
            &format!("Name n{port}"),
            &format!("Host {host}"),
            &format!("Port {port}"),
        ];
        text += &(node.join("\n    ") + "\n");
    }
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let settings = [
        ("Match", "*"),
        ("upstream", &*file),
        ("require_ack_response", "on"),
    ];
    let router = Router::new()
        .forward(&[])
        .section("OUTPUT", "forward", &settings)
        .start();
    let mut client = router.connect();
    let stored = || receivers.each_ref().map(|receiver| receiver.texts().len());
    for (number, text) in texts(10).enumerate() {
        send(&mut client, [text]);
        eventually(
            "the frame arrives",
            || format!("{:?}", stored()),
            || (stored().iter().sum::<usize>() > number).then_some(()),
        );
    }
    let [one, other] = stored();
    assert!(one.abs_diff(other) <= 2, "{one} {other}");
    assert!(!router.process.text().contains("failed to flush"));
}
