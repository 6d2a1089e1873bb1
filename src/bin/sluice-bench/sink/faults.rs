//! Misbehaviour on demand, the same for the same seed and order of requests.

use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::answer::ApiError;
use super::issue;
use super::line::{WireFault, WireFaults};
use super::pace::Pace;
use crate::args;
use crate::error::{Error, Result};
use crate::random::Random;

/// The names that [`Faults::set`] takes, for the command line.
pub(super) const NAMES: &[&str] = &[
    "throttle",
    "fail",
    "fail-partly",
    "reset",
    "hang",
    "delay",
    "outage",
    "read-rate",
    "deny",
    "expired",
    "rate",
    "create-rate",
    "page",
    "cut-request",
    "cut-answer",
    "end-answer",
    "stall-answer",
    "slow-answer",
    "garbage",
    "hang-connect",
    "hang-tls",
    "seed",
];

/// What shall go wrong, and how often.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    throttle: f64,
    fail: f64,
    fail_partly: f64,
    reset: f64,
    hang: f64,
    delay: Duration,
    outage: Option<Outage>,
    /// Bytes per second and connection that are read; 0 means no limit.
    pub(super) read_rate: u64,
    deny: bool,
    expired: bool,
    /// Requests per second that each service grants; the rest is throttled.
    rate: Pace,
    /// The same for making groups and streams.
    create_rate: Pace,
    page: f64,
    wire: WireFaults,
    /// Connections are not accepted, or their handshake is not answered.
    pub(super) silence: Option<Silence>,
    random: Random,
}

/// From where on a new connection hears nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// It is not accepted.
    Connect,
    /// Its handshake is not answered.
    Tls,
}

#[derive(Debug, Clone)]
struct Outage {
    from: Duration,
    length: Duration,
    refuse: bool,
    /// The outage counts from the first request, so that it does not matter how long the test takes to start.
    start: Option<Instant>,
}

/// Where in a request's life something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the service stored anything.
    Before,
    /// After it stored everything: a client that sends again makes duplicates.
    After,
}

/// What shall happen to one request.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// Answer with this error instead of storing.
    pub(super) error: Option<ApiError>,
    /// Cut the connection.
    pub(super) reset: Option<Moment>,
    /// Do not answer at all.
    pub(super) hang: Option<Moment>,
    /// Answer with a page and 200 instead of storing.
    pub(super) page: bool,
    /// Wait before doing anything.
    pub(super) delay: Duration,
    /// Which items of a batch fail.
    pub(super) items: ItemFaults,
}

/// Decides for each item of a request whether it fails alone.
#[derive(Debug, Clone)]
pub(super) struct ItemFaults {
    share: f64,
    random: Random,
}

impl ItemFaults {
    /// Whether the next item fails.
    pub(super) fn next_fails(&mut self) -> bool {
        self.random.happens(self.share)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            throttle: 0.0,
            fail: 0.0,
            fail_partly: 0.0,
            reset: 0.0,
            hang: 0.0,
            delay: Duration::ZERO,
            outage: None,
            read_rate: 0,
            deny: false,
            expired: false,
            rate: Pace::default(),
            create_rate: Pace::default(),
            page: 0.0,
            wire: WireFaults::default(),
            silence: None,
            random: Random::new(1),
        }
    }
}

impl Faults {
    /// Sets one fault by its name on the command line; `off` ends an outage.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "throttle" => self.throttle = args::share(value)?,
            "fail" => self.fail = args::share(value)?,
            "fail-partly" => self.fail_partly = args::share(value)?,
            "reset" => self.reset = args::share(value)?,
            "hang" => self.hang = args::share(value)?,
            "delay" => self.delay = args::duration(value)?,
            "outage" => self.outage = Outage::parse(value)?,
            "read-rate" => self.read_rate = args::size(value)?,
            "deny" => self.deny = value == "true",
            "expired" => self.expired = value == "true",
            "hang-connect" => self.silence = (value == "true").then_some(Silence::Connect),
            "hang-tls" => self.silence = (value == "true").then_some(Silence::Tls),
            "rate" => self.rate = Pace::parse(value)?,
            "create-rate" => self.create_rate = Pace::parse(value)?,
            "page" => self.page = args::share(value)?,
            "cut-request" | "cut-answer" | "end-answer" | "stall-answer" | "slow-answer"
            | "garbage" => self.wire.set(name, value)?,
            "seed" => self.random = Random::new(args::count(value)?),
            _ => {
                return Err(Error::Usage(format!(
                    "there is no fault {name:?}; there are {}",
                    NAMES.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// Whether connections are refused at this moment.
    pub(super) fn refuses(&self) -> bool {
        self.outage
            .as_ref()
            .is_some_and(|outage| outage.refuse && outage.is_on())
    }

    /// What goes wrong with the bytes of the next exchange.
    pub(super) fn draw_wire_fault(&mut self) -> Option<WireFault> {
        if self.silence.is_some() {
            // Nothing would hang if the connections that exist went on.
            return Some(WireFault::CutRequest(0));
        }
        self.wire.draw()
    }

    /// Decides about the next request, which asks `service` for `operation`.
    pub(super) fn judge(&mut self, service: &str, operation: &str) -> Verdict {
        if let Some(outage) = &mut self.outage {
            outage.start.get_or_insert_with(Instant::now);
        }
        // Each request draws the same number of times, so one fault's share does not move the others.
        let reset = self.moment(self.reset);
        let hang = self.moment(self.hang);
        let throttle = self.random.happens(self.throttle);
        let fail = self.random.happens(self.fail);
        let items = ItemFaults {
            share: self.fail_partly,
            random: Random::new(self.random.bits()),
        };
        // PutLogEvents has no failures of single events, and an object is whole, so there the whole request fails instead.
        let is_whole = ["logs", "s3"].contains(&service);
        let fail = fail | (self.random.happens(self.fail_partly) && is_whole);
        let page = self.random.happens(self.page);
        let pace = if operation.starts_with("CreateLog") {
            &mut self.create_rate
        } else {
            &mut self.rate
        };
        let throttle = throttle | !pace.grants(Instant::now());
        let outage = self.outage.as_ref().filter(|outage| outage.is_on());
        Verdict {
            error: self.error(service, throttle, fail),
            reset: if outage.is_some_and(|outage| outage.refuse) {
                Some(Moment::Before)
            } else {
                reset
            },
            hang,
            page,
            delay: self.delay,
            items,
        }
    }

    fn moment(&mut self, share: f64) -> Option<Moment> {
        let happens = self.random.happens(share);
        let moment = if self.random.happens(0.5) {
            Moment::Before
        } else {
            Moment::After
        };
        happens.then_some(moment)
    }

    fn error(&self, service: &str, throttle: bool, fail: bool) -> Option<ApiError> {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        if self.outage.as_ref().is_some_and(Outage::is_on) {
            return Some(ApiError::refusal(
                unavailable,
                "ServiceUnavailableException",
                "The service cannot complete the request.",
            ));
        }
        if self.deny {
            let message = "User is not authorized to perform this action because no identity-based policy allows it";
            return Some(ApiError::refusal(
                StatusCode::BAD_REQUEST,
                "AccessDeniedException",
                message,
            ));
        }
        if self.expired {
            return Some(issue::expired());
        }
        if throttle && service == "s3" {
            return Some(ApiError::refusal(
                unavailable,
                "SlowDown",
                "Please reduce your request rate.",
            ));
        }
        if throttle && service == "firehose" {
            return Some(ApiError::refusal(
                unavailable,
                "ServiceUnavailableException",
                "Slow down.",
            ));
        }
        if throttle {
            return Some(ApiError::refusal(
                StatusCode::BAD_REQUEST,
                "ThrottlingException",
                "Rate exceeded",
            ));
        }
        let internal = ApiError::refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "Internal service error.",
        );
        fail.then_some(internal)
    }
}

impl Outage {
    fn parse(text: &str) -> Result<Option<Self>> {
        if text == "off" {
            return Ok(None);
        }
        let parts: Vec<&str> = text.split(',').collect();
        let (from, length, refuse) = match parts.as_slice() {
            [from, length] => (from, length, false),
            [from, length, "refuse"] => (from, length, true),
            _ => {
                return Err(Error::Value {
                    text: text.to_owned(),
                    wanted: "an outage such as 5s,10s or 5s,10s,refuse",
                });
            }
        };
        Ok(Some(Self {
            from: args::duration(from)?,
            length: args::duration(length)?,
            refuse,
            start: None,
        }))
    }

    fn is_on(&self) -> bool {
        let Some(start) = self.start else {
            return false;
        };
        let since = start.elapsed();
        since >= self.from && since < self.from + self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(settings: &[(&str, &str)]) -> Faults {
        let mut faults = Faults::default();
        for (name, value) in settings {
            faults.set(name, value).unwrap();
        }
        faults
    }

    #[test]
    fn the_same_seed_gives_the_same_verdicts() {
        let draw = |seed| {
            let mut faults = faults(&[("throttle", "30%"), ("reset", "10%"), ("seed", seed)]);
            (0..500)
                .map(|_| faults.judge("logs", "PutLogEvents"))
                .map(|verdict| (verdict.error.is_some(), verdict.reset))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw("1"), draw("1"));
        assert_ne!(draw("1"), draw("2"));
    }

    #[test]
    fn without_faults_nothing_happens() {
        let mut faults = Faults::default();
        for _ in 0..1000 {
            let mut verdict = faults.judge("firehose", "PutRecordBatch");
            assert_eq!(
                (verdict.error, verdict.reset, verdict.hang),
                (None, None, None)
            );
            assert!(!verdict.items.next_fails());
        }
    }

    #[test]
    fn resets_come_before_and_after_storing() {
        let mut faults = faults(&[("reset", "100%")]);
        let before = (0..1000)
            .filter(|_| faults.judge("logs", "PutLogEvents").reset == Some(Moment::Before))
            .count();
        assert!((400..600).contains(&before));
    }

    #[test]
    fn partial_failures_hit_items_or_whole_requests_of_logs() {
        let mut faults = faults(&[("fail-partly", "20%")]);
        let failed = (0..1000)
            .filter(|_| faults.judge("logs", "PutLogEvents").error.is_some())
            .count();
        assert!((150..250).contains(&failed));
        let mut verdict = faults.judge("kinesis", "PutRecords");
        assert_eq!(verdict.error, None);
        assert!((150..250).contains(&(0..1000).filter(|_| verdict.items.next_fails()).count()));
    }

    #[test]
    fn an_outage_begins_with_the_first_request_and_ends() {
        let mut faults = faults(&[("outage", "0s,60s,refuse")]);
        assert!(!faults.refuses());
        assert_eq!(
            faults.judge("logs", "PutLogEvents").reset,
            Some(Moment::Before)
        );
        assert!(faults.refuses());
        faults.set("outage", "off").unwrap();
        assert!(!faults.refuses());
    }

    #[test]
    fn creation_has_a_rate_of_its_own() {
        let mut faults = faults(&[("create-rate", "2")]);
        let mut throttled = |operation| {
            (0..5)
                .filter(|_| faults.judge("logs", operation).error.is_some())
                .count()
        };
        assert_eq!(throttled("CreateLogStream"), 3);
        assert_eq!(throttled("PutLogEvents"), 0);
    }

    #[test]
    fn unknown_names_and_values_are_refused() {
        let mut faults = Faults::default();
        for (name, value) in [
            ("flood", "1%"),
            ("throttle", "2"),
            ("outage", "5s"),
            ("delay", "x"),
        ] {
            assert!(faults.set(name, value).is_err(), "{name}");
        }
    }
}
