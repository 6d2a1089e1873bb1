//! From an event to the bytes of its record.

use super::TimeKey;
use crate::accessor::last_value;
use crate::config::Settings;
use crate::event::{DropReason, Event};
use crate::msgpack::json::Json;
use crate::msgpack::read;
use crate::output::go;

/// What a record that had to be cut ends with.
const CUT_MARK: &[u8] = b"[Truncated...]";

/// How an event becomes bytes.
#[derive(Debug, Clone)]
pub(in crate::output) struct Line {
    pub(in crate::output) content: Content,
    /// Ends it with a newline.
    pub(in crate::output) newline: bool,
}

/// What of an event is sent.
#[derive(Debug, Clone)]
pub(in crate::output) enum Content {
    /// As the C plugins do.
    C {
        /// How records become JSON.
        json: Json,
        /// Send this key's value instead of the whole record.
        log_key: Option<Box<[u8]>>,
        /// Append the time under a key.
        time_key: Option<TimeKey>,
    },
    /// As the Go plugins do.
    Go(go::Record),
}

impl Content {
    /// Reads `log_key`, `time_key` and `time_key_format`, which exclude each other in the C plugins.
    pub(in crate::output) fn read(settings: &mut Settings<'_>, json: Json) -> Self {
        let log_key = settings.text("log_key");
        let time_key = TimeKey::read(settings);
        if log_key.is_some() && time_key.is_some() {
            settings.error(
                "time_key",
                "time_key and log_key exclude each other; leave one out",
            );
        }
        Self::C {
            json,
            log_key: log_key.map(|key| key.into_bytes().into()),
            time_key,
        }
    }
}

impl Line {
    /// Writes one event.
    pub(super) fn write(&self, event: Event<'_>, line: &mut Vec<u8>) -> Result<(), DropReason> {
        match &self.content {
            Content::C {
                json,
                log_key,
                time_key,
            } => {
                let record = event.record;
                match log_key {
                    None => json.value(record, line),
                    Some(key) => {
                        let value = last_value(record, key).ok_or(DropReason::KeyMissing)?;
                        match read::text(value) {
                            Some(text) => line.extend_from_slice(text),
                            None => json.value(value, line),
                        }
                    }
                }
                if let Some(time_key) = time_key {
                    time_key.append(*json, event, line);
                }
            }
            Content::Go(record) => record.write(event, line)?,
        }
        // The Go plugins send what is empty.
        if line.is_empty() && !matches!(self.content, Content::Go(_)) {
            return Err(DropReason::Empty);
        }
        if self.newline {
            line.push(b'\n');
        }
        Ok(())
    }

    /// Cuts a line to `most` bytes, between two characters, with a mark at its end.
    pub(super) fn cut(&self, line: &mut Vec<u8>, most: usize) {
        let mut end = most.saturating_sub(CUT_MARK.len() + usize::from(self.newline));
        // A byte 10xxxxxx continues a character.
        while line.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end = end.saturating_sub(1);
        }
        line.truncate(end);
        line.extend_from_slice(CUT_MARK);
        if self.newline {
            line.push(b'\n');
        }
    }
}
