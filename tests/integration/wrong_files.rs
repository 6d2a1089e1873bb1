//! What is said about wrong files, as a user reads it: the report of each file of `tests/wrong_files` is a snapshot.
//!
//! `INSTA_UPDATE=always cargo test wrong_files` writes the reports anew, to be read before they are committed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wrong_files");

/// What `sluice --dry-run` says about a file, and how it ends.
fn report(file: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["--dry-run", "-c", file])
        .current_dir(FOLDER)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty());
    format!("status {}\n{said}", output.status.code().unwrap())
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(FOLDER).unwrap();
    let files = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    let mut names: Vec<String> = files
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_wrong_file_gets_the_report_that_was_read_and_found_good() {
    let names = names();
    assert!(names.len() >= 60);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path(Path::new(FOLDER).join("reports"));
    settings.bind(|| {
        for name in names {
            let report = report(&name);
            assert!(!report.contains("hunter2"), "{report}");
            assert!(report.starts_with("status 1\n"), "{name}: {report}");
            insta::assert_snapshot!(name.replace('.', "_"), report);
        }
    });
}

#[test]
fn a_huge_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let huge = folder.path().join("huge.conf");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    let started = Instant::now();
    let report = report(huge.to_str().unwrap());
    assert!(report.contains("larger than 32 MiB"), "{report}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_folder_as_file_is_refused() {
    assert!(report(".").contains("is a folder"));
}
