//! Compressed payloads: no panic, and no more than the limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::input::Replay;
use sluice::msgpack::write;
use sluice_fuzz::{Checked, LIMIT, bounded};

fuzz_target!(|payload: &[u8]| {
    // What is no payload of a method ends at its first bytes, so each is tried as what it seems to be.
    let methods: &[&str] = match payload {
        [0x1f, ..] => &["gzip"],
        [0x28, ..] => &["zstd"],
        _ => &["gzip", "zstd"],
    };
    for method in methods {
        let mut frame = Vec::new();
        write::array_header(&mut frame, 3);
        write::str(&mut frame, b"tag");
        write::bin(&mut frame, payload);
        write::map_header(&mut frame, 1);
        write::str(&mut frame, b"compressed");
        write::str(&mut frame, method.as_bytes());
        bounded(|| {
            let _outcome = Replay::new(LIMIT).take(&frame, &mut Checked::default());
        });
    }
});
