//! One fault against one output: flow, fault, flow again, and the count.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::cases::{Case, Extra};
use super::config::Output;
use super::row::Row;
use super::stage::{Cast, Stage};
use crate::error::Result;

/// Each connection is a tag, and so a stream of its own; for S3 a file of its own, of which one a second is uploaded.
const CONNECTIONS: u64 = 2;
const CONNECTIONS_TO_S3: u64 = 8;
/// Records in each of many streams: the second one needs no creation any more.
const IN_EACH_STREAM: u64 = 2;
/// Longer than it takes to make ten thousand streams.
const ACK_TIMEOUT: &str = "120m";

/// How it is done.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// This program.
    pub(super) own: PathBuf,
    /// Records per second.
    pub(super) rate: u64,
    pub(super) before: Duration,
    pub(super) during: Duration,
    pub(super) after: Duration,
    pub(super) streams: u64,
    pub(super) stop: &'a AtomicBool,
}

impl Plan<'_> {
    /// Lets a fault happen to an output of `router`; what the processes leave is in `folder`.
    pub(super) fn run(
        &self,
        case: &'static Case,
        output: Output,
        router: &Path,
        folder: &Path,
    ) -> Result<Row> {
        let many_streams = case.extra == Extra::ManyStreams;
        let from_the_start = case.faults.iter().filter(|_| many_streams);
        let cast = Cast {
            own: &self.own,
            router,
            outputs: vec![(output, "*".to_owned())],
            sink: from_the_start
                .flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()])
                .collect(),
            has_keys: true,
            environment: |_| Vec::new(),
            stop: self.stop,
        };
        let mut stage = Stage::set(&cast, folder)?;
        stage.load(&self.load_options(output, many_streams))?;
        if !many_streams {
            stage.wait_for_the_first()?;
            stage.wait(self.before, || Ok(()))?;
            stage.ask("POST /faults", &object(case.faults.iter().copied()))?;
            stage.wait(self.during, || match case.extra {
                Extra::Delete(what) => stage.ask("POST /delete", &json!(what)).map(drop),
                _ => Ok(()),
            })?;
            stage.ask("POST /faults", &object(case.cure()))?;
            stage.ask("POST /mark", &Value::Null)?;
        }
        Ok(Row {
            case,
            output,
            end: stage.end()?,
        })
    }

    fn load_options(&self, output: Output, many_streams: bool) -> Vec<String> {
        let connections = if output == Output::S3 {
            CONNECTIONS_TO_S3
        } else {
            CONNECTIONS
        };
        let seconds = (self.before + self.during + self.after).as_secs().max(1);
        let (records, tags) = if many_streams {
            (
                self.streams * IN_EACH_STREAM,
                self.streams.div_ceil(connections),
            )
        } else {
            (self.rate * seconds, 1)
        };
        let options = [
            ("--connections", connections),
            ("--records", records),
            ("--rate", self.rate),
            // Small enough that the rate is even.
            ("--batch", (self.rate / connections / 50).max(1)),
            ("--size", 200),
            ("--tags", tags),
        ];
        let options = options.into_iter();
        let mut options: Vec<String> = options
            .flat_map(|(name, value)| [name.to_owned(), value.to_string()])
            .collect();
        if many_streams {
            // The router holds back what it has no memory for, and the system throws away what waits to be sent by a process that has
            // ended: the load may not end before everything is taken.
            options.extend(["--ack", "--ack-timeout", ACK_TIMEOUT].map(str::to_owned));
        }
        options
    }
}

fn object<'a>(faults: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let pairs = faults.map(|(name, value)| (name.to_owned(), json!(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}
