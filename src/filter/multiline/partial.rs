//! Joins the parts into which Docker cuts lines of more than 16 KiB.
//!
//! A part has `partial_message` (`true`), a `partial_id`, and the text. The parts of one id are joined in the order in which they
//! come, and the one with `partial_last` completes them; what is complete goes on in its place. What waits too long for its
//! next part goes on as it is.

use std::sync::Arc;
use std::time::Instant;

use super::Plan;
use crate::event::EventTime;
use crate::filter::{Operator, Origin, Outbox, Verdict, View};
use crate::msgpack::read::{self, Value};
use crate::msgpack::write;

/// The most lines that are open in one stream. Docker has one.
pub(super) const OPEN_MAX: usize = 256;

/// The most text of a line. A longer one leaves in pieces.
const TEXT_MAX: usize = 16 << 20;

/// Keys that begin so say how a line was cut, and are left out of what is joined.
const PREFIX: &[u8] = b"partial_";

/// A line of which parts are missing.
struct Open {
    id: Box<[u8]>,
    origin: Origin,
    time: EventTime,
    /// The pairs of the first part, without the text and what the cutting added.
    pairs: Vec<u8>,
    count: u32,
    text: Vec<u8>,
    touched: Instant,
}

pub(super) struct Partial {
    plan: Arc<Plan>,
    /// In the order in which they began.
    open: Vec<Open>,
}

/// What a part says.
struct Part<'p> {
    id: &'p [u8],
    text: &'p [u8],
    is_last: bool,
}

impl Partial {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            open: Vec::new(),
        }
    }

    fn key(&self) -> &[u8] {
        self.plan.key_content.as_deref().unwrap_or_default()
    }

    fn part<'p>(&self, event: &'p View<'_>) -> Option<Part<'p>> {
        if !event.get(b"partial_message").is_some_and(is_true) {
            return None;
        }
        Some(Part {
            id: text(event.get(b"partial_id")?)?,
            text: text(event.get(self.key())?)?,
            is_last: event.get(b"partial_last").is_some_and(is_true),
        })
    }

    /// Appends a line that is whole, or will not be.
    fn write(&self, open: &Open, out: &mut Vec<u8>) {
        write::map_header(out, open.count + 1);
        out.extend_from_slice(&open.pairs);
        write::str(out, self.key());
        write::str(out, &open.text);
    }

    /// Lets a line go that has not been completed.
    fn give_up(&mut self, index: usize, outbox: &mut Outbox) {
        let open = self.open.remove(index);
        outbox.again(open.origin, open.time, &[], |out| self.write(&open, out));
    }
}

/// `true`, or the text in any case.
fn is_true(value: &[u8]) -> bool {
    match read::value(value) {
        Ok((_, Value::Bool(truth))) => truth,
        Ok((_, Value::Str(text))) => text.eq_ignore_ascii_case(b"true"),
        _ => false,
    }
}

fn text(value: &[u8]) -> Option<&[u8]> {
    match read::value(value) {
        Ok((_, Value::Str(text))) => Some(text),
        _ => None,
    }
}

impl Open {
    fn new(id: &[u8], event: &View<'_>, key: &[u8], outbox: &Outbox) -> Self {
        let (mut pairs, mut count) = (Vec::new(), 0);
        for (name, value) in event.pairs() {
            let is_other = match text(name) {
                Some(name) => name != key && !name.starts_with(PREFIX),
                None => true,
            };
            if is_other {
                pairs.extend_from_slice(name);
                pairs.extend_from_slice(value);
                count += 1;
            }
        }
        Self {
            id: id.into(),
            origin: Origin {
                parts: 0,
                ..outbox.origin()
            },
            time: event.time(),
            pairs,
            count,
            text: Vec::new(),
            touched: outbox.now(),
        }
    }
}

impl Operator for Partial {
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        if outbox.is_joined_here() {
            return Verdict::Keep;
        }
        let Some(part) = self.part(event) else {
            return Verdict::Keep;
        };
        let mut found = self.open.iter().position(|open| *open.id == *part.id);
        let is_full = |index: usize| {
            let open = self.open.get(index);
            open.is_some_and(|open| open.text.len() + part.text.len() > TEXT_MAX)
        };
        if let Some(index) = found.filter(|index| is_full(*index)) {
            self.give_up(index, outbox);
            found = None;
        }
        let index = found.unwrap_or_else(|| {
            if self.open.len() >= OPEN_MAX {
                self.give_up(0, outbox);
            }
            let open = Open::new(part.id, event, self.key(), outbox);
            self.open.push(open);
            self.open.len() - 1
        });
        let Some(open) = self.open.get_mut(index) else {
            return Verdict::Keep;
        };
        open.text.extend_from_slice(part.text);
        open.touched = outbox.now();
        open.origin.parts += 1;
        if part.is_last {
            let open = self.open.remove(index);
            outbox.next(open.origin, open.time, &[], |out| self.write(&open, out));
        }
        Verdict::Taken
    }

    fn release(&mut self, outbox: &mut Outbox, everything: bool) {
        let mut index = 0;
        while let Some(open) = self.open.get(index) {
            if everything || open.touched + self.plan.patience <= outbox.now() {
                self.give_up(index, outbox);
            } else {
                index += 1;
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let touched = self.open.iter().map(|open| open.touched).min();
        touched.map(|touched| touched + self.plan.patience)
    }

    fn held(&self) -> usize {
        let size = |open: &Open| {
            size_of::<Open>() + open.id.len() + open.pairs.capacity() + open.text.capacity()
        };
        self.open.iter().map(size).sum()
    }
}
