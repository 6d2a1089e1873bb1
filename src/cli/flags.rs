//! The list of flags. The parser, the help text and "did you mean" read the same rows.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Invocation;
use crate::config::{SectionKind, nearest};

/// One flag.
pub(super) struct Flag {
    /// The flag as the help text shows it: letter, long names, name of the value.
    spelling: &'static str,
    /// What it does.
    pub(super) action: Action,
    /// Its line of help.
    help: &'static str,
}

/// What a flag does, and so whether a value follows it.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Version,
    Help,
    Health,
    DryRun,
    /// Has no value.
    Switch(fn(&mut Invocation)),
    /// Takes a path, in whatever bytes.
    Path(fn(&mut Invocation, PathBuf)),
    /// Takes the path of a shared object.
    Plugin,
    /// Takes a text.
    Text(fn(&mut Invocation, &str)),
    /// Takes the value of a `[SERVICE]` property.
    Service(&'static str),
    /// Takes the name of a plugin.
    Instance(SectionKind),
    /// Does nothing, for this reason, and a run is still what the user asked for.
    Ignored(&'static str),
    /// Cannot be ignored.
    Refused(&'static str),
}

const fn flag(spelling: &'static str, action: Action, help: &'static str) -> Flag {
    Flag {
        spelling,
        action,
        help,
    }
}

const CONFIGURATION: &[Flag] = &[
    flag(
        "-c, --config FILE",
        Action::Path(|run, file| run.config = Some(file)),
        "read this configuration file",
    ),
    flag(
        "-R, --parser FILE",
        Action::Service("parsers_file"),
        "read parsers from this file; may be repeated",
    ),
    flag(
        "-D, --dry-run",
        Action::DryRun,
        "check the configuration strictly, say so, and end",
    ),
    flag(
        "-w, --workdir FOLDER",
        Action::Path(|run, folder| run.workdir = Some(folder)),
        "change to this folder first",
    ),
    flag(
        "-e, --plugin FILE",
        Action::Plugin,
        "accepts cloudwatch.so, firehose.so, kinesis.so: built in",
    ),
];

const PIPELINE: &[Flag] = &[
    flag(
        "-i, --input NAME",
        Action::Instance(SectionKind::Input),
        "add an input",
    ),
    flag(
        "-F, --filter NAME",
        Action::Instance(SectionKind::Filter),
        "add a filter",
    ),
    flag(
        "-o, --output NAME",
        Action::Instance(SectionKind::Output),
        "add an output",
    ),
    flag(
        "-t, --tag TAG",
        Action::Text(Invocation::tag),
        "the tag of the input before",
    ),
    flag(
        "-m, --match PATTERN",
        Action::Text(Invocation::matching),
        "the tags that the filter or output before takes",
    ),
    flag(
        "-p, --prop KEY=VALUE",
        Action::Text(Invocation::property),
        "a property of the plugin before; may be repeated",
    ),
    flag(
        "-T, --sp-task SQL",
        Action::Text(Invocation::task),
        "copy the records that a query selects to another tag",
    ),
];

const SERVICE: &[Flag] = &[
    flag(
        "-f, --flush SECONDS",
        Action::Service("flush"),
        "how long a request waits for more records",
    ),
    flag(
        "-b, --storage_path FOLDER",
        Action::Service("storage.path"),
        "folder of the disk buffer",
    ),
    flag(
        "-H, --http, --http_server",
        Action::Switch(|run| run.serve("http_server", "on")),
        "serve health and metrics",
    ),
    flag(
        "-L, --http_listen ADDRESS",
        Action::Service("http_listen"),
        "address of that server",
    ),
    flag(
        "-P, --port, --http_port PORT",
        Action::Service("http_port"),
        "port of that server",
    ),
    flag(
        "-l, --log_file FILE",
        Action::Service("log_file"),
        "append the log to this file",
    ),
    flag(
        "-d, --daemon",
        Action::Switch(|run| run.daemon = true),
        "run in the background",
    ),
    flag(
        "-v, --verbose",
        Action::Switch(|run| run.verbose = run.verbose.saturating_add(1)),
        "log more; twice: everything",
    ),
    flag(
        "-q, --quiet",
        Action::Switch(|run| run.quiet = true),
        "no banner and no log",
    ),
    flag(
        "-Y, --enable-hot-reload",
        Action::Switch(|run| run.serve("hot_reload", "on")),
        "reload on SIGHUP",
    ),
];

const OTHER: &[Flag] = &[
    flag(
        "--health [PID]",
        Action::Health,
        "ask a running Sluice, process 1 by default, whether it is well",
    ),
    flag("-V, --version", Action::Version, "print the version"),
    flag(
        "-h, --help",
        Action::Help,
        "print this; after -i, -F or -o NAME, the options of that plugin",
    ),
];

const NO_TRACE: Action = Action::Ignored("there is no chunk trace");

/// Flags of Fluent Bit that mean nothing here; the help text leaves them out.
const FOREIGN: &[Flag] = &[
    flag(
        "-s, --coro_stack_size BYTES",
        Action::Ignored("there are no coroutine stacks"),
        "",
    ),
    flag(
        "-W, --disable-thread-safety-on-hot-reload",
        Action::Ignored("reloading is always safe"),
        "",
    ),
    flag(
        "--supervisor",
        Action::Ignored("the container runtime restarts the process"),
        "",
    ),
    flag("-Z, --enable-chunk-trace", NO_TRACE, ""),
    flag("--trace TRACE", NO_TRACE, ""),
    flag("--trace-input NAME", NO_TRACE, ""),
    flag("--trace-output NAME", NO_TRACE, ""),
    flag("--trace-output-property KEY=VALUE", NO_TRACE, ""),
    flag(
        "--in-background",
        Action::Switch(|run| run.in_background = true),
        "",
    ),
    flag(
        "-C, --custom NAME",
        Action::Refused("Sluice has no custom plugins"),
        "",
    ),
    flag(
        "-r, --processor NAME",
        Action::Ignored("processors belong in a configuration file"),
        "",
    ),
    flag(
        "-S, --sosreport",
        Action::Refused("use `--version`, and `--dry-run` for the configuration"),
        "",
    ),
    flag("-J, --help-json", Action::Refused("use `--help`"), ""),
    flag(
        "--enable-fips",
        Action::Refused("Sluice has no FIPS mode"),
        "",
    ),
];

/// The groups of the help text.
const GROUPS: [(&str, &[Flag]); 4] = [
    ("Configuration", CONFIGURATION),
    ("Pipeline", PIPELINE),
    ("Service (a value in the file wins)", SERVICE),
    ("Other", OTHER),
];

impl Flag {
    /// The flag of `-x`.
    pub(super) fn of_letter(letter: char) -> Option<&'static Self> {
        all().find(|flag| {
            flag.words()
                .any(|word| word.strip_prefix('-') == Some(letter.encode_utf8(&mut [0; 4])))
        })
    }

    /// The flag of `--name`, which may be cut short where only one flag begins so, as in Fluent
    /// Bit.
    pub(super) fn of_name(name: &str) -> Option<&'static Self> {
        let exact = all().find(|flag| flag.names().any(|known| known == name));
        let mut fitting = all().filter(|flag| flag.names().any(|known| known.starts_with(name)));
        exact.or_else(|| fitting.next().filter(|_| fitting.next().is_none()))
    }

    /// Whether the spelling ends in the name of a value.
    pub(super) fn takes_value(&self) -> bool {
        self.words().any(|word| !word.starts_with('-'))
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.words().filter_map(|word| word.strip_prefix("--"))
    }

    fn words(&self) -> impl Iterator<Item = &'static str> {
        self.spelling
            .split([',', ' '])
            .filter(|word| !word.is_empty())
    }
}

/// The long name that an unknown flag may have been meant to be.
pub(super) fn nearest_name(typed: &str) -> Option<&'static str> {
    nearest(typed.strip_prefix("--")?, all().flat_map(Flag::names))
}

fn all() -> impl Iterator<Item = &'static Flag> {
    GROUPS.iter().flat_map(|(_, flags)| *flags).chain(FOREIGN)
}

/// The help text, up to the lists of plugins.
pub fn usage() -> String {
    let mut text = String::from(HEAD);
    for (title, flags) in GROUPS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{title}");
        for flag in flags {
            let indent = if flag.spelling.starts_with("--") {
                "      "
            } else {
                "  "
            };
            let spelling = format!("{indent}{}", flag.spelling);
            let _ = writeln!(text, "{spelling:<32} {}", flag.help);
        }
    }
    text + TAIL
}

const HEAD: &str = "\
Sluice, a log router for AWS FireLens that reads the configuration of Fluent Bit

Usage: sluice -c FILE
       sluice explain -c FILE    say what the configuration means
       sluice check -c FILE      check it, and whether its destinations answer
       sluice convert -c FILE    write it in the other format, YAML or classic
       sluice -i NAME [-t TAG] [-p KEY=VALUE].. [-F NAME ..] -o NAME [-m PATTERN] [-p KEY=VALUE]..
";

const TAIL: &str = "
Example: records that arrive on port 24224 go to standard output
  sluice -i forward -p port=24224 -o stdout -m '*' -f 0.5
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_and_none_twice() {
        let mut seen = std::collections::HashSet::new();
        for flag in all() {
            for word in flag.words().filter(|word| word.starts_with('-')) {
                assert!(seen.insert(word), "{word} twice");
                let found = match word.strip_prefix("--") {
                    Some(name) => Flag::of_name(name),
                    None => Flag::of_letter(word.chars().nth(1).unwrap()),
                };
                assert_eq!(found.map(|found| found.spelling), Some(flag.spelling));
            }
        }
    }

    #[test]
    fn a_value_is_named_where_the_action_takes_one() {
        for flag in all() {
            let expected = match flag.action {
                Action::Path(_)
                | Action::Plugin
                | Action::Text(_)
                | Action::Service(_)
                | Action::Instance(_)
                | Action::Health => true,
                Action::Version | Action::Help | Action::DryRun | Action::Switch(_) => false,
                Action::Ignored(_) | Action::Refused(_) => continue,
            };
            assert_eq!(flag.takes_value(), expected, "{}", flag.spelling);
        }
    }

    #[test]
    fn the_help_text_lists_flags_by_group() {
        let usage = usage();
        for line in [
            "\nConfiguration\n",
            "\n  -c, --config FILE              read this configuration file\n",
            "\n      --health [PID]             ask a running",
        ] {
            assert!(usage.contains(line), "{usage}");
        }
        assert!(usage.lines().all(|line| line.len() <= 100), "{usage}");
        assert!(!usage.contains("supervisor"));
    }
}
