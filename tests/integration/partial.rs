//! Lines that Docker cut, put together where that is asked for.

use sluice::msgpack::write;

use super::support::{Router, Running};

/// A frame as Docker's driver sends it.
fn piece(id: &str, text: &str, last: &str) -> Vec<u8> {
    let pairs = [
        ("source", "stdout"),
        ("log", text),
        ("partial_message", "true"),
        ("partial_id", id),
        ("partial_ordinal", "1"),
        ("partial_last", last),
    ];
    let mut out = b"\x94\xa3app\x05".to_vec();
    write::map_header(&mut out, 6);
    for (key, value) in pairs {
        write::str(&mut out, key.as_bytes());
        write::str(&mut out, value.as_bytes());
    }
    write::map_header(&mut out, 0);
    out
}

fn start(join: &str) -> Running {
    Router::new()
        .forward(&[("docker.join_partial", join)])
        .file("all.txt", &[("Format", "plain")])
        .start()
}

/// Checklist: firelens 8
#[test]
fn a_line_is_put_together_and_what_lacks_its_end_comes_out_at_the_end() {
    let mut router = start("On");
    let mut client = router.connect();
    let mut other = router.connect();
    // Docker connects again when a connection breaks, in the middle of a line as well.
    client.write(&piece("A", "one ", "false")).unwrap();
    client.write(&piece("B", "never ", "false")).unwrap();
    client.finish();
    assert_eq!(client.read(1), b"");
    other.write(&piece("B", "ended", "false")).unwrap();
    other.write(&piece("A", "two", "true")).unwrap();
    other.finish();
    assert_eq!(other.read(1), b"");
    router.terminate();
    assert!(router.end().0.success());
    let file = std::fs::read_to_string(router.path("all.txt")).unwrap();
    let lines: Vec<_> = file.lines().collect();
    let expected = [
        r#"{"source":"stdout","log":"one two"}"#,
        r#"{"source":"stdout","log":"never ended"}"#,
    ];
    assert_eq!(lines, expected);
}

#[test]
fn pieces_are_left_alone_unless_that_is_asked_for() {
    let router = start("Off");
    let mut client = router.connect();
    client.write(&piece("A", "one ", "false")).unwrap();
    client.write(&piece("A", "two", "true")).unwrap();
    client.finish();
    assert_eq!(client.read(1), b"");
    router.settles();
    let file = std::fs::read_to_string(router.path("all.txt")).unwrap();
    assert_eq!(file.matches("partial_id").count(), 2, "{file}");
}
