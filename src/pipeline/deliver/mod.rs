//! One delivery task for each output: takes batches from the inbox, has them encoded, sends, settles.
//!
//! Each destination has a lane: the events it is owed, in order, and a gate that is closed for a while after a failure. A lane has
//! one request in flight, unless `workers` asks for more; an output has a few. Nothing is encoded before it can be sent, so bodies
//! take memory only while they are in flight; what has to be sent again is encoded again, to the same bytes.

mod bury;
mod making;
mod settle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::making::Making;
use super::dead_letters::DeadLetters;
use super::fare::Fare;
use super::lanes::{Lane, Lanes, Presence};
use super::queue::{Piece, count};
use super::retry::Policy;
use super::throttle::{Throttle, Throttles};
use crate::buffer::{Inbox, Message, Stream};
use crate::event::DropReason;
use crate::output::{Answer, Destination, Encoded, Output};
use crate::telemetry::RouteLedger;
use crate::telemetry::log::Limiter;

/// A request that has no answer by then has failed. Services answer within seconds; a silent peer must not hold events for ever.
const REQUEST_DEADLINE: Duration = Duration::from_mins(1);

/// Requests in flight to different destinations, unless `workers` is set.
const IN_FLIGHT: usize = 4;

/// While the process is ending, a destination that is closed for longer than this is asked all the same.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// Bodies have room for a multiple of this, so that the buffer of one fits the next.
const BODY_STEP: usize = 256 * 1024;

/// How an output is delivered.
pub(super) struct Delivery {
    /// The output's name, such as `cloudwatch_logs.0`.
    pub component: String,
    /// The output.
    pub output: Arc<dyn Output>,
    /// Where its batches arrive.
    pub inbox: Arc<Inbox>,
    /// Its book.
    pub ledger: Arc<RouteLedger>,
    /// How it tries again.
    pub policy: Policy,
    /// `workers`, where it is set.
    pub workers: Option<usize>,
    /// What services grant to this process.
    pub throttles: Arc<Throttles>,
    /// Where what is given up is kept.
    pub dead_letters: Option<Arc<DeadLetters>>,
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// Not yet.
    Not,
    /// Nothing more will come: with its last event.
    Empty,
    /// The same, and the process is ending: in a hurry.
    Drain,
    /// With its last request in flight; what waits then goes to the delivery that takes its place.
    HandOver,
}

/// A request whose answer is awaited.
struct Sent {
    lane: usize,
    at: Instant,
    pieces: Vec<Piece>,
    encoded: Encoded,
    /// It is a part of an event, and more parts follow.
    more: bool,
    answer: Answer,
}

/// The state of a delivery task.
pub(super) struct Deliver {
    delivery: Delivery,
    lanes: Lanes,
    /// Batches being filled, and when they have to be sealed.
    opened: Vec<(Arc<Stream>, Instant)>,
    in_flight: JoinSet<Sent>,
    making: Making,
    /// Dead letters that are being written.
    burials: JoinSet<()>,
    /// Bytes of body for each byte in the buffer, of the last request.
    ratio: f64,
    /// The buffers of bodies that have been sent, for those to come.
    spare: Vec<Vec<u8>>,
    draining: bool,
    /// Readers wait for memory.
    hurry: bool,
    failing: bool,
    fare: Fare,
    limiter: Limiter,
}

impl Deliver {
    /// A task with nothing to do yet.
    pub(super) fn new(delivery: Delivery) -> Self {
        Self {
            lanes: Lanes::new(Arc::clone(&delivery.throttles)),
            making: Making::new(delivery.output.as_ref(), &delivery.throttles),
            delivery,
            opened: Vec::new(),
            in_flight: JoinSet::new(),
            burials: JoinSet::new(),
            ratio: 1.0,
            spare: Vec::new(),
            draining: false,
            hurry: false,
            failing: false,
            fare: Fare::default(),
            limiter: Limiter::default(),
        }
    }

    /// Takes over what another delivery held, as the first to be sent. A new configuration is a new chance: what was tried before is
    /// forgotten.
    pub(super) fn adopt(&mut self, pieces: Vec<Piece>) {
        for mut piece in pieces {
            piece.attempts = 0;
            self.lanes.place(piece, self.delivery.output.as_ref());
        }
    }

    /// Delivers until `ending` says how to end, and gives what is left for another.
    pub(super) async fn run(mut self, mut ending: watch::Receiver<Ending>) -> Vec<Piece> {
        loop {
            let end = *ending.borrow_and_update();
            self.draining = end == Ending::Drain;
            self.receive();
            let now = Instant::now();
            if end == Ending::HandOver {
                if self.is_quiet() {
                    return self.leave();
                }
            } else {
                self.send_what_is_ready(now);
            }
            self.fare
                .look(now, &self.lanes, &self.opened, &self.delivery.ledger);
            if matches!(end, Ending::Empty | Ending::Drain) && self.is_finished() {
                return Vec::new();
            }
            let wake = match end {
                Ending::HandOver => None,
                _ => self.next_wake(now),
            };
            tokio::select! {
                () = self.delivery.inbox.arrived() => {}
                Some(sent) = self.in_flight.join_next() => self.settle(sent),
                attempt = self.making.next() => self.note_made(attempt),
                Some(_) = self.burials.join_next() => {}
                () = sleep_until(wake) => {}
                // Nobody is left to say more: the process is ending.
                Ok(()) = ending.changed() => {}
            }
        }
    }

    /// What waits. Batches that are being filled are sealed, so that they come to the inbox, which the other delivery shares.
    fn leave(&mut self) -> Vec<Piece> {
        for (stream, _) in self.opened.drain(..) {
            stream.seal();
        }
        self.lanes.take_all()
    }

    /// Nothing is under way.
    fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.making.is_empty() && self.burials.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.is_quiet() && self.lanes.active_count() == 0 && self.opened.is_empty()
    }

    /// Nothing is left, and nothing more comes from the disk.
    fn is_finished(&self) -> bool {
        // In this order: what comes last is in the inbox before it is said that nothing more comes.
        !self.delivery.inbox.expects_more()
            && !self.delivery.inbox.has_messages()
            && self.is_empty()
    }

    /// Takes batches in, and has those sealed that are due, or all of them while readers wait for memory.
    fn receive(&mut self) {
        let mut messages = Vec::new();
        let hurry = loop {
            self.delivery.inbox.take(&mut messages);
            for message in messages.drain(..) {
                match message {
                    Message::Opened(stream, due) => self.opened.push((stream, due)),
                    Message::Sealed(batch, owed) => {
                        let piece = Piece::whole(batch, owed);
                        self.lanes.place(piece, self.delivery.output.as_ref());
                    }
                    Message::Hurry => self.hurry = true,
                }
            }
            let now = Instant::now();
            // A request under way will give memory back; only when there is none are shorter ones worth their price.
            let hurry = self.hurry && self.in_flight.is_empty();
            let all = self.draining || hurry;
            let due: Vec<_> = self
                .opened
                .extract_if(.., |(_, due)| all || *due <= now)
                .collect();
            if due.is_empty() {
                break hurry;
            }
            for (stream, _) in due {
                stream.seal();
            }
        };
        // Last, so that it holds for what was sealed just now as well.
        if hurry {
            self.hurry = false;
            self.lanes.hurry();
        }
    }

    fn slots(&self) -> usize {
        self.delivery.workers.unwrap_or(IN_FLIGHT)
    }

    /// Starts requests while there are free slots and lanes that are ready.
    fn send_what_is_ready(&mut self, now: Instant) {
        for _ in 0..self.lanes.active_count() {
            if self.in_flight.len() >= self.slots() && !self.making.has_room() {
                return;
            }
            let Some(index) = self.lanes.next_active() else {
                return;
            };
            while let Some(lane) = self.lanes.get(index)
                && self.is_ready(lane, now)
            {
                if self.making.is_needed(lane) {
                    self.make(index, now);
                } else {
                    self.start(index);
                }
            }
            self.lanes.wake(index);
        }
    }

    fn is_ready(&self, lane: &Lane, now: Instant) -> bool {
        self.has_room_for(lane) && self.ready_at(lane, now).is_some_and(|at| at <= now)
    }

    /// Whether what the lane needs next may be under way beside what is.
    fn has_room_for(&self, lane: &Lane) -> bool {
        if self.making.is_needed(lane) {
            self.making.has_room()
        } else {
            self.in_flight.len() < self.slots()
        }
    }

    /// When the lane's next request may go; `None` when something else has to happen first.
    fn ready_at(&self, lane: &Lane, now: Instant) -> Option<Instant> {
        let due = lane.queue.due()?;
        if self.making.is_needed(lane) {
            if lane.presence == Presence::BeingMade || lane.in_flight > 0 {
                return None;
            }
            return Some(
                self.opening(lane, self.making.throttle(), now)
                    .unwrap_or(now),
            );
        }
        // Without `workers`, a destination's requests follow each other, so that its events arrive in order.
        let together = self.delivery.workers.unwrap_or(1);
        if lane.in_flight >= together {
            return None;
        }
        let limits = self.delivery.output.limits();
        let full = lane.queue.events() >= limits.events
            || lane.queue.weight() as f64 * self.ratio >= limits.bytes as f64;
        let wanted = if full || self.draining || lane.hurry || lane.again.is_some() {
            now
        } else {
            due
        };
        let opens = self.opening(lane, &lane.throttle, now);
        Some(opens.map_or(wanted, |opens| opens.max(wanted)))
    }

    /// When the lane's gate and a throttle are open; `None` is now.
    fn opening(&self, lane: &Lane, throttle: &Throttle, now: Instant) -> Option<Instant> {
        // At the end it is better to try than to leave behind.
        let soon = |opens: &Instant| !self.draining || *opens <= now + DRAIN_PATIENCE;
        let both = [lane.gate.opens(), throttle.opens()];
        both.into_iter().flatten().filter(soon).max()
    }

    /// Encodes one request and sends it.
    fn start(&mut self, index: usize) {
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        lane.hurry = false;
        let most = lane.again.take().unwrap_or(lane.most).min(lane.most);
        let expected = (lane.queue.weight() as f64 * self.ratio) as usize;
        let body = body_buffer(
            &mut self.spare,
            expected.min(self.delivery.output.limits().bytes),
        );
        let mut items = lane.queue.items(most);
        let output = self.delivery.output.as_ref();
        let mut encoded = output.encode(&lane.destination, &mut items, body);
        drop(items);
        let mut more = false;
        if encoded.consumed == 0 {
            let part = lane.queue.part();
            let first = lane.queue.items(1).next();
            let part = first.and_then(|item| output.encode_part(&lane.destination, item, part));
            let Some(part) = part else {
                // An output that takes nothing of what it is offered would be asked for ever.
                let untaken = lane.queue.take(1);
                let destination = Arc::clone(&lane.destination);
                let ledger = &self.delivery.ledger;
                ledger.drop_events(DropReason::TooLarge, count(&untaken) as u64);
                self.bury(&destination, DropReason::TooLarge, "", untaken);
                return;
            };
            (encoded, more) = part;
        }
        let pieces = lane.queue.take(encoded.consumed);
        let weight: usize = pieces.iter().map(Piece::weight).sum();
        if !encoded.body.is_empty() && weight > 0 {
            self.ratio = encoded.body.len() as f64 / weight as f64;
        }
        for (_, reason) in &encoded.refused {
            self.delivery.ledger.drop_events(*reason, 1);
        }
        let destination = Arc::clone(&lane.destination);
        self.bury_refused(&destination, &pieces, &encoded.refused);
        if let Some((_, reason)) = encoded.refused.first()
            && let Some(more) = self.limiter.admit()
        {
            let (refused, reason) = (encoded.refused.len(), reason.label());
            crate::warning!(
                &self.delivery.component,
                "dropped {refused} events that the service would not take: {reason}{more}"
            );
        }
        if encoded.taken() == 0 {
            return;
        }
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        let now = Instant::now();
        lane.depart(&pieces, now);
        let output = Arc::clone(&self.delivery.output);
        self.in_flight.spawn(async move {
            let answer = request(output.as_ref(), &destination, &encoded).await;
            Sent {
                lane: index,
                at: now,
                pieces,
                encoded,
                more,
                answer,
            }
        });
    }

    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let lanes = self.lanes.active().filter_map(|lane| {
            let at = self.ready_at(lane, now)?;
            // With all slots taken it is an answer that has to be waited for.
            (at > now || self.has_room_for(lane)).then_some(at)
        });
        let opened = self.opened.iter().map(|(_, due)| *due);
        lanes.chain(opened).chain(self.fare.next()).min()
    }
}

/// One request.
async fn request(output: &dyn Output, destination: &Destination, encoded: &Encoded) -> Answer {
    let seconds = REQUEST_DEADLINE.as_secs();
    tokio::time::timeout(
        REQUEST_DEADLINE,
        output.send(destination, encoded.body.clone()),
    )
    .await
    .unwrap_or_else(|_| Answer::again(format!("no answer within {seconds} seconds")))
}

/// A buffer for a body that will take about so many bytes.
fn body_buffer(spare: &mut Vec<Vec<u8>>, expected: usize) -> Vec<u8> {
    // Somewhat more, so that a body which turns out a little longer does not have to be moved.
    let room = expected + expected / 16 + 1024;
    let room = if room < BODY_STEP {
        room
    } else {
        room.next_multiple_of(BODY_STEP)
    };
    let fitting = spare.iter().position(|buffer| buffer.capacity() >= room);
    if let Some(place) = fitting {
        return spare.swap_remove(place);
    }
    // One of those that are too small makes way for this one.
    spare.pop();
    Vec::with_capacity(room)
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
