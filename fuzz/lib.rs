//! What the fuzz targets share: a session that checks what it is offered, and a bound on memory.

use std::alloc::System;
use std::sync::Once;

use cap::Cap;
use futures_util::future::BoxFuture;
use sluice::event::Event;
use sluice::input::Session;
use sluice::msgpack::scan::value_len;

/// No frame, and nothing that it inflates to, is longer. More than any input has, and little enough that a bomb, which costs as
/// much, does not slow down the search.
pub const LIMIT: usize = 128 << 10;

/// What a connection may take with the default `Buffer_Max_Size` of 6 144 000, less the room of a frame and of what it inflates to, and
/// these two as they are here: 16 MiB in all.
const MEMORY_MAX: usize = (16 << 20) - 2 * 6_144_000 + 2 * LIMIT;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Serves one peer; an allocation beyond what a connection may take ends the process, which the fuzzer reports.
pub fn bounded(serve: impl FnOnce()) {
    static REPORTS: Once = Once::new();
    REPORTS.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // The report of a fault takes more than a connection may.
            MEMORY.set_limit(usize::MAX).expect("there is room");
            report(panic);
        }));
    });
    let limit = MEMORY.allocated() + MEMORY_MAX;
    MEMORY.set_limit(limit).expect("there is room");
    serve();
    MEMORY.set_limit(usize::MAX).expect("there is room");
}

/// A digest of all events, in their order.
#[derive(Default)]
pub struct Checked {
    /// How many there are.
    pub count: u64,
    /// Of tags, times and bytes.
    pub digest: u64,
    tag: u64,
    frame: (u64, u64),
}

impl Checked {
    fn mix(&mut self, bytes: &[u8]) {
        self.digest = hash(self.digest, bytes);
    }
}

fn hash(start: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(start, step)
}

impl Session for Checked {
    fn tag(&mut self, tag: &[u8]) {
        assert!(tag.len() <= 4096);
        self.tag = hash(1, tag);
    }

    fn offer(&mut self, event: Event<'_>) {
        assert!(event.time.nanos < 1_000_000_000);
        assert_eq!(value_len(event.record), Ok(Some(event.record.len())));
        assert!(matches!(event.record[0], 0x80..=0x8f | 0xde | 0xdf));
        self.count += 1;
        self.mix(&self.tag.to_le_bytes());
        self.mix(&event.time.seconds.to_le_bytes());
        self.mix(event.metadata);
        self.mix(event.record);
    }

    fn open_frame(&mut self) {
        self.frame = (self.count, self.digest);
    }

    fn refuse_frame(&mut self) {
        (self.count, self.digest) = self.frame;
    }

    fn receipt(&mut self, _: sluice::event::Receipt) {}

    fn commit(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
