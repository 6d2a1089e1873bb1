//! What `/proc` says about a process: CPU time and memory.
//!
//! Format: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.

use std::fs;

use serde_json::{Value, json};

use crate::stats::approx;

/// CPU seconds, user and system, of all threads of a process so far; `None` when it is gone.
///
/// The kernel counts in ticks, 10 ms on every common build.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    cpu_seconds_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// CPU seconds of this process.
pub(crate) fn own_cpu_seconds() -> f64 {
    cpu_seconds(std::process::id()).unwrap_or(0.0)
}

/// Resident memory now, in bytes.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    status_bytes(
        &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        "VmRSS:",
    )
}

/// The most resident memory the process ever had, in bytes.
pub(crate) fn peak_resident(pid: u32) -> Option<u64> {
    status_bytes(
        &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        "VmHWM:",
    )
}

/// How many descriptors the process has open.
pub(crate) fn descriptors(pid: u32) -> Option<u64> {
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    Some(listed.count() as u64)
}

/// What the machine is, for reports.
pub(crate) fn machine() -> Value {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "cpus": std::thread::available_parallelism().map(usize::from).ok(),
        "cpu_model": model.map(|(_, name)| name),
        "kernel": kernel.trim(),
    })
}

fn cpu_seconds_of(stat: &str) -> Option<f64> {
    // The second field is the program's name in brackets and may itself hold spaces and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(approx(user + system) / approx(rustix::param::clock_ticks_per_second()))
}

fn status_bytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b) (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 1";
        assert_eq!(cpu_seconds_of(stat), Some(3.0));
        assert_eq!(cpu_seconds_of("nonsense"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(
            status_bytes("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 10 kB\n", "VmHWM:"),
            Some(2048 * 1024)
        );
        assert_eq!(status_bytes("Name:\tx\n", "VmHWM:"), None);
    }

    #[test]
    fn this_process_has_memory_and_a_cpu_clock() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_some());
        // The peak is read last: other tests of this process take memory meanwhile.
        let resident = resident(pid);
        assert!(peak_resident(pid) >= resident);
    }
}
