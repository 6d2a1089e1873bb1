//! Every parser of a configuration, under its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Parser;
use super::multiline::{self, Definition};
use crate::config::{Problems, Section, SectionKind, Settings, Variables};

/// The parsers that `[PARSER]` and `[MULTILINE_PARSER]` sections define, in whichever file they stand.
#[derive(Debug, Default)]
pub struct Parsers {
    texts: BTreeMap<String, Arc<Parser>>,
    /// In the order of their sections.
    multiline: Vec<Arc<Definition>>,
    message_max: Option<usize>,
}

impl Parsers {
    /// Reads all parser sections among `sections`. A name that is taken is an error.
    pub fn read<'s>(
        sections: impl IntoIterator<Item = &'s Section, IntoIter: Clone>,
        variables: &Variables,
        problems: &mut Problems,
    ) -> Self {
        let mut parsers = BTreeMap::new();
        let sections = sections.into_iter();
        let of = |kind| sections.clone().filter(move |section| section.kind == kind);
        for section in of(SectionKind::Parser) {
            let mut settings = Settings::new(section, variables, problems);
            let name = settings.name().to_owned();
            if parsers.contains_key(&name) {
                settings.error(
                    "name",
                    format!("there is a parser `{name}` already; give one of the two another name"),
                );
            }
            let parser = Parser::read(&mut settings);
            settings.finish();
            if let Some(parser) = parser {
                parsers.insert(name, Arc::new(parser));
            }
        }
        let mut multiline = Vec::new();
        for section in of(SectionKind::MultilineParser) {
            let mut settings = Settings::new(section, variables, problems);
            let definition = Definition::read(&mut settings, |name| parsers.get(name).cloned());
            settings.finish();
            multiline.extend(definition.map(Arc::new));
        }
        Self {
            texts: parsers,
            multiline,
            message_max: None,
        }
    }

    /// The same with another limit for the text of joined messages.
    #[must_use]
    pub fn with_message_max(mut self, bytes: Option<usize>) -> Self {
        self.message_max = bytes;
        self
    }

    /// The most text of a joined message, in bytes.
    pub fn message_max(&self) -> usize {
        self.message_max.unwrap_or(multiline::MESSAGE_MAX)
    }

    /// The parser of this name, which is case-sensitive.
    pub fn get(&self, name: &str) -> Option<Arc<Parser>> {
        self.texts.get(name).cloned()
    }

    /// The multiline parser of this name, in any case: one that is built in, or the first that was defined.
    pub fn multiline(&self, name: &str) -> Option<Arc<Definition>> {
        let is_it = |definition: &&Arc<Definition>| definition.name().eq_ignore_ascii_case(name);
        multiline::find(name)
            .map(Arc::new)
            .or_else(|| self.multiline.iter().find(is_it).cloned())
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }
}
