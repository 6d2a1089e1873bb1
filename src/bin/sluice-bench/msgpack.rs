//! The little msgpack a forward client writes.
//!
//! Written apart from the router's own code on purpose: a tool that shares its encoder with what it
//! tests cannot find that encoder's mistakes. Format: <https://github.com/msgpack/msgpack/blob/master/spec.md>.

/// Appends an array header.
pub(crate) fn array(out: &mut Vec<u8>, length: u32) {
    match length {
        0..=15 => out.push(0x90 | length as u8),
        16..=0xffff => {
            out.push(0xdc);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdd);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// Appends a map header for up to 15 pairs, which is all a forward frame needs.
pub(crate) fn small_map(out: &mut Vec<u8>, pairs: u8) {
    debug_assert!(pairs < 16, "a fixmap holds at most 15 pairs");
    out.push(0x80 | (pairs & 0x0f));
}

/// Appends a text.
pub(crate) fn text(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length @ 32..=0xff => out.extend_from_slice(&[0xd9, length as u8]),
        length @ 0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xdb);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}

/// Appends a byte string.
pub(crate) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..=0xff => out.extend_from_slice(&[0xc4, length as u8]),
        length @ 0x100..=0xffff => {
            out.push(0xc5);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xc6);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// Appends an unsigned number.
pub(crate) fn unsigned(out: &mut Vec<u8>, number: u32) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        _ => {
            out.push(0xce);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// Appends a forward `EventTime` as fixext 8; its last eight bytes are [`event_time_bytes`].
pub(crate) fn event_time(out: &mut Vec<u8>, nanos: u64) {
    out.extend_from_slice(&[0xd7, 0x00]);
    out.extend_from_slice(&event_time_bytes(nanos));
}

/// Seconds and nanoseconds, four bytes each, big-endian.
pub(crate) fn event_time_bytes(nanos: u64) -> [u8; 8] {
    let seconds = nanos / 1_000_000_000;
    let rest = nanos % 1_000_000_000;
    ((seconds << 32) | rest).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn headers_are_the_shortest_that_fit() {
        assert_eq!(written(|out| array(out, 15)), [0x9f]);
        assert_eq!(written(|out| array(out, 16)), [0xdc, 0, 16]);
        assert_eq!(written(|out| array(out, 0x1_0000)), [0xdd, 0, 1, 0, 0]);
        assert_eq!(written(|out| unsigned(out, 0x7f)), [0x7f]);
        assert_eq!(written(|out| unsigned(out, 200)), [0xcc, 200]);
        assert_eq!(written(|out| unsigned(out, 0x1234)), [0xcd, 0x12, 0x34]);
        assert_eq!(written(|out| unsigned(out, 0x1_0000)), [0xce, 0, 1, 0, 0]);
        assert_eq!(written(|out| text(out, b"log")), b"\xa3log");
        for (length, header) in [
            (31, &[0xbf][..]),
            (32, &[0xd9, 32]),
            (256, &[0xda, 1, 0]),
            (0x1_0000, &[0xdb, 0, 1, 0, 0]),
        ] {
            assert!(
                written(|out| text(out, &vec![b'x'; length])).starts_with(header),
                "{length}"
            );
        }
        for (length, header) in [
            (255, &[0xc4, 255][..]),
            (256, &[0xc5, 1, 0]),
            (0x1_0000, &[0xc6, 0, 1, 0, 0]),
        ] {
            assert!(
                written(|out| binary(out, &vec![0; length])).starts_with(header),
                "{length}"
            );
        }
    }

    #[test]
    fn event_time_is_the_bytes_of_the_reference() {
        let expected = [0xd7, 0x00, 0x65, 0x53, 0xf1, 0x00, 0x07, 0x5b, 0xcd, 0x15];
        assert_eq!(
            written(|out| event_time(out, 1_700_000_000_123_456_789)),
            expected
        );
    }
}
