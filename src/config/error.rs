//! The list of what is wrong with a configuration.
//!
//! Nothing stops at the first mistake: readers and plugins put what they find here and go on, and
//! the caller decides at the end, once, whether to start.

use std::fmt;

use super::include::Source;
use super::reading::Reading;
use super::section::Place;

/// How many problems of one severity are kept; the rest is counted.
const LIMIT: usize = 200;

/// What a problem means for the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Sluice does not start.
    Error,
    /// Sluice starts, and says what it did instead.
    Warning,
}

/// One mistake, at one place. Shown as ``file:line:column: key `x`: message``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it prevents the start.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// The key it is about, in lower case.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: key `{}`: {}", self.place, key, self.message),
            None => write!(f, "{}: {}", self.place, self.message),
        }
    }
}

/// All problems of a configuration, in the order found, no one twice.
///
/// Three things may be put in: an *error*; a *warning*; and a *lapse*, a mistake that Fluent Bit
/// does not see. What runs under Fluent Bit must start here too, so a lapse is a warning, but an
/// error in a [`strict`](Self::strict) list, which `--dry-run` uses.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    /// Turns lapses into errors.
    strict: bool,
    /// How many problems found no room.
    omitted: usize,
    /// The files read, in their order: the order of the report, which shows lines of them.
    sources: Vec<Source>,
    /// How the sections were read, if somebody wants to know.
    readings: Option<Vec<Reading>>,
    /// Where keys stand that nobody knows, and how long they are: one may be the misspelt name of a
    /// credential.
    veiled: Vec<(Place, usize)>,
}

impl Problems {
    /// An empty list in which lapses are errors.
    pub fn strict() -> Self {
        Self {
            strict: true,
            ..Self::default()
        }
    }

    /// An empty list that also keeps how sections are read.
    pub fn with_readings() -> Self {
        Self {
            readings: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// How the sections were read, in the order in which they were.
    pub fn readings(&self) -> &[Reading] {
        self.readings.as_deref().unwrap_or_default()
    }

    /// Whether somebody wants to know how sections are read.
    pub(super) fn keeps_readings(&self) -> bool {
        self.readings.is_some()
    }

    /// Keeps how a section was read.
    pub(super) fn keep(&mut self, reading: Reading) {
        self.readings.get_or_insert_default().push(reading);
    }

    /// Notes a file that problems may be about.
    pub fn source(&mut self, source: &Source) {
        self.sources.push(source.clone());
    }

    /// Keeps what follows a key on its line out of the report.
    pub(super) fn veil(&mut self, place: &Place, key: &str) {
        if self.veiled.len() < LIMIT {
            self.veiled.push((place.clone(), key.chars().count()));
        }
    }

    /// How many characters of a line may be shown.
    pub(super) fn shown_part(&self, place: &Place) -> usize {
        let of_line = self
            .veiled
            .iter()
            .filter(|(veiled, _)| veiled.file == place.file && veiled.line == place.line);
        let ends = of_line.map(|(veiled, length)| {
            let start = usize::try_from(veiled.column.saturating_sub(1)).unwrap_or(0);
            start + length
        });
        // Past the limit nobody knows what was unknown.
        let all = if self.veiled.len() < LIMIT {
            usize::MAX
        } else {
            0
        };
        ends.min().unwrap_or(all)
    }

    /// The files noted, in the order in which they were read.
    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// All problems by file, in the order in which files were read, line and column; those without
    /// a file come first.
    pub fn sorted(&self) -> Vec<&Problem> {
        let rank = |place: &Place| {
            let found = self
                .sources
                .iter()
                .position(|source| source.name == place.file);
            found.map_or(0, |position| position + 1)
        };
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| {
            let place = &problem.place;
            (rank(place), place.line, place.column)
        });
        sorted
    }

    /// Adds a mistake that prevents the start.
    pub fn error(&mut self, place: &Place, key: Option<&str>, message: impl Into<String>) {
        self.push(Severity::Error, place, key, message.into());
    }

    /// Adds something the user should know.
    pub fn warning(&mut self, place: &Place, key: Option<&str>, message: impl Into<String>) {
        self.push(Severity::Warning, place, key, message.into());
    }

    /// Adds a mistake that Fluent Bit overlooks; `instead` says what happens at a start all the
    /// same.
    pub fn lapse(
        &mut self,
        place: &Place,
        key: Option<&str>,
        message: impl fmt::Display,
        instead: &str,
    ) {
        if self.strict {
            self.error(place, key, message.to_string());
        } else {
            self.warning(place, key, format!("{message} ({instead})"));
        }
    }

    /// Whether Sluice must not start.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Whether something at this place prevents the start.
    pub(super) fn has_error_at(&self, place: &Place) -> bool {
        self.errors().any(|problem| problem.place == *place)
    }

    /// What prevents the start, in the order found.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.of(Severity::Error)
    }

    /// What does not, in the order found.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.of(Severity::Warning)
    }

    /// How many errors and warnings were left out since there were too many.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    fn of(&self, severity: Severity) -> impl Iterator<Item = &Problem> {
        self.list
            .iter()
            .filter(move |problem| problem.severity == severity)
    }

    fn push(&mut self, severity: Severity, place: &Place, key: Option<&str>, message: String) {
        let problem = Problem {
            severity,
            place: place.clone(),
            key: key.map(shortened),
            message,
        };
        if self.list.contains(&problem) {
            return;
        }
        if self.of(severity).count() < LIMIT {
            self.list.push(problem);
        } else {
            self.omitted += 1;
        }
    }
}

/// One line per problem, in the order found.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            writeln!(f, "{severity}: {problem}")?;
        }
        match self.omitted() {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

/// Text from a file for a message: on one line, not longer than a screen line.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut start = String::new();
    for character in text.chars().take(LONGEST) {
        if character.is_control() {
            start.extend(character.escape_default());
        } else {
            start.push(character);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        start.push('…');
    }
    start
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn place(line: u32) -> Place {
        Place::new(Arc::from("a.conf"), line)
    }

    #[test]
    fn a_lapse_is_a_warning_that_a_strict_list_refuses() {
        let mut usual = Problems::default();
        usual.lapse(
            &place(3),
            Some("samples"),
            "`many` is no number",
            "the default is used",
        );
        assert!(!usual.has_errors());
        assert_eq!(
            usual.to_string(),
            "warning: a.conf:3: key `samples`: `many` is no number (the default is used)\n"
        );

        let mut strict = Problems::strict();
        strict.lapse(
            &place(3),
            Some("samples"),
            "`many` is no number",
            "the default is used",
        );
        assert_eq!(
            strict.to_string(),
            "error: a.conf:3: key `samples`: `many` is no number\n"
        );
    }

    #[test]
    fn the_same_problem_is_kept_once() {
        let mut problems = Problems::default();
        problems.warning(&place(1), None, "x");
        problems.warning(&place(1), None, "x");
        problems.warning(&place(2), None, "x");
        assert_eq!(problems.warnings().count(), 2);
    }

    #[test]
    fn many_warnings_leave_room_for_errors() {
        let mut problems = Problems::default();
        for line in 1..=300 {
            problems.warning(&place(line), None, "x");
        }
        problems.error(&place(1), None, "y");
        assert_eq!(
            (
                problems.errors().count(),
                problems.warnings().count(),
                problems.omitted()
            ),
            (1, LIMIT, 100)
        );
    }

    #[test]
    fn text_in_messages_is_one_short_line() {
        assert_eq!(shortened("a\nb\u{1b}\"'é"), "a\\nb\\u{1b}\"'é");
        assert_eq!(shortened(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
    }
}
