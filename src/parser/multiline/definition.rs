//! A multiline parser as it is defined.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Settings;
use crate::parser::Parser;
use crate::regex::Regex;

/// How the end of a message is found.
#[derive(Debug)]
pub(super) enum Kind {
    /// By rules, from line to line.
    Rules(Vec<Rule>),
    /// By a text at the end of its last line.
    EndsWith(Ending),
    /// By a text that its last line is.
    Equal(Ending),
}

/// The text that ends a message, or, negated, says that it goes on.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) text: Box<[u8]>,
    pub(super) is_negated: bool,
}

/// A step from one state to another.
#[derive(Debug)]
pub(super) struct Rule {
    /// Whether it begins a message.
    pub(super) is_start: bool,
    pub(super) pattern: Regex,
    /// The rules that may follow, none of them a start.
    pub(super) next: Vec<usize>,
    /// Whether a message ends with it: it leads back to a start.
    pub(super) is_last: bool,
}

/// A multiline parser.
#[derive(Debug)]
pub struct Definition {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) key_content: Option<Box<[u8]>>,
    pub(super) key_pattern: Option<Box<[u8]>>,
    pub(super) key_group: Option<Box<[u8]>>,
    /// What makes a record of a line first.
    pub(super) parser: Option<Arc<Parser>>,
    pub(super) flush_timeout: Duration,
}

/// How long a message waits for its next line, if nothing says otherwise.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(4);

/// A rule as written.
pub(super) struct WrittenRule<'r> {
    /// Names of states, with commas between them.
    pub(super) from: &'r str,
    pub(super) pattern: &'r str,
    /// The name of a state, or nothing: nothing follows.
    pub(super) to: &'r str,
}

impl Definition {
    /// Its name, as written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long a message waits for its next line.
    pub fn flush_timeout(&self) -> Duration {
        self.flush_timeout
    }

    /// The key whose text it joins, if it says.
    pub fn key_content(&self) -> Option<&[u8]> {
        self.key_content.as_deref()
    }

    /// Reads a `[MULTILINE_PARSER]` section; `None`, and a problem, where it makes no parser. `parser` finds a `[PARSER]` by its
    /// name.
    pub(in crate::parser) fn read(
        settings: &mut Settings<'_>,
        parser: impl Fn(&str) -> Option<Arc<Parser>>,
    ) -> Option<Self> {
        let mut key = |name| settings.text(name).map(|key| key.into_bytes().into());
        let (key_content, key_pattern) = (key("key_content"), key("key_pattern"));
        let key_group = key("key_group");
        let flush_timeout = settings
            .integer_in("flush_timeout", 0..=i64::from(u32::MAX))
            .map(|millis| Duration::from_millis(millis.unsigned_abs()));
        let parser = settings.text("parser").and_then(|name| {
            let found = parser(&name);
            if found.is_none() {
                let message = format!("there is no parser `{name}`");
                settings.lapse("parser", message, "lines are taken as they are");
            }
            found
        });
        Some(Self {
            name: settings.name().to_owned(),
            kind: kind(settings)?,
            key_content,
            key_pattern,
            key_group,
            parser,
            flush_timeout: flush_timeout.unwrap_or(FLUSH_TIMEOUT),
        })
    }
}

fn kind(settings: &mut Settings<'_>) -> Option<Kind> {
    let kind = settings
        .required("type")
        .and(settings.choice("type", &["regex", "endswith", "equal", "eq"]));
    let text = settings.text("match_string");
    let is_negated = settings.flag("negate", false);
    let written = settings.words("rule", 2..=3);
    let kind = kind?;
    if kind == "regex" {
        let rules: Vec<_> = written
            .iter()
            .filter_map(|(words, _)| as_rule(words))
            .collect();
        if rules.is_empty() {
            settings.lapse("rule", "there is none", "this parser takes no line");
        }
        return rules_of(&rules)
            .map_err(|message| settings.error("rule", message))
            .ok()
            .map(Kind::Rules);
    }
    let Some(text) = text else {
        settings.required("match_string");
        return None;
    };
    let ending = Ending {
        text: text.into_bytes().into(),
        is_negated,
    };
    Some(match kind {
        "endswith" => Kind::EndsWith(ending),
        _ => Kind::Equal(ending),
    })
}

fn as_rule(words: &[String]) -> Option<WrittenRule<'_>> {
    let (from, rest) = words.split_first()?;
    let (pattern, to) = rest.split_first()?;
    Some(WrittenRule {
        from,
        pattern,
        to: to.first().map_or("", String::as_str),
    })
}

/// The states a rule starts from.
fn states(from: &str) -> impl Iterator<Item = &str> {
    from.split(',')
        .map(str::trim)
        .filter(|state| !state.is_empty())
}

const START: &str = "start_state";

/// Connects rules by the names of their states.
pub(super) fn rules_of(written: &[WrittenRule<'_>]) -> Result<Vec<Rule>, String> {
    let is_start = |rule: &WrittenRule<'_>| states(rule.from).any(|state| state == START);
    if written.first().is_some_and(|first| !is_start(first)) {
        return Err(format!("the first rule has to begin at `{START}`"));
    }
    let mut rules = Vec::with_capacity(written.len());
    for rule in written {
        let follows = |other: &WrittenRule<'_>| states(other.from).any(|state| state == rule.to);
        let following: Vec<_> = (0..written.len())
            .filter(|&other| written.get(other).is_some_and(follows))
            .collect();
        if following.is_empty() && !rule.to.is_empty() {
            return Err(format!("no rule begins at the state `{}`", rule.to));
        }
        let (starts, next): (Vec<_>, Vec<_>) = following
            .into_iter()
            .partition(|&other| written.get(other).is_some_and(is_start));
        rules.push(Rule {
            is_start: is_start(rule),
            pattern: Regex::new(rule.pattern).map_err(|error| error.to_string())?,
            next,
            is_last: !starts.is_empty(),
        });
    }
    Ok(rules)
}
