//! The `sluice` program: flags, configuration, run, exit code.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use sluice::cli::{self, Command, Invocation, Topic};
use sluice::config::{self, Config, Problems, Variables};
use sluice::pipeline::{self, Plan, Service, Signals};
use sluice::telemetry::log::{self, Level};
use sluice::{budget, filter, input, output, telemetry};

/// As Fluent Bit ends when its plugins or sockets cannot be set up.
const EXIT_SETUP: u8 = 255;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Run(invocation)) => run(invocation),
        Ok(Command::DryRun(invocation)) => dry_run(&invocation),
        Ok(Command::Explain(invocation)) => explain(&invocation),
        Ok(Command::Check(invocation)) => check(&invocation),
        Ok(Command::Convert(invocation)) => convert(&invocation),
        Ok(Command::Version) => print(&format!("Sluice v{}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Help(topic)) => help(topic.as_ref()),
        Ok(Command::Health { pid }) => health(pid),
        Err(error) => fail(&error),
    }
}

/// Writes to standard output, for those answers that are asked for there.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    // A reader that has closed the pipe has seen enough.
    drop(std::io::stdout().write_all(text.as_bytes()));
    ExitCode::SUCCESS
}

/// Writes to standard error. Nobody has to read it.
fn say(text: impl std::fmt::Display) {
    use std::io::Write as _;
    drop(write!(std::io::stderr(), "{text}"));
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    say(format_args!("sluice: {error}\n"));
    ExitCode::FAILURE
}

fn health(pid: u32) -> ExitCode {
    match telemetry::probe(pid) {
        Ok(counters) => print(&counters),
        Err(error) => fail(&format!("process {pid} does not answer: {error}")),
    }
}

fn help(topic: Option<&Topic>) -> ExitCode {
    let Some(topic) = topic else {
        let text = cli::usage()
            + &list("\nInputs\n", input::names())
            + &list("\nFilters\n", filter::names())
            + &list("\nOutputs\n", output::names());
        return print(&text);
    };
    if let Some(keys) = pipeline::settings_of(topic.kind, &topic.plugin) {
        return print(&list("", keys.into_iter()));
    }
    let kind = topic.kind.name().to_ascii_lowercase();
    fail(&format!("invalid {kind} plugin '{}'", topic.plugin))
}

fn list<'n>(title: &str, names: impl Iterator<Item = &'n str>) -> String {
    names.fold(title.to_owned(), |text, name| text + "  " + name + "\n")
}

/// Reads everything there is to read. Only without errors among the problems the plan is worth running.
fn read(invocation: &Invocation, problems: &mut Problems) -> (Config, Plan) {
    let variables = Variables::from_process();
    let config = match &invocation.config {
        Some(path) => config::load(path, variables, problems),
        None => Config {
            sections: Vec::new(),
            variables,
            directory: Path::new("").into(),
        },
    };
    let service = Service::read(&config, &invocation.service, invocation.verbose, problems);
    let plan = pipeline::plan(&config, &invocation.sections, service, problems);
    (config, plan)
}

/// Reads everything once more, for a reload. What is wrong goes to the log.
fn reread(invocation: &Invocation) -> Result<Plan, String> {
    let mut problems = Problems::default();
    let (_, plan) = read(invocation, &mut problems);
    for problem in problems.errors() {
        sluice::error!("config", "{problem}");
    }
    for problem in problems.warnings() {
        sluice::warning!("config", "{problem}");
    }
    if problems.has_errors() {
        let count = problems.errors().count() + problems.omitted();
        let first = problems.errors().next().map(ToString::to_string);
        return Err(format!(
            "the configuration contains {count} errors, the first is: {}",
            first.unwrap_or_default()
        ));
    }
    if !invocation.quiet {
        log::admit(plan.service.log_level);
    }
    Ok(plan)
}

/// Reads everything there is to read; `Err` is the exit code after the report.
fn prepare(invocation: &Invocation, problems: &mut Problems) -> Result<(Config, Plan), ExitCode> {
    if let Some(folder) = &invocation.workdir
        && let Err(error) = std::env::set_current_dir(folder)
    {
        say(format_args!(
            "sluice: cannot change to {}: {error}\n",
            folder.display()
        ));
        return Err(ExitCode::from(EXIT_SETUP));
    }
    let read = read(invocation, problems);
    if problems.has_errors() {
        say(problems.report());
        say("[error] configuration file contains errors, aborting.\n");
        return Err(ExitCode::FAILURE);
    }
    Ok(read)
}

fn explain(invocation: &Invocation) -> ExitCode {
    let mut problems = Problems::with_readings();
    match prepare(invocation, &mut problems) {
        Ok((config, _)) => {
            say(problems.report());
            let sections = &invocation.sections;
            print(&cli::explain::explain(
                &config,
                sections,
                problems.readings(),
            ))
        }
        Err(code) => code,
    }
}

fn check(invocation: &Invocation) -> ExitCode {
    let mut problems = Problems::strict();
    let (_, plan) = match prepare(invocation, &mut problems) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    say(problems.report());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };
    let findings = runtime.block_on(cli::check::ask(&plan));
    // A name that is still being looked up must not hold up the exit.
    runtime.shutdown_background();
    for finding in &findings {
        let level = if finding.is_good() { " info" } else { "error" };
        say(format_args!("[{level}] [check] {finding}\n"));
    }
    if !findings.iter().all(cli::check::Finding::is_good) {
        return ExitCode::FAILURE;
    }
    say("configuration test is successful\n");
    ExitCode::SUCCESS
}

fn convert(invocation: &Invocation) -> ExitCode {
    let Some(path) = &invocation.config else {
        return fail(&"convert needs a file: sluice convert -c FILE");
    };
    let mut problems = Problems::default();
    let text = cli::convert::convert(path, &mut problems);
    say(problems.report());
    if problems.has_errors() {
        return ExitCode::FAILURE;
    }
    print(&text)
}

/// Goes to the background: this process ends, another one goes on.
fn leave() -> ExitCode {
    match cli::background::start(std::env::args_os()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot go to the background: {error}")),
    }
}

fn dry_run(invocation: &Invocation) -> ExitCode {
    let mut problems = Problems::strict();
    match prepare(invocation, &mut problems) {
        Ok(_) => {
            say(problems.report());
            say("configuration test is successful\n");
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn run(invocation: Invocation) -> ExitCode {
    let mut problems = Problems::default();
    let plan = match prepare(&invocation, &mut problems) {
        Ok((_, plan)) => plan,
        Err(code) => return code,
    };
    if invocation.in_background {
        // It fails where the process leads a session already.
        drop(cli::background::detach());
    } else if invocation.daemon || plan.service.daemon {
        return leave();
    }
    if let Err(error) = open_log(&invocation, &plan.service) {
        return fail(&error);
    }
    let cpus = budget::cpus();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cpus)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };
    let ended = runtime.block_on(async {
        let signals = Signals::new().map_err(|error| format!("cannot handle signals: {error}"))?;
        sluice::info!(
            "sluice",
            "version={}, pid={}, workers={cpus}",
            env!("CARGO_PKG_VERSION"),
            std::process::id()
        );
        for text in &invocation.warnings {
            sluice::warning!("cli", "{text}");
        }
        for problem in problems.sorted() {
            sluice::warning!("config", "{problem}");
        }
        // The texts of the files have served their purpose.
        drop(problems);
        // In a task of its own, so that it runs on the workers like everything else.
        let again: pipeline::Reread = Arc::new(move || reread(&invocation));
        tokio::spawn(pipeline::run(plan, signals, again))
            .await
            .map_err(|error| error.to_string())?
    });
    // A thread that is still blocked in a system call must not hold up the exit.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            sluice::error!("engine", "{error}");
            ExitCode::from(EXIT_SETUP)
        }
    }
}

fn open_log(invocation: &Invocation, service: &Service) -> Result<(), String> {
    log::write_as(service.log_format);
    log::admit(if invocation.quiet {
        Level::Off
    } else {
        service.log_level
    });
    match &service.log_file {
        None => Ok(()),
        Some(file) => log::to_file(Path::new(file))
            .map_err(|error| format!("cannot write the log file {file}: {error}")),
    }
}
