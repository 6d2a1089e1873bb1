//! `checklist`: marks records whose value stands in a list.
//!
//! | setting | effect |
//! |---|---|
//! | `file` | the list, an entry a line; `#` at the start of a line is a comment |
//! | `mode` | `exact` (default), or `partial`: an entry is the start of the value |
//! | `ignore_case` | compare in any case |
//! | `lookup_key` | an accessor, `log` by default; only text is looked up |
//! | `record KEY VALUE` | append this pair, repeatable; a pair of that name goes; `true`, `false` and `null` are no text |
//! | `print_query_time` | log how long each hit took |
//!
//! <https://docs.fluentbit.io/manual/pipeline/filters/checklist>

use std::cmp::Ordering;
use std::time::Instant;

use super::pattern::Name;
use super::{Filter, Means, Verdict, View};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::read::{self, Value};
use crate::msgpack::write;

/// The entries, sorted, so that one is found without a copy of the value in lower case.
struct List {
    entries: Vec<Box<[u8]>>,
    ignore_case: bool,
}

impl List {
    fn new(text: &[u8], ignore_case: bool) -> Self {
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let entries = lines.filter(|line| !matches!(line.first(), None | Some(b'#')));
        let mut entries: Vec<Box<[u8]>> = entries
            .map(|entry| {
                if ignore_case {
                    entry.to_ascii_lowercase().into()
                } else {
                    entry.into()
                }
            })
            .collect();
        entries.sort_unstable();
        entries.dedup();
        Self {
            entries,
            ignore_case,
        }
    }

    /// How an entry stands to a value.
    fn compare(&self, entry: &[u8], value: &[u8]) -> Ordering {
        if self.ignore_case {
            let lower = value.iter().map(u8::to_ascii_lowercase);
            entry.iter().copied().cmp(lower)
        } else {
            entry.cmp(value)
        }
    }

    fn holds(&self, value: &[u8]) -> bool {
        self.entries
            .binary_search_by(|entry| self.compare(entry, value))
            .is_ok()
    }

    /// Whether an entry is the start of the value. Each step looks for the greatest entry up to what is left of the value,
    /// and goes on with what the two have in common: no shorter start can lie between.
    fn holds_a_start(&self, value: &[u8]) -> bool {
        let mut rest = value;
        loop {
            let upto = self
                .entries
                .partition_point(|entry| self.compare(entry, rest) != Ordering::Greater);
            let Some(entry) = upto.checked_sub(1).and_then(|last| self.entries.get(last)) else {
                return false;
            };
            let same = |(one, other): &(&u8, &u8)| {
                one == other || self.ignore_case && **one == other.to_ascii_lowercase()
            };
            let common = entry.iter().zip(rest).take_while(same).count();
            if common == entry.len() {
                return true;
            }
            rest = rest.get(..common).unwrap_or_default();
        }
    }
}

struct Checklist {
    list: List,
    partial: bool,
    /// `None` only where the section is refused.
    key: Option<Accessor>,
    /// Pairs to append, encoded once.
    records: Vec<(Name, Vec<u8>)>,
    print_query_time: bool,
}

/// Reads the section, and the list. A list that cannot be read is empty, as in Fluent Bit.
pub(super) fn build(settings: &mut Settings<'_>, means: Means<'_>) -> Box<dyn Filter> {
    let ignore_case = settings.flag("ignore_case", false);
    let text = settings.required("file").map(|name| {
        let file = means.file(&name);
        std::fs::read(&file).unwrap_or_else(|error| {
            let message = format!("cannot read {}: {error}", file.display());
            settings.lapse("file", message, "the list is empty");
            Vec::new()
        })
    });
    let partial = settings
        .text("mode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("partial"));
    let key = settings
        .text("lookup_key")
        .unwrap_or_else(|| "log".to_owned());
    let key = Accessor::new(&key)
        .map_err(|error| settings.error("lookup_key", error.to_string()))
        .ok();
    let records = records(settings);
    let print_query_time = settings.flag("print_query_time", false);
    Box::new(Checklist {
        list: List::new(&text.unwrap_or_default(), ignore_case),
        partial,
        key,
        records,
        print_query_time,
    })
}

fn records(settings: &mut Settings<'_>) -> Vec<(Name, Vec<u8>)> {
    let mut records = Vec::new();
    for (words, _) in settings.words("record", 2..=usize::MAX) {
        if words.len() > 2 {
            settings.lapse(
                "record",
                "has more than two words; quote those that belong together",
                "the first and the last count",
            );
        }
        if let (Some(key), Some(value)) = (words.first(), words.last()) {
            records.push((Name::new(key), typed(value)));
        }
    }
    if records.is_empty() {
        settings.warning("record", "there is none, so the filter changes nothing");
    }
    records
}

fn typed(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match text.to_ascii_lowercase().as_str() {
        "true" => write::bool(&mut out, true),
        "false" => write::bool(&mut out, false),
        "null" => write::nil(&mut out),
        _ => write::str(&mut out, text.as_bytes()),
    }
    out
}

impl Filter for Checklist {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        let started = self.print_query_time.then(Instant::now);
        let value = self.key.as_ref().and_then(|key| record.find(key));
        let found = match value.map(read::value) {
            Some(Ok((_, Value::Str(text)))) if self.partial => self.list.holds_a_start(text),
            Some(Ok((_, Value::Str(text)))) => self.list.holds(text),
            _ => false,
        };
        if !found {
            return Verdict::Keep;
        }
        if let Some(started) = started {
            crate::info!("filter:checklist", "query time: {:?}", started.elapsed());
        }
        for (key, _) in &self.records {
            record.remove(&key.text);
        }
        for (key, value) in &self.records {
            record.push_encoded(&key.encoded, value);
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{built, check, refused};
    use super::*;
    use proptest::prelude::*;

    fn list_file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    /// Checklist: filters 73
    #[test]
    fn a_hit_appends_values_of_their_type_in_place_of_old_ones() {
        let file = list_file("# bad ones\n10.0.0.1\r\n\n10.0.0.2\n");
        check(
            build,
            &[
                ("file", file.path().to_str().unwrap()),
                ("lookup_key", "ip"),
                ("record", "bad true"),
                ("record", "kind \"known bad\""),
                ("record", "nothing null"),
            ],
            &[
                (
                    r#"{"ip":"10.0.0.1","bad":"old"}"#,
                    r#"{"ip":"10.0.0.1","bad":true,"kind":"known bad","nothing":null}"#,
                ),
                (r#"{"ip":"x10.0.0.1"}"#, "="),
                (r#"{"ip":"10.0.0.10"}"#, "="),
                (r#"{"ip":""}"#, "="),
                (r##"{"ip":"# bad ones"}"##, "="),
                (r#"{"ip":5}"#, "="),
                (r#"{"log":"10.0.0.1"}"#, "="),
            ],
        );
    }

    /// Checklist: filters 73
    #[test]
    fn in_partial_mode_an_entry_is_the_start_of_the_value() {
        let file = list_file("abc\nabcxx\nQ");
        let file = ("file", file.path().to_str().unwrap());
        let rest = [
            ("lookup_key", "$m['x']"),
            ("mode", "PARTIAL"),
            ("record", "hit 1"),
        ];
        check(
            build,
            &[&[file, ("ignore_case", "on")], &rest[..]].concat(),
            &[
                (
                    r#"{"m":{"x":"ABCdef"}}"#,
                    r#"{"m":{"x":"ABCdef"},"hit":"1"}"#,
                ),
                (r#"{"m":{"x":"abcxy"}}"#, r#"{"m":{"x":"abcxy"},"hit":"1"}"#),
                (r#"{"m":{"x":"zabc"}}"#, "="),
                (r#"{"m":{"x":"ab"}}"#, "="),
            ],
        );
        check(
            build,
            &[&[file], &rest[..]].concat(),
            &[
                (r#"{"m":{"x":"ABCdef"}}"#, "="),
                (r#"{"m":{"x":"Quit"}}"#, r#"{"m":{"x":"Quit"},"hit":"1"}"#),
            ],
        );
    }

    #[test]
    fn a_list_that_is_not_there_is_empty_and_said() {
        let (_, problems) = built(build, &[("file", "/nowhere/list"), ("record", "a b")]);
        assert!(
            problems
                .concat()
                .contains("warning: command line: key `file`: cannot read /nowhere/list"),
            "{problems:?}"
        );
        refused(build, &[("record", "a b")], "key `file`: missing");
        refused(
            build,
            &[("lookup_key", "$a["), ("file", "x"), ("record", "a b")],
            "bracket",
        );
    }

    proptest! {
        #[test]
        fn a_list_finds_what_a_search_through_all_entries_finds(entries in proptest::collection::vec("[abA]{1,4}", 0..12), value in "[abAB]{0,6}", ignore_case: bool) {
            let list = List::new(entries.join("\n").as_bytes(), ignore_case);
            let fold = |text: &str| if ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
            let value = fold(&value);
            prop_assert_eq!(list.holds(value.as_bytes()), entries.iter().any(|entry| fold(entry) == value));
            prop_assert_eq!(list.holds_a_start(value.as_bytes()), entries.iter().any(|entry| value.starts_with(&fold(entry))));
        }
    }
}
