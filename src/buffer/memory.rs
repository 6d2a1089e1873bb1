//! Streams in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{self, Kept};
use super::{Batch, Inbox, Message, Pool, Source};
use crate::budget::{Budget, Charge};
use crate::event::{Block, Part, Receipt, Tag};

/// A batch holds at most this much; only an event that is longer by itself makes a longer one.
pub const BATCH_MAX: usize = 256 * 1024;

/// The room an open batch starts with while its stream is quiet.
const BATCH_MIN: usize = 4 * 1024;

/// The events of one tag and one input, on their way to the routes that want them.
#[derive(Debug)]
pub struct Stream {
    tag: Tag,
    source: Arc<Source>,
    routes: Vec<Arc<Inbox>>,
    budget: Arc<Budget>,
    pool: Arc<Pool>,
    /// `Flush`: how long an event may wait for company.
    linger: Duration,
    /// Of an input with `storage.type filesystem`.
    kept: Option<Kept>,
    open: Mutex<Open>,
}

/// The batch that is being filled.
#[derive(Debug, Default)]
struct Open {
    block: Block,
    /// The block's room came from the pool.
    pooled: bool,
    charge: Option<Charge>,
    /// Of those whose events lie here.
    receipts: Vec<Receipt>,
    due: Option<Instant>,
    begun: Option<Instant>,
    /// When the batch before this one was due.
    last_due: Option<Instant>,
    /// How long the batch before this one was: this one will be about as long.
    last_length: usize,
    /// What of it is in the log.
    logged: disk::Open,
}

impl Stream {
    /// A stream for these routes.
    pub fn new(
        tag: Tag,
        source: Arc<Source>,
        routes: Vec<Arc<Inbox>>,
        budget: Arc<Budget>,
        pool: Arc<Pool>,
        linger: Duration,
        kept: Option<Kept>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tag,
            source,
            routes,
            budget,
            pool,
            linger,
            kept,
            open: Mutex::default(),
        })
    }

    /// Appends events. Those of one caller stay in order. The receipts are kept until every route has settled them.
    pub fn append(self: &Arc<Self>, events: &Block, receipts: &[Receipt]) {
        let mut open = self.lock();
        for part in events.parts(BATCH_MAX) {
            if open.block.len() + part.size() > BATCH_MAX && !open.block.is_empty() {
                self.seal_open(&mut open);
            }
            if !self.keep(&mut open, part, receipts) {
                continue;
            }
            if open.block.is_empty() {
                self.begin(&mut open, part.size());
            }
            self.make_room(&mut open, part.size());
            open.block.append(part);
            if self.kept.is_none() {
                open.receipts.extend_from_slice(receipts);
            }
        }
    }

    /// Appends events to the log, if the stream has to; whether they go into the batch too. Their receipts are settled by being in the
    /// log.
    fn keep(&self, open: &mut Open, part: Part<'_>, receipts: &[Receipt]) -> bool {
        let Some(kept) = &self.kept else { return true };
        let mut logged = std::mem::take(&mut open.logged);
        let goes_on = kept.append(&mut logged, part, receipts, |logged| {
            std::mem::swap(&mut open.logged, logged);
            if !open.block.is_empty() {
                self.seal_open(open);
            }
            std::mem::swap(&mut open.logged, logged);
        });
        open.logged = logged;
        goes_on
    }

    /// Seals the open batch, if there is one, and tells every route.
    pub fn seal(&self) {
        let mut open = self.lock();
        if !open.block.is_empty() {
            self.seal_open(&mut open);
        }
    }

    /// Since when the open batch is filled, if there is one.
    pub fn begun(&self) -> Option<Instant> {
        self.lock().begun
    }

    /// Whether nothing waits here and nobody else refers to the stream.
    pub fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.lock().block.is_empty()
    }

    /// Begins a batch: due at once after a quiet period, else `Flush` after the one before.
    fn begin(self: &Arc<Self>, open: &mut Open, first: usize) {
        let now = Instant::now();
        let due = open
            .last_due
            .map_or(now, |last| now.max(last + self.linger));
        open.due = Some(due);
        open.begun = Some(now);
        self.source.begin();
        open.pooled = open.last_length >= BATCH_MAX / 2 && first <= self.pool.size();
        if open.pooled {
            open.block = self.pool.take();
            open.charge = Some(self.budget.charge(open.block.capacity() as u64));
        }
        for (place, route) in self.routes.iter().enumerate() {
            if self.kept.is_none() || open.logged.is_for(place) {
                route.put(Message::Opened(Arc::clone(self), due));
            }
        }
    }

    /// Makes room, at first for as much as the last batch held, then by doubling, but never for more than a batch, and
    /// charges what it takes.
    fn make_room(&self, open: &mut Open, length: usize) {
        if open.block.capacity() - open.block.len() >= length {
            return;
        }
        let wish = open.block.capacity().max(open.last_length).max(BATCH_MIN);
        let limit = BATCH_MAX.saturating_sub(open.block.len());
        let grown = open.block.reserve_exact(wish.min(limit).max(length));
        match &mut open.charge {
            Some(charge) => charge.grow(grown as u64),
            charge => *charge = Some(self.budget.charge(grown as u64)),
        }
    }

    fn seal_open(&self, open: &mut Open) {
        let due = open.due.take().unwrap_or_else(Instant::now);
        // A batch that was full before it was due leaves early, and the next one counts from there.
        open.last_due = Some(due.min(Instant::now()));
        open.last_length = open.block.len();
        let Some(charge) = open.charge.take() else {
            return;
        };
        let block = std::mem::take(&mut open.block);
        let pool = open.pooled.then(|| Arc::clone(&self.pool));
        self.source.seal(block.len());
        let batch = Arc::new(Batch {
            tag: self.tag.clone(),
            block,
            due,
            begun: open.begun.take().unwrap_or(due),
            source: Arc::clone(&self.source),
            _charge: charge,
            _receipts: std::mem::take(&mut open.receipts),
            pool,
        });
        let Some(kept) = &self.kept else {
            for route in &self.routes {
                route.put(Message::Sealed(Arc::clone(&batch), None));
            }
            return;
        };
        for (route, owed) in self.routes.iter().zip(kept.owe(&mut open.logged)) {
            if owed.is_some() {
                route.put(Message::Sealed(Arc::clone(&batch), owed));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Held;
    use crate::event::{Event, EventTime};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn block(records: usize, size: usize) -> Block {
        let mut block = Block::default();
        for _ in 0..records {
            block.push(Event {
                time: EventTime::default(),
                metadata: &[],
                record: &vec![0xc0; size],
            });
        }
        block
    }

    fn stream(routes: &[Arc<Inbox>]) -> (Arc<Stream>, Arc<Budget>) {
        let budget = Budget::new(1 << 30);
        (
            Stream::new(
                Tag::new(b"t"),
                Source::new("in.0".into()),
                routes.to_vec(),
                Arc::clone(&budget),
                Arc::new(Pool::new(BATCH_MAX)),
                Duration::from_secs(1),
                None,
            ),
            budget,
        )
    }

    fn sealed(inbox: &Inbox) -> Vec<Arc<Batch>> {
        let mut messages = Vec::new();
        inbox.take(&mut messages);
        messages
            .into_iter()
            .filter_map(|message| {
                if let Message::Sealed(batch, _) = message {
                    Some(batch)
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn every_route_gets_the_same_batch_and_the_last_one_frees_it() {
        let routes = [Arc::new(Inbox::default()), Arc::new(Inbox::default())];
        let (stream, budget) = stream(&routes);
        stream.append(&block(3, 10), &[]);
        stream.seal();
        let first = sealed(&routes[0]);
        let second = sealed(&routes[1]);
        let source = Arc::clone(&first[0].source);
        assert_eq!(first[0].block.count(), 3);
        assert!(Arc::ptr_eq(&first[0], &second[0]));
        drop(first);
        assert!(budget.used() > 0);
        assert_eq!((source.held().batches, source.held().sealed), (1, 1));
        drop(second);
        assert_eq!(budget.used(), 0);
        assert_eq!(source.held(), Held::default());
    }

    #[test]
    fn a_receipt_comes_back_when_the_last_route_has_let_go_of_the_last_event() {
        let routes = [Arc::new(Inbox::default()), Arc::new(Inbox::default())];
        let (stream, _) = stream(&routes);
        let settled = Arc::new(AtomicBool::new(false));
        let receipt = Receipt::new({
            let settled = Arc::clone(&settled);
            move || settled.store(true, Ordering::Relaxed)
        });
        stream.append(&block(300, 1000), std::slice::from_ref(&receipt));
        drop(receipt);
        stream.seal();
        let (mut first, second) = (sealed(&routes[0]), sealed(&routes[1]));
        assert_eq!((first.len(), second.len()), (2, 2));
        drop(second);
        first.remove(0);
        assert!(!settled.load(Ordering::Relaxed));
        drop(first);
        assert!(settled.load(Ordering::Relaxed));
    }

    #[test]
    fn a_full_batch_is_sealed_and_the_order_kept() {
        let inbox = Arc::new(Inbox::default());
        let (stream, _) = stream(std::slice::from_ref(&inbox));
        for _ in 0..5 {
            stream.append(&block(100, 1000), &[]);
        }
        let counts: Vec<_> = sealed(&inbox)
            .iter()
            .map(|batch| batch.block.count())
            .collect();
        assert_eq!(counts, [200, 200]);
        stream.seal();
        assert_eq!(sealed(&inbox)[0].block.count(), 100);
    }

    #[test]
    fn the_first_event_is_due_at_once_and_the_next_batch_a_flush_later() {
        let inbox = Arc::new(Inbox::default());
        let (stream, _) = stream(std::slice::from_ref(&inbox));
        let start = Instant::now();
        stream.append(&block(1, 1), &[]);
        stream.seal();
        stream.append(&block(1, 1), &[]);
        stream.seal();
        let batches = sealed(&inbox);
        assert!(batches[0].due <= Instant::now());
        assert!(batches[1].due >= start + Duration::from_secs(1));
    }
}
