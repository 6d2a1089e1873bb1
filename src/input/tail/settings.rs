//! The section as meant.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cursor::Rules;
use super::join::Rule;
use super::scan::Scan;
use crate::config::Settings;
use crate::input::text;
use crate::parser::{Parser, Parsers};
use crate::regex::Regex;

/// What a reference to another release calls the longest line.
const LINE_MAX: u64 = 32_768;
const REFRESH: Duration = Duration::from_mins(1);
const CHECK: Duration = Duration::from_secs(2);
/// How often files are looked at where nothing tells that they change.
const POLL: Duration = Duration::from_millis(250);
const ROTATE_WAIT: Duration = Duration::from_secs(5);
const DOCKER_FLUSH: i64 = 4;

/// What a tail does.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the section"
)]
pub(super) struct Options {
    /// Which files.
    pub(super) scan: Scan,
    /// The key of a line.
    pub(super) key: String,
    /// The key of the file's name, if it is wanted.
    pub(super) path_key: Option<String>,
    /// The key of the line's place, if it is wanted.
    pub(super) offset_key: Option<String>,
    /// What becomes of odd lines.
    pub(super) rules: Rules,
    /// Files that are there at the start are read from their first line.
    pub(super) from_head: bool,
    /// And those that appear later.
    pub(super) new_from_head: bool,
    /// The time between two looks for files.
    pub(super) refresh: Duration,
    /// The time between two looks at the files.
    pub(super) check: Duration,
    /// Whether the system tells that files change.
    pub(super) notifies: bool,
    /// How long a file is read after it got another name.
    pub(super) rotate_wait: Duration,
    /// Files that were not written to for so long are left out.
    pub(super) ignore_older: Option<Duration>,
    /// Also when they are being read.
    pub(super) ignore_active: bool,
    /// The end of all files is the end of the process.
    pub(super) exit_on_eof: bool,
    /// Where places are kept.
    pub(super) db: Option<PathBuf>,
    /// Names parts of a tag.
    pub(super) tag_regex: Option<Regex>,
    /// Which lines belong together.
    pub(super) join: Option<Rule>,
    /// Makes records of lines.
    pub(super) parser: Option<Arc<Parser>>,
}

/// Reads the section.
pub(super) fn read(settings: &mut Settings<'_>, parsers: &Parsers) -> Options {
    settings.accept(&[
        "buffer_chunk_size",
        "static_batch_size",
        "event_batch_size",
        "file_cache_advise",
        "db.sync",
        "db.locking",
        "db.journal_mode",
        "db.compare_filename",
    ]);
    refuse_unsupported(settings);
    let notifies = settings.flag("inotify_watcher", true);
    Options {
        scan: scan(settings),
        key: settings.text("key").unwrap_or_else(|| "log".to_owned()),
        path_key: settings.text("path_key"),
        offset_key: settings.text("offset_key"),
        rules: rules(settings),
        from_head: settings.flag("read_from_head", false),
        new_from_head: settings.flag("read_newly_discovered_files_from_head", true),
        refresh: seconds(settings, "refresh_interval").unwrap_or(REFRESH),
        check: check(settings, notifies),
        notifies,
        rotate_wait: rotate_wait(settings),
        ignore_older: settings
            .duration("ignore_older")
            .filter(|age| !age.is_zero()),
        ignore_active: settings.flag("ignore_active_older_files", false),
        exit_on_eof: settings.flag("exit_on_eof", false),
        db: settings.text("db").map(PathBuf::from),
        tag_regex: tag_regex(settings),
        join: join(settings, parsers),
        parser: text::parser(settings, "parser", parsers),
    }
}

fn scan(settings: &mut Settings<'_>) -> Scan {
    let path = settings.required("path").unwrap_or_default();
    let paths = crate::config::value::comma_list(&path);
    let excluded = settings.list("exclude_path");
    Scan::new(&paths, &excluded).unwrap_or_else(|error| {
        settings.error("path", format!("is no pattern for file names: {error}"));
        Scan::default()
    })
}

fn rules(settings: &mut Settings<'_>) -> Rules {
    // A long line costs itself with either value.
    settings.flag("skip_long_lines", false);
    Rules {
        limit: settings
            .size("buffer_max_size")
            .unwrap_or(LINE_MAX)
            .clamp(1, 1 << 30) as usize,
        truncates: settings.flag("truncate_long_lines", false),
        skips_empty: settings.flag("skip_empty_lines", false),
    }
}

/// A time that may have a fraction, above 0.
fn seconds(settings: &mut Settings<'_>, key: &'static str) -> Option<Duration> {
    let time = settings.duration(key)?;
    Some(time.max(Duration::from_millis(10)))
}

fn check(settings: &mut Settings<'_>, notifies: bool) -> Duration {
    let watcher = seconds(settings, "watcher_interval").unwrap_or(CHECK);
    let progress = seconds(settings, "progress_check_interval").unwrap_or(CHECK);
    settings.accept(&["progress_check_interval_nsec"]);
    let check = watcher.min(progress);
    if notifies { check } else { check.min(POLL) }
}

/// As Fluent Bit, which does not start with a wrong one.
fn rotate_wait(settings: &mut Settings<'_>) -> Duration {
    let Some(text) = settings.text("rotate_wait") else {
        return ROTATE_WAIT;
    };
    let wait = crate::config::value::duration(&text).filter(|wait| !wait.is_zero());
    if wait.is_none() {
        settings.error("rotate_wait", "is no time above 0");
    }
    wait.unwrap_or(ROTATE_WAIT)
}

fn tag_regex(settings: &mut Settings<'_>) -> Option<Regex> {
    let pattern = settings.text("tag_regex")?;
    match Regex::new(&pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            settings.error("tag_regex", error.to_string());
            None
        }
    }
}

fn join(settings: &mut Settings<'_>, parsers: &Parsers) -> Option<Rule> {
    let seconds = settings.integer("docker_mode_flush");
    let seconds = seconds.unwrap_or(DOCKER_FLUSH).clamp(1, 3600);
    let docker = settings.flag("docker_mode", false);
    let mut definitions = Vec::new();
    for name in settings.list("multiline.parser") {
        match parsers.multiline(&name) {
            Some(definition) => definitions.push(definition),
            None => settings.error(
                "multiline.parser",
                format!("there is no multiline parser `{name}`"),
            ),
        }
    }
    match (docker, definitions.is_empty()) {
        (true, false) => {
            settings.error("docker_mode", "cannot stand beside `multiline.parser`");
            None
        }
        (true, true) => Some(Rule::Docker(Duration::from_secs(seconds.unsigned_abs()))),
        (false, true) => None,
        (false, false) => Some(Rule::multiline(definitions, parsers)),
    }
}

/// What would change records in silence if it were overlooked.
fn refuse_unsupported(settings: &mut Settings<'_>) {
    for key in ["unicode.encoding", "generic.encoding"] {
        if settings.text(key).is_some() {
            settings.error(key, "not supported; let the application write UTF-8");
        }
    }
    for key in ["docker_mode_parser"] {
        if settings.text(key).is_some() {
            settings.error(key, "not supported; write `multiline.parser`");
        }
    }
    if settings.flag("multiline", false) {
        settings.error(
            "multiline",
            "the old form is not supported; write `multiline.parser` and a [MULTILINE_PARSER]",
        );
    }
    settings.accept(&["multiline_flush", "parser_firstline"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    fn options(properties: &[(&str, &str)]) -> (Options, Vec<String>) {
        configured(&[&[("path", "x")], properties].concat(), |settings| {
            read(settings, &Parsers::default())
        })
    }

    #[test]
    fn the_defaults_are_those_of_fluent_bit() {
        let (options, problems) = options(&[]);
        assert_eq!(problems, [""; 0]);
        assert_eq!((options.key.as_str(), options.rules.limit), ("log", 32_768));
        assert_eq!((options.from_head, options.new_from_head), (false, true));
        assert_eq!(
            (options.refresh, options.rotate_wait),
            (REFRESH, ROTATE_WAIT)
        );
        assert_eq!(
            (options.ignore_older, options.db, options.join.is_some()),
            (None, None, false)
        );
    }

    #[test]
    fn a_path_is_needed_and_a_wrong_rotate_wait_refused() {
        let (_, problems) = configured(&[], |settings| read(settings, &Parsers::default()));
        assert!(problems.concat().contains("path"), "{problems:?}");
        for wrong in ["0", "soon", "-1"] {
            let (_, problems) = options(&[("rotate_wait", wrong)]);
            assert!(problems.concat().contains("rotate_wait"), "{problems:?}");
        }
    }

    #[test]
    fn times_have_units() {
        let (options, _) = options(&[
            ("ignore_older", "2h"),
            ("refresh_interval", "1m"),
            ("docker_mode", "on"),
            ("docker_mode_flush", "0"),
        ]);
        assert_eq!(options.ignore_older, Some(Duration::from_hours(2)));
        assert_eq!(options.refresh, Duration::from_mins(1));
        let patience = Duration::from_secs(1);
        assert!(matches!(options.join, Some(Rule::Docker(wait)) if wait == patience));
    }

    #[test]
    fn lines_are_joined_in_one_way_by_parsers_that_there_are() {
        let (options_, problems) = options(&[("multiline.parser", "docker, cri")]);
        assert_eq!(problems, [""; 0]);
        assert!(matches!(options_.join, Some(Rule::Multiline(parsers, _)) if parsers.len() == 2));
        for wrong in [
            &[("multiline.parser", "nope")][..],
            &[("multiline.parser", "java"), ("docker_mode", "on")],
            &[("multiline", "on")],
        ] {
            let (_, problems) = options(wrong);
            assert!(problems.concat().starts_with("error"), "{problems:?}");
        }
    }
}
