//! Tasks of the stream processor: copies of what a query selects, under another tag.

use super::support::{Frame, Router, Running, ack};

const TASKS: &str = "[STREAM_TASK]
    Name errors
    Exec CREATE STREAM errors WITH (tag='app.errors') AS SELECT * FROM TAG:'app*' WHERE log = 'error';
[STREAM_TASK]
    Name texts
    Exec CREATE STREAM texts AS SELECT log AS text, absent FROM STREAM:forward.0;
[STREAM_TASK]
    Name counts
    Exec CREATE STREAM counts AS SELECT COUNT(*) FROM TAG:'app*' WINDOW TUMBLING (5 SECOND);
";

fn lines(router: &Running, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(router.path(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Checklist: firelens 19
#[test]
fn a_task_copies_what_its_query_selects_and_leaves_the_records_alone() {
    let plain = |tag| [("Match", tag), ("Format", "plain")];
    let mut router = Router::new()
        .with_file("streams.conf", TASKS)
        .service("Streams_File", "streams.conf")
        .forward(&[])
        .section(
            "FILTER",
            "record_modifier",
            &[("Match", "app"), ("Record", "by filter")],
        )
        .section(
            "FILTER",
            "record_modifier",
            &[("Match", "app.errors"), ("Record", "seen again")],
        )
        .file("all", &plain("app"))
        .file("errors", &plain("app.errors"))
        .file("texts", &[("Match", "stream_processor.*")])
        .start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("fine").log("error").chunk("c"));
    assert_eq!(client.read(ack("c").len()), ack("c"));
    client.finish();
    router.settles();
    router
        .process
        .says("streams.conf:9:5: key `exec`: `(` stands where FROM belongs");
    router.terminate();
    let (_, closing) = router.end();
    assert_eq!(
        lines(&router, "all"),
        [
            r#"{"log":"fine","by":"filter"}"#,
            r#"{"log":"error","by":"filter"}"#
        ]
    );
    // Through the filters of its tag, and not through its own task once more.
    assert_eq!(
        lines(&router, "errors"),
        [r#"{"log":"error","by":"filter","seen":"again"}"#]
    );
    let texts = lines(&router, "texts");
    assert_eq!(texts.len(), 2, "{texts:?}");
    for (line, text) in texts.iter().zip(["fine", "error"]) {
        assert!(line.starts_with("stream_processor.2: ["), "{line}");
        assert!(
            line.ends_with(&format!("{{\"text\":\"{text}\"}}]")),
            "{line}"
        );
    }
    assert!(
        closing.contains("accepted 2, filtered 0, unrouted 0"),
        "{closing}"
    );
}
