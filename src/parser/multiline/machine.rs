//! What several parsers make of one source's lines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::GROUPS_MAX;
use super::definition::{Definition, Ending, Kind, Rule};
use super::group::{Between, Group, Line, Message};
use crate::event::EventTime;
use crate::msgpack::read::{self, Pairs, Value};
use crate::parser::Room;

/// A record that a line may lie in.
pub trait Fields {
    /// The raw value of the last pair with this key.
    fn get(&self, key: &[u8]) -> Option<&[u8]>;

    /// Appends the record, encoded.
    fn write(&self, out: &mut Vec<u8>);
}

impl Fields for &[u8] {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let is_it =
            |name: &[u8]| matches!(read::value(name), Ok((_, Value::Str(name))) if name == key);
        let found = Pairs::of(self).filter(|(name, _)| is_it(name)).last();
        found.map(|(_, value)| value)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// One parser and what it holds of the source.
#[derive(Debug)]
struct Instance<M> {
    definition: Arc<Definition>,
    key_content: Option<Box<[u8]>>,
    groups: Vec<Group<M>>,
}

/// The parsers of one source. `M` is what the owner notes with each line and gets back with a message whose first it is.
#[derive(Debug)]
pub struct Machine<M> {
    instances: Vec<Instance<M>>,
    /// The one that took the last line.
    last: usize,
    message_max: usize,
    room: Room,
    record: Vec<u8>,
}

impl<M: Copy> Machine<M> {
    /// A machine that asks these parsers in order. Their lines lie under `key_content`, if it is given, else under the key that each
    /// parser names. A message ends before its text is longer than `message_max`.
    pub fn new(
        definitions: &[Arc<Definition>],
        key_content: Option<&[u8]>,
        message_max: usize,
    ) -> Self {
        let instance = |definition: &Arc<Definition>| Instance {
            definition: Arc::clone(definition),
            key_content: key_content.or(definition.key_content()).map(Box::from),
            groups: Vec::new(),
        };
        Self {
            instances: definitions.iter().map(instance).collect(),
            last: 0,
            message_max,
            room: Room::default(),
            record: Vec::new(),
        }
    }

    /// Takes a line that lies in a record. False when no parser takes it: then what was open has ended, and the record stands for
    /// itself.
    pub fn take_record(
        &mut self,
        record: &dyn Fields,
        time: EventTime,
        metadata: &[u8],
        mark: M,
        now: Instant,
        put: &mut dyn FnMut(Message<'_, M>),
    ) -> bool {
        let line = Line {
            text: &[],
            record: Some((record, &[])),
            time,
            metadata,
            mark,
            now,
        };
        self.take(line, put)
    }

    /// Takes a line of text. False when no parser takes it: then what was open has ended, and the line stands for itself.
    pub fn take_text(
        &mut self,
        text: &[u8],
        time: EventTime,
        mark: M,
        now: Instant,
        put: &mut dyn FnMut(Message<'_, M>),
    ) -> bool {
        let line = Line {
            text,
            record: None,
            time,
            metadata: &[],
            mark,
            now,
        };
        self.take(line, put)
    }

    fn take(&mut self, line: Line<'_, M>, put: &mut dyn FnMut(Message<'_, M>)) -> bool {
        // The one that took the last line comes first, and what it has open ends with a line that it does not take.
        if self.offer(self.last, line, put) {
            return true;
        }
        self.end_all(put);
        for index in 0..self.instances.len() {
            if index != self.last && self.offer(index, line, put) {
                self.last = index;
                return true;
            }
        }
        false
    }

    fn offer(
        &mut self,
        index: usize,
        line: Line<'_, M>,
        put: &mut dyn FnMut(Message<'_, M>),
    ) -> bool {
        let Some(instance) = self.instances.get_mut(index) else {
            return false;
        };
        let Some(parser) = instance.definition.parser.clone() else {
            return instance.offer(line, self.message_max, put);
        };
        let Some(text) = instance.content(&line) else {
            return false;
        };
        self.record.clear();
        let Some(parsed) = parser.parse(text, &mut self.room, &mut self.record) else {
            return false;
        };
        let record = self.record.as_slice();
        let line = Line {
            record: Some((&record, &[])),
            time: parsed.time.unwrap_or(line.time),
            ..line
        };
        instance.offer(line, self.message_max, put)
    }

    /// Ends every open message.
    pub fn end_all(&mut self, put: &mut dyn FnMut(Message<'_, M>)) {
        for group in self.groups_mut() {
            group.end(put);
        }
    }

    /// Ends the messages to which no line has come since `since`.
    pub fn end_idle(&mut self, since: Instant, put: &mut dyn FnMut(Message<'_, M>)) {
        for group in self.groups_mut().filter(|group| group.touched <= since) {
            group.end(put);
        }
    }

    /// When the first of the open messages will have waited for `patience`.
    pub fn due(&self, patience: Duration) -> Option<Instant> {
        let open = self.groups().filter(|group| group.is_open());
        open.map(|group| group.touched + patience).min()
    }

    /// What the owner noted with the first line of each open message.
    pub fn marks(&self) -> impl Iterator<Item = M> {
        self.groups().filter_map(Group::mark)
    }

    /// The bytes that open messages take.
    pub fn held(&self) -> usize {
        let open = self.groups().filter(|group| group.is_open());
        open.map(Group::size).sum()
    }

    fn groups(&self) -> impl Iterator<Item = &Group<M>> {
        self.instances.iter().flat_map(|instance| &instance.groups)
    }

    fn groups_mut(&mut self) -> impl Iterator<Item = &mut Group<M>> {
        self.instances
            .iter_mut()
            .flat_map(|instance| &mut instance.groups)
    }
}

/// The text of a value; nothing else is a line.
fn text_of(value: &[u8]) -> Option<&[u8]> {
    match read::value(value) {
        Ok((_, Value::Str(text))) => Some(text),
        _ => None,
    }
}

impl<M: Copy> Instance<M> {
    /// The text of a line: itself, or what its record holds under the key.
    fn content<'l>(&self, line: &Line<'l, M>) -> Option<&'l [u8]> {
        match line.record {
            None => Some(line.text),
            Some((record, _)) => text_of(record.get(self.key_content.as_deref()?)?),
        }
    }

    /// Has the parser look at a line. Whether it takes it.
    fn offer(
        &mut self,
        line: Line<'_, M>,
        message_max: usize,
        put: &mut dyn FnMut(Message<'_, M>),
    ) -> bool {
        let Some(text) = self.content(&line) else {
            return false;
        };
        let definition = Arc::clone(&self.definition);
        let value = |key: &Option<Box<[u8]>>| text_of(line.record?.0.get(key.as_deref()?)?);
        let key: &[u8] = match &self.key_content {
            Some(key) => key,
            None => &[],
        };
        let line = Line {
            text,
            record: line.record.map(|(record, _)| (record, key)),
            ..line
        };
        let tested = value(&definition.key_pattern).unwrap_or(text);
        let name = value(&definition.key_group).unwrap_or_default();
        let Some(group) = group(&mut self.groups, name, line.now, put) else {
            return false;
        };
        if group.length() + text.len() > message_max {
            group.end(put);
        }
        match &definition.kind {
            Kind::Rules(rules) => follow(rules, group, line, put),
            Kind::EndsWith(ending) => {
                if tested.len() < ending.text.len() {
                    return false;
                }
                add(group, line, ending, tested.ends_with(&ending.text), put)
            }
            Kind::Equal(ending) => add(group, line, ending, *tested == *ending.text, put),
        }
    }
}

/// The group of this name. When there are too many, those that have nothing open are forgotten, or the one that has waited
/// longest ends.
fn group<'g, M: Copy>(
    groups: &'g mut Vec<Group<M>>,
    name: &[u8],
    now: Instant,
    put: &mut dyn FnMut(Message<'_, M>),
) -> Option<&'g mut Group<M>> {
    let found = groups.iter().position(|group| *group.name == *name);
    let index = found.unwrap_or_else(|| {
        if groups.len() >= GROUPS_MAX {
            groups.retain(Group::is_open);
        }
        if groups.len() >= GROUPS_MAX {
            let oldest = groups
                .iter()
                .enumerate()
                .min_by_key(|(_, group)| group.touched);
            let oldest = oldest.map_or(0, |(index, _)| index);
            groups.remove(oldest).end(put);
        }
        groups.push(Group::new(name, now));
        groups.len() - 1
    });
    groups.get_mut(index)
}

/// Takes a line by rules: one that may follow the last one, else one that begins a message.
fn follow<M: Copy>(
    rules: &[Rule],
    group: &mut Group<M>,
    line: Line<'_, M>,
    put: &mut dyn FnMut(Message<'_, M>),
) -> bool {
    let found = |index: &usize| {
        let rule = rules.get(*index);
        rule.is_some_and(|rule| rule.pattern.is_match(line.text))
    };
    let last = group.rule.and_then(|rule| rules.get(rule));
    let next = last.and_then(|last| last.next.iter().copied().find(found));
    let starts =
        || (0..rules.len()).filter(|&index| rules.get(index).is_some_and(|rule| rule.is_start));
    let Some(index) = next.or_else(|| starts().find(found)) else {
        return false;
    };
    if next.is_none() {
        group.end(put);
        group.add(line, Between::Nothing);
    } else {
        group.add(line, Between::Line);
    }
    group.rule = Some(index);
    if rules.get(index).is_some_and(|rule| rule.is_last) {
        group.end(put);
    }
    true
}

/// Adds a line of which it is known whether it is the last.
fn add<M: Copy>(
    group: &mut Group<M>,
    line: Line<'_, M>,
    ending: &Ending,
    is_found: bool,
    put: &mut dyn FnMut(Message<'_, M>),
) -> bool {
    let between = match line.record {
        Some(_) => Between::Nothing,
        None => Between::Break,
    };
    group.add(line, between);
    if is_found != ending.is_negated {
        group.end(put);
    }
    true
}
