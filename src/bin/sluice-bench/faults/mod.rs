//! `faults` and `soak`: what a router makes of services, connections and credentials that fail while records flow.
//!
//! | file | what |
//! |---|---|
//! | `cases.rs` | the faults, and which outputs they are for |
//! | `config.rs` | the router's configuration |
//! | `stage.rs` | the processes: sink, router, load |
//! | `matrix.rs` | one fault against one output |
//! | `row.rs` | what came of it, as Markdown and JSON |
//! | `soak.rs` | credentials that end all the time |

mod cases;
mod config;
mod matrix;
mod row;
mod soak;
mod stage;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use self::cases::Case;
use self::config::Output;
use self::matrix::Plan;
use self::row::Row;
pub(crate) use self::soak::main as soak;
use crate::args;
use crate::error::{Error, Result};
use crate::output::print_text;
use crate::procfs::machine;
use crate::signals;

const HELP: &str = "\
Let every fault happen to every output of a router while records flow, and count
what is lost, what arrives twice, how many requests were for nothing, and how long
it takes until everything is as it was.

Usage: sluice-bench faults PROGRAM [options]

PROGRAM takes `-c FILE` with a configuration in Fluent Bit's classic format. The
table is Markdown. The exit code is 1 when records were lost, a limit of a service
was broken, or records arrived twice through a fault that leaves nothing in doubt.

Options:
      --fault NAME          Only this fault; may be repeated
      --output NAME         Only this output: logs, firehose, kinesis or s3; may be
                            repeated
      --once                Each fault with one of its outputs only, in turns
      --rate N              Records per second [default: 2000]
      --before TIME         Without the fault, first [default: 2s]
      --during TIME         With the fault [default: 10s]
      --after TIME          Without the fault again, under load [default: 5s]
      --streams N           Streams of the fault `creation` [default: 1000]
      --json FILE           Write everything that was measured here
      --folder PATH         Keep configurations and logs here [default: a temporary
                            folder, which is removed]

Faults:
";

const COLUMNS_HELP: &str = "
Columns: lost: records that write() accepted and that never arrived; twice; wasted:
requests that were for nothing, of all; resumes s: from the end of the fault to the
next record that is stored; caught up s: to the last one that was sent before its
end; refused: requests that broke a limit of the service; peak MiB: resident memory.
";

/// Runs `faults`.
pub(crate) fn main(parser: &mut lexopt::Parser) -> Result<()> {
    let Some(options) = Options::parse(parser)? else {
        return print_text(&format!("{HELP}{}{COLUMNS_HELP}", cases::describe()));
    };
    let stop = signals::stop_flag()?;
    let folder = Folder::new(options.folder.clone(), "faults");
    let chosen = options.chosen();
    let plan = Plan {
        stop: &stop,
        ..options.plan
    };
    let mut rows = Vec::new();
    for (case, output) in chosen {
        eprintln!("faults: {} with {}", case.name, output.name());
        let place = folder.path.join(format!("{}-{}", case.name, output.name()));
        let row = plan.run(case, output, &options.program, &place)?;
        for broken in row.broken() {
            eprintln!("faults:   {broken}; see {}", place.display());
        }
        rows.push(row);
    }
    let held = rows.iter().all(|row| row.broken().is_empty());
    folder.leave(held)?;
    if let Some(path) = &options.json {
        let results: Vec<Value> = rows.iter().map(Row::to_json).collect();
        let text = json!({ "machine": machine(), "results": results }).to_string();
        fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))?;
    }
    print_text(&row::table(&rows))?;
    if held { Ok(()) } else { Err(Error::Broken) }
}

/// Where configurations and logs go.
struct Folder {
    path: PathBuf,
    is_own: bool,
}

impl Folder {
    fn new(given: Option<PathBuf>, verb: &str) -> Self {
        let is_own = given.is_none();
        let own = || env::temp_dir().join(format!("sluice-bench-{verb}-{}", std::process::id()));
        Self {
            path: given.unwrap_or_else(own),
            is_own,
        }
    }

    /// Removes it, unless somebody asked for it or will want to look into it.
    fn leave(&self, held: bool) -> Result<()> {
        if self.is_own && held {
            let doing = format!("remove {}", self.path.display());
            return fs::remove_dir_all(&self.path).map_err(Error::io(doing));
        }
        eprintln!("configurations and logs are in {}", self.path.display());
        Ok(())
    }
}

struct Options {
    program: PathBuf,
    plan: Plan<'static>,
    faults: Vec<String>,
    outputs: Vec<Output>,
    once: bool,
    json: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Options {
    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>> {
        use lexopt::Arg::{Long, Short, Value};
        let mut plan = Plan {
            own: env::current_exe().map_err(Error::io("find this program"))?,
            rate: 2000,
            before: Duration::from_secs(2),
            during: Duration::from_secs(10),
            after: Duration::from_secs(5),
            streams: 1000,
            stop: &NEVER,
        };
        let (mut program, mut faults, mut outputs) = (None, Vec::new(), Vec::new());
        let (mut once, mut json, mut folder) = (false, None, None);
        while let Some(arg) = parser.next()? {
            match arg {
                Value(path) if program.is_none() => program = Some(found(Path::new(&path))?),
                Long("fault") => faults.push(cases::known(args::value(parser)?)?),
                Long("output") => outputs.push(Output::parse(&args::value(parser)?)?),
                Long("once") => once = true,
                Long("rate") => plan.rate = args::count(&args::value(parser)?)?.max(1),
                Long("before") => plan.before = args::duration(&args::value(parser)?)?,
                Long("during") => plan.during = args::duration(&args::value(parser)?)?,
                Long("after") => plan.after = args::duration(&args::value(parser)?)?,
                Long("streams") => {
                    plan.streams = args::count(&args::value(parser)?)?.clamp(1, 99_999);
                }
                Long("json") => json = Some(args::path(parser)?),
                Long("folder") => folder = Some(args::path(parser)?),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        let program = program.ok_or_else(|| Error::Usage("name the program".to_owned()))?;
        Ok(Some(Self {
            program,
            plan,
            faults,
            outputs,
            once,
            json,
            folder,
        }))
    }

    /// Which faults happen to which outputs.
    fn chosen(&self) -> Vec<(&'static Case, Output)> {
        let wanted = |case: &&Case| {
            self.faults.is_empty() || self.faults.iter().any(|name| name == case.name)
        };
        let mut chosen = Vec::new();
        for (turn, case) in cases::CASES.iter().filter(wanted).enumerate() {
            let of_case = case.outputs.iter().copied();
            let outputs: Vec<Output> = of_case
                .filter(|output| self.outputs.is_empty() || self.outputs.contains(output))
                .collect();
            let one = outputs.get(turn % outputs.len().max(1)).copied();
            if self.once {
                chosen.extend(one.map(|output| (case, output)));
            } else {
                chosen.extend(outputs.into_iter().map(|output| (case, output)));
            }
        }
        chosen
    }
}

/// Stands in until the signals are caught.
static NEVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The program under test, from wherever its configuration lies.
fn found(program: &Path) -> Result<PathBuf> {
    fs::canonicalize(program).map_err(Error::io(format!("find {}", program.display())))
}
