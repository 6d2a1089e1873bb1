//! `peers`: what many peers, slow ones and hasty ones cost a router, and whether the others notice.
//!
//! | file | what |
//! |---|---|
//! | `router.rs` | the router under test, and what the system says about it |
//! | `peer.rs` | a client: asks, floods, keeps a beat |
//! | `idle.rs`, `loris.rs`, `storm.rs`, `paced.rs`, `half.rs` | the scenarios |
//! | `report.rs` | what was measured, beside what it should be |

mod half;
mod idle;
mod loris;
mod paced;
mod peer;
mod report;
mod router;
mod storm;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use self::report::Report;
use self::router::Router;
use crate::args;
use crate::error::{Error, Result};
use crate::output::print_text;
use crate::procfs::machine;
use crate::run::{Router as Program, read_router};
use crate::signals;

const HELP: &str = "\
Measure what many, slow and hasty peers cost a router.

Usage: sluice-bench peers NAME=PROGRAM... [options]

A PROGRAM takes `-c FILE` with a configuration in Fluent Bit's classic format: one
forward input on a port of 127.0.0.1 and the output null. Each scenario starts it anew.

Options:
      --scenario NAME     May be repeated [default: all of them]
      --seconds T         How long each measured phase takes [default: 20s]
      --idle N            Connections that stay idle [default: 10000]
      --active N          Connections that send beside them [default: 100]
      --loris N           Peers that send a byte a second [default: 1000]
      --connects N        New connections per second [default: 5000]
      --storm T           For how long [default: 60s]
      --each N            Records per second, one write each [default: 100000]
      --frames N          Frames per second that ask for acks [default: 10000]
      --half N            Peers that send half a frame [default: 1000]
      --limit SIZE        Mem_Buf_Limit of the input [default: 25M]
      --size N            Bytes of the log text [default: 200]
      --json FILE         Write everything that was measured here
      --folder PATH       Keep configurations and logs here [default: a temporary
                          folder, which is removed]

Scenarios:
  idle   Memory of idle connections, before and after a burst of records of each; how
         long a new peer waits for its first ack, and what the active ones get
         through, with the idle ones there and without
  loris  What a good peer gets through beside peers that send a byte a second, and when
         these are closed
  storm  Connections that come and go; every second one sends a record and waits for
         its ack: what is left of them in descriptors and memory
  each   One write per record: CPU, and how long it takes until a record is taken (one
         in a hundred asks for an ack)
  acks   Frames that all ask for acks, on one connection: how long these take
  half   Peers that send half a frame of 1 MiB, beyond Mem_Buf_Limit: memory, and how
         long a good peer waits
";

/// How much, for how long.
#[derive(Debug, Clone)]
struct Load {
    phase: Duration,
    idle: u64,
    active: u64,
    loris: u64,
    connects: u64,
    storm: Duration,
    each: u64,
    frames: u64,
    half: u64,
    limit: u64,
    size: usize,
}

struct Options {
    programs: Vec<Program>,
    scenarios: Vec<&'static str>,
    load: Load,
    json: Option<PathBuf>,
    folder: Option<PathBuf>,
}

const SCENARIOS: &[&str] = &["idle", "loris", "storm", "each", "acks", "half"];

/// Runs the command.
pub(crate) fn main(parser: &mut lexopt::Parser) -> Result<()> {
    let Some(options) = Options::parse(parser)? else {
        return print_text(HELP);
    };
    raise_descriptors();
    let folder = options.folder.clone();
    let folder = folder
        .unwrap_or_else(|| env::temp_dir().join(format!("sluice-peers-{}", std::process::id())));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the runtime"))?;
    let result = runtime.block_on(async {
        let stop = signals::stop_signal()?;
        tokio::select! {
            result = run(&options, &folder) => result,
            () = stop => Err(Error::Stopped),
        }
    });
    if options.folder.is_none() && result.is_ok() {
        fs::remove_dir_all(&folder).map_err(Error::io(format!("remove {}", folder.display())))?;
    } else {
        eprintln!("peers: configurations and logs are in {}", folder.display());
    }
    let reports = result?;
    if let Some(path) = &options.json {
        let results: Vec<_> = reports.iter().map(Report::to_json).collect();
        let text = json!({ "machine": machine(), "results": results }).to_string();
        fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))?;
    }
    print_text(&report::table(&reports))
}

async fn run(options: &Options, folder: &std::path::Path) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for scenario in &options.scenarios {
        for program in &options.programs {
            eprintln!("peers: {scenario}: {}", program.name);
            let folder = folder.join(format!("{scenario}-{}", program.name));
            let load = &options.load;
            let router = Router::start(program, &folder, load.limit).await?;
            let mut report = Report::new(scenario, &program.name);
            match *scenario {
                "idle" => idle::measure(&router, load, &mut report).await?,
                "loris" => loris::measure(&router, load, &mut report).await?,
                "storm" => storm::measure(&router, load, &mut report).await?,
                "each" => paced::each(&router, load, &mut report).await?,
                "acks" => paced::acks(&router, load, &mut report).await?,
                _ => half::measure(&router, load, &mut report).await?,
            }
            reports.push(report);
        }
    }
    Ok(reports)
}

/// Takes all the descriptors that this process may have; children take the limit over.
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Refused, there are as many as before, and connecting says so when they run out.
    let _ = setrlimit(Resource::Nofile, raised);
}

impl Options {
    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>> {
        use lexopt::Arg::{Long, Short, Value};
        let mut options = Self {
            programs: Vec::new(),
            scenarios: Vec::new(),
            load: Load::default(),
            json: None,
            folder: None,
        };
        let load = &mut options.load;
        while let Some(arg) = parser.next()? {
            match arg {
                Value(program) => {
                    let program = read_router(&program.to_string_lossy())?;
                    options.programs.push(program);
                }
                Long("scenario") => options
                    .scenarios
                    .push(read_scenario(&args::value(parser)?)?),
                Long("seconds") => load.phase = args::duration(&args::value(parser)?)?,
                Long("storm") => load.storm = args::duration(&args::value(parser)?)?,
                Long("idle") => load.idle = count(parser)?,
                Long("active") => load.active = count(parser)?,
                Long("loris") => load.loris = count(parser)?,
                Long("connects") => load.connects = count(parser)?,
                Long("each") => load.each = count(parser)?,
                Long("frames") => load.frames = count(parser)?,
                Long("half") => load.half = count(parser)?,
                Long("limit") => load.limit = args::size(&args::value(parser)?)?,
                Long("size") => load.size = args::size(&args::value(parser)?)? as usize,
                Long("json") => options.json = Some(args::path(parser)?),
                Long("folder") => options.folder = Some(args::path(parser)?),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        if options.programs.is_empty() {
            return Err(Error::Usage("name a router: NAME=PROGRAM".to_owned()));
        }
        if options.scenarios.is_empty() {
            options.scenarios = SCENARIOS.to_vec();
        }
        Ok(Some(options))
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            phase: Duration::from_secs(20),
            idle: 10_000,
            active: 100,
            loris: 1_000,
            connects: 5_000,
            storm: Duration::from_mins(1),
            each: 100_000,
            frames: 10_000,
            half: 1_000,
            limit: 25 << 20,
            size: 200,
        }
    }
}

fn count(parser: &mut lexopt::Parser) -> Result<u64> {
    Ok(args::count(&args::value(parser)?)?.max(1))
}

fn read_scenario(text: &str) -> Result<&'static str> {
    let found = SCENARIOS.iter().copied().find(|name| *name == text);
    found.ok_or_else(|| Error::Value {
        text: text.to_owned(),
        wanted: "one of idle, loris, storm, each, acks, half",
    })
}
