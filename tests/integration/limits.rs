use super::support::{Client, Frame, Router, Sink, now};

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

#[test]
fn a_tag_that_is_no_name_for_a_stream_is_delivered_all_the_same() {
    let sink = Sink::start();
    let router = Router::new().forward(&[]).logs(&sink, &[]).start();
    let long = "long".repeat(300);
    let tags = ["a:b", "a*b", "", " ", "tab\tand\nline", "ж/アプリ", &long];
    let mut client = router.connect();
    for (number, tag) in (0..).zip(tags) {
        client.send(&Frame::new(tag).marked(number, 0, 100));
    }
    let stats = sink.has(tags.len() as u64);
    assert_eq!(stats["violations"]["count"], 0, "{stats}");
}

/// Checklist: outputs 24, 45
#[test]
fn what_the_service_would_refuse_is_dropped_and_counted() {
    const DAY: u64 = 24 * 3600;
    let sink = Sink::start();
    let mut router = Router::new().forward(&[]).logs(&sink, &[]).start();
    let mut client = router.connect();
    let frame = Frame::new("app")
        .log("good")
        .at(5, "log", "of 1970")
        .at(now() - 15 * DAY, "log", "too old")
        .at(now() - 13 * DAY, "log", "old but good")
        .at(now() + DAY, "log", "too new")
        .log("")
        .at(now(), "text", "no log");
    client.send(&frame);
    drop(client);
    sink.counts("two items", |stats| stats["items"] == 2);
    router.terminate();
    let (_, closing) = router.end();
    assert_eq!(
        closing,
        "(0 pending records); accepted 7, filtered 0, unrouted 0; \
         cloudwatch_logs.0: delivered 2, dropped key_missing 1, dropped empty 1, \
         dropped too_old 2, dropped too_new 1, left behind 0"
    );
    assert_eq!(sink.stats()["violations"]["count"], 0);
}

/// Checklist: outputs 22
#[test]
fn an_event_that_is_too_large_can_be_put_together_from_its_parts() {
    let sink = Sink::start();
    let split = [("oversized_events", "split")];
    let router = Router::new()
        .forward(&[])
        .logs(&sink, &split)
        .firehose(&sink, &split)
        .start();
    let long = "\u{20ac}uro ".repeat(350_000);
    let frame = Frame::new("app").log("before").log(&long).log("after");
    router.connect().send(&frame);
    // Three parts and two neighbours, twice.
    let stats = sink.counts("all parts arrive", |stats| stats["items"] == 10);
    router.settles();
    assert_eq!(stats["violations"]["count"], 0, "{stats}");
    let events = sink.events("group", "-app");
    let events = events
        .iter()
        .map(|event| event["message"].as_str().unwrap());
    let records = sink.records("delivery");
    let records = records.iter().map(|record| record.trim_end_matches('\n'));
    for texts in [events.collect::<Vec<_>>(), records.collect()] {
        let [before, parts @ .., after] = &texts[..] else {
            panic!("{} texts", texts.len());
        };
        assert_eq!((*before, *after), ("before", "after"));
        let parts = parts
            .iter()
            .map(|part| part.rsplit_once("[Split ").unwrap());
        let (parts, marks): (Vec<_>, Vec<_>) = parts.unzip();
        assert!(marks[0].ends_with(" 1/3]") && marks[2].ends_with(" 3/3]"));
        assert!(parts.concat() == long, "the parts are not the event");
    }
    for output in ["cloudwatch_logs.0", "kinesis_firehose.1"] {
        let name = format!("name=\"{output}\"");
        let delivered = router.counter("sluice_output_delivered_records_total", &name);
        assert_eq!(delivered, 3, "{output}");
    }
}

/// Checklist: outputs 25
#[test]
fn interleaved_streams_have_a_request_each_and_not_one_for_each_event() {
    const STREAMS: u64 = 100;
    const EVENTS: u64 = 2000;
    let sink = Sink::start();
    let template = [("log_stream_template", "$log"), ("log_key", "log")];
    let router = Router::new().forward(&[]).logs(&sink, &template).start();
    let frame = (0..EVENTS).fold(Frame::new("app"), |frame, number| {
        frame.log(&format!("s{}", number % STREAMS))
    });
    router.connect().send(&frame);
    let stats = sink.counts("all events", |stats| stats["items"] == EVENTS);
    assert_eq!(stats["answers"]["PutLogEvents 200"], STREAMS, "{stats}");
    for stream in (0..STREAMS).map(|stream| format!("s{stream}")) {
        let events = sink.events("group", &stream);
        assert_eq!(events.len() as u64, EVENTS / STREAMS);
        assert!(events.iter().all(|event| event["message"] == stream));
    }
}

/// Checklist: outputs 41
#[test]
fn a_compressed_request_for_names_beyond_ascii_is_signed_as_the_service_wants_it() {
    let sink = Sink::with(&["--session-token", "session"]);
    let settings = [
        ("compression", "gzip"),
        ("log_stream_prefix", "\u{436}/\u{30a2}-"),
    ];
    let router = Router::new()
        .environment("AWS_SESSION_TOKEN", "session")
        .forward(&[])
        .logs(&sink, &settings)
        .start();
    let frame = (0..50).fold(Frame::new("app"), |frame, number| {
        frame.marked(0, number, 200)
    });
    router.connect().send(&frame);
    let stats = sink.has(50);
    assert_eq!(stats["violations"]["count"], 0, "{stats}");
    let groups = sink.groups();
    let streams = groups["group"]["streams"].as_object().unwrap();
    assert!(streams.contains_key("\u{436}/\u{30a2}-app"), "{groups}");
}
