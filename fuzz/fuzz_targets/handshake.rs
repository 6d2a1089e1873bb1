//! The messages of the handshake: what is read can be written, and reads the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::forward::handshake::{Helo, Ping, Pong};

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    if let Ok(helo) = Helo::read(bytes) {
        helo.write(&mut out);
        assert_eq!(Helo::read(&out), Ok(helo));
    }
    if let Ok(ping) = Ping::read(bytes) {
        out.clear();
        ping.write(&mut out);
        assert_eq!(Ping::read(&out), Ok(ping));
    }
    if let Ok(pong) = Pong::read(bytes) {
        out.clear();
        pong.write(&mut out);
        assert_eq!(Pong::read(&out), Ok(pong));
    }
});
