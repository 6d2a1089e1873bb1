use super::support::{Client, Frame, Router, Sink};

const RECORDS: u64 = 30_000;

/// Mostly lines, some pages, and a few that are longer than any service takes.
fn length(number: u64) -> usize {
    match number % 5000 {
        0 => 1_200_000,
        1 | 2 => 1_048_550 + usize::try_from(number % 60).unwrap(),
        3..10 => 260_000,
        10..20 => 20_000,
        _ => 50 + usize::try_from(number * 7919 % 700).unwrap(),
    }
}

fn send(client: &mut Client) {
    for first in (0..RECORDS).step_by(10) {
        let frame = (first..first + 10).fold(Frame::new("app"), |frame, number| {
            frame.marked(0, number, length(number))
        });
        client.send(&frame);
    }
}

#[test]
fn no_request_breaks_a_limit_whatever_the_sizes_are() {
    let sink = Sink::start();
    let ca_file = sink.ca_file();
    let tls = [("tls", "On"), ("tls.ca_file", &*ca_file)];
    let router = Router::new()
        .forward(&[])
        .logs(&sink, &tls)
        .firehose(&sink, &tls)
        .start();
    let mut client = router.connect();
    send(&mut client);
    drop(client);
    sink.has(RECORDS);
    router.settles();
    let stats = sink.stats();
    assert_eq!(stats["violations"]["count"], 0, "{stats}");
    assert_eq!(stats["items"].as_u64(), Some(2 * RECORDS), "{stats}");
    assert_eq!(stats["out_of_order"], 0, "{stats}");
    let rejected = stats["rejected"].as_object().unwrap();
    assert!(rejected.is_empty(), "{stats}");
}
