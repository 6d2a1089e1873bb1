//! What is delivered is what was given, however much of it fails on the way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::deliver::{Deliver, Delivery, Ending};
use super::retry::Policy;
use crate::budget::Budget;
use crate::buffer::{BATCH_MAX, Inbox, Pool, Source, Stream};
use crate::event::{Block, DropReason, Event, EventTime, Tag};
use crate::output::{Answer, Destination, Encoded, Item, Limits, Output, Positions, Prepared};
use crate::telemetry::RouteLedger;

const EVENTS: u64 = 120;
/// Destinations, and events of one request.
const TAGS: u64 = 3;
const IN_REQUEST: usize = 16;

/// What fails, at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Whole requests, of which nothing is stored.
    Requests,
    /// Records alone, each being one event.
    Records,
    /// Records alone, each being three events joined.
    Joined,
    /// Requests of which everything is stored although nobody says so.
    Answers,
    /// The destination is missing, and making it fails as often.
    Destinations,
}

const FAULTS: [Fault; 5] = [
    Fault::Requests,
    Fault::Records,
    Fault::Joined,
    Fault::Answers,
    Fault::Destinations,
];

/// A service that fails at a rate and remembers what it has stored.
struct Service {
    fault: Fault,
    /// Of 100.
    rate: u32,
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    stored: Vec<u64>,
    /// Events of answers that were lost.
    doubtful: usize,
}

impl Service {
    fn fails(&self, state: &mut State) -> bool {
        state.random.u32(..100) < self.rate
    }

    /// How many events stand at one position.
    fn joined(&self) -> usize {
        if self.fault == Fault::Joined { 3 } else { 1 }
    }

    fn take(&self, numbers: &[u64]) -> Answer {
        let state = &mut *self.state.lock().unwrap();
        match self.fault {
            Fault::Requests if self.fails(state) => Answer::again("no"),
            Fault::Destinations if self.fails(state) => Answer::Missing { why: "no".into() },
            Fault::Answers if self.fails(state) => {
                state.stored.extend(numbers);
                state.doubtful += numbers.len();
                Answer::again("no answer")
            }
            Fault::Requests | Fault::Destinations | Fault::Answers => {
                state.stored.extend(numbers);
                Answer::done()
            }
            Fault::Records | Fault::Joined => {
                let mut failed = Vec::new();
                for (position, numbers) in numbers.chunks(self.joined()).enumerate() {
                    if self.fails(state) {
                        failed.push(position);
                    } else {
                        state.stored.extend(numbers);
                    }
                }
                Answer::Partly {
                    failed,
                    throttled: false,
                    why: "no".into(),
                }
            }
        }
    }
}

impl Output for Service {
    fn limits(&self) -> Limits {
        Limits {
            events: IN_REQUEST,
            bytes: 1 << 20,
        }
    }

    fn destination(&self, tag: &Tag) -> Option<Destination> {
        Some(Destination {
            group: "".into(),
            name: String::from_utf8_lossy(tag.as_bytes()).into(),
        })
    }

    /// Each event is eight bytes; every seventh one is refused.
    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut body: Vec<u8>,
    ) -> Encoded {
        let mut encoded = Encoded::default();
        for item in items.take(IN_REQUEST) {
            let number = item.event.time.seconds;
            if number % 7 == 6 {
                encoded.refused.push((encoded.consumed, DropReason::Empty));
            } else {
                body.extend_from_slice(&number.to_le_bytes());
            }
            encoded.consumed += 1;
        }
        if self.fault == Fault::Joined {
            let taken = encoded.taken() as u32;
            let ends = (1..=taken.div_ceil(3)).map(|end| (end * 3).min(taken));
            encoded.positions = Positions::Joined(ends.collect());
        }
        encoded.body = body.into();
        encoded
    }

    fn send<'a>(&'a self, _: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        let numbers = body
            .chunks(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        let numbers: Vec<u64> = numbers.collect();
        Box::pin(async move { self.take(&numbers) })
    }

    fn prepare<'a>(&'a self, _: &'a Destination) -> BoxFuture<'a, Result<Prepared, Answer>> {
        let fails = self.fails(&mut self.state.lock().unwrap());
        let made = if fails {
            Err(Answer::again("no"))
        } else {
            Ok(Prepared::Made)
        };
        Box::pin(std::future::ready(made))
    }
}

/// Retries at once: what is tested is the book-keeping, not the waiting.
const AT_ONCE: Policy = Policy {
    limit: None,
    base: Duration::ZERO,
    throttled_base: Duration::ZERO,
    cap: Duration::ZERO,
    adapts: false,
};

/// Fills an inbox with events, numbered in the order in which they are stored, over all tags in turns.
fn fill(inbox: &Arc<Inbox>) {
    let streams: Vec<_> = (0..TAGS)
        .map(|tag| {
            Stream::new(
                Tag::new(format!("t{tag}").as_bytes()),
                Source::new("in.0".into()),
                vec![Arc::clone(inbox)],
                Budget::new(1 << 20),
                Arc::new(Pool::new(BATCH_MAX)),
                Duration::ZERO,
                None,
            )
        })
        .collect();
    for (number, stream) in (0..EVENTS).zip(streams.iter().cycle()) {
        let mut block = Block::default();
        block.push(Event {
            time: EventTime {
                seconds: number,
                nanos: 0,
            },
            metadata: &[],
            record: &[0x80],
        });
        stream.append(&block, &[]);
        if number % 20 == 19 {
            for stream in &streams {
                stream.seal();
            }
        }
    }
}

/// Delivers everything and gives what the service has stored, and how much of it in doubt.
///
/// `who` asks: books of one name are one book.
async fn deliver(who: &str, fault: Fault, rate: u32) -> (Vec<u64>, usize) {
    let service = Arc::new(Service {
        fault,
        rate,
        state: Mutex::new(State {
            random: fastrand::Rng::with_seed(u64::from(rate)),
            stored: Vec::new(),
            doubtful: 0,
        }),
    });
    let (inbox, ledger) = (
        Arc::new(Inbox::default()),
        Arc::new(RouteLedger::new(&format!("{who}.{fault:?}.{rate}"))),
    );
    fill(&inbox);
    ledger.route(EVENTS);
    let delivery = Delivery {
        component: "out".to_owned(),
        output: Arc::clone(&service) as Arc<dyn Output>,
        inbox,
        ledger: Arc::clone(&ledger),
        policy: AT_ONCE,
        workers: None,
        throttles: Arc::default(),
        dead_letters: None,
    };
    let (_ending, ended) = watch::channel(Ending::Empty);
    let left = Deliver::new(delivery).run(ended).await;
    assert!(left.is_empty());
    let dropped: u64 = ledger.dropped().map(|(_, events)| events).sum();
    let refused = (0..EVENTS).filter(|number| number % 7 == 6).count() as u64;
    assert_eq!(dropped, refused, "{fault:?} at {rate} %");
    assert_eq!(
        ledger.delivered().0,
        EVENTS - refused,
        "{fault:?} at {rate} %"
    );
    let state = service.state.lock().unwrap();
    (state.stored.clone(), state.doubtful)
}

/// Checklist: outputs 30, 33
#[tokio::test]
async fn what_is_delivered_is_what_was_given_at_every_rate_of_failure() {
    let given: Vec<u64> = (0..EVENTS).filter(|number| number % 7 != 6).collect();
    for fault in FAULTS {
        for rate in 1..=99 {
            let (mut stored, doubtful) = deliver("rates", fault, rate).await;
            let all = stored.len();
            stored.sort_unstable();
            if fault == Fault::Answers {
                // What was in doubt is there once more, and nothing else is.
                assert_eq!(all - doubtful, given.len(), "{fault:?} at {rate} %");
                stored.dedup();
            }
            assert_eq!(stored, given, "{fault:?} at {rate} %");
        }
    }
}

#[tokio::test]
async fn whole_requests_that_fail_leave_the_order_of_their_destination() {
    for rate in [1, 30, 60, 99] {
        for fault in [Fault::Requests, Fault::Destinations] {
            let (stored, _) = deliver("order", fault, rate).await;
            for tag in 0..TAGS {
                let of_tag = stored.iter().filter(|number| **number % TAGS == tag);
                assert!(of_tag.is_sorted(), "{fault:?} at {rate} %: {stored:?}");
            }
        }
    }
}
