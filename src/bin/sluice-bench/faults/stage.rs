//! Sink, router and load as processes, and what can be asked of them.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::config::{self, Output, Place, TARGET};
use crate::error::{Error, Result};
use crate::process::{Process, free_port};
use crate::procfs;
use crate::run::{ACCESS_KEY, SECRET_KEY, control, in_a_plain_environment, number, read_address};

/// How long a router may take to listen, and to end.
const START_PATIENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_mins(1);
/// Without a new record for this long the rest is taken for lost: longer than the longest wait between two attempts.
const STALL: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// What a stage is made of.
pub(super) struct Cast<'a> {
    /// This program.
    pub(super) own: &'a Path,
    pub(super) router: &'a Path,
    pub(super) outputs: Vec<(Output, String)>,
    /// Options of the sink beside the names of what exists.
    pub(super) sink: Vec<String>,
    /// Whether the router gets the sink's fixed credentials.
    pub(super) has_keys: bool,
    /// The router's environment, given the address at which credentials are handed out.
    pub(super) environment: fn(&str) -> Vec<(&'static str, String)>,
    pub(super) stop: &'a AtomicBool,
}

/// The processes of one measurement.
pub(super) struct Stage<'a> {
    cast: &'a Cast<'a>,
    folder: &'a Path,
    sink: Process,
    control: SocketAddr,
    router: Process,
    input: SocketAddr,
    load: Option<Process>,
}

/// What is known when everything has ended.
pub(super) struct End {
    pub(super) sent: u64,
    pub(super) stats: Value,
    pub(super) peak_rss_bytes: Option<u64>,
    /// `None` when it had to be killed, or was ended by a signal.
    pub(super) exit_code: Option<i32>,
}

impl<'a> Stage<'a> {
    /// Starts sink and router and waits until the router listens.
    pub(super) fn set(cast: &'a Cast<'a>, folder: &'a Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let ca_file = folder.join("ca.pem");
        let mut command = Command::new(cast.own);
        command.arg("sink").arg("--ca-file").arg(&ca_file);
        for kind in ["--delivery-stream", "--kinesis-stream", "--bucket"] {
            command.args([kind, TARGET]);
        }
        if cast.has_keys {
            command.args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]);
        }
        in_a_plain_environment(command.args(&cast.sink)).stdout(Stdio::piped());
        if !cast.has_keys {
            without_keys(&mut command);
        }
        let mut sink = Process::start("sink", &mut command, &folder.join("sink.log"))?;
        let addresses = sink.first_line()?;
        let input = free_port()?;
        let place = Place {
            folder,
            ca_file: &ca_file,
            sink: read_address(&addresses, "endpoint")?,
            input,
        };
        let file = folder.join("router.conf");
        fs::write(&file, config::text(&cast.outputs, &place))
            .map_err(Error::io(format!("write {}", file.display())))?;
        let mut command = Command::new(cast.router);
        in_a_plain_environment(command.arg("-c").arg(file)).stdout(Stdio::null());
        if !cast.has_keys {
            without_keys(&mut command);
        }
        let issue = addresses.get("issue").and_then(Value::as_str).unwrap_or("");
        command.envs((cast.environment)(issue));
        let router = Process::start("the router", &mut command, &folder.join("router.log"))?;
        let mut stage = Self {
            cast,
            folder,
            sink,
            control: read_address(&addresses, "control")?,
            router,
            input,
            load: None,
        };
        stage.wait_until_it_listens()?;
        Ok(stage)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let begin = Instant::now();
        while TcpStream::connect(self.input).is_err() {
            self.check_stop()?;
            if let Some(status) = self.router.ended() {
                return Err(Error::Answer {
                    who: "the router".to_owned(),
                    what: format!("it ended at once: {status}; see {}", self.folder.display()),
                });
            }
            if begin.elapsed() > START_PATIENCE {
                return Err(Error::Timeout {
                    what: "the router".to_owned(),
                    seconds: START_PATIENCE.as_secs(),
                });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Begins to send.
    pub(super) fn load(&mut self, options: &[String]) -> Result<()> {
        let mut command = Command::new(self.cast.own);
        command
            .args(["load", "--tcp", &self.input.to_string(), "--reconnect"])
            .args(options)
            .stdout(Stdio::piped());
        let log = self.folder.join("load.log");
        self.load = Some(Process::start("load", &mut command, &log)?);
        Ok(())
    }

    /// Waits until something has arrived.
    pub(super) fn wait_for_the_first(&mut self) -> Result<()> {
        let begin = Instant::now();
        while number(&self.stats()?, "unique") == 0 {
            self.check_stop()?;
            if begin.elapsed() > STALL {
                return Err(Error::Timeout {
                    what: format!("the first record; see {}", self.folder.display()),
                    seconds: STALL.as_secs(),
                });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Asks the sink.
    pub(super) fn ask(&self, request: &str, body: &Value) -> Result<Value> {
        control::call(self.control, request, body)
    }

    pub(super) fn stats(&self) -> Result<Value> {
        self.ask("GET /stats", &Value::Null)
    }

    /// Waits, and does something every half second meanwhile.
    pub(super) fn wait(&self, time: Duration, mut each: impl FnMut() -> Result<()>) -> Result<()> {
        let begin = Instant::now();
        let mut done = Duration::ZERO;
        while begin.elapsed() < time {
            self.check_stop()?;
            if begin.elapsed() >= done {
                each()?;
                done += Duration::from_millis(500);
            }
            thread::sleep(LOOK.min(time));
        }
        Ok(())
    }

    /// Waits until everything that was sent has arrived, or nothing moves any more; then ends everything.
    pub(super) fn end(mut self) -> Result<End> {
        let (mut arrived, mut moved) = (0, Instant::now());
        let mut report = None;
        loop {
            self.check_stop()?;
            let now = number(&self.stats()?, "unique");
            if now > arrived {
                (arrived, moved) = (now, Instant::now());
            }
            let is_over = moved.elapsed() > STALL || self.router.ended().is_some();
            if let Some(load) = self.load.as_mut().filter(|_| report.is_none()) {
                if is_over {
                    load.terminate();
                }
                if load.ended().is_some() {
                    report = Some(load.output()?);
                    moved = Instant::now();
                }
            }
            if let Some(report) = &report
                && (is_over || arrived >= number(report, "records"))
            {
                break;
            }
            thread::sleep(LOOK);
        }
        let report = report.unwrap_or_default();
        let peak_rss_bytes = procfs::peak_resident(self.router.id());
        let stopped = self.router.stop(STOP_PATIENCE);
        let sent = report.get("connections").and_then(Value::as_array);
        let sent: Vec<u64> = sent
            .into_iter()
            .flatten()
            .map(|connection| number(connection, "records"))
            .collect();
        let expectation = json!({ "records": sent });
        control::call(self.control, "POST /expect", &expectation)?;
        let stats = control::call(self.control, "GET /stats", &Value::Null)?;
        self.sink.stop(STOP_PATIENCE);
        Ok(End {
            sent: sent.iter().sum(),
            stats,
            peak_rss_bytes,
            exit_code: stopped.and_then(|(status, _)| status.code()),
        })
    }

    fn check_stop(&self) -> Result<()> {
        if self.cast.stop.load(Ordering::Relaxed) {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    }
}

fn without_keys(command: &mut Command) {
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env_remove(name);
    }
}
