//! `soak`: credentials that end all the time, from endpoints half of whose answers fail or hang.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::config::Output;
use super::stage::{Cast, End, Stage};
use super::{Folder, found};
use crate::args;
use crate::error::{Error, Result};
use crate::output::{print_json, print_text};
use crate::run::number;
use crate::signals;

const HELP: &str = "\
Load a router whose credentials live for a short time and come from an endpoint that
fails and hangs. Three outputs share them: CloudWatch Logs, Firehose and Kinesis.

Usage: sluice-bench soak PROGRAM [options]

It prints one JSON object. The exit code is 1 when records were lost, a limit of a
service was broken, or more than one request came with credentials that had ended.

Options:
      --for TIME            How long records flow [default: 10m]
      --life TIME           How long credentials live [default: 60s]
      --from NAME           The endpoint: ecs (default) or imds
      --fail SHARE          Of its answers, 500 [default: 25%]
      --hang SHARE          Of its answers, none at all [default: 25%]
      --rate N              Records per second [default: 1000]
      --folder PATH         Keep configuration and logs here [default: a temporary
                            folder, which is removed]
";

const OUTPUTS: &[Output] = &[Output::Logs, Output::Firehose, Output::Kinesis];

struct Options {
    program: PathBuf,
    time: Duration,
    life: Duration,
    is_imds: bool,
    fail: String,
    hang: String,
    rate: u64,
    folder: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn main(parser: &mut lexopt::Parser) -> Result<()> {
    let Some(options) = Options::parse(parser)? else {
        return print_text(HELP);
    };
    let stop = signals::stop_flag()?;
    let own = env::current_exe().map_err(Error::io("find this program"))?;
    let folder = Folder::new(options.folder.clone(), "soak");
    // Each connection is a container, and each output takes one.
    let outputs = (0..).zip(OUTPUTS);
    let cast = Cast {
        own: &own,
        router: &options.program,
        outputs: outputs
            .map(|(at, output): (usize, _)| (*output, format!("app{at}-*")))
            .collect(),
        sink: options.sink_options(),
        has_keys: false,
        environment: if options.is_imds {
            of_instance
        } else {
            of_task
        },
        stop: &stop,
    };
    let mut stage = Stage::set(&cast, &folder.path)?;
    stage.load(&options.load_options())?;
    let end = stage.end()?;
    let broken = broken(&end);
    folder.leave(broken.is_empty())?;
    print_json(&json!({
        "seconds": options.time.as_secs_f64(), "records": end.sent,
        "lost": number(&end.stats, "missing"), "duplicates": number(&end.stats, "duplicates"),
        "credentials": end.stats.get("credentials"), "answers": end.stats.get("answers"),
        "latency": end.stats.get("latency"), "peak_rss_bytes": end.peak_rss_bytes,
        "broken": broken,
    }))?;
    if broken.is_empty() {
        Ok(())
    } else {
        Err(Error::Broken)
    }
}

fn of_task(issue: &str) -> Vec<(&'static str, String)> {
    let uri = format!("http://{issue}/ecs");
    vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)]
}

fn of_instance(issue: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
        (
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            format!("http://{issue}"),
        ),
    ]
}

/// Which laws did not hold.
fn broken(end: &End) -> Vec<String> {
    let mut broken = Vec::new();
    let lost = number(&end.stats, "missing");
    if lost > 0 || end.sent == 0 {
        broken.push(format!("{lost} of {} records are lost", end.sent));
    }
    let credentials = end.stats.get("credentials").unwrap_or(&Value::Null);
    let late = number(credentials, "most_expired_requests");
    if late > 1 {
        broken.push(format!(
            "{late} requests came with credentials that had ended"
        ));
    }
    let violations = end.stats.get("violations").unwrap_or(&Value::Null);
    if number(violations, "count") > 0 {
        broken.push(format!("the services refuse requests: {violations}"));
    }
    broken
}

impl Options {
    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>> {
        use lexopt::Arg::{Long, Short, Value};
        let mut program = None;
        let mut options = Self {
            program: PathBuf::new(),
            time: Duration::from_mins(10),
            life: Duration::from_mins(1),
            is_imds: false,
            fail: "25%".to_owned(),
            hang: "25%".to_owned(),
            rate: 1000,
            folder: None,
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Value(path) if program.is_none() => program = Some(found(path.as_ref())?),
                Long("for") => options.time = args::duration(&args::value(parser)?)?,
                Long("life") => options.life = args::duration(&args::value(parser)?)?,
                Long("from") => options.is_imds = read_endpoint(&args::value(parser)?)?,
                Long("fail") => options.fail = args::value(parser)?,
                Long("hang") => options.hang = args::value(parser)?,
                Long("rate") => options.rate = args::count(&args::value(parser)?)?.max(1),
                Long("folder") => options.folder = Some(args::path(parser)?),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected().into()),
            }
        }
        options.program = program.ok_or_else(|| Error::Usage("name the program".to_owned()))?;
        Ok(Some(options))
    }

    fn sink_options(&self) -> Vec<String> {
        let life = format!("{}s", self.life.as_secs_f64());
        let options = [
            ("--issue", life.as_str()),
            ("--issue-fail", self.fail.as_str()),
            ("--issue-hang", self.hang.as_str()),
        ];
        let options = options.into_iter();
        options
            .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
            .collect()
    }

    fn load_options(&self) -> Vec<String> {
        let options = [
            ("--connections", OUTPUTS.len() as u64),
            ("--records", self.rate * self.time.as_secs().max(1)),
            ("--rate", self.rate),
            ("--batch", (self.rate / 150).max(1)),
            ("--size", 200),
        ];
        let options = options.into_iter();
        options
            .flat_map(|(name, value)| [name.to_owned(), value.to_string()])
            .collect()
    }
}

fn read_endpoint(text: &str) -> Result<bool> {
    match text {
        "ecs" => Ok(false),
        "imds" => Ok(true),
        _ => Err(Error::Value {
            text: text.to_owned(),
            wanted: "ecs or imds",
        }),
    }
}
