//! A table of series that is read without a lock.
//!
//! Series are only added, up to a limit, and never change their place: a slot is empty or taken for good. So a series that
//! is known is found by looking, whichever connections look at the same time.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is counted under one set of labels.
pub(super) struct Series<C> {
    labels: Box<[u8]>,
    /// Where it is counted.
    pub(super) cell: C,
}

/// Series by their labels, which are any bytes.
pub(super) struct Table<C> {
    /// Twice as many as series at least, so that a search always ends, and soon.
    slots: Box<[OnceLock<Box<Series<C>>>]>,
    taken: AtomicUsize,
    limit: usize,
    hasher: RandomState,
}

impl<C> Table<C> {
    /// A table for so many series.
    pub(super) fn new(limit: usize) -> Self {
        let slots = (limit.max(1) * 2).next_power_of_two();
        Self {
            slots: (0..slots).map(|_| OnceLock::new()).collect(),
            taken: AtomicUsize::new(0),
            limit,
            hasher: RandomState::new(),
        }
    }

    /// The series with these labels, made if there is none; `None` if that would be one too many.
    pub(super) fn find(&self, labels: &[u8], make: impl Fn() -> C) -> Option<&Series<C>> {
        let mask = self.slots.len() - 1;
        let mut at = self.hasher.hash_one(labels) as usize & mask;
        loop {
            let slot = self.slots.get(at)?;
            match slot.get() {
                Some(series) if *series.labels == *labels => return Some(series),
                Some(_) => at = (at + 1) & mask,
                None => {
                    if self.taken.fetch_add(1, Ordering::Relaxed) >= self.limit {
                        self.taken.fetch_sub(1, Ordering::Relaxed);
                        return None;
                    }
                    let series = Series {
                        labels: labels.into(),
                        cell: make(),
                    };
                    // Another connection may have been quicker; what it has put there is looked at next.
                    if slot.set(Box::new(series)).is_err() {
                        self.taken.fetch_sub(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn a_series_is_made_once_and_found_again_up_to_the_limit() {
        let table: Table<AtomicU64> = Table::new(3);
        let count = |labels: &str| {
            let series = table.find(labels.as_bytes(), AtomicU64::default)?;
            Some(series.cell.fetch_add(1, Ordering::Relaxed))
        };
        for (labels, before) in [
            ("a", Some(0)),
            ("b", Some(0)),
            ("a", Some(1)),
            ("", Some(0)),
            ("c", None),
            ("b", Some(1)),
        ] {
            assert_eq!(count(labels), before, "{labels}");
        }
    }

    #[test]
    fn threads_that_make_the_same_series_share_one() {
        let table: Table<AtomicU64> = Table::new(8);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..8_000_u32 {
                        let series = table.find(&[(round % 8) as u8], AtomicU64::default);
                        series.unwrap().cell.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        for labels in 0..8 {
            let series = table
                .find(&[labels], || unreachable!("it is there"))
                .unwrap();
            assert_eq!(series.cell.load(Ordering::Relaxed), 4_000);
        }
    }
}
