//! The report of a configuration's mistakes, as a user reads it:
//!
//! ```text
//! [error] [config] main.conf:9:5: key `colour`: unknown property of input `dummy`; known are ..
//!     9 |     Colour…
//!       |     ^
//! ```
//!
//! A line is shown up to the first key that names a credential or that nobody knows: what follows
//! may be one.

use std::fmt::Write as _;

use super::error::{Problem, Problems, Severity};
use super::include::Source;
use super::secret::public_part;

/// How many characters of a line are shown.
const WIDEST: usize = 120;

impl Problems {
    /// All problems, sorted by file and line, each with the line it is about.
    pub fn report(&self) -> String {
        let mut report = String::new();
        let mut cursor = Cursor::default();
        for problem in self.sorted() {
            let level = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => " warn",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(report, "[{level}] [config] {problem}");
            if let Some(line) = cursor.line_of(problem, self.sources()) {
                show(&mut report, problem, &line, self.shown_part(&problem.place));
            }
        }
        if self.omitted() > 0 {
            let _ = writeln!(report, "[error] [config] and {} more", self.omitted());
        }
        report
    }
}

/// Writes the line and, if the column is on it, a mark below.
fn show(report: &mut String, problem: &Problem, line: &str, most: usize) {
    let number = problem.place.line;
    let text: String = line.chars().take(WIDEST.min(most)).collect();
    let cut = if text.len() < line.len() { "…" } else { "" };
    let _ = writeln!(report, "{number:>5} | {}{cut}", text.trim_ascii_end());
    let before = usize::try_from(problem.place.column).unwrap_or(0);
    if (1..=text.chars().count()).contains(&before) {
        // A tab above needs a tab below to stand at the same place.
        let blanks = text.chars().take(before - 1);
        let blanks: String = blanks.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let _ = writeln!(report, "      | {blanks}^");
    }
}

/// How far a file has been searched for lines, so that problems in the order of lines cost one pass.
#[derive(Default)]
struct Cursor {
    file: usize,
    line: u32,
    offset: usize,
}

impl Cursor {
    /// The line a problem is about, fit to be shown.
    fn line_of(&mut self, problem: &Problem, sources: &[Source]) -> Option<String> {
        let place = &problem.place;
        let file = sources
            .iter()
            .position(|source| source.name == place.file)
            .filter(|_| place.line > 0)?;
        if self.file != file || self.line == 0 || place.line < self.line {
            *self = Self {
                file,
                line: 1,
                offset: 0,
            };
        }
        let bytes = &sources.get(file)?.bytes;
        while self.line < place.line {
            let rest = bytes.get(self.offset..)?;
            self.offset += memchr::memchr(b'\n', rest)? + 1;
            self.line += 1;
        }
        let rest = bytes.get(self.offset..)?;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        // Four bytes are the longest character: enough for what is shown and no more than that.
        let shown = rest.get(..end.min(4 * (WIDEST + 1)))?;
        let text = String::from_utf8_lossy(shown);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Some(printable(&public_part(text)))
    }
}

/// Control characters would reach the terminal of whoever reads the report.
fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\t' => '\t',
        character if character.is_control() => '\u{fffd}',
        character => character,
    };
    text.trim_end_matches('\r').chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Place;

    fn report(text: &str, problems_at: &[(u32, u32)]) -> String {
        let mut problems = Problems::default();
        let name: Arc<str> = Arc::from("a.conf");
        problems.source(&Source {
            name: Arc::clone(&name),
            bytes: text.as_bytes().into(),
        });
        for &(line, column) in problems_at {
            let place = Place::new(Arc::clone(&name), line).at(column);
            problems.error(&place, None, format!("m{line}"));
        }
        problems.error(&Place::command_line(), None, "first");
        problems.report()
    }

    #[test]
    fn problems_are_sorted_and_shown_with_their_lines() {
        assert_eq!(
            report(
                "[INPUT]\n  Name x\r\n\tTag é t\n",
                &[(3, 6), (2, 3), (9, 1)]
            ),
            "[error] [config] command line: first\n\
             [error] [config] a.conf:2:3: m2\n    2 |   Name x\n      |   ^\n\
             [error] [config] a.conf:3:6: m3\n    3 | \tTag é t\n      | \t    ^\n\
             [error] [config] a.conf:9:1: m9\n"
        );
    }

    #[test]
    fn what_may_be_a_credential_and_what_is_no_text_is_not_shown() {
        let shown = report(
            "  apikey hunter2\n  {a: b, http_passwd: hunter2}\n  uri https://u:hunter2@h\n  x \u{1b}[2J\n",
            &[(1, 0), (2, 0), (3, 0), (4, 0)],
        );
        assert!(
            !shown.contains("hunter2") && !shown.contains('\u{1b}'),
            "{shown}"
        );
        assert!(shown.contains("    1 |   apikey …\n"), "{shown}");
        assert!(
            shown.contains("    2 |   {a: b, http_passwd …\n"),
            "{shown}"
        );
    }

    #[test]
    fn the_value_of_a_key_that_nobody_knows_is_not_shown() {
        let mut problems = Problems::default();
        let name: Arc<str> = Arc::from("a.yaml");
        problems.source(&Source {
            name: Arc::clone(&name),
            bytes: "{shared_kye: hunter2, port: x}".as_bytes().into(),
        });
        let place = Place::new(name, 1);
        problems.error(&place.clone().at(23), Some("port"), "is no port");
        problems.veil(&place.at(2), "shared_kye");
        let report = problems.report();
        assert!(report.ends_with("    1 | {shared_kye…\n"), "{report}");
    }

    #[test]
    fn a_line_of_any_length_is_shown_in_part() {
        let shown = report(&"é".repeat(1 << 20), &[(1, 1)]);
        assert!(
            shown.contains(&format!("{}…\n", "é".repeat(120))),
            "{shown}"
        );
        assert!(shown.len() < 1000);
    }
}
