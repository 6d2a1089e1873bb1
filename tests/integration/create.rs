use serde_json::json;

use super::support::{Frame, Router, Sink};

const TAGS: u64 = 50;

/// Checklist: outputs 36
#[test]
fn a_group_is_made_once_although_many_tags_start_at_once() {
    let sink = Sink::with(&["--delay", "20ms"]);
    let settings = [("log_retention_days", "7"), ("workers", "8")];
    let router = Router::new().forward(&[]).logs(&sink, &settings).start();
    let mut client = router.connect();
    let frames = (0..TAGS).flat_map(|number| {
        let connection = u32::try_from(number).unwrap();
        Frame::new(&format!("app{number}"))
            .marked(connection, 0, 100)
            .bytes()
    });
    client.write(&frames.collect::<Vec<u8>>()).unwrap();
    let stats = sink.has(TAGS);
    router.settles();
    let requests = &stats["requests"];
    assert_eq!(requests["CreateLogGroup"], 1, "{stats}");
    assert_eq!(requests["PutRetentionPolicy"], 1, "{stats}");
    assert_eq!(stats["answers"]["CreateLogStream 200"], TAGS, "{stats}");
    assert_eq!(
        (&stats["items"], &stats["duplicates"]),
        (&json!(TAGS), &json!(0))
    );
    let groups = sink.groups();
    assert_eq!(groups["group"]["retention_days"], 7);
    assert_eq!(groups["group"]["streams"].as_object().unwrap().len(), 50);
}

#[test]
fn without_auto_create_group_a_missing_group_is_waited_for() {
    let sink = Sink::start();
    let settings = [("auto_create_group", "Off")];
    let router = Router::new().forward(&[]).logs(&sink, &settings).start();
    router.connect().send(&Frame::new("app").marked(0, 0, 100));
    router.process.says("failed to flush 1 events");
    assert_eq!(sink.groups(), json!({}));
    // Somebody else makes it.
    let other = Router::new().forward(&[]).logs(&sink, &[]).start();
    other.connect().send(&Frame::new("other").marked(1, 0, 100));
    sink.has(2);
}

/// Checklist: outputs 36
#[test]
fn streams_that_may_not_be_made_at_once_hold_up_no_other_and_cost_no_retry() {
    const NEW: u64 = 40;
    let sink = Sink::with(&["--create-rate", "5"]);
    let settings = [("Retry_Limit", "no_retries")];
    let mut router = Router::new().forward(&[]).logs(&sink, &settings).start();
    let mut client = router.connect();
    client.send(&Frame::new("old").marked(0, 0, 100));
    sink.has(1);
    let frames = (1..=NEW).flat_map(|number| {
        let connection = u32::try_from(number).unwrap();
        Frame::new(&format!("new{number}"))
            .marked(connection, 0, 100)
            .bytes()
    });
    client.write(&frames.collect::<Vec<u8>>()).unwrap();
    let made = |stats: &serde_json::Value| stats["answers"]["CreateLogStream 200"].as_u64();
    sink.counts("streams are made too often", |stats| {
        stats["answers"]["CreateLogStream 400 ThrottlingException"].is_u64()
    });
    client.send(&Frame::new("old").marked(0, 1, 100));
    let held = sink.counts("what needs no new stream arrives", |_| {
        sink.events("group", "-old").len() == 2
    });
    assert!(made(&held) < Some(NEW), "{held}");
    let stats = sink.has(NEW + 2);
    assert_eq!(
        (made(&stats), &stats["items"]),
        (Some(NEW + 1), &json!(NEW + 2))
    );
    let answers = stats["answers"].as_object().unwrap();
    let wasted = answers.iter().filter(|(name, _)| !name.ends_with(" 200"));
    let wasted: u64 = wasted.map(|(_, count)| count.as_u64().unwrap()).sum();
    assert!(wasted <= NEW, "{stats}");
    router.terminate();
    assert!(router.end().0.success());
}

/// Checklist: outputs 29
#[test]
fn a_stream_that_is_deleted_is_made_again_for_the_same_events() {
    let sink = Sink::start();
    let settings = [("Retry_Limit", "no_retries")];
    let router = Router::new().forward(&[]).logs(&sink, &settings).start();
    let mut client = router.connect();
    client.send(&Frame::new("app").marked(0, 0, 100));
    sink.has(1);
    for (number, what) in ["streams", "groups"].into_iter().enumerate() {
        sink.delete(what);
        let number = u32::try_from(number).unwrap();
        client.send(&Frame::new("app").marked(0, u64::from(number) + 1, 100));
        let stats = sink.has(u64::from(number) + 2);
        assert_eq!(stats["duplicates"], 0, "{stats}");
    }
}

#[test]
fn a_retention_that_may_not_be_set_yet_is_set_later() {
    // What finds that the stream is missing takes the second's only request.
    let sink = Sink::with(&["--rate", "1"]);
    let settings = [("log_retention_days", "7")];
    let router = Router::new().forward(&[]).logs(&sink, &settings).start();
    router.connect().send(&Frame::new("app").marked(0, 0, 100));
    let stats = sink.has(1);
    let answers = &stats["answers"];
    assert!(
        answers["PutRetentionPolicy 400 ThrottlingException"].is_u64(),
        "{stats}"
    );
    assert_eq!(sink.groups()["group"]["retention_days"], 7);
}
