//! `throttle`: lets so many records pass in a time.
//!
//! | setting | effect |
//! |---|---|
//! | `Rate` | records for each interval, on average; 1 and less is 1 |
//! | `Window` | intervals over which the average is taken; 1 and less is 5 |
//! | `Interval` | a time, 1 s by default |
//! | `Print_Status` | log the rate at each interval in which records come |
//!
//! A ring has a slot for each interval of the window. A record passes while what passed, in all slots together, divided by
//! the window is below the rate; it is counted in the current slot. All tags share the ring.
//! <https://docs.fluentbit.io/manual/pipeline/filters/throttle>

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Filter, Means, Verdict, View};
use crate::config::{Settings, value};

/// The longest window: a slot takes eight bytes.
const WINDOW_MAX: i64 = 1_000_000;

/// What passed lately.
struct Ring {
    slots: Vec<u64>,
    current: usize,
    total: u64,
    /// How many intervals have begun.
    begun: u128,
}

impl Ring {
    fn new(window: usize) -> Self {
        Self {
            slots: vec![0; window],
            current: 0,
            total: 0,
            begun: 0,
        }
    }

    /// Moves on to the interval of this number and forgets what leaves the window; gives whether it is another one.
    fn advance(&mut self, interval: u128) -> bool {
        let passed = interval.saturating_sub(self.begun);
        self.begun = interval.max(self.begun);
        let window = self.slots.len();
        for _ in 0..passed.min(window as u128) {
            self.current = (self.current + 1) % window;
            if let Some(slot) = self.slots.get_mut(self.current) {
                self.total -= std::mem::take(slot);
            }
        }
        passed > 0
    }

    /// Counts one more record if the average stays below the rate.
    fn admit(&mut self, rate: f64) -> bool {
        if self.total as f64 / self.slots.len() as f64 >= rate {
            return false;
        }
        self.total += 1;
        if let Some(slot) = self.slots.get_mut(self.current) {
            *slot += 1;
        }
        true
    }
}

struct Throttle {
    rate: f64,
    interval: Duration,
    print_status: bool,
    started: Instant,
    /// One for all connections, as the rate is. It is held for a few additions.
    ring: Mutex<Ring>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let rate = settings.number("rate").filter(|rate| *rate > 1.0);
    let window = settings
        .integer_in("window", i64::MIN..=WINDOW_MAX)
        .filter(|window| *window > 1);
    Box::new(Throttle {
        rate: rate.unwrap_or(1.0),
        interval: interval(settings),
        print_status: settings.flag("print_status", false),
        started: Instant::now(),
        ring: Mutex::new(Ring::new(
            window
                .and_then(|window| usize::try_from(window).ok())
                .unwrap_or(5),
        )),
    })
}

fn interval(settings: &mut Settings<'_>) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(1);
    let Some(text) = settings.text("interval") else {
        return DEFAULT;
    };
    let interval = value::duration(&text).filter(|interval| !interval.is_zero());
    interval.unwrap_or_else(|| {
        settings.lapse(
            "interval",
            format!("`{text}` is no time: write a number and s, m, h or d"),
            "it is one second",
        );
        DEFAULT
    })
}

impl Throttle {
    /// Whether a record may pass that comes so long after the start.
    fn admit(&self, elapsed: Duration) -> bool {
        let interval = elapsed.as_nanos() / self.interval.as_nanos().max(1);
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.advance(interval) && self.print_status {
            crate::info!(
                "filter:throttle",
                "limit is {:.2} per {:?} with window size of {}, current rate is: {} per interval",
                self.rate,
                self.interval,
                ring.slots.len(),
                ring.total / ring.slots.len() as u64
            );
        }
        ring.admit(self.rate)
    }
}

impl Filter for Throttle {
    fn apply(&self, _: &mut View<'_>) -> Verdict {
        if self.admit(self.started.elapsed()) {
            Verdict::Keep
        } else {
            Verdict::Drop
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of records at these milliseconds, which ones pass.
    fn passing(rate: f64, window: usize, interval: u64, moments: &[u64]) -> Vec<u64> {
        let throttle = Throttle {
            rate,
            interval: Duration::from_millis(interval),
            print_status: true,
            started: Instant::now(),
            ring: Mutex::new(Ring::new(window)),
        };
        let passes = |moment: &&u64| throttle.admit(Duration::from_millis(**moment));
        moments.iter().filter(passes).copied().collect()
    }

    /// Checklist: filters 70
    #[test]
    fn a_burst_passes_up_to_rate_times_window() {
        assert_eq!(passing(3.0, 4, 60_000, &[0; 20]).len(), 12);
        assert_eq!(passing(1.5, 2, 60_000, &[0; 6]).len(), 3);
    }

    /// Checklist: filters 70
    #[test]
    fn a_slot_is_free_again_when_it_has_left_the_window() {
        let moments: Vec<u64> = (0..40).map(|tenth| tenth * 100).collect();
        assert_eq!(
            passing(2.0, 2, 1000, &moments),
            [0, 100, 200, 300, 2000, 2100, 2200, 2300]
        );
    }

    #[test]
    fn a_long_silence_empties_the_window() {
        assert_eq!(passing(2.0, 3, 10, &[0, 0, 1_000_000, 1_000_000]).len(), 4);
        assert_eq!(
            passing(1.0, 2, 10, &[0, 0, 0, 5, 10, 1_000_000_000]),
            [0, 0, 1_000_000_000]
        );
    }

    #[test]
    fn what_is_too_small_or_no_time_falls_back_to_the_defaults() {
        use super::super::testing::{built, filtered};
        let passed = |properties: &[(&str, &str)]| {
            let (filter, problems) = built(build, properties);
            let passed = (0..40)
                .filter(|_| filtered(&*filter, "{}").is_some())
                .count();
            (passed, problems.len())
        };
        assert_eq!(passed(&[("interval", "1h")]), (5, 0));
        assert_eq!(
            passed(&[("rate", "0.5"), ("window", "1"), ("interval", "1h")]),
            (5, 0)
        );
        assert_eq!(
            passed(&[("rate", "2"), ("window", "2"), ("interval", "1d")]),
            (4, 0)
        );
        let (_, problems) = built(build, &[("interval", "5x")]);
        assert!(
            problems
                .concat()
                .contains("warning: command line: key `interval`: `5x` is no time")
        );
    }
}
