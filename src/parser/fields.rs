//! The record that a text's fields become, while they are found.

use super::time::{TimeField, Told};
use super::types::Types;
use crate::event::EventTime;
use crate::msgpack::write::{self, OpenMap};

/// What is done with fields, whatever the format.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The field that holds the time.
    pub(super) time: Option<TimeField>,
    /// The fields that are no text.
    pub(super) types: Types,
}

/// A record under construction at the end of a buffer.
pub(super) struct Fields<'r> {
    rules: &'r Rules,
    map: OpenMap,
    time: Option<EventTime>,
}

/// A field held a time that cannot be read; it was left out.
pub(super) struct BadTime;

impl<'r> Fields<'r> {
    pub(super) fn begin(rules: &'r Rules, out: &mut Vec<u8>) -> Self {
        Self {
            rules,
            map: OpenMap::begin(out),
            time: None,
        }
    }

    /// Adds a field with a value in its type.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BadTime> {
        if self.takes_time(key, text)? {
            self.map.count();
            write::str(out, key);
            self.rules.types.write(key, text, out);
        }
        Ok(())
    }

    /// Adds a field with the value that `write` appends. `text` is what it says as a time.
    pub(super) fn add_with(
        &mut self,
        key: &[u8],
        text: &[u8],
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), BadTime> {
        if self.takes_time(key, text)? {
            self.map.count();
            write::str(out, key);
            write(out);
        }
        Ok(())
    }

    /// Adds a field without text, which is never a time.
    pub(super) fn add_empty(&mut self, key: &[u8], out: &mut Vec<u8>) {
        self.map.count();
        write::str(out, key);
        self.rules.types.write(key, &[], out);
    }

    /// Adds a field that is only there.
    pub(super) fn add_true(&mut self, key: &[u8], out: &mut Vec<u8>) {
        self.map.count();
        write::str(out, key);
        write::bool(out, true);
    }

    /// Notes the time if this is its field; gives whether the field stays.
    fn takes_time(&mut self, key: &[u8], text: &[u8]) -> Result<bool, BadTime> {
        let Some(field) = self.rules.time.as_ref().filter(|field| field.is(key)) else {
            return Ok(true);
        };
        match field.read(text) {
            Told::Time(time) => {
                self.time = time;
                Ok(field.keep)
            }
            Told::Nothing => Ok(true),
            Told::Refused => Err(BadTime),
        }
    }

    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.map.pairs() == 0
    }

    /// The record is whole; gives its time if it told one.
    pub(super) fn end(self, out: &mut Vec<u8>) -> Option<EventTime> {
        self.map.end(out);
        self.time
    }

    /// There is no record after all.
    pub(super) fn abandon(self, out: &mut Vec<u8>) {
        self.map.abandon(out);
    }
}
