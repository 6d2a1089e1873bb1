//! `condition` of a processor: it touches only the records for which its rules hold.
//!
//! ```text
//! condition:
//!   op: and                                       or: one rule suffices
//!   rules:
//!     - {field: "$level", op: eq, value: error}   neq, gt, gte, lt, lte, regex, not_regex
//!     - {field: "$code", op: in, value: [a, b]}   not_in
//!     - {field: "$x", op: eq, value: y, context: metadata}
//! ```
//!
//! A rule about a field that is not there does not hold, whatever its operator. Patterns start at the
//! text's start, as those of `Match_Regex`.
//!
//! <https://docs.fluentbit.io/manual/pipeline/processors/conditional-processing>

use std::borrow::Cow;

use super::{Filter, Verdict, View};
use crate::accessor::Accessor;
use crate::config::{Node, Place, Settings, nearest};
use crate::msgpack::read::{self, Value};
use crate::regex::Regex;

/// A filter that sees only the records for which a condition holds.
pub(super) struct Conditional {
    condition: Condition,
    filter: Box<dyn Filter>,
}

impl Conditional {
    /// Puts a condition before a filter.
    pub(super) fn new(condition: Condition, filter: Box<dyn Filter>) -> Self {
        Self { condition, filter }
    }
}

impl Filter for Conditional {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        if self.condition.holds(record) {
            self.filter.apply(record)
        } else {
            Verdict::Keep
        }
    }
}

/// Rules, all or one of which must hold.
pub struct Condition {
    is_any: bool,
    rules: Vec<Rule>,
}

struct Rule {
    field: Accessor,
    in_metadata: bool,
    test: Test,
}

/// What a rule asks of a value.
enum Test {
    /// Whether it is one of these.
    OneOf(Vec<String>, bool),
    /// Whether the pattern fits.
    Fits(Regex, bool),
    /// Whether it compares so with a number.
    Compares(fn(f64, f64) -> bool, f64),
}

const OPERATORS: [&str; 10] = [
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "regex",
    "not_regex",
    "in",
    "not_in",
];

impl Condition {
    /// Reads the key; mistakes go to the section's problems.
    pub(super) fn read(settings: &mut Settings<'_>) -> Option<Self> {
        let node = settings.nested("condition")?;
        let mut refuse = |place: &Place, key: &str, message: String| {
            settings.error_at(place, key, message);
        };
        Some(Self::of(node, &mut refuse))
    }

    /// Reads the value of the key; each mistake goes to `refuse`, with its place and key.
    pub fn of(node: &Node, refuse: &mut dyn FnMut(&Place, &str, String)) -> Self {
        let is_any = match node.get("op").and_then(Node::text) {
            None => false,
            Some(text) if text.eq_ignore_ascii_case("and") => false,
            Some(text) if text.eq_ignore_ascii_case("or") => true,
            Some(text) => {
                let message = format!("`{text}` joins no rules: write and, or or");
                refuse(node.place(), "condition", message);
                false
            }
        };
        let rules = node.get("rules").map(Node::items).unwrap_or_default();
        if rules.is_empty() {
            let message = "needs `rules`, at least one".to_owned();
            refuse(node.place(), "condition", message);
        }
        let mut read = Vec::new();
        for rule in rules {
            match Rule::read(rule) {
                Ok(rule) => read.push(rule),
                Err(message) => refuse(rule.place(), "rules", message),
            }
        }
        Self {
            is_any,
            rules: read,
        }
    }

    /// Whether it holds for a record.
    pub fn holds(&self, record: &View<'_>) -> bool {
        let mut rules = self.rules.iter();
        if self.is_any {
            rules.any(|rule| rule.holds(record))
        } else {
            rules.all(|rule| rule.holds(record))
        }
    }
}

impl Rule {
    fn read(node: &Node) -> Result<Self, String> {
        let text = |key: &str| {
            let text = node.get(key).and_then(Node::text);
            text.ok_or_else(|| format!("a rule has no `{key}`"))
        };
        let field = Accessor::new(text("field")?).map_err(|error| error.to_string())?;
        let operator = text("op")?.to_ascii_lowercase();
        let value = node.get("value").ok_or("a rule has no `value`")?;
        let context = node.get("context").and_then(Node::text);
        Ok(Self {
            field,
            in_metadata: context.is_some_and(|context| context.eq_ignore_ascii_case("metadata")),
            test: Test::read(&operator, value)?,
        })
    }

    fn holds(&self, record: &View<'_>) -> bool {
        let value = if self.in_metadata {
            self.field.find_in(record.metadata())
        } else {
            record.find(&self.field)
        };
        value
            .and_then(text_of)
            .is_some_and(|text| self.test.holds(&text))
    }
}

impl Test {
    fn read(operator: &str, value: &Node) -> Result<Self, String> {
        let is_list = matches!(value, Node::List(..));
        let wants_list = matches!(operator, "in" | "not_in");
        if is_list != wants_list {
            return Err(format!(
                "`{operator}` does not go with {} as its value",
                value.shape()
            ));
        }
        let texts = value.items().iter().filter_map(Node::text);
        let texts: Vec<String> = texts.map(str::to_owned).collect();
        let text = texts.first().map(String::as_str).unwrap_or_default();
        let number = || {
            let number = text
                .parse()
                .map_err(|_| format!("`{text}` is no number, and `{operator}` compares numbers"));
            number.map(|number: f64| number)
        };
        let pattern = || Regex::new(text).map_err(|error| error.to_string());
        Ok(match operator {
            "eq" | "in" => Self::OneOf(texts, true),
            "neq" | "not_in" => Self::OneOf(texts, false),
            "regex" => Self::Fits(pattern()?, true),
            "not_regex" => Self::Fits(pattern()?, false),
            "gt" => Self::Compares(|value, than| value > than, number()?),
            "gte" => Self::Compares(|value, than| value >= than, number()?),
            "lt" => Self::Compares(|value, than| value < than, number()?),
            "lte" => Self::Compares(|value, than| value <= than, number()?),
            other => {
                let hint = match nearest(other, OPERATORS) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", OPERATORS.join(", ")),
                };
                return Err(format!("no operator `{other}`; {hint}"));
            }
        })
    }

    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::OneOf(texts, wanted) => {
                texts.iter().any(|known| known.as_bytes() == text) == *wanted
            }
            Self::Fits(pattern, wanted) => pattern.matches_at_start(text) == *wanted,
            Self::Compares(compare, than) => {
                let number = std::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                number.is_some_and(|number: f64| compare(number, *than))
            }
        }
    }
}

/// A value as text; maps and lists have none.
fn text_of(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let made = |text: String| Some(Cow::Owned(text.into_bytes()));
    match read::value(value).ok()?.1 {
        Value::Str(text) | Value::Bin(text) => Some(Cow::Borrowed(text)),
        Value::Bool(switch) => made(switch.to_string()),
        Value::Unsigned(number) => made(number.to_string()),
        Value::Signed(number) => made(number.to_string()),
        Value::Float(number) => made(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::filtered;
    use super::*;
    use crate::config::{
        Include, IncludeError, Problems, Role, Section, SectionKind, Source, Variables, load_yaml,
    };

    struct NoFiles;

    impl Include for NoFiles {
        fn include(&mut self, argument: &str) -> Result<Vec<Source>, IncludeError> {
            Err(IncludeError::NoMatch(argument.to_owned()))
        }
        fn include_beside(&mut self, _: &str, argument: &str) -> Result<Vec<Source>, IncludeError> {
            self.include(argument)
        }
        fn value(&mut self, path: &str) -> Result<String, IncludeError> {
            Err(IncludeError::NoMatch(path.to_owned()))
        }
    }

    /// A filter that drops: what it drops has met the condition.
    struct Dropping;

    impl Filter for Dropping {
        fn apply(&self, _: &mut View<'_>) -> Verdict {
            Verdict::Drop
        }
    }

    /// The condition written as YAML, and what is wrong with it.
    fn condition(text: &str) -> (Option<Condition>, String) {
        let yaml = format!("pipeline:\n  filters:\n    - name: x\n      condition: {text}\n");
        let source = Source {
            name: Arc::from("a.yaml"),
            bytes: yaml.as_bytes().into(),
        };
        let (mut variables, mut problems) = (Variables::default(), Problems::default());
        let sections: Vec<Section> = load_yaml(
            &source,
            Role::Main,
            &mut NoFiles,
            &mut variables,
            &mut problems,
        );
        assert_eq!(sections[0].kind, SectionKind::Filter);
        let mut settings = Settings::new(&sections[0], &variables, &mut problems);
        let condition = Condition::read(&mut settings);
        settings.finish();
        (condition, problems.to_string())
    }

    fn holds(text: &str, record: &str) -> bool {
        let (condition, said) = condition(text);
        assert_eq!(said, "", "{text}");
        let filter = Conditional::new(condition.unwrap(), Box::new(Dropping));
        filtered(&filter, record).is_none()
    }

    #[test]
    fn rules_compare_texts_numbers_and_patterns() {
        for (rule, record, expected) in [
            ("op: eq, value: error", r#"{"f":"error"}"#, true),
            ("op: eq, value: error", r#"{"f":"errors"}"#, false),
            ("op: eq, value: '5'", r#"{"f":5}"#, true),
            ("op: eq, value: 'true'", r#"{"f":true}"#, true),
            ("op: neq, value: error", r#"{"f":"x"}"#, true),
            ("op: neq, value: error", r#"{"g":"x"}"#, false),
            ("op: gt, value: 2", r#"{"f":2}"#, false),
            ("op: gte, value: 2", r#"{"f":2}"#, true),
            ("op: lt, value: 10", r#"{"f":"9.5"}"#, true),
            ("op: lte, value: 10", r#"{"f":"ten"}"#, false),
            ("op: regex, value: '^1[0-9]$'", r#"{"f":12}"#, true),
            ("op: regex, value: 'b'", r#"{"f":"ab"}"#, false),
            ("op: not_regex, value: 'b'", r#"{"f":"ab"}"#, true),
            ("op: in, value: [a, b]", r#"{"f":"b"}"#, true),
            ("op: not_in, value: [a, b]", r#"{"f":"b"}"#, false),
            ("op: eq, value: x", r#"{"f":{"f":"x"}}"#, false),
        ] {
            let text = format!("{{rules: [{{field: '$f', {rule}}}]}}");
            assert_eq!(holds(&text, record), expected, "{rule} {record}");
        }
    }

    #[test]
    fn all_rules_must_hold_or_one() {
        let rules =
            "rules: [{field: '$a', op: eq, value: '1'}, {field: \"$b['c']\", op: eq, value: '2'}]";
        for (op, record, expected) in [
            ("and", r#"{"a":1,"b":{"c":2}}"#, true),
            ("and", r#"{"a":1}"#, false),
            ("OR", r#"{"a":1}"#, true),
            ("or", r#"{"a":3}"#, false),
        ] {
            assert_eq!(
                holds(&format!("{{op: {op}, {rules}}}"), record),
                expected,
                "{op}"
            );
        }
    }

    #[test]
    fn a_rule_may_ask_the_metadata() {
        assert!(holds(
            "{rules: [{field: '$m', op: eq, value: '1', context: metadata}]}",
            "{}"
        ));
    }

    /// Checklist: engine 28
    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("{rules: []}", "needs `rules`"),
            (
                "{op: xor, rules: [{field: '$a', op: eq, value: x}]}",
                "`xor` joins no rules",
            ),
            (
                "{rules: [{field: '$a', op: zz, value: x}]}",
                "no operator `zz`",
            ),
            (
                "{rules: [{field: '$a', op: eqq, value: x}]}",
                "did you mean `eq`?",
            ),
            ("{rules: [{field: '$a', op: eq}]}", "a rule has no `value`"),
            ("{rules: [{op: eq, value: x}]}", "a rule has no `field`"),
            (
                "{rules: [{field: '$a', op: in, value: x}]}",
                "`in` does not go with a text",
            ),
            (
                "{rules: [{field: '$a', op: eq, value: [x]}]}",
                "`eq` does not go with a list",
            ),
            (
                "{rules: [{field: '$a', op: gt, value: x}]}",
                "`x` is no number",
            ),
            (
                "{rules: [{field: '$a', op: regex, value: '('}]}",
                "never closed",
            ),
        ] {
            let (_, said) = condition(text);
            assert!(
                said.starts_with("error: a.yaml:4:") && said.contains(words),
                "{text}: {said}"
            );
        }
    }
}
