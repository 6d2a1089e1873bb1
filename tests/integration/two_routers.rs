use rustix::process::Signal;
use serde_json::json;

use super::support::{Client, Frame, Router, Running, ack, eventually, msgpack, vectors};

/// An aggregator that listens on this socket file and writes to the file `out`.
fn aggregator(socket: &str) -> Running {
    let unix = [("Unix_Path", socket)];
    let running = Router::new()
        .section("INPUT", "forward", &unix)
        .file("out", &[("Match", "*"), ("Format", "plain")])
        .launch();
    running.process.says("listening on unix:");
    running
}

/// The lines an aggregator has written.
fn written(aggregator: &Running) -> Vec<String> {
    let text = std::fs::read_to_string(aggregator.path("out")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Waits until an aggregator has written so many lines.
fn has(aggregator: &Running, count: usize) {
    eventually(
        "the lines are written",
        || format!("{:?}\n{}", written(aggregator), aggregator.process.text()),
        || (written(aggregator).len() >= count).then_some(()),
    );
}

/// Sends frames of one event each, and waits for each to be taken in.
fn send(client: &mut Client, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        client.send(&Frame::new("app").log(&text).chunk("c"));
        assert_eq!(client.read(ack("c").len()), ack("c"));
    }
}

fn texts(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("text {number}"))
}

#[test]
fn nothing_that_was_not_acknowledged_is_lost_when_either_router_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket").display().to_string();
    let output = [
        ("Match", "*"),
        ("unix_path", &*socket),
        ("require_ack_response", "on"),
    ];
    let sender = || {
        Router::new()
            .forward(&[])
            .section("OUTPUT", "forward", &output)
            .start()
    };
    let first = aggregator(&socket);
    let router = sender();
    send(&mut router.connect(), ["before".to_owned()]);
    has(&first, 1);
    // The receiver stands still with the frames in its socket, and dies.
    first.process.freeze();
    send(&mut router.connect(), texts(50));
    first.process.signal(Signal::KILL);
    let second = aggregator(&socket);
    has(&second, 50);
    router.settles();
    let expected: Vec<_> = texts(50)
        .map(|text| format!("{{\"log\":\"{text}\"}}"))
        .collect();
    assert_eq!(written(&second), expected);
    // The sender dies with a frame that it has not acknowledged; whoever sent it sends it again.
    router.process.freeze();
    let frame = Frame::new("app").log("after").chunk("x");
    let mut client = router.connect();
    client.send(&frame);
    router.process.signal(Signal::KILL);
    assert_eq!(client.read(1), b"");
    let router = sender();
    let mut client = router.connect();
    client.send(&frame);
    assert_eq!(client.read(ack("x").len()), ack("x"));
    has(&second, 51);
}

/// Checklist: forward 24.
#[test]
fn events_keep_their_metadata_and_group_from_router_to_router_and_past_filters() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket").display().to_string();
    let unix = [("Unix_Path", &*socket)];
    let aggregator = Router::new()
        .section("INPUT", "forward", &unix)
        .file("out", &[("Match", "*"), ("Format", "msgpack")])
        .launch();
    aggregator.process.says("listening on unix:");
    let output = [
        ("Match", "*"),
        ("unix_path", &*socket),
        ("retain_metadata_in_forward_mode", "on"),
    ];
    let added = [("Match", "*"), ("Add", "k v")];
    let router = Router::new()
        .forward(&[])
        .section("FILTER", "modify", &added)
        .section("OUTPUT", "forward", &output)
        .start();
    let name = "valid/forward_group_markers.msgpack";
    let frame = std::fs::read(vectors::folder().join(name)).unwrap();
    router.connect().write(&frame).unwrap();
    let written = || std::fs::read(aggregator.path("out")).unwrap_or_default();
    let end = b"\xff\xff\xff\xfe\0\0\0\0\x80\x80";
    eventually("the group is closed", String::new, || {
        written().ends_with(end).then_some(())
    });
    let written = written();
    let mut rest = written.as_slice();
    let [open, event, _close] = [(); 3].map(|()| msgpack::value(&mut rest));
    let vector = &vectors::json("valid/forward_group_markers.json")["messages"][0]["events"][0];
    assert_eq!(open[0][1], vector["group"]["metadata"]);
    assert_eq!(open[1], vector["group"]["attributes"]);
    assert_eq!(event[0][1], vector["metadata"]);
    assert_eq!(event[1], json!({ "log": "hello", "k": "v" }));
    assert!(rest.is_empty());
}

/// A certificate for 127.0.0.1 and its key, in files.
struct Identity(tempfile::TempDir);

impl Identity {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.path().join("crt"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key"), made.signing_key.serialize_pem()).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// An aggregator that knows its senders by key, user and certificate.
fn guarded(server: &Identity, client: &Identity) -> Running {
    let (crt, key, ca) = (server.file("crt"), server.file("key"), client.file("crt"));
    let settings = [
        ("Shared_Key", "k"),
        ("Security.Users", "u pw"),
        ("tls", "on"),
        ("tls.crt_file", &*crt),
        ("tls.key_file", &*key),
        ("tls.ca_file", &*ca),
        ("tls.verify_client_cert", "on"),
    ];
    Router::new()
        .forward(&settings)
        .file("out", &[("Match", "*"), ("Format", "plain")])
        .start()
}

/// Checklist: forward 60.
#[test]
fn a_router_logs_in_to_another_by_key_user_and_certificate() {
    let (server, client) = (Identity::new(), Identity::new());
    let aggregator = guarded(&server, &client);
    let port = aggregator.forward().port().to_string();
    let files = (server.file("crt"), client.file("crt"), client.file("key"));
    let settings = |key| {
        let all = [
            ("Match", "*"),
            ("port", &*port),
            ("shared_key", key),
            ("username", "u"),
            ("password", "pw"),
            ("compress", "gzip"),
            ("require_ack_response", "on"),
            ("tls", "on"),
            ("tls.ca_file", &*files.0),
            ("tls.crt_file", &*files.1),
            ("tls.key_file", &*files.2),
        ];
        Router::new()
            .forward(&[])
            .section("OUTPUT", "forward", &all)
            .start()
    };
    let router = settings("k");
    send(&mut router.connect(), texts(20));
    has(&aggregator, 20);
    router.settles();
    let expected: Vec<_> = texts(20)
        .map(|text| format!("{{\"log\":\"{text}\"}}"))
        .collect();
    assert_eq!(written(&aggregator), expected);
    let other = settings("another");
    send(&mut other.connect(), texts(1));
    let said = other.process.says("the events are held");
    assert!(
        said.contains("does not let us in: shared_key mismatch"),
        "{said}"
    );
    assert_eq!(written(&aggregator).len(), 20);
}

#[test]
fn a_router_whose_aggregator_asks_for_a_key_says_so() {
    let aggregator = Router::new()
        .forward(&[("Shared_Key", "k")])
        .file("out", &[("Match", "*")])
        .start();
    let port = aggregator.forward().port().to_string();
    let settings = [
        ("Match", "*"),
        ("port", &*port),
        ("require_ack_response", "on"),
    ];
    let router = Router::new()
        .forward(&[])
        .section("OUTPUT", "forward", &settings)
        .start();
    send(&mut router.connect(), texts(1));
    router
        .process
        .says("it asks for a shared key; set shared_key");
}
