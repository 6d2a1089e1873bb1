//! Events as msgpack: `[time, record]`, or `[[time, metadata], record]` as Fluent Bit stores them.

use std::io::{self, Write};

use crate::event::{Event, EventTime};

/// The most bytes of an entry besides metadata and record.
pub(super) const FRAME: usize = 12;

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entries {
    /// Times are whole seconds.
    pub(super) integer_time: bool,
    /// With the metadata, which is an empty map where there is none.
    pub(super) metadata: bool,
}

impl Entries {
    /// Writes an event.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(self, event: Event<'_>, out: &mut impl Write) -> io::Result<()> {
        out.write_all(if self.metadata {
            &[0x92, 0x92]
        } else {
            &[0x92]
        })?;
        time(event.time, self.integer_time, out)?;
        if self.metadata {
            let is_empty = event.metadata.is_empty();
            out.write_all(if is_empty { &[0x80] } else { event.metadata })?;
        }
        out.write_all(event.record)
    }
}

/// Seconds and nanoseconds, or whole seconds; those too, where they are too many for the other form.
fn time(time: EventTime, whole: bool, out: &mut impl Write) -> io::Result<()> {
    match u32::try_from(time.seconds) {
        Ok(seconds) if whole => {
            out.write_all(&[0xce])?;
            out.write_all(&seconds.to_be_bytes())
        }
        Ok(seconds) => {
            let [s0, s1, s2, s3] = seconds.to_be_bytes();
            let [n0, n1, n2, n3] = time.nanos.to_be_bytes();
            out.write_all(&[0xd7, 0, s0, s1, s2, s3, n0, n1, n2, n3])
        }
        Err(_) => {
            out.write_all(&[0xcf])?;
            out.write_all(&time.seconds.to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: Entries, seconds: u64, metadata: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let event = Event {
            time: EventTime { seconds, nanos: 7 },
            metadata,
            record: &[0x81, 0xa1, b'k', 1],
        };
        entries.write(event, &mut out).unwrap();
        assert!(out.len() <= FRAME + metadata.len() + 4);
        assert_eq!(out.split_off(out.len() - 4), event.record);
        out
    }

    #[test]
    fn times_have_nanoseconds_unless_they_are_unwanted_or_there_is_no_room() {
        let plain = Entries::default();
        let whole = Entries {
            integer_time: true,
            ..plain
        };
        let seconds = 1_700_000_000;
        let exact = b"\x92\xd7\x00\x65\x53\xf1\x00\x00\x00\x00\x07";
        assert_eq!(written(plain, seconds, &[]), exact);
        assert_eq!(written(whole, seconds, &[]), b"\x92\xce\x65\x53\xf1\x00");
        let far = b"\x92\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x7b";
        assert_eq!(written(plain, 1_700_000_000_123, &[]), far);
        assert_eq!(written(whole, 1_700_000_000_123, &[]), far);
    }

    #[test]
    fn metadata_stands_beside_the_time() {
        let entries = Entries {
            metadata: true,
            integer_time: true,
        };
        assert_eq!(
            written(entries, 5, &[]),
            b"\x92\x92\xce\x00\x00\x00\x05\x80"
        );
        let some = b"\x81\xa1m\x01";
        assert_eq!(
            written(entries, 5, some),
            b"\x92\x92\xce\x00\x00\x00\x05\x81\xa1m\x01"
        );
    }
}
