//! Filters: the trait, the registry, and the chain that runs over one view of a record.
//!
//! A filter is synchronous and runs in the task of the connection that brought the event. It sees a [`View`]: the pairs of
//! the record as slices, and an arena for bytes that it adds. The record is encoded once, behind the last filter, and
//! only if one of them changed it. Filters that do more than look at one event are [`Operator`]s (`operator.rs`); they have a
//! table of their own.

mod aws;
mod checklist;
mod condition;
mod content_modifier;
mod ecs;
mod expect;
#[cfg(test)]
mod fake;
mod grep;
mod halt;
mod inert;
mod kubernetes;
#[cfg(test)]
mod laws;
mod log_to_metrics;
mod lookup;
mod lua;
mod modify;
mod multiline;
mod nest;
mod operator;
mod parser;
mod pattern;
mod record_modifier;
mod rewrite_tag;
mod sql;
#[cfg(test)]
mod stand;
mod stdout;
mod sysinfo;
#[cfg(test)]
mod testing;
mod throttle;
mod type_converter;
mod view;

pub use condition::Condition;
pub use halt::Halt;
pub use operator::{
    Counts, Emitted, HOPS_MAX, MakeOperator, Operator, Origin, Outbox, Passage, Way,
};
pub use sql::{Task as StreamTask, TaskSource};
pub use view::{End, Parsing, Scratch, View};

use std::path::{Path, PathBuf};

use condition::Conditional;

use crate::config::{Settings, Variables};
use crate::parser::Parsers;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the next filter.
    Keep,
    /// The filter was told to drop such events; counted as filtered.
    Drop,
    /// The event is an operator's now, which holds it or has put it out in another form.
    Taken,
}

/// One filter of the chain.
pub trait Filter: Send + Sync {
    /// Looks at one record and may change it.
    fn apply(&self, record: &mut View<'_>) -> Verdict;
}

/// What a filter may use while it is built.
#[derive(Debug, Clone, Copy)]
pub struct Means<'m> {
    /// The parsers of the configuration.
    pub parsers: &'m Parsers,
    /// The variables of the configuration.
    pub variables: &'m Variables,
    /// Where relative names of files start that the working folder lacks.
    pub directory: &'m Path,
    /// Ends the process.
    pub halt: &'m Halt,
}

impl Means<'_> {
    /// The file that a setting names: as it stands if there is such a file, else from the configuration's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        let as_written = PathBuf::from(name);
        if as_written.exists() {
            as_written
        } else {
            self.directory.join(name)
        }
    }
}

/// Makes a filter from its section; mistakes go to the section's problems.
type Build = fn(&mut Settings<'_>, Means<'_>) -> Box<dyn Filter>;

/// Makes an operator's maker from its section.
type BuildOperator = fn(&mut Settings<'_>, Means<'_>) -> Box<dyn MakeOperator>;

/// Every filter, under the `Name` that selects it. Alphabetical.
const FILTERS: &[(&str, Build)] = &[
    ("checklist", checklist::build),
    ("expect", expect::build),
    ("grep", grep::build),
    ("log_to_metrics", log_to_metrics::build),
    ("modify", modify::build),
    ("nest", nest::build),
    ("parser", parser::build),
    ("record_modifier", record_modifier::build),
    ("stdout", stdout::build),
    ("sysinfo", sysinfo::build),
    ("throttle", throttle::build),
    ("type_converter", type_converter::build),
];

/// What only a list of processors may name, beside the filters. Alphabetical.
const PROCESSORS: &[(&str, Build)] = &[
    ("content_modifier", content_modifier::build),
    ("cumulative_to_delta", inert::build),
    ("labels", inert::build),
    ("metrics_selector", inert::build),
    ("opentelemetry_envelope", inert::build),
    ("sampling", inert::build),
    ("sql", sql::build),
    ("tda", inert::build),
];

/// Every filter that is an operator, likewise.
const OPERATORS: &[(&str, BuildOperator)] = &[
    ("aws", aws::build),
    ("ecs", ecs::build),
    ("kubernetes", kubernetes::build),
    ("lua", lua::build),
    ("multiline", multiline::build),
    ("rewrite_tag", rewrite_tag::build),
];

/// What a section of the configuration adds to the chain.
pub enum Link {
    /// A filter, shared by all streams.
    Filter(Box<dyn Filter>),
    /// An operator for each stream.
    Operator(Box<dyn MakeOperator>),
}

/// How to build one kind of link.
#[derive(Clone, Copy)]
pub enum Builder {
    /// A filter.
    Filter(Build),
    /// An operator.
    Operator(BuildOperator),
}

impl Builder {
    /// Reads the section.
    pub fn build(self, settings: &mut Settings<'_>, means: Means<'_>) -> Link {
        match self {
            Self::Filter(build) => Link::Filter(build(settings, means)),
            Self::Operator(build) => Link::Operator(build(settings, means)),
        }
    }
}

impl Builder {
    /// Reads the section of a processor, which may have a `condition`.
    pub fn build_processor(self, settings: &mut Settings<'_>, means: Means<'_>) -> Link {
        let condition = Condition::read(settings);
        match (self.build(settings, means), condition) {
            (link, None) => link,
            (Link::Filter(filter), Some(condition)) => {
                Link::Filter(Box::new(Conditional::new(condition, filter)))
            }
            (link, Some(_)) => {
                let message = "this processor looks at more than one record and can have none";
                settings.error("condition", message);
                link
            }
        }
    }
}

/// How to build the filter called `name`.
pub fn find(name: &str) -> Option<Builder> {
    let filters = FILTERS
        .iter()
        .map(|(known, build)| (*known, Builder::Filter(*build)));
    let operators = OPERATORS
        .iter()
        .map(|(known, build)| (*known, Builder::Operator(*build)));
    filters
        .chain(operators)
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, builder)| builder)
}

/// How to build the processor of logs called `name`; every filter is one.
pub fn find_processor(name: &str) -> Option<Builder> {
    PROCESSORS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, build)| Builder::Filter(*build))
        .or_else(|| find(name))
}

/// The names of what [`find_processor`] knows and [`find`] does not.
pub fn processor_names() -> impl Iterator<Item = &'static str> {
    PROCESSORS.iter().map(|(name, _)| *name)
}

/// The names of all filters.
pub fn names() -> impl Iterator<Item = &'static str> {
    let filters = FILTERS.iter().map(|(name, _)| *name);
    filters.chain(OPERATORS.iter().map(|(name, _)| *name))
}
