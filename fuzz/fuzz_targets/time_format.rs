//! Any `Time_Format` and any text, with a newline between them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::parser::time::{TimeFormat, Zone};

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(format), Some(text)) = (parts.next(), parts.next()) else {
        return;
    };
    let format = String::from_utf8_lossy(format);
    for zone in [
        Zone::Fixed(0),
        Zone::Fixed(-19_800),
        Zone::named("America/New_York").expect("jiff brings it"),
    ] {
        let format = TimeFormat::new(&format, zone);
        if let Some(time) = format.parse(text) {
            assert!(time.nanos < 1_000_000_000);
            assert_eq!(format.parse_loosely(text), Some(time));
        }
        let _ = format.parse_loosely(text);
    }
});
