//! `sluice-bench`: measures log routers, and plays the cloud in Sluice's own integration tests.
//!
//! ```text
//! load ──forward protocol──▶ router under test ──signed HTTPS──▶ sink
//!      (numbers every record)                                    (counts them again)
//! ```
//!
//! | command | what it is |
//! |---|---|
//! | `load` | a forward client that sends numbered records |
//! | `sink` | a strict stand-in for CloudWatch Logs, Data Firehose, Kinesis and S3, with faults on demand |
//! | `floor` | the least any signing router must do, to compare CPU time with |
//! | `run` | all of it together, with routers in turns, as a table |
//! | `peers` | many peers, slow peers, peers in a hurry: what they cost a router |
//! | `faults` | every fault against every output of a router, as a table |
//! | `soak` | load with credentials that end every minute and come from endpoints that fail |
//!
//! It shares no code with the router, so that it can measure any router and finds the router's mistakes. (One of its tests,
//! `sink/tests/laws.rs`, holds the router's encoders against the sink's limits.)

mod args;
mod error;
mod faults;
mod floor;
mod load;
mod msgpack;
mod output;
mod peers;
mod process;
mod procfs;
mod random;
mod record;
mod run;
mod signals;
mod sink;
mod stats;
mod tls;

use std::process::ExitCode;

use crate::error::{Error, Result};

const HELP: &str = "\
Measure log routers that speak the forward protocol.

Usage: sluice-bench COMMAND [options]

Commands:
  load   Send numbered records to a router
  sink   Play CloudWatch Logs, Data Firehose, Kinesis and S3, strictly, and count
  floor  Read, hash, and TLS-write: the least any signing router can do
  run    Start sink, routers and load in turns, and compare the routers
  peers  Measure what many, slow and hasty peers cost a router
  faults Let every fault happen to every output of a router, and count what is lost
  soak   Load a router whose credentials end all the time

`sluice-bench COMMAND --help` explains the options of a command.
";

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            let usage = matches!(
                error,
                Error::Arguments(_) | Error::Usage(_) | Error::Value { .. }
            );
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

fn command() -> Result<()> {
    let mut parser = lexopt::Parser::from_env();
    let Some(first) = parser.next()? else {
        return output::print_text(HELP);
    };
    match first {
        lexopt::Arg::Value(name) if name == "load" => load::main(&mut parser),
        lexopt::Arg::Value(name) if name == "sink" => sink::main(&mut parser),
        lexopt::Arg::Value(name) if name == "floor" => floor::main(&mut parser),
        lexopt::Arg::Value(name) if name == "run" => run::main(&mut parser),
        lexopt::Arg::Value(name) if name == "peers" => peers::main(&mut parser),
        lexopt::Arg::Value(name) if name == "faults" => faults::main(&mut parser),
        lexopt::Arg::Value(name) if name == "soak" => faults::soak(&mut parser),
        lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => output::print_text(HELP),
        other => Err(other.unexpected().into()),
    }
}
