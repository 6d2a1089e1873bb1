//! Metrics and traces of Fluent Bit (`fluent_signal` 1 and 2): recognised, so that they are never taken for logs.
//!
//! ```text
//! [tag, bin of maps, {"fluent_signal": 1}]                       the maps are what cmetrics and ctraces encode
//! [tag, [[time, [map, ..]], ..], {"fluent_signal": 1}]           with `fluentd_compat`
//! ```

use super::message::{Body, Frame};
use super::reject::Reject;
use crate::msgpack::read::{self, Value};

/// Checks that a frame carries what its option says, as far as shapes tell; `inflated` is its payload if it was compressed.
///
/// # Errors
/// [`Reject::Signal`] when the shape is another one.
pub(super) fn check(frame: &Frame<'_>, inflated: Option<&[u8]>) -> Result<(), Reject> {
    let sound = match frame.body {
        Body::Message { .. } => false,
        Body::Entries(bytes, _) => all(bytes, is_entry),
        Body::Packed(bytes) => {
            let bytes = inflated.unwrap_or(bytes);
            !bytes.is_empty() && all(bytes, |value| matches!(value, (_, Value::Map(_))))
        }
    };
    if sound { Ok(()) } else { Err(Reject::Signal) }
}

/// Whether all values of `bytes` are whole and pass.
fn all(mut bytes: &[u8], passes: fn((&[u8], Value<'_>)) -> bool) -> bool {
    while !bytes.is_empty() {
        let Ok((rest, value)) = read::raw(bytes) else {
            return false;
        };
        if !read::value(value).is_ok_and(passes) {
            return false;
        }
        bytes = rest;
    }
    true
}

/// A time, and an array where a log has a map.
fn is_entry((rest, value): (&[u8], Value<'_>)) -> bool {
    let second = || {
        let (rest, _) = read::raw(rest).ok()?;
        read::value(rest).ok()
    };
    value == Value::Array(2) && matches!(second(), Some((_, Value::Array(_))))
}

#[cfg(test)]
mod tests {
    use super::super::message::frame;
    use super::*;

    #[test]
    fn maps_in_bytes_and_arrays_of_them_are_signals_and_logs_are_not() {
        let cases: [(&[u8], Result<(), Reject>); 7] = [
            (b"\x92\xa1m\xc4\x02\x80\x80", Ok(())),
            (b"\x92\xa1m\xc4\x02\x80\xc1", Err(Reject::Signal)),
            (b"\x92\xa1m\xc4\x03\x92\x05\x80", Err(Reject::Signal)),
            (b"\x92\xa1m\xc4\x00", Err(Reject::Signal)),
            (b"\x92\xa1m\x91\x92\x05\x91\x80", Ok(())),
            (b"\x92\xa1m\x91\x92\x05\x80", Err(Reject::Signal)),
            (b"\x93\xa1m\x05\x80", Err(Reject::Signal)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                check(&frame(bytes).unwrap(), None),
                expected,
                "{bytes:02x?}"
            );
        }
    }
}
