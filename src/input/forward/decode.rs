//! Takes a frame apart and offers its events; pure but for the session it offers them to.

use super::inflate::Method;
use super::message::{Body, Entry, Frame, entry, plain_entry};
use super::reject::Reject;
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
        if let Some((event, rest)) = plain_entry(bytes) {
            session.offer(event);
            tally.events += 1;
            bytes = rest;
            continue;
        }
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

/// How a packed payload is compressed: the client says so, or its first bytes do, which can start no entry.
pub(super) fn compressed<'f>(frame: &Frame<'f>) -> Option<(Method, &'f [u8])> {
    let Body::Packed(payload) = frame.body else {
        return None;
    };
    let recognised = || Method::of(payload).filter(|_| frame.options.present);
    let method = frame.options.compressed.or_else(recognised)?;
    Some((method, payload))
}

#[cfg(test)]
mod tests {
    use super::super::message::frame;
    use super::*;

    #[derive(Default)]
    struct Taken(Vec<(u64, Vec<u8>)>);

    impl Session for Taken {
        fn tag(&mut self, _: &[u8]) {}
        fn offer(&mut self, event: Event<'_>) {
            self.0.push((event.time.seconds, event.record.to_vec()));
        }
        fn open_frame(&mut self) {}
        fn refuse_frame(&mut self) {}
        fn receipt(&mut self, _: crate::event::Receipt) {}
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

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _outcome = take(&bytes);
        }
    }
}
