//! What can go wrong in the tool itself, worded for the person who runs it.

use std::io;

/// The result of everything here that can fail.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A failure of the tool, not of the router under test.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line does not parse.
    #[error("{0}; see --help")]
    Arguments(#[from] lexopt::Error),
    /// An option is missing or two contradict each other.
    #[error("{0}; see --help")]
    Usage(String),
    /// A value is not of the kind its option takes.
    #[error("{text:?} is not {wanted}")]
    Value {
        /// The text as given.
        text: String,
        /// What would have been accepted.
        wanted: &'static str,
    },
    /// The system refused something; `doing` says what was attempted.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was attempted, as a verb phrase.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A peer never came up or never answered.
    #[error("gave up on {what} after {seconds} s; is it running and listening there?")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// A certificate could not be made or read.
    #[error("certificate: {0}")]
    Certificate(String),
    /// A child process or peer said something unexpected.
    #[error("{who} answered something unexpected: {what}")]
    Answer {
        /// Who answered.
        who: String,
        /// What it said, shortened.
        what: String,
    },
    /// No usable cgroup hierarchy.
    #[error(
        "cannot limit the router: {0}; run as root on a host where the memory and cpu controllers are mounted, or leave the limit out"
    )]
    Cgroup(String),
    /// What was measured is not as it must be.
    #[error("a law is broken, see above")]
    Broken,
    /// Stopped by a signal before the work was done.
    #[error("stopped by a signal")]
    Stopped,
}

impl Error {
    /// Puts what was attempted before the system's answer.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
