//! What `${NAME}` stands for. This is the only file that reads the process environment.
//!
//! `@SET` of the configuration beats the environment, and the machine's name stands in for a
//! missing `HOSTNAME`. In a value `${NAME}` is replaced wherever it stands, `${NAME:-text}` falls
//! back to `text`, and nothing else is syntax: `$NAME`, a stray `}` and an unterminated `${` stay
//! as they are. What a variable holds is never looked at again, so a secret may contain any
//! character.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

/// The variables of a configuration.
#[derive(Clone, Default)]
pub struct Variables {
    values: HashMap<String, String>,
    /// Those whose values come from a file that is there to hold a secret.
    from_files: HashSet<String>,
    /// The names that the configuration has set.
    own: BTreeSet<String>,
}

/// A value with its variables replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// The names that stood for nothing: not set, or empty, and without a default.
    pub unset: Vec<String>,
}

impl Variables {
    /// The environment of this process, bytes that are no UTF-8 replaced by U+FFFD.
    pub fn from_process() -> Self {
        let environment = std::env::vars_os();
        let pairs = environment.map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        });
        let mut variables = Self::from_pairs(pairs);
        if !variables.values.contains_key("HOSTNAME")
            && let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname")
        {
            let name = name.trim_end().to_owned();
            variables.values.insert("HOSTNAME".to_owned(), name);
        }
        variables
    }

    /// Exactly these variables.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let values = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            values,
            from_files: HashSet::new(),
            own: BTreeSet::new(),
        }
    }

    /// Sets a variable, as `@SET` does.
    pub fn set(&mut self, name: &str, value: &str) {
        self.own.insert(name.to_owned());
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// Sets a variable to what a file holds.
    pub(super) fn set_from_file(&mut self, name: &str, value: &str) {
        self.set(name, value);
        self.from_files.insert(name.to_owned());
    }

    /// Whether the value comes from a file of its own.
    pub fn is_from_file(&self, name: &str) -> bool {
        self.from_files.contains(name)
    }

    /// All names with what they hold, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.values.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The variables that the configuration has set, by name.
    pub fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        let value = |name: &'_ String| self.values.get(name).map(String::as_str);
        self.own
            .iter()
            .filter_map(move |name| Some((name.as_str(), value(name)?)))
    }

    /// What a variable holds; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Replaces every `${NAME}` and `${NAME:-default}` in `raw`, once, from left to right.
    pub fn expand(&self, raw: &str) -> Expanded {
        let mut expanded = Expanded {
            text: String::with_capacity(raw.len()),
            unset: Vec::new(),
        };
        let mut rest = raw;
        while let Some((before, inside, after)) = next_reference(rest) {
            expanded.text.push_str(before);
            let (name, default) = inside
                .split_once(":-")
                .map_or((inside, None), |(name, text)| (name, Some(text)));
            match self.get(name).or(default) {
                Some(text) => expanded.text.push_str(text),
                None => expanded.unset.push(name.to_owned()),
            }
            rest = after;
        }
        expanded.text.push_str(rest);
        expanded
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// The text before the first `${…}`, what stands in its braces, and the text after it.
pub(super) fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let (before, opened) = text.split_once("${")?;
    let (inside, after) = opened.split_once('}')?;
    Some((before, inside, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: filters 4; engine 17; firelens 14
    #[test]
    fn values_expand_once_and_only_braces_are_syntax() {
        let variables = Variables::from_pairs([
            ("X", "1"),
            ("Y", "2"),
            ("EMPTY", ""),
            ("NESTED", "x${X}y$X"),
            ("S", "p#1%40{x}'\""),
        ]);
        for (raw, text, unset) in [
            ("plain", "plain", &[][..]),
            ("${X}-${Y}-${X}", "1-2-1", &[]),
            ("a}${X}", "a}1", &[]),
            ("${X}}${Y}", "1}2", &[]),
            ("a${X}b${Y", "a1b${Y", &[]),
            ("$X.$.$$.b", "$X.$.$$.b", &[]),
            ("${NESTED}", "x${X}y$X", &[]),
            ("${S}", "p#1%40{x}'\"", &[]),
            ("a${NO}b${EMPTY}", "ab", &["NO", "EMPTY"]),
            ("${NO:-n1}.${EMPTY:-e1}.${X:-x1}.${NO:-}x", "n1.e1.1.x", &[]),
            ("${NO:-a:-b}", "a:-b", &[]),
            ("${}", "", &[""]),
            ("${", "${", &[]),
        ] {
            let expanded = variables.expand(raw);
            assert_eq!(
                (expanded.text.as_str(), &expanded.unset[..]),
                (
                    text,
                    &unset.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
                ),
                "{raw}"
            );
        }
    }

    /// Checklist: engine 16
    #[test]
    fn set_beats_the_environment() {
        let mut variables = Variables::from_pairs([("B", "from-env")]);
        variables.set("B", "bb");
        assert_eq!(variables.get("B"), Some("bb"));
    }

    #[test]
    fn debug_output_shows_no_values() {
        let variables = Variables::from_pairs([("apikey_1", "hunter2")]);
        assert_eq!(format!("{variables:?}"), r#"{"apikey_1"}"#);
    }

    #[test]
    fn the_process_always_has_a_host_name() {
        assert!(Variables::from_process().get("HOSTNAME").is_some());
    }
}
