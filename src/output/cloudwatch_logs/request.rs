//! Writes events into the body of one `PutLogEvents` call.
//!
//! A body holds at most 10 000 events and 1 048 576 bytes (the UTF-8 length of each message + 26; escaping does not count), spans
//! less than 24 hours, and is in the order of time. Events older than 14 days, more than 2 hours ahead, or empty are refused here,
//! since the service would.
//!
//! Limits: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>

use bytes::Bytes;

use crate::accessor::last_value;
use crate::event::{DropReason, EventTime};
use crate::msgpack::json::{Json, escape};
use crate::msgpack::read;
use crate::output::oversized::{Oversized, part_of};
use crate::output::{Destination, Encoded, Item, Limits, Positions, go};

/// Of one call.
pub(super) const LIMITS: Limits = Limits {
    events: 10_000,
    bytes: 1_048_576,
};
/// What the service adds to each event when it counts bytes.
const OVERHEAD: usize = 26;
/// The longest message.
const MESSAGE_MAX: usize = LIMITS.bytes - OVERHEAD;
/// What a message that had to be cut ends with.
const CUT_MARK: &[u8] = b"[Truncated...]";
/// The span of one call has to stay below a day.
const SPAN_MILLIS: i64 = 24 * 3_600_000;
/// An event refused by age here could have been taken a minute ago; one sent could be refused a minute later.
const AGE_MARGIN_MILLIS: i64 = 60_000;
const PAST_MILLIS: i64 = 14 * SPAN_MILLIS - AGE_MARGIN_MILLIS;
const FUTURE_MILLIS: i64 = 2 * 3_600_000;

/// Which part of a record is the message.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// All of it, as JSON.
    Record(Json),
    /// The value of this key: a string as it is, anything else as JSON.
    Key(Box<[u8]>, Json),
    /// What the Go plugin makes of it, without the blanks around it.
    Go(go::Record),
}

/// An event in the body.
#[derive(Clone, Copy)]
struct Written {
    millis: i64,
    start: usize,
    end: usize,
}

/// Writes one call; `now` decides what is too old.
pub(super) fn encode(
    destination: &Destination,
    message: &Message,
    oversized: Oversized,
    now: EventTime,
    items: &mut dyn Iterator<Item = Item<'_>>,
    body: Vec<u8>,
) -> Encoded {
    let mut body = Body::open(destination, oversized, body);
    let mut encoded = Encoded::default();
    for item in items {
        match body.add(item, message, now.millis()) {
            Ok(true) => {}
            Ok(false) => break,
            // It goes alone, see [`encode_part`].
            Err(DropReason::TooLarge) if oversized == Oversized::Split => break,
            Err(reason) => encoded.refused.push((encoded.consumed, reason)),
        }
        encoded.consumed += 1;
    }
    (encoded.body, encoded.positions) = body.close();
    encoded
}

/// Writes a call with one part of an event that is larger than a message.
pub(super) fn encode_part(
    destination: &Destination,
    message: &Message,
    now: EventTime,
    item: Item<'_>,
    number: u32,
) -> Option<(Encoded, bool)> {
    let mut body = Body::open(destination, Oversized::Split, Vec::new());
    let text = body.text_of(item, message);
    let text = String::from_utf8_lossy(&text);
    let (part, more) = part_of(item, text.as_bytes(), MESSAGE_MAX, number)?;
    let mut encoded = Encoded {
        consumed: 1,
        ..Encoded::default()
    };
    let millis = item.event.time.millis();
    if let Err(reason) = check_age(millis, now.millis()) {
        encoded.refused.push((0, reason));
        return Some((encoded, false));
    }
    body.head(millis);
    escape(&part, &mut body.bytes);
    body.bytes.extend_from_slice(b"\"}");
    (encoded.body, encoded.positions) = body.close();
    Some((encoded, more))
}

/// Refuses what the service would for its age.
fn check_age(millis: i64, now: i64) -> Result<(), DropReason> {
    if millis < now - PAST_MILLIS {
        return Err(DropReason::TooOld);
    }
    if millis > now + FUTURE_MILLIS {
        return Err(DropReason::TooNew);
    }
    Ok(())
}

/// Writes the start of a body, up to its events.
fn address(destination: &Destination, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"{\"logGroupName\":\"");
    escape(destination.group.as_bytes(), bytes);
    bytes.extend_from_slice(b"\",\"logStreamName\":\"");
    escape(destination.name.as_bytes(), bytes);
    bytes.extend_from_slice(b"\",\"logEvents\":[");
}

/// A body that was written for `old`, for `new`.
pub(super) fn readdressed(body: Bytes, old: &Destination, new: &Destination) -> Bytes {
    if old == new {
        return body;
    }
    let (mut from, mut to) = (Vec::new(), Vec::new());
    address(old, &mut from);
    address(new, &mut to);
    match body.strip_prefix(from.as_slice()) {
        Some(events) => {
            to.extend_from_slice(events);
            to.into()
        }
        None => body,
    }
}

/// A body being written.
struct Body {
    bytes: Vec<u8>,
    written: Vec<Written>,
    /// Bytes as the service counts them.
    counted: usize,
    span: Option<(i64, i64)>,
    ordered: bool,
    prefix: usize,
    /// The last message, where it cannot be written in place.
    text: Vec<u8>,
    oversized: Oversized,
}

impl Body {
    fn open(destination: &Destination, oversized: Oversized, mut bytes: Vec<u8>) -> Self {
        address(destination, &mut bytes);
        let prefix = bytes.len();
        Self {
            bytes,
            written: Vec::new(),
            counted: 0,
            span: None,
            ordered: true,
            prefix,
            text: Vec::new(),
            oversized,
        }
    }

    /// Adds an event; false when it has to wait for the next call.
    fn add(&mut self, item: Item<'_>, message: &Message, now: i64) -> Result<bool, DropReason> {
        let millis = item.event.time.millis();
        check_age(millis, now)?;
        let span = self.span.map_or((millis, millis), |(first, last)| {
            (first.min(millis), last.max(millis))
        });
        if self.written.len() >= LIMITS.events || span.1 - span.0 >= SPAN_MILLIS {
            return Ok(false);
        }
        let before = self.bytes.len();
        let length = self
            .write(item, millis, message)
            .and_then(|length| match length {
                0 => Err(DropReason::Empty),
                length => Ok(length),
            });
        let length = match length {
            Ok(length) if length > MESSAGE_MAX && self.oversized != Oversized::Truncate => {
                self.bytes.truncate(before);
                return Err(DropReason::TooLarge);
            }
            Ok(length) if length > MESSAGE_MAX => {
                self.bytes.truncate(before);
                self.write_cut(item, millis, message)
            }
            Ok(length) => length,
            Err(reason) => {
                self.bytes.truncate(before);
                return Err(reason);
            }
        };
        if self.counted + length + OVERHEAD > LIMITS.bytes {
            self.bytes.truncate(before);
            return Ok(false);
        }
        self.counted += length + OVERHEAD;
        self.span = Some(span);
        self.ordered &= self.written.last().is_none_or(|last| last.millis <= millis);
        let comma = usize::from(!self.written.is_empty());
        self.written.push(Written {
            millis,
            start: before + comma,
            end: self.bytes.len(),
        });
        Ok(true)
    }

    /// Writes one event and gives the length of its message.
    fn write(
        &mut self,
        item: Item<'_>,
        millis: i64,
        message: &Message,
    ) -> Result<usize, DropReason> {
        self.head(millis);
        let record = item.event.record;
        let length = match message {
            Message::Record(json) => json.nested(record, &mut self.bytes),
            Message::Key(key, json) => {
                let value = last_value(record, key).ok_or(DropReason::KeyMissing)?;
                match read::text(value) {
                    Some(text) => escape(text, &mut self.bytes),
                    None => json.nested(value, &mut self.bytes),
                }
            }
            Message::Go(go) => {
                let mut text = std::mem::take(&mut self.text);
                text.clear();
                let written = go.write(item.event, &mut text);
                let length = escape(text.trim_ascii(), &mut self.bytes);
                self.text = text;
                written.map(|()| length)?
            }
        };
        self.bytes.extend_from_slice(b"\"}");
        Ok(length)
    }

    fn head(&mut self, millis: i64) {
        self.bytes.extend_from_slice(if self.written.is_empty() {
            b"{\"timestamp\":"
        } else {
            b",{\"timestamp\":"
        });
        self.bytes
            .extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
        self.bytes.extend_from_slice(b",\"message\":\"");
    }

    /// Writes an event whose message is too long, cut between two characters, with a mark at its end.
    fn write_cut(&mut self, item: Item<'_>, millis: i64, message: &Message) -> usize {
        let text = self.text_of(item, message);
        metrics::counter!("sluice_truncated_records_total").increment(1);
        self.head(millis);
        let text = String::from_utf8_lossy(&text);
        let mut end = (MESSAGE_MAX - CUT_MARK.len()).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let length = escape(
            text.get(..end).unwrap_or_default().as_bytes(),
            &mut self.bytes,
        ) + escape(CUT_MARK, &mut self.bytes);
        self.bytes.extend_from_slice(b"\"}");
        length
    }

    /// The message of an event, not escaped.
    fn text_of(&mut self, item: Item<'_>, message: &Message) -> Vec<u8> {
        let mut text = Vec::new();
        match message {
            Message::Record(json) => json.value(item.event.record, &mut text),
            Message::Key(key, json) => {
                match last_value(item.event.record, key).map(|value| (value, read::text(value))) {
                    Some((_, Some(string))) => text.extend_from_slice(string),
                    Some((value, None)) => json.value(value, &mut text),
                    None => {}
                }
            }
            Message::Go(go) => {
                self.text.clear();
                if go.write(item.event, &mut self.text).is_ok() {
                    text.extend_from_slice(self.text.trim_ascii());
                }
            }
        }
        text
    }

    /// Finishes the body, in the order of time; equal times stay as they came.
    fn close(mut self) -> (Bytes, Positions) {
        let mut positions = Positions::AsTaken;
        if !self.ordered {
            let mut order: Vec<u32> = (0..self.written.len() as u32).collect();
            let written = |place: u32| self.written.get(place as usize);
            order.sort_by_key(|&place| written(place).map(|event| event.millis));
            let mut sorted = Vec::with_capacity(self.bytes.len() + 2);
            sorted.extend_from_slice(self.bytes.get(..self.prefix).unwrap_or_default());
            for (position, &place) in order.iter().enumerate() {
                if position > 0 {
                    sorted.push(b',');
                }
                let event = written(place).and_then(|event| self.bytes.get(event.start..event.end));
                sorted.extend_from_slice(event.unwrap_or_default());
            }
            self.bytes = sorted;
            positions = Positions::Sorted(order);
        }
        self.bytes.extend_from_slice(b"]}");
        (self.bytes.into(), positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Tag};
    use crate::msgpack::write;
    use serde_json::Value as JsonValue;

    const NOW: EventTime = EventTime {
        seconds: 1_700_000_000,
        nanos: 0,
    };

    /// Encodes records `{"log": text}` at `seconds` relative to now.
    fn encode_logs(logs: &[(i64, &[u8])], message: &Message) -> (Encoded, JsonValue) {
        encode_with(logs, message, Oversized::Truncate)
    }

    fn encode_with(
        logs: &[(i64, &[u8])],
        message: &Message,
        oversized: Oversized,
    ) -> (Encoded, JsonValue) {
        let tag = Tag::new(b"t");
        let records: Vec<_> = logs
            .iter()
            .map(|(_, text)| {
                let mut record = vec![0x81];
                write::str(&mut record, b"log");
                write::str(&mut record, text);
                record
            })
            .collect();
        let mut items = logs.iter().zip(&records).map(|((offset, _), record)| {
            let seconds = NOW.seconds.saturating_add_signed(*offset);
            let event = Event {
                time: EventTime { seconds, nanos: 0 },
                metadata: &[],
                record,
            };
            Item { tag: &tag, event }
        });
        let destination = Destination {
            group: "g\"".into(),
            name: "s".into(),
        };
        let encoded = encode(
            &destination,
            message,
            oversized,
            NOW,
            &mut items,
            Vec::new(),
        );
        let json = serde_json::from_slice(&encoded.body).unwrap();
        (encoded, json)
    }

    fn log_key() -> Message {
        Message::Key(b"log".to_vec().into(), Json::default())
    }

    fn messages(json: &JsonValue) -> Vec<String> {
        let events = json["logEvents"].as_array().unwrap();
        events
            .iter()
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_body_names_group_and_stream_and_holds_raw_text() {
        let (encoded, json) = encode_logs(&[(0, b"say \"hi\"\n")], &log_key());
        assert_eq!(json["logGroupName"], "g\"");
        assert_eq!(json["logStreamName"], "s");
        assert_eq!(json["logEvents"][0]["timestamp"], 1_700_000_000_000_i64);
        assert_eq!(messages(&json), ["say \"hi\"\n"]);
        assert_eq!((encoded.consumed, encoded.taken()), (1, 1));
    }

    #[test]
    fn a_whole_record_is_json_in_the_message() {
        let (_, json) = encode_logs(
            &[(0, "\u{e9}\"".as_bytes())],
            &Message::Record(Json::default()),
        );
        assert_eq!(messages(&json), [r#"{"log":"\u00e9\""}"#]);
    }

    /// Checklist: outputs 20
    #[test]
    fn ten_thousand_events_fit_and_one_more_waits() {
        let logs = vec![(0, &b"x"[..]); 10_001];
        let (encoded, json) = encode_logs(&logs, &log_key());
        assert_eq!((encoded.consumed, messages(&json).len()), (10_000, 10_000));
    }

    /// Checklist: outputs 21
    #[test]
    fn bytes_are_counted_as_the_service_counts_them() {
        let big = vec![b'"'; 524_288 - OVERHEAD];
        let (encoded, _) = encode_logs(&[(0, &big), (0, &big), (0, b"x")], &log_key());
        assert_eq!(
            encoded.consumed, 2,
            "escapes do not count, and both fit to the byte"
        );
        let bigger = vec![b'x'; 524_289 - OVERHEAD];
        let (encoded, _) = encode_logs(&[(0, &big), (0, &bigger)], &log_key());
        assert_eq!(encoded.consumed, 1);
    }

    /// Checklist: outputs 22
    #[test]
    fn an_event_that_is_too_long_is_cut_between_characters() {
        let long = "\u{e9}".repeat(600_000);
        let (encoded, json) = encode_logs(&[(0, long.as_bytes()), (0, b"after")], &log_key());
        let message = &messages(&json)[0];
        assert!(message.len() <= MESSAGE_MAX && message.len() > MESSAGE_MAX - 4);
        assert!(message.ends_with("\u{e9}[Truncated...]"));
        assert_eq!(encoded.consumed, 1);
        let exact = vec![b'x'; MESSAGE_MAX];
        assert_eq!(
            messages(&encode_logs(&[(0, &exact)], &log_key()).1)[0].len(),
            MESSAGE_MAX
        );
        let logs: [(i64, &[u8]); 2] = [(0, long.as_bytes()), (0, b"after")];
        let (encoded, json) = encode_with(&logs, &log_key(), Oversized::Drop);
        assert_eq!(encoded.refused, [(0, DropReason::TooLarge)]);
        assert_eq!(messages(&json), ["after"]);
    }

    #[test]
    fn an_event_that_is_split_waits_for_its_turn_and_goes_in_full_parts() {
        let long = "\u{e9}".repeat(1_200_000);
        let logs: [(i64, &[u8]); 2] = [(0, b"before"), (0, long.as_bytes())];
        let (encoded, json) = encode_with(&logs, &log_key(), Oversized::Split);
        assert_eq!((encoded.consumed, messages(&json).len()), (1, 1));
        let (encoded, _) = encode_with(&logs[1..], &log_key(), Oversized::Split);
        assert_eq!((encoded.consumed, encoded.refused.len()), (0, 0));

        let (tag, destination) = (Tag::new(b"t"), Destination::default());
        let mut record = vec![0x81];
        write::str(&mut record, b"log");
        write::str(&mut record, long.as_bytes());
        let part = |seconds_ago, number| {
            let time = EventTime {
                seconds: NOW.seconds - seconds_ago,
                nanos: 0,
            };
            let event = Event {
                time,
                metadata: &[],
                record: &record,
            };
            let item = Item { tag: &tag, event };
            encode_part(&destination, &log_key(), NOW, item, number).unwrap()
        };
        let mut text = String::new();
        for number in 0..3 {
            let (encoded, more) = part(0, number);
            let json: JsonValue = serde_json::from_slice(&encoded.body).unwrap();
            let [message] = &messages(&json)[..] else {
                panic!("not one message");
            };
            assert!(message.len() <= MESSAGE_MAX);
            assert_eq!(
                (more, encoded.consumed, encoded.taken()),
                (number < 2, 1, 1)
            );
            let (part, mark) = message.rsplit_once("[Split ").unwrap();
            assert!(mark.ends_with(&format!(" {}/3]", number + 1)), "{mark}");
            text.push_str(part);
        }
        assert!(text == long, "the parts are not the text");
        let (old, more) = part(15 * 86_400, 1);
        assert_eq!((old.refused, more), (vec![(0, DropReason::TooOld)], false));
    }

    #[test]
    fn a_message_of_the_go_plugin_has_no_blanks_around_it() {
        let go = Message::Go(go::Record::default());
        let (_, json) = encode_logs(&[(0, b" x<\n")], &go);
        assert_eq!(messages(&json), [r#"{"log":" x\u003c\n"}"#]);
        let log_key = [("log_key", "log")];
        let (record, _) = crate::config::testing::configured(&log_key, go::Record::read_log_key);
        let (encoded, json) = encode_logs(&[(0, b" x\n"), (0, b"\n ")], &Message::Go(record));
        assert_eq!(messages(&json), ["x"]);
        assert_eq!(encoded.refused, [(1, DropReason::Empty)]);
    }

    #[test]
    fn a_body_can_be_given_another_address() {
        let (encoded, _) = encode_logs(&[(0, b"x")], &log_key());
        let at = |group: &str| Destination {
            group: group.into(),
            name: "s".into(),
        };
        let body = readdressed(encoded.body, &at("g\""), &at("other"));
        let json: JsonValue = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (json["logGroupName"].as_str(), messages(&json)),
            (Some("other"), vec!["x".to_owned()])
        );
    }

    /// Checklist: outputs 23
    #[test]
    fn events_are_put_in_the_order_of_time_and_equal_times_stay_as_they_came() {
        let (encoded, json) =
            encode_logs(&[(5, b"c"), (1, b"a"), (5, b"d"), (2, b"b")], &log_key());
        assert_eq!(messages(&json), ["a", "b", "c", "d"]);
        assert_eq!(encoded.positions, Positions::Sorted(vec![1, 3, 0, 2]));
    }

    /// Checklist: outputs 23
    #[test]
    fn a_call_spans_less_than_a_day() {
        let day = 24 * 3600;
        let (encoded, _) = encode_logs(&[(-day, b"a"), (-1, b"b"), (0, b"c")], &log_key());
        assert_eq!(encoded.consumed, 2);
    }

    /// Checklist: outputs 24
    #[test]
    fn what_the_service_would_refuse_is_refused_here_and_counted() {
        let day = 24 * 3600;
        let logs: [(i64, &[u8]); 5] = [
            (-14 * day, b"old"),
            (3 * 3600, b"new"),
            (0, b""),
            (0, b"ok"),
            (-14 * day + 61, b"in"),
        ];
        let (encoded, json) = encode_logs(&logs[..4], &log_key());
        assert_eq!(messages(&json), ["ok"]);
        assert_eq!(
            encoded.refused,
            [
                (0, DropReason::TooOld),
                (1, DropReason::TooNew),
                (2, DropReason::Empty)
            ]
        );
        assert_eq!(messages(&encode_logs(&logs[4..], &log_key()).1), ["in"]);
        let other = Message::Key(b"logx".to_vec().into(), Json::default());
        assert_eq!(
            encode_logs(&[(0, b"a")], &other).0.refused,
            [(0, DropReason::KeyMissing)]
        );
    }
}
