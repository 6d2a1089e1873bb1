//! `run`: sink, routers in turns, and load together; a table comes out.
//!
//! | file | what |
//! |---|---|
//! | `scenario.rs` | what is sent and how the router is configured |
//! | `measure.rs`, `measurement.rs` | one router in one scenario |
//! | `control.rs`, `cgroup.rs` | the sink's second port, limits |
//! | `report.rs` | medians, table, JSON |

mod cgroup;
mod chains;
pub(crate) mod control;
mod measure;
mod measurement;
mod report;
mod scenario;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

pub(crate) use self::measure::{
    ACCESS_KEY, Router, SECRET_KEY, in_a_plain_environment, read_address,
};
pub(crate) use self::measurement::number;

use self::cgroup::Limits;
use self::measure::Bench;
use self::measurement::Measurement;
use self::report::Row;
use self::scenario::Scenario;
use crate::args;
use crate::error::{Error, Result};
use crate::output::print_text;
use crate::signals;
use crate::stats::{ratio, round};

const HELP: &str = "\
Start sink, routers and load in turns, and compare the routers.

Usage: sluice-bench run [NAME=PROGRAM...] [options]

A PROGRAM takes `-c FILE` with a configuration in Fluent Bit's classic format. Each
turn measures the floor (see `floor --help`) and then each router, with a fresh sink
each time. Without routers only the floor is measured.

Options:
      --scenario NAME       May be repeated; all = the first eight, filters = those
                            with filters, compression = those that compress and
                            the same without, faults = those with faults
                            [default: all]
      --records N           Records per turn [default: 1000000]; presets with faults
                            send at most 200000
      --repeat K            Turns; the table shows medians [default: 1]
      --json FILE           Write everything that was measured here
      --cgroup-memory SIZE  Memory limit for the routers, e.g. 64M; counts OOM kills
      --cpu SHARE           CPU limit for the routers, e.g. 0.25
      --folder PATH         Keep configurations and logs here [default: a temporary
                            folder, which is removed]

Scenarios (1 KiB access-log lines and four connections unless it says otherwise):
";

const COLUMNS_HELP: &str = "
Columns: MB/s and CPU-s/GB count forward bytes; x floor is CPU-s/GB as a multiple of
the floor's; sent B/rec: request bodies on the wire for each record; latency is from
write to stored; lost are records that write() accepted and that never arrived; twice,
disorder: as it says; refused: requests that broke a limit of the service; stop s: from
SIGTERM to the end.
";

struct Options {
    routers: Vec<Router>,
    scenarios: Vec<&'static Scenario>,
    records: u64,
    repeat: u64,
    json: Option<PathBuf>,
    limits: Limits,
    folder: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn main(parser: &mut lexopt::Parser) -> Result<()> {
    let Some(options) = Options::parse(parser)? else {
        return print_text(&format!("{HELP}{}{COLUMNS_HELP}", scenario::describe()));
    };
    let stop = signals::stop_flag()?;
    let folder = options.folder.clone();
    let folder = folder
        .unwrap_or_else(|| env::temp_dir().join(format!("sluice-bench-{}", std::process::id())));
    let result = run(&options, folder.clone(), &stop);
    if options.folder.is_none() && result.is_ok() {
        fs::remove_dir_all(&folder).map_err(Error::io(format!("remove {}", folder.display())))?;
    } else {
        eprintln!("run: configurations and logs are in {}", folder.display());
    }
    let rows = result?;
    if let Some(path) = &options.json {
        let text = report::to_json(&rows).to_string();
        fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))?;
    }
    print_text(&report::table(&rows))
}

fn run(options: &Options, folder: PathBuf, stop: &AtomicBool) -> Result<Vec<Row>> {
    let own = env::current_exe().map_err(Error::io("find this program"))?;
    let bench = Bench {
        own,
        folder,
        records: options.records,
        limits: options.limits,
        stop,
    };
    let mut rows = Vec::new();
    for scenario in &options.scenarios {
        let mut runs = vec![Vec::new(); options.routers.len()];
        for turn in 1..=options.repeat {
            let mut floor = None;
            for (router, runs) in options.routers.iter().zip(&mut runs) {
                if router.program.is_none() && !scenario.has_floor() {
                    continue;
                }
                eprintln!(
                    "run: {}, turn {turn} of {}: {}",
                    scenario.name, options.repeat, router.name
                );
                let mut measured = bench.measure(scenario, router)?;
                if router.program.is_none() {
                    floor = measured.cpu_seconds_per_gb;
                }
                let times = |(own, floor)| round(ratio(own, floor));
                measured.times_floor = measured.cpu_seconds_per_gb.zip(floor).map(times);
                say(&measured);
                runs.push(measured);
            }
        }
        let named = options
            .routers
            .iter()
            .zip(runs)
            .filter(|(_, runs)| !runs.is_empty());
        rows.extend(named.map(|(router, runs)| Row {
            scenario: scenario.name,
            router: router.name.clone(),
            runs,
        }));
    }
    Ok(rows)
}

fn say(measured: &Measurement) {
    let Measurement {
        lost,
        duplicates,
        records,
        ..
    } = measured;
    let cpu = measured
        .cpu_seconds_per_gb
        .map_or("unknown".to_owned(), |cpu| cpu.to_string());
    eprintln!("run:   {records} records, {cpu} CPU-s/GB, {lost} lost, {duplicates} twice");
}

impl Options {
    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>> {
        use lexopt::Arg::{Long, Short, Value};
        let mut options = Self {
            routers: vec![Router {
                name: "floor".to_owned(),
                program: None,
            }],
            scenarios: Vec::new(),
            records: 1_000_000,
            repeat: 1,
            json: None,
            limits: Limits::default(),
            folder: None,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Value(router) => options
                    .routers
                    .push(read_router(&router.to_string_lossy())?),
                Long("scenario") => options
                    .scenarios
                    .extend(scenario::find(&args::value(parser)?)?),
                Long("records") => options.records = args::count(&args::value(parser)?)?.max(1),
                Long("repeat") => options.repeat = args::count(&args::value(parser)?)?.max(1),
                Long("json") => options.json = Some(args::path(parser)?),
                Long("cgroup-memory") => {
                    options.limits.memory = Some(args::size(&args::value(parser)?)?);
                }
                Long("cpu") => options.limits.cpu = Some(read_cpus(&args::value(parser)?)?),
                Long("folder") => options.folder = Some(args::path(parser)?),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        if options.scenarios.is_empty() {
            options.scenarios = scenario::find("all")?;
        }
        Ok(Some(options))
    }
}

/// Reads `NAME=PROGRAM`.
pub(crate) fn read_router(text: &str) -> Result<Router> {
    let wrong = || Error::Value {
        text: text.to_owned(),
        wanted: "NAME=PROGRAM with the path of a program",
    };
    let (name, program) = text.split_once('=').ok_or_else(wrong)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(wrong());
    }
    let program = fs::canonicalize(program).map_err(Error::io(format!("find {program}")))?;
    Ok(Router {
        name: name.to_owned(),
        program: Some(program),
    })
}

fn read_cpus(text: &str) -> Result<f64> {
    let cpus: Option<f64> = text
        .parse()
        .ok()
        .filter(|cpus| (0.01..=1024.0).contains(cpus));
    cpus.ok_or_else(|| Error::Value {
        text: text.to_owned(),
        wanted: "a number of CPUs such as 0.25",
    })
}
