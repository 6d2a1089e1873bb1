//! Numbers about many things: a latency histogram, medians, and the conversions that reports need.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

const SUB_BITS: u32 = 5;
const SUBS: usize = 1 << SUB_BITS;
const OCTAVES: usize = 64 - SUB_BITS as usize;

/// Counts durations in buckets that are at most 3.2 % wide, in constant memory (15 KiB).
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; (OCTAVES + 1) * SUBS],
            count: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Counts one duration in nanoseconds.
    pub(crate) fn add(&mut self, nanos: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// Adds everything `other` has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The duration in nanoseconds that `share` of all counted ones do not exceed; `None` before the first.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let wanted = approx(self.count) * share;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if approx(seen) >= wanted && seen > 0 {
                return Some(top_of(at).min(self.max));
            }
        }
        Some(self.max)
    }

    /// `{"count", "p50_ms", "p99_ms", "max_ms"}`, the last three null before the first duration.
    pub(crate) fn to_json(&self) -> Value {
        let millis = |nanos: Option<u64>| nanos.map(|nanos| round(approx(nanos) / 1e6));
        json!({
            "count": self.count,
            "p50_ms": millis(self.quantile(0.5)),
            "p99_ms": millis(self.quantile(0.99)),
            "max_ms": millis((self.count > 0).then_some(self.max)),
        })
    }
}

fn bucket_of(nanos: u64) -> usize {
    let octave = (u64::BITS - nanos.leading_zeros()).saturating_sub(SUB_BITS + 1);
    let sub = (nanos >> octave) as usize;
    // Below the first octave `sub` is the value itself; above, its top bit is always set.
    octave as usize * SUBS + sub
}

fn top_of(bucket: usize) -> u64 {
    let octave = (bucket / SUBS).saturating_sub(1);
    let sub = (bucket - octave * SUBS) as u64;
    ((sub + 1) << octave).wrapping_sub(1)
}

/// The middle value, or the mean of the middle two; `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// A count as a floating-point number, good to 15 digits.
#[expect(
    clippy::cast_precision_loss,
    reason = "reports show four digits, and no count here passes 2^53"
)]
pub(crate) fn approx(count: u64) -> f64 {
    count as f64
}

/// Three digits after the point: what a report shows.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// `part` per `whole`, 0 when there is no whole.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The wall clock in nanoseconds since 1970.
pub(crate) fn now_nanos() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_within_four_percent_of_the_truth() {
        for value in [
            0,
            1,
            31,
            32,
            33,
            63,
            64,
            1_000,
            123_456,
            5_000_000_000,
            u64::MAX / 3,
        ] {
            let mut histogram = Histogram::default();
            histogram.add(value);
            histogram.add(u64::MAX);
            let median = histogram.quantile(0.5).unwrap();
            assert!(median >= value, "{value} {median}");
            assert!(approx(median) <= approx(value) * 1.04, "{value} {median}");
        }
    }

    #[test]
    fn quantiles_count_from_below() {
        let mut histogram = Histogram::default();
        for value in 1..=20 {
            histogram.add(value);
        }
        assert_eq!(histogram.quantile(0.5), Some(10));
        assert_eq!(histogram.quantile(1.0), Some(20));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn merging_equals_counting_together() {
        let (mut one, mut two, mut both) = (
            Histogram::default(),
            Histogram::default(),
            Histogram::default(),
        );
        for value in [5, 900, 70_000] {
            one.add(value);
            both.add(value);
        }
        two.add(3_000_000);
        both.add(3_000_000);
        one.merge(&two);
        assert_eq!(one.to_json(), both.to_json());
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0]), Some(2.0));
        assert_eq!(median([9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median([]), None);
    }
}
