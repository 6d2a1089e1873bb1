//! What becomes of an event that is larger than a service takes.
//!
//! An event that is split arrives as several, one behind the other, each with its time. Each ends with a mark such as
//! `[Split 5f0c93a1e2b44d07 1/3]`: the same sixteen digits in all parts of one event, the number of the part, and how many there are.
//! Without their marks and put together in the order of their numbers, the parts are the text of the event again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;

use super::Item;
use crate::config::Settings;

/// The longest mark.
const MARK_MAX: usize = "[Split 0123456789abcdef 4294967295/4294967295]".len();

/// A policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Oversized {
    /// Its beginning is sent, with a mark at its end.
    #[default]
    Truncate,
    /// It is sent in parts.
    Split,
    /// It is dropped, and counted; and kept, where what is given up is.
    Drop,
}

impl Oversized {
    /// Reads `oversized_events`. `dead_letter` is `drop` with the certainty that the event is kept.
    pub(super) fn read(settings: &mut Settings<'_>, keeps_rejected: bool) -> Self {
        let choices = ["truncate", "split", "drop", "dead_letter"];
        match settings.choice("oversized_events", &choices) {
            Some("dead_letter") => {
                if !keeps_rejected {
                    settings.error(
                        "oversized_events",
                        "dead_letter needs `storage.keep.rejected on` in [SERVICE]",
                    );
                }
                Self::Drop
            }
            Some("drop") => Self::Drop,
            Some("split") => Self::Split,
            _ => Self::Truncate,
        }
    }
}

/// The part of that number of an item's text, with its mark, in at most `most` bytes; and whether more follow. Parts end between two
/// characters. `None` when there is no such part.
pub(super) fn part_of(
    item: Item<'_>,
    text: &[u8],
    most: usize,
    number: u32,
) -> Option<(Vec<u8>, bool)> {
    let most = most.checked_sub(MARK_MAX).filter(|most| *most > 4)?;
    let mut rest = text;
    let (mut parts, mut found) = (0, None);
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(boundary(rest, most));
        if parts == number {
            found = Some(part);
        }
        (parts, rest) = (parts + 1, behind);
    }
    let mut part = found?.to_vec();
    let mut hasher = DefaultHasher::new();
    (item.tag.as_bytes(), item.event.time.seconds).hash(&mut hasher);
    (item.event.time.nanos, text).hash(&mut hasher);
    let (id, place) = (hasher.finish(), number + 1);
    // Writing to memory does not fail.
    write!(part, "[Split {id:016x} {place}/{parts}]").ok()?;
    Some((part, place < parts))
}

/// Where a text of UTF-8 can be cut, at most so far in; bytes that are no UTF-8 are cut anywhere.
fn boundary(text: &[u8], most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    let is_boundary = |end: &usize| text.get(*end).is_some_and(|byte| byte & 0xc0 != 0x80);
    let ends = (most.saturating_sub(3)..=most).rev();
    ends.into_iter().find(is_boundary).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::{Event, EventTime, Tag};

    fn parts(text: &[u8], most: usize) -> Vec<Vec<u8>> {
        let tag = Tag::new(b"t");
        let time = EventTime {
            seconds: 1,
            nanos: 2,
        };
        let event = Event {
            time,
            metadata: &[],
            record: &[0x80],
        };
        let item = Item { tag: &tag, event };
        let mut parts = Vec::new();
        for number in 0.. {
            let Some((part, more)) = part_of(item, text, most, number) else {
                break;
            };
            assert!(part.len() <= most);
            assert_eq!(more, part_of(item, text, most, number + 1).is_some());
            parts.push(part);
        }
        parts
    }

    /// Puts parts together as their marks say.
    fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
        let (mut text, mut ids) = (Vec::new(), Vec::new());
        for (place, part) in parts.iter().enumerate() {
            let start = part.iter().rposition(|byte| *byte == b'[').unwrap();
            let mark = std::str::from_utf8(&part[start..]).unwrap();
            let words: Vec<_> = mark.trim_end_matches(']').split(' ').collect();
            assert_eq!(words[2], format!("{}/{}", place + 1, parts.len()));
            ids.push(words[1].to_owned());
            text.extend_from_slice(&part[..start]);
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
        text
    }

    proptest::proptest! {
        #[test]
        fn parts_put_together_are_the_text(text in "[a-z\u{e9}\u{20ac}\u{1f600}\\[]{1,400}", most in 52..200usize) {
            let parts = parts(text.as_bytes(), most);
            proptest::prop_assert_eq!(joined(&parts), text.as_bytes());
            for part in &parts {
                proptest::prop_assert!(std::str::from_utf8(part).is_ok());
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_split_as_well() {
        let text = vec![0x80; 1000];
        assert_eq!(joined(&parts(&text, 100)), text);
    }

    #[test]
    fn different_events_have_different_marks() {
        let mark = |text: &[u8]| parts(text, 100)[0].split_off(54)[..20].to_vec();
        assert_ne!(mark(&[b'x'; 100]), mark(&[b'x'; 101]));
    }

    #[test]
    fn a_dead_letter_needs_a_folder() {
        let read = |keeps| {
            let properties = [("oversized_events", "dead_letter")];
            let (policy, said) =
                configured(&properties, |settings| Oversized::read(settings, keeps));
            (policy, said.len())
        };
        assert_eq!(read(true), (Oversized::Drop, 0));
        assert_eq!(read(false), (Oversized::Drop, 1));
    }
}
