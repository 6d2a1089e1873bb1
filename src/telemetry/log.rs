//! Our own log, one line per change of state, in the shape Fluent Bit's users search for:
//!
//! ```text
//! [2026/11/22 22:30:11.352] [ info] [output:cloudwatch_logs:cloudwatch_logs.0] text
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How much a line matters; also what `Log_Level` admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing at all.
    Off,
    /// Data is lost or in danger, or something asked for cannot be done.
    Error,
    /// Something is not as it should be; data is safe.
    Warn,
    /// A change of state.
    Info,
    /// What an engineer wants to see while searching.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// Reads a `Log_Level`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "off" => Self::Off,
            "error" => Self::Error,
            "warn" | "warning" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return None,
        })
    }

    /// The levels that lines have.
    pub const OF_LINES: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// Its name, as `Log_Level` and the counters write it.
    pub fn name(self) -> &'static str {
        self.label().trim_ascii_start()
    }

    fn label(self) -> &'static str {
        match self {
            Self::Off => "  off",
            Self::Error => "error",
            Self::Warn => " warn",
            Self::Info => " info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Everything up to this is written.
static ADMITTED: AtomicU8 = AtomicU8::new(Level::Info as u8);
static FILE: OnceLock<File> = OnceLock::new();
/// Lines written so far, by level.
static LINES: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];
static TROUBLE: Mutex<VecDeque<Trouble>> = Mutex::new(VecDeque::new());

/// So many of the last warnings and errors are kept for the status page, and so much of each.
const TROUBLE_LINES: usize = 20;
const TROUBLE_BYTES: usize = 512;

/// A warning or an error that was written.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// When, as in the log.
    pub at: String,
    /// Which of the two.
    pub level: Level,
    /// Who says so.
    pub component: String,
    /// What it says, cut if it is long.
    pub text: String,
}

/// How many lines of this level were written.
pub fn lines(level: Level) -> u64 {
    LINES
        .get(level as usize)
        .map_or(0, |lines| lines.load(Ordering::Relaxed))
}

/// The last warnings and errors, the newest first.
pub fn trouble() -> Vec<Trouble> {
    kept().iter().rev().cloned().collect()
}

fn kept() -> MutexGuard<'static, VecDeque<Trouble>> {
    TROUBLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(level: Level, at: &jiff::Zoned, component: &str, text: fmt::Arguments<'_>) {
    let mut text = text.to_string();
    text.truncate(text.floor_char_boundary(TROUBLE_BYTES));
    let mut kept = kept();
    if kept.len() >= TROUBLE_LINES {
        kept.pop_front();
    }
    kept.push_back(Trouble {
        at: at.strftime("%Y/%m/%d %H:%M:%S").to_string(),
        level,
        component: component.to_owned(),
        text,
    });
}

/// The components that have a level of their own.
static OWN: RwLock<Vec<(String, Level)>> = RwLock::new(Vec::new());
/// The level of all others.
static COMMON: AtomicU8 = AtomicU8::new(Level::Info as u8);
static JSON: AtomicBool = AtomicBool::new(false);

/// Lines that may wait for a listener; those that find it full stand in the log alone.
pub const QUEUE: usize = 1024;

static LISTENED_TO: AtomicBool = AtomicBool::new(false);
static LISTENERS: Mutex<Vec<Sender<Line>>> = Mutex::new(Vec::new());

/// A line for a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When, in seconds since 1970.
    pub seconds: u64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// How much it matters.
    pub level: Level,
    /// `[component] text`.
    pub text: String,
}

/// Every line that is written from now on, until the receiver is dropped.
pub fn listen() -> Receiver<Line> {
    let (sender, receiver) = channel(QUEUE);
    listeners().push(sender);
    LISTENED_TO.store(true, Ordering::Release);
    receiver
}

fn listeners() -> MutexGuard<'static, Vec<Sender<Line>>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(at: &jiff::Zoned, level: Level, component: &str, text: fmt::Arguments<'_>) {
    let at = at.timestamp();
    let line = Line {
        seconds: u64::try_from(at.as_second()).unwrap_or(0),
        nanos: u32::try_from(at.subsec_nanosecond()).unwrap_or(0),
        level,
        text: format!("[{component}] {text}"),
    };
    let mut listeners = listeners();
    listeners.retain(|listener| {
        // A full one misses the line.
        drop(listener.try_send(line.clone()));
        !listener.is_closed()
    });
    LISTENED_TO.store(!listeners.is_empty(), Ordering::Release);
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As Fluent Bit's.
    Text,
    /// An object of JSON: `time`, `level`, `component`, `message`.
    Json,
}

/// Sets what is written.
pub fn admit(level: Level) {
    ADMITTED.store(level as u8, Ordering::Relaxed);
    COMMON.store(level as u8, Ordering::Relaxed);
}

/// Sets how lines look from now on.
pub fn write_as(format: Format) {
    JSON.store(format == Format::Json, Ordering::Relaxed);
}

/// Gives components levels of their own, in place of those given before. Where nothing at all is
/// logged, it stays so.
pub fn admit_own(levels: Vec<(String, Level)>) {
    let common = COMMON.load(Ordering::Relaxed);
    if common == Level::Off as u8 {
        return;
    }
    let loudest = levels.iter().map(|(_, level)| *level as u8).max();
    *OWN.write().unwrap_or_else(PoisonError::into_inner) = levels;
    ADMITTED.store(common.max(loudest.unwrap_or(common)), Ordering::Relaxed);
}

/// Whether a component's lines of this level are written.
fn admits_of(component: &str, level: Level) -> bool {
    let own = OWN.read().unwrap_or_else(PoisonError::into_inner);
    let found = own.iter().find(|(known, _)| known == component);
    let limit = found.map_or(COMMON.load(Ordering::Relaxed), |(_, level)| *level as u8);
    level as u8 <= limit
}

/// Writes to `file` from now on, behind what it holds.
///
/// # Errors
/// When it cannot be opened.
pub fn to_file(file: &Path) -> io::Result<()> {
    let file = File::options().append(true).create(true).open(file)?;
    // A second call keeps the first file: a process has one log.
    drop(FILE.set(file));
    Ok(())
}

/// Whether lines of this level are written.
#[inline]
pub fn admits(level: Level) -> bool {
    level as u8 <= ADMITTED.load(Ordering::Relaxed)
}

/// Writes one line; the macros are shorter.
pub fn write(level: Level, component: &str, text: fmt::Arguments<'_>) {
    if !admits(level) || !admits_of(component, level) {
        return;
    }
    if let Some(lines) = LINES.get(level as usize) {
        lines.fetch_add(1, Ordering::Relaxed);
    }
    let now = jiff::Zoned::now();
    if level <= Level::Warn {
        keep(level, &now, component, text);
    }
    if LISTENED_TO.load(Ordering::Acquire) {
        tell(&now, level, component, text);
    }
    let line = if JSON.load(Ordering::Relaxed) {
        json_line(&now, level, component, text)
    } else {
        text_line(&now, level, component, text)
    };
    emit(line.as_bytes());
}

/// A line as Fluent Bit writes it.
fn text_line(now: &jiff::Zoned, level: Level, component: &str, text: fmt::Arguments<'_>) -> String {
    format!(
        "[{}.{:03}] [{}] [{component}] {text}\n",
        now.strftime("%Y/%m/%d %H:%M:%S"),
        now.millisecond(),
        level.label()
    )
}

/// A line as an object of JSON, for those who collect the log by a program.
fn json_line(now: &jiff::Zoned, level: Level, component: &str, text: fmt::Arguments<'_>) -> String {
    let time = now.strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string();
    let level = level.label().trim_ascii_start();
    let line = serde_json::json!({"time": time, "level": level, "component": component, "message": text.to_string()});
    format!("{line}\n")
}

/// The line about a signal, which is written whatever the level is.
pub fn signal(name: &str) {
    let line = format!(
        "[{}] [engine] caught signal ({name})\n",
        jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S")
    );
    drop(io::stderr().write_all(line.as_bytes()));
}

/// A text that was asked for, which goes to standard error whatever the level is.
pub fn raw(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// A log that cannot be written must not stop the logs that can: errors are ignored.
fn emit(line: &[u8]) {
    match FILE.get() {
        Some(mut file) => drop(file.write_all(line)),
        None => drop(io::stderr().write_all(line)),
    }
}

/// Lets one line through every few seconds, so that a hostile or broken peer cannot flood the log.
#[derive(Debug, Default)]
pub struct Limiter {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Limiter {
    const PERIOD: Duration = Duration::from_secs(5);

    /// Whether a line may go out now; then what to append about those held back since the last one.
    pub fn admit(&self) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held_back) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < Self::PERIOD) {
            *held_back += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(match std::mem::take(held_back) {
            0 => String::new(),
            count => format!(" ({count} more like this since the last such line)"),
        })
    }
}

/// Writes an error line: `error!("component", "text {}", value)`.
#[macro_export]
macro_rules! error {
    ($component:expr, $($text:tt)+) => {
        $crate::telemetry::log::write($crate::telemetry::log::Level::Error, $component, format_args!($($text)+))
    };
}

/// Writes a warning.
#[macro_export]
macro_rules! warning {
    ($component:expr, $($text:tt)+) => {
        $crate::telemetry::log::write($crate::telemetry::log::Level::Warn, $component, format_args!($($text)+))
    };
}

/// Writes an info line.
#[macro_export]
macro_rules! info {
    ($component:expr, $($text:tt)+) => {
        $crate::telemetry::log::write($crate::telemetry::log::Level::Info, $component, format_args!($($text)+))
    };
}

/// Writes a debug line.
#[macro_export]
macro_rules! debug {
    ($component:expr, $($text:tt)+) => {
        $crate::telemetry::log::write($crate::telemetry::log::Level::Debug, $component, format_args!($($text)+))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_warnings_are_kept_and_cut() {
        let long = "é".repeat(TROUBLE_BYTES);
        let now = jiff::Zoned::now();
        for _ in 0..=TROUBLE_LINES {
            keep(Level::Warn, &now, "log-test", format_args!("{long}"));
        }
        let kept = trouble();
        assert_eq!(kept.len(), TROUBLE_LINES);
        let mine = kept.iter().find(|line| line.component == "log-test");
        assert_eq!(mine.unwrap().text, "é".repeat(TROUBLE_BYTES / 2));
    }

    /// Checklist: engine 56; firelens 40
    #[test]
    fn a_line_is_text_or_json() {
        let now = jiff::civil::date(2026, 11, 22).at(22, 30, 11, 352_000_000);
        let now = now.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let said = format_args!("said \"x\"");
        assert_eq!(
            text_line(&now, Level::Warn, "engine", said),
            "[2026/11/22 22:30:11.352] [ warn] [engine] said \"x\"\n"
        );
        assert_eq!(
            json_line(&now, Level::Warn, "engine", said),
            "{\"component\":\"engine\",\"level\":\"warn\",\"message\":\"said \\\"x\\\"\",\"time\":\"2026-11-22T22:30:11.352+00:00\"}\n"
        );
    }

    #[test]
    fn levels_read_as_in_a_configuration() {
        assert_eq!(Level::parse("Warning"), Some(Level::Warn));
        assert_eq!(Level::parse("info"), Some(Level::Info));
        assert_eq!(Level::parse("verbose"), None);
        assert!(Level::Error < Level::Debug);
    }
}
