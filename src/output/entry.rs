//! Events as msgpack: `[time, record]`, or `[[time, metadata], record]` as Fluent Bit stores them, between the marks of their
//! group if they lie in one.

use std::io::{self, Write};

use crate::event::{Event, EventTime};
use crate::msgpack::metadata::{self, Group};

/// The most bytes of an entry besides metadata and record.
const FRAME: usize = 12;
/// Those of the marks around it.
const MARKS: usize = 2 * FRAME + 2;
/// From here on seconds of Fluent Bit's times are marks.
const MARK: u32 = 0xffff_fffe;

/// The most bytes that an event takes.
pub(super) fn size(event: Event<'_>) -> usize {
    let marks = if event.metadata.is_empty() { 0 } else { MARKS };
    FRAME + marks + event.metadata.len() + event.record.len()
}

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entries {
    /// Times are whole seconds.
    pub(super) integer_time: bool,
    /// With the metadata, which is an empty map where there is none, and the group.
    pub(super) metadata: bool,
}

impl Entries {
    /// Writes an event.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(self, event: Event<'_>, out: &mut impl Write) -> io::Result<()> {
        if !self.metadata {
            out.write_all(&[0x92])?;
            time(event.time, self.integer_time, out)?;
            return out.write_all(event.record);
        }
        match metadata::split(event.metadata) {
            (own, None) => self.write_with(own, event, out),
            (own, Some(group)) => {
                open(group, out)?;
                self.write_with(own, event, out)?;
                close(out)
            }
        }
    }

    fn write_with(self, own: &[u8], event: Event<'_>, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&[0x92, 0x92])?;
        time(event.time, self.integer_time, out)?;
        out.write_all(if own.is_empty() { &[0x80] } else { own })?;
        out.write_all(event.record)
    }
}

fn open(group: Group<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\x92\x92\xd7\x00\xff\xff\xff\xff\0\0\0\0")?;
    out.write_all(group.metadata)?;
    out.write_all(group.attributes)
}

fn close(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\x92\x92\xd7\x00\xff\xff\xff\xfe\0\0\0\0\x80\x80")
}

/// Seconds and nanoseconds, or whole seconds; those too, where they are too many for the other form, or would be a mark.
fn time(time: EventTime, whole: bool, out: &mut impl Write) -> io::Result<()> {
    match u32::try_from(time.seconds) {
        Ok(seconds) if whole => {
            out.write_all(&[0xce])?;
            out.write_all(&seconds.to_be_bytes())
        }
        Ok(seconds) if seconds < MARK => {
            let [s0, s1, s2, s3] = seconds.to_be_bytes();
            let [n0, n1, n2, n3] = time.nanos.to_be_bytes();
            out.write_all(&[0xd7, 0, s0, s1, s2, s3, n0, n1, n2, n3])
        }
        _ => {
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
        assert!(out.len() <= size(event));
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
        let mark = b"\x92\xcf\x00\x00\x00\x00\xff\xff\xff\xff";
        assert_eq!(written(plain, 0xffff_ffff, &[]), mark);
    }

    /// Checklist: forward 24.
    #[test]
    fn an_event_of_a_group_stands_between_its_marks() {
        let mut metadata = b"\x80".to_vec();
        metadata.extend_from_slice(b"\x81\xa1g\x01\x81\xa1a\x02");
        let event = Event {
            time: EventTime {
                seconds: 5,
                nanos: 0,
            },
            metadata: &metadata,
            record: &[0x80],
        };
        let mut entries = Entries {
            metadata: true,
            integer_time: false,
        };
        let mut out = Vec::new();
        entries.write(event, &mut out).unwrap();
        let expected = [
            &b"\x92\x92\xd7\x00\xff\xff\xff\xff\0\0\0\0\x81\xa1g\x01\x81\xa1a\x02"[..],
            b"\x92\x92\xd7\x00\0\0\0\x05\0\0\0\0\x80\x80",
            b"\x92\x92\xd7\x00\xff\xff\xff\xfe\0\0\0\0\x80\x80",
        ];
        assert_eq!(out, expected.concat());
        assert!(out.len() <= size(event));
        entries.metadata = false;
        out.clear();
        entries.write(event, &mut out).unwrap();
        assert_eq!(out, b"\x92\xd7\x00\0\0\0\x05\0\0\0\0\x80");
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
