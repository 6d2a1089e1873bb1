//! How often a destination may be asked: learned from what its service refuses, and shared by all outputs that ask for the same.
//!
//! As long as nothing is refused there is no limit. A refusal sets one: a little below what the service has granted of late, which
//! is measured. From there the rate comes back to where it was refused in the form of a cubic curve, slowly while it is near, and
//! doubles once it is well beyond. A curve takes at least forty requests, so of forty requests about one is refused. After an outage
//! the rate starts at a few requests a second, so that many routers which waited for the same service do not fall upon it together.
//!
//! Every time is passed in, so that a model of a service can be asked in no time at all.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A limit is never lower, in requests a second; what grants less is left alone after each refusal, longer and longer.
const RATE_MIN: f64 = 1.0;
/// After an outage the rate starts here.
const RATE_RESTART: f64 = 4.0;
/// A limit beyond this is none.
const RATE_MAX: f64 = 2000.0;
/// After a refusal the rate is so much of what was granted.
const CUT: f64 = 0.9;
/// After a second refusal soon after a first one, it is at most so much of what was tried in between.
const CUT_AGAIN: f64 = 0.75;
/// The curve back takes at least so long, and at least so many requests.
const RETURN: Duration = Duration::from_secs(4);
const RETURN_REQUESTS: f64 = 40.0;
/// Beyond the rate that was refused, it doubles in this time.
const DOUBLING: Duration = Duration::from_secs(2);
/// With nothing known of what is granted, it doubles in this time.
const DOUBLING_BLIND: Duration = Duration::from_secs(1);
/// What was granted is measured over this time, or longer where that is not so many answers.
const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(10);
const ANSWERS_MIN: usize = 10;
/// So many answers are remembered.
const ANSWERS_MAX: usize = 256;
/// Less than this part of what is sent may be refused without the rate being cut for it.
const SHARE_MIN: f64 = 0.1;
/// So many answers, at least, tell which part that is, and no more than `ANSWERS_MIN`.
const SHARES_MIN: usize = 3;
/// Where a cut changes that part, being more than `UNMOVED_LEAST`, by less than this share of it, or so many cuts do not help, the rate is
/// not why records are refused, and that they are says nothing for a while.
const UNMOVED_SHARE: f64 = 0.1;
const UNMOVED_LEAST: f64 = 0.3;
const UNMOVED_CUTS: u32 = 4;
const UNMOVED: Duration = Duration::from_secs(10);
/// A service that asks for more patience than this is asked again anyway.
const PAUSE_MAX: Duration = Duration::from_mins(2);

/// What one destination grants, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Pace>);

impl Throttle {
    /// When the next request may go; `None` is now.
    pub(super) fn opens(&self) -> Option<Instant> {
        self.pace().next
    }

    /// The time between two requests; nothing without a limit.
    pub(super) fn spacing(&self, now: Instant) -> Duration {
        let rate = self.pace().rate_at(now);
        rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate))
    }

    /// Notes that a request goes.
    pub(super) fn depart(&self, now: Instant) {
        self.pace().depart(now);
    }

    /// Notes that a request was taken.
    pub(super) fn succeed(&self, now: Instant) {
        self.pace().succeed(now);
    }

    /// Notes that a request which went at `sent` was refused because there were too many; `after` is the time the service names.
    pub(super) fn refuse(&self, sent: Instant, now: Instant, after: Option<Duration>) {
        self.pace().refuse(sent, now, after);
    }

    /// Notes that `share`, of 0..1, of a request which went at `sent` was refused because there were too many records.
    pub(super) fn refuse_partly(&self, sent: Instant, now: Instant, share: f64) {
        self.pace().refuse_partly(sent, now, share);
    }

    /// Notes that an outage is over. `fraction` of 0..1 is the jitter.
    pub(super) fn restart(&self, now: Instant, fraction: f64) {
        self.pace().restart(now, fraction);
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The throttles in use, by what tells destinations apart.
#[derive(Debug, Default)]
pub(super) struct Throttles(Mutex<HashMap<String, Weak<Throttle>>>);

impl Throttles {
    /// That of a destination, which everybody shares who gives the same name.
    pub(super) fn of(&self, name: String) -> Arc<Throttle> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(throttle) = known.get(&name).and_then(Weak::upgrade) {
            return throttle;
        }
        if known.len() == known.capacity() {
            known.retain(|_, throttle| throttle.strong_count() > 0);
        }
        let throttle = Arc::new(Throttle::default());
        known.insert(name, Arc::downgrade(&throttle));
        throttle
    }
}

/// The rate, and what it was learned from.
#[derive(Debug, Default)]
struct Pace {
    limit: Option<Limit>,
    next: Option<Instant>,
    /// When the last requests were taken, and which part of each.
    taken: VecDeque<(Instant, f64)>,
    /// Answers since the last cut, and refusals among them.
    answers: u32,
    refusals: u32,
    /// The part that was refused before the last cut.
    refused: f64,
    /// Cuts that did not help, one after the other.
    unmoved_cuts: u32,
    /// That records are refused says nothing before then.
    unmoved: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Limit {
    /// Requests a second at `since`.
    rate: f64,
    since: Instant,
    /// The rate to come back to; `None` where nothing is known of it.
    aim: Option<f64>,
    /// It comes from a refusal.
    is_cut: bool,
}

impl Limit {
    fn at(&self, now: Instant) -> f64 {
        let time = now.saturating_duration_since(self.since).as_secs_f64();
        let Some(aim) = self.aim else {
            return self.rate * (time / DOUBLING_BLIND.as_secs_f64()).min(64.0).exp2();
        };
        let way = RETURN.as_secs_f64().max(RETURN_REQUESTS / self.rate);
        let gap = aim - self.rate;
        let beyond = (time - way) / way;
        if beyond <= 0.5 {
            return aim + gap * beyond.powi(3);
        }
        let doublings = (time - 1.5 * way) / DOUBLING.as_secs_f64();
        (aim + gap * 0.125) * doublings.min(64.0).exp2()
    }
}

impl Pace {
    fn rate_at(&self, now: Instant) -> Option<f64> {
        self.limit.map(|limit| limit.at(now))
    }

    fn depart(&mut self, now: Instant) {
        match self.rate_at(now) {
            Some(rate) if rate <= RATE_MAX => {
                let space = Duration::from_secs_f64(1.0 / rate);
                self.next = Some(self.next.map_or(now, |next| next.max(now)) + space);
            }
            _ => {
                self.limit = None;
                self.next = self.next.filter(|next| *next > now);
            }
        }
    }

    fn succeed(&mut self, now: Instant) {
        self.take(now, 1.0);
    }

    fn take(&mut self, now: Instant, share: f64) {
        self.answers = self.answers.saturating_add(1);
        if self.taken.len() == ANSWERS_MAX {
            self.taken.pop_front();
        }
        self.taken.push_back((now, share));
    }

    /// The rate becomes that at which whole requests were taken. Where that does not help, records fail for another reason, and asking
    /// less often would only hold them up.
    fn refuse_partly(&mut self, sent: Instant, now: Instant, share: f64) {
        let cut = self.limit.filter(|limit| limit.is_cut);
        if cut.is_some_and(|cut| sent < cut.since) {
            // It knew nothing of the cut.
            return;
        }
        self.take(now, 1.0 - share.clamp(0.0, 1.0));
        let refused = self.refused_of_late(cut.map(|cut| cut.since));
        if refused < SHARE_MIN || self.unmoved.is_some_and(|until| now < until) {
            return;
        }
        let rate = self.rate_at(now);
        // At less than what was granted everything should be.
        let is_below =
            cut.is_some_and(|cut| cut.aim.zip(rate).is_some_and(|(aim, rate)| rate <= aim));
        self.unmoved_cuts = if is_below { self.unmoved_cuts + 1 } else { 0 };
        let is_same = refused > UNMOVED_LEAST
            && (refused - self.refused).abs() < UNMOVED_SHARE * self.refused;
        if is_below && is_same || self.unmoved_cuts > UNMOVED_CUTS {
            self.unmoved_cuts = 0;
            self.unmoved = Some(now + UNMOVED);
            (self.limit, self.next) = (None, None);
            return;
        }
        self.refused = refused;
        let top = rate.map_or_else(|| self.granted(now).0, |rate| rate * (1.0 - refused));
        self.cut(now, top, true);
    }

    /// Which part of the last requests was refused; nothing while there were too few.
    fn refused_of_late(&self, since: Option<Instant>) -> f64 {
        let last = self.taken.iter().rev().take(ANSWERS_MIN);
        let last = last.take_while(|(taken, _)| since.is_none_or(|since| *taken > since));
        let (mut count, mut refused) = (0, 0.0);
        for (_, share) in last {
            count += 1;
            refused += 1.0 - share;
        }
        if count < SHARES_MIN {
            0.0
        } else {
            refused / count as f64
        }
    }

    fn refuse(&mut self, sent: Instant, now: Instant, after: Option<Duration>) {
        if let Some(after) = after {
            let pause = now + after.min(PAUSE_MAX);
            self.next = Some(self.next.map_or(pause, |next| next.max(pause)));
        }
        self.answers = self.answers.saturating_add(1);
        self.refusals = self.refusals.saturating_add(1);
        let cut = self.limit.filter(|limit| limit.is_cut);
        if cut.is_some_and(|cut| sent < cut.since) {
            // It went before the last cut, which it knew nothing of.
            return;
        }
        let rate = self.rate_at(now);
        let soon = rate.map_or(0.0, |rate| (10.0 / rate).max(2.0));
        let is_again =
            cut.is_some_and(|cut| now.saturating_duration_since(cut.since).as_secs_f64() < soon);
        if is_again && self.refusals < 2 && self.answers < 10 {
            // One alone may be chance.
            return;
        }
        let (granted, is_sure) = self.granted(now);
        let mut top = rate.map_or(granted, |rate| rate.min(granted));
        if is_again && let Some(rate) = rate {
            top = top.min(rate * CUT_AGAIN);
        }
        self.cut(now, top, is_sure);
    }

    /// Limits the rate to somewhat less than `top`, which was granted.
    fn cut(&mut self, now: Instant, top: f64, is_sure: bool) {
        let rate = (top * CUT).max(RATE_MIN);
        self.limit = Some(Limit {
            rate,
            since: now,
            aim: is_sure.then(|| top.max(rate)),
            is_cut: true,
        });
        (self.answers, self.refusals) = (0, 0);
        let next = now + Duration::from_secs_f64(1.0 / rate);
        self.next = Some(self.next.map_or(next, |before| before.max(next)));
    }

    fn restart(&mut self, now: Instant, fraction: f64) {
        if self.limit.is_none() {
            self.limit = Some(Limit {
                rate: RATE_RESTART,
                since: now,
                aim: None,
                is_cut: false,
            });
            let wait = Duration::from_secs_f64(fraction.clamp(0.0, 1.0) / RATE_RESTART);
            self.next = Some(now + wait);
        }
    }

    /// The requests a second that were taken of late, and whether there were enough to tell.
    fn granted(&self, now: Instant) -> (f64, bool) {
        let age = |(taken, _): &(Instant, f64)| now.saturating_duration_since(*taken);
        let newest_first = || self.taken.iter().rev();
        let of_window = || newest_first().take_while(|taken| age(taken) <= WINDOW);
        if of_window().count() >= ANSWERS_MIN {
            let span = self.taken.front().map_or(WINDOW, age).min(WINDOW);
            let granted: f64 = of_window().map(|(_, share)| share).sum();
            return (granted / span.as_secs_f64().max(0.01), true);
        }
        let last = || {
            let last = newest_first().take(ANSWERS_MIN);
            last.take_while(|taken| age(taken) <= WINDOW_MAX)
        };
        match last().last() {
            Some(oldest) => {
                let span = age(oldest).max(WINDOW).as_secs_f64();
                let granted: f64 = last().map(|(_, share)| share).sum();
                (granted / span, last().count() >= ANSWERS_MIN)
            }
            None => (RATE_MIN, false),
        }
    }
}

#[cfg(test)]
mod tests;
