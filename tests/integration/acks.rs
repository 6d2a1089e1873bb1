use std::time::Duration;

use super::support::{Frame, Router, ack};

fn router() -> Router {
    Router::new().forward(&[]).file("all.txt", &[])
}

/// Checklist: forward 35, 37, 41.
#[test]
fn an_acknowledgement_holds_the_chunk_byte_for_byte_and_in_order() {
    let router = router().start();
    let mut client = router.connect();
    let long = [b"\xd9\x2c", [b'l'; 44].as_slice()].concat();
    // As they are sent and as they come back: a header that is longer than it has to be comes back short.
    let chunks: [(&[u8], &[u8]); 6] = [
        (b"\xa2c1", b"\xa2c1"),
        (b"\xa0", b"\xa0"),
        (b"\xc4\x02\xff\x00", b"\xc4\x02\xff\x00"),
        (b"\xa2\xff\xfe", b"\xa2\xff\xfe"),
        (&long, &long),
        (b"\xda\0\x02c3", b"\xa2c3"),
    ];
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for (chunk, answer) in chunks {
        bytes.extend(Frame::new("app").log("asks").raw_chunk(chunk).bytes());
        bytes.extend(Frame::new("app").log("does not ask").bytes());
        expected.extend_from_slice(b"\x81\xa3ack");
        expected.extend_from_slice(answer);
    }
    client.write(&bytes).unwrap();
    assert_eq!(client.read(expected.len()), expected);
    assert!(client.is_open_and_silent());
}

/// Checklist: forward 35.
#[test]
fn what_is_acknowledged_has_been_stored() {
    let router = router().start();
    let mut client = router.connect();
    for number in 1..=50 {
        let id = format!("chunk-{number}");
        client.send(&Frame::new("app").log("one").log("two").chunk(&id));
        assert_eq!(client.read(ack(&id).len()), ack(&id));
        let routed = router.counter("sluice_output_routed_records_total", "name=\"file.0\"");
        assert_eq!(routed, 2 * number);
    }
}

/// Checklist: forward 38.
#[test]
fn a_refused_frame_is_not_acknowledged_but_those_before_it_are() {
    let router = router().start();
    let mut client = router.connect();
    let mut bytes = Frame::new("app").log("good").chunk("good").bytes();
    // [tag, time, nil, {"chunk": "bad"}]
    bytes.extend_from_slice(b"\x94\xa3app\x05\xc0\x81\xa5chunk\xa3bad");
    bytes.extend(Frame::new("app").log("behind").chunk("behind").bytes());
    client.write(&bytes).unwrap();
    assert_eq!(client.read(1000), ack("good"));
    router.process.says("the record is no map");
    router.settles();
    let file = std::fs::read_to_string(router.path("all.txt")).unwrap();
    assert_eq!(file.lines().count(), 1, "{file}");
}

/// Checklist: firelens 4
#[test]
fn an_incomplete_frame_is_neither_taken_nor_acknowledged() {
    let router = router().start();
    let mut client = router.connect();
    let bytes = Frame::new("app").log("cut").chunk("cut").bytes();
    client.write(&bytes[..bytes.len() - 1]).unwrap();
    assert!(client.is_open_and_silent());
    client.write(&bytes[bytes.len() - 1..]).unwrap();
    assert_eq!(client.read(ack("cut").len()), ack("cut"));
}

/// Checklist: forward 36.
#[test]
fn every_acknowledgement_comes_in_one_piece() {
    let router = router().start();
    let mut client = router.connect();
    for number in 0..200 {
        let id = format!("{number:>64}");
        client.send(&Frame::new("app").log("text").chunk(&id));
        // Clients such as Fluent Bit take what one read gives for the whole answer.
        assert_eq!(client.read_once(), ack(&id));
    }
}

/// Checklist: forward 7.
#[test]
fn a_peer_that_reads_no_acknowledgements_does_not_hold_up_others() {
    let router = router().start();
    let mut deaf = router.connect();
    let frame = Frame::new("app")
        .log("text")
        .chunk(&"x".repeat(1000))
        .bytes();
    let mut sent = 0;
    while deaf.write_within(&frame, Duration::from_millis(500)) {
        sent += 1;
        assert!(sent < 100_000, "it reads without an end");
    }
    let mut other = router.connect();
    for number in 0..100 {
        let id = format!("other {number}");
        other.send(&Frame::new("app").log("text").chunk(&id));
        assert_eq!(other.read(ack(&id).len()), ack(&id));
    }
}

/// At least once: an id says nothing about what was stored, since some clients make it from the text alone.
#[test]
fn a_client_that_gives_up_waiting_and_sends_again_is_answered_and_its_events_come_twice() {
    let router = router().start();
    let frame = Frame::new("app").log("again").chunk("same");
    let mut hasty = router.connect();
    router.process.freeze();
    hasty.send(&frame);
    assert!(hasty.is_open_and_silent());
    drop(hasty);
    let mut second = router.connect();
    second.send(&frame);
    router.process.thaw();
    assert_eq!(second.read(ack("same").len()), ack("same"));
    assert!(second.is_open_and_silent());
    router.settles();
    let file = std::fs::read_to_string(router.path("all.txt")).unwrap();
    assert_eq!(file.matches("again").count(), 2, "{file}");
}
