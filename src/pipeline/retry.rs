//! Again, later or never: the only policy.
//!
//! A destination that fails is left alone for a random time between nothing and a bound that doubles with every failure
//! ("full jitter": many routers that failed together do not come back together). Where the service names a time, that is the least.
//! The first time it is throttled it waits for its turn only, which [`throttle`](super::throttle) decides.

use std::time::{Duration, Instant};

/// The first bound after a failure.
const BASE: Duration = Duration::from_millis(200);
/// The first bound after throttling: less would only be throttled again.
const THROTTLED_BASE: Duration = Duration::from_millis(500);
/// The last bound.
const CAP: Duration = Duration::from_secs(30);
/// The last bound for each destination that fails: one of them tries at least so often, and where it succeeds the others follow.
pub(super) const CAP_EACH: Duration = Duration::from_secs(3);
/// The bound while the process is ending: better to try than to leave behind.
const DRAIN_CAP: Duration = Duration::from_secs(1);
/// A service that asks for more patience than this is asked again anyway.
const AFTER_MAX: Duration = Duration::from_mins(2);

/// How an output tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Retries an event may have; `None` for as many as it takes.
    pub limit: Option<u32>,
    /// The first bound; `scheduler.base` where it is set.
    pub base: Duration,
    /// The first bound after throttling.
    pub throttled_base: Duration,
    /// The last bound; `scheduler.cap` where it is set.
    pub cap: Duration,
    /// The last bound is shorter while few destinations fail, and after an outage the rate is low at first; not where a bound is set.
    pub adapts: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            limit: None,
            base: BASE,
            throttled_base: THROTTLED_BASE,
            cap: CAP,
            adapts: true,
        }
    }
}

impl Policy {
    /// Takes over `scheduler.base` and `scheduler.cap`.
    pub fn with_scheduler(mut self, base: Option<Duration>, cap: Option<Duration>) -> Self {
        if let Some(base) = base {
            self.base = base;
            self.throttled_base = base;
        }
        // A cap below the base means: always that long.
        self.cap = cap.unwrap_or(self.cap.max(self.base));
        self.adapts &= base.is_none() && cap.is_none();
        self
    }

    /// The policy while so many destinations of an output fail. An outage is noticed to be over within seconds, and many
    /// destinations do not ask more often than one would.
    pub(super) fn among(mut self, failing: usize) -> Self {
        if self.adapts {
            let failing = u32::try_from(failing.max(1)).unwrap_or(u32::MAX);
            self.cap = self.cap.min(CAP_EACH.saturating_mul(failing));
        }
        self
    }

    /// Whether an event that has been retried so often may be retried again.
    pub fn allows(&self, retries: u32) -> bool {
        self.limit.is_none_or(|limit| retries <= limit)
    }
}

/// A destination's gate: closed for a while after a failure.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gate {
    failures: u32,
    throttled: bool,
    opens: Option<Instant>,
}

impl Gate {
    /// When the next request may go; `None` is now.
    pub(super) fn opens(&self) -> Option<Instant> {
        self.opens
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the last failure was that the service is asked too much.
    pub(super) fn is_throttled(&self) -> bool {
        self.throttled
    }

    /// Notes that a request was taken.
    pub(super) fn succeed(&mut self) {
        self.failures = 0;
        self.opens = None;
    }

    /// Notes that another destination of the same service was served: what failed here may be over as well.
    pub(super) fn hear_of_success(&mut self, policy: &Policy, now: Instant, fraction: f64) {
        if self.failures > 0 && !self.throttled {
            let soon = now + policy.base.mul_f64(fraction.clamp(0.0, 1.0));
            self.opens = self.opens.map(|opens| opens.min(soon));
        }
    }

    /// Notes that a request, or a share of it, was not taken and says how long to wait. `fraction` of 0..1 is the jitter.
    pub(super) fn fail(
        &mut self,
        policy: &Policy,
        failure: Failure,
        draining: bool,
        now: Instant,
        fraction: f64,
    ) -> Duration {
        self.throttled = failure.throttled;
        let wait = if failure.share < 1.0 {
            // The service takes requests; a few records come again with the next one, the more the later.
            self.failures = 0;
            policy.base.mul_f64(failure.share.max(0.0) * fraction)
        } else {
            self.wait_for_all(policy, failure, draining, fraction)
        };
        self.opens = Some(now + wait);
        wait
    }

    fn wait_for_all(
        &mut self,
        policy: &Policy,
        failure: Failure,
        draining: bool,
        fraction: f64,
    ) -> Duration {
        let (base, doublings) = if failure.throttled {
            (policy.throttled_base, self.failures.checked_sub(1))
        } else {
            (policy.base, Some(self.failures))
        };
        let cap = if draining {
            policy.cap.min(DRAIN_CAP)
        } else {
            policy.cap
        };
        let bound = doublings.map_or(Duration::ZERO, |doublings| {
            base.saturating_mul(1 << doublings.min(16)).min(cap)
        });
        self.failures += 1;
        let least = failure.after.unwrap_or_default();
        let least = least.min(if draining { DRAIN_CAP } else { AFTER_MAX });
        bound.mul_f64(fraction.clamp(0.0, 1.0)).max(least)
    }
}

/// What is known of a failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Failure {
    /// The service is asked too much.
    pub(super) throttled: bool,
    /// It names a time to wait.
    pub(super) after: Option<Duration>,
    /// Which part of the request it did not take; 1 is all of it.
    pub(super) share: f64,
}

impl Failure {
    /// The whole request failed, and that is all that is known.
    pub(super) fn whole() -> Self {
        Self {
            throttled: false,
            after: None,
            share: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Failure = Failure {
        throttled: false,
        after: None,
        share: 1.0,
    };
    const THROTTLED: Failure = Failure {
        throttled: true,
        after: None,
        share: 1.0,
    };

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let (policy, now) = (Policy::default(), Instant::now());
        let mut gate = Gate::default();
        let waits: Vec<_> = (0..10)
            .map(|_| gate.fail(&policy, FAILED, false, now, 1.0).as_millis())
            .collect();
        assert_eq!(
            waits,
            [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]
        );
    }

    #[test]
    fn jitter_is_full() {
        let mut gate = Gate::default();
        assert_eq!(
            gate.fail(&Policy::default(), FAILED, false, Instant::now(), 0.0),
            Duration::ZERO
        );
    }

    #[test]
    fn the_service_may_ask_for_more_patience() {
        let mut gate = Gate::default();
        let failure = Failure {
            throttled: true,
            after: Some(Duration::from_secs(7)),
            share: 1.0,
        };
        assert_eq!(
            gate.fail(&Policy::default(), failure, false, Instant::now(), 0.0),
            Duration::from_secs(7)
        );
        let mut gate = Gate::default();
        assert_eq!(
            gate.fail(&Policy::default(), failure, true, Instant::now(), 0.0),
            DRAIN_CAP
        );
    }

    #[test]
    fn the_first_time_throttled_only_the_turn_is_waited_for() {
        let (policy, now) = (Policy::default(), Instant::now());
        let mut gate = Gate::default();
        let waits: Vec<_> = (0..4)
            .map(|_| gate.fail(&policy, THROTTLED, false, now, 1.0).as_millis())
            .collect();
        assert_eq!(waits, [0, 500, 1000, 2000]);
        gate.succeed();
        assert_eq!(gate.opens(), None);
    }

    #[test]
    fn the_last_bound_grows_with_those_that_fail_unless_it_is_set() {
        let cap = |policy: Policy, failing| policy.among(failing).cap.as_secs();
        let policy = Policy::default();
        assert_eq!(
            [1, 2, 10, 11].map(|failing| cap(policy, failing)),
            [3, 6, 30, 30]
        );
        let set = policy.with_scheduler(None, Some(Duration::from_mins(1)));
        assert_eq!(cap(set, 1), 60);
        let base = policy.with_scheduler(Some(Duration::from_secs(9)), None);
        assert_eq!(cap(base, 1), 30);
    }

    #[test]
    fn a_limit_counts_retries_and_none_means_for_ever() {
        let policy = Policy {
            limit: Some(1),
            ..Policy::default()
        };
        assert!(policy.allows(1));
        assert!(!policy.allows(2));
        assert!(Policy::default().allows(u32::MAX));
    }

    #[test]
    fn a_few_failed_records_hold_up_the_others_hardly_at_all() {
        let mut gate = Gate::default();
        let failure = Failure {
            throttled: true,
            after: None,
            share: 0.2,
        };
        for _ in 0..5 {
            let wait = gate.fail(&Policy::default(), failure, false, Instant::now(), 1.0);
            assert_eq!(wait, Duration::from_millis(40));
        }
    }

    #[test]
    fn one_destination_that_is_served_again_opens_the_others() {
        let (policy, now) = (Policy::default(), Instant::now());
        let mut gate = Gate::default();
        for _ in 0..9 {
            gate.fail(&policy, FAILED, false, now, 1.0);
        }
        gate.hear_of_success(&policy, now, 0.5);
        assert_eq!(gate.opens(), Some(now + Duration::from_millis(100)));
        let mut throttled = Gate::default();
        throttled.fail(&policy, THROTTLED, false, now, 1.0);
        let wait = throttled.fail(&policy, THROTTLED, false, now, 1.0);
        throttled.hear_of_success(&policy, now, 0.5);
        assert_eq!(throttled.opens(), Some(now + wait));
    }
}
