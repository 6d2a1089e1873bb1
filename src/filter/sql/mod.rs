//! `sql`, a processor: keeps the records that a condition wants, and of them the keys that are selected.
//!
//! ```text
//! SELECT * FROM STREAM WHERE level = 'error' AND NOT status < 500;
//! SELECT log, level AS severity FROM STREAM;
//! ```
//!
//! A key is the name of a top-level pair, dots and all. The pairs keep their order and get the names behind `AS`; a record
//! without any of them becomes `{}`. What may stand behind `WHERE`: `condition.rs`.
//! <https://docs.fluentbit.io/manual/pipeline/processors/sql>

mod condition;
mod parse;
mod task;
mod token;

pub use task::{Source as TaskSource, Task};

use super::pattern::encoded;
use super::{Filter, Means, Verdict, View};
use crate::config::Settings;

use condition::Condition;

/// A key, and the name it gets if that is another.
type Selected = (String, Option<String>);

/// A query as it was read.
#[derive(Debug, Default)]
struct Query {
    /// `None` selects everything.
    keys: Option<Vec<Selected>>,
    condition: Option<Condition>,
}

struct Sql {
    /// The key, and the one it gets, encoded.
    keys: Option<Vec<(String, Option<Vec<u8>>)>>,
    condition: Option<Condition>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let text = settings.required("query").unwrap_or_default();
    let query = match parse::query(&text) {
        _ if text.is_empty() => Query::default(),
        Ok(query) => query,
        Err(error) => {
            settings.error("query", error.to_string());
            Query::default()
        }
    };
    Box::new(Sql::of(query))
}

impl Sql {
    fn of(query: Query) -> Self {
        let named = |(key, name): Selected| (key, name.map(|name| encoded(&name)));
        Self {
            keys: query.keys.map(|keys| keys.into_iter().map(named).collect()),
            condition: query.condition,
        }
    }
}

impl Filter for Sql {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        if let Some(condition) = &self.condition
            && !condition.holds(record)
        {
            return Verdict::Drop;
        }
        if let Some(keys) = &self.keys {
            record.select(|key| {
                let mut keys = keys.iter();
                let (_, name) = keys.find(|(known, _)| known.as_bytes() == key)?;
                Some(name.as_deref())
            });
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{built, check, filtered, refused};
    use super::*;

    fn query(text: &str, cases: &[(&str, &str)]) {
        check(build, &[("query", text)], cases);
    }

    #[test]
    fn selected_keys_stay_in_their_order_under_their_new_names() {
        query(
            "SELECT b, a AS c, c AS a FROM STREAM;",
            &[
                (r#"{"a":1,"x":0,"b":2,"a":3}"#, r#"{"c":1,"b":2,"c":3}"#),
                (r#"{"c":{"d":[1]},"a":1}"#, r#"{"a":{"d":[1]},"c":1}"#),
                (r#"{"b":2}"#, "="),
                (r#"{"x":0}"#, "{}"),
                (r#"{"A":0}"#, "{}"),
            ],
        );
        query(
            "select k.8s from stream anything",
            &[(r#"{"k.8s":1,"k":{"8s":2}}"#, r#"{"k.8s":1}"#)],
        );
    }

    #[test]
    fn a_star_leaves_records_as_they_are() {
        query("SELECT * FROM STREAM;", &[(r#"{"a":1,"b":[2]}"#, "=")]);
        query("SELECT *, a AS b FROM STREAM;", &[(r#"{"a":1}"#, "=")]);
    }

    /// Whether a record meets a condition.
    fn holds(condition: &str, record: &str) -> bool {
        let query = format!("SELECT * FROM STREAM WHERE {condition};");
        let (filter, problems) = built(build, &[("query", &query)]);
        assert!(problems.is_empty(), "{problems:?}");
        filtered(&*filter, record).is_some()
    }

    #[test]
    fn values_are_compared_by_their_type() {
        for (condition, record, expected) in [
            ("a = 1", r#"{"a":1}"#, true),
            ("a = 1", r#"{"a":1.0}"#, true),
            ("a = 1", r#"{"a":"1"}"#, true),
            ("a = 1", r#"{"a":" 1 apple"}"#, true),
            ("a = 1", r#"{"a":"one"}"#, false),
            ("a = 1", r#"{"a":true}"#, false),
            ("a = 1", r#"{"b":1}"#, false),
            ("a = 0.1", r#"{"a":0.1}"#, true),
            ("a = 1.5", r#"{"a":"1.5"}"#, true),
            ("a = 1.5", r#"{"a":"1.5.1"}"#, false),
            ("a = 'x'", r#"{"a":"x"}"#, true),
            ("a = 'it''s'", r#"{"a":"it's"}"#, true),
            ("a = '1'", r#"{"a":1}"#, false),
            ("a = true", r#"{"a":true}"#, true),
            ("a = FALSE", r#"{"a":true}"#, false),
            ("a != 1", r#"{"a":2}"#, true),
            ("a <> 1", r#"{"a":1}"#, false),
            ("a != 1", r#"{"b":2}"#, true),
            ("a > 400", r#"{"a":500}"#, true),
            ("a >= 400", r#"{"a":"400"}"#, true),
            ("a < -1", r#"{"a":-2}"#, true),
            ("a <= 2.5", r#"{"a":3}"#, false),
            (
                "a > 9223372036854775807",
                r#"{"a":18446744073709551615}"#,
                true,
            ),
            ("a < 'b'", r#"{"a":"abc"}"#, true),
            ("a > 'ab'", r#"{"a":"abc"}"#, true),
            ("a < 1", r#"{"a":null}"#, false),
            ("a < true", r#"{"a":false}"#, false),
            ("a = 1", r#"{"a":[1]}"#, false),
            ("a = 1", r#"{"a":1,"a":2}"#, true),
        ] {
            assert_eq!(
                holds(condition, record),
                expected,
                "{condition} on {record}"
            );
        }
    }

    #[test]
    fn null_is_a_value_and_not_an_absence() {
        for (condition, record, expected) in [
            ("a IS NULL", r#"{"a":null}"#, true),
            ("a IS NULL", r#"{"a":0}"#, false),
            ("a IS NULL", "{}", false),
            ("a IS NOT NULL", r#"{"a":null}"#, false),
            ("a IS NOT NULL", r#"{"a":0}"#, true),
            ("a IS NOT NULL", "{}", true),
        ] {
            assert_eq!(
                holds(condition, record),
                expected,
                "{condition} on {record}"
            );
        }
    }

    #[test]
    fn a_key_or_a_value_alone_is_a_condition() {
        for (condition, record, expected) in [
            ("a", r#"{"a":"false"}"#, true),
            ("a", r#"{"a":1}"#, true),
            ("a", r#"{"a":0}"#, false),
            ("a", r#"{"a":-0.5}"#, false),
            ("a", r#"{"a":null}"#, false),
            ("a", r#"{"a":{}}"#, false),
            ("a", "{}", false),
            ("NOT a", "{}", true),
            ("1", "{}", true),
            ("false", "{}", false),
        ] {
            assert_eq!(
                holds(condition, record),
                expected,
                "{condition} on {record}"
            );
        }
    }

    #[test]
    fn not_binds_before_and_before_or() {
        for (condition, record, expected) in [
            ("a AND b OR c", r#"{"c":1}"#, true),
            ("a OR b AND c", r#"{"a":1}"#, true),
            ("(a OR b) AND c", r#"{"a":1}"#, false),
            ("NOT a AND b", r#"{"a":1}"#, false),
            ("NOT a OR b", r#"{"a":1,"b":1}"#, true),
            ("NOT (a AND b)", r#"{"a":1}"#, true),
            ("not not a", r#"{"a":1}"#, true),
        ] {
            assert_eq!(
                holds(condition, record),
                expected,
                "{condition} on {record}"
            );
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for (text, words) in [
            ("", "key `query`: missing"),
            ("INSERT a", "`INSERT` stands where SELECT belongs"),
            (
                "SELECT FROM STREAM",
                "`FROM` stands where a key or * belongs",
            ),
            ("SELECT a FROM TAG", "`TAG` stands where STREAM belongs"),
            ("SELECT a FROM", "it ends where STREAM belongs"),
            (
                "SELECT a FROM STREAM WHERE",
                "it ends where a condition belongs",
            ),
            ("SELECT a FROM STREAM WHERE (a", "it ends where ) belongs"),
            (
                "SELECT a FROM STREAM; SELECT b FROM STREAM;",
                "`SELECT` stands where the end belongs",
            ),
            ("SELECT COUNT(a) FROM STREAM;", "`(` stands where"),
            (
                "SELECT a FROM STREAM WHERE a = 'open",
                "a text that does not end",
            ),
            (
                "SELECT a FROM STREAM WHERE a = b",
                "`b` stands where a number, a text, true or false belongs",
            ),
            ("SELECT a FROM STREAM WHERE a # 1", "`#` means nothing"),
            (
                "SELECT a FROM STREAM WHERE a IS 1",
                "`1` stands where NULL belongs",
            ),
        ] {
            refused(build, &[("query", text)], words);
        }
        let deep = format!("SELECT * FROM STREAM WHERE {}a", "(".repeat(1_000));
        refused(build, &[("query", &deep)], "nested more than");
        let deep = format!("SELECT * FROM STREAM WHERE {}a", "NOT ".repeat(1_000));
        refused(build, &[("query", &deep)], "nested more than");
    }
}
