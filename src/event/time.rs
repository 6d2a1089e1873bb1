//! When an event happened.

/// Seconds and nanoseconds since 1970, as a client sent them.
///
/// Seconds are kept whole, also where they make no date (a client that sends milliseconds lands in the year 55 000):
/// the service decides what is too far ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EventTime {
    /// Whole seconds.
    pub seconds: u64,
    /// Nanoseconds within the second, below 1 000 000 000.
    pub nanos: u32,
}

impl EventTime {
    /// The current time.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            seconds: since.as_secs(),
            nanos: since.subsec_nanos(),
        }
    }

    /// Milliseconds since 1970, the unit of CloudWatch Logs.
    pub fn millis(self) -> i64 {
        let millis = u128::from(self.seconds) * 1000 + u128::from(self.nanos / 1_000_000);
        i64::try_from(millis).unwrap_or(i64::MAX)
    }
}
