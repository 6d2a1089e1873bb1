use std::sync::atomic::{AtomicU32, Ordering};

use super::support::{Frame, Router, Server, ack, eventually};

/// A router with an output to this server.
fn router(server: &Server, settings: &[(&str, &str)]) -> Router {
    let port = server.address.port().to_string();
    let common = [
        ("Match", "*"),
        ("host", "127.0.0.1"),
        ("port", &*port),
        ("json_date_key", "off"),
        ("format", "json_lines"),
    ];
    Router::new()
        .forward(&[])
        .section("OUTPUT", "http", &[&common, settings].concat())
}

/// Waits until so many lines were taken, and gives them.
fn lines(server: &Server, count: usize) -> Vec<String> {
    let lines = || -> Vec<String> {
        let taken = server.taken();
        let lines = taken.iter().flat_map(|request| request.body.lines());
        lines.map(str::to_owned).collect()
    };
    eventually(
        &format!("{count} lines arrive"),
        || format!("{:?}", lines()),
        || Some(lines()).filter(|lines| lines.len() >= count),
    )
}

fn line(text: &str) -> String {
    format!("{{\"log\":\"{text}\"}}")
}

#[test]
fn requests_follow_each_other_over_one_connection() {
    let server = Server::start(|_| (200, ""));
    let router = router(&server, &[]).start();
    let mut client = router.connect();
    for count in 1..=5 {
        client.send(&Frame::new("app").log(&count.to_string()));
        lines(&server, count);
    }
    let expected: Vec<_> = (1..=5).map(|count| line(&count.to_string())).collect();
    assert_eq!(lines(&server, 5), expected);
    let connections = server
        .taken()
        .iter()
        .map(|request| request.connection)
        .max();
    // A second one may be opened while the first is not back in the pool yet.
    assert!(connections <= Some(1), "{connections:?}");
}

/// Checklist: engine 62
#[test]
fn a_request_is_fluent_bits_and_only_what_asks_for_it_is_sent_again() {
    let asked = AtomicU32::new(0);
    let server = Server::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => (429, "retry-after: 1\r\n"),
        2 => (400, ""),
        _ => (200, ""),
    });
    let settings = [("http_user", "u"), ("header", "X-Mine 1")];
    let router = router(&server, &settings).start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("again"));
    assert_eq!(lines(&server, 1), [line("again")]);
    client.send(&Frame::new("app").log("dropped"));
    router.process.says("its events are lost");
    client.send(&Frame::new("app").log("last"));
    assert_eq!(lines(&server, 2), [line("again"), line("last")]);
    let head = server.taken().remove(0).head;
    let headers: Vec<&str> = head.lines().collect();
    let expected = [
        "post / http/1.1".to_owned(),
        format!("host: {}", server.address),
        "content-length: 16".to_owned(),
        "content-type: application/x-ndjson".to_owned(),
        "authorization: basic dto=".to_owned(),
        "user-agent: fluent-bit".to_owned(),
        "x-mine: 1".to_owned(),
        String::new(),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn what_a_server_refuses_for_good_is_dropped_counted_and_told() {
    let server = Server::start(|_| (403, ""));
    let router = router(&server, &[]).start();
    router
        .connect()
        .send(&Frame::new("app").log("one").log("two"));
    let said = router.process.says("its events are lost");
    let expected = format!("{}, HTTP status=403: said;", server.address);
    assert!(said.contains(&expected), "{said}");
    let labels = "name=\"http.0\",reason=\"refused\"";
    eventually(
        "both are counted",
        || router.process.text(),
        || (router.counter("sluice_dropped_records_total", labels) == 2).then_some(()),
    );
}

#[test]
fn a_body_that_is_too_large_is_cut_until_it_fits() {
    let server = Server::start(|request| {
        let is_large = request.body.lines().count() > 2;
        (if is_large { 413 } else { 200 }, "")
    });
    let router = router(&server, &[]).start();
    let mut frame = Frame::new("app");
    for number in 0..9 {
        frame = frame.log(&number.to_string());
    }
    router.connect().send(&frame);
    let expected: Vec<_> = (0..9).map(|number| line(&number.to_string())).collect();
    assert_eq!(lines(&server, 9), expected);
}

#[test]
fn a_server_that_names_a_time_is_asked_again_after_it() {
    let asked = AtomicU32::new(0);
    let server = Server::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => (429, "retry-after: 2\r\n"),
        _ => (200, ""),
    });
    let router = router(&server, &[]).start();
    let start = std::time::Instant::now();
    router.connect().send(&Frame::new("app").log("one"));
    lines(&server, 1);
    assert!(start.elapsed().as_secs() >= 2);
}

#[test]
fn the_tag_stands_in_a_header_and_each_tag_has_its_requests() {
    let server = Server::start(|_| (200, ""));
    let router = router(&server, &[("header_tag", "X-Tag")]).start();
    let mut client = router.connect();
    for tag in ["a", "b", "a"] {
        client.send(&Frame::new(tag).log(tag).chunk("c"));
        assert_eq!(client.read(ack("c").len()), ack("c"));
    }
    lines(&server, 3);
    for request in server.taken() {
        let tag = if request.body.contains("\"a\"") {
            "a"
        } else {
            "b"
        };
        assert!(
            request.head.contains(&format!("x-tag: {tag}\r\n")),
            "{}",
            request.head
        );
        assert!(
            request.body.lines().all(|other| other == line(tag)),
            "{}",
            request.body
        );
    }
}
