use serde_json::json;

use super::support::{Frame, Load, Router, Running, Sink, ack};

/// Far more than `Mem_Buf_Limit` and the buffers of the sockets hold.
const RECORDS: &str = "40000";

/// What a router with a megabyte of buffer may take beyond what it takes idle: the buffer itself, the request in flight as it
/// is encoded and as it is sent, and what the allocator keeps.
const GROWTH_MAX: u64 = 16 << 20;

fn router(sink: &Sink) -> Running {
    let limit = [("Mem_Buf_Limit", "1M")];
    Router::new().forward(&limit).logs(sink, &[]).start()
}

/// Sends until the router waits, looks at it, frees the sink and checks that everything arrives.
fn check(sink: &Sink, hold: impl Fn(), free: impl Fn()) {
    let router = router(sink);
    let idle = router.process.peak_memory();
    hold();
    let load = ["--records", RECORDS, "--connections", "2"];
    let mut load = Load::start(router.forward(), &load);
    router.process.says("paused (mem buf overlimit)");

    let mut client = router.connect();
    client.send(&Frame::new("late").marked(2, 0, 100).chunk("late"));
    assert!(client.is_open_and_silent(), "acknowledged without room");
    assert!(load.is_sending());
    let growth = router.process.peak_memory() - idle;
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes");

    free();
    assert_eq!(client.read(ack("late").len()), ack("late"));
    let accepted = load.accepted();
    assert_eq!(accepted.iter().sum::<u64>(), 40_000);
    router.process.says("resume (mem buf overlimit)");
    let stats = sink.has(40_001);
    assert_eq!(
        (&stats["duplicates"], &stats["out_of_order"]),
        (&json!(0), &json!(0))
    );
    let growth = router.process.peak_memory() - idle;
    assert!(growth < GROWTH_MAX, "grew by {growth} bytes");
}

/// Checklist: forward 8; engine 44; firelens 5, 6
#[test]
fn senders_wait_while_the_destination_denies_everything() {
    let sink = Sink::start();
    let (hold, free) = (json!({ "deny": true }), json!({ "deny": false }));
    check(&sink, || sink.faults(&hold), || sink.faults(&free));
}

/// Checklist: forward 8.
#[test]
fn senders_wait_while_the_destination_does_not_answer() {
    let sink = Sink::start();
    check(&sink, || sink.process().freeze(), || sink.process().thaw());
}

#[test]
fn frames_longer_than_the_buffer_are_taken_one_after_the_other() {
    let sink = Sink::start();
    let limit = [("Mem_Buf_Limit", "100k")];
    let router = Router::new().forward(&limit).logs(&sink, &[]).start();
    let mut clients: Vec<_> = (0..4).map(|_| router.connect()).collect();
    let frame = |number| Frame::new("app").marked(number, 0, 900_000).chunk("long");
    let frames: Vec<_> = (0..4).map(|number| frame(number).bytes()).collect();
    // Each has sent a half before any sends the rest.
    for half in [true, false] {
        for (client, frame) in clients.iter_mut().zip(&frames) {
            let (first, second) = frame.split_at(frame.len() / 2);
            client.write(if half { first } else { second }).unwrap();
        }
    }
    for client in &mut clients {
        assert_eq!(client.read(ack("long").len()), ack("long"));
    }
    sink.has(4);
}

#[test]
fn a_peer_that_falls_silent_in_a_message_does_not_hold_up_others_for_long() {
    let sink = Sink::start();
    let limit = [("Mem_Buf_Limit", "100k")];
    let router = Router::new().forward(&limit).logs(&sink, &[]).start();
    let long = Frame::new("app").marked(0, 0, 900_000).bytes();
    let mut silent = router.connect();
    silent.write(&long[..long.len() / 2]).unwrap();
    let mut other = router.connect();
    other.send(&Frame::new("app").marked(1, 0, 100).chunk("short"));
    assert_eq!(other.read(ack("short").len()), ack("short"));
    sink.has(1);
}

#[test]
fn what_is_held_does_not_wait_for_flush_while_senders_wait_for_memory() {
    let sink = Sink::start();
    let limit = [("Mem_Buf_Limit", "100k")];
    let router = Router::new()
        .service("Flush", "600")
        .forward(&limit)
        .logs(&sink, &[])
        .start();
    let mut client = router.connect();
    for number in 0..60 {
        client.send(&Frame::new("app").marked(number, 0, 10_000));
    }
    // The last of them fit into memory and may wait for company; the others had to make room.
    sink.has(45);
}

#[test]
fn waiting_senders_are_not_held_until_the_next_flush() {
    let sink = Sink::start();
    let limit = [("Mem_Buf_Limit", "1M")];
    // At one buffer a flush this would take minutes; the test's patience ends long before.
    let router = Router::new()
        .service("Flush", "5")
        .forward(&limit)
        .logs(&sink, &[])
        .start();
    let load = ["--records", RECORDS, "--connections", "4"];
    let accepted = Load::start(router.forward(), &load).accepted();
    assert_eq!(accepted.iter().sum::<u64>(), 40_000);
    sink.has(40_000);
}
