use serde_json::json;

use super::support::{Frame, Router, Sink};

const TAGS: u64 = 50;

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
