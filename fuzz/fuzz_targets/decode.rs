//! Whole frames of every mode: no panic, and only sound events.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::input::Replay;
use sluice_fuzz::{Checked, LIMIT, bounded};

fuzz_target!(|bytes: &[u8]| {
    bounded(|| {
        let mut replay = Replay::new(LIMIT);
        let taken = replay.take(bytes, &mut Checked::default());
        assert!(taken.is_err() || taken.is_ok_and(|taken| taken <= bytes.len()));
    });
});
