use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::support::{Process, eventually};

/// A tail with a database into a file.
const CONFIGURATION: &str = "\
[SERVICE]
    Flush 0.02
    Grace 5

[INPUT]
    Name tail
    Tag t
    Path logs/a.log*
    Read_from_Head on
    Refresh_Interval 1
    Rotate_Wait 1
    DB positions

[OUTPUT]
    Name file
    Match t
    File out
";

fn start(folder: &TempDir) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.current_dir(folder).args(["-c", "sluice.conf"]);
    Process::start(&mut command)
}

/// The numbers of the lines that came out whole. A line that a kill has cut has no point at its end.
fn delivered(folder: &TempDir) -> Vec<u64> {
    let text = fs::read_to_string(folder.path().join("out")).unwrap_or_default();
    let numbers = text.split("\"line ").skip(1);
    let whole = numbers.filter_map(|rest| rest.split_once('.')?.0.parse().ok());
    whole.collect()
}

/// Writes numbered lines until it is told to stop, and gives the file another name now and then; how many.
fn write(logs: &Path, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(logs.join("a.log"))
            .unwrap();
        for _ in 0..200 {
            writeln!(file, "line {number}.").unwrap();
            number += 1;
            thread::park_timeout(Duration::from_micros(300));
        }
        fs::rename(logs.join("a.log"), logs.join(format!("a.log.{number}"))).unwrap();
    }
    number
}

#[test]
fn a_router_that_is_killed_again_and_again_loses_no_line_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(folder.path().join("sluice.conf"), CONFIGURATION).unwrap();
    let stop = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&logs, &stop));
        for _ in 0..6 {
            let mut process = start(&folder);
            let before = delivered(&folder).len();
            let has_more = || (delivered(&folder).len() > before + 50).then_some(());
            eventually("lines are delivered", || process.text(), has_more);
            process.signal(Signal::KILL);
            assert!(!process.end().success());
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let mut process = start(&folder);
    let all = || {
        let mut numbers = delivered(&folder);
        numbers.sort_unstable();
        numbers.dedup();
        (numbers.len() as u64 == written).then_some(())
    };
    eventually("every line is delivered", || process.text(), all);
    process.signal(Signal::TERM);
    assert!(process.end().success());

    let before = delivered(&folder).len();
    let mut process = start(&folder);
    process.says("following");
    process.signal(Signal::TERM);
    assert!(process.end().success());
    assert_eq!(
        delivered(&folder).len(),
        before,
        "after a good end nothing comes twice"
    );
}
