//! `grep`: keeps or drops records by regular expressions on a value.
//!
//! | setting | effect |
//! |---|---|
//! | `Regex KEY PATTERN` | keep what matches; repeatable |
//! | `Exclude KEY PATTERN` | drop what matches; repeatable |
//! | `Logical_Op` | `AND`, `OR`, or `legacy` (default): rules in order, the first `Regex` decides |
//!
//! <https://docs.fluentbit.io/manual/pipeline/filters/grep>

use super::{Filter, Means, Verdict, View};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::read::{self, Value};
use crate::regex::Regex;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Keep,
    Exclude,
}

struct Rule {
    kind: Kind,
    key: Accessor,
    pattern: Regex,
}

impl Rule {
    /// Whether the rule's value is a string in which the pattern is found.
    fn matches(&self, record: &View<'_>) -> bool {
        match record.find(&self.key).map(read::value) {
            Some(Ok((_, Value::Str(text)))) => self.pattern.is_match(text),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Legacy,
    And,
    Or,
}

/// The rules of a section, in its order.
pub(super) struct Rules(Vec<Rule>);

struct Grep {
    rules: Rules,
    operator: Operator,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let rules = Rules::read(settings);
    let operator = match settings
        .text("logical_op")
        .map(|text| text.to_ascii_lowercase())
        .as_deref()
    {
        Some("and") => Operator::And,
        Some("or") => Operator::Or,
        _ => Operator::Legacy,
    };
    let kinds = |kind| rules.0.iter().any(|rule| rule.kind == kind);
    if operator != Operator::Legacy && kinds(Kind::Keep) && kinds(Kind::Exclude) {
        settings.error(
            "logical_op",
            "AND and OR join rules of one kind; use one filter for Regex and one for Exclude",
        );
    }
    Box::new(Grep { rules, operator })
}

fn rule(kind: Kind, key: &str, pattern: &str) -> Result<Rule, String> {
    let key = Accessor::new(key).map_err(|error| error.to_string())?;
    let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
    Ok(Rule { kind, key, pattern })
}

impl Rules {
    /// Reads `Regex` and `Exclude`; mistakes go to the section's problems.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let mut rules = Vec::new();
        for (key, kind) in [("regex", Kind::Keep), ("exclude", Kind::Exclude)] {
            for ((key_name, pattern), order) in settings.ordered_pairs(key) {
                match rule(kind, &key_name, &pattern) {
                    Ok(rule) => rules.push((order, rule)),
                    Err(message) => settings.error(key, message),
                }
            }
        }
        // Rules are looked at in the order of the section, whatever their kind.
        rules.sort_by_key(|(order, _)| *order);
        Self(rules.into_iter().map(|(_, rule)| rule).collect())
    }

    /// The first `Regex` decides; an `Exclude` before it may drop.
    pub(super) fn keep(&self, record: &View<'_>) -> bool {
        for rule in &self.0 {
            match (rule.kind, rule.matches(record)) {
                (Kind::Keep, matched) => return matched,
                (Kind::Exclude, true) => return false,
                (Kind::Exclude, false) => {}
            }
        }
        true
    }
}

impl Grep {
    fn keeps(&self, record: &View<'_>) -> bool {
        let all = &self.rules.0;
        let mut rules = all.iter();
        let exclude = all.first().is_some_and(|rule| rule.kind == Kind::Exclude);
        match self.operator {
            Operator::Legacy => self.rules.keep(record),
            _ if all.is_empty() => true,
            Operator::And => rules.all(|rule| rule.matches(record)) != exclude,
            Operator::Or => rules.any(|rule| rule.matches(record)) != exclude,
        }
    }
}

impl Filter for Grep {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        if self.keeps(record) {
            Verdict::Keep
        } else {
            Verdict::Drop
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{built, filtered, refused};
    use super::*;

    fn grep(operator: Operator, rules: &[(Kind, &str)]) -> Grep {
        let rules = rules.iter().map(|(kind, text)| {
            let (key, pattern) = text.split_once(' ').unwrap();
            rule(*kind, key, pattern).unwrap()
        });
        Grep {
            rules: Rules(rules.collect()),
            operator,
        }
    }

    fn check(grep: &Grep, cases: &[(&str, bool)]) {
        for (record, kept) in cases {
            assert_eq!(filtered(grep, record).is_some(), *kept, "{record}");
        }
    }

    /// Checklist: filters 10
    #[test]
    fn only_strings_match() {
        check(
            &grep(Operator::Legacy, &[(Kind::Keep, "log [Ee]rror")]),
            &[
                (r#"{"log":"an error"}"#, true),
                (r#"{"log":"ERROR"}"#, false),
                (r#"{"msg":"error"}"#, false),
                (r#"{"log":404}"#, false),
                (r#"{"log":["error"]}"#, false),
            ],
        );
    }

    /// Checklist: filters 11
    #[test]
    fn in_legacy_mode_the_first_regex_decides() {
        check(
            &grep(
                Operator::Legacy,
                &[
                    (Kind::Exclude, "log healthcheck"),
                    (Kind::Keep, "log (?i)get|post"),
                    (Kind::Exclude, "path ^/m"),
                ],
            ),
            &[
                (r#"{"log":"GET /a"}"#, true),
                (r#"{"log":"GET /healthcheck"}"#, false),
                (r#"{"log":"post /b","path":"/m"}"#, true),
                (r#"{"log":"DELETE /d"}"#, false),
            ],
        );
    }

    #[test]
    fn rules_stand_in_the_order_of_the_section_also_on_one_line() {
        for (properties, kept) in [
            ([("exclude", "log x"), ("regex", "log .")], false),
            ([("regex", "log ."), ("exclude", "log x")], true),
        ] {
            let (filter, problems) = built(build, &properties);
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(
                filtered(&*filter, r#"{"log":"x"}"#).is_some(),
                kept,
                "{properties:?}"
            );
        }
    }

    /// Checklist: filters 12
    #[test]
    fn rules_of_one_kind_can_be_joined() {
        let and = [(Kind::Keep, "a ^x"), (Kind::Keep, "$m['k'] ^y$")];
        let cases = [
            (r#"{"a":"xx","m":{"k":"y"}}"#, true),
            (r#"{"a":"xx","m":{"k":"yy"}}"#, false),
        ];
        check(&grep(Operator::And, &and), &cases);
        check(
            &grep(Operator::Or, &and),
            &[(r#"{"a":"xx"}"#, true), (r#"{"a":"z"}"#, false)],
        );
        let exclude = [(Kind::Exclude, "a x"), (Kind::Exclude, "b y")];
        check(
            &grep(Operator::And, &exclude),
            &[(r#"{"a":"x","b":"y"}"#, false), (r#"{"a":"x"}"#, true)],
        );
        check(
            &grep(Operator::Or, &exclude),
            &[(r#"{"a":"x"}"#, false), (r#"{"c":"x"}"#, true)],
        );
    }

    /// Checklist: filters 12, 16
    #[test]
    fn rules_that_cannot_be_meant_are_refused() {
        for (properties, words) in [
            (&[("regex", "log")][..], "a word, a blank and a value"),
            (&[("exclude", "log (")], "never closed"),
            (&[("regex", "$log[ x")], "bracket"),
            (
                &[("logical_op", "or"), ("regex", "a b"), ("exclude", "a b")],
                "rules of one kind",
            ),
        ] {
            refused(build, properties, words);
        }
    }

    /// Checklist: filters 9, 13, 14
    #[test]
    fn keys_lead_into_maps_and_lists_and_everything_behind_the_first_blank_is_the_pattern() {
        for (rule, cases) in [
            (
                "log two  words",
                [
                    (r#"{"log":"two  words"}"#, true),
                    (r#"{"log":"two words"}"#, false),
                ],
            ),
            (
                "$log['level'] ^e",
                [
                    (r#"{"log":"error"}"#, true),
                    (r#"{"log":["error"]}"#, false),
                ],
            ),
            (
                "$a['b.c'][1]['d'] q",
                [
                    (r#"{"a":{"b.c":[0,{"d":"q"}]}}"#, true),
                    (r#"{"a":{"b.c":[{"d":"q"}]}}"#, false),
                ],
            ),
            (
                "log \"x\"",
                [(r#"{"log":"\"x\""}"#, true), (r#"{"log":"x"}"#, false)],
            ),
            (
                "log ^DEBUG$",
                [
                    (r#"{"log":"one\nDEBUG\ntwo"}"#, true),
                    (r#"{"log":"DEBUG two"}"#, false),
                ],
            ),
        ] {
            check(&grep(Operator::Legacy, &[(Kind::Keep, rule)]), &cases);
        }
    }
}
