//! Takes a frame apart and offers its events; pure but for the session it offers them to.

use futures_util::future::BoxFuture;

use super::inflate::Method;
use super::message::{Body, Entry, Frame, entry, plain_entry};
use super::reject::Reject;
use crate::event::{Event, Receipt};
use crate::input::Session;
use crate::msgpack::metadata::{self, Group};
use crate::msgpack::scan::{self, ScanError};

/// So many values that are no event, and not one event before them, make a frame not worth reading on.
const BAD_MAX: u64 = 1000;

/// What groups may add to the events of a frame, as a multiple of the longest frame: each event carries the maps of its group,
/// and a frame could say few long ones to many short events.
const GROUPS_MAX: usize = 4;
/// What an event takes beside its metadata and record, about.
const OVERHEAD: usize = 24;

/// What a frame held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Events offered.
    pub events: u64,
    /// Entries that are no event, skipped.
    pub bad: u64,
    /// Events without the group they lie in, since groups added too much.
    pub ungrouped: u64,
}

/// The events of a frame, to be offered one after the other, all at once or in steps.
#[derive(Debug, Clone)]
pub(super) struct Events<'f> {
    message: Option<Event<'f>>,
    /// Entries.
    rest: &'f [u8],
    /// The group at hand. One that is not closed ends with the frame.
    group: Option<Group<'f>>,
    /// The metadata of an event in a group.
    carried: Vec<u8>,
    /// What groups may still add.
    groups_left: usize,
    tally: Tally,
}

impl<'f> Events<'f> {
    /// Those of a frame whose payload is not compressed or was inflated into `inflated`; `frame_max` is the longest frame.
    pub(super) fn of(frame: &Frame<'f>, inflated: Option<&'f [u8]>, frame_max: usize) -> Self {
        let (message, rest) = match frame.body {
            Body::Message { time, record } => {
                let metadata = frame.options.metadata.unwrap_or_default();
                let event = Event {
                    time,
                    metadata,
                    record,
                };
                (Some(event), &[][..])
            }
            Body::Entries(bytes, _) => (None, bytes),
            Body::Packed(bytes) => (None, inflated.unwrap_or(bytes)),
        };
        Self {
            message,
            rest,
            group: None,
            carried: Vec::new(),
            groups_left: frame_max.saturating_mul(GROUPS_MAX),
            tally: Tally::default(),
        }
    }

    /// The bytes that are still to be read.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// What was offered so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether all that is left can be taken: after this, [`Events::run`] refuses nothing.
    ///
    /// # Errors
    /// As those of [`Events::run`].
    pub(super) fn check(&self) -> Result<(), Reject> {
        self.clone().run(&mut Nowhere, usize::MAX).map(drop)
    }

    /// Offers events until they take `room` bytes, about; whether these were the last.
    ///
    /// # Errors
    /// Why the frame is refused; what was offered since [`Session::open_frame`] has to be taken back.
    #[inline]
    pub(super) fn run(
        &mut self,
        session: &mut dyn Session,
        mut room: usize,
    ) -> Result<bool, Reject> {
        if let Some(event) = self.message.take() {
            session.offer(event);
            self.tally.events = 1;
            return Ok(true);
        }
        while !self.rest.is_empty() {
            if room == 0 {
                return Ok(false);
            }
            let taken = match plain_entry(self.rest) {
                Some((event, rest)) => {
                    self.rest = rest;
                    self.offer(event, session)
                }
                None => self.offer_any(session)?,
            };
            room = room.saturating_sub(taken);
        }
        if self.tally.events == 0 && self.tally.bad > 0 {
            return Err(Reject::NoEvent);
        }
        Ok(true)
    }

    /// Offers an event; what it takes.
    #[inline]
    fn offer(&mut self, event: Event<'f>, session: &mut dyn Session) -> usize {
        self.tally.events += 1;
        let taken = OVERHEAD + event.metadata.len() + event.record.len();
        let Some(group) = self.group else {
            session.offer(event);
            return taken;
        };
        let Some(left) = self.groups_left.checked_sub(group.size()) else {
            self.tally.ungrouped += 1;
            session.offer(event);
            return taken;
        };
        self.groups_left = left;
        self.carried.clear();
        metadata::join(event.metadata, Some(group), &mut self.carried);
        session.offer(Event {
            metadata: &self.carried,
            ..event
        });
        taken + group.size()
    }

    /// Takes the next entry, whatever it is; what it takes. What follows a damaged one cannot be told apart, so it ends there; a
    /// fragment at the end is skipped and never joined with what comes next.
    fn offer_any(&mut self, session: &mut dyn Session) -> Result<usize, Reject> {
        let length = match scan::value_len(self.rest) {
            Ok(Some(length)) => length,
            Err(ScanError::Depth) => return Err(Reject::DepthLimit),
            Ok(None) | Err(ScanError::Reserved) => {
                self.tally.bad += 1;
                self.rest = &[];
                return Ok(0);
            }
        };
        let (value, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, &[]));
        self.rest = rest;
        match entry(value) {
            Entry::Event(event) => return Ok(self.offer(event, session)),
            Entry::GroupStart(group) => self.group = Some(group),
            Entry::GroupEnd => self.group = None,
            Entry::Bad => {
                self.tally.bad += 1;
                if self.tally.events == 0 && self.tally.bad > BAD_MAX {
                    return Err(Reject::NoEvent);
                }
            }
        }
        Ok(0)
    }
}

/// A session that takes everything and keeps nothing.
struct Nowhere;

impl Session for Nowhere {
    fn tag(&mut self, _: &[u8]) {}
    fn offer(&mut self, _: Event<'_>) {}
    fn open_frame(&mut self) {}
    fn refuse_frame(&mut self) {}
    fn receipt(&mut self, _: Receipt) {}

    fn commit(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// How a packed payload is compressed: the client says so, or its first bytes do, which can start no entry.
pub(super) fn compressed<'f>(frame: &Frame<'f>) -> Option<(Method, &'f [u8])> {
    let Body::Packed(payload) = frame.body else {
        return None;
    };
    let recognised = || Method::of(payload);
    let method = frame.options.compressed.or_else(recognised)?;
    Some((method, payload))
}

#[cfg(test)]
mod tests {
    use super::super::message::frame;
    use super::*;

    /// A time and metadata.
    type Kept = (u64, Vec<u8>);

    #[derive(Default)]
    struct Taken(Vec<Kept>);

    impl Session for Taken {
        fn tag(&mut self, _: &[u8]) {}
        fn offer(&mut self, event: Event<'_>) {
            self.0.push((event.time.seconds, event.metadata.to_vec()));
        }
        fn open_frame(&mut self) {}
        fn refuse_frame(&mut self) {}
        fn receipt(&mut self, _: crate::event::Receipt) {}
        fn commit(&mut self) -> futures_util::future::BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    fn tally(events: u64, bad: u64) -> Tally {
        Tally {
            events,
            bad,
            ungrouped: 0,
        }
    }

    fn take(bytes: &[u8]) -> Result<(Tally, usize), Reject> {
        let (tally, taken) = play(bytes, 100, usize::MAX)?;
        Ok((tally, taken.len()))
    }

    /// As [`take`], with groups that may add four times `frame_max`, and in steps.
    fn play(bytes: &[u8], frame_max: usize, step: usize) -> Result<(Tally, Vec<Kept>), Reject> {
        let mut taken = Taken::default();
        let frame = frame(bytes)?;
        let mut events = Events::of(&frame, None, frame_max);
        let checked = events.check();
        let outcome = loop {
            match events.run(&mut taken, step) {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(reject) => break Err(reject),
            }
        };
        assert_eq!(checked, outcome, "{bytes:02x?}");
        outcome?;
        Ok((events.tally(), taken.0))
    }

    #[test]
    fn a_message_is_one_event() {
        assert_eq!(take(&[0x93, 0xa1, b't', 5, 0x80]), Ok((tally(1, 0), 1)));
        assert_eq!(take(&[0x93, 0xa1, b't', 5, 0xc0]), Err(Reject::Record));
        assert_eq!(take(&[0x93, 0xa1, b't', 0xff, 0x80]), Err(Reject::Time));
    }

    #[test]
    fn bad_entries_are_skipped_and_good_ones_kept() {
        let frame = [0x92, 0xa1, b't', 0x93, 0x92, 1, 0x80, 0xc0, 0x92, 2, 0x80];
        assert_eq!(take(&frame), Ok((tally(2, 1), 2)));
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
        assert_eq!(take(&frame), Ok((tally(1, 1), 1)));
    }

    const OPEN: &[u8] = b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x81\xa1g\x01\x81\xa1a\x02";
    const CLOSE: &[u8] = b"\x92\x92\xd7\0\xff\xff\xff\xfe\0\0\0\0\x80\x80";

    fn packed(entries: &[&[u8]]) -> Vec<u8> {
        let mut frame = b"\x92\xa1t".to_vec();
        crate::msgpack::write::bin(&mut frame, &entries.concat());
        frame
    }

    /// Checklist: forward 24.
    #[test]
    fn the_events_of_a_group_carry_its_maps_and_the_marks_are_none() {
        let with_metadata = b"\x92\x92\x07\x81\xa1m\x03\x80";
        let event = |seconds| [0x92, seconds, 0x80];
        let other = b"\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x80";
        let frame = packed(&[
            &event(1),
            OPEN,
            &event(2),
            with_metadata,
            CLOSE,
            &event(3),
            OPEN,
            other,
            &event(4),
        ]);
        let taken = play(&frame, 100, usize::MAX).unwrap();
        let group = b"\x81\xa1g\x01\x81\xa1a\x02".to_vec();
        let expected = vec![
            (1, vec![]),
            (2, [&b"\x80"[..], &group].concat()),
            (7, [&b"\x81\xa1m\x03"[..], &group].concat()),
            (3, vec![]),
            (4, vec![0x80, 0x80, 0x80]),
        ];
        assert_eq!(taken, (tally(5, 0), expected));
        for step in 1..50 {
            assert_eq!(play(&frame, 100, step).unwrap(), taken, "steps of {step}");
        }
        // A group ends with its frame, closed or not.
        assert_eq!(
            play(&packed(&[&event(5)]), 100, 1).unwrap().1,
            [(5, vec![])]
        );
        assert_eq!(take(&packed(&[OPEN, CLOSE])), Ok((tally(0, 0), 0)));
    }

    #[test]
    fn seconds_that_are_a_number_are_no_mark_and_marks_with_nanoseconds_are_nothing() {
        let number = b"\x92\xce\xff\xff\xff\xff\x80";
        assert_eq!(take(&packed(&[number])), Ok((tally(1, 0), 1)));
        let odd = b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\x01\x80\x80";
        assert_eq!(take(&packed(&[number, odd])), Ok((tally(1, 1), 1)));
    }

    #[test]
    fn what_groups_add_is_bounded_and_their_events_are_kept() {
        let event: &[u8] = b"\x92\x01\x80";
        let entries: Vec<_> = std::iter::once(OPEN)
            .chain(std::iter::repeat_n(event, 10))
            .collect();
        // A group of nine bytes.
        let (tally, taken) = play(&packed(&entries), 7, 1).unwrap();
        assert_eq!((tally.events, tally.ungrouped), (10, 7));
        assert_eq!(
            taken
                .iter()
                .filter(|(_, metadata)| metadata.is_empty())
                .count(),
            7
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _outcome = take(&bytes);
        }
    }
}
