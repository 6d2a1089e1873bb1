//! The decoder of the forward protocol alone: from bytes that have arrived to events that are offered.
//!
//! `cargo bench --bench forward_decode`. Times are for one record, bytes are those on the wire; a name says of how many records the
//! frames are that are taken.

#![expect(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench that cannot go on has failed, and its macros write undocumented items"
)]

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::BoxFuture;
use sluice::event::Event;
use sluice::input::{Replay, Session};
use sluice::msgpack::write;

/// Of one frame, before compression. A busy connection has about as much in its buffer.
const FRAME: usize = 64 * 1024;

/// Looks at every event and keeps none.
#[derive(Default)]
struct Nobody(usize);

impl Session for Nobody {
    fn tag(&mut self, tag: &[u8]) {
        self.0 += tag.len();
    }

    fn offer(&mut self, event: Event<'_>) {
        self.0 += black_box(event).record.len();
    }

    fn open_frame(&mut self) {}
    fn refuse_frame(&mut self) {}

    fn receipt(&mut self, _: sluice::event::Receipt) {}

    fn commit(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A record of Docker's, its text about so many bytes long.
fn record(length: usize) -> Vec<u8> {
    let words = "GET /api/v1/orders/4711 200 17ms user=alice trace=6f30aeb8e9049ce8 ";
    let text: String = words.chars().cycle().take(length).collect();
    let mut out = Vec::new();
    write::map_header(&mut out, 4);
    let id = "a".repeat(64);
    for (key, value) in [
        ("container_id", &*id),
        ("container_name", "/shop-web-1"),
        ("source", "stdout"),
        ("log", &*text),
    ] {
        write::str(&mut out, key.as_bytes());
        write::str(&mut out, value.as_bytes());
    }
    out
}

fn time(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\xd7\x00\x65\x53\xf1\x00\x07\x5b\xcd\x15");
}

/// So many entries, one behind the other.
fn entries(record: &[u8], count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..count {
        write::array_header(&mut out, 2);
        time(&mut out);
        out.extend_from_slice(record);
    }
    out
}

/// What one client writes in this mode.
fn stream(mode: &str, record: &[u8], count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    if mode == "message" {
        for _ in 0..count {
            out.extend_from_slice(b"\x94\xb6shop-firelens-0a1b2c3d");
            time(&mut out);
            out.extend_from_slice(record);
            out.push(0x80);
        }
        return out;
    }
    out.extend_from_slice(b"\x93\xb6shop-firelens-0a1b2c3d");
    let entries = entries(record, count);
    match mode {
        "forward" => {
            write::array_header(&mut out, u32::try_from(count).unwrap());
            out.extend_from_slice(&entries);
        }
        "packed" => write::bin(&mut out, &entries),
        "gzip" => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&entries).unwrap();
            write::bin(&mut out, &encoder.finish().unwrap());
        }
        _ => write::bin(&mut out, &zstd::bulk::compress(&entries, 3).unwrap()),
    }
    write::map_header(&mut out, 1);
    write::str(&mut out, b"compressed");
    let name = if mode == "gzip" || mode == "zstd" {
        mode
    } else {
        "text"
    };
    write::str(&mut out, name.as_bytes());
    out
}

fn decode(criterion: &mut Criterion) {
    for mode in ["message", "forward", "packed", "gzip", "zstd"] {
        let mut group = criterion.benchmark_group(mode);
        for (name, length) in [("100B", 100), ("1KB", 1024), ("16KB", 16 * 1024)] {
            let record = record(length);
            let count = (FRAME / record.len()).max(4);
            let bytes = stream(mode, &record, count);
            let mut replay = Replay::new(6_144_000);
            group.throughput(Throughput::Bytes((bytes.len() / count) as u64));
            let id = BenchmarkId::new(name, format!("{count} records"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|times| {
                    let begin = Instant::now();
                    for _ in 0..times {
                        let mut nobody = Nobody::default();
                        let taken = replay.take(black_box(&bytes), &mut nobody);
                        assert_eq!(taken, Ok(bytes.len()));
                        black_box(nobody.0);
                    }
                    begin.elapsed() / u32::try_from(count).unwrap()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
