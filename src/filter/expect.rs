//! `expect`: checks that records are what they should be.
//!
//! | setting | holds when |
//! |---|---|
//! | `key_exists KEY`, `key_not_exists KEY` | there is such a value, or not |
//! | `key_val_is_null KEY`, `key_val_is_not_null KEY` | there is such a value, and it is null, or not |
//! | `key_val_eq KEY TEXT` | there is such a value, and it is this text, or no text at all |
//!
//! All may be repeated; they are looked at in the order of the section and the first that fails decides. `action` says what
//! is done: `warn` (default) logs, `result_key` puts a switch under the key `result_key` (`matched`) in front of the record,
//! `exit` logs and ends the process with status 255. <https://docs.fluentbit.io/manual/pipeline/filters/expect>

use super::pattern::encoded;
use super::{Filter, Halt, Means, Verdict, View};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::json::Json;
use crate::msgpack::read::{self, Value};
use crate::msgpack::write;
use crate::telemetry::log::Limiter;

enum Test {
    Exists,
    Absent,
    Null,
    NotNull,
    Equals(Box<[u8]>),
}

struct Rule {
    /// As written, for the log.
    name: &'static str,
    key_text: String,
    key: Accessor,
    test: Test,
}

enum Action {
    Warn,
    Exit(Halt),
    ResultKey(Vec<u8>),
}

struct Expect {
    rules: Vec<Rule>,
    action: Action,
    failures: Limiter,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, means: Means<'_>) -> Box<dyn Filter> {
    let rules = rules(settings);
    let result_key = settings.text("result_key");
    let result_key = result_key.as_deref().unwrap_or("matched");
    let action = match settings.choice("action", &["warn", "exit", "result_key"]) {
        Some("exit") => Action::Exit(means.halt.clone()),
        Some("result_key") => Action::ResultKey(encoded(result_key)),
        _ => Action::Warn,
    };
    Box::new(Expect {
        rules,
        action,
        failures: Limiter::default(),
    })
}

/// Makes a test of its text, which only one has.
type MakeTest = fn(&str) -> Test;

fn rules(settings: &mut Settings<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let tests: [(&'static str, usize, MakeTest); 5] = [
        ("key_exists", 1, |_| Test::Exists),
        ("key_not_exists", 1, |_| Test::Absent),
        ("key_val_is_null", 1, |_| Test::Null),
        ("key_val_is_not_null", 1, |_| Test::NotNull),
        ("key_val_eq", 2, |text| Test::Equals(text.as_bytes().into())),
    ];
    for (name, count, test) in tests {
        for (words, order) in settings.ordered_words(name, count..=count) {
            let key = words.first().cloned().unwrap_or_default();
            let text = words.get(1).map(String::as_str).unwrap_or_default();
            match Accessor::new(&key) {
                Ok(accessor) => rules.push((
                    order,
                    Rule {
                        name,
                        key_text: key,
                        key: accessor,
                        test: test(text),
                    },
                )),
                Err(error) => settings.error(name, error.to_string()),
            }
        }
    }
    rules.sort_by_key(|(order, _)| *order);
    rules.into_iter().map(|(_, rule)| rule).collect()
}

impl Rule {
    fn holds(&self, record: &View<'_>) -> bool {
        let value = record
            .find(&self.key)
            .and_then(|value| read::value(value).ok())
            .map(|(_, value)| value);
        match (&self.test, value) {
            (Test::Absent, value) => value.is_none(),
            (_, None) => false,
            (Test::Null, Some(value)) => value == Value::Nil,
            (Test::NotNull, Some(value)) => value != Value::Nil,
            (Test::Equals(wanted), Some(Value::Str(text))) => *text == **wanted,
            (Test::Exists | Test::Equals(_), Some(_)) => true,
        }
    }
}

impl Filter for Expect {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        let failed = self.rules.iter().find(|rule| !rule.holds(record));
        if let Some(rule) = failed {
            self.complain(rule, record);
        }
        match &self.action {
            Action::ResultKey(key) => {
                let mut value = Vec::with_capacity(1);
                write::bool(&mut value, failed.is_none());
                record.push_front(key, &value);
            }
            Action::Exit(halt) if failed.is_some() => {
                halt.ask("a record is not what `expect` wants");
            }
            Action::Exit(_) | Action::Warn => {}
        }
        Verdict::Keep
    }
}

impl Expect {
    fn complain(&self, rule: &Rule, record: &View<'_>) {
        let Some(more) = self.failures.admit() else {
            return;
        };
        let (mut whole, mut text) = (Vec::new(), Vec::new());
        record.write(&mut whole);
        Json::default().value(&whole, &mut text);
        crate::warning!(
            "filter:expect",
            "{} {} does not hold for {}{more}",
            rule.name,
            rule.key_text,
            String::from_utf8_lossy(text.get(..text.len().min(1024)).unwrap_or_default())
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, refused};
    use super::*;

    /// Checklist: filters 72
    #[test]
    fn a_switch_in_front_says_whether_all_rules_hold() {
        check(
            build,
            &[
                ("key_val_eq", "a x"),
                ("key_exists", "a"),
                ("action", "result_key"),
            ],
            &[
                (r#"{"a":"x"}"#, r#"{"matched":true,"a":"x"}"#),
                (r#"{"a":"y"}"#, r#"{"matched":false,"a":"y"}"#),
                (r#"{"b":1}"#, r#"{"matched":false,"b":1}"#),
                (r#"{"a":5}"#, r#"{"matched":true,"a":5}"#),
            ],
        );
        check(
            build,
            &[
                ("key_val_is_null", "$a['n']"),
                ("key_val_is_not_null", "b"),
                ("key_not_exists", "c"),
                ("action", "result_key"),
                ("result_key", "ok"),
            ],
            &[
                (
                    r#"{"a":{"n":null},"b":0}"#,
                    r#"{"ok":true,"a":{"n":null},"b":0}"#,
                ),
                (
                    r#"{"a":{"n":1},"b":0}"#,
                    r#"{"ok":false,"a":{"n":1},"b":0}"#,
                ),
                (
                    r#"{"a":{"n":null},"b":null}"#,
                    r#"{"ok":false,"a":{"n":null},"b":null}"#,
                ),
                (
                    r#"{"a":{"n":null},"b":0,"c":1}"#,
                    r#"{"ok":false,"a":{"n":null},"b":0,"c":1}"#,
                ),
                (r#"{"b":0}"#, r#"{"ok":false,"b":0}"#),
            ],
        );
    }

    /// Checklist: filters 72
    #[test]
    fn a_warning_leaves_the_record_alone() {
        check(
            build,
            &[("key_exists", "a")],
            &[(r#"{"b":1}"#, "="), (r#"{"a":1}"#, "=")],
        );
    }

    #[test]
    fn rules_without_sense_are_refused() {
        refused(build, &[("key_exists", "$a[")], "bracket");
        refused(build, &[("key_val_eq", "a")], "1 words, not 2");
        refused(build, &[("action", "explode")], "is not known");
    }
}
