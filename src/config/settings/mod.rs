//! A section as meant: typed answers to the questions a plugin asks.
//!
//! ```text
//! let mut settings = Settings::new(section, variables, problems);
//! let group = settings.required("log_group_name");
//! let limit = settings.size("mem_buf_limit");
//! settings.finish();
//! ```
//!
//! A plugin asks for every key it knows, whether or not the answer matters this time: what was
//! never asked for is an unknown key to [`Settings::finish`]. A wrong value is reported and
//! answered like a missing one. How wrong it is follows Fluent Bit: what stops Fluent Bit is an
//! error, what it overlooks is a lapse (see [`Problems`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::env::Variables;
use super::error::{Problems, shortened};
use super::load_named;
use super::nearest::nearest;
use super::node::Node;
use super::secret::is_secret;
use super::section::{Place, Property, Role, Section, SectionKind};
use super::value;
use super::words::{self, Quotes};

/// What happens when a lapse leaves a key without a usable value.
const DEFAULT: &str = "the default is used";

/// How often a known key may stand in a section, and whether it does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Once.
    Single,
    /// Any number of times.
    Repeatable,
    /// Accepted for Fluent Bit's sake.
    NoEffect,
}

/// What Fluent Bit does with a value that cannot be understood.
#[derive(Clone, Copy)]
enum Garbage {
    /// It does not start.
    Refused,
    /// It takes 0, or neither on nor off, without a word.
    Overlooked,
}

/// What a property says, with the property and its place in the section.
type Given<'a, T> = (T, (usize, &'a Property));

/// The typed view of one section.
pub struct Settings<'a> {
    pub(super) section: &'a Section,
    pub(super) problems: &'a mut Problems,
    pub(super) variables: &'a Variables,
    /// Where relative names of files start that the working folder lacks.
    directory: &'a Path,
    /// The sections of the configuration, among which are the `upstream_servers` of YAML.
    neighbours: &'a [Section],
    name: String,
    /// The keys asked for so far: what `finish` takes for known.
    pub(super) known: BTreeMap<&'static str, Use>,
    /// Those of them that may be maps.
    pub(super) maps: BTreeSet<&'static str>,
    /// Whether unknown keys are only warned about.
    pub(super) tolerant: bool,
}

impl<'a> Settings<'a> {
    /// Begins to read a section. A section that needs a `Name` and has none is an error.
    pub fn new(section: &'a Section, variables: &'a Variables, problems: &'a mut Problems) -> Self {
        let name = String::new();
        let mut settings = Self {
            section,
            problems,
            variables,
            directory: Path::new(""),
            neighbours: &[],
            name,
            known: BTreeMap::new(),
            maps: BTreeSet::new(),
            tolerant: false,
        };
        settings.tolerant = settings.is_lenient();
        let name = settings.text("name");
        if name.is_none() && !matches!(section.kind, SectionKind::Service | SectionKind::Plugins) {
            let message = format!("this {} section has no `Name`", section.kind);
            settings
                .problems
                .error(&section.place, Some("name"), message);
        }
        settings.name = name.unwrap_or_default();
        if section.kind.is_plugin() {
            settings.name.make_ascii_lowercase();
        }
        settings
    }

    /// Has files be looked for in a folder too, when the working folder lacks them.
    pub fn look_in(&mut self, directory: &'a Path) {
        self.directory = directory;
    }

    /// Where `upstream` finds servers by their name.
    pub fn look_among(&mut self, sections: &'a [Section]) {
        self.neighbours = sections;
    }

    /// Another section, read in the same surroundings.
    pub fn inside<'b>(&'b mut self, section: &'b Section) -> Settings<'b> {
        let mut inner = Settings::new(section, self.variables, self.problems);
        inner.directory = self.directory;
        inner
    }

    /// The `Name`, expanded, of plugins in lower case; empty if there is none, which is reported
    /// already.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the section configures.
    pub fn kind(&self) -> SectionKind {
        self.section.kind
    }

    /// Where the section begins.
    pub fn place(&self) -> &'a Place {
        &self.section.place
    }

    /// The section in a message: ``output `null` ``.
    pub fn subject(&self) -> String {
        match self.section.kind {
            SectionKind::Service => "[SERVICE]".to_owned(),
            kind => format!("{kind} `{}`", shortened(&self.name)),
        }
    }

    /// The value, expanded. An empty one counts as not given.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.single(key).map(|(text, _)| text)
    }

    /// As [`text`](Self::text); a missing value is an error.
    pub fn required(&mut self, key: &'static str) -> Option<String> {
        let text = self.text(key);
        if text.is_none() {
            let message = format!("missing or empty; {} needs it", self.subject());
            self.error(key, message);
        }
        text
    }

    /// A switch.
    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let garbage = if self.is_lenient() {
            Garbage::Overlooked
        } else {
            Garbage::Refused
        };
        self.parsed(key, garbage, "is neither on nor off", value::flag)
            .unwrap_or(default)
    }

    /// Bytes, such as `10M`.
    pub fn size(&mut self, key: &'static str) -> Option<u64> {
        let (text, property) = self.single(key)?;
        let size = value::size(&text);
        if size.is_none() {
            let message = format!(
                "{} is no size: write a number and K, M or G, as in 25M",
                shown(property)
            );
            self.problems.error(&property.place, Some(key), message);
        }
        size
    }

    /// A whole number.
    pub fn integer(&mut self, key: &'static str) -> Option<i64> {
        self.parsed(
            key,
            Garbage::Overlooked,
            "is no whole number",
            value::integer,
        )
    }

    /// A whole number within limits.
    pub fn integer_in(&mut self, key: &'static str, limits: RangeInclusive<i64>) -> Option<i64> {
        let what = format!(
            "is no whole number from {} to {}",
            limits.start(),
            limits.end()
        );
        let parse = |text: &str| value::integer(text).filter(|number| limits.contains(number));
        self.parsed(key, Garbage::Overlooked, &what, parse)
    }

    /// A number that may have a fraction.
    pub fn number(&mut self, key: &'static str) -> Option<f64> {
        self.parsed(key, Garbage::Overlooked, "is no number", value::number)
    }

    /// A time, such as `10s` or `1m`.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let what = "is no time: write seconds, or a number and s, m, h or d";
        self.parsed(key, Garbage::Overlooked, what, value::duration)
    }

    /// A port. A wrong one is an error: nobody would find what listens elsewhere.
    pub fn port(&mut self, key: &'static str) -> Option<u16> {
        let what = "is no port: write a number from 0 to 65535";
        self.parsed(key, Garbage::Refused, what, |text| text.parse().ok())
    }

    /// One of some words, in any case; the answer is spelt as in `choices`.
    pub fn choice(&mut self, key: &'static str, choices: &[&'static str]) -> Option<&'static str> {
        let (text, property) = self.single(key)?;
        let chosen = choices
            .iter()
            .copied()
            .find(|choice| choice.eq_ignore_ascii_case(&text));
        if chosen.is_none() {
            let hint = match nearest(&property.value, choices.iter().copied())
                .filter(|_| !is_secret(key))
            {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write one of {}", choices.join(", ")),
            };
            self.problems.error(
                &property.place,
                Some(key),
                format!("{} is not known; {hint}", shown(property)),
            );
        }
        chosen
    }

    /// The parts of a list with commas; none if there is no such key.
    pub fn list(&mut self, key: &'static str) -> Vec<String> {
        self.text(key)
            .map(|text| value::comma_list(&text))
            .unwrap_or_default()
    }

    /// All values of a key that may be repeated, in order.
    pub fn all(&mut self, key: &'static str) -> Vec<(String, Place)> {
        let given = self.repeated(key);
        let expanded = given.map(|property| {
            (
                self.expand(property, &property.value),
                property.place.clone(),
            )
        });
        expanded.filter(|(text, _)| !text.is_empty()).collect()
    }

    /// The words of a key that may be repeated, double quotes grouping them. A list with too few or
    /// too many words is an error and left out.
    pub fn words(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
    ) -> Vec<(Vec<String>, Place)> {
        with_places(self.word_lists(key, &count, Quotes::Double))
    }

    /// As [`words`](Self::words), with single quotes too.
    pub fn quoted_words(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
    ) -> Vec<(Vec<String>, Place)> {
        with_places(self.word_lists(key, &count, Quotes::Either))
    }

    /// As [`quoted_words`](Self::quoted_words), each list with the place of its property in the section: what stands under
    /// different keys can be put in order by it.
    pub fn ordered_words(
        &mut self,
        key: &'static str,
        count: RangeInclusive<usize>,
    ) -> Vec<(Vec<String>, usize)> {
        self.word_lists(key, &count, Quotes::Either)
            .into_iter()
            .map(|(words, property)| (words, property.0))
            .collect()
    }

    /// A word and the rest of the value, of a key that may be repeated; quotes mean nothing. A
    /// value without a rest is an error and left out.
    pub fn pairs(&mut self, key: &'static str) -> Vec<((String, String), Place)> {
        let pairs = self.pair_lists(key).into_iter();
        pairs
            .map(|(pair, (_, property))| (pair, property.place.clone()))
            .collect()
    }

    /// As [`pairs`](Self::pairs), each with the place of its property in the section: what stands under different keys can
    /// be put in order by it.
    pub fn ordered_pairs(&mut self, key: &'static str) -> Vec<((String, String), usize)> {
        let pairs = self.pair_lists(key).into_iter();
        pairs.map(|(pair, (order, _))| (pair, order)).collect()
    }

    /// The pairs of a key, each with its property and the place of that in the section.
    fn pair_lists(&mut self, key: &'static str) -> Vec<Given<'a, (String, String)>> {
        self.known.insert(key, Use::Repeatable);
        let mut pairs = Vec::new();
        for (order, property) in self.section.properties.iter().enumerate() {
            if property.key != key {
                continue;
            }
            if let Some((first, rest)) = words::key_and_rest(&property.value) {
                let pair = (self.expand(property, first), self.expand(property, rest));
                pairs.push((pair, (order, property)));
            } else if let Some((first, rest)) =
                words::key_and_rest(&self.expand(property, &property.value))
            {
                pairs.push(((first.to_owned(), rest.to_owned()), (order, property)));
            } else {
                self.problems.error(
                    &property.place,
                    Some(key),
                    "needs a word, a blank and a value",
                );
            }
        }
        pairs
    }

    /// The value of a key that is a map or a list of maps, which only YAML has.
    pub fn nested(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.entry(key).or_insert(Use::Single);
        self.maps.insert(key);
        self.section.map_of(key)
    }

    /// The sections that `upstream` names: those that stand in the configuration under that name, or else those of a file.
    pub fn upstream(&mut self, key: &'static str) -> Option<Vec<Section>> {
        let (name, _) = self.single(key)?;
        let is_named = |section: &Section| {
            let mut properties = section.properties.iter();
            let own = properties.find(|property| property.key == "name");
            own.is_some_and(|own| self.variables.expand(&own.value).text == name)
        };
        let start = self
            .neighbours
            .iter()
            .position(|section| section.kind == SectionKind::Upstream && is_named(section));
        let Some((upstream, behind)) = start
            .and_then(|start| self.neighbours.get(start..))
            .and_then(<[Section]>::split_first)
        else {
            return self.file(key, Role::Upstream);
        };
        let nodes = behind.iter();
        let nodes = nodes.take_while(|section| section.kind == SectionKind::Node);
        Some(std::iter::once(upstream).chain(nodes).cloned().collect())
    }

    /// The sections of the file that a key names; none if it cannot be read, which is reported.
    pub fn file(&mut self, key: &'static str, role: Role) -> Option<Vec<Section>> {
        let (name, property) = self.single(key)?;
        let directory = self.directory;
        Some(load_named(&name, property, directory, role, self.problems))
    }

    /// Whether a key that begins so is there.
    pub fn has_any(&self, prefix: &str) -> bool {
        let mut properties = self.section.properties.iter();
        properties.any(|property| property.key.starts_with(prefix))
    }

    /// What a variable of the environment holds; an empty one counts as not set.
    pub fn variable(&self, name: &str) -> Option<&'a str> {
        self.variables.get(name)
    }

    /// Takes keys for known that have no effect; each one given is warned about. `prefix.*` stands
    /// for many.
    pub fn accept(&mut self, keys: &[&'static str]) {
        self.known
            .extend(keys.iter().map(|&key| (key, Use::NoEffect)));
    }

    /// Whether a key was asked for so far, or taken for known.
    pub fn knows(&self, key: &str) -> bool {
        self.known.contains_key(key)
    }

    /// The keys asked for so far that have an effect, for a help text.
    pub fn keys(&self) -> Vec<&'static str> {
        let effective = self
            .known
            .iter()
            .filter(|(_, usage)| !matches!(usage, Use::NoEffect));
        effective
            .map(|(&key, _)| key)
            .filter(|key| *key != "name")
            .collect()
    }

    /// Makes unknown keys warnings, as for plugins that ignored them.
    pub fn tolerate_unknown(&mut self) {
        self.tolerant = true;
    }

    /// Reports a mistake in the value of a key, at its line if it is given.
    pub fn error(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place_of(key);
        self.problems.error(place, Some(key), message);
    }

    /// The value of a key in a message: as written, so that no variable is shown, and not at all if
    /// the key is secret.
    pub fn shown(&self, key: &str) -> String {
        self.written(key).map_or_else(String::new, shown)
    }

    /// As [`error`](Self::error), of one of several values.
    pub fn error_at(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.problems.error(place, Some(key), message);
    }

    /// Reports something the user should know about a key.
    pub fn warning(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place_of(key);
        self.problems.warning(place, Some(key), message);
    }

    /// Reports a mistake that Fluent Bit overlooks; `instead` says what is done at a start all the
    /// same.
    pub fn lapse(&mut self, key: &str, message: impl Into<String>, instead: &str) {
        let place = self.place_of(key);
        self.problems
            .lapse(place, Some(key), message.into(), instead);
    }

    /// Where a key stands, or the section if it does not.
    pub fn place_of(&self, key: &str) -> &'a Place {
        self.written(key)
            .map_or(&self.section.place, |property| &property.place)
    }

    /// The property that counts. In plugins and `[SERVICE]` the last of several wins, elsewhere and
    /// for `Name` the first.
    pub(super) fn written(&self, key: &str) -> Option<&'a Property> {
        let mut given = self
            .section
            .properties
            .iter()
            .filter(|property| property.key == key);
        let kind = self.section.kind;
        if key != "name" && (kind.is_plugin() || kind == SectionKind::Service) {
            given.next_back()
        } else {
            given.next()
        }
    }

    /// The expanded value of a key that may stand once, if it is not empty.
    fn single(&mut self, key: &'static str) -> Option<(String, &'a Property)> {
        self.known.insert(key, Use::Single);
        let property = self.written(key)?;
        let text = self.expand(property, &property.value);
        (!text.is_empty()).then_some((text, property))
    }

    fn repeated(&mut self, key: &'static str) -> impl Iterator<Item = &'a Property> + use<'a> {
        self.known.insert(key, Use::Repeatable);
        self.section
            .properties
            .iter()
            .filter(move |property| property.key == key)
    }

    /// Expands `raw`, a part of the property's value.
    fn expand(&mut self, property: &Property, raw: &str) -> String {
        let expanded = self.variables.expand(raw);
        for name in &expanded.unset {
            let message = format!("variable `${{{}}}` is used but not set", shortened(name));
            self.problems
                .warning(&property.place, Some(&property.key), message);
        }
        expanded.text
    }

    /// A value that `parse` understands, or the first word of which it does: text behind that is
    /// taken for the comment it was meant to be.
    fn parsed<T>(
        &mut self,
        key: &'static str,
        garbage: Garbage,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (text, property) = self.single(key)?;
        if let Some(value) = parse(&text) {
            return Some(value);
        }
        let place = &property.place;
        if let Some(value) = text.split_ascii_whitespace().next().and_then(parse) {
            let message = "only the first word counts: a comment needs a line of its own";
            self.problems.warning(place, Some(key), message);
            return Some(value);
        }
        let message = format!("{} {what}", shown(property));
        match garbage {
            Garbage::Refused => self.problems.error(place, Some(key), message),
            Garbage::Overlooked => self.problems.lapse(place, Some(key), message, DEFAULT),
        }
        None
    }

    /// Whether Fluent Bit takes unknown keys and switches that are neither on nor off.
    fn is_lenient(&self) -> bool {
        use SectionKind as Kind;
        matches!(
            self.section.kind,
            Kind::Service | Kind::Parser | Kind::MultilineParser
        )
    }

    /// The lists of a key, each with its property and the place of that in the section.
    fn word_lists(
        &mut self,
        key: &'static str,
        count: &RangeInclusive<usize>,
        quotes: Quotes,
    ) -> Vec<Given<'a, Vec<String>>> {
        self.known.insert(key, Use::Repeatable);
        let mut lists = Vec::new();
        for (order, property) in self.section.properties.iter().enumerate() {
            if property.key != key {
                continue;
            }
            let words = self.split(property, *count.start(), quotes);
            if count.contains(&words.len()) {
                lists.push((words, (order, property)));
            } else {
                let message = format!(
                    "has {} words, not {}; quote words that belong together",
                    words.len(),
                    amount(count)
                );
                self.problems.error(&property.place, Some(key), message);
            }
        }
        lists
    }

    /// Splits, then expands; a variable is split only where there would be too few words otherwise.
    fn split(&mut self, property: &Property, fewest: usize, quotes: Quotes) -> Vec<String> {
        let written = words::split(&property.value, quotes);
        if written.len() < fewest {
            return words::split(&self.expand(property, &property.value), quotes);
        }
        written
            .iter()
            .map(|word| self.expand(property, word))
            .collect()
    }
}

fn with_places(lists: Vec<(Vec<String>, (usize, &Property))>) -> Vec<(Vec<String>, Place)> {
    let lists = lists.into_iter();
    lists
        .map(|(words, (_, property))| (words, property.place.clone()))
        .collect()
}

/// A value in a message: as written, so that no variable is shown, and not at all if the key is
/// secret.
fn shown(property: &Property) -> String {
    if is_secret(&property.key) {
        "the value".to_owned()
    } else {
        format!("`{}`", shortened(&property.value))
    }
}

/// How many words are right, in words.
fn amount(count: &RangeInclusive<usize>) -> String {
    match (*count.start(), *count.end()) {
        (fewest, most) if fewest == most => fewest.to_string(),
        (fewest, usize::MAX) => format!("{fewest} or more"),
        (fewest, most) => format!("{fewest} to {most}"),
    }
}

#[cfg(test)]
mod tests;
