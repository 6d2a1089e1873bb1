//! The configuration as written: sections of properties, each with its place.
//!
//! This is the one form that every reader of a format produces and that everything after works
//! with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::env::Variables;
use super::node::{Entry, Node};

/// A file and a position in it, counted from 1; line 0 stands for the command line or for a file as
/// a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name as it was given or found, or `command line`.
    pub file: Arc<str>,
    /// The line, or 0.
    pub line: u32,
    /// The character in the line, or 0 for the line as a whole.
    pub column: u32,
}

impl Place {
    /// A line of a file.
    pub fn new(file: Arc<str>, line: u32) -> Self {
        Self {
            file,
            line,
            column: 0,
        }
    }

    /// The same line at a character.
    #[must_use]
    pub fn at(mut self, column: u32) -> Self {
        self.column = column;
        self
    }

    /// The place of everything that came as an argument of the process.
    pub fn command_line() -> Self {
        Self::new(Arc::from("command line"), 0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// One `key value` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key in lower case.
    pub key: String,
    /// The value as written, variables not expanded.
    pub value: String,
    /// Where it stands.
    pub place: Place,
}

/// What a section configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// `[SERVICE]`: the process as a whole.
    Service,
    /// `[INPUT]`: an instance of an input.
    Input,
    /// `[FILTER]`: an instance of a filter.
    Filter,
    /// `[OUTPUT]`: an instance of an output.
    Output,
    /// `[CUSTOM]`: an instance of a custom plugin.
    Custom,
    /// `[PARSER]`, in a parsers file.
    Parser,
    /// `[MULTILINE_PARSER]`, in a parsers file.
    MultilineParser,
    /// `[PLUGINS]`: shared objects to load.
    Plugins,
    /// `[STREAM_TASK]` or `[STREAM_PROCESSOR]`, in a streams file.
    StreamTask,
    /// `[UPSTREAM]`: the head of a file of nodes.
    Upstream,
    /// `[NODE]`: one node of an upstream.
    Node,
    /// An entry of `processors`, which only YAML has.
    Processor,
}

impl SectionKind {
    /// The names in files. Where one name begins another's, or an abbreviation fits several, the
    /// first row wins.
    pub(super) const NAMES: [(&'static str, Self); 16] = [
        ("service", Self::Service),
        ("parser", Self::Parser),
        ("multiline_parser", Self::MultilineParser),
        ("stream_processor", Self::StreamTask),
        ("stream_task", Self::StreamTask),
        ("plugins", Self::Plugins),
        ("upstream", Self::Upstream),
        ("node", Self::Node),
        ("custom", Self::Custom),
        ("customs", Self::Custom),
        ("input", Self::Input),
        ("inputs", Self::Input),
        ("filter", Self::Filter),
        ("filters", Self::Filter),
        ("output", Self::Output),
        ("outputs", Self::Output),
    ];

    /// The kind that a header names: any beginning of a known name, in any case (`[OUT]`, `[s]`).
    pub fn from_header(name: &str) -> Option<Self> {
        let begins = |full: &str| {
            full.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        let known = Self::NAMES.iter().find(|(full, _)| begins(full));
        known.filter(|_| !name.is_empty()).map(|&(_, kind)| kind)
    }

    /// The name in messages, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Input => "input",
            Self::Filter => "filter",
            Self::Output => "output",
            Self::Custom => "custom",
            Self::Parser => "parser",
            Self::MultilineParser => "multiline_parser",
            Self::Plugins => "plugins",
            Self::StreamTask => "stream_task",
            Self::Upstream => "upstream",
            Self::Node => "node",
            Self::Processor => "processor",
        }
    }

    /// Whether `Name` selects a plugin, and so is the same in any case.
    pub fn is_plugin(self) -> bool {
        matches!(
            self,
            Self::Input | Self::Filter | Self::Output | Self::Custom | Self::Processor
        )
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a file is read for, which decides the sections that count in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The main file and what it includes.
    Main,
    /// A `Parsers_File`.
    Parsers,
    /// A `Plugins_File`.
    Plugins,
    /// A `Streams_File`.
    Streams,
    /// A file that an output's `Upstream` names.
    Upstream,
}

impl Role {
    /// As [`takes`](Self::takes), in YAML, where the main file may hold all there is.
    pub(super) fn takes_in_yaml(self, kind: SectionKind) -> bool {
        self == Self::Main || self.takes(kind)
    }

    /// Whether sections of this kind have a meaning in such a file.
    pub(super) fn takes(self, kind: SectionKind) -> bool {
        use SectionKind as Kind;
        match self {
            Self::Main => kind.is_plugin() || matches!(kind, Kind::Service | Kind::Plugins),
            Self::Parsers => matches!(kind, Kind::Parser | Kind::MultilineParser),
            Self::Plugins => kind == Kind::Plugins,
            Self::Streams => kind == Kind::StreamTask,
            Self::Upstream => matches!(kind, Kind::Upstream | Kind::Node),
        }
    }
}

/// A header and the properties below it, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What the section configures.
    pub kind: SectionKind,
    /// Where the header stands.
    pub place: Place,
    /// The properties as written; keys may repeat.
    pub properties: Vec<Property>,
    /// Keys that hold maps, or lists of maps: `processors`, `routes`. Only YAML has them.
    pub nested: Vec<Entry>,
}

impl Section {
    /// A section without properties.
    pub fn new(kind: SectionKind, place: Place) -> Self {
        Self {
            kind,
            place,
            properties: Vec::new(),
            nested: Vec::new(),
        }
    }

    /// The value of a key that holds a map or a list of maps.
    pub fn map_of(&self, key: &str) -> Option<&Node> {
        let found = self.nested.iter().find(|entry| entry.key == key);
        found.map(|entry| &entry.value)
    }

    /// A section that no file holds, with these properties; keys are written in lower case.
    pub fn of_pairs(kind: SectionKind, pairs: &[(&str, &str)]) -> Self {
        let place = Place::command_line();
        let mut section = Self::new(kind, place.clone());
        section
            .properties
            .extend(pairs.iter().map(|(key, value)| Property {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
                place: place.clone(),
            }));
        section
    }
}

/// Everything the main file and its includes say.
#[derive(Clone, Debug)]
pub struct Config {
    /// All sections in the order in which they were read.
    pub sections: Vec<Section>,
    /// What `${NAME}` stands for, `@SET` of all files included.
    pub variables: Variables,
    /// The main file's folder, empty for the working folder: relative names that the working folder
    /// lacks start here.
    pub directory: PathBuf,
}

impl Config {
    /// All `[SERVICE]` sections as one, after `flags` from the command line: the last of equal keys
    /// counts, so a file wins over a flag, as in Fluent Bit.
    pub fn service(&self, flags: &[Property]) -> Section {
        let written = self
            .sections
            .iter()
            .filter(|section| section.kind == SectionKind::Service);
        let place = written
            .clone()
            .next()
            .map_or_else(Place::command_line, |section| section.place.clone());
        let nested = written.clone().flat_map(|section| &section.nested);
        let nested = nested.cloned().collect();
        let from_files = written.flat_map(|section| &section.properties);
        let properties = flags.iter().chain(from_files).cloned().collect();
        Section {
            kind: SectionKind::Service,
            place,
            properties,
            nested,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: engine 7; firelens 9
    #[test]
    fn headers_are_beginnings_of_names_in_any_case() {
        for (header, kind) in [
            ("SERVICE", Some(SectionKind::Service)),
            ("S", Some(SectionKind::Service)),
            ("str", Some(SectionKind::StreamTask)),
            ("OUT", Some(SectionKind::Output)),
            ("Outputs", Some(SectionKind::Output)),
            ("InPuT", Some(SectionKind::Input)),
            ("p", Some(SectionKind::Parser)),
            ("PL", Some(SectionKind::Plugins)),
            ("multiline", Some(SectionKind::MultilineParser)),
            ("", None),
            ("INPUTSS", None),
            (" INPUT", None),
            ("FITLER", None),
            ("ín", None),
        ] {
            assert_eq!(SectionKind::from_header(header), kind, "{header}");
        }
    }

    #[test]
    fn a_place_on_the_command_line_has_no_line() {
        assert_eq!(Place::command_line().to_string(), "command line");
        assert_eq!(Place::new(Arc::from("a.conf"), 7).to_string(), "a.conf:7");
    }
}
