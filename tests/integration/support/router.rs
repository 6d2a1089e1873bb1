//! The program under test.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::process::Signal;

use super::sink::{ACCESS_KEY, SECRET_KEY};
use super::{Client, Process, Sink, eventually};

/// Keys and values of a section.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// A router to be started.
pub(crate) struct Router {
    file: &'static str,
    service: String,
    sections: String,
    environment: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Router {
    /// A router that flushes often and has no section yet.
    pub(crate) fn new() -> Self {
        let router = Self {
            file: "sluice.conf",
            service: "[SERVICE]\n".to_owned(),
            sections: String::new(),
            environment: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        router
            .environment("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .environment("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .service("Flush", "0.05")
            .service("scheduler.base", "1")
            .service("scheduler.cap", "1")
    }

    /// A router with this configuration in YAML, which takes no sections.
    pub(crate) fn yaml(text: &str) -> Self {
        Self {
            file: "sluice.yaml",
            service: text.to_owned(),
            ..Self::new()
        }
    }

    /// Adds a line to `[SERVICE]`.
    pub(crate) fn service(mut self, key: &str, value: &str) -> Self {
        writeln!(self.service, "    {key} {value}").unwrap();
        self
    }

    /// Adds a variable to an environment that is empty but for the credentials.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes the credentials out of the environment.
    pub(crate) fn without_credentials(mut self) -> Self {
        self.environment
            .retain(|(name, _)| !name.starts_with("AWS_"));
        self
    }

    /// Writes a file beside the configuration.
    pub(crate) fn with_file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    /// Adds a section.
    pub(crate) fn section(mut self, kind: &str, name: &str, settings: Settings<'_>) -> Self {
        writeln!(self.sections, "[{kind}]\n    Name {name}").unwrap();
        for (key, value) in settings {
            writeln!(self.sections, "    {key} {value}").unwrap();
        }
        self
    }

    /// Adds a forward input on a port that the system chooses.
    pub(crate) fn forward(self, settings: Settings<'_>) -> Self {
        let port = [("Listen", "127.0.0.1"), ("Port", "0")];
        self.section("INPUT", "forward", &[&port, settings].concat())
    }

    /// Adds an output to CloudWatch Logs: group `group`, a stream for each tag, the texts alone.
    pub(crate) fn logs(self, sink: &Sink, settings: Settings<'_>) -> Self {
        let defaults = [
            ("log_group_name", "group"),
            ("log_stream_prefix", "-"),
            ("auto_create_group", "On"),
        ];
        self.service_output("cloudwatch_logs", sink, &defaults, settings)
    }

    /// Adds an output to the Firehose stream `delivery`, the texts alone.
    pub(crate) fn firehose(self, sink: &Sink, settings: Settings<'_>) -> Self {
        let defaults = [("delivery_stream", "delivery")];
        self.service_output("kinesis_firehose", sink, &defaults, settings)
    }

    fn service_output(
        self,
        name: &str,
        sink: &Sink,
        defaults: Settings<'_>,
        settings: Settings<'_>,
    ) -> Self {
        let endpoint = sink.endpoint.to_string();
        let common = [
            ("Match", "*"),
            ("region", "eu-west-1"),
            ("endpoint", &*endpoint),
            ("tls", "Off"),
            ("log_key", "log"),
        ];
        let given = |key: &str| settings.iter().any(|(given, _)| *given == key);
        let mut all = [&common, defaults].concat();
        all.retain(|(key, _)| !given(key));
        all.extend_from_slice(settings);
        self.section("OUTPUT", name, &all)
    }

    /// Adds an output to a file in the router's folder.
    pub(crate) fn file(self, file: &str, settings: Settings<'_>) -> Self {
        self.section("OUTPUT", "file", &[&[("File", file)], settings].concat())
    }

    fn config(&self) -> String {
        self.service.clone() + &self.sections
    }

    /// Starts it and waits for nothing.
    pub(crate) fn launch(self) -> Running {
        let config = self.folder.path().join(self.file);
        std::fs::write(&config, self.config()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command
            .args(["-c", self.file])
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment);
        Running {
            process: Process::start(&mut command),
            folder: self.folder,
        }
    }

    /// Starts it and waits until its first input listens.
    pub(crate) fn start(self) -> Running {
        let running = self.launch();
        running.address("forward.0");
        running
    }
}

/// A router that runs.
pub(crate) struct Running {
    /// The process.
    pub(crate) process: Process,
    folder: tempfile::TempDir,
}

impl Running {
    /// Where the input of this name listens, when it does.
    pub(crate) fn address(&self, input: &str) -> SocketAddr {
        let component = format!(":{input}] listening on ");
        self.process.line(&component, |line| {
            let (_, address) = line.split_once(&component)?;
            address.parse().ok()
        })
    }

    /// Where the first forward input listens.
    pub(crate) fn forward(&self) -> SocketAddr {
        self.address("forward.0")
    }

    /// Where the HTTP server listens.
    pub(crate) fn http(&self) -> SocketAddr {
        self.process.line("that the HTTP server listens", |line| {
            let (_, port) = line.split_once("listen iface=127.0.0.1 tcp_port=")?;
            Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
        })
    }

    /// Writes the configuration of another router into its folder.
    pub(crate) fn configure(&self, other: &Router) {
        std::fs::write(self.path(other.file), other.config()).unwrap();
    }

    /// Connects to the first forward input.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.forward())
    }

    /// A counter as `sluice --health` shows it: its name, and labels such as `name="forward.0"`.
    pub(crate) fn counter(&self, name: &str, labels: &str) -> u64 {
        let text = sluice::telemetry::probe(self.process.pid()).unwrap();
        let value = text
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{name}{{{labels}}} ")))
            .map(|value| value.parse().unwrap())
            .next();
        value.unwrap_or(0)
    }

    /// Waits until no output is owed anything. Nothing is dropped in tests that wait for this.
    pub(crate) fn settles(&self) {
        let sum = |text: &str, name: &str| -> u64 {
            let counters = text.lines().filter(|line| line.starts_with(name));
            counters
                .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
                .sum()
        };
        eventually(
            "everything is delivered",
            || self.process.text(),
            || {
                let text = sluice::telemetry::probe(self.process.pid()).unwrap();
                let routed = sum(&text, "sluice_output_routed_records_total");
                (routed == sum(&text, "sluice_output_delivered_records_total")).then_some(())
            },
        );
    }

    /// A file in its folder.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(Path::new(file))
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits for its end; the exit status and the closing line of its books.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let status = self.process.end();
        let text = self.process.text();
        let closing = text
            .lines()
            .find_map(|line| line.split_once("service has stopped "));
        let (_, closing) = closing.unwrap_or_else(|| panic!("no closing line in\n{text}"));
        (status, closing.to_owned())
    }
}
