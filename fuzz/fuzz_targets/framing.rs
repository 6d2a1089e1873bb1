//! A stream means the same wherever it is split: the first byte says where.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::input::{Reject, Replay};
use sluice_fuzz::{Checked, LIMIT, bounded};

/// The outcome, the answers and a digest of the events of a stream that comes in pieces of this size.
fn play(bytes: &[u8], piece: usize) -> (Result<(), Reject>, Vec<u8>, (u64, u64)) {
    let (mut replay, mut checked) = (Replay::new(LIMIT), Checked::default());
    let (mut taken, mut end, mut outcome) = (0, 0, Ok(()));
    while end < bytes.len() && outcome.is_ok() {
        end = (end + piece).min(bytes.len());
        match replay.take(&bytes[taken..end], &mut checked) {
            Ok(length) => taken += length,
            Err(reject) => outcome = Err(reject),
        }
    }
    (outcome, replay.answers(), (checked.count, checked.digest))
}

fuzz_target!(|bytes: &[u8]| {
    if let Some((&piece, bytes)) = bytes.split_first() {
        bounded(|| {
            let whole = play(bytes, bytes.len());
            assert_eq!(play(bytes, usize::from(piece).max(1)), whole);
        });
    }
});
