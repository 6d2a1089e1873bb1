//! Operators: filters that hold events back, put out several for one, or send them through the chain again.
//!
//! A [`Filter`](super::Filter) looks at one event and is done with it. An [`Operator`] has a memory: each stream (the events of
//! one tag that come through one input) has one of its own, made by [`MakeOperator`] and used by one thread at a time. What it puts
//! out goes into its [`Outbox`], and from there
//!
//! ```text
//! next    on to the filters behind it                       lua's arrays, joined parts of a line
//! again   through the whole chain once more                 joined lines
//! retag   the same, under another tag                       rewrite_tag
//! ```
//! before the event at hand goes on itself. There is no queue in between: everything an operator puts out is stored (or held by
//! an operator behind it) when the events that caused it are.
//!
//! What an operator has to ask others for it asks in the background ([`MakeOperator::task`]), and can have a connection wait for the
//! answer before its events run through the chain ([`Operator::ready`]).
//!
//! An event that an operator holds is in memory, inside the budget, like an event in a memory buffer: that is what an
//! acknowledgement means for it. It is let go when its time has come, and at the end of the process.

use std::time::Instant;

use futures_util::future::BoxFuture;

use super::{Verdict, View};
use crate::event::{Block, Event, EventTime};

/// Sent through the chain under another tag more often than this, an event stays where it is: its rules form a circle.
pub const HOPS_MAX: u8 = 8;

/// Makes operators from one section of the configuration.
pub trait MakeOperator: Send + Sync {
    /// The operator for a stream of events with this tag.
    fn operator(&self, tag: &[u8]) -> Box<dyn Operator>;

    /// What runs beside the chain for as long as the chain does, such as questions to a service. Called once.
    fn task(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// One filter's memory of one stream.
pub trait Operator: Send {
    /// Looks at one event. Answers [`Verdict::Taken`] for one that it holds or has put out in another form.
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict;

    /// What to wait for before these events run through the chain, and before what is held can be let go; it ends by itself, soon.
    /// Nobody has to wait: the process may be about to end.
    fn ready(&mut self, _events: &Block) -> Option<BoxFuture<'static, ()>> {
        None
    }

    /// The events that follow came in another message.
    fn end_chunk(&mut self, _outbox: &mut Outbox) {}

    /// Puts out what may wait no longer, or, at the end of the process, everything.
    fn release(&mut self, _outbox: &mut Outbox, _everything: bool) {}

    /// When to call [`Operator::release`]; `None` while nothing is held.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// The bytes that what it holds takes.
    fn held(&self) -> usize {
        0
    }
}

/// What an event has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passage {
    /// How often it has changed its tag.
    hops: u8,
    /// One more than the place of the operator that changed it last.
    retagged: u16,
    /// One more than the place of the last operator that has sent it through the chain again under its tag.
    joined: u16,
}

/// Where an event that is put out comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// What it, or the first event in it, has been through.
    pub passage: Passage,
    /// How many events the operator took for it; none for a copy.
    pub parts: u64,
}

/// The way of an event that is put out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the filters behind the operator.
    Next,
    /// To the first filter.
    Again,
    /// To the first filter of another tag.
    Retag,
}

/// An event that was put out; its tag if it has another one now.
#[derive(Debug, Clone, Copy)]
pub struct Emitted<'a> {
    /// Where it goes.
    pub way: Way,
    /// The new tag; empty unless the way is [`Way::Retag`].
    pub tag: &'a [u8],
    /// What it has been through.
    pub passage: Passage,
    /// The event.
    pub event: Event<'a>,
}

/// How many events went in and came out, so that the books add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Taken events that have come out, in whatever form.
    pub settled: u64,
    /// Of these, those that have become part of another.
    pub joined: u64,
    /// Events that came out and never went in.
    pub added: u64,
    /// Taken events that were dropped, and their size.
    pub dropped: (u64, u64),
    /// Events that went on without the metadata that the filter is there for.
    pub bare: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    way: Way,
    passage: Passage,
    tag_end: usize,
}

/// What an operator is told about an event's way, and where it puts events.
#[derive(Debug)]
pub struct Outbox {
    now: Instant,
    place: u16,
    is_first: bool,
    passage: Passage,
    events: Block,
    entries: Vec<Entry>,
    tags: Vec<u8>,
    counts: Counts,
}

impl Outbox {
    /// An empty one, for the time `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            now,
            place: 0,
            is_first: false,
            passage: Passage::default(),
            events: Block::default(),
            entries: Vec::new(),
            tags: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Empties it for the operator at `place` of the chain, the first one that sees the stream or not, and an event that has come
    /// by `passage`.
    pub fn begin(&mut self, now: Instant, place: usize, is_first: bool, passage: Passage) {
        self.now = now;
        self.place = u16::try_from(place).unwrap_or(u16::MAX - 1);
        self.is_first = is_first;
        self.passage = passage;
        self.events.clear();
        self.entries.clear();
        self.tags.clear();
        self.counts = Counts::default();
    }

    /// The current time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the event at hand has been through.
    pub fn passage(&self) -> Passage {
        self.passage
    }

    /// The event at hand as the origin of what is put out for it.
    pub fn origin(&self) -> Origin {
        Origin {
            passage: self.passage,
            parts: 1,
        }
    }

    /// Whether no filter stands before this one, so that sending an event through the chain again is the same as letting it go on.
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether the event at hand has the tag under which its input took it.
    pub fn is_original(&self) -> bool {
        self.passage.hops == 0
    }

    /// Whether this operator gave the event at hand its tag.
    pub fn is_retagged_here(&self) -> bool {
        self.passage.retagged == self.place + 1
    }

    /// Whether the event at hand has been sent through the chain again by this operator or one behind it.
    pub fn is_joined_here(&self) -> bool {
        self.passage.joined > self.place
    }

    /// Whether the event at hand may still change its tag.
    pub fn may_hop(&self) -> bool {
        self.passage.hops < HOPS_MAX
    }

    /// Puts out an event that goes on to the filters behind this one.
    pub fn next(
        &mut self,
        origin: Origin,
        time: EventTime,
        metadata: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.put(Way::Next, origin, origin.passage);
        self.events.push_with(time, metadata, write);
    }

    /// Puts out an event that goes through the chain from the first filter on. This operator and those before it that do the
    /// same know it by [`Outbox::is_joined_here`].
    pub fn again(
        &mut self,
        origin: Origin,
        time: EventTime,
        metadata: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let passage = Passage {
            joined: origin.passage.joined.max(self.place + 1),
            ..origin.passage
        };
        self.put(Way::Again, origin, passage);
        self.events.push_with(time, metadata, write);
    }

    /// Puts out the event at hand, as it stands, under another tag: in its place, or as a copy. Only if it
    /// [may](Outbox::may_hop).
    pub fn retag(&mut self, tag: &[u8], event: &View<'_>, is_copy: bool) {
        let passage = Passage {
            hops: self.passage.hops.saturating_add(1),
            retagged: self.place + 1,
            ..self.passage
        };
        let origin = Origin {
            passage,
            parts: u64::from(!is_copy),
        };
        self.tags.extend_from_slice(tag);
        self.put(Way::Retag, origin, passage);
        self.events
            .push_with(event.time(), event.carried(), |out| event.write(out));
    }

    /// Notes that an event that was held, of so many bytes, is dropped.
    pub fn drop_held(&mut self, origin: Origin, bytes: u64) {
        self.counts.settled += origin.parts;
        self.counts.dropped.0 += 1;
        self.counts.dropped.1 += bytes;
    }

    /// Notes that an event goes on without the metadata that the filter is there for.
    pub fn note_bare(&mut self) {
        self.counts.bare += 1;
    }

    fn put(&mut self, way: Way, origin: Origin, passage: Passage) {
        self.counts.settled += origin.parts;
        self.counts.joined += origin.parts.saturating_sub(1);
        self.counts.added += u64::from(origin.parts == 0);
        self.entries.push(Entry {
            way,
            passage,
            tag_end: self.tags.len(),
        });
    }

    /// Whether nothing was put out.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What was put out, in order.
    pub fn emitted(&self) -> impl Iterator<Item = Emitted<'_>> {
        let mut tag_start = 0;
        self.entries
            .iter()
            .zip(self.events.events_from(0))
            .map(move |(entry, event)| {
                let tag = self.tags.get(tag_start..entry.tag_end).unwrap_or_default();
                tag_start = entry.tag_end;
                Emitted {
                    way: entry.way,
                    tag,
                    passage: entry.passage,
                    event,
                }
            })
    }
}
