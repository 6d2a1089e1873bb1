//! One measurement: a fresh sink, one router, one load.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cgroup::{Cgroup, Limits};
use super::chains::PARSERS;
use super::control;
use super::measurement::{Facts, Measurement, number};
use super::scenario::{Input, Scenario};
use crate::error::{Error, Result};
use crate::process::{Process, free_port};
use crate::procfs;
use crate::stats::round;

/// How long a router may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to end after SIGTERM before it is killed.
const STOP_PATIENCE: Duration = Duration::from_mins(1);
/// Without a new record for this long the rest is taken for lost.
const STALL: Duration = Duration::from_secs(30);
/// From listening to the look at the memory of an idle router.
const IDLE: Duration = Duration::from_secs(1);
/// How often the sink is asked how far it is.
const LOOK: Duration = Duration::from_millis(20);
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
pub(crate) const ACCESS_KEY: &str = "AKIDBENCH";
pub(crate) const SECRET_KEY: &str = "bench-secret";

/// A router under test.
#[derive(Debug, Clone)]
pub(crate) struct Router {
    pub(crate) name: String,
    /// The program, which takes `-c FILE`; `None` is the floor.
    pub(crate) program: Option<PathBuf>,
}

/// What all measurements of a run have in common.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    /// This program.
    pub(super) own: PathBuf,
    /// Where sockets, configurations and logs go.
    pub(super) folder: PathBuf,
    pub(super) records: u64,
    pub(super) limits: Limits,
    pub(super) stop: &'a AtomicBool,
}

/// The processes of a measurement that runs.
struct Setup<'a> {
    bench: &'a Bench<'a>,
    router: Process,
    sink: Process,
    control: SocketAddr,
    input: Input,
    is_floor: bool,
}

impl Bench<'_> {
    /// Measures one router in one scenario.
    pub(super) fn measure(&self, scenario: &Scenario, router: &Router) -> Result<Measurement> {
        let folder = self
            .folder
            .join(format!("{}-{}", scenario.name, router.name));
        fs::create_dir_all(&folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let limits = if router.program.is_some() {
            self.limits
        } else {
            Limits::default()
        };
        let cgroup = Cgroup::new(limits, &format!("sluice-bench-{}", std::process::id()))?;
        let begin = Instant::now();
        let mut setup = self.set_up(scenario, router, &folder, &cgroup)?;
        let start = setup.wait_until_it_listens(begin)?;
        thread::sleep(IDLE);
        let pid = setup.router.id();
        let idle_rss_bytes = procfs::resident(pid);
        let cpu_before = procfs::cpu_seconds(pid);
        let load = setup.load(scenario, &folder)?;
        let cpu_seconds = procfs::cpu_seconds(pid)
            .zip(cpu_before)
            .map(|(after, before)| after - before);
        let peak_rss_bytes = procfs::peak_resident(pid);
        let (exit_code, stop_seconds, sink) = setup.finish(&load)?;
        let facts = Facts {
            start,
            idle_rss_bytes,
            peak_rss_bytes,
            cpu_seconds,
            exit_code,
            stop_seconds,
        };
        Ok(facts.measurement(load, sink, cgroup.oom_kills(), router.program.is_none()))
    }

    fn set_up(
        &self,
        scenario: &Scenario,
        router: &Router,
        folder: &Path,
        cgroup: &Cgroup,
    ) -> Result<Setup<'_>> {
        let ca_file = folder.join("ca.pem");
        let mut sink = self.start_sink(scenario, folder, &ca_file)?;
        let addresses = sink.first_line()?;
        let endpoint = read_address(&addresses, "endpoint")?;
        let input = scenario.input(folder, free_port()?);
        if let Input::Unix(path) = &input {
            // A socket that an earlier turn left behind; mostly there is none.
            let _ = fs::remove_file(path);
        }
        let mut command = match &router.program {
            Some(program) => {
                let (config, parsers) = (folder.join("router.conf"), folder.join("parsers.conf"));
                let text = scenario.config(&input, &parsers, endpoint, &ca_file);
                write(&config, &text)?;
                write(&parsers, PARSERS)?;
                let mut command = cgroup.command(program);
                command.arg("-c").arg(config);
                command
            }
            None => floor_command(&self.own, &input, endpoint, &ca_file),
        };
        let command = in_a_plain_environment(&mut command);
        Ok(Setup {
            bench: self,
            router: Process::start(&router.name, command, &folder.join("router.log"))?,
            sink,
            control: read_address(&addresses, "control")?,
            input,
            is_floor: router.program.is_none(),
        })
    }

    fn start_sink(&self, scenario: &Scenario, folder: &Path, ca_file: &Path) -> Result<Process> {
        let mut command = Command::new(&self.own);
        command.arg("sink").arg("--ca-file").arg(ca_file);
        command.args(["--delivery-stream", "bench"]);
        command.args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]);
        command
            .args(scenario.faults)
            .env_remove("AWS_SESSION_TOKEN")
            .stdout(Stdio::piped());
        Process::start("sink", &mut command, &folder.join("sink.log"))
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(Error::io(format!("write {}", file.display())))
}

fn floor_command(own: &Path, input: &Input, sink: SocketAddr, ca_file: &Path) -> Command {
    let mut command = Command::new(own);
    command
        .arg("floor")
        .args(input.option())
        .args(["--sink", &sink.to_string(), "--ca-file"])
        .arg(ca_file);
    command
}

/// Credentials for the sink, and nothing by which a router could find others.
pub(crate) fn in_a_plain_environment(command: &mut Command) -> &mut Command {
    let others = [
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "ECS_CONTAINER_METADATA_URI",
        "ECS_CONTAINER_METADATA_URI_V4",
    ];
    for name in others {
        command.env_remove(name);
    }
    command
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdout(Stdio::null())
}

impl Setup<'_> {
    fn wait_until_it_listens(&mut self, begin: Instant) -> Result<Duration> {
        while begin.elapsed() < START_PATIENCE {
            self.check_stop()?;
            let accepts = match &self.input {
                Input::Unix(path) => UnixStream::connect(path).is_ok(),
                Input::Tcp(address) => TcpStream::connect(address).is_ok(),
            };
            if accepts {
                return Ok(begin.elapsed());
            }
            if let Some(status) = self.router.ended() {
                return Err(Error::Answer {
                    who: "the router".to_owned(),
                    what: format!("it ended at once: {status}"),
                });
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err(Error::Timeout {
            what: "the router".to_owned(),
            seconds: START_PATIENCE.as_secs(),
        })
    }

    /// Runs the load until everything it sent has arrived, or nothing moves any more; returns its report.
    fn load(&mut self, scenario: &Scenario, folder: &Path) -> Result<Value> {
        let mut command = Command::new(&self.bench.own);
        command
            .arg("load")
            .args(scenario.load_options(&self.input, self.bench.records))
            .stdout(Stdio::piped());
        let mut load = Process::start("load", &mut command, &folder.join("load.log"))?;
        let mut watch = Watch::new();
        let mut report = None;
        loop {
            self.check_stop()?;
            let arrived = self.arrived()?;
            watch.see(arrived);
            let is_over = watch.stalled() || self.router.ended().is_some();
            if report.is_none() && load.ended().is_some() {
                report = Some(load.output()?);
                if !is_over {
                    // What was sent last gets its full time to arrive.
                    watch.touch();
                }
            }
            if let Some(report) =
                report.take_if(|report| is_over || arrived >= self.expected(report))
            {
                return Ok(report);
            }
            // A router that takes nothing holds the load for ever; stopped, the load still reports.
            if is_over {
                load.terminate();
            }
            thread::sleep(LOOK);
        }
    }

    fn arrived(&self) -> Result<u64> {
        let stats = control::call(self.control, "GET /stats", &Value::Null)?;
        Ok(number(
            &stats,
            if self.is_floor {
                "floor_bytes"
            } else {
                "unique"
            },
        ))
    }

    fn expected(&self, report: &Value) -> u64 {
        number(
            report,
            if self.is_floor {
                "wire_bytes"
            } else {
                "records"
            },
        )
    }

    /// Stops the router, then looks what has arrived in the end.
    fn finish(self, load: &Value) -> Result<(Option<i32>, Option<f64>, Value)> {
        let Self {
            mut router,
            sink,
            control,
            ..
        } = self;
        let ended_before = router.ended();
        let stopped = router.stop(STOP_PATIENCE);
        let sent = load.get("connections").and_then(Value::as_array);
        let sent: Vec<u64> = sent
            .into_iter()
            .flatten()
            .map(|connection| number(connection, "records"))
            .collect();
        control::call(control, "POST /expect", &json!({ "records": sent }))?;
        let stats = control::call(control, "GET /stats", &Value::Null)?;
        sink.stop(STOP_PATIENCE);
        Ok(match (ended_before, stopped) {
            (Some(status), _) => (status.code(), None, stats),
            (None, Some((status, took))) => (status.code(), Some(round(took.as_secs_f64())), stats),
            (None, None) => (None, None, stats),
        })
    }

    fn check_stop(&self) -> Result<()> {
        if self.bench.stop.load(Ordering::Relaxed) {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    }
}

/// Notices when nothing new arrives.
struct Watch {
    seen: u64,
    moved: Instant,
    said: Instant,
}

impl Watch {
    fn new() -> Self {
        Self {
            seen: 0,
            moved: Instant::now(),
            said: Instant::now(),
        }
    }

    fn see(&mut self, arrived: u64) {
        if arrived > self.seen {
            self.seen = arrived;
            self.touch();
        }
        if self.said.elapsed() > PROGRESS_EVERY {
            eprintln!("run:   {arrived} arrived");
            self.said = Instant::now();
        }
    }

    fn touch(&mut self) {
        self.moved = Instant::now();
    }

    fn stalled(&self) -> bool {
        self.moved.elapsed() > STALL
    }
}

pub(crate) fn read_address(addresses: &Value, name: &str) -> Result<SocketAddr> {
    let text = addresses.get(name).and_then(Value::as_str).unwrap_or("");
    text.parse().map_err(|_| Error::Answer {
        who: "the sink".to_owned(),
        what: addresses.to_string(),
    })
}
