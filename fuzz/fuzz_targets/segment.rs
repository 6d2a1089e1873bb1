//! Any bytes are walked to their end, whole entries hold whole events, and what stands behind one changes nothing about it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::buffer::{Step, step};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = match step(rest, 0) {
            Step::Entry(entry, length) => {
                let mut block = sluice::event::Block::default();
                block.append_bytes(entry.events(), entry.count as usize);
                assert_eq!(block.events_from(0).count(), entry.count as usize);
                assert_eq!(step(&rest[..length], 0), Step::Entry(entry, length));
                length
            }
            Step::Short(length) => {
                assert!(length > rest.len());
                return;
            }
            Step::Damaged(length) => length,
        };
        assert!(length > 0 && length <= rest.len());
        rest = &rest[length..];
    }
});
