//! Our own log, one line per change of state, in the shape Fluent Bit's users search for:
//!
//! ```text
//! [2026/11/22 22:30:11.352] [ info] [output:cloudwatch_logs:cloudwatch_logs.0] text
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

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

/// Sets what is written.
pub fn admit(level: Level) {
    ADMITTED.store(level as u8, Ordering::Relaxed);
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
    if !admits(level) {
        return;
    }
    let now = jiff::Zoned::now();
    let line = format!(
        "[{}.{:03}] [{}] [{component}] {text}\n",
        now.strftime("%Y/%m/%d %H:%M:%S"),
        now.millisecond(),
        level.label()
    );
    emit(line.as_bytes());
}

/// The line about a signal, which is written whatever the level is.
pub fn signal(name: &str) {
    let line = format!(
        "[{}] [engine] caught signal ({name})\n",
        jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S")
    );
    drop(io::stderr().write_all(line.as_bytes()));
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
    use super::Level;

    #[test]
    fn levels_read_as_in_a_configuration() {
        assert_eq!(Level::parse("Warning"), Some(Level::Warn));
        assert_eq!(Level::parse("info"), Some(Level::Info));
        assert_eq!(Level::parse("verbose"), None);
        assert!(Level::Error < Level::Debug);
    }
}
