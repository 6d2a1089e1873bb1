//! The shapes of the forward protocol on the wire: frames, options, times, entries.
//!
//! ```text
//! Message        [tag, time, record, option?]
//! Forward        [tag, [entry, entry, …], option?]
//! PackedForward  [tag, str or bin of entries, option?]        compressed: option {"compressed": "gzip" or "zstd"}
//! entry          [time, record]  or  [[time, metadata], record]
//! ```
//! Specification: <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1.5>

use super::inflate::Method;
use super::reject::{CHUNK_MAX, Reject, TAG_MAX};
use crate::event::{Event, EventTime};
use crate::msgpack::metadata::Group;
use crate::msgpack::read::{self, Value};
use crate::msgpack::scan;

/// The most pairs an option map may have.
const OPTIONS_MAX: u32 = 64;
/// Beyond this a number of seconds is a marker or nonsense, not a time.
const SECONDS_MAX: u64 = 1 << 56;

/// Fluent Bit's marks for the start and the end of a group, as seconds.
const GROUP_START: u64 = 0xffff_ffff;
const GROUP_END: u64 = 0xffff_fffe;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Body<'a> {
    /// One event.
    Message {
        /// Its time.
        time: EventTime,
        /// Its record, a map.
        record: &'a [u8],
    },
    /// So many entries as values, one behind the other.
    Entries(&'a [u8], u32),
    /// Entries as bytes, perhaps compressed.
    Packed(&'a [u8]),
}

/// A chunk id, which is sent back as the type it came as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Chunk<'a> {
    /// Text, as all known clients send it.
    Str(&'a [u8]),
    /// Bytes.
    Bin(&'a [u8]),
}

/// What the option map says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Options<'a> {
    /// The chunk id.
    pub chunk: Option<Chunk<'a>>,
    /// How the payload is compressed, as the client says.
    pub compressed: Option<Method>,
    /// Metrics or traces of Fluent Bit, not logs.
    pub foreign_signal: bool,
    /// Metadata of a Message, an encoded map.
    pub metadata: Option<&'a [u8]>,
}

/// One decoded frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame<'a> {
    /// The tag as it came.
    pub tag: &'a [u8],
    /// The events.
    pub body: Body<'a>,
    /// The options.
    pub options: Options<'a>,
}

/// A frame as most clients send it: a Message with a time of seconds and nanoseconds. It is taken apart in the pass that finds its
/// end, which is given as well. Nothing where it is cut, or is any other frame: the scanner and [`frame`] see to those.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> Option<(usize, Frame<'_>)> {
    let (count, rest) = match bytes.split_first()? {
        (0x93, rest) => (3, rest),
        (0x94, rest) => (4, rest),
        _ => return None,
    };
    let (rest, Value::Str(tag)) = read::value(rest).ok()? else {
        return None;
    };
    if tag.len() > TAG_MAX {
        return None;
    }
    let (time, rest) = plain_time(rest)?;
    let (record, behind) = plain_map(rest)?;
    let mut length = bytes.len() - behind.len();
    if count == 4 {
        length += scan::flat_len(behind)?;
    }
    let frame = Frame {
        tag,
        body: Body::Message { time, record },
        options: options(behind, count, 3).ok()?,
    };
    Some((length, frame))
}

/// Reads a time of seconds and nanoseconds.
#[inline]
fn plain_time(bytes: &[u8]) -> Option<(EventTime, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<10>()?;
    let [0xd7, 0, time @ ..] = head else {
        return None;
    };
    Some((time_of(time)?, rest))
}

/// Takes a whole map that is not nested too deep.
#[inline]
fn plain_map(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.first()? {
        0x80..=0x8f | 0xde | 0xdf => bytes.split_at_checked(scan::flat_len(bytes)?),
        _ => None,
    }
}

/// Decodes a whole frame, whose end the scanner has found.
///
/// # Errors
/// Why the frame is refused.
pub(super) fn frame(bytes: &[u8]) -> Result<Frame<'_>, Reject> {
    let (rest, Value::Array(count)) = next(bytes)? else {
        return Err(Reject::NotAFrame);
    };
    if count < 2 {
        return Err(Reject::Arity);
    }
    let (rest, tag) = match next(rest)? {
        (rest, Value::Str(tag)) if tag.len() <= TAG_MAX => (rest, tag),
        (rest, Value::Bin(tag)) if tag.len() <= TAG_MAX && std::str::from_utf8(tag).is_ok() => {
            (rest, tag)
        }
        _ => return Err(Reject::Tag),
    };
    let (behind, second) = next(rest)?;
    match second {
        Value::Array(entries) => {
            let (behind, _) = read::raw(rest).map_err(|_| Reject::NotMsgpack)?;
            let body = rest.len() - behind.len();
            let header = rest.len() - next(rest)?.0.len();
            let entries_bytes = rest.get(header..body).unwrap_or_default();
            Ok(Frame {
                tag,
                body: Body::Entries(entries_bytes, entries),
                options: options(behind, count, 2)?,
            })
        }
        Value::Str(_) | Value::Bin(_) if tag == b"PING" && count >= 6 => Err(Reject::Handshake),
        Value::Str(payload) | Value::Bin(payload) => Ok(Frame {
            tag,
            body: Body::Packed(payload),
            options: options(behind, count, 2)?,
        }),
        Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) | Value::Ext(..) => {
            message(tag, second, behind, count)
        }
        Value::Nil if count > 2 => Err(Reject::Time),
        _ => Err(Reject::Mode),
    }
}

fn message<'a>(
    tag: &'a [u8],
    time: Value<'a>,
    rest: &'a [u8],
    count: u32,
) -> Result<Frame<'a>, Reject> {
    if count < 3 {
        return Err(Reject::Arity);
    }
    let time = self::time(time).ok_or(Reject::Time)?;
    let (behind, record) = read::raw(rest).map_err(|_| Reject::NotMsgpack)?;
    let (_, Value::Map(_)) = next(record)? else {
        return Err(Reject::Record);
    };
    Ok(Frame {
        tag,
        body: Body::Message { time, record },
        options: options(behind, count, 3)?,
    })
}

fn next(bytes: &[u8]) -> Result<(&[u8], Value<'_>), Reject> {
    read::value(bytes).map_err(|_| Reject::NotMsgpack)
}

/// Reads the option that follows `before` elements, if there are more.
fn options(bytes: &[u8], count: u32, before: u32) -> Result<Options<'_>, Reject> {
    let mut options = Options::default();
    if count <= before {
        return Ok(options);
    }
    let (mut rest, pairs) = match next(bytes)? {
        (_, Value::Nil) => return Ok(options),
        (rest, Value::Map(pairs)) if pairs <= OPTIONS_MAX => (rest, pairs),
        _ => return Err(Reject::Option),
    };
    for _ in 0..pairs {
        let (behind, key) = read::raw(rest).map_err(|_| Reject::NotMsgpack)?;
        let (behind, value) = read::raw(behind).map_err(|_| Reject::NotMsgpack)?;
        rest = behind;
        options.take(read::text(key).unwrap_or_default(), value)?;
    }
    Ok(options)
}

impl<'a> Options<'a> {
    /// Notes one option; unknown ones are ignored, a repeated chunk counts as its first.
    fn take(&mut self, key: &[u8], value: &'a [u8]) -> Result<(), Reject> {
        let (_, decoded) = next(value)?;
        match (key, decoded) {
            (b"chunk", Value::Nil)
            | (b"compressed", Value::Str(b"text") | Value::Bin(b"text") | Value::Nil)
            | (b"fluent_signal", Value::Unsigned(0)) => {}
            (b"chunk", Value::Str(id)) if id.len() <= CHUNK_MAX => {
                self.chunk = self.chunk.or(Some(Chunk::Str(id)));
            }
            (b"chunk", Value::Bin(id)) if id.len() <= CHUNK_MAX => {
                self.chunk = self.chunk.or(Some(Chunk::Bin(id)));
            }
            (b"chunk", _) => return Err(Reject::Chunk),
            (b"compressed", Value::Str(name) | Value::Bin(name)) => {
                self.compressed = Some(Method::named(name).ok_or(Reject::Compression)?);
            }
            (b"compressed", _) => return Err(Reject::Compression),
            (b"fluent_signal", Value::Unsigned(1 | 2)) => self.foreign_signal = true,
            (b"metadata", Value::Map(_)) => self.metadata = Some(value),
            (b"fluent_signal" | b"metadata", _) => return Err(Reject::Option),
            _ => {}
        }
        Ok(())
    }
}

/// Reads a time of any encoding clients use.
fn time(value: Value<'_>) -> Option<EventTime> {
    match value {
        Value::Unsigned(seconds) if seconds < SECONDS_MAX => Some(EventTime { seconds, nanos: 0 }),
        Value::Float(seconds) if (0.0..SECONDS_MAX as f64).contains(&seconds) => Some(EventTime {
            seconds: seconds as u64,
            nanos: (seconds.fract() * 1e9) as u32,
        }),
        Value::Ext(0, bytes) => time_of(bytes),
        _ => None,
    }
}

/// Reads the payload of the protocol's own type of time.
#[inline]
fn time_of(bytes: &[u8]) -> Option<EventTime> {
    let (seconds, nanos) = bytes.split_first_chunk::<4>()?;
    let nanos = u32::from_be_bytes(nanos.try_into().ok()?);
    (nanos < 1_000_000_000).then(|| EventTime {
        seconds: u32::from_be_bytes(*seconds).into(),
        nanos,
    })
}

/// One entry of a Forward or `PackedForward` frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::input) enum Entry<'a> {
    /// An event.
    Event(Event<'a>),
    /// Fluent Bit's mark in front of the events of a group; is none.
    GroupStart(Group<'a>),
    /// Its mark behind them.
    GroupEnd,
    /// A value that is no event.
    Bad,
}

/// An entry as most clients send it, and what follows it; nothing where it is cut or any other.
#[inline]
pub(super) fn plain_entry(bytes: &[u8]) -> Option<(Event<'_>, &[u8])> {
    let (0x92, rest) = bytes.split_first()? else {
        return None;
    };
    let (time, rest) = plain_time(rest)?;
    let (record, behind) = plain_map(rest)?;
    (time.seconds < GROUP_END).then_some((
        Event {
            time,
            metadata: &[],
            record,
        },
        behind,
    ))
}

/// Reads a whole entry.
pub(in crate::input) fn entry(bytes: &[u8]) -> Entry<'_> {
    event(bytes).unwrap_or(Entry::Bad)
}

fn event(bytes: &[u8]) -> Option<Entry<'_>> {
    let (rest, Value::Array(2)) = read::value(bytes).ok()? else {
        return None;
    };
    let (rest, header) = read::raw(rest).ok()?;
    let (_, record) = read::raw(rest).ok()?;
    let (metadata, time) = match read::value(header).ok()? {
        (rest, Value::Array(2)) => {
            let (metadata, time) = read::value(rest).ok()?;
            let (_, Value::Map(pairs)) = read::value(metadata).ok()? else {
                return None;
            };
            (if pairs == 0 { &[][..] } else { metadata }, time)
        }
        (_, Value::Array(_)) => return None,
        (_, time) => (&[][..], time),
    };
    // A number of seconds is no mark, however large.
    let may_be_mark = matches!(time, Value::Ext(..));
    let time = self::time(time)?;
    let (_, Value::Map(_)) = read::value(record).ok()? else {
        return None;
    };
    match time.seconds {
        GROUP_START | GROUP_END if !may_be_mark => {}
        // With other nanoseconds, the marks are nonsense.
        GROUP_START | GROUP_END if time.nanos > 0 => return None,
        GROUP_START => {
            return Some(Entry::GroupStart(Group {
                metadata: if metadata.is_empty() {
                    &[0x80]
                } else {
                    metadata
                },
                attributes: record,
            }));
        }
        GROUP_END => return Some(Entry::GroupEnd),
        _ => {}
    }
    Some(Entry::Event(Event {
        time,
        metadata,
        record,
    }))
}
