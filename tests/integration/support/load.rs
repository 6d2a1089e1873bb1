//! Many marked records: `sluice-bench load`.

use std::net::SocketAddr;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::Process;

/// A running load.
pub(crate) struct Load(Process);

impl Load {
    /// Sends to a forward port until everything asked for is accepted.
    pub(crate) fn start(to: SocketAddr, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-bench"));
        command
            .args(["load", "--tcp", &to.to_string()])
            .args(options)
            .env_clear();
        Self(Process::start(&mut command))
    }

    /// Whether it is still sending.
    pub(crate) fn is_sending(&mut self) -> bool {
        self.0.is_running()
    }

    /// Stops sending.
    pub(crate) fn stop(&self) {
        self.0.signal(Signal::TERM);
    }

    /// Waits for the end; how many records `write()` accepted on each connection, none of which has failed.
    pub(crate) fn accepted(self) -> Vec<u64> {
        let connections = self.report();
        for connection in &connections {
            assert_eq!(connection["error"], Value::Null, "{connections:?}");
        }
        numbers(&connections, "records")
    }

    /// Waits for the end; how many records were acknowledged on each connection.
    pub(crate) fn acknowledged(self) -> Vec<u64> {
        numbers(&self.report(), "acks")
    }

    /// What it says about each connection at its end.
    fn report(mut self) -> Vec<Value> {
        self.0.end();
        let text = self.0.text();
        // The report is the last thing it prints.
        let mut reports = text
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str(line).ok());
        let report: Value = reports.next().unwrap_or_else(|| panic!("{text}"));
        report["connections"].as_array().unwrap().clone()
    }
}

fn numbers(connections: &[Value], key: &str) -> Vec<u64> {
    connections
        .iter()
        .map(|connection| connection[key].as_u64().unwrap())
        .collect()
}
