//! The `[SERVICE]` section as meant.

use std::sync::Arc;
use std::time::Duration;

use super::dead_letters::DeadLetters;
use super::files;
use super::retry::Policy;
use super::storage::Storage;
use crate::config::{Config, Problems, Property, Section, Settings, load_parsers};
use crate::msgpack::json::Json;
use crate::telemetry::HealthRule;
use crate::telemetry::log::{Format, Level};

/// The longest `HC_Period`: a day of seconds.
const PERIOD_MAX: u64 = 86_400;

/// The smallest page of memory.
const PAGE: u64 = 4096;

/// What `[SERVICE]` and the flags beside it say.
#[derive(Debug, Clone)]
pub struct Service {
    /// `Flush`: how long an event may wait for company.
    pub flush: Duration,
    /// `Grace`: the time for ending; `None` is as long as it takes.
    pub grace: Option<Duration>,
    /// `Log_Level`, or what `FLB_LOG_LEVEL` or `-v` say.
    pub log_level: Level,
    /// `Log_File`.
    pub log_file: Option<String>,
    /// How records become JSON.
    pub json: Json,
    /// When to try again.
    pub retry: Policy,
    /// The keys `storage.*`.
    pub storage: Storage,
    /// Where what is given up is kept: `storage.keep.rejected`.
    pub dead_letters: Option<Arc<DeadLetters>>,
    /// `Daemon`: go to the background.
    pub daemon: bool,
    /// `Log_Format`: how lines of our own log look.
    pub log_format: Format,
    /// The sections of every `Parsers_File`.
    pub parsers: Vec<Section>,
    /// The tasks of every `Streams_File`.
    pub streams: Vec<Section>,
    /// `multiline_buffer_limit`: the most text of a joined message, in bytes.
    pub message_max: Option<usize>,
    /// `HTTP_Listen` and `HTTP_Port`, with `HTTP_Server On`.
    pub http: Option<(String, u16)>,
    /// `Health_Check` and `HC_*`.
    pub health: Option<HealthRule>,
    /// `storage.metrics`.
    pub storage_metrics: bool,
    /// `Hot_Reload`.
    pub hot_reload: bool,
    /// `hot_reload.timeout`: how long the files may take to be read; `None` is as long as it takes.
    pub reload_timeout: Option<Duration>,
    /// The name of the host, as `${HOSTNAME}` has it.
    pub hostname: String,
}

/// Keys of Fluent Bit that a configuration may hold and that mean nothing here, or not yet.
const WITHOUT_EFFECT: &[&str] = &[
    "http_server",
    "http_listen",
    "http_port",
    "health_check",
    "hc_errors_count",
    "hc_retry_failure_count",
    "hc_period",
    "dns.*",
    "flush.adaptive*",
    "sp.*",
    "coro_stack_size",
    "json.convert_nan_to_null",
    "security.*",
    "hot_reload.ensure_thread_safety",
    "enable_chunk_trace",
    "telemetry.*",
];

impl Service {
    /// Reads the section, after `flags` from the command line, which it wins over.
    pub fn read(config: &Config, flags: &[Property], verbose: u8, problems: &mut Problems) -> Self {
        let section = config.service(flags);
        let mut settings = Settings::new(&section, &config.variables, problems);
        for key in ["parsers_file", "plugins_file", "streams_file"] {
            settings.all(key);
        }
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        // A word is 0 to Fluent Bit, which stops then; `1s` is 1, so that is a lapse.
        let is_word = |text: String| {
            !text
                .trim_start_matches('.')
                .starts_with(|it: char| it.is_ascii_digit())
        };
        let flush = if settings.text("flush").is_some_and(is_word) {
            None
        } else {
            Some(settings.number("flush").unwrap_or(1.0)).filter(|flush| *flush > 0.0)
        };
        if flush.is_none() {
            settings.error(
                "flush",
                "has to be above 0: it is the seconds an event may wait",
            );
        }
        let grace = settings.integer("grace").unwrap_or(5);
        let base = settings
            .integer("scheduler.base")
            .filter(|base| *base > 0)
            .map(i64::cast_unsigned);
        let cap = settings
            .integer("scheduler.cap")
            .filter(|cap| *cap > 0)
            .map(i64::cast_unsigned);
        if base.zip(cap).is_some_and(|(base, cap)| cap < base) {
            settings.lapse(
                "scheduler.cap",
                "is below scheduler.base",
                "every wait is at most the cap",
            );
        }
        let mut service = Self {
            flush: flush.and_then(seconds).unwrap_or(Duration::from_secs(1)),
            grace: u64::try_from(grace).ok().map(Duration::from_secs),
            log_level: log_level(&mut settings, &config.variables, verbose),
            log_file: settings.text("log_file"),
            json: Json {
                escape_unicode: settings.flag("json.escape_unicode", true),
            },
            retry: Policy::default()
                .with_scheduler(base.map(Duration::from_secs), cap.map(Duration::from_secs)),
            storage: Storage::read(&mut settings),
            dead_letters: None,
            daemon: settings.flag("daemon", false),
            log_format: match settings.choice("log_format", &["text", "json"]) {
                Some("json") => Format::Json,
                _ => Format::Text,
            },
            parsers: Vec::new(),
            streams: Vec::new(),
            message_max: settings
                .size("multiline_buffer_limit")
                .filter(|limit| *limit > 0)
                .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            http: http(&mut settings),
            health: health(&mut settings),
            storage_metrics: settings.flag("storage.metrics", true),
            hot_reload: settings.flag("hot_reload", false),
            reload_timeout: settings
                .integer("hot_reload.timeout")
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            hostname: config
                .variables
                .get("HOSTNAME")
                .unwrap_or_default()
                .to_owned(),
        };
        let root = service.storage.path.as_deref();
        service.dead_letters = DeadLetters::read(&mut settings, root, service.json);
        settings.accept(WITHOUT_EFFECT);
        settings.finish();
        check_stack(config, &section, problems);
        service.parsers = load_parsers(config, flags, problems);
        service.streams = files::check(config, &section, problems);
        service
    }
}

/// `coro_stack_size` means nothing here, but Fluent Bit does not start with one below a page.
fn check_stack(config: &Config, section: &Section, problems: &mut Problems) {
    let mut properties = section.properties.iter().rev();
    let Some(written) = properties.find(|property| property.key == "coro_stack_size") else {
        return;
    };
    let text = config.variables.expand(&written.value).text;
    let end = text.find(|it: char| !it.is_ascii_digit());
    let digits = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    // A word is 0, and what no number holds is large.
    let size: u64 = if digits.is_empty() {
        0
    } else {
        digits.parse().unwrap_or(u64::MAX)
    };
    if size < PAGE {
        let message = "is below 4096 bytes: remove the line, it has no effect here";
        problems.error(&written.place, Some("coro_stack_size"), message);
    }
}

/// Where the HTTP server listens, if it is to run. Without it nobody cares what its port is.
fn http(settings: &mut Settings<'_>) -> Option<(String, u16)> {
    if !settings.flag("http_server", false) {
        settings.accept(&["http_listen", "http_port"]);
        return None;
    }
    let host = settings.text("http_listen");
    let port = settings.port("http_port").unwrap_or(2020);
    Some((host.unwrap_or_else(|| "0.0.0.0".to_owned()), port))
}

fn health(settings: &mut Settings<'_>) -> Option<HealthRule> {
    let is_on = settings.flag("health_check", false);
    let mut number = |key, default| {
        let number = settings.integer(key).unwrap_or(default);
        u64::try_from(number).unwrap_or(0)
    };
    let rule = HealthRule {
        errors: number("hc_errors_count", 5),
        retries_failed: number("hc_retry_failure_count", 5),
        period: number("hc_period", 60).clamp(1, PERIOD_MAX),
    };
    is_on.then_some(rule)
}

/// `FLB_LOG_LEVEL` beats `Log_Level`, which beats `-v`.
fn log_level(
    settings: &mut Settings<'_>,
    variables: &crate::config::Variables,
    verbose: u8,
) -> Level {
    let flag = match verbose {
        0 => Level::Info,
        1 => Level::Debug,
        _ => Level::Trace,
    };
    let written = settings.text("log_level");
    let from_environment = variables
        .get("FLB_LOG_LEVEL")
        .filter(|level| !level.is_empty())
        .map(str::to_owned);
    let Some(text) = from_environment.or(written) else {
        return flag;
    };
    Level::parse(&text).unwrap_or_else(|| {
        settings.error(
            "log_level",
            format!("`{text}` is no level: write off, error, warn, info, debug or trace"),
        );
        flag
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Place, SectionKind, Variables};

    /// What `[SERVICE]` with these pairs means beside a flag, with these variables, and what is said.
    fn read(pairs: &[(&str, &str)], verbose: u8, variables: &[(&str, &str)]) -> (Service, String) {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.conf");
        std::fs::write(&main, "").unwrap();
        let variables = Variables::from_pairs(variables.iter().copied());
        let mut problems = Problems::default();
        let mut config = crate::config::load(&main, variables, &mut problems);
        let mut section = Section::new(SectionKind::Service, Place::command_line());
        section.properties = Section::of_pairs(SectionKind::Service, pairs).properties;
        config.sections.push(section);
        let service = Service::read(&config, &[], verbose, &mut problems);
        (service, problems.to_string())
    }

    /// Checklist: engine 31
    #[test]
    fn the_level_of_the_file_beats_the_flag_and_that_of_the_environment_both() {
        let level = |pairs: &[_], verbose, variables: &[_]| {
            let (service, said) = read(pairs, verbose, variables);
            assert_eq!(said, "");
            service.log_level
        };
        let written = [("log_level", "error")];
        let variable = [("FLB_LOG_LEVEL", "warn")];
        assert_eq!(level(&[], 1, &[]), Level::Debug);
        assert_eq!(level(&written, 1, &[]), Level::Error);
        assert_eq!(level(&written, 1, &variable), Level::Warn);
    }

    /// Checklist: engine 24
    #[test]
    fn a_flush_that_is_none_is_refused_and_a_grace_that_is_none_is_the_default() {
        let (service, said) = read(&[("flush", "0.3"), ("grace", "-1")], 0, &[]);
        assert_eq!(
            (service.flush, service.grace),
            (Duration::from_millis(300), None)
        );
        assert_eq!(said, "");
        for flush in ["0", "-1", "soon"] {
            let (_, said) = read(&[("flush", flush)], 0, &[]);
            assert!(said.starts_with("error: "), "{flush}: {said}");
        }
        let (service, said) = read(&[("grace", "abc")], 0, &[]);
        assert_eq!(service.grace, Some(Duration::from_secs(5)));
        assert!(said.starts_with("warning: "), "{said}");
    }

    #[test]
    fn a_stack_below_a_page_stops_the_start_as_under_fluent_bit() {
        for (size, is_refused) in [
            ("65536", false),
            ("4096", false),
            ("24576 # small", false),
            ("99999999999999999999", false),
            ("4095", true),
            ("small", true),
            ("-5", true),
        ] {
            let (_, said) = read(&[("coro_stack_size", size)], 0, &[]);
            assert_eq!(said.contains("error: "), is_refused, "{size}: {said}");
        }
    }
}
