//! The conditions of `modify`.
//!
//! | condition | holds when |
//! |---|---|
//! | `Key_exists KEY`, `Key_does_not_exist KEY` | there is such a value, or not |
//! | `A_key_matches PATTERN`, `No_key_matches PATTERN` | a top-level key matches, or none |
//! | `Key_value_equals KEY TEXT`, `Key_value_does_not_equal KEY TEXT` | the value is that text; there is a value, and it is not |
//! | `Key_value_matches KEY PATTERN`, `Key_value_does_not_match KEY PATTERN` | the same for text and switches |
//! | `Matching_keys_have_matching_values KEYS VALUES` | every key that matches has a value that does |
//! | `Matching_keys_do_not_have_matching_values KEYS VALUES` | one has not |
//!
//! A key is plain, or an accessor if it starts with `$`.

use super::super::View;
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::read::{self, Value};
use crate::regex::Regex;

/// A value of the record.
enum Key {
    Plain(Box<[u8]>),
    Accessor(Accessor),
}

impl Key {
    fn new(text: &str) -> Result<Self, String> {
        if text.starts_with('$') {
            let accessor = Accessor::new(text).map_err(|error| error.to_string())?;
            Ok(Self::Accessor(accessor))
        } else {
            Ok(Self::Plain(text.as_bytes().into()))
        }
    }

    fn find<'v>(&self, record: &'v View<'_>) -> Option<&'v [u8]> {
        match self {
            Self::Plain(name) => record.get(name),
            Self::Accessor(accessor) => record.find(accessor),
        }
    }
}

enum Test {
    Exists(Key),
    KeyMatches(Regex),
    Equals(Key, Box<[u8]>),
    Matches(Key, Regex),
    AllMatch { keys: Regex, values: Regex },
}

/// One condition, or its opposite.
pub(super) struct Condition {
    test: Test,
    negated: bool,
}

/// Reads every `Condition`.
pub(super) fn read(settings: &mut Settings<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (words, _) in settings.quoted_words("condition", 2..=3) {
        match condition(&words) {
            Ok(condition) => conditions.push(condition),
            Err(message) => settings.error("condition", message),
        }
    }
    conditions
}

fn condition(words: &[String]) -> Result<Condition, String> {
    let mut words = words.iter().map(String::as_str);
    let name = words.next().unwrap_or_default().to_ascii_lowercase();
    let first = words.next().unwrap_or_default();
    let second = words.next();
    let key = || Key::new(first);
    let first_pattern = || pattern(first);
    let second_pattern = || {
        let missing = || format!("{name} needs a pattern as its second word");
        pattern(second.filter(|text| !text.is_empty()).ok_or_else(missing)?)
    };
    let (test, negated) = match name.as_str() {
        "key_exists" => (Test::Exists(key()?), false),
        "key_does_not_exist" => (Test::Exists(key()?), true),
        "a_key_matches" => (Test::KeyMatches(first_pattern()?), false),
        "no_key_matches" => (Test::KeyMatches(first_pattern()?), true),
        "key_value_equals" | "key_value_does_not_equal" => {
            let text = second.unwrap_or_default().as_bytes().into();
            (Test::Equals(key()?, text), name != "key_value_equals")
        }
        "key_value_matches" => (Test::Matches(key()?, second_pattern()?), false),
        "key_value_does_not_match" => (Test::Matches(key()?, second_pattern()?), true),
        "matching_keys_have_matching_values" | "matching_keys_do_not_have_matching_values" => {
            let (keys, values) = (first_pattern()?, second_pattern()?);
            let negated = name != "matching_keys_have_matching_values";
            (Test::AllMatch { keys, values }, negated)
        }
        _ => return Err(format!("there is no condition `{name}`")),
    };
    Ok(Condition { test, negated })
}

fn pattern(text: &str) -> Result<Regex, String> {
    if text.is_empty() {
        return Err("a pattern is empty".to_owned());
    }
    Regex::new(text).map_err(|error| error.to_string())
}

/// The text that patterns look at: of texts and switches.
fn text(value: &[u8]) -> Option<&[u8]> {
    match read::value(value) {
        Ok((_, Value::Str(text))) => Some(text),
        Ok((_, Value::Bool(true))) => Some(b"true"),
        Ok((_, Value::Bool(false))) => Some(b"false"),
        _ => None,
    }
}

impl Condition {
    /// Whether it holds for the record as it stands.
    pub(super) fn holds(&self, record: &View<'_>) -> bool {
        let about_a_value = |key: &Key, test: &dyn Fn(&[u8]) -> bool| {
            // What is not there neither equals nor differs.
            key.find(record)
                .is_some_and(|value| test(value) != self.negated)
        };
        match &self.test {
            Test::Exists(key) => key.find(record).is_some() != self.negated,
            Test::Equals(key, wanted) => {
                about_a_value(key, &|value| read::text(value) == Some(wanted))
            }
            Test::Matches(key, pattern) => about_a_value(key, &|value| {
                text(value).is_some_and(|text| pattern.is_match(text))
            }),
            Test::KeyMatches(pattern) => {
                let mut keys = record.fields().filter_map(|(key, _)| key);
                keys.any(|key| pattern.is_match(key)) != self.negated
            }
            Test::AllMatch { keys, values } => {
                let mut matching = record
                    .fields()
                    .filter(|(key, _)| key.is_some_and(|key| keys.is_match(key)));
                let all = matching
                    .all(|(_, value)| text(value).is_some_and(|text| values.is_match(text)));
                all != self.negated
            }
        }
    }
}
