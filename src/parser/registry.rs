//! Every parser of a configuration, under its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Parser;
use crate::config::{Problems, Section, SectionKind, Settings, Variables};

/// The parsers that `[PARSER]` sections define, in whichever file they stand. Names are case-sensitive.
#[derive(Debug, Default)]
pub struct Parsers(BTreeMap<String, Arc<Parser>>);

impl Parsers {
    /// Reads all parser sections among `sections`. A name that is taken is an error.
    pub fn read<'s>(
        sections: impl IntoIterator<Item = &'s Section>,
        variables: &Variables,
        problems: &mut Problems,
    ) -> Self {
        let mut parsers = BTreeMap::new();
        let sections = sections.into_iter();
        for section in sections.filter(|section| section.kind == SectionKind::Parser) {
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
        Self(parsers)
    }

    /// The parser of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Parser>> {
        self.0.get(name).cloned()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
