//! A child process and what it has written so far.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::{PATIENCE, eventually};

/// A running program. It is killed when the test is over, however that ends.
pub(crate) struct Process {
    child: Child,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

/// The lines of both streams.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Process {
    /// Starts a program and collects what it writes.
    pub(crate) fn start(command: &mut Command) -> Self {
        let piped = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let log = Arc::new(Log::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), &log),
            collect(child.stderr.take().unwrap(), &log),
        ];
        Self {
            child,
            log,
            readers,
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub(crate) fn text(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line that `wanted` takes.
    pub(crate) fn line<T>(&self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(found) = lines[seen..].iter().find_map(|line| wanted(line)) {
                return found;
            }
            seen = lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line {what} in\n{}", lines.join("\n"));
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits for a line that holds `part`.
    pub(crate) fn says(&self, part: &str) -> String {
        self.line(part, |line| line.contains(part).then(|| line.to_owned()))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.raw_pid(), signal).unwrap();
    }

    /// Sets how many descriptors it may have from now on; gives the limit before.
    pub(crate) fn limit_descriptors(&self, current: Option<u64>) -> Option<u64> {
        let pid = Some(self.raw_pid());
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current, maximum };
        prlimit(pid, Resource::Nofile, limit).unwrap().current
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_raw(self.pid().cast_signed()).unwrap()
    }

    /// Stops it where it stands, and waits until every thread has noticed.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let is_stopped = |status: String| status.lines().any(|line| line.starts_with("State:\tT"));
        eventually(
            "every thread stops",
            || self.text(),
            || {
                let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
                let mut states = threads
                    .map(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")));
                states
                    .all(|status| status.is_ok_and(is_stopped))
                    .then_some(())
            },
        );
    }

    /// Lets it go on after [`Process::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end and its last line.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let log = Arc::clone(&self.log);
        let status = eventually(
            "the process ends",
            || log.lines.lock().unwrap().join("\n"),
            || self.child.try_wait().unwrap(),
        );
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// The most memory it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn collect(stream: impl Read + Send + 'static, log: &Arc<Log>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            log.lines.lock().unwrap().push(line);
            log.grown.notify_all();
        }
    })
}
