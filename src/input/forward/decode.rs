//! Takes a frame apart and offers its events; pure but for the session it offers them to.

use std::io::{BufRead, Read};

use super::message::{Body, Entry, Frame, Reject, entry};
use crate::event::Event;
use crate::input::Session;
use crate::msgpack::scan::{self, ScanError};

/// So many values that are no event, and not one event before them, make a frame not worth reading on.
const BAD_MAX: u64 = 1000;

/// What a frame held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Events offered.
    pub events: u64,
    /// Entries that are no event, skipped.
    pub bad: u64,
}

/// Offers the events of `frame`, whose payload is not compressed or was inflated into `inflated`.
///
/// # Errors
/// Why the frame is refused; what was offered since [`Session::open_frame`] has to be taken back.
pub(super) fn offer(
    frame: &Frame<'_>,
    inflated: Option<&[u8]>,
    session: &mut dyn Session,
) -> Result<Tally, Reject> {
    let mut tally = Tally::default();
    match frame.body {
        Body::Message { time, record } => {
            let metadata = frame.options.metadata.unwrap_or_default();
            session.offer(Event {
                time,
                metadata,
                record,
            });
            tally.events = 1;
        }
        Body::Entries(bytes, _) => entries(bytes, session, &mut tally)?,
        Body::Packed(bytes) => entries(inflated.unwrap_or(bytes), session, &mut tally)?,
    }
    if tally.events == 0 && tally.bad > 0 {
        return Err(Reject::NoEvent);
    }
    Ok(tally)
}

/// Offers entry after entry. What follows a damaged one cannot be told apart, so it ends there; a fragment at the end is
/// skipped and never joined with what comes next.
fn entries(mut bytes: &[u8], session: &mut dyn Session, tally: &mut Tally) -> Result<(), Reject> {
    while !bytes.is_empty() {
        let length = match scan::value_len(bytes) {
            Ok(Some(length)) => length,
            Err(ScanError::Depth) => return Err(Reject::DepthLimit),
            Ok(None) | Err(ScanError::Reserved) => {
                tally.bad += 1;
                return Ok(());
            }
        };
        let (value, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        match entry(value) {
            Entry::Event(event) => {
                session.offer(event);
                tally.events += 1;
            }
            Entry::GroupMark => {}
            Entry::Bad => {
                tally.bad += 1;
                if tally.events == 0 && tally.bad > BAD_MAX {
                    return Err(Reject::NoEvent);
                }
            }
        }
        bytes = rest;
    }
    Ok(())
}

/// Whether a packed payload has to be inflated: the client says so, or its first bytes do, which can start no entry.
pub(super) fn is_gzip<'f>(frame: &Frame<'f>) -> Option<&'f [u8]> {
    let Body::Packed(payload) = frame.body else {
        return None;
    };
    let recognised = frame.options.present && payload.starts_with(&[0x1f, 0x8b]);
    (frame.options.gzip || recognised).then_some(payload)
}

/// How large a payload will be, for the permit: what its last member claims, between its own size and `limit`.
pub(super) fn inflated_len_hint(payload: &[u8], limit: usize) -> usize {
    let claimed = payload
        .last_chunk::<4>()
        .map_or(0, |size| u32::from_le_bytes(*size) as usize);
    claimed.clamp(payload.len().min(limit), limit)
}

/// Inflates every gzip member of `payload` into `out`, at most `limit` bytes; checksums are verified.
///
/// # Errors
/// [`Reject::Damaged`] on anything but whole, sound members; [`Reject::InflatedTooLarge`] beyond the limit, of which no more
/// than the limit was ever held.
pub(super) fn inflate(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Reject> {
    out.clear();
    let mut rest = payload;
    loop {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        let room = (limit - out.len()) as u64;
        let length = (&mut member)
            .take(room)
            .read_to_end(out)
            .map_err(|_| Reject::Damaged)?;
        if length as u64 == room && member.read(&mut [0]).map_err(|_| Reject::Damaged)? > 0 {
            return Err(Reject::InflatedTooLarge);
        }
        let mut behind = member.into_inner();
        if behind.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return Ok(());
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::frame;
    use super::*;
    use std::io::Write;

    #[derive(Default)]
    struct Taken(Vec<(u64, Vec<u8>)>);

    impl Session for Taken {
        fn tag(&mut self, _: &[u8]) {}
        fn offer(&mut self, event: Event<'_>) {
            self.0.push((event.time.seconds, event.record.to_vec()));
        }
        fn open_frame(&mut self) {}
        fn refuse_frame(&mut self) {}
        fn commit(&mut self) -> futures_util::future::BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    fn take(bytes: &[u8]) -> Result<(Tally, usize), Reject> {
        let mut taken = Taken::default();
        let frame = frame(bytes)?;
        let tally = offer(&frame, None, &mut taken)?;
        Ok((tally, taken.0.len()))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_message_is_one_event() {
        assert_eq!(
            take(&[0x93, 0xa1, b't', 5, 0x80]),
            Ok((Tally { events: 1, bad: 0 }, 1))
        );
        assert_eq!(take(&[0x93, 0xa1, b't', 5, 0xc0]), Err(Reject::Record));
        assert_eq!(take(&[0x93, 0xa1, b't', 0xff, 0x80]), Err(Reject::Time));
    }

    #[test]
    fn bad_entries_are_skipped_and_good_ones_kept() {
        let frame = [0x92, 0xa1, b't', 0x93, 0x92, 1, 0x80, 0xc0, 0x92, 2, 0x80];
        assert_eq!(take(&frame), Ok((Tally { events: 2, bad: 1 }, 2)));
    }

    #[test]
    fn a_frame_without_one_event_is_refused_but_an_empty_one_is_not() {
        assert_eq!(take(&[0x92, 0xa1, b't', 0x91, 0xc0]), Err(Reject::NoEvent));
        assert_eq!(take(&[0x92, 0xa1, b't', 0x90]), Ok((Tally::default(), 0)));
        assert_eq!(
            take(&[0x92, 0xa1, b't', 0xc4, 0]),
            Ok((Tally::default(), 0))
        );
    }

    #[test]
    fn a_fragment_at_the_end_is_counted_and_forgotten() {
        let frame = [0x92, 0xa1, b't', 0xc4, 5, 0x92, 1, 0x80, 0x92, 2];
        assert_eq!(take(&frame), Ok((Tally { events: 1, bad: 1 }, 1)));
    }

    #[test]
    fn members_are_joined_and_anything_behind_them_is_refused() {
        let mut payload = gzip(b"one ");
        payload.extend(gzip(b""));
        payload.extend(gzip(b"two"));
        let mut out = Vec::new();
        assert_eq!(inflate(&payload, 100, &mut out), Ok(()));
        assert_eq!(out, b"one two");
        payload.push(0);
        assert_eq!(inflate(&payload, 100, &mut out), Err(Reject::Damaged));
    }

    #[test]
    fn a_bomb_costs_its_limit() {
        let mut out = Vec::new();
        assert_eq!(
            inflate(&gzip(&vec![0; 1_000_000]), 1000, &mut out),
            Err(Reject::InflatedTooLarge)
        );
        assert!(out.len() <= 1000);
        assert_eq!(inflate(&gzip(&[7; 1000]), 1000, &mut out), Ok(()));
    }

    #[test]
    fn a_wrong_checksum_is_damage() {
        let mut payload = gzip(b"text");
        let crc = payload.len() - 8;
        payload[crc] ^= 1;
        assert_eq!(
            inflate(&payload, 100, &mut Vec::new()),
            Err(Reject::Damaged)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _outcome = take(&bytes);
            let _outcome = inflate(&bytes, 1000, &mut Vec::new());
        }
    }
}
