use serde_json::Value;

use super::support::{Client, Frame, Router, Sink};

fn texts(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["message"].as_str().unwrap())
        .collect()
}

fn lines(router: &super::support::Running, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(router.path(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_tag_goes_to_every_output_that_matches_whichever_input_it_comes_from() {
    let sink = Sink::start();
    let router = Router::new()
        .forward(&[])
        .forward(&[("Tag_Prefix", "second.")])
        .section(
            "INPUT",
            "tcp",
            &[
                ("Listen", "127.0.0.1"),
                ("Port", "0"),
                ("Tag", "plain"),
                ("Format", "json"),
            ],
        )
        .logs(&sink, &[("Match", "*app")])
        .firehose(&sink, &[("Match", "second.*")])
        .file(
            "plain.txt",
            &[("Match_Regex", "^(plain|app)$"), ("Format", "plain")],
        )
        .start();
    router.connect().send(&Frame::new("app").log("first"));
    let mut second = Client::connect(router.address("forward.1"));
    second.send(&Frame::new("app").log("second"));
    second.send(&Frame::new("other").log("third"));
    let mut third = Client::connect(router.address("tcp.2"));
    third.write(b"{\"log\":\"fourth\"}\n").unwrap();
    drop((second, third));
    sink.counts("four items", |stats| stats["items"] == 4);
    assert_eq!(texts(&sink.events("group", "-app")), ["first"]);
    assert_eq!(texts(&sink.events("group", "-second.app")), ["second"]);
    let mut records = sink.records("delivery");
    records.sort();
    assert_eq!(records, ["second\n", "third\n"]);
    super::support::eventually(
        "two lines",
        || format!("{:?}", lines(&router, "plain.txt")),
        || (lines(&router, "plain.txt").len() == 2).then_some(()),
    );
    let mut found = lines(&router, "plain.txt");
    found.sort();
    assert_eq!(found, [r#"{"log":"first"}"#, r#"{"log":"fourth"}"#]);
}

#[test]
fn a_dead_output_does_not_stop_the_other_while_there_is_room() {
    let sink = Sink::with(&["--deny"]);
    let mut router = Router::new()
        .service("Grace", "1")
        .forward(&[])
        .logs(&sink, &[])
        .file("all.txt", &[("Match", "*")])
        .start();
    let mut client = router.connect();
    for round in 1..=20 {
        for number in 0..50 {
            client.send(&Frame::new("app").log(&number.to_string()));
        }
        let count = || lines(&router, "all.txt").len();
        super::support::eventually(
            "the file grows",
            || count().to_string(),
            || (count() == round * 50).then_some(()),
        );
    }
    drop(client);
    router.terminate();
    let (_, closing) = router.end();
    assert_eq!(
        closing,
        "(1000 pending records); accepted 1000, filtered 0, unrouted 0; \
         cloudwatch_logs.0: delivered 0, left behind 1000; file.1: delivered 1000, left behind 0"
    );
}

#[test]
fn a_tag_that_nobody_wants_is_counted() {
    let mut router = Router::new()
        .forward(&[])
        .file("app.txt", &[("Match", "app")])
        .start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("wanted"));
    client.send(&Frame::new("other").log("not wanted").log("neither"));
    drop(client);
    router
        .process
        .says("no output's Match accepts the tag other");
    router.terminate();
    let (_, closing) = router.end();
    assert_eq!(
        closing,
        "(0 pending records); accepted 3, filtered 0, unrouted 2; file.0: delivered 1, left behind 0"
    );
}
