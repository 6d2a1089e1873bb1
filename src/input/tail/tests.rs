use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::config::testing::configured;
use crate::input::testing::Keeper;
use crate::input::{Phase, Requests};
use crate::msgpack::read;

/// A folder, and tails that read it one after the other.
struct Rig {
    folder: TempDir,
    keeper: Keeper,
}

/// A tail at work.
struct Running {
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
    requests: Arc<Requests>,
    budget: Arc<crate::budget::Budget>,
}

impl Rig {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            keeper: Keeper::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut options = File::options();
        let file = options.append(true).create(true).open(self.path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn start(&self, properties: &[(&str, &str)]) -> Running {
        let path = self.path("*.log").display().to_string();
        let own = [("path", path.as_str())];
        let (options, problems) = configured(&[&own, properties].concat(), |settings| {
            settings::read(settings, &Parsers::default())
        });
        assert_eq!(problems, [""; 0]);
        let mut tail = Box::new(Tail {
            options,
            positions: None,
        });
        tail.bind().unwrap();
        let (context, phase) = self.keeper.context(1 << 20);
        let (requests, budget) = (Arc::clone(&context.requests), Arc::clone(&context.budget));
        let task = tokio::spawn(tail.run(context));
        Running {
            phase,
            task,
            requests,
            budget,
        }
    }

    /// Waits until a file is held open.
    async fn until_followed(&self, name: &str) {
        let path = self.path(name);
        let is_open = || {
            let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
            let mut names = links.filter_map(|link| fs::read_link(link.path()).ok());
            names.any(|name| name == path)
        };
        while !is_open() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until so many lines have come.
    async fn lines(&self, count: usize) -> Vec<String> {
        let kept = self.keeper.wait_for(count).await;
        let line = |record: &[u8]| {
            let (_, value) = read::Pairs::of(record).last().unwrap();
            String::from_utf8_lossy(read::text(value).unwrap()).into_owned()
        };
        kept.iter().map(|(_, _, record)| line(record)).collect()
    }
}

impl Running {
    /// Ends as the process does.
    async fn stop(self) {
        self.phase.send_replace(Phase::Close);
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        ended.unwrap().unwrap();
        self.requests.act_at_last();
        assert_eq!(self.budget.used(), 0);
    }
}

const HEAD: (&str, &str) = ("read_from_head", "on");

#[tokio::test]
async fn lines_of_all_files_come_in_their_order() {
    let rig = Rig::new();
    rig.append("a.log", "one\ntwo\nbegin");
    rig.append("b.txt", "other\n");
    let running = rig.start(&[HEAD, ("path_key", "file"), ("offset_key", "at")]);
    let kept = rig.keeper.wait_for(2).await;
    let mut expected = b"\x83\xa4file".to_vec();
    crate::msgpack::write::str(
        &mut expected,
        rig.path("a.log").as_os_str().as_encoded_bytes(),
    );
    expected.extend(b"\xa2at\x04\xa3log\xa3two");
    assert_eq!(kept[1].2, expected);
    rig.append("a.log", " end\n");
    rig.append("c.log", "new\n");
    let mut lines = rig.lines(2).await;
    lines.sort();
    assert_eq!(lines, ["begin end", "new"]);
    running.stop().await;
}

/// Checklist: engine 57
#[tokio::test]
async fn what_was_there_before_the_start_is_not_read_unless_asked_for() {
    let rig = Rig::new();
    rig.append("a.log", "old\n");
    let running = rig.start(&[]);
    rig.until_followed("a.log").await;
    rig.append("z.log", "first\n");
    assert_eq!(rig.lines(1).await, ["first"]);
    rig.append("a.log", "new\n");
    assert_eq!(rig.lines(1).await, ["new"]);
    running.stop().await;
}

/// Checklist: engine 57
#[tokio::test]
async fn files_are_followed_through_renames_truncation_and_removal() {
    for inotify in ["on", "off"] {
        let rig = Rig::new();
        rig.append("a.log", "one\n");
        let running = rig.start(&[
            HEAD,
            ("inotify_watcher", inotify),
            ("refresh_interval", "0.05"),
        ]);
        assert_eq!(rig.lines(1).await, ["one"]);
        fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
        rig.append("a.log.1", "late\n");
        rig.append("a.log", "fresh\n");
        let mut lines = rig.lines(2).await;
        lines.sort();
        assert_eq!(lines, ["fresh", "late"], "inotify {inotify}");
        File::options()
            .write(true)
            .open(rig.path("a.log"))
            .unwrap()
            .set_len(0)
            .unwrap();
        rig.append("a.log", "anew, and longer than before\n");
        assert_eq!(rig.lines(1).await, ["anew, and longer than before"]);
        rig.append("a.log", "last\n");
        fs::remove_file(rig.path("a.log")).unwrap();
        assert_eq!(rig.lines(1).await, ["last"], "inotify {inotify}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_renamed_file_that_still_fits_the_pattern_is_not_read_twice() {
    let rig = Rig::new();
    rig.append("a.log", "one\n");
    let running = rig.start(&[
        HEAD,
        ("rotate_wait", "0.01"),
        ("refresh_interval", "0.01"),
        ("watcher_interval", "0.01"),
    ]);
    assert_eq!(rig.lines(1).await, ["one"]);
    fs::rename(rig.path("a.log"), rig.path("a.1.log")).unwrap();
    for number in 0..20 {
        rig.append("a.1.log", &format!("{number}\n"));
        assert_eq!(rig.lines(1).await, [number.to_string()]);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_behind_what_is_settled() {
    let rig = Rig::new();
    let db = rig.path("db").display().to_string();
    let properties = [HEAD, ("db", db.as_str())];
    rig.append("a.log", "one\ntwo\n");
    let running = rig.start(&properties);
    assert_eq!(rig.lines(2).await, ["one", "two"]);
    rig.keeper.settle();
    rig.append("a.log", "three\n");
    assert_eq!(rig.lines(1).await, ["three"]);
    running.stop().await;
    rig.keeper.settle();

    rig.append("a.log", "four\n");
    let running = rig.start(&properties);
    assert_eq!(
        rig.lines(2).await,
        ["three", "four"],
        "three was left behind"
    );
    rig.keeper.settle();
    running.stop().await;

    fs::rename(rig.path("a.log"), rig.path("a.old")).unwrap();
    rig.append("a.old", "before the rename\n");
    rig.append("a.log", "five\n");
    let running = rig.start(&properties);
    let mut lines = rig.lines(2).await;
    lines.sort();
    assert_eq!(lines, ["before the rename", "five"]);
    rig.keeper.settle();
    running.stop().await;

    fs::write(
        rig.path("a.log"),
        "a new file that has the old one's inode\n",
    )
    .unwrap();
    let running = rig.start(&properties);
    assert_eq!(
        rig.lines(1).await,
        ["a new file that has the old one's inode"]
    );
    running.stop().await;
}

#[tokio::test]
async fn files_that_go_while_memory_is_short_are_read_later() {
    let rig = Rig::new();
    rig.append("a.log", "");
    let running = rig.start(&[("refresh_interval", "0.01")]);
    rig.until_followed("a.log").await;
    rig.append("b.log", "ready\n");
    assert_eq!(rig.lines(1).await, ["ready"]);
    let held = running.budget.charge(1 << 20);
    for name in ["a.log", "c.log"] {
        rig.append(name, &format!("of {name}\n"));
    }
    rig.until_followed("c.log").await;
    fs::remove_file(rig.path("a.log")).unwrap();
    fs::remove_file(rig.path("c.log")).unwrap();
    assert_eq!(rig.keeper.take().len(), 0);
    drop(held);
    let mut lines = rig.lines(2).await;
    lines.sort();
    assert_eq!(lines, ["of a.log", "of c.log"]);
    running.stop().await;
}

#[tokio::test]
async fn an_old_file_is_read_from_where_it_was_once_it_is_written_to() {
    let rig = Rig::new();
    rig.append("a.log", "old\n");
    let long_ago = SystemTime::now() - Duration::from_hours(2);
    let file = File::options()
        .append(true)
        .open(rig.path("a.log"))
        .unwrap();
    file.set_modified(long_ago).unwrap();
    rig.append("b.log", "young\n");
    let running = rig.start(&[HEAD, ("ignore_older", "1h"), ("refresh_interval", "0.01")]);
    assert_eq!(rig.lines(1).await, ["young"]);
    (&file).write_all(b"new\n").unwrap();
    assert_eq!(rig.lines(1).await, ["new"]);
    running.stop().await;
}

#[tokio::test]
async fn the_end_of_all_files_may_end_the_process() {
    let rig = Rig::new();
    rig.append("a.log", "a\n");
    rig.append("b.log", &"b\n".repeat(100_000));
    let running = rig.start(&[HEAD, ("exit_on_eof", "on")]);
    assert_eq!(running.requests.ended().await, 0);
    assert_eq!(rig.keeper.take().len(), 100_001);
    running.stop().await;
}

#[tokio::test]
async fn parts_of_dockers_lines_are_joined_and_settled_together() {
    let rig = Rig::new();
    let db = rig.path("db").display().to_string();
    let properties = [
        HEAD,
        ("db", db.as_str()),
        ("docker_mode", "on"),
        ("docker_mode_flush", "60"),
    ];
    rig.append("a.log", "{\"log\":\"one\\n\"}\n{\"log\":\"two, \"}\n");
    let running = rig.start(&properties);
    assert_eq!(rig.lines(1).await, [r#"{"log":"one\n"}"#]);
    rig.keeper.settle();
    drop(running.phase);
    running.task.await.unwrap();
    assert_eq!(
        rig.lines(1).await,
        [r#"{"log":"two, "}"#],
        "what is there at the end"
    );
    running.requests.act_at_last();
    rig.keeper.settle();

    rig.append("a.log", "{\"log\":\"three\\n\"}\n");
    let running = rig.start(&properties);
    assert_eq!(rig.lines(1).await, [r#"{"log":"two, three\n"}"#]);
    running.stop().await;
}
