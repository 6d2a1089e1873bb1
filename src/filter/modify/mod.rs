//! `modify`: adds, removes, renames, copies and moves top-level pairs, if the record meets conditions.
//!
//! | rule | effect |
//! |---|---|
//! | `Set KEY VALUE`, `Add KEY VALUE` | append a pair; `Set` removes what has that name, `Add` wants that there is none |
//! | `Remove KEY`, `Remove_wildcard PREFIX`, `Remove_regex PATTERN` | remove |
//! | `Rename FROM TO`, `Hard_rename FROM TO` | in place; `Hard_` removes what is called TO, the other wants that there is none |
//! | `Copy FROM TO`, `Hard_copy FROM TO` | the copy stands behind the original; the same |
//! | `Move_to_start PREFIX`, `Move_to_end PREFIX` | move |
//! | `Condition NAME ...` | see `condition.rs` |
//!
//! Rules run in the order of the section, each on what the one before left. Conditions are looked at first, all of them have
//! to hold. <https://docs.fluentbit.io/manual/pipeline/filters/modify>

mod condition;

use self::condition::Condition;
use super::pattern::{Name, encoded};
use super::view::End;
use super::{Filter, Means, Verdict, View};
use crate::config::Settings;
use crate::regex::Regex;

enum Rule {
    Set(Name, Vec<u8>),
    Add(Name, Vec<u8>),
    Remove(Name),
    RemovePrefix(Name),
    RemoveRegex(Regex),
    Rename { from: Name, to: Name, hard: bool },
    Copy { from: Name, to: Name, hard: bool },
    Move(Name, End),
}

struct Modify {
    conditions: Vec<Condition>,
    rules: Vec<Rule>,
}

/// Makes a rule of a key and a value, or of two keys.
type OfTwo = fn(Name, &str) -> Rule;
/// Makes a rule of one word.
type OfOne = fn(&str) -> Result<Rule, String>;

const PAIRS: &[(&str, OfTwo)] = &[
    ("set", |key, value| Rule::Set(key, encoded(value))),
    ("add", |key, value| Rule::Add(key, encoded(value))),
    ("add_if_not_present", |key, value| {
        Rule::Add(key, encoded(value))
    }),
    ("rename", |from, to| Rule::Rename {
        from,
        to: Name::new(to),
        hard: false,
    }),
    ("hard_rename", |from, to| Rule::Rename {
        from,
        to: Name::new(to),
        hard: true,
    }),
    ("copy", |from, to| Rule::Copy {
        from,
        to: Name::new(to),
        hard: false,
    }),
    ("hard_copy", |from, to| Rule::Copy {
        from,
        to: Name::new(to),
        hard: true,
    }),
];
const SINGLES: &[(&str, OfOne)] = &[
    ("remove", |key| Ok(Rule::Remove(Name::new(key)))),
    ("remove_wildcard", |key| {
        Ok(Rule::RemovePrefix(Name::new(key)))
    }),
    ("remove_regex", |pattern| {
        Regex::new(pattern)
            .map(Rule::RemoveRegex)
            .map_err(|error| error.to_string())
    }),
    ("move_to_start", |key| {
        Ok(Rule::Move(Name::new(key), End::Front))
    }),
    ("move_to_end", |key| {
        Ok(Rule::Move(Name::new(key), End::Back))
    }),
];

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let conditions = condition::read(settings);
    let mut rules = Vec::new();
    for (key, make) in PAIRS {
        for (words, order) in settings.ordered_words(key, 2..=2) {
            if let [name, value] = words.as_slice() {
                rules.push((order, make(Name::new(name), value)));
            }
        }
    }
    for (key, make) in SINGLES {
        for (words, order) in settings.ordered_words(key, 1..=1) {
            match words.first().map(|word| make(word)) {
                Some(Ok(rule)) => rules.push((order, rule)),
                Some(Err(message)) => settings.error(key, message),
                None => {}
            }
        }
    }
    rules.sort_by_key(|(order, _)| *order);
    Box::new(Modify {
        conditions,
        rules: rules.into_iter().map(|(_, rule)| rule).collect(),
    })
}

impl Rule {
    fn apply(&self, record: &mut View<'_>) {
        match self {
            Self::Set(key, value) => {
                record.remove(&key.text);
                record.push_encoded(&key.encoded, value);
            }
            Self::Add(key, value) => {
                if record.count(&key.text) == 0 {
                    record.push_encoded(&key.encoded, value);
                }
            }
            Self::Remove(key) => record.remove(&key.text),
            Self::RemovePrefix(prefix) => {
                record.retain_keys(true, |key| !key.starts_with(&prefix.text));
            }
            Self::RemoveRegex(pattern) => record.retain_keys(true, |key| !pattern.is_match(key)),
            Self::Rename { from, to, hard } => rename(record, from, to, *hard),
            Self::Copy { from, to, hard } => copy(record, from, to, *hard),
            Self::Move(prefix, end) => {
                record.move_keys(*end, |key| key.starts_with(&prefix.text));
            }
        }
    }
}

fn rename(record: &mut View<'_>, from: &Name, to: &Name, hard: bool) {
    if record.count(&from.text) == 0 || !hard && record.count(&to.text) > 0 {
        return;
    }
    record.remove(&to.text);
    record.rename(&from.text, &to.encoded);
}

/// Copies what there is once, to a name that there is not, or once if `hard`.
fn copy(record: &mut View<'_>, from: &Name, to: &Name, hard: bool) {
    let most = usize::from(hard);
    if record.count(&from.text) != 1 || record.count(&to.text) > most {
        return;
    }
    record.remove(&to.text);
    record.copy(&from.text, &to.encoded);
}

impl Filter for Modify {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        if self
            .conditions
            .iter()
            .all(|condition| condition.holds(record))
        {
            for rule in &self.rules {
                rule.apply(record);
            }
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests;
