//! Joins lines by multiline parsers.
//!
//! Each stream has a [`Machine`]. An event that no parser takes ends what is open and goes on behind it; it too goes through the chain
//! once more, so that everything that leaves here has been through the filters before this one twice, and those behind it once.

use std::sync::Arc;
use std::time::Instant;

use super::Plan;
use crate::filter::{Operator, Origin, Outbox, Passage, Verdict, View};
use crate::parser::multiline::{Fields, Machine, Message};

pub(super) struct Lines {
    plan: Arc<Plan>,
    machine: Machine<Passage>,
}

impl Lines {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let key_content = plan.key_content.as_deref();
        Self {
            machine: Machine::new(&plan.definitions, key_content, plan.message_max),
            plan,
        }
    }
}

impl Fields for View<'_> {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.get(key)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}

/// Puts out a message that has ended.
fn put(outbox: &mut Outbox, is_buffered: bool, message: &Message<'_, Passage>) {
    let origin = Origin {
        passage: message.mark,
        parts: message.lines,
    };
    let write = |out: &mut Vec<u8>| message.write(out);
    if is_buffered {
        outbox.again(origin, message.time, message.metadata, write);
    } else {
        outbox.next(origin, message.time, message.metadata, write);
    }
}

impl Operator for Lines {
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        if outbox.is_joined_here() {
            return Verdict::Keep;
        }
        let is_buffered = self.plan.buffer;
        let (time, metadata) = (event.time(), event.carried());
        let (mark, now) = (outbox.passage(), outbox.now());
        let taken = self
            .machine
            .take_record(&*event, time, metadata, mark, now, &mut |message| {
                put(outbox, is_buffered, &message);
            });
        if taken {
            Verdict::Taken
        } else if outbox.is_first() || !is_buffered {
            Verdict::Keep
        } else {
            let write = |out: &mut Vec<u8>| event.write(out);
            outbox.again(outbox.origin(), time, metadata, write);
            Verdict::Taken
        }
    }

    fn end_chunk(&mut self, outbox: &mut Outbox) {
        if !self.plan.buffer {
            self.release(outbox, true);
        }
    }

    fn release(&mut self, outbox: &mut Outbox, everything: bool) {
        let is_buffered = self.plan.buffer;
        let since = outbox.now().checked_sub(self.plan.patience);
        let mut put = |message: Message<'_, Passage>| put(outbox, is_buffered, &message);
        match since {
            Some(since) if !everything => self.machine.end_idle(since, &mut put),
            _ if everything => self.machine.end_all(&mut put),
            _ => {}
        }
    }

    fn due(&self) -> Option<Instant> {
        self.machine.due(self.plan.patience)
    }

    fn held(&self) -> usize {
        self.machine.held()
    }
}
