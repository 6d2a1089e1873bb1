//! What became of each key of a section, for `sluice explain`.

use super::env::{Variables, next_reference};
use super::secret::{is_secret, public_part};
use super::section::{Place, Property, SectionKind};

/// A section as its plugin read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the section configures.
    pub kind: SectionKind,
    /// Where it begins.
    pub place: Place,
    /// The keys that stand in it, in their order.
    pub given: Vec<Given>,
    /// The keys that have an effect and are left at their defaults, sorted.
    pub unset: Vec<&'static str>,
}

/// A key that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The key.
    pub key: String,
    /// The value, fit to be shown: as written, and not at all if it may be a credential.
    pub value: String,
    /// Where it stands.
    pub place: Place,
    /// What it does.
    pub effect: Effect,
}

/// What a given key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It counts.
    Used,
    /// The same key stands elsewhere in the section and counts instead.
    Overridden,
    /// It is accepted for Fluent Bit's sake.
    Nothing,
    /// Nobody knows it.
    Unknown,
}

/// A value fit to be shown, with what its variables are: set, or not.
pub(super) fn shown(property: &Property, effect: Effect, variables: &Variables) -> String {
    let value = &property.value;
    let is_reference = next_reference(value)
        .is_some_and(|(before, _, after)| before.is_empty() && after.is_empty());
    let hidden = is_secret(&property.key) || effect == Effect::Unknown;
    if hidden && !is_reference {
        return "(not shown)".to_owned();
    }
    let expanded = variables.expand(value);
    let mut text = public_part(value).into_owned();
    for name in &expanded.unset {
        text = format!("{text} (${{{name}}} is not set)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_as_written_unless_it_may_be_a_credential() {
        let variables = Variables::from_pairs([("KEY", "hunter2")]);
        for (key, value, effect, expected) in [
            ("match", "${KEY}.*", Effect::Used, "${KEY}.*"),
            ("match", "${NO}x", Effect::Used, "${NO}x (${NO} is not set)"),
            ("apikey", "hunter2", Effect::Used, "(not shown)"),
            ("apikey", "${KEY}", Effect::Used, "${KEY}"),
            ("apikye", "hunter2", Effect::Unknown, "(not shown)"),
            ("uri", "http://u:hunter2@h/", Effect::Used, "http:// …"),
        ] {
            let property = Property {
                key: key.to_owned(),
                value: value.to_owned(),
                place: Place::command_line(),
            };
            assert_eq!(shown(&property, effect, &variables), expected);
        }
    }
}
