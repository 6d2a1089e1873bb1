//! A small deterministic generator, so that the same seed gives the same texts and the same faults.

/// `SplitMix64`: <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// Whether a case that happens in `share` (0 to 1) of all cases happens now.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        let unit = f64::from((self.bits() >> 32) as u32) / f64::from(u32::MAX);
        share > 0.0 && unit <= share
    }

    /// One of `choices`, or the empty text when there is none.
    pub(crate) fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let at = self.below(choices.len().max(1) as u64) as usize;
        choices.get(at).copied().unwrap_or("")
    }

    /// `digits` random hexadecimal digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            let bits = self.bits();
            for shift in (0..64).step_by(4) {
                text.push(char::from_digit((bits >> shift) as u32 & 0xf, 16).unwrap_or('0'));
            }
        }
        text.truncate(digits);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_happens_about_that_often_and_repeats_with_the_seed() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..10_000).filter(|_| random.happens(0.3)).count()
        };
        assert!((2_800..3_200).contains(&draw(1)));
        assert_eq!(draw(7), draw(7));
    }

    #[test]
    fn never_and_always_are_exact() {
        let mut random = Random::new(3);
        assert!((0..1_000).all(|_| !random.happens(0.0)));
        assert!((0..1_000).all(|_| random.happens(1.0)));
    }
}
