//! What stands beside an event's time.
//!
//! ```text
//! metadata = nothing  |  map  |  map, metadata of the group (map), attributes of the group (map)
//! ```
//! Fluent Bit puts marks around events that share what OTLP says of their resource and scope: a group. Each event carries the
//! maps of its group behind its own, so that it keeps them whichever way it goes.

use super::scan;

/// An empty map, which stands for metadata that an event in a group does not have.
const NONE: &[u8] = &[0x80];

/// The maps of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group<'a> {
    /// Of the producer: `{"schema": "otlp", ..}`.
    pub metadata: &'a [u8],
    /// Of the events: `{"resource": .., "scope": ..}`.
    pub attributes: &'a [u8],
}

impl Group<'_> {
    /// How much longer the metadata of an event becomes in it, at most.
    pub fn size(&self) -> usize {
        NONE.len() + self.metadata.len() + self.attributes.len()
    }
}

/// An event's own metadata, a map or nothing, and its group.
#[inline]
pub fn split(metadata: &[u8]) -> (&[u8], Option<Group<'_>>) {
    if metadata.is_empty() {
        return (&[], None);
    }
    let (own, rest) = first(metadata);
    if rest.is_empty() {
        return (own, None);
    }
    let (metadata, attributes) = first(rest);
    let group = Group {
        metadata,
        attributes,
    };
    (if own == NONE { &[] } else { own }, Some(group))
}

/// Writes metadata, a map or nothing, of an event in a group.
pub fn join(own: &[u8], group: Option<Group<'_>>, out: &mut Vec<u8>) {
    match group {
        None => out.extend_from_slice(own),
        Some(group) => {
            out.extend_from_slice(if own.is_empty() { NONE } else { own });
            out.extend_from_slice(group.metadata);
            out.extend_from_slice(group.attributes);
        }
    }
}

fn first(values: &[u8]) -> (&[u8], &[u8]) {
    let length = scan::value_len(values).ok().flatten();
    let length = length.unwrap_or(values.len());
    values.split_at_checked(length).unwrap_or((values, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_joined_is_split_again() {
        let group = Group {
            metadata: b"\x81\xa1m\x01",
            attributes: b"\x80",
        };
        for own in [&b""[..], b"\x81\xa1k\x02"] {
            for group in [None, Some(group)] {
                let mut out = Vec::new();
                join(own, group, &mut out);
                assert_eq!(split(&out), (own, group));
                assert!(out.len() <= own.len() + group.map_or(0, |group| group.size()));
            }
        }
        assert_eq!(split(b"\x80"), (&b"\x80"[..], None));
    }
}
