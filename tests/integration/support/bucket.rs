//! A bucket: as much of S3 as uploads need.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::eventually;

/// The smallest part but for the last.
const PART_MIN: usize = 5 << 20;

/// A running bucket. It answers until the test is over.
pub(crate) struct Bucket {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// The parts of an upload, by its token and their numbers.
    uploads: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
    /// Answer so many requests with 503.
    failures: usize,
    /// Requests answered with success, by method and what they are for.
    calls: Vec<String>,
    /// Say 200 to so many requests to complete an upload, and an error in the text.
    false_completions: usize,
    violations: Vec<String>,
}

impl Bucket {
    /// Starts a bucket that fails the first requests.
    pub(crate) fn failing(failures: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            failures,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    /// Says 200 to the next request to complete an upload, and that it failed.
    pub(crate) fn fail_completion(&self) {
        self.state.lock().unwrap().false_completions += 1;
    }

    /// Starts a bucket.
    pub(crate) fn start() -> Self {
        Self::failing(0)
    }

    /// The objects, by their paths, when there are so many.
    pub(crate) fn has(&self, count: usize) -> BTreeMap<String, Vec<u8>> {
        let objects = || self.state.lock().unwrap().objects.clone();
        eventually(
            "the objects are there",
            || format!("{:?}", self.state.lock().unwrap().calls),
            || Some(objects()).filter(|objects| objects.len() >= count),
        )
    }

    /// What was answered with success, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Waits for a call.
    pub(crate) fn calls_for(&self, call: &str) {
        eventually(
            call,
            || format!("{:?}", self.calls()),
            || self.calls().iter().any(|known| known == call).then_some(()),
        );
    }

    /// What no client may do.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state.lock().unwrap().violations.clone()
    }
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or_default() == 0 {
            return;
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (method, target) = (method.to_owned(), target.to_owned());
        let (mut length, mut signed) = (0, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => signed = value.contains("/s3/aws4_request"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut state = state.lock().unwrap();
        if !signed {
            state
                .violations
                .push(format!("{method} {target}: not signed"));
        }
        let answer = state.answer(&method, &target, body);
        drop(state);
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

impl State {
    fn answer(&mut self, method: &str, target: &str, body: Vec<u8>) -> String {
        if self.failures > 0 {
            self.failures -= 1;
            return answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: BTreeMap<_, _> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        let token = query.get("uploadId").map(|token| (*token).to_owned());
        match (method, token) {
            ("PUT", None) => {
                self.calls.push(format!("put {path}"));
                self.objects.insert(path.to_owned(), body);
                answer("200 OK", "etag: \"whole\"\r\n", "")
            }
            ("PUT", Some(token)) => {
                let number: usize = query["partNumber"].parse().unwrap();
                let Some(upload) = self.uploads.get_mut(&token) else {
                    return answer(
                        "404 Not Found",
                        "",
                        "<Error><Code>NoSuchUpload</Code></Error>",
                    );
                };
                upload.insert(number, body);
                self.calls.push(format!("part {number}"));
                answer("200 OK", &format!("etag: \"{number}\"\r\n"), "")
            }
            (_, None) => {
                let token = format!("token{}", self.uploads.len());
                self.calls.push(format!("create {path}"));
                self.uploads.insert(token.clone(), BTreeMap::new());
                answer("200 OK", "", &format!("<UploadId>{token}</UploadId>"))
            }
            (_, Some(_)) if self.false_completions > 0 => {
                self.false_completions -= 1;
                self.calls.push("false completion".to_owned());
                let error = "<Error><Code>InternalError</Code></Error>";
                answer("200 OK", "", &format!("<?xml version=\"1.0\"?>{error}"))
            }
            (_, Some(token)) => {
                let parts = self.uploads.remove(&token).unwrap();
                self.calls.push(format!("complete {path}"));
                let last = parts.len();
                for (number, part) in &parts {
                    if *number != last && part.len() < PART_MIN {
                        self.violations
                            .push(format!("part {number} of {last} is too small"));
                    }
                    let listed =
                        format!("<PartNumber>{number}</PartNumber><ETag>\"{number}\"</ETag>");
                    if !String::from_utf8_lossy(&body).contains(&listed) {
                        self.violations.push(format!("part {number} is not listed"));
                    }
                }
                self.objects
                    .insert(path.to_owned(), parts.into_values().flatten().collect());
                answer("200 OK", "", "<CompleteMultipartUploadResult/>")
            }
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}
