//! `exec`: the lines that a command writes.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Command` | required | what `/bin/sh -c` runs; quotes and blanks are the shell's |
//! | `Interval_Sec`, `Interval_NSec` | 1, 0 | the time between two runs; a run that takes longer delays the next |
//! | `Oneshot` | off | one run, at the start |
//! | `Exit_After_Oneshot` | off | the end of that run is the end of the process |
//! | `Propagate_Exit_Code` | off | and its exit code that of the process; a signal counts 128 more than its number |
//! | `Buf_Size` | 4096 | the longest line |
//! | `Parser` | | makes records of the lines; one that it does not take stays a line |
//!
//! A line is a record `{"exec": "line"}`; a longer one becomes several. The command reads nothing, and its standard error is ours.
//! When the process closes, a command that still runs is sent SIGTERM, with all it has started.
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/exec>

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::MissedTickBehavior;

use super::lines::Lines;
use super::room::Room;
use super::text::{self, Pairs, TextRecords};
use super::{Context, Ingest, Input, Phase, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::parser::{Parser, Parsers};

/// How long a command that was told to stop may go on writing.
const PATIENCE: Duration = Duration::from_secs(1);
/// As a shell answers when there is no such command.
const NOT_RUN: u8 = 127;
const LINE_MAX: u64 = 4096;

#[derive(Debug, Clone)]
struct Exec {
    command: String,
    /// `None` for one run at the start.
    interval: Option<Duration>,
    exits: bool,
    propagates: bool,
    line_max: usize,
    parser: Option<Arc<Parser>>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, parsers: &Parsers) -> Box<dyn Input> {
    Box::new(read(settings, parsers))
}

fn read(settings: &mut Settings<'_>, parsers: &Parsers) -> Exec {
    let exits = settings.flag("exit_after_oneshot", false);
    let propagates = settings.flag("propagate_exit_code", false);
    if propagates && !exits {
        settings.error("propagate_exit_code", "needs `exit_after_oneshot on`");
    }
    let oneshot = settings.flag("oneshot", false) || exits;
    let interval = super::interval(settings);
    Exec {
        command: settings.required("command").unwrap_or_default(),
        interval: (!oneshot).then_some(interval),
        exits,
        propagates,
        line_max: settings
            .size("buf_size")
            .unwrap_or(LINE_MAX)
            .clamp(1, 1 << 30) as usize,
        parser: text::parser(settings, "parser", parsers),
    }
}

impl Input for Exec {
    fn bind(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.run_all(&context).await })
    }
}

impl Exec {
    async fn run_all(&self, context: &Context) {
        let mut phase = context.phase.clone();
        let Some(interval) = self.interval else {
            let code = self.run_once(context).await;
            if self.exits {
                crate::info!(
                    &context.component(),
                    "one-shot command exited, terminating sluice"
                );
                context.requests.end(if self.propagates { code } else { 0 });
            }
            return;
        };
        let first = tokio::time::Instant::now() + interval;
        let mut ticks = tokio::time::interval_at(first, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => { self.run_once(context).await; }
                () = reached(&mut phase, Phase::Drain) => return,
            }
        }
    }

    /// Runs the command to its end; its exit code as a shell has it.
    async fn run_once(&self, context: &Context) -> u8 {
        match self.run_child(context).await {
            Ok(status) => exit_code(status),
            Err(error) => {
                let command = &self.command;
                crate::error!(&context.component(), "cannot run `{command}`: {error}");
                NOT_RUN
            }
        }
    }

    async fn run_child(&self, context: &Context) -> io::Result<ExitStatus> {
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(&self.command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let Some(stdout) = child.stdout.take() else {
            return child.wait().await;
        };
        let mut phase = context.phase.clone();
        let mut output = Output::new(stdout, context, self);
        tokio::select! {
            () = output.read_all() => {}
            () = reached(&mut phase, Phase::Close) => {
                terminate(&child);
                drop(tokio::time::timeout(PATIENCE, output.read_all()).await);
            }
        }
        output.store(true).await;
        tokio::select! {
            status = child.wait() => status,
            () = reached(&mut phase, Phase::Close) => end(child).await,
        }
    }
}

/// Waits a while for a command that has closed its output, then no longer.
async fn end(mut child: Child) -> io::Result<ExitStatus> {
    terminate(&child);
    if let Ok(status) = tokio::time::timeout(PATIENCE, child.wait()).await {
        return status;
    }
    child.kill().await?;
    child.wait().await
}

/// Asks the command and all it has started to end.
fn terminate(child: &Child) {
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(group) = group {
        // It may be gone already.
        let _gone = kill_process_group(group, Signal::TERM);
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(128)
}

/// What one run writes.
struct Output<'c> {
    stdout: ChildStdout,
    context: &'c Context,
    ingest: Ingest,
    room: Room,
    lines: Lines,
    records: TextRecords,
}

impl<'c> Output<'c> {
    fn new(stdout: ChildStdout, context: &'c Context, exec: &Exec) -> Self {
        Self {
            stdout,
            context,
            ingest: Ingest::open_source(context),
            room: Room::default(),
            lines: Lines::new(exec.line_max),
            records: TextRecords::new("exec", exec.parser.clone()),
        }
    }

    /// Stores lines until the command closes its output.
    ///
    /// # Cancel safety
    /// Cancel safe: what is read is kept, and stored at once.
    async fn read_all(&mut self) {
        loop {
            self.room.make(&self.ingest).await;
            match self.stdout.read_buf(self.room.bytes()).await {
                Ok(length @ 1..) => self.ingest.note_read(length),
                _ => return,
            }
            self.store(false).await;
        }
    }

    /// Stores the lines that are there; after the `last` read, the one without its end as well.
    async fn store(&mut self, last: bool) {
        let session = self.ingest.session();
        session.tag(self.context.tag.as_bytes());
        let (records, none) = (&mut self.records, Pairs::default());
        let taken = self.lines.take(self.room.bytes(), last, |line| {
            let (time, record) = records.make(line, &none, EventTime::now());
            session.offer(Event {
                time,
                metadata: &[],
                record,
            });
        });
        session.commit().await;
        self.room.taken(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::testing::Keeper;

    fn exec(properties: &[(&str, &str)]) -> Exec {
        let (exec, problems) =
            configured(properties, |settings| read(settings, &Parsers::default()));
        assert_eq!(problems, [""; 0]);
        exec
    }

    async fn output(properties: &[(&str, &str)]) -> (Vec<Vec<u8>>, u8) {
        let keeper = Keeper::default();
        let (context, _phase) = keeper.context(1 << 20);
        let requests = Arc::clone(&context.requests);
        let properties = [properties, &[("exit_after_oneshot", "on")]].concat();
        Box::new(exec(&properties)).run(context).await;
        (keeper.take_records(), requests.ended().await)
    }

    #[tokio::test]
    async fn every_line_is_a_record() {
        let command = r"printf 'one\n\ntwo words\n'; echo $((1+2)); printf end";
        let (records, code) = output(&[("command", command)]).await;
        let expected = [
            &b"\x81\xa4exec\xa3one"[..],
            b"\x81\xa4exec\xa0",
            b"\x81\xa4exec\xa9two words",
            b"\x81\xa4exec\xa13",
            b"\x81\xa4exec\xa3end",
        ];
        assert_eq!(
            (records.as_slice(), code),
            (&expected.map(<[u8]>::to_vec)[..], 0)
        );
    }

    /// Checklist: engine 60
    #[tokio::test]
    async fn the_exit_code_is_passed_on_if_asked_for() {
        let propagate = ("propagate_exit_code", "on");
        assert_eq!(output(&[("command", "exit 3"), propagate]).await.1, 3);
        assert_eq!(output(&[("command", "exit 3")]).await.1, 0);
        assert_eq!(output(&[("command", "kill -9 $$"), propagate]).await.1, 137);
        let (_, problems) = configured(&[("command", "true"), propagate], |settings| {
            read(settings, &Parsers::default())
        });
        assert!(
            problems.concat().contains("exit_after_oneshot"),
            "{problems:?}"
        );
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended_with_the_process() {
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        let running = Box::new(exec(&[
            ("command", "echo up; sleep 1000 & wait"),
            ("oneshot", "on"),
        ]));
        let running = tokio::spawn(running.run(context));
        let mut records = Vec::new();
        while records.is_empty() {
            tokio::task::yield_now().await;
            records = keeper.take_records();
        }
        phase.send_replace(Phase::Close);
        tokio::time::timeout(Duration::from_secs(10), running)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(records, [b"\x81\xa4exec\xa2up"]);
    }

    #[tokio::test]
    async fn a_command_is_run_again_after_the_interval() {
        let interval = [("interval_sec", "0"), ("interval_nsec", "5000000")];
        let exec = exec(&[&interval[..], &[("command", "echo x")]].concat());
        assert_eq!(exec.interval, Some(Duration::from_millis(5)));
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        let running = tokio::spawn(Box::new(exec).run(context));
        let mut records = 0;
        while records < 3 {
            tokio::task::yield_now().await;
            records += keeper.take().len();
        }
        phase.send_replace(Phase::Drain);
        running.await.unwrap();
    }

    #[test]
    fn without_an_interval_it_is_a_second() {
        for (properties, expected) in [
            (&[][..], Duration::from_secs(1)),
            (&[("interval_sec", "0")], Duration::from_secs(1)),
            (&[("interval_nsec", "5")], Duration::new(1, 5)),
            (&[("interval_sec", "7")], Duration::from_secs(7)),
        ] {
            let exec = exec(&[properties, &[("command", "x")]].concat());
            assert_eq!(exec.interval, Some(expected));
        }
    }
}
