//! The receipts of what operators hold.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::Receipt;

/// Operators let go in another order than they took where a tag carries several streams. So a receipt outlives its events by this,
/// unless nothing at all is held.
const LINGER: Duration = Duration::from_secs(10);

/// The receipts of one lane, in the order of the commits.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// How many events were taken so far, and how many were let go.
    taken: u64,
    settled: u64,
    /// Of events that are held: how many were taken up to them.
    held: VecDeque<(Receipt, u64)>,
    lingering: VecDeque<(Receipt, Instant)>,
}

impl Receipts {
    /// Those of what is held.
    pub(super) fn held(&self) -> impl Iterator<Item = &Receipt> {
        self.held.iter().map(|(receipt, _)| receipt)
    }

    /// Notes that of the events with these receipts so many were taken, and so many events let go.
    pub(super) fn note(&mut self, receipts: &[Receipt], taken: u64, settled: u64, now: Instant) {
        self.taken += taken;
        self.settled += settled;
        if taken > 0 {
            let receipts = receipts.iter().cloned();
            self.held
                .extend(receipts.map(|receipt| (receipt, self.taken)));
        }
        let settled = self.settled;
        while let Some((receipt, _)) = self.held.pop_front_if(|(_, upto)| *upto <= settled) {
            self.lingering.push_back((receipt, now + LINGER));
        }
        while self
            .lingering
            .pop_front_if(|(_, until)| *until <= now)
            .is_some()
        {}
    }

    /// Nothing is held.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_held_until_its_events_are_let_go_and_a_while_longer() {
        let (mut receipts, now) = (Receipts::default(), Instant::now());
        let one = Receipt::new(|| {});
        receipts.note(std::slice::from_ref(&one), 2, 0, now);
        receipts.note(&[], 0, 1, now);
        assert_eq!(receipts.held().count(), 1);
        receipts.note(&[], 0, 1, now);
        assert_eq!((receipts.held().count(), receipts.lingering.len()), (0, 1));
        receipts.note(&[], 0, 0, now + LINGER);
        assert_eq!(receipts.lingering.len(), 0);
        receipts.note(&[one], 1, 0, now);
        receipts.clear();
        assert_eq!(receipts.held().count(), 0);
    }
}
