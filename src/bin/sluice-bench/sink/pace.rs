//! A rate that is granted: so many requests each second, and the rest is refused.

use std::time::Instant;

use crate::args;
use crate::error::Result;

/// A bucket of tokens that holds one second's worth, as the services' own limits do.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    per_second: f64,
    tokens: f64,
    filled: Option<Instant>,
}

impl Pace {
    /// Reads requests per second; 0 sets no limit.
    ///
    /// # Errors
    /// When it is not a whole number.
    pub(super) fn parse(text: &str) -> Result<Self> {
        Ok(Self {
            per_second: crate::stats::approx(args::count(text)?),
            ..Self::default()
        })
    }

    /// Whether a request at `now` is granted.
    pub(super) fn grants(&mut self, now: Instant) -> bool {
        if self.per_second <= 0.0 {
            return true;
        }
        let since = self.filled.map(|at| now.saturating_duration_since(at));
        self.filled = Some(now);
        self.tokens = since.map_or(self.per_second, |since| {
            (self.tokens + since.as_secs_f64() * self.per_second).min(self.per_second)
        });
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_grants_the_rate_and_no_more() {
        let mut pace = Pace::parse("5").unwrap();
        let begin = Instant::now();
        let mut granted = |millis: u64| {
            (0..100)
                .filter(|_| pace.grants(begin + Duration::from_millis(millis)))
                .count()
        };
        assert_eq!((granted(0), granted(400), granted(9_000)), (5, 2, 5));
    }

    #[test]
    fn none_is_no_limit() {
        let mut pace = Pace::parse("0").unwrap();
        assert!((0..1000).all(|_| pace.grants(Instant::now())));
    }
}
