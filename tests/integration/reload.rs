use std::net::UdpSocket;

use rustix::process::Signal;
use serde_json::json;

use super::support::{Client, Frame, Load, Reply, Router, Running, Sink, ack, ask, eventually};

fn router() -> Router {
    Router::new()
        .service("HTTP_Server", "On")
        .service("HTTP_Listen", "127.0.0.1")
        .service("HTTP_Port", "0")
        .service("Hot_Reload", "On")
}

/// Asks for a reload, and again while another one is under way.
fn ask_for_reload(router: &Running) -> Reply {
    let length = "Content-Length: 0\r\n";
    let ask = || ask(router.http(), "POST", "/api/v2/reload", length);
    eventually(
        "the other reload ends",
        || router.process.text(),
        || Some(ask()).filter(|reply| reply.json()["status"] != -2),
    )
}

/// Has it reload, and waits until it has.
fn reload(router: &Running) {
    let reply = ask_for_reload(router);
    assert_eq!(reply.json(), json!({"reload": "done", "status": 0}));
}

/// The configurations that follow each other: other filters always, the input made anew every second time, the output every third.
fn configuration(number: usize, sink: &Sink) -> Router {
    let size = ["6M", "5M"][number / 2 % 2];
    let limit = ["no_limits", "1000000"][number / 3 % 2];
    let generation = format!("generation {number}");
    router()
        .forward(&[("Buffer_Max_Size", size)])
        .section(
            "FILTER",
            "record_modifier",
            &[("Match", "*"), ("Record", &generation)],
        )
        .logs(sink, &[("Alias", "logs"), ("Retry_Limit", limit)])
}

#[test]
fn nothing_is_lost_doubled_or_disordered_over_200_reloads_under_load() {
    let sink = Sink::with(&["--delay", "5ms"]);
    let mut router = configuration(0, &sink).start();
    let to = router.forward();
    let options = |ack: bool| {
        let mut options = vec!["--records", "0", "--rate", "2000", "--connections", "3"];
        options.extend(["--size", "200"]);
        options.extend(ack.then_some("--ack"));
        options
    };
    let mut load = Load::start(to, &options(false));
    sink.has(100);
    for number in 1..=200 {
        router.configure(&configuration(number, &sink));
        // A peer that comes, one that has just been accepted, and one in the middle of a frame.
        let bytes = Frame::new("short").log("one").chunk("c").bytes();
        let mut halfway = Client::connect(to);
        halfway.write(&bytes[..bytes.len() / 2]).unwrap();
        let mut early = Client::connect(to);
        early.write(&bytes).unwrap();
        reload(&router);
        halfway.write(&bytes[bytes.len() / 2..]).unwrap();
        for client in [&mut early, &mut halfway] {
            assert_eq!(client.read(ack("c").len()), ack("c"), "reload {number}");
        }
    }
    assert!(load.is_sending(), "a connection was closed");
    load.stop();
    let accepted = load.accepted();
    let sent: u64 = accepted.iter().sum();
    router.terminate();
    let (status, closing) = router.end();
    assert!(status.success());
    let all = sent + 400;
    assert_eq!(
        closing,
        format!(
            "(0 pending records); accepted {all}, filtered 0, unrouted 0; logs: delivered {all}, left behind 0"
        )
    );
    sink.expect(&json!(accepted));
    let stats = sink.stats();
    let faults = ["missing", "duplicates", "out_of_order"].map(|fault| &stats[fault]);
    assert_eq!(faults, [&json!(0); 3], "{stats}");
    assert_eq!(stats["violations"]["count"], 0, "{stats}");
    let short = sink.events("group", "-short");
    assert_eq!(short.len(), 400);
}

#[test]
fn connections_of_an_unchanged_input_go_on_to_the_new_outputs() {
    let mut router = router().forward(&[]).file("one.txt", &[]).start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("before").chunk("1"));
    assert_eq!(client.read(ack("1").len()), ack("1"));
    router.configure(
        &self::router()
            .forward(&[])
            .file("two.txt", &[("Match", "*")]),
    );
    router.process.signal(Signal::HUP);
    router
        .process
        .says("successful reload done: inputs 1 unchanged");
    client.send(&Frame::new("app").log("after").chunk("2"));
    assert_eq!(client.read(ack("2").len()), ack("2"));
    client.finish();
    router.terminate();
    let (_, closing) = router.end();
    let read = |file: &str| std::fs::read_to_string(router.path(file)).unwrap();
    assert!(read("one.txt").contains("before") && !read("one.txt").contains("after"));
    assert!(read("two.txt").contains("after") && !read("two.txt").contains("before"));
    assert!(
        closing.ends_with("file.0: delivered 2, left behind 0"),
        "{closing}"
    );
}

#[test]
fn a_socket_of_datagrams_goes_to_the_input_that_takes_its_place() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = free.local_addr().unwrap();
    drop(free);
    let with = |size| {
        let port = to.port().to_string();
        let settings = [
            ("Listen", "127.0.0.1"),
            ("Port", &*port),
            ("Tag", "datagrams"),
            ("Format", "none"),
            ("Buffer_Size", size),
        ];
        router()
            .forward(&[])
            .section("INPUT", "udp", &settings)
            .file("all.txt", &[("Match", "*"), ("Format", "plain")])
    };
    let mut router = with("32").start();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |number: usize| {
        let sent = peer.send_to(format!("{number}\n").as_bytes(), to);
        sent.unwrap();
    };
    for round in 0..10 {
        router.configure(&with(["33", "32"][round % 2]));
        send(2 * round);
        reload(&router);
        // The old input has closed; had it taken the socket with it, this one would be refused.
        send(2 * round + 1);
    }
    router.terminate();
    router.end();
    let text = std::fs::read_to_string(router.path("all.txt")).unwrap();
    let expected = (0..20).map(|number| format!("{{\"log\":\"{number}\"}}"));
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
}

#[test]
fn what_a_filter_holds_is_let_go_in_its_place() {
    let join = [
        ("Match", "*"),
        ("multiline.parser", "java"),
        ("multiline.key_content", "log"),
        // Longer than any test.
        ("flush_ms", "600000"),
    ];
    let with = |file| {
        self::router()
            .forward(&[])
            .section("FILTER", "multiline", &join)
            .file("all.txt", &[("Alias", "all"), ("Format", file)])
    };
    let mut router = with("plain").start();
    let mut client = router.connect();
    let head = "java.lang.Exception: first";
    client.send(&Frame::new("app").log(head).chunk("1"));
    assert_eq!(client.read(ack("1").len()), ack("1"));
    router.configure(&with("out_file"));
    reload(&router);
    client.send(&Frame::new("app").log("a line by itself").chunk("2"));
    assert_eq!(client.read(ack("2").len()), ack("2"));
    client.finish();
    router.terminate();
    let (_, closing) = router.end();
    let text = std::fs::read_to_string(router.path("all.txt")).unwrap();
    let places = [head, "a line by itself"].map(|line| text.find(line));
    assert!(places[0].is_some() && places[0] < places[1], "{text}");
    assert!(closing.contains("delivered 2, left behind 0"), "{closing}");
}

#[test]
fn what_an_output_holds_goes_to_the_output_that_takes_its_alias() {
    let sink = Sink::start();
    // Nobody listens there.
    let nowhere = [("Alias", "logs"), ("endpoint", "127.0.0.1:1")];
    let router = router().forward(&[]).logs(&sink, &nowhere).start();
    let mut client = router.connect();
    let mut frame = Frame::new("app");
    for number in 0..10 {
        frame = frame.marked(0, number, 100);
    }
    client.send(&frame.chunk("held"));
    assert_eq!(client.read(ack("held").len()), ack("held"));
    router.process.says("the events are held");
    router.configure(
        &self::router()
            .forward(&[])
            .logs(&sink, &[("Alias", "logs")]),
    );
    reload(&router);
    let stats = sink.has(10);
    assert_eq!(
        (&stats["items"], &stats["out_of_order"]),
        (&json!(10), &json!(0))
    );
    router.settles();
}

#[test]
fn an_output_that_is_gone_delivers_what_it_was_given() {
    let sink = Sink::with(&["--fail", "100%"]);
    let router = router().forward(&[]).logs(&sink, &[]).start();
    let mut client = router.connect();
    client.send(&Frame::new("app").marked(0, 0, 100).chunk("held"));
    assert_eq!(client.read(ack("held").len()), ack("held"));
    router.process.says("the events are held");
    router.configure(&self::router().forward(&[]).file("all.txt", &[]));
    reload(&router);
    sink.faults(&json!({"fail": "0"}));
    sink.has(1);
    router.settles();
}

/// Checklist: engine 54
#[test]
fn a_file_with_mistakes_changes_nothing_and_every_mistake_is_told() {
    let router = router().forward(&[]).file("all.txt", &[]).start();
    let mut client = router.connect();
    let broken =
        self::router()
            .section("INPUT", "forwrad", &[])
            .section("OUTPUT", "file", &[("Fiel", "x")]);
    router.configure(&broken);
    router.process.signal(Signal::HUP);
    router.process.says("no plugin `forwrad`");
    router.process.says("did you mean `file`");
    router
        .process
        .says("the pipeline that runs goes on unchanged");
    let reply = ask_for_reload(&router);
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["status"], -3);
    let why = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(why.contains("forwrad"), "{why}");
    client.send(&Frame::new("app").log("still here"));
    eventually(
        "the event is written",
        || router.process.text(),
        || {
            let text = std::fs::read_to_string(router.path("all.txt")).unwrap_or_default();
            text.contains("still here").then_some(())
        },
    );
    let count = ask(router.http(), "GET", "/api/v2/reload", "");
    assert_eq!(count.json(), json!({"hot_reload_count": 0}));
}

#[test]
fn a_port_that_is_taken_changes_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let router = router().forward(&[]).file("all.txt", &[]).start();
    let mut client = router.connect();
    let other = self::router()
        .forward(&[])
        .section("INPUT", "tcp", &[("Listen", "127.0.0.1"), ("Port", &port)])
        .file("all.txt", &[("Match", "*")]);
    router.configure(&other);
    router.process.signal(Signal::HUP);
    router
        .process
        .says("the pipeline that runs goes on unchanged");
    client.send(&Frame::new("app").log("still here").chunk("c"));
    assert_eq!(client.read(ack("c").len()), ack("c"));
}

#[test]
fn an_input_that_is_gone_takes_nobody_more_and_serves_the_peers_it_has() {
    let other = [("Listen", "127.0.0.1"), ("Port", "0")];
    let router = router()
        .forward(&[])
        .section("INPUT", "forward", &other)
        .file("all.txt", &[("Match", "*")])
        .start();
    let leaving = router.address("forward.1");
    let mut client = Client::connect(leaving);
    client.send(&Frame::new("app").log("before").chunk("1"));
    assert_eq!(client.read(ack("1").len()), ack("1"));
    router.configure(
        &self::router()
            .forward(&[])
            .file("all.txt", &[("Match", "*")]),
    );
    reload(&router);
    eventually(
        "the port closes",
        || router.process.text(),
        || std::net::TcpStream::connect(leaving).is_err().then_some(()),
    );
    client.send(&Frame::new("app").log("after").chunk("2"));
    assert_eq!(client.read(ack("2").len()), ack("2"));
    router.settles();
    let text = std::fs::read_to_string(router.path("all.txt")).unwrap();
    assert!(text.contains("before") && text.contains("after"), "{text}");
}
