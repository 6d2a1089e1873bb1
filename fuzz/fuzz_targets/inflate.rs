//! Compressed payloads: no panic, and no more than the limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::input::Replay;
use sluice::msgpack::write;
use sluice_fuzz::{Checked, LIMIT, bounded};

fuzz_target!(|payload: &[u8]| {
    for method in ["gzip", "zstd"] {
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
