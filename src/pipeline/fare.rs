//! How an output fares, noted now and then for those who ask: what it holds, since when, and which destinations fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lanes::{Lane, Lanes};
use super::queue::Piece;
use crate::buffer::Stream;
use crate::telemetry::{DestinationState, OutputState, RouteLedger};

/// Looking costs a walk over the lanes, so it is not done more often than this.
const PERIOD: Duration = Duration::from_millis(250);
/// So many destinations are told, those that have waited longest.
const DESTINATIONS_MAX: usize = 32;

/// When it was noted, and whether something may have changed since.
#[derive(Debug, Default)]
pub(super) struct Fare {
    looked: Option<Instant>,
    stale: bool,
    idle: bool,
}

impl Fare {
    /// Notes how the output fares, or that this is to be done soon. To be called whenever something may have changed.
    pub(super) fn look(
        &mut self,
        now: Instant,
        lanes: &Lanes,
        opened: &[(Arc<Stream>, Instant)],
        ledger: &RouteLedger,
    ) {
        let idle = opened.is_empty() && lanes.all().all(|lane| lane.oldest().is_none());
        let is_due = self.looked.is_none_or(|looked| now >= looked + PERIOD);
        // Nothing held is told at once, so that no age is left behind when the output falls asleep.
        let fell_idle = idle && !self.idle;
        if !is_due && !fell_idle {
            self.stale = !idle;
            return;
        }
        (self.looked, self.stale, self.idle) = (Some(now), false, idle);
        let streams = opened.iter().filter_map(|(stream, _)| stream.begun());
        let oldest = lanes.all().filter_map(Lane::oldest).chain(streams).min();
        let destinations = destinations(lanes, now);
        ledger.fare(OutputState {
            oldest,
            destinations,
        });
    }

    /// When to look again although nothing else happens.
    pub(super) fn next(&self) -> Option<Instant> {
        self.looked
            .filter(|_| self.stale)
            .map(|looked| looked + PERIOD)
    }
}

fn destinations(lanes: &Lanes, now: Instant) -> Vec<DestinationState> {
    let telling = |lane: &&Lane| {
        lane.oldest().is_some() || lane.gate.failures() > 0 || !lane.throttle.spacing(now).is_zero()
    };
    let mut lanes: Vec<&Lane> = lanes.all().filter(telling).collect();
    // Without events comes last.
    lanes.sort_by_key(|lane| (lane.oldest().is_none(), lane.oldest()));
    lanes.truncate(DESTINATIONS_MAX);
    let state = |lane: &Lane| DestinationState {
        name: lane.destination.to_string(),
        held: lane.queue.events() as u64 + lane.flying,
        oldest: lane.oldest(),
        failures: lane.gate.failures(),
        opens: lane.opens(),
        spacing: lane.throttle.spacing(now),
    };
    lanes.into_iter().map(state).collect()
}

/// Notes that the service has the events of these pieces: how long each batch took.
pub(super) fn note_latency(ledger: &RouteLedger, pieces: &[Piece]) {
    for piece in pieces {
        ledger.took(piece.input(), piece.begun().elapsed());
    }
}
