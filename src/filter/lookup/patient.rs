//! An operator that appends what a lookup has found, and holds events for which it has to wait.
//!
//! Events mostly wait with the commit that brings them ([`Operator::ready`]). That is not possible for those that another filter
//! sends here under a new tag, or lets go in its own time, so they wait here, in their order, with whatever follows them.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join};
use tokio::time::Instant;

use crate::event::Block;
use crate::filter::{Operator, Origin, Outbox, Scratch, Verdict, View};

/// Appends what is known of one stream's events.
pub(in crate::filter) trait Decorator: Send {
    /// Ends when all is known that can be about these events; `None` if that is so already.
    fn ready(&mut self, events: &Block) -> Option<BoxFuture<'static, ()>>;

    /// Until when this event has to wait; `None` if it has not.
    fn waits_until(&mut self, event: &View<'_>) -> Option<Instant>;

    /// Appends what is known, and says whether that is what the filter is there for.
    fn decorate(&mut self, event: &mut View<'_>) -> (Verdict, bool);
}

/// A decorator as an operator.
pub(in crate::filter) struct Patient<D> {
    decorator: D,
    tag: Box<[u8]>,
    /// Events that wait.
    held: Block,
    origins: Vec<Origin>,
    /// When the first of them has waited long enough.
    due: Option<Instant>,
}

impl<D: Decorator> Patient<D> {
    /// For the events of a tag.
    pub(in crate::filter) fn new(decorator: D, tag: &[u8]) -> Self {
        Self {
            decorator,
            tag: tag.into(),
            held: Block::default(),
            origins: Vec::new(),
            due: None,
        }
    }

    fn hold(&mut self, event: &View<'_>, origin: Origin) {
        self.held
            .push_with(event.time(), event.metadata(), |out| event.write(out));
        self.origins.push(origin);
    }

    /// Lets go of what waits, up to the first event that still has to.
    fn let_go(&mut self, outbox: &mut Outbox, everything: bool) {
        if !everything && self.first_waits() {
            return;
        }
        let held = std::mem::take(&mut self.held);
        let origins = std::mem::take(&mut self.origins);
        let tag = std::mem::take(&mut self.tag);
        let mut scratch = Scratch::default();
        self.due = None;
        for (event, origin) in held.events_from(0).zip(origins) {
            let mut view = View::open(&tag, event, &mut scratch);
            if !everything && self.due.is_none() {
                self.due = self.decorator.waits_until(&view);
            }
            if self.due.is_some() {
                self.hold(&view, origin);
            } else {
                match self.decorate(&mut view, outbox) {
                    Verdict::Drop => outbox.drop_held(origin, event.record.len() as u64),
                    Verdict::Keep | Verdict::Taken => {
                        outbox.next(origin, view.time(), view.metadata(), |out| view.write(out));
                    }
                }
            }
        }
        self.tag = tag;
    }

    fn first_waits(&mut self) -> bool {
        let mut scratch = Scratch::default();
        let first = self.held.events_from(0).next();
        let view = first.map(|event| View::open(&self.tag, event, &mut scratch));
        self.due = view.and_then(|view| self.decorator.waits_until(&view));
        self.due.is_some()
    }

    fn decorate(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        let (verdict, is_decorated) = self.decorator.decorate(event);
        if verdict == Verdict::Keep && !is_decorated {
            outbox.note_bare();
        }
        verdict
    }
}

impl<D: Decorator> Operator for Patient<D> {
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        if !self.origins.is_empty() {
            self.let_go(outbox, false);
        }
        if self.due.is_none() {
            self.due = self.decorator.waits_until(event);
        }
        if self.due.is_none() {
            return self.decorate(event, outbox);
        }
        self.hold(event, outbox.origin());
        Verdict::Taken
    }

    fn ready(&mut self, events: &Block) -> Option<BoxFuture<'static, ()>> {
        let here = self.decorator.ready(&self.held);
        match (self.decorator.ready(events), here) {
            (Some(new), Some(here)) if !self.held.is_empty() => {
                Some(join(new, here).map(|_| ()).boxed())
            }
            (new, here) => new.or(here),
        }
    }

    fn release(&mut self, outbox: &mut Outbox, everything: bool) {
        self.let_go(outbox, everything);
    }

    fn due(&self) -> Option<std::time::Instant> {
        self.due.map(Instant::into_std)
    }

    fn held(&self) -> usize {
        self.held.len() + self.origins.len() * size_of::<Origin>()
    }
}
