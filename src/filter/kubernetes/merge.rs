//! `Merge_Log`: what an application wrote into `log` becomes pairs of the record.

use std::sync::Arc;

use crate::config::{Problems, Section, SectionKind, Settings, Variables};
use crate::filter::pattern::encoded;
use crate::filter::{Means, View};
use crate::parser::{Parser, Parsers};

const LOG: &[u8] = b"log";

/// How to merge.
pub(super) struct Merge {
    /// For what no annotation names a parser.
    parser: Option<Arc<Parser>>,
    /// The key that everything goes under, encoded.
    under: Option<Vec<u8>>,
    trim: bool,
    keep_log: bool,
}

impl Merge {
    /// Reads `Merge_*` and `Keep_Log`; `None` unless there is something to merge.
    pub(super) fn read(settings: &mut Settings<'_>, means: Means<'_>) -> Option<Self> {
        let merges = settings.flag("merge_log", false);
        let parser = match settings.text("merge_parser") {
            None => json(),
            Some(name) => {
                let parser = means.parsers.get(&name);
                if parser.is_none() {
                    let message = format!("there is no parser `{name}`; names have a case");
                    settings.lapse("merge_parser", message, "the text is read as JSON");
                }
                parser.or_else(json)
            }
        };
        let merge = Self {
            parser,
            under: settings.text("merge_log_key").map(|key| encoded(&key)),
            trim: settings.flag("merge_log_trim", true),
            keep_log: settings.flag("keep_log", true),
        };
        merges.then_some(merge)
    }

    /// Merges the first `log`: a map as it is, a text as `parser` or the configured one understands it. One that it does not
    /// understand stays as it is.
    pub(super) fn apply(&self, event: &mut View<'_>, parser: Option<&Arc<Parser>>) {
        let Some(index) = event.first(LOG) else {
            return;
        };
        let map = event.map_at(index);
        // Fluent Bit trims what it has parsed.
        let trims = self.trim && map.is_none();
        let parser = parser.or(self.parser.as_ref());
        let parsed = map.or_else(|| event.parse_at(index, std::slice::from_ref(parser?)));
        let Some(parsing) = parsed else {
            return;
        };
        let kept = |text: &[u8]| if trims { trimmed(text) } else { text.len() };
        if !event.append_parsed(parsing, self.under.as_deref(), kept) {
            return;
        }
        if !self.keep_log {
            event.remove_first(LOG);
        }
        if let Some(time) = parsing.time {
            event.set_time(time);
        }
    }
}

/// A parser of JSON that needs no section.
fn json() -> Option<Arc<Parser>> {
    let properties = [("name", "json"), ("format", "json")];
    let section = Section::of_pairs(SectionKind::Parser, &properties);
    let parsers = Parsers::read([&section], &Variables::default(), &mut Problems::default());
    parsers.get("json")
}

/// How much of a text stands before the newlines at its end, and before `\n` and `\r` written as two characters. The first character
/// always stays.
fn trimmed(text: &[u8]) -> usize {
    let mut length = text.len();
    while length > 1 {
        match text.get(..length).unwrap_or_default() {
            [.., b'\n'] => length -= 1,
            [.., b'\\', b'n' | b'r'] => length -= 2,
            _ => break,
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newlines_at_the_end_go_in_both_spellings() {
        for (text, kept) in [
            ("a\n\n", "a"),
            ("a\\n\\r\n", "a"),
            ("a\\nb\n", "a\\nb"),
            ("a\r", "a\r"),
            ("\n", "\n"),
            ("\\n", ""),
            ("n", "n"),
            ("", ""),
        ] {
            assert_eq!(trimmed(text.as_bytes()), kept.len(), "{text:?}");
        }
    }
}
