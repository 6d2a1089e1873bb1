use super::support::{Frame, Router};

/// Checklist: filters 72
#[test]
fn a_record_that_is_not_what_is_expected_ends_the_process_where_that_is_asked_for() {
    let mut router = Router::new()
        .forward(&[])
        .section(
            "FILTER",
            "expect",
            &[("Match", "*"), ("key_exists", "other"), ("action", "exit")],
        )
        .file("out.txt", &[("Match", "*"), ("Format", "plain")])
        .start();
    router.connect().send(&Frame::new("app").log("x"));
    let (status, closing) = router.end();
    assert_eq!(status.code(), Some(255), "{closing}");
    let out = std::fs::read_to_string(router.path("out.txt")).unwrap();
    assert_eq!(out, "{\"log\":\"x\"}\n");
}
