//! Which part of a record a Go plugin sends.
//!
//! In this order: the time is set under `time_key`, keys that `data_keys` does not name are left out, dots in keys are replaced, and
//! then either the value of `log_key` is taken or the whole as JSON.

use super::json::{GoJson, Pair, replaced};
use crate::config::Settings;
use crate::event::{DropReason, Event};
use crate::msgpack::read::{self, Pairs};
use crate::msgpack::write;
use crate::output::records::TimeKey;

/// How a record is reshaped and written.
#[derive(Debug, Clone, Default)]
pub(in crate::output) struct Record {
    log_key: Option<Box<[u8]>>,
    time_key: Option<TimeKey>,
    /// Top-level keys to keep; all when there is no list.
    data_keys: Option<Vec<Box<[u8]>>>,
    dots: Option<Box<[u8]>>,
}

impl Record {
    /// Reads `log_key` alone, which is all that `cloudwatch` knows.
    pub(in crate::output) fn read_log_key(settings: &mut Settings<'_>) -> Self {
        Self {
            log_key: settings.text("log_key").map(|key| key.into_bytes().into()),
            ..Self::default()
        }
    }

    /// Reads `log_key`, `data_keys`, `replace_dots`, `time_key` and `time_key_format`.
    pub(in crate::output) fn read(settings: &mut Settings<'_>) -> Self {
        let data_keys = settings.text("data_keys").map(|list| {
            let keys = list.trim().split(',');
            keys.map(|key| key.as_bytes().into()).collect()
        });
        Self {
            time_key: TimeKey::read_go(settings),
            data_keys,
            dots: settings
                .text("replace_dots")
                .map(|dots| dots.into_bytes().into()),
            ..Self::read_log_key(settings)
        }
    }

    /// Appends what is sent of an event.
    ///
    /// # Errors
    /// When the record has no such `log_key`.
    pub(in crate::output) fn write(
        &self,
        event: Event<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let time = self.time(event);
        let pairs = pairs(event, &time).filter(|pair| self.is_kept(pair.name()));
        let json = GoJson {
            dots: self.dots.as_deref(),
        };
        let Some(log_key) = &self.log_key else {
            json.object(Pairs::of(event.record).left() as usize + 1, pairs, out);
            return Ok(());
        };
        let dots = self.dots.as_deref().unwrap_or(b".");
        let value = pairs
            .filter(|pair| replaced(pair.name(), dots).eq(log_key.iter().copied()))
            .max_by_key(|pair| pair.place)
            .ok_or(DropReason::KeyMissing)?
            .value;
        match read::text(value) {
            Some(text) => out.extend_from_slice(text),
            None => {
                json.value(value, out);
            }
        }
        Ok(())
    }

    /// The text at the end of a path of keys, as `partition_key` names it: after the time is set, before keys are left out.
    pub(in crate::output) fn text_at(
        &self,
        event: Event<'_>,
        path: &[Box<[u8]>],
        found: impl FnOnce(&[u8]),
    ) {
        let time = self.time(event);
        let Some((first, deeper)) = path.split_first() else {
            return;
        };
        let top = pairs(event, &time).filter(|pair| pair.name() == &**first);
        let Some(top) = top.max_by_key(|pair| pair.place) else {
            return;
        };
        let end = deeper.iter().try_fold(top.value, |map, name| {
            crate::accessor::last_value(map, name)
        });
        if let Some(text) = end.and_then(read::text) {
            found(text);
        }
    }

    fn is_kept(&self, name: &[u8]) -> bool {
        self.data_keys
            .as_ref()
            .is_none_or(|keys| keys.iter().any(|key| **key == *name))
    }

    fn time(&self, event: Event<'_>) -> Vec<u8> {
        let mut pair = Vec::new();
        if let Some((key, text)) = self
            .time_key
            .as_ref()
            .and_then(|time_key| time_key.pair(event.time))
        {
            write::str(&mut pair, key);
            write::str(&mut pair, text.as_bytes());
        }
        pair
    }
}

/// The pairs of the record, and the time as the last one.
fn pairs<'r>(event: Event<'r>, time: &'r [u8]) -> impl Iterator<Item = Pair<'r>> {
    let pairs = Pairs::of(event.record).enumerate();
    let pairs = pairs.map(|(place, (key, value))| Pair { key, value, place });
    // `time` is a key and a value, one behind the other.
    let added = read::raw(time).ok().map(|(value, key)| Pair {
        key,
        value,
        place: usize::MAX,
    });
    pairs.chain(added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::event::EventTime;

    const RECORD: &[u8] = b"\x83\xa3log\xa2hi\xa3k.d\x81\xa3a.b\x01\xa1t\xa3old";

    fn event(record: &[u8]) -> Event<'_> {
        Event {
            time: EventTime {
                seconds: 1_700_000_000,
                nanos: 123_456_789,
            },
            metadata: &[],
            record,
        }
    }

    fn written(properties: &[(&str, &str)]) -> Result<String, DropReason> {
        let (record, problems) = configured(properties, Record::read);
        assert_eq!(problems, [""; 0]);
        let mut out = Vec::new();
        record.write(event(RECORD), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_whole_record_is_sorted_json() {
        assert_eq!(
            written(&[]).unwrap(),
            r#"{"k.d":{"a.b":1},"log":"hi","t":"old"}"#
        );
        assert_eq!(
            written(&[("replace_dots", "-")]).unwrap(),
            r#"{"k-d":{"a-b":1},"log":"hi","t":"old"}"#
        );
    }

    /// Checklist: outputs 10, 12
    #[test]
    fn the_time_replaces_a_key_of_its_name_and_is_left_out_with_the_others() {
        assert_eq!(
            written(&[("time_key", "t"), ("time_key_format", "%S.%L %f")]).unwrap(),
            r#"{"k.d":{"a.b":1},"log":"hi","t":"20.123 123456"}"#
        );
        assert_eq!(
            written(&[("time_key", "t"), ("data_keys", " log,k.d ")]).unwrap(),
            r#"{"k.d":{"a.b":1},"log":"hi"}"#
        );
    }

    #[test]
    fn log_key_names_a_key_after_its_dots_are_replaced() {
        assert_eq!(written(&[("log_key", "log")]).unwrap(), "hi");
        assert_eq!(
            written(&[("log_key", "k_d"), ("replace_dots", "_")]).unwrap(),
            r#"{"a_b":1}"#
        );
        assert_eq!(written(&[("log_key", "lo")]), Err(DropReason::KeyMissing));
        assert_eq!(
            written(&[("log_key", "log"), ("data_keys", "t")]),
            Err(DropReason::KeyMissing)
        );
    }

    #[test]
    fn a_path_leads_to_a_text() {
        let (record, _) = configured(&[("time_key", "when")], Record::read);
        let at = |path: &[&str]| {
            let path: Vec<Box<[u8]>> = path.iter().map(|key| key.as_bytes().into()).collect();
            let mut text = None;
            record.text_at(event(b"\x82\xa1k\x81\xa1p\xa1x\xa1n\x05"), &path, |found| {
                text = Some(String::from_utf8(found.to_vec()).unwrap());
            });
            text
        };
        assert_eq!(at(&["k", "p"]).as_deref(), Some("x"));
        assert_eq!(at(&["k"]), None);
        assert_eq!(at(&["n"]), None);
        assert_eq!(at(&["when"]).as_deref(), Some("2023-11-14T22:13:20"));
    }
}
