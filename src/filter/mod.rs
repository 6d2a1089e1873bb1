//! Filters: the trait, the registry, and the chain that runs over one view of a record.
//!
//! A filter is synchronous and runs in the task of the connection that brought the event. It sees a [`View`]: the pairs of
//! the record as slices, and an arena for bytes that it adds. The record is encoded once, behind the last filter, and
//! only if one of them changed it.

mod grep;
mod record_modifier;
mod view;

pub use view::{Scratch, View};

use crate::config::Settings;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the next filter.
    Keep,
    /// The filter was told to drop such events; counted as filtered.
    Drop,
}

/// One filter of the chain.
pub trait Filter: Send + Sync {
    /// Looks at one record and may change it.
    fn apply(&self, record: &mut View<'_>) -> Verdict;
}

/// Makes a filter from its section; mistakes go to the section's problems.
type Build = fn(&mut Settings<'_>) -> Box<dyn Filter>;

/// Every filter, under the `Name` that selects it. Alphabetical.
const FILTERS: &[(&str, Build)] = &[
    ("grep", grep::build),
    ("record_modifier", record_modifier::build),
];

/// How to build the filter called `name`.
pub fn find(name: &str) -> Option<Build> {
    FILTERS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, build)| *build)
}

/// The names of all filters.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().map(|(name, _)| *name)
}
