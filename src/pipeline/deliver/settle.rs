//! What the answer to a request means for its events, its lane and the ledger.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinError;

use super::super::fare::note_latency;
use super::super::lanes::Presence;
use super::super::queue::{Piece, count, pick};
use super::super::retry::{CAP_EACH, Failure, Policy};
use super::super::throttle::Throttle;
use super::{Deliver, Sent};
use crate::event::DropReason;
use crate::output::{Answer, Encoded};

/// After so many failures in a row, a destination is asked slowly at first.
const OUTAGE_FAILURES: u32 = 3;

/// So many events refused one by one without one accepted in between: then the fault is not in the events, and the rest of the
/// request is refused whole instead of one call each.
const REFUSALS_MAX: u32 = 32;

impl Deliver {
    /// Books what a request's answer means.
    pub(super) fn settle(&mut self, sent: Result<Sent, JoinError>) {
        // A task is never cancelled while the delivery lives, and a panic ends the process.
        let Ok(mut sent) = sent else { return };
        let Some(lane) = self.lanes.get_mut(sent.lane) else {
            return;
        };
        lane.arrive(&sent.pieces);
        note_grant(&lane.throttle, &sent);
        let index = sent.lane;
        self.reclaim(std::mem::take(&mut sent.encoded.body));
        match std::mem::replace(&mut sent.answer, Answer::done()) {
            Answer::Done { rejected } if sent.more && rejected.is_empty() => self.part_taken(sent),
            Answer::Done { rejected } => self.delivered(&sent, &rejected),
            Answer::Partly {
                failed,
                throttled,
                why,
            } => self.partly(&sent, &failed, throttled, &why),
            Answer::Again {
                throttled,
                after,
                why,
            } => self.again(
                sent,
                Failure {
                    throttled,
                    after,
                    share: 1.0,
                },
                &why,
            ),
            Answer::Missing { why } => self.missing(sent, &why),
            Answer::Unacceptable { why, reason } => self.unacceptable(sent, &why, reason),
        }
        self.lanes.wake(index);
    }

    /// Keeps the buffer of a body for the next one.
    fn reclaim(&mut self, body: bytes::Bytes) {
        if self.is_empty() {
            // Idle: the next body may be long in coming.
            self.spare.clear();
        } else if self.spare.len() < self.slots() && body.is_unique() {
            let mut buffer = Vec::from(body);
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    fn delivered(&mut self, sent: &Sent, rejected: &[(std::ops::Range<usize>, DropReason)]) {
        let mut lost = 0;
        for (positions, reason) in rejected {
            let events = sent.encoded.items_in(positions.clone());
            if events == 0 {
                continue;
            }
            self.delivery.ledger.drop_events(*reason, events as u64);
            lost += events;
            self.bury_rejected(sent, positions.clone(), *reason);
            if let Some(more) = self.limiter.admit() {
                let label = reason.label();
                crate::warning!(
                    &self.delivery.component,
                    "the service rejected {events} events: {label}{more}"
                );
            }
        }
        let taken = sent.encoded.taken().saturating_sub(lost);
        let ledger = &self.delivery.ledger;
        if taken > 0 {
            ledger.deliver(taken as u64, weight(&sent.pieces));
            note_latency(ledger, &sent.pieces);
        } else if let Some((_, reason)) = rejected.iter().find(|(_, it)| *it == DropReason::Refused)
        {
            // The events are booked above; this is a failure of their batches as a whole.
            ledger.refuse(*reason, sent.pieces.len() as u64, 0);
            ledger.fail("the service refuses these events for good");
        }
        self.succeed(sent.lane);
    }

    /// The service has a part of an event: the next one goes first.
    fn part_taken(&mut self, mut sent: Sent) {
        for piece in &mut sent.pieces {
            if piece.part == 0 {
                metrics::counter!("sluice_split_records_total").increment(1);
            }
            piece.part += 1;
            piece.attempts = 0;
        }
        if let Some(lane) = self.lanes.get_mut(sent.lane) {
            lane.queue.put_back(sent.pieces);
        }
        self.succeed(sent.lane);
    }

    fn succeed(&mut self, index: usize) {
        let now = Instant::now();
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        let is_outage_over = lane.gate.failures() >= OUTAGE_FAILURES && !lane.gate.is_throttled();
        // Who sets how often is tried sets this as well.
        if is_outage_over && self.delivery.policy.adapts {
            lane.throttle.restart(now, fastrand::f64());
        }
        lane.gate.succeed();
        lane.presence = Presence::Assumed;
        lane.refusals = 0;
        lane.most = lane.most.saturating_mul(2);
        if self.failing && self.lanes.hear_of_success(&self.delivery.policy, now) {
            self.failing = false;
            crate::info!(&self.delivery.component, "delivering again");
        }
    }

    /// Some are taken; exactly the others go back, in front, to be sent with what follows.
    fn partly(&mut self, sent: &Sent, failed: &[usize], throttled: bool, why: &str) {
        let mut places: Vec<usize> = Vec::new();
        let taken = taken_places(&sent.encoded);
        for &position in failed {
            places.extend(
                taken
                    .get(sent.encoded.positions.items_at(position))
                    .unwrap_or_default(),
            );
        }
        places.sort_unstable();
        places.dedup();
        let pieces = pick(&sent.pieces, &places);
        let taken = sent.encoded.taken().max(1);
        let share = places.len() as f64 / taken as f64;
        if let Some(lane) = self.lanes.get(sent.lane) {
            let now = Instant::now();
            if throttled {
                lane.throttle.refuse_partly(sent.at, now, share);
            } else {
                lane.throttle.succeed(now);
            }
        }
        self.delivery.ledger.deliver(
            taken.saturating_sub(places.len()) as u64,
            weight(&sent.pieces).saturating_sub(weight(&pieces)),
        );
        let failure = Failure {
            throttled,
            after: None,
            share,
        };
        self.retry(sent.lane, pieces, failure, why);
    }

    /// None are taken, as far as is known: the same events go again.
    pub(super) fn again(&mut self, sent: Sent, failure: Failure, why: &str) {
        let pieces = without_refused(sent.pieces, &sent.encoded);
        let events = count(&pieces);
        if let Some(kept) = self.retry(sent.lane, pieces, failure, why)
            && kept == events
            && let Some(lane) = self.lanes.get_mut(sent.lane)
            && lane.in_flight == 0
        {
            lane.again = Some(events);
        }
    }

    /// Puts events back in front of their lane, but for those whose retries are used up. Gives how many.
    pub(super) fn retry(
        &mut self,
        index: usize,
        mut pieces: Vec<Piece>,
        failure: Failure,
        why: &str,
    ) -> Option<usize> {
        for piece in &mut pieces {
            piece.attempts += 1;
        }
        let (kept, given_up): (Vec<_>, Vec<_>) = pieces
            .into_iter()
            .partition(|piece| self.delivery.policy.allows(piece.attempts));
        let (kept_events, lost) = (count(&kept), count(&given_up));
        let kept_batches = kept.len() as u64;
        self.delivery.ledger.fail(why);
        let draining = self.draining;
        let now = Instant::now();
        let policy = self.policy_of_failing(now);
        let lane = self.lanes.get_mut(index)?;
        let wait = lane
            .gate
            .fail(&policy, failure, draining, now, fastrand::f64());
        lane.queue.put_back(kept);
        self.delivery.ledger.retry(kept_batches, kept_events as u64);
        let (component, destination) = (&self.delivery.component, Arc::clone(&lane.destination));
        if lost > 0 {
            self.delivery
                .ledger
                .give_up(given_up.len() as u64, lost as u64);
            if let Some(more) = self.limiter.admit() {
                crate::error!(
                    component,
                    "{lost} events to {destination} cannot be retried and are lost: Retry_Limit is used up: {why}{more}"
                );
            }
        }
        if kept_events > 0 && !self.failing {
            self.failing = true;
            let seconds = wait.as_secs_f64();
            crate::warning!(
                component,
                "failed to flush {kept_events} events to {destination}, retry in {seconds:.1} seconds: {why}; the events are held"
            );
        } else {
            crate::debug!(
                component,
                "failed to flush {kept_events} events to {destination} again: {why}"
            );
        }
        self.bury(&destination, DropReason::RetryLimit, why, given_up);
        Some(kept_events)
    }

    pub(super) fn policy_of_failing(&self, now: Instant) -> Policy {
        let failing = self.lanes.failing(now + CAP_EACH);
        self.delivery.policy.among(failing)
    }

    /// The request is too large or something in it is bad: halves tell which, until one event is left, and that one is dropped.
    fn unacceptable(&mut self, sent: Sent, why: &str, reason: DropReason) {
        let pieces = without_refused(sent.pieces, &sent.encoded);
        let events = count(&pieces);
        let Some(lane) = self.lanes.get_mut(sent.lane) else {
            return;
        };
        if events > 1 && lane.refusals < REFUSALS_MAX {
            lane.most = events / 2;
            lane.queue.put_back(pieces);
            return;
        }
        lane.refusals += 1;
        lane.most = lane.most.saturating_mul(2);
        let ledger = &self.delivery.ledger;
        ledger.refuse(reason, pieces.len() as u64, events as u64);
        ledger.fail(why);
        if let Some(more) = self.limiter.admit() {
            let (component, destination) = (&self.delivery.component, &lane.destination);
            crate::error!(
                component,
                "{events} events to {destination} are unacceptable and lost: {why}{more}"
            );
        }
        let destination = Arc::clone(&lane.destination);
        self.bury(&destination, reason, why, pieces);
    }
}

/// Tells a throttle what a request's answer says of how much is granted.
fn note_grant(throttle: &Throttle, sent: &Sent) {
    let now = Instant::now();
    match &sent.answer {
        Answer::Done { .. } | Answer::Unacceptable { .. } => throttle.succeed(now),
        Answer::Again {
            throttled: true,
            after,
            ..
        } => throttle.refuse(sent.at, now, *after),
        // What it says of each record is looked at later.
        Answer::Partly { .. } | Answer::Again { .. } | Answer::Missing { .. } => {}
    }
}

/// About how many bytes the pieces take in the buffer.
fn weight(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.weight() as u64).sum()
}

/// The places, among the items consumed, of those taken.
pub(super) fn taken_places(encoded: &Encoded) -> Vec<usize> {
    let mut refused = encoded.refused.iter().map(|(place, _)| *place).peekable();
    (0..encoded.consumed)
        .filter(|place| refused.next_if_eq(place).is_none())
        .collect()
}

pub(super) fn without_refused(pieces: Vec<Piece>, encoded: &Encoded) -> Vec<Piece> {
    if encoded.refused.is_empty() {
        pieces
    } else {
        pick(&pieces, &taken_places(encoded))
    }
}
