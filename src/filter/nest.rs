//! `nest`: gathers pairs into a map, or takes a map apart.
//!
//! | setting | effect |
//! |---|---|
//! | `Operation` | `nest` or `lift` |
//! | `Wildcard KEY` | nest: what to gather, repeatable; a trailing `*` makes a prefix |
//! | `Nest_under KEY` | nest: the name of the new map, which is appended |
//! | `Nested_under KEY` | lift: the map whose pairs are appended to the record |
//! | `Add_prefix`, `Remove_prefix` | change the names of what is moved |
//!
//! <https://docs.fluentbit.io/manual/pipeline/filters/nest>

use super::pattern::{KeyPattern, encoded};
use super::{Filter, Means, Verdict, View};
use crate::config::Settings;
use crate::msgpack::write;
use crate::telemetry::log::Limiter;

enum Prefix {
    None,
    Add(Box<[u8]>),
    Remove(Box<[u8]>),
}

impl Prefix {
    /// Appends the new name of a key, encoded; gives whether it has one.
    fn rename(&self, key: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Self::None => return false,
            Self::Add(prefix) => write::strs(out, &[prefix, key]),
            Self::Remove(prefix) => match key.strip_prefix(&**prefix) {
                Some(rest) => write::str(out, rest),
                None => return false,
            },
        }
        true
    }
}

enum Operation {
    Nest {
        under: Vec<u8>,
        wanted: Vec<KeyPattern>,
    },
    Lift {
        under: Box<[u8]>,
    },
    /// The name of the map is missing, and so nothing is done, as in Fluent Bit.
    Nothing,
}

struct Nest {
    operation: Operation,
    prefix: Prefix,
    refused: Limiter,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let operation = settings.required("operation").unwrap_or_default();
    let wanted = settings.all("wildcard");
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(text, _)| KeyPattern::new(text))
        .collect();
    let nest_under = settings.text("nest_under");
    let nested_under = settings.text("nested_under");
    let prefix = prefix(settings);
    let under = nest_under.or(nested_under);
    // Fluent Bit looks at four characters, in lower case.
    let operation = match (operation.get(..4), under) {
        (Some("nest"), Some(under)) => Operation::Nest {
            under: encoded(&under),
            wanted,
        },
        (Some("lift"), Some(under)) => Operation::Lift {
            under: under.as_bytes().into(),
        },
        (Some(known @ ("nest" | "lift")), None) => {
            let key = if known == "nest" {
                "nest_under"
            } else {
                "nested_under"
            };
            settings.lapse(key, "missing or empty", "the filter does nothing");
            Operation::Nothing
        }
        _ => {
            if !operation.is_empty() {
                settings.error("operation", "write nest or lift");
            }
            Operation::Nothing
        }
    };
    Box::new(Nest {
        operation,
        prefix,
        refused: Limiter::default(),
    })
}

fn prefix(settings: &mut Settings<'_>) -> Prefix {
    let add = settings.text("prefix_with");
    let add = settings.text("add_prefix").or(add);
    let remove = settings.text("remove_prefix");
    match (add, remove) {
        (None, None) => Prefix::None,
        (Some(prefix), None) => Prefix::Add(prefix.as_bytes().into()),
        (None, Some(prefix)) => Prefix::Remove(prefix.as_bytes().into()),
        (Some(_), Some(_)) => {
            settings.error(
                "remove_prefix",
                "Add_prefix and Remove_prefix exclude each other",
            );
            Prefix::None
        }
    }
}

impl Filter for Nest {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        let rename = |key: &[u8], out: &mut Vec<u8>| self.prefix.rename(key, out);
        let refused = match &self.operation {
            Operation::Nest { under, wanted } => {
                let is_wanted = |key: &[u8]| wanted.iter().any(|pattern| pattern.matches(key));
                (!record.nest(under, is_wanted, rename)).then_some("values are nested too deep")
            }
            Operation::Lift { under } => {
                (!record.lift(under, rename)).then_some("a value to lift is no map")
            }
            Operation::Nothing => None,
        };
        if let Some(reason) = refused
            && let Some(more) = self.refused.admit()
        {
            crate::warning!("filter:nest", "{reason}; the record stays as it is{more}");
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, refused};
    use super::*;

    /// Checklist: filters 28
    #[test]
    fn pairs_are_gathered_at_the_end() {
        check(
            build,
            &[
                ("operation", "nest"),
                ("wildcard", "container_*"),
                ("wildcard", "source"),
                ("nest_under", "docker"),
            ],
            &[
                (
                    r#"{"container_id":"c","log":"l","source":"stdout","sources":1}"#,
                    r#"{"log":"l","sources":1,"docker":{"container_id":"c","source":"stdout"}}"#,
                ),
                (r#"{"log":"l"}"#, "="),
                (r#"{"Source":1}"#, "="),
                (
                    r#"{"docker":1,"source":2}"#,
                    r#"{"docker":1,"docker":{"source":2}}"#,
                ),
            ],
        );
        check(
            build,
            &[
                ("operation", "nest"),
                ("wildcard", "*"),
                ("nest_under", "all"),
            ],
            &[
                (r#"{"a":1,"b":2}"#, r#"{"all":{"a":1,"b":2}}"#),
                ("{}", "="),
            ],
        );
    }

    /// Checklist: filters 28, 29
    #[test]
    fn names_lose_or_get_a_prefix() {
        check(
            build,
            &[
                ("operation", "nest"),
                ("wildcard", "ecs_*"),
                ("nest_under", "ecs"),
                ("remove_prefix", "ecs_"),
            ],
            &[
                (
                    r#"{"ecs_cluster":"c","log":"x"}"#,
                    r#"{"log":"x","ecs":{"cluster":"c"}}"#,
                ),
                (r#"{"ecs_":1}"#, r#"{"ecs":{"":1}}"#),
            ],
        );
        check(
            build,
            &[
                ("operation", "lift"),
                ("nested_under", "kubernetes"),
                ("add_prefix", "k8s_"),
            ],
            &[(
                r#"{"log":"x","kubernetes":{"pod":"p","labels":{"tier":"f"}}}"#,
                r#"{"log":"x","k8s_pod":"p","k8s_labels":{"tier":"f"}}"#,
            )],
        );
    }

    /// Checklist: filters 29
    #[test]
    fn a_map_is_taken_apart() {
        check(
            build,
            &[("operation", "lift"), ("nested_under", "n")],
            &[
                (r#"{"n":{"z":"in"},"z":"out"}"#, r#"{"z":"out","z":"in"}"#),
                (r#"{"n":"str"}"#, "="),
                (r#"{"n":{},"z":2}"#, r#"{"z":2}"#),
                (r#"{"a":1}"#, "="),
                (r#"{"n":{"n":{"x":1}}}"#, r#"{"n":{"x":1}}"#),
            ],
        );
    }

    /// Checklist: filters 30
    #[test]
    fn what_contradicts_itself_is_refused() {
        refused(build, &[("operation", "flatten")], "write nest or lift");
        refused(build, &[], "needs it");
        refused(
            build,
            &[
                ("operation", "lift"),
                ("nested_under", "n"),
                ("add_prefix", "a"),
                ("remove_prefix", "b"),
            ],
            "exclude each other",
        );
    }
}
