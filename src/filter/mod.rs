//! Filters: the trait, the registry, and the chain that runs over one view of a record.
//!
//! A filter is synchronous and runs in the task of the connection that brought the event. It sees a [`View`]: the pairs of
//! the record as slices, and an arena for bytes that it adds. The record is encoded once, behind the last filter, and
//! only if one of them changed it. Filters that do more than look at one event are [`Operator`]s (`operator.rs`); they have a
//! table of their own.

mod grep;
mod operator;
mod record_modifier;
mod rewrite_tag;
mod template;
mod view;

pub use operator::{
    Counts, Emitted, HOPS_MAX, MakeOperator, Operator, Origin, Outbox, Passage, Way,
};
pub use view::{Scratch, View};

use crate::config::Settings;
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
}

/// Makes a filter from its section; mistakes go to the section's problems.
type Build = fn(&mut Settings<'_>, Means<'_>) -> Box<dyn Filter>;

/// Makes an operator's maker from its section.
type BuildOperator = fn(&mut Settings<'_>, Means<'_>) -> Box<dyn MakeOperator>;

/// Every filter, under the `Name` that selects it. Alphabetical.
const FILTERS: &[(&str, Build)] = &[
    ("grep", grep::build),
    ("record_modifier", record_modifier::build),
];

/// Every filter that is an operator, likewise.
const OPERATORS: &[(&str, BuildOperator)] = &[("rewrite_tag", rewrite_tag::build)];

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

/// The names of all filters.
pub fn names() -> impl Iterator<Item = &'static str> {
    let filters = FILTERS.iter().map(|(name, _)| *name);
    filters.chain(OPERATORS.iter().map(|(name, _)| *name))
}
