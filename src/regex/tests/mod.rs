//! What the module promises, seen from outside.

/// Onigmo's behaviour, one construct at a time; the expected places are its own.
mod constructs;
/// The conformance cases of the filters, pattern by pattern.
mod filters;
/// Patterns of parsers and examples in the wild.
mod known;
/// No pattern and no text does harm.
mod laws;
/// What is refused, and what the message says.
mod refusals;

use super::{Captures, Regex};

/// The whole match and its groups, in the notation of [`constructs`].
fn found(pattern: &str, text: &[u8]) -> String {
    let regex = Regex::new(pattern).unwrap_or_else(|error| panic!("{error}"));
    let mut captures = Captures::default();
    let found = regex.captures(text, &mut captures);
    assert_eq!(
        regex.is_match(text),
        found,
        "{pattern} on {text:?}: is_match and captures differ"
    );
    if !found {
        return "none".to_owned();
    }
    let groups = (0..captures.slots.len() / 2).map(|group| match captures.get(group) {
        Some(place) => format!("{}-{}", place.start, place.end),
        None => "?".to_owned(),
    });
    groups.collect::<Vec<_>>().join(" ")
}
