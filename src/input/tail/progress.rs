//! How far a file is safe to forget: what was stored comes back as settled in any order, the place moves on in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::place::Place;
use crate::event::Receipt;

/// The progress of one file.
#[derive(Debug)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Everything before it is settled.
    safe: Place,
    /// What was stored and lies behind `safe`, in the order of the file.
    waiting: VecDeque<Waiting>,
    /// The number of the first of them.
    first: u64,
}

#[derive(Debug)]
struct Waiting {
    end: Place,
    is_settled: bool,
}

impl Progress {
    /// Everything before `safe` is settled.
    pub(super) fn new(safe: Place) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            safe,
            waiting: VecDeque::new(),
            first: 0,
        })))
    }

    /// Notes that what lies before `end` is about to be stored with the receipt it gives.
    pub(super) fn store(self: &Arc<Self>, end: Place) -> Receipt {
        let mut state = self.lock();
        let number = state.first + state.waiting.len() as u64;
        state.waiting.push_back(Waiting {
            end,
            is_settled: false,
        });
        drop(state);
        let progress = Arc::clone(self);
        Receipt::new(move || progress.settle(number))
    }

    /// Starts again, as in a file that was emptied. Receipts given before mean nothing any more.
    pub(super) fn restart(&self, safe: Place) {
        let mut state = self.lock();
        state.first += state.waiting.len() as u64;
        state.waiting.clear();
        state.safe = safe;
    }

    /// Everything before it is settled.
    pub(super) fn safe(&self) -> Place {
        self.lock().safe
    }

    /// Whether something stored is not settled.
    pub(super) fn is_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    fn settle(&self, number: u64) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let index = number.checked_sub(state.first).map(|index| index as usize);
        if let Some(waiting) = index.and_then(|index| state.waiting.get_mut(index)) {
            waiting.is_settled = true;
        }
        while let Some(settled) = state.waiting.pop_front_if(|first| first.is_settled) {
            state.safe = settled.end;
            state.first += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(offset: u64) -> Place {
        Place::new(offset, b"")
    }

    #[test]
    fn receipts_of_before_a_restart_mean_nothing() {
        let progress = Progress::new(place(5));
        let old = progress.store(place(9));
        progress.restart(place(0));
        let new = progress.store(place(3));
        drop(old);
        assert_eq!(progress.safe().offset, 0);
        drop(new);
        assert_eq!(progress.safe().offset, 3);
        assert!(!progress.is_waiting());
    }

    proptest! {
        #[test]
        fn the_place_never_passes_what_is_not_settled(order in Just((0..12_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let progress = Progress::new(place(0));
            let mut receipts: Vec<_> = (0..12).map(|at| Some(progress.store(place(at + 1)))).collect();
            for settled in order {
                receipts[settled as usize] = None;
                let first_open = receipts.iter().position(Option::is_some).unwrap_or(12);
                prop_assert_eq!(progress.safe().offset, first_open as u64);
            }
        }
    }
}
