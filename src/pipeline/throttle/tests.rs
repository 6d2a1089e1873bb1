//! Throttles against a model of a service: a bucket of permits that fills at the rate it grants.

use super::super::retry::{Failure, Gate, Policy};
use super::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// From a request to its answer.
const LATENCY: f64 = 0.02;
/// Requests a router has in flight.
const LANES: usize = 4;

/// A service.
struct Service {
    rate: f64,
    burst: f64,
    permits: f64,
    asked: f64,
    /// It answers nothing but errors before.
    up: f64,
}

impl Service {
    fn granting(rate: f64, burst: f64) -> Self {
        Self {
            rate,
            burst,
            permits: burst,
            asked: 0.0,
            up: 0.0,
        }
    }

    fn ask(&mut self, at: f64) -> Outcome {
        if at < self.up {
            return Outcome::Down;
        }
        self.permits = (self.permits + (at - self.asked) * self.rate).min(self.burst);
        self.asked = at;
        if self.permits < 1.0 {
            return Outcome::Refused;
        }
        self.permits -= 1.0;
        Outcome::Taken
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken,
    Refused,
    Down,
}

/// What happens next in the model, in nanoseconds from its start; of a router's lane.
type Step = Reverse<(u64, usize, usize, u64)>;

/// Lets routers, which always have something to send, ask a service; gives when which answer came.
fn simulate(service: &mut Service, routers: usize, seconds: f64) -> Vec<(f64, Outcome)> {
    let mut random = fastrand::Rng::with_seed(7);
    let (start, policy) = (Instant::now(), Policy::default());
    let at = |nanos: u64| start + Duration::from_nanos(nanos);
    let throttles: Vec<_> = (0..routers).map(|_| Throttle::default()).collect();
    let mut gates = vec![[Gate::default(); LANES]; routers];
    let mut steps: BinaryHeap<Step> = BinaryHeap::new();
    for router in 0..routers {
        steps.extend((0..LANES).map(|lane| Reverse((random.u64(..10_000_000), router, lane, 0))));
    }
    let mut answers = Vec::new();
    while let Some(Reverse((nanos, router, lane, _))) = steps.pop() {
        let (now, time) = (at(nanos), nanos as f64 / 1e9);
        if time > seconds {
            break;
        }
        let (throttle, gate) = (&throttles[router], &mut gates[router][lane]);
        let opens = gate.opens().into_iter().chain(throttle.opens()).max();
        if let Some(opens) = opens.filter(|opens| *opens > now) {
            let next = (opens - start).as_nanos() as u64;
            steps.push(Reverse((next, router, lane, 0)));
            continue;
        }
        throttle.depart(now);
        let outcome = service.ask(time);
        answers.push((time, outcome));
        let done = nanos + (LATENCY * 1e9) as u64;
        match outcome {
            Outcome::Taken => {
                let failures = gate.failures();
                gate.succeed();
                throttle.succeed(at(done));
                if failures >= 3 && !gate.is_throttled() {
                    throttle.restart(at(done), random.f64());
                }
            }
            Outcome::Refused | Outcome::Down => {
                let throttled = outcome == Outcome::Refused;
                let failure = Failure {
                    throttled,
                    ..Failure::whole()
                };
                if throttled {
                    throttle.refuse(now, at(done), None);
                }
                gate.fail(&policy.among(1), failure, false, at(done), random.f64());
            }
        }
        steps.push(Reverse((done, router, lane, 0)));
    }
    answers
}

fn taken(answers: &[(f64, Outcome)], from: f64, to: f64) -> f64 {
    let within =
        |(time, outcome): &&(f64, Outcome)| *outcome == Outcome::Taken && (from..to).contains(time);
    answers.iter().filter(within).count() as f64 / (to - from)
}

fn wasted(answers: &[(f64, Outcome)], from: f64) -> f64 {
    let since: Vec<_> = answers.iter().filter(|(time, _)| *time >= from).collect();
    let refused = since
        .iter()
        .filter(|(_, outcome)| *outcome == Outcome::Refused);
    refused.count() as f64 / since.len() as f64
}

/// Checklist: outputs 32
#[test]
fn a_router_settles_at_what_its_service_grants_within_ten_seconds() {
    for rate in [5.0, 20.0, 50.0, 100.0, 150.0] {
        for burst in [2.0, rate, 5.0 * rate] {
            let mut service = Service::granting(rate, burst);
            let answers = simulate(&mut service, 1, 70.0);
            let settled = taken(&answers, 10.0, 40.0) / rate;
            let case = format!("{rate} a second, bursts of {burst}");
            assert!((0.9..=1.1).contains(&settled), "{case}: {settled}");
            // At a few requests a second those in flight at the first refusal are already many.
            let since = if rate < 20.0 { 10.0 } else { 0.0 };
            let waste = wasted(&answers, since);
            assert!(waste < 0.05, "{case}: {waste} of the requests were refused");
        }
    }
}

/// Checklist: outputs 32
#[test]
fn a_service_that_grants_less_or_more_than_before_is_followed() {
    for (before, after) in [(100.0, 30.0), (30.0, 100.0)] {
        let mut service = Service::granting(before, before);
        let mut answers = Vec::new();
        let (start, throttle) = (Instant::now(), Throttle::default());
        let mut now = 0.0;
        while now < 60.0 {
            if now >= 30.0 {
                service.rate = after;
                service.burst = after;
            }
            let clock = start + Duration::from_secs_f64(now);
            if let Some(opens) = throttle.opens().filter(|opens| *opens > clock) {
                now = (opens - start).as_secs_f64();
                continue;
            }
            throttle.depart(clock);
            let outcome = service.ask(now);
            answers.push((now, outcome));
            match outcome {
                Outcome::Taken => throttle.succeed(clock),
                _ => throttle.refuse(clock, clock, None),
            }
            now += 0.005;
        }
        let settled = taken(&answers, 40.0, 60.0) / after;
        assert!(
            (0.9..=1.1).contains(&settled),
            "{before} to {after}: {settled}"
        );
    }
}

#[test]
fn a_fleet_that_restarts_after_an_outage_does_not_throttle_itself() {
    for (routers, rate) in [(20, 100.0), (50, 300.0)] {
        let mut service = Service::granting(rate, rate);
        service.up = 30.0;
        let answers = simulate(&mut service, routers, 90.0);
        let waste = wasted(&answers, 30.0);
        assert!(
            waste < 0.06,
            "{routers} routers: {waste} of the requests were refused"
        );
        let used = taken(&answers, 35.0, 90.0) / rate;
        assert!(used > 0.9, "{routers} routers use {used} of what they may");
    }
}

#[test]
fn nothing_is_limited_before_a_refusal() {
    let (throttle, now) = (Throttle::default(), Instant::now());
    for _ in 0..1000 {
        throttle.depart(now);
        throttle.succeed(now);
    }
    assert_eq!(
        (throttle.opens(), throttle.spacing(now)),
        (None, Duration::ZERO)
    );
}

#[test]
fn the_time_a_service_names_holds_for_everybody_and_has_an_end() {
    let (throttles, now) = (Throttles::default(), Instant::now());
    let one = throttles.of("logs".to_owned());
    one.refuse(now, now, Some(Duration::from_secs(7)));
    let other = throttles.of("logs".to_owned());
    assert_eq!(other.opens(), Some(now + Duration::from_secs(7)));
    assert_eq!(throttles.of("firehose".to_owned()).opens(), None);
    other.refuse(now, now, Some(Duration::from_hours(1)));
    assert_eq!(one.opens(), Some(now + PAUSE_MAX));
}

#[test]
fn requests_that_went_before_a_cut_do_not_cut_again() {
    let (throttle, start) = (Throttle::default(), Instant::now());
    let at = |millis| start + Duration::from_millis(millis);
    for millis in 0..100 {
        throttle.succeed(at(10 * millis));
    }
    throttle.refuse(at(990), at(1000), None);
    let spacing = throttle.spacing(at(1000));
    for _ in 0..50 {
        throttle.refuse(at(995), at(1001), None);
    }
    assert_eq!(throttle.spacing(at(1000)), spacing);
    assert!(spacing < Duration::from_millis(12), "{spacing:?}");
}

#[test]
fn throttles_that_nobody_holds_are_forgotten() {
    let throttles = Throttles::default();
    for name in 0..1000 {
        drop(throttles.of(name.to_string()));
    }
    assert!(throttles.0.lock().unwrap().len() < 100);
}

/// Sends requests of 500 records, those that failed first, to a service that says which part of each it takes; gives when it was asked
/// and how many records it took.
fn send_records(
    throttle: &Throttle,
    seconds: f64,
    mut takes: impl FnMut(f64) -> f64,
) -> Vec<(f64, f64)> {
    let (start, mut now, mut answers) = (Instant::now(), 0.0, Vec::new());
    while now < seconds {
        let clock = start + Duration::from_secs_f64(now);
        if let Some(opens) = throttle.opens().filter(|opens| *opens > clock) {
            now = (opens - start).as_secs_f64();
            continue;
        }
        throttle.depart(clock);
        let taken = takes(now);
        answers.push((now, taken));
        let answered = clock + Duration::from_secs_f64(LATENCY);
        if taken < 500.0 {
            throttle.refuse_partly(clock, answered, 1.0 - taken / 500.0);
        } else {
            throttle.succeed(answered);
        }
        now += LATENCY;
    }
    answers
}

/// Checklist: outputs 32
#[test]
fn a_service_that_takes_so_many_records_a_second_is_not_sent_many_more() {
    for rate in [1000.0, 4000.0, 10_000.0] {
        let (mut permits, mut asked) = (rate, 0.0);
        let throttle = Throttle::default();
        let answers = send_records(&throttle, 60.0, |now| {
            permits = (permits + (now - asked) * rate).min(rate);
            asked = now;
            let taken = permits.min(500.0);
            permits -= taken;
            taken
        });
        let late: Vec<_> = answers.iter().filter(|(now, _)| *now >= 10.0).collect();
        let taken: f64 = late.iter().map(|(_, taken)| taken).sum();
        let used = taken / 50.0 / rate;
        assert!((0.8..=1.1).contains(&used), "{rate}: {used} of it is used");
        let again = 1.0 - taken / (late.len() as f64 * 500.0);
        assert!(again < 0.1, "{rate}: {again} of the records came again");
    }
}

#[test]
fn records_that_fail_at_any_rate_are_not_sent_more_slowly_for_long() {
    for share in [0.1, 0.5, 0.99] {
        let throttle = Throttle::default();
        let answers = send_records(&throttle, 60.0, |_| 500.0 * (1.0 - share));
        // A router without a limit would have asked so often.
        let used = answers.len() as f64 * LATENCY / 60.0;
        assert!(used > 0.6, "{share}: {used}");
    }
}
