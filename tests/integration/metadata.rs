use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::support::{Client, Frame, PATIENCE, Router, Running, ack, eventually};

/// The metadata service of an instance, which answers nothing until it may.
struct Instance {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    asked: AtomicUsize,
}

impl Instance {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate: Arc<Gate> = Arc::default();
        let shared = Arc::clone(&gate);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (gate, stream) = (Arc::clone(&shared), stream.unwrap());
                std::thread::spawn(move || serve(&stream, &gate));
            }
        });
        Self { address, gate }
    }

    fn open(&self) {
        *self.gate.is_open.lock().unwrap() = true;
        self.gate.opened.notify_all();
    }

    fn asked(&self) -> usize {
        self.gate.asked.load(Ordering::SeqCst)
    }

    /// Waits until it is asked.
    fn is_asked(&self) {
        let asked = || (self.asked() > 0).then_some(());
        eventually("the service is asked", String::new, asked);
    }
}

fn serve(mut stream: &TcpStream, gate: &Gate) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        gate.asked.fetch_add(1, Ordering::SeqCst);
        let is_open = gate.is_open.lock().unwrap();
        drop(gate.opened.wait_while(is_open, |is_open| !*is_open));
        let body = match head.split(' ').nth(1)? {
            "/latest/api/token" => "token",
            "/latest/meta-data/placement/availability-zone" => "z",
            _ => "i",
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// A router whose filter for the tag `app` asks an instance.
fn router(instance: &Instance, wait: &str) -> Router {
    let endpoint = format!("http://{}", instance.address);
    Router::new()
        .environment("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint)
        .service("HTTP_Server", "On")
        .service("HTTP_Listen", "127.0.0.1")
        .service("HTTP_Port", "0")
        .service("Hot_Reload", "On")
        .forward(&[])
        .section(
            "FILTER",
            "aws",
            &[("Match", "app"), ("metadata_wait", wait)],
        )
        .file("out.txt", &[("Match", "*"), ("Format", "plain")])
}

fn lines(router: &Running) -> Vec<String> {
    let text = std::fs::read_to_string(router.path("out.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn has(router: &Running, expected: &[&str]) {
    eventually(
        "the lines",
        || format!("{:?}\n{}", lines(router), router.process.text()),
        || (lines(router) == expected).then_some(()),
    );
}

#[test]
fn only_the_connection_whose_events_need_an_answer_waits_for_it() {
    let instance = Instance::start();
    let router = router(&instance, "30").start();
    instance.is_asked();
    let mut waiting = router.connect();
    waiting.send(&Frame::new("app").log("first").chunk("c"));
    router.connect().send(&Frame::new("other").log("second"));
    has(&router, &[r#"{"log":"second"}"#]);
    assert_eq!(
        router.counter("sluice_input_records_total", r#"name="forward.0""#),
        1
    );
    instance.open();
    assert_eq!(waiting.read(ack("c").len()), ack("c"));
    has(
        &router,
        &[
            r#"{"log":"second"}"#,
            r#"{"log":"first","az":"z","ec2_instance_id":"i"}"#,
        ],
    );
}

#[test]
fn events_pass_without_the_answer_when_it_takes_too_long() {
    let instance = Instance::start();
    let router = router(&instance, "1").start();
    router.connect().send(&Frame::new("app").log("first"));
    has(&router, &[r#"{"log":"first"}"#]);
    let counted = || router.counter("sluice_filter_bare_records_total", r#"name="aws.0""#);
    eventually("the event is counted", String::new, || {
        (counted() == 1).then_some(())
    });
}

#[test]
fn events_that_get_their_tag_from_a_filter_wait_for_the_answer_in_their_order() {
    let instance = Instance::start();
    let router = self::router(&instance, "30")
        .section(
            "FILTER",
            "rewrite_tag",
            &[
                ("Match", "raw"),
                ("Rule", "$log ^(first|second) app false"),
                ("Rule", "$log ^third app true"),
            ],
        )
        .start();
    instance.is_asked();
    let mut sender = router.connect();
    for log in ["first", "second", "third"] {
        sender.send(&Frame::new("raw").log(log));
    }
    // The original of the third one does not wait.
    has(&router, &[r#"{"log":"third"}"#]);
    instance.open();
    has(
        &router,
        &[
            r#"{"log":"third"}"#,
            r#"{"log":"first","az":"z","ec2_instance_id":"i"}"#,
            r#"{"log":"second","az":"z","ec2_instance_id":"i"}"#,
            r#"{"log":"third","az":"z","ec2_instance_id":"i"}"#,
        ],
    );
    assert_eq!(
        router.counter("sluice_filter_bare_records_total", r#"name="aws.0""#),
        0
    );
}

#[test]
fn events_that_wait_under_a_new_tag_go_at_the_end() {
    let instance = Instance::start();
    let mut router = self::router(&instance, "30")
        .section(
            "FILTER",
            "rewrite_tag",
            &[("Match", "raw"), ("Rule", "$log . app false")],
        )
        .start();
    instance.is_asked();
    let mut sender = router.connect();
    sender.send(&Frame::new("raw").log("first").chunk("c"));
    assert_eq!(sender.read(ack("c").len()), ack("c"));
    drop(sender);
    router.terminate();
    let (status, closing) = router.end();
    assert!(status.success(), "{closing}");
    assert_eq!(lines(&router), [r#"{"log":"first"}"#]);
}

#[test]
fn at_the_end_nobody_waits_and_nothing_is_lost() {
    let instance = Instance::start();
    let mut router = router(&instance, "30").start();
    let mut client = router.connect();
    client.send(&Frame::new("app").log("first").chunk("c"));
    instance.is_asked();
    router.terminate();
    assert_eq!(client.read_to_end(PATIENCE).as_deref(), Some(&*ack("c")));
    drop(client);
    let (status, closing) = router.end();
    assert!(status.success(), "{closing}");
    assert_eq!(lines(&router), [r#"{"log":"first"}"#]);
}

#[test]
fn after_a_reload_the_old_filter_asks_no_more() {
    let old = Instance::start();
    let mut running = router(&old, "0").start();
    old.is_asked();
    let other = Router::new()
        .service("HTTP_Server", "On")
        .service("HTTP_Listen", "127.0.0.1")
        .service("HTTP_Port", "0")
        .service("Hot_Reload", "On")
        .forward(&[])
        .file("out.txt", &[("Match", "*"), ("Format", "plain")]);
    running.configure(&other);
    running.process.signal(rustix::process::Signal::HUP);
    running.process.says("successful reload done");
    let mut client = Client::connect(running.forward());
    client.send(&Frame::new("app").log("x"));
    has(&running, &[r#"{"log":"x"}"#]);
    // The first question, for the token, would be followed by others.
    let before = old.asked();
    old.open();
    client.send(&Frame::new("app").log("y"));
    has(&running, &[r#"{"log":"x"}"#, r#"{"log":"y"}"#]);
    assert_eq!(old.asked(), before);
    running.terminate();
    running.end();
}
