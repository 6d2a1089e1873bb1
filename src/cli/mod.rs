//! The command line: Fluent Bit's flags, so that an image or a task definition needs no change, and
//! a few of our own.
//!
//! `flags.rs` lists the flags; this file follows them, without touching the disk or the
//! environment. Instances of `-i`, `-F` and `-o` become the same [`Section`]s that a file has. Each
//! verb of our own, which stands first, has a file: `explain.rs`, `check.rs`, `convert/`;
//! `background.rs` is `-d`.
//!
//! Facts: <https://docs.fluentbit.io/manual/administration/configuring-fluent-bit>

pub mod background;
pub mod check;
pub mod convert;
pub mod explain;
mod flags;

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::config::{Place, Property, Section, SectionKind, built_in};
use flags::{Action, Flag};

pub use flags::usage;

/// What the process is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run until a signal comes.
    Run(Invocation),
    /// Check the configuration, strictly, and end.
    DryRun(Invocation),
    /// `sluice explain`: say what the configuration means.
    Explain(Invocation),
    /// `sluice check`: check the configuration, strictly, and whether the destinations answer.
    Check(Invocation),
    /// `sluice convert`: write the configuration in the other format.
    Convert(Invocation),
    /// Print the version.
    Version,
    /// Print the help text, or the options of one plugin.
    Help(Option<Topic>),
    /// Ask a running process whether it is well, for a container's health check.
    Health {
        /// The process, 1 unless given.
        pid: u32,
    },
}

/// The plugin that `-o NAME -h` asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Input, filter or output.
    pub kind: SectionKind,
    /// Its name as typed.
    pub plugin: String,
}

/// All that flags say about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Instances in the order of their flags; they join those of the file.
    pub sections: Vec<Section>,
    /// `[SERVICE]` properties; a value in the file wins over one of these.
    pub service: Vec<Property>,
    /// How often `-v` was given: 1 is debug, 2 and more is trace.
    pub verbose: u8,
    /// Neither banner nor log.
    pub quiet: bool,
    /// Where to change to before anything is read.
    pub workdir: Option<PathBuf>,
    /// The plugins that `-e` names, all of them built in: `cloudwatch`, `firehose`, `kinesis`.
    pub plugins: Vec<String>,
    /// `-d`: go to the background.
    pub daemon: bool,
    /// The process is the one in the background.
    pub in_background: bool,
    /// What was given and has no effect, to be logged.
    pub warnings: Vec<String>,
}

/// What the first argument asks for, if it is a verb; the flags that follow are the same.
#[derive(Clone, Copy)]
enum Verb {
    Run,
    DryRun,
    Explain,
    Check,
    Convert,
}

/// Why the command line cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No such flag.
    #[error("unknown flag `{flag}`{}; see `--help`", suggestion(*nearest))]
    UnknownFlag {
        /// As typed.
        flag: String,
        /// The long flag it may have been meant to be, without its dashes.
        nearest: Option<&'static str>,
    },
    /// A flag of Fluent Bit without which a run would not be what the user asked for.
    #[error("`{flag}` is not supported: {reason}")]
    Unsupported {
        /// As typed.
        flag: String,
        /// Why, or what to do instead.
        reason: &'static str,
    },
    /// A shared object that is none of the AWS plugins.
    #[error(
        "cannot load `{}`: Sluice has no plugin ABI, only what cloudwatch.so, firehose.so and \
         kinesis.so hold is built in",
        .0.display()
    )]
    PluginLibrary(PathBuf),
    /// Text that has to be UTF-8 is not.
    #[error("the value of `{0}` is not UTF-8")]
    NotUnicode(String),
    /// `--health` takes a process id.
    #[error("`{0}` is no process id")]
    ProcessId(String),
    /// A value is missing, or one too many.
    #[error("{0}; see `--help`")]
    Syntax(#[from] lexopt::Error),
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest
        .map(|flag| format!(", did you mean `--{flag}`?"))
        .unwrap_or_default()
}

/// Reads the arguments of the process; the first one is the program's name.
///
/// As in Fluent Bit, `-h` and `-V` count where they stand, and what comes after them does not.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, CliError> {
    let mut parser = Parser::from_iter(args);
    // Fluent Bit's `-p=x` has the value `=x`.
    parser.set_short_equals(false);
    let mut run = Invocation::default();
    let mut verb = Verb::Run;
    let mut is_first = true;
    while let Some(argument) = parser.next()? {
        let (typed, flag) = match argument {
            Arg::Short(letter) => (format!("-{letter}"), Flag::of_letter(letter)),
            Arg::Long(name) => (format!("--{name}"), Flag::of_name(name)),
            Arg::Value(word) if is_first && Verb::of(&word).is_some() => {
                verb = Verb::of(&word).unwrap_or(verb);
                is_first = false;
                continue;
            }
            // It may be a secret that lost its flag, and is not shown.
            Arg::Value(_) => {
                run.warnings
                    .push("an argument that belongs to no flag is ignored".to_owned());
                continue;
            }
        };
        is_first = false;
        let Some(flag) = flag else {
            let nearest = flags::nearest_name(&typed);
            return Err(CliError::UnknownFlag {
                flag: typed,
                nearest,
            });
        };
        match flag.action {
            Action::Version => return Ok(Command::Version),
            Action::Help => return Ok(Command::Help(run.topic())),
            Action::Health => return health(&mut parser),
            Action::DryRun => verb = Verb::DryRun,
            Action::Switch(apply) => apply(&mut run),
            Action::Path(apply) => apply(&mut run, parser.value()?.into()),
            Action::Plugin => run.plugin(parser.value()?.into())?,
            Action::Text(apply) => apply(&mut run, &text(&mut parser, typed)?),
            Action::Service(key) => run.serve(key, &text(&mut parser, typed)?),
            Action::Instance(kind) => run.begin(kind, &text(&mut parser, typed)?),
            Action::Ignored(reason) => {
                if flag.takes_value() {
                    parser.value()?;
                }
                run.warnings
                    .push(format!("`{typed}` has no effect: {reason}"));
            }
            Action::Refused(reason) => {
                return Err(CliError::Unsupported {
                    flag: typed,
                    reason,
                });
            }
        }
    }
    Ok(match verb {
        Verb::Run => Command::Run(run),
        Verb::DryRun => Command::DryRun(run),
        Verb::Explain => Command::Explain(run),
        Verb::Check => Command::Check(run),
        Verb::Convert => Command::Convert(run),
    })
}

impl Verb {
    fn of(word: &std::ffi::OsStr) -> Option<Self> {
        Some(match word.to_str()? {
            "explain" => Self::Explain,
            "check" => Self::Check,
            "convert" => Self::Convert,
            _ => return None,
        })
    }
}

/// The value of the flag just read.
fn text(parser: &mut Parser, typed: String) -> Result<String, CliError> {
    parser
        .value()?
        .into_string()
        .map_err(|_| CliError::NotUnicode(typed))
}

/// `--health`, `--health 7` or `--health=7`.
fn health(parser: &mut Parser) -> Result<Command, CliError> {
    let value = match parser.optional_value() {
        None => parser
            .raw_args()?
            .next_if(|next| !next.as_encoded_bytes().starts_with(b"-")),
        attached => attached,
    };
    let Some(value) = value else {
        return Ok(Command::Health { pid: 1 });
    };
    let pid = value
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|&pid| pid > 0);
    pid.map(|pid| Command::Health { pid })
        .ok_or_else(|| CliError::ProcessId(value.to_string_lossy().into_owned()))
}

impl Invocation {
    /// Begins an instance, to which the flags that follow belong.
    fn begin(&mut self, kind: SectionKind, name: &str) {
        let mut section = Section::new(kind, Place::command_line());
        section.properties.push(property("name", name));
        self.sections.push(section);
    }

    /// `-T`: a task of the stream processor. The properties that follow belong to the plugin before.
    fn task(&mut self, query: &str) {
        let tasks = self.sections.iter();
        let tasks = tasks
            .filter(|section| section.kind == SectionKind::StreamTask)
            .count();
        let mut section = Section::new(SectionKind::StreamTask, Place::command_line());
        section
            .properties
            .push(property("name", &format!("flb-console:{tasks}")));
        section.properties.push(property("exec", query));
        self.sections.insert(tasks, section);
    }

    /// Sets a `[SERVICE]` property.
    fn serve(&mut self, key: &str, value: &str) {
        self.service.push(property(key, value));
    }

    /// `-t`: the tag of the input named last.
    fn tag(&mut self, tag: &str) {
        match self
            .sections
            .last_mut()
            .filter(|section| section.kind == SectionKind::Input)
        {
            Some(section) => section.properties.push(property("tag", tag)),
            None => self.warnings.push(format!(
                "`-t {tag}` is ignored: put it after an input, `-i NAME`"
            )),
        }
    }

    /// `-m`: what the filter or output named last takes.
    fn matching(&mut self, pattern: &str) {
        match self
            .sections
            .last_mut()
            .filter(|section| section.kind != SectionKind::Input)
        {
            Some(section) => section.properties.push(property("match", pattern)),
            None => self.warnings.push(format!(
                "`-m {pattern}` is ignored: put it after `-F NAME` or `-o NAME`"
            )),
        }
    }

    /// `-p`: a property of the plugin named last.
    fn property(&mut self, text: &str) {
        let Some((key, value)) = text.split_once('=') else {
            self.warnings.push(format!(
                "`-p {text}` has no `=` and is ignored: write `-p {text}=VALUE`"
            ));
            return;
        };
        match self.sections.last_mut() {
            Some(section) => section.properties.push(property(key, value)),
            None => self.warnings.push(format!(
                "`-p {key}` is ignored: put it after `-i NAME`, `-F NAME` or `-o NAME`"
            )),
        }
    }

    /// `-e`: the name is taken from the path and no file is opened, since the AWS image always
    /// passes these paths.
    fn plugin(&mut self, path: PathBuf) -> Result<(), CliError> {
        match built_in(&path) {
            Some(name) => self.plugins.push(name.to_owned()),
            None => return Err(CliError::PluginLibrary(path)),
        }
        Ok(())
    }

    /// The plugin named last, for `-h`.
    fn topic(&self) -> Option<Topic> {
        let section = self.sections.last()?;
        let name = section.properties.first()?;
        Some(Topic {
            kind: section.kind,
            plugin: name.value.clone(),
        })
    }
}

fn property(key: &str, value: &str) -> Property {
    Property {
        key: key.to_ascii_lowercase(),
        value: value.to_owned(),
        place: Place::command_line(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Invocation {
        match command(line) {
            Ok(Command::Run(run)) => run,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Parses a line split at blanks, `~` standing for a blank inside an argument.
    fn command(line: &str) -> Result<Command, CliError> {
        let arguments = line
            .split_whitespace()
            .map(|argument| argument.replace('~', " "));
        parse(std::iter::once("sluice".into()).chain(arguments.map(OsString::from)))
    }

    /// The instances as `kind key=value key=value`.
    fn instances(run: &Invocation) -> Vec<String> {
        let pair = |property: &Property| format!(" {}={}", property.key, property.value);
        let line = |section: &Section| {
            section.kind.name().to_owned()
                + &section.properties.iter().map(pair).collect::<String>()
        };
        run.sections.iter().map(line).collect()
    }

    #[test]
    fn tags_matches_and_properties_belong_to_the_instance_before_them() {
        let expected = [
            r#"input name=dummy tag=t dummy={"a":1} samples=1"#,
            "filter name=record_modifier match=* record=k v",
            "output name=file match=* path=out file=a=b",
        ];
        for line in [
            r#"-i dummy -t t -p dummy={"a":1} -p samples=1 -F record_modifier -m * -p record=k~v -o file -m * -p path=out -p file=a=b"#,
            r#"-idummy -tt -pdummy={"a":1} -pSamples=1 -Frecord_modifier -m* -precord=k~v -ofile -m* -ppath=out -pfile=a=b"#,
            r#"--input=dummy --tag t --prop=dummy={"a":1} --prop samples=1 --filter record_modifier --match=* --prop record=k~v --output=file --match * --prop=path=out --prop=file=a=b"#,
        ] {
            assert_eq!(instances(&run(line)), expected, "{line}");
        }
    }

    #[test]
    fn service_flags_become_properties_in_their_order() {
        let run = run(
            "-f 0.2 -H -L 127.0.0.1 -P 2021 -R a.conf -R b.conf -b store -l log.txt -Y --http_port 2022 --storage_path=s",
        );
        let pairs: Vec<(&str, &str)> = run
            .service
            .iter()
            .map(|property| (&*property.key, &*property.value))
            .collect();
        let expected = [
            ("flush", "0.2"),
            ("http_server", "on"),
            ("http_listen", "127.0.0.1"),
            ("http_port", "2021"),
            ("parsers_file", "a.conf"),
            ("parsers_file", "b.conf"),
            ("storage.path", "store"),
            ("log_file", "log.txt"),
            ("hot_reload", "on"),
            ("http_port", "2022"),
            ("storage.path", "s"),
        ];
        assert_eq!(pairs, expected);
        assert!(
            run.service
                .iter()
                .all(|property| property.place.to_string() == "command line")
        );
    }

    /// Checklist: firelens 21, 22
    #[test]
    fn the_entry_point_of_the_aws_image_is_understood() {
        let run = run(
            "-e /fluent-bit/firehose.so -e /fluent-bit/cloudwatch.so -e /fluent-bit/kinesis.so -c /fluent-bit/etc/fluent-bit.conf -vv -q -w sub",
        );
        assert_eq!(run.plugins, ["firehose", "cloudwatch", "kinesis"]);
        assert_eq!(run.config, Some("/fluent-bit/etc/fluent-bit.conf".into()));
        assert_eq!(
            (run.verbose, run.quiet, run.workdir),
            (2, true, Some("sub".into()))
        );
    }

    /// Checklist: engine 30
    #[test]
    fn commands_end_the_reading_where_they_stand() {
        let topic = Topic {
            kind: SectionKind::Output,
            plugin: "cloudwatch_logs".to_owned(),
        };
        for (line, expected) in [
            ("-V --no-such-flag", Command::Version),
            ("--help -c x", Command::Help(None)),
            ("-o cloudwatch_logs -h", Command::Help(Some(topic))),
            ("--health", Command::Health { pid: 1 }),
            ("--health 7", Command::Health { pid: 7 }),
            ("--health=8", Command::Health { pid: 8 }),
            ("", Command::Run(Invocation::default())),
            ("--dry-run", Command::DryRun(Invocation::default())),
            ("--dry", Command::DryRun(Invocation::default())),
            ("explain", Command::Explain(Invocation::default())),
            ("check", Command::Check(Invocation::default())),
            ("convert", Command::Convert(Invocation::default())),
            ("--vers", Command::Version),
        ] {
            assert_eq!(command(line).ok(), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_has_no_effect_is_said() {
        for (line, words) in [
            ("-i dummy -p samples -o null", "`-p samples` has no `=`"),
            ("-p a=b", "`-p a` is ignored: put it after `-i NAME`"),
            ("-o null -t x", "`-t x` is ignored"),
            ("-i dummy -m x", "`-m x` is ignored"),
            ("--supervisor", "`--supervisor` has no effect"),
            ("--trace-input x", "`--trace-input` has no effect"),
            ("-s 65536", "`-s` has no effect"),
            ("stray", "an argument that belongs to no flag"),
        ] {
            let run = run(line);
            assert_eq!(run.warnings.len(), 1, "{line}: {:?}", run.warnings);
            assert!(
                run.warnings[0].contains(words),
                "{line}: {:?}",
                run.warnings
            );
        }
    }

    /// Checklist: engine 30
    #[test]
    fn mistakes_name_the_flag() {
        for (line, expected) in [
            (
                "--no-such-option",
                "unknown flag `--no-such-option`; see `--help`",
            ),
            (
                "--conifg x",
                "unknown flag `--conifg`, did you mean `--config`?; see `--help`",
            ),
            ("--ver", "unknown flag `--ver`; see `--help`"),
            ("-X", "unknown flag `-X`; see `--help`"),
            ("-c", "missing argument for option '-c'; see `--help`"),
            (
                "-C calyptia",
                "`-C` is not supported: Sluice has no custom plugins",
            ),
            ("-J", "`-J` is not supported: use `--help`"),
            ("--health x", "`x` is no process id"),
            ("--health 0", "`0` is no process id"),
        ] {
            assert_eq!(command(line).unwrap_err().to_string(), expected, "{line}");
        }
        let refused = command("-e /opt/absent.so").unwrap_err().to_string();
        assert!(refused.contains("absent.so"), "{refused}");
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_not_shown() {
        use std::os::unix::ffi::OsStringExt;
        let secret = OsString::from_vec(b"apikey=hunter2\xff".to_vec());
        let error = parse([OsString::from("sluice"), "-p".into(), secret]).unwrap_err();
        assert_eq!(error.to_string(), "the value of `-p` is not UTF-8");
    }
}
