//! What is wrong with a section as a whole, once every key that its plugin knows has been asked
//! for.

use std::collections::BTreeMap;

use super::nearest::nearest;
use super::node::Entry;
use super::reading::{Effect, Given, Reading, shown};
use super::section::{Place, Property, SectionKind};
use super::settings::{Settings, Use};

/// Keys that the engine reads, not the plugin. Given twice, Fluent Bit warns and takes the last.
const CORE: [&str; 16] = [
    "alias",
    "host",
    "ipv6",
    "listen",
    "log_level",
    "log_suppress_interval",
    "match",
    "match_regex",
    "mem_buf_limit",
    "name",
    "port",
    "retry_limit",
    "routable",
    "tag",
    "threaded",
    "workers",
];

/// How the other keys of the engine begin.
const CORE_FAMILIES: [&str; 5] = ["net.", "rate_", "storage.", "thread.", "tls"];

impl Settings<'_> {
    /// Reports unknown keys, keys given too often, and keys without effect.
    pub fn finish(mut self) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let section = self.section;
        for property in &section.properties {
            let count = counts.entry(&property.key).or_default();
            *count += 1;
            match self.usage(&property.key) {
                None => self.unknown(&property.key, &property.place),
                // One message is enough for a value that is wrong besides.
                Some(Use::NoEffect) if self.problems.has_error_at(&property.place) => {}
                Some(Use::NoEffect) => self.problems.warning(
                    &property.place,
                    Some(&property.key),
                    "has no effect here",
                ),
                Some(Use::Single) if self.maps.contains(&*property.key) => {
                    self.text_for_map(property);
                }
                Some(Use::Single) if *count > 1 => self.again(property, *count),
                Some(Use::Single | Use::Repeatable) => {}
            }
        }
        for entry in &section.nested {
            self.nested_entry(entry);
        }
        if self.problems.keeps_readings() {
            let reading = self.reading();
            self.problems.keep(reading);
        }
    }

    /// What became of every key.
    fn reading(&self) -> Reading {
        let properties = self.section.properties.iter();
        Reading {
            kind: self.section.kind,
            place: self.section.place.clone(),
            given: properties.map(|property| self.given(property)).collect(),
            unset: self.unset(),
        }
    }

    /// What became of a property.
    fn given(&self, property: &Property) -> Given {
        let counts = |key| std::ptr::eq(self.written(key).unwrap_or(property), property);
        let effect = match self.usage(&property.key) {
            None => Effect::Unknown,
            Some(Use::NoEffect) => Effect::Nothing,
            Some(Use::Single) if !counts(&property.key) => Effect::Overridden,
            Some(Use::Single | Use::Repeatable) => Effect::Used,
        };
        Given {
            key: property.key.clone(),
            value: shown(property, effect, self.variables),
            place: property.place.clone(),
            effect,
        }
    }

    /// The keys with an effect that are not given.
    fn unset(&self) -> Vec<&'static str> {
        let section = self.section;
        let is_given = |key: &str| {
            section
                .properties
                .iter()
                .any(|property| property.key == key)
                || section.nested.iter().any(|entry| entry.key == key)
        };
        let keys = self.keys();
        keys.into_iter().filter(|key| !is_given(key)).collect()
    }

    /// A map, or a list of maps: those who want one ask with [`nested`](Settings::nested), and for
    /// any other key Fluent Bit overlooks the map.
    fn nested_entry(&mut self, entry: &Entry) {
        match self.usage(&entry.key) {
            None => self.unknown(&entry.key, &entry.place),
            Some(Use::NoEffect) => {
                self.problems
                    .warning(&entry.place, Some(&entry.key), "has no effect here");
            }
            Some(Use::Single | Use::Repeatable) if self.maps.contains(&*entry.key) => {}
            Some(Use::Single | Use::Repeatable) => {
                let message = format!("takes a text, not {}", entry.value.shape());
                self.problems.error(&entry.place, Some(&entry.key), message);
            }
        }
    }

    /// A text where a map belongs; nothing at all is no map that is wrong.
    fn text_for_map(&mut self, property: &Property) {
        if !property.value.is_empty() {
            let message = "needs a map, not a text";
            self.problems
                .error(&property.place, Some(&property.key), message);
        }
    }

    /// How a key may be used, or nothing if it is not known.
    fn usage(&self, key: &str) -> Option<Use> {
        let fits = |known: &str| {
            known
                .strip_suffix('*')
                .is_some_and(|prefix| key.starts_with(prefix))
        };
        let of_family = || {
            self.known
                .iter()
                .find(|(known, _)| fits(known))
                .map(|(_, &usage)| usage)
        };
        self.known.get(key).copied().or_else(of_family)
    }

    fn unknown(&mut self, key: &str, place: &Place) {
        let hint = match nearest(key, self.known.keys().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", self.keys().join(", ")),
        };
        let message = format!("unknown property of {}; {hint}", self.subject());
        if self.tolerant {
            let message = format!("{message} (it is ignored)");
            self.problems.warning(place, Some(key), message);
        } else {
            self.problems.error(place, Some(key), message);
        }
        self.problems.veil(place, key);
    }

    /// A key that may stand once is there again.
    fn again(&mut self, property: &Property, count: usize) {
        let (place, key) = (&property.place, Some(property.key.as_str()));
        match self.section.kind {
            SectionKind::Service => {}
            kind if property.key == "name" || !kind.is_plugin() => {
                self.problems.warning(
                    place,
                    key,
                    format!("is set {count} times; the first counts"),
                );
            }
            _ if is_core(&property.key) => {
                self.problems
                    .warning(place, key, format!("is set {count} times; the last counts"));
            }
            _ => self.problems.error(
                place,
                key,
                format!("is set {count} times; {} takes it once", self.subject()),
            ),
        }
    }
}

/// Whether the engine reads this key, whatever the plugin.
fn is_core(key: &str) -> bool {
    CORE.contains(&key) || CORE_FAMILIES.iter().any(|family| key.starts_with(family))
}
