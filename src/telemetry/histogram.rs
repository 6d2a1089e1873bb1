//! Counts values by size, without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;

use super::family::Spread;

/// The bounds in seconds: those of Fluent Bit's latency.
const BOUNDS: [f64; 8] = [0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0];

/// How many values lie between the bounds, and their sum.
#[derive(Debug)]
pub struct Buckets {
    bounds: Arc<[f64]>,
    counts: Box<[AtomicU64]>,
    above: AtomicU64,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self::new(BOUNDS.into())
    }
}

impl Buckets {
    /// With these bounds, which must rise.
    pub fn new(bounds: Arc<[f64]>) -> Self {
        Self {
            counts: bounds.iter().map(|_| AtomicU64::new(0)).collect(),
            bounds,
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value.
    pub fn observe(&self, value: f64) {
        let place = self.bounds.iter().position(|bound| value <= *bound);
        let count = place.and_then(|place| self.counts.get(place));
        count.unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        let add = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        let _always_ok = self
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// What it holds now.
    pub fn spread(&self) -> Spread {
        let mut count = 0;
        let counts = self.counts.iter().map(|own| {
            count += own.load(Ordering::Relaxed);
            count
        });
        let below = self.bounds.iter().copied().zip(counts).collect();
        Spread {
            below,
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
            count: count + self.above.load(Ordering::Relaxed),
        }
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.observe(value);
    }
}

#[cfg(test)]
mod tests {
    use super::Buckets;

    #[test]
    fn each_bound_counts_everything_up_to_it() {
        let buckets = Buckets::default();
        for value in [0.5, 0.6, 7.0, 31.0] {
            buckets.observe(value);
        }
        let spread = buckets.spread();
        let counts: Vec<_> = spread.below.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 2, 2, 2, 2, 3, 3, 3]);
        assert_eq!(spread.count, 4);
        assert!((spread.sum - 39.1).abs() < 1e-9);
    }

    #[test]
    fn bounds_may_be_others() {
        let buckets = Buckets::new([1.0, 100.0].into());
        for value in [1.0, 99.0, 101.0] {
            buckets.observe(value);
        }
        assert_eq!(buckets.spread().below, [(1.0, 1), (100.0, 2)]);
    }
}
