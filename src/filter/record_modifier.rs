//! `record_modifier`: appends and removes top-level pairs.
//!
//! | setting | effect |
//! |---|---|
//! | `Record KEY VALUE` | append a pair, repeatable; quotes hold words together; the value is always a string |
//! | `Remove_key KEY` | remove, repeatable; any case; a trailing `*` makes a prefix |
//! | `Allowlist_key KEY`, `Whitelist_key KEY` | keep only these, repeatable, written as for `Remove_key` |
//! | `Uuid_key KEY` | append a random UUID, last of all |
//!
//! Order of work: keys, then `Record`, then the UUID. A record left without a key is dropped.
//! <https://docs.fluentbit.io/manual/pipeline/filters/record-modifier>

use uuid::fmt::Hyphenated;

use super::pattern::{KeyPattern, encoded};
use super::{Filter, Means, Verdict, View};
use crate::config::Settings;

enum Keys {
    All,
    Without(Vec<KeyPattern>),
    Only(Vec<KeyPattern>),
}

struct RecordModifier {
    keys: Keys,
    /// Pairs to append, encoded once.
    records: Vec<(Vec<u8>, Vec<u8>)>,
    uuid_key: Option<Vec<u8>>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let mut records = Vec::new();
    for (words, _) in settings.words("record", 2..=usize::MAX) {
        match words.as_slice() {
            [key, value] => records.push((encoded(key), encoded(value))),
            // Fluent Bit runs with such a rule and ignores it.
            _ => settings.warning(
                "record",
                "this rule is ignored: write a key and a value, quoted if they hold blanks",
            ),
        }
    }
    let remove = patterns(settings, &["remove_key"]);
    let allow = patterns(settings, &["allowlist_key", "whitelist_key"]);
    let keys = match (remove.is_empty(), allow.is_empty()) {
        (true, true) => Keys::All,
        (false, true) => Keys::Without(remove),
        (true, false) => Keys::Only(allow),
        (false, false) => {
            settings.error(
                "remove_key",
                "Remove_key and Allowlist_key exclude each other",
            );
            Keys::All
        }
    };
    let uuid_key = settings.text("uuid_key").map(|key| encoded(&key));
    Box::new(RecordModifier {
        keys,
        records,
        uuid_key,
    })
}

fn patterns(settings: &mut Settings<'_>, keys: &[&'static str]) -> Vec<KeyPattern> {
    keys.iter()
        .flat_map(|key| settings.all(key))
        .map(|(text, _)| KeyPattern::new(&text))
        .collect()
}

impl Filter for RecordModifier {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        let any = |patterns: &[KeyPattern], key: &[u8]| {
            patterns
                .iter()
                .any(|pattern| pattern.matches_in_any_case(key))
        };
        match &self.keys {
            Keys::All => {}
            Keys::Without(patterns) => record.retain_keys(true, |key| !any(patterns, key)),
            Keys::Only(patterns) => record.retain_keys(false, |key| any(patterns, key)),
        }
        for (key, value) in &self.records {
            record.push_encoded(key, value);
        }
        if let Some(key) = &self.uuid_key {
            let mut value = [0xd9; 2 + Hyphenated::LENGTH];
            let [_, length, text @ ..] = &mut value;
            *length = Hyphenated::LENGTH as u8;
            uuid::Uuid::new_v4().hyphenated().encode_lower(text);
            record.push_encoded(key, &value);
        }
        if record.is_empty() && !matches!(self.keys, Keys::All) {
            Verdict::Drop
        } else {
            Verdict::Keep
        }
    }
}
