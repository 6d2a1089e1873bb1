//! Bodies that hold many events.

use crate::event::DropReason;
use crate::output::{Encoded, Item, Limits, text};

/// How much a body holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::output) struct Room {
    /// Events.
    pub(in crate::output) events: usize,
    /// From so many bytes on it takes no more.
    pub(in crate::output) enough: usize,
    /// It never has more bytes than this, with what stands behind the events.
    pub(in crate::output) most: usize,
}

impl Room {
    /// For a server that says nothing of limits.
    pub(in crate::output) const FREE: Self = Self {
        events: usize::MAX,
        enough: text::LIMITS.bytes,
        most: usize::MAX,
    };

    /// When a request is worth sending.
    pub(in crate::output) fn limits(self) -> Limits {
        Limits {
            events: self.events,
            bytes: self.enough,
        }
    }

    /// Has `write` append events behind what the body holds, until it is full; `tail` bytes will follow. An event that cannot be
    /// written, or has no room in a body of its own, is refused.
    ///
    /// `write` is told how many events the body holds already.
    pub(in crate::output) fn fill(
        self,
        items: &mut dyn Iterator<Item = Item<'_>>,
        body: &mut Vec<u8>,
        tail: usize,
        mut write: impl FnMut(usize, Item<'_>, &mut Vec<u8>) -> Result<(), DropReason>,
    ) -> Encoded {
        let (mut taken, mut encoded) = (0, Encoded::default());
        while taken < self.events
            && body.len() < self.enough
            && let Some(item) = items.next()
        {
            let start = body.len();
            let mut outcome = write(taken, item, body);
            if outcome.is_ok() && body.len() + tail > self.most {
                if taken > 0 {
                    // For the next one.
                    body.truncate(start);
                    break;
                }
                outcome = Err(DropReason::TooLarge);
            }
            match outcome {
                Ok(()) => taken += 1,
                Err(reason) => {
                    body.truncate(start);
                    encoded.refused.push((encoded.consumed, reason));
                }
            }
            encoded.consumed += 1;
        }
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::{items, record};

    fn filled(room: Room, sizes: &[usize]) -> (Encoded, usize) {
        let records: Vec<Vec<u8>> = sizes
            .iter()
            .map(|size| record(&format!(r#"{{"size":{size}}}"#)))
            .collect();
        let mut sizes = sizes.iter();
        let mut body = vec![b'['];
        let encoded = room.fill(&mut items(&records), &mut body, 1, |_, _, body| {
            let size = *sizes.next().unwrap();
            body.extend(std::iter::repeat_n(b'x', size));
            if size == 0 {
                Err(DropReason::Empty)
            } else {
                Ok(())
            }
        });
        (encoded, body.len())
    }

    #[test]
    fn a_body_never_grows_beyond_its_limits_and_what_fits_in_none_is_refused() {
        let room = Room {
            events: 3,
            enough: 10,
            most: 12,
        };
        for (sizes, consumed, refused, length) in [
            (&[1, 1, 1, 1][..], 3, &[][..], 4),
            (&[9, 1], 1, &[], 10),
            (&[5, 6, 1], 1, &[], 6),
            (&[5, 5, 1], 2, &[], 11),
            (&[11, 1], 2, &[(0, DropReason::TooLarge)], 2),
            (
                &[0, 1, 0],
                3,
                &[(0, DropReason::Empty), (2, DropReason::Empty)],
                2,
            ),
            (&[0, 10, 1], 2, &[(0, DropReason::Empty)], 11),
        ] {
            let (encoded, filled) = filled(room, sizes);
            assert_eq!(encoded.consumed, consumed, "{sizes:?}");
            assert_eq!(encoded.refused, refused, "{sizes:?}");
            assert_eq!(filled, length, "{sizes:?}");
        }
    }
}
