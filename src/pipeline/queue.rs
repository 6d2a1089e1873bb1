//! The events that one destination is owed: pieces of batches, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::buffer::{Batch, Owed};
use crate::event::{Event, Events, Tag};
use crate::output::Item;

/// Events of one batch.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    batch: Arc<Batch>,
    /// Tells the log, when the last copy is dropped, that the output has let go of the batch.
    owed: Option<Arc<Owed>>,
    span: Span,
    count: usize,
    /// Its place among all pieces of its output, as they came.
    pub arrival: u64,
    /// How often they have been tried without success.
    pub attempts: u32,
    /// Of the first event, which is larger than a request: how many parts the service has.
    pub part: u32,
}

/// Which events of the batch.
#[derive(Debug, Clone)]
enum Span {
    /// From this byte on, as many as the piece counts.
    From(usize),
    /// Those that start at these bytes.
    At(Vec<u32>),
}

impl Piece {
    /// A whole batch.
    pub(super) fn whole(batch: Arc<Batch>, owed: Option<Arc<Owed>>) -> Self {
        let count = batch.block.count();
        Self {
            batch,
            owed,
            span: Span::From(0),
            count,
            arrival: 0,
            attempts: 0,
            part: 0,
        }
    }

    /// Those of its events that start at these bytes.
    pub(super) fn part(&self, starts: Vec<u32>) -> Self {
        Self {
            batch: Arc::clone(&self.batch),
            owed: self.owed.clone(),
            count: starts.len(),
            span: Span::At(starts),
            arrival: self.arrival,
            attempts: self.attempts,
            part: self.part,
        }
    }

    /// Their tag.
    pub(super) fn tag(&self) -> &Tag {
        &self.batch.tag
    }

    /// How many events.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// About how many bytes they take in the buffer.
    pub(super) fn weight(&self) -> usize {
        self.batch.block.len() * self.count / self.batch.block.count().max(1)
    }

    /// When they are due.
    pub(super) fn due(&self) -> Instant {
        self.batch.due
    }

    /// Since when they are held.
    pub(super) fn begun(&self) -> Instant {
        self.batch.begun
    }

    /// The input they came from.
    pub(super) fn input(&self) -> &Arc<str> {
        &self.batch.source.name
    }

    /// Takes the first `count` events off.
    fn split(&mut self, count: usize) -> Self {
        let span = match &mut self.span {
            Span::From(start) => {
                let first = Span::From(*start);
                let mut events = self.batch.block.events_from(*start);
                let _skipped = events.by_ref().take(count).count();
                *start = events.position();
                first
            }
            Span::At(starts) => {
                let rest = starts.split_off(count.min(starts.len()));
                Span::At(std::mem::replace(starts, rest))
            }
        };
        self.count -= count;
        Self {
            batch: Arc::clone(&self.batch),
            owed: self.owed.clone(),
            span,
            count,
            arrival: self.arrival,
            attempts: self.attempts,
            part: std::mem::take(&mut self.part),
        }
    }

    /// The byte at which its first event starts.
    pub(super) fn start(&self) -> usize {
        match &self.span {
            Span::From(start) => *start,
            Span::At(starts) => starts.first().map_or(0, |&start| start as usize),
        }
    }

    /// The events, with the bytes they start at.
    pub(super) fn events(&self) -> impl Iterator<Item = (usize, Event<'_>)> {
        self.walk()
    }

    fn walk(&self) -> PieceEvents<'_> {
        let start = if let Span::From(start) = &self.span {
            *start
        } else {
            0
        };
        PieceEvents {
            piece: self,
            events: self.batch.block.events_from(start),
            next: 0,
        }
    }
}

/// Walks the events of a piece with the bytes they start at.
struct PieceEvents<'p> {
    piece: &'p Piece,
    events: Events<'p>,
    next: usize,
}

impl<'p> Iterator for PieceEvents<'p> {
    type Item = (usize, Event<'p>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.piece.count {
            return None;
        }
        if let Span::At(starts) = &self.piece.span {
            self.events = self
                .piece
                .batch
                .block
                .events_from(*starts.get(self.next)? as usize);
        }
        self.next += 1;
        Some((self.events.position(), self.events.next()?))
    }
}

/// Walks the items of many pieces.
struct Items<'p, P> {
    pieces: P,
    current: Option<PieceEvents<'p>>,
    left: usize,
}

impl<'p, P: Iterator<Item = &'p Piece>> Iterator for Items<'p, P> {
    type Item = Item<'p>;

    #[inline]
    fn next(&mut self) -> Option<Item<'p>> {
        if self.left == 0 {
            return None;
        }
        loop {
            if let Some(current) = &mut self.current
                && let Some((_, event)) = current.next()
            {
                self.left -= 1;
                return Some(Item {
                    tag: &current.piece.batch.tag,
                    event,
                });
            }
            self.current = Some(self.pieces.next()?.walk());
        }
    }
}

/// What a destination is owed.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    events: usize,
    weight: usize,
}

impl Queue {
    /// Appends events that have just come.
    pub(super) fn push(&mut self, piece: Piece) {
        self.events += piece.count;
        self.weight += piece.weight();
        self.pieces.push_back(piece);
    }

    /// Puts events back in front, in their order.
    pub(super) fn put_back(&mut self, pieces: Vec<Piece>) {
        for piece in pieces.into_iter().rev() {
            self.events += piece.count;
            self.weight += piece.weight();
            self.pieces.push_front(piece);
        }
    }

    /// How many events wait.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// About how many bytes they take in the buffer.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// When the first of them is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pieces.front().map(Piece::due)
    }

    /// Since when the first of them is held.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.pieces.front().map(Piece::begun)
    }

    /// How many parts of the first event the service has.
    pub(super) fn part(&self) -> u32 {
        self.pieces.front().map_or(0, |piece| piece.part)
    }

    /// The first `most` items.
    pub(super) fn items(&self, most: usize) -> impl Iterator<Item = Item<'_>> {
        Items {
            pieces: self.pieces.iter(),
            current: None,
            left: most,
        }
    }

    /// Takes the first `count` events off.
    pub(super) fn take(&mut self, mut count: usize) -> Vec<Piece> {
        let mut taken = Vec::new();
        while count > 0 {
            let Some(mut piece) = self.pieces.pop_front() else {
                break;
            };
            self.weight = self.weight.saturating_sub(piece.weight());
            let first = if piece.count > count {
                let first = piece.split(count);
                self.weight += piece.weight();
                self.pieces.push_front(piece);
                first
            } else {
                piece
            };
            count -= first.count;
            self.events -= first.count;
            taken.push(first);
        }
        taken
    }
}

/// Keeps of `pieces` the events whose places, counted over all of them, are in `places` (ascending).
pub(super) fn pick(pieces: &[Piece], places: &[usize]) -> Vec<Piece> {
    let mut picked = Vec::new();
    let mut places = places.iter().copied().peekable();
    let mut before = 0;
    for piece in pieces {
        let end = before + piece.count;
        let mut starts = Vec::new();
        if places.peek().is_some_and(|&place| place < end) {
            for (place, (start, _)) in (before..).zip(piece.events()) {
                if places.next_if_eq(&place).is_some() {
                    starts.push(start as u32);
                }
            }
        }
        if !starts.is_empty() {
            picked.push(piece.part(starts));
        }
        before = end;
    }
    picked
}

/// How many events the pieces hold.
pub(super) fn count(pieces: &[Piece]) -> usize {
    pieces.iter().map(Piece::count).sum()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::budget::Budget;
    use crate::buffer::{BATCH_MAX, Inbox, Message, Pool, Source, Stream};
    use crate::event::{Block, EventTime};
    use std::time::Duration;

    /// A batch of empty records, one at each second.
    pub(in crate::pipeline) fn batch(seconds: std::ops::Range<u64>) -> Arc<Batch> {
        let inbox = Arc::new(Inbox::default());
        let stream = Stream::new(
            Tag::new(b"t"),
            Source::new("in.0".into()),
            vec![Arc::clone(&inbox)],
            Budget::new(1 << 20),
            Arc::new(Pool::new(BATCH_MAX)),
            Duration::ZERO,
            None,
        );
        let mut block = Block::default();
        for seconds in seconds {
            block.push(Event {
                time: EventTime { seconds, nanos: 0 },
                metadata: &[],
                record: &[0x80],
            });
        }
        stream.append(&block, &[]);
        stream.seal();
        let mut messages = Vec::new();
        inbox.take(&mut messages);
        let sealed = messages.into_iter().find_map(|message| match message {
            Message::Sealed(batch, _) => Some(batch),
            Message::Opened(..) | Message::Hurry => None,
        });
        sealed.unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::batch;
    use super::*;

    fn seconds<'a>(items: impl Iterator<Item = Item<'a>>) -> Vec<u64> {
        items.map(|item| item.event.time.seconds).collect()
    }

    fn of(pieces: &[Piece]) -> Vec<u64> {
        pieces
            .iter()
            .flat_map(|piece| piece.events().map(|(_, event)| event.time.seconds))
            .collect()
    }

    #[test]
    fn events_are_taken_and_put_back_in_order_across_batches() {
        let mut queue = Queue::default();
        queue.push(Piece::whole(batch(0..3), None));
        queue.push(Piece::whole(batch(3..6), None));
        let first = queue.take(4);
        assert_eq!(of(&first), [0, 1, 2, 3]);
        assert_eq!(seconds(queue.items(10)), [4, 5]);
        queue.put_back(first);
        assert_eq!(
            (queue.events(), seconds(queue.items(5))),
            (6, vec![0, 1, 2, 3, 4])
        );
        assert_eq!(of(&queue.take(100)), [0, 1, 2, 3, 4, 5]);
        assert_eq!((queue.events(), queue.weight()), (0, 0));
    }

    #[test]
    fn single_events_can_be_picked_and_split_again() {
        let pieces = vec![
            Piece::whole(batch(0..3), None),
            Piece::whole(batch(3..6), None),
        ];
        let picked = pick(&pieces, &[1, 3, 5]);
        assert_eq!(of(&picked), [1, 3, 5]);
        let mut queue = Queue::default();
        queue.put_back(picked);
        assert_eq!(of(&queue.take(2)), [1, 3]);
        assert_eq!(of(&queue.take(2)), [5]);
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_and_what_is_left_is_everything(
            sizes in proptest::collection::vec(1..20u64, 1..8),
            takes in proptest::collection::vec(1..15usize, 1..12),
        ) {
            let mut queue = Queue::default();
            let mut next = 0;
            for size in sizes {
                queue.push(Piece::whole(batch(next..next + size), None));
                next += size;
            }
            let mut seen = Vec::new();
            for count in takes {
                seen.extend(of(&queue.take(count)));
            }
            seen.extend(seconds(queue.items(usize::MAX)));
            proptest::prop_assert_eq!(seen, (0..next).collect::<Vec<_>>());
        }
    }
}
