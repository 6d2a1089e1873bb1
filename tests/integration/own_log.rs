use super::support::{Frame, Router, Sink};

/// Text that must never be seen.
const SECRET: &str = "hunter2-do-not-show";

#[test]
fn credentials_are_not_logged_whatever_the_level_and_whatever_fails() {
    let sink = Sink::with(&["--deny"]);
    let mut router = Router::new()
        .service("Grace", "1")
        .service("Log_Level", "trace")
        .environment("AWS_SECRET_ACCESS_KEY", SECRET)
        .environment("AWS_SESSION_TOKEN", SECRET)
        .forward(&[])
        .logs(&sink, &[])
        .firehose(&sink, &[])
        .start();
    router.connect().send(&Frame::new("app").log(SECRET));
    router.process.says("failed to flush 1 events to group");
    router.process.says("failed to flush 1 events to delivery");
    router.terminate();
    router.end();
    let text = router.process.text();
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn a_mistake_in_a_secret_setting_does_not_show_its_value() {
    let mut router = Router::new()
        .environment("KEY", SECRET)
        .forward(&[
            ("Shared_Key", "${KEY}"),
            ("Empty_Shared_Key", SECRET),
            ("Security.Users", SECRET),
            ("Shared_Kye", SECRET),
        ])
        .section(
            "OUTPUT",
            "null",
            &[("http_passwd", SECRET), ("tls.key_passwd", SECRET)],
        )
        .launch();
    assert_eq!(router.process.end().code(), Some(1));
    let text = router.process.text();
    for key in ["empty_shared_key", "security.users", "shared_kye"] {
        assert!(text.contains(&format!("key `{key}`")), "{text}");
    }
    assert!(!text.contains(SECRET), "{text}");
}
