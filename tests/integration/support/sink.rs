//! The fake AWS: `sluice-bench sink`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use serde_json::{Value, json};

use super::{Process, eventually};

/// The only key the sink takes.
pub(crate) const ACCESS_KEY: &str = "AKIDINTEGRATION";
/// Its secret.
pub(crate) const SECRET_KEY: &str = "not-a-real-secret-key";

/// A running sink.
pub(crate) struct Sink {
    process: Process,
    /// Where the services answer.
    pub(crate) endpoint: SocketAddr,
    control: SocketAddr,
    /// Holds the certificate.
    folder: tempfile::TempDir,
}

impl Sink {
    /// Starts a sink with one Firehose stream, `delivery`, and without faults.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a sink with faults and other options of its command line.
    pub(crate) fn with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-bench"));
        command
            .args(["sink", "--keep", "64M", "--delivery-stream", "delivery"])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg("--ca-file")
            .arg(folder.path().join("ca.pem"))
            .args(options)
            .env_clear();
        let process = Process::start(&mut command);
        let ready: Value = process.line("that the sink is ready", |line| {
            serde_json::from_str(line).ok()
        });
        let address = |name: &str| ready[name].as_str().unwrap().parse().unwrap();
        Self {
            endpoint: address("endpoint"),
            control: address("control"),
            process,
            folder,
        }
    }

    /// The certificate to trust.
    pub(crate) fn ca_file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// The process, to stop and continue it.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// All counters.
    pub(crate) fn stats(&self) -> Value {
        self.ask("GET", "/stats", "")
    }

    /// The log groups.
    pub(crate) fn groups(&self) -> Value {
        self.ask("GET", "/groups", "")
    }

    /// The events a log stream has kept.
    pub(crate) fn events(&self, group: &str, stream: &str) -> Vec<Value> {
        let answer = self.ask("GET", &format!("/events?group={group}&stream={stream}"), "");
        assert_eq!(answer["complete"], true);
        answer["events"].as_array().unwrap().clone()
    }

    /// The texts of the records a delivery stream has kept.
    pub(crate) fn records(&self, stream: &str) -> Vec<String> {
        let answer = self.ask("GET", &format!("/records?stream={stream}"), "");
        assert_eq!(answer["complete"], true);
        let records = answer["records"].as_array().unwrap();
        let data = records.iter().map(|record| {
            let data = base64_simd::STANDARD.decode_to_vec(record["Data"].as_str().unwrap());
            String::from_utf8(data.unwrap()).unwrap()
        });
        data.collect()
    }

    /// Changes what goes wrong from now on.
    pub(crate) fn faults(&self, faults: &Value) {
        let answer = self.ask("POST", "/faults", &faults.to_string());
        assert_eq!(answer, json!({}));
    }

    /// Deletes all `groups`, or all `streams`.
    pub(crate) fn delete(&self, what: &str) {
        self.ask("POST", "/delete", &json!(what).to_string());
    }

    /// Says how many records each connection has sent, for `missing`.
    pub(crate) fn expect(&self, records: &Value) {
        self.ask(
            "POST",
            "/expect",
            &json!({ "records": records }).to_string(),
        );
    }

    /// Waits until so many different records have arrived, and gives the counters then.
    pub(crate) fn has(&self, unique: u64) -> Value {
        self.counts(&format!("{unique} records arrive"), |stats| {
            stats["unique"].as_u64().unwrap() >= unique
        })
    }

    /// Waits for counters that `wanted` takes.
    pub(crate) fn counts(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(
            what,
            || self.stats().to_string(),
            || Some(self.stats()).filter(&wanted),
        )
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.control).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        serde_json::from_str(body).unwrap()
    }
}
