//! Destinations that are missing, such as log streams, are made before a request goes to them: at the rate that the service grants
//! for that, which it counts apart, and beside the requests to destinations that exist.
//!
//! Whether a destination exists is found by sending to it. Where the last new one had to be made, the next new ones are made first: that
//! spares a request for nothing for each of thousands of streams. A few of them may turn out to exist, such as those that were forgotten
//! among thousands, before it is found by sending again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::super::lanes::{Lane, Presence};
use super::super::queue::count;
use super::super::retry::Failure;
use super::super::throttle::{Throttle, Throttles};
use super::settle::without_refused;
use super::{Deliver, REQUEST_DEADLINE, Sent};
use crate::output::{Answer, Destination, Output, Prepared};

/// Destinations that are made at the same time.
const AT_ONCE: usize = 4;

/// New destinations in a row that have to exist, after one that had to be made, before it is no longer expected of the next.
const DOUBTS: u8 = 4;

/// The destinations of an output that are being made.
pub(super) struct Making {
    /// How often one may be made; other outputs may have the same.
    throttle: Arc<Throttle>,
    tasks: JoinSet<Attempt>,
    /// How many new destinations more have to exist before it is no longer expected that the next has to be made.
    expects_new: u8,
}

/// An attempt to make one.
pub(super) struct Attempt {
    lane: usize,
    at: Instant,
    outcome: Result<Prepared, Answer>,
}

impl Making {
    /// None yet.
    pub(super) fn new(output: &dyn Output, throttles: &Throttles) -> Self {
        Self {
            throttle: output
                .made_as()
                .map_or_else(Arc::default, |name| throttles.of(name)),
            tasks: JoinSet::new(),
            expects_new: 0,
        }
    }

    /// How often one may be made.
    pub(super) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Whether another one may be made beside those that are.
    pub(super) fn has_room(&self) -> bool {
        self.tasks.len() < AT_ONCE
    }

    /// Whether none is being made.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether the lane's destination has to be made before anything is sent to it.
    pub(super) fn is_needed(&self, lane: &Lane) -> bool {
        match lane.presence {
            Presence::Missing | Presence::BeingMade => true,
            Presence::Untried => self.expects_new > 0,
            Presence::Made | Presence::Assumed => false,
        }
    }

    /// What came of the next attempt that ends; never, while there is none.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> Result<Attempt, JoinError> {
        match self.tasks.join_next().await {
            Some(attempt) => attempt,
            None => std::future::pending().await,
        }
    }
}

impl Deliver {
    /// Makes a lane's destination.
    pub(super) fn make(&mut self, index: usize, now: Instant) {
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        lane.presence = Presence::BeingMade;
        self.making.throttle.depart(now);
        let output = Arc::clone(&self.delivery.output);
        let destination = Arc::clone(&lane.destination);
        self.making.tasks.spawn(async move {
            Attempt {
                lane: index,
                at: now,
                outcome: attempt(output.as_ref(), &destination).await,
            }
        });
    }

    /// Books what came of it.
    pub(super) fn note_made(&mut self, attempt: Result<Attempt, JoinError>) {
        // A task is never cancelled while the delivery lives, and a panic ends the process.
        let Ok(attempt) = attempt else { return };
        let (index, now) = (attempt.lane, Instant::now());
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        match attempt.outcome {
            Ok(prepared) => {
                lane.presence = Presence::Made;
                self.making.expects_new = match prepared {
                    Prepared::Made => DOUBTS,
                    Prepared::Found => self.making.expects_new.saturating_sub(1),
                };
                self.making.throttle.succeed(now);
            }
            Err(Answer::Again {
                throttled: true,
                after,
                why,
            }) => {
                lane.presence = Presence::Missing;
                self.making.throttle.refuse(attempt.at, now, after);
                self.wait_to_be_made(index, after, &why);
            }
            Err(answer) => {
                // Somebody else may make it, so it is tried before the next attempt.
                lane.presence = Presence::Assumed;
                self.making.expects_new = 0;
                let pieces = lane.queue.take(self.delivery.output.limits().events);
                let why = answer.why().unwrap_or("it cannot be made");
                self.retry(index, pieces, Failure::whole(), why);
            }
        }
        self.lanes.wake(index);
    }

    /// That too many are made is no fault of the events: they wait, and it costs them no retry.
    fn wait_to_be_made(&mut self, index: usize, after: Option<Duration>, why: &str) {
        let now = Instant::now();
        let policy = self.policy_of_failing(now);
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        let failure = Failure {
            throttled: true,
            after,
            share: 1.0,
        };
        lane.gate
            .fail(&policy, failure, self.draining, now, fastrand::f64());
        let (component, destination) = (&self.delivery.component, &lane.destination);
        if self.failing {
            crate::debug!(component, "{destination} is not made yet: {why}");
        } else {
            self.failing = true;
            crate::warning!(
                component,
                "{destination} is not made yet: {why}; its events are held"
            );
        }
    }

    /// There is no such destination: it is made before the same events go again, which costs them no retry.
    pub(super) fn missing(&mut self, sent: Sent, why: &str) {
        let Some(lane) = self.lanes.get_mut(sent.lane) else {
            return;
        };
        let was_made = lane.presence == Presence::Made;
        lane.presence = Presence::Missing;
        if was_made {
            // It was said to be there; asking on at full speed would not help.
            self.again(sent, Failure::whole(), why);
            return;
        }
        let pieces = without_refused(sent.pieces, &sent.encoded);
        if lane.in_flight == 0 {
            lane.again = Some(count(&pieces));
        }
        lane.queue.put_back(pieces);
    }
}

async fn attempt(output: &dyn Output, destination: &Destination) -> Result<Prepared, Answer> {
    let seconds = REQUEST_DEADLINE.as_secs();
    let late = || {
        Answer::again(format!(
            "{destination} is not made within {seconds} seconds"
        ))
    };
    tokio::time::timeout(REQUEST_DEADLINE, output.prepare(destination))
        .await
        .unwrap_or_else(|_| Err(late()))
}
