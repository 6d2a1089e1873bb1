//! The processes of a measurement: each is ended when its handle goes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::error::{Error, Result};

/// A child process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`; its standard error goes to the file `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::create(log).map_err(Error::io(format!("create {}", log.display())))?;
        let spawned = command.stdin(Stdio::null()).stderr(log).spawn();
        let child = spawned.map_err(Error::io(format!(
            "start {name} ({})",
            command.get_program().display()
        )))?;
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the first line of standard output, which must be JSON.
    pub(crate) fn first_line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if let Some(out) = &mut self.child.stdout {
            BufReader::new(out)
                .read_line(&mut line)
                .map_err(Error::io(format!("read from {}", self.name)))?;
        }
        self.json(&line)
    }

    /// Reads all of standard output, which must be JSON; blocks until the process ends.
    pub(crate) fn output(&mut self) -> Result<Value> {
        let mut text = String::new();
        if let Some(out) = &mut self.child.stdout {
            out.read_to_string(&mut text)
                .map_err(Error::io(format!("read from {}", self.name)))?;
        }
        self.json(&text)
    }

    fn json(&self, text: &str) -> Result<Value> {
        let what = || text.chars().take(200).collect();
        serde_json::from_str(text).map_err(|_| Error::Answer {
            who: self.name.clone(),
            what: what(),
        })
    }

    /// How it ended, or `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end, by SIGTERM.
    pub(crate) fn terminate(&mut self) {
        if self.ended().is_some() {
            // Its number may belong to someone else by now.
            return;
        }
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            // It may end between the two calls; until it is waited for, its number stays its own.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Asks it to end and waits; `None` when it had to be killed after `patience`.
    pub(crate) fn stop(mut self, patience: Duration) -> Option<(ExitStatus, Duration)> {
        let begin = Instant::now();
        self.terminate();
        while begin.elapsed() < patience {
            if let Some(status) = self.ended() {
                return Some((status, begin.elapsed()));
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that is gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(Error::io("find a free port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        Process::start("sh", &mut command, Path::new("/dev/null")).unwrap()
    }

    #[test]
    fn a_process_is_stopped_by_sigterm_and_tells_its_code() {
        let mut process = shell("trap 'exit 3' TERM; echo '{}'; while true; do sleep 0.01; done");
        process.first_line().unwrap();
        let (status, _) = process.stop(Duration::from_secs(10)).unwrap();
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn one_that_does_not_listen_is_killed() {
        let mut process = shell("trap '' TERM; echo '{}'; while true; do sleep 0.01; done");
        process.first_line().unwrap();
        assert!(process.stop(Duration::from_millis(50)).is_none());
    }

    #[test]
    fn what_is_not_json_is_shown() {
        let error = shell("echo oops").output().unwrap_err();
        assert_eq!(
            error.to_string(),
            "sh answered something unexpected: oops\n"
        );
    }
}
