//! `type_converter`: appends values in another type.
//!
//! `str_key FROM TO TYPE`, `int_key ..`, `uint_key ..`, `float_key ..`: the setting says of which type the value has to be,
//! `TYPE` is `int`, `uint`, `float`, `hex`, `string` or `bool`. All may be repeated. `FROM` is an accessor, `TO` a key, which
//! is appended. A value that cannot be converted adds nothing.
//!
//! Order of the results: `str_key`, `int_key`, `uint_key`, `float_key`, each in the order of the section.
//! <https://docs.fluentbit.io/manual/pipeline/filters/type-converter>

use super::pattern::encoded;
use super::{Filter, Means, Verdict, View};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::json;
use crate::msgpack::read::{self, Value};
use crate::msgpack::write;
use crate::parser::number;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Text,
    /// Integers are the same to `int_key` and `uint_key`, but for what a negative one is.
    Signed,
    Unsigned,
    Float,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Int,
    Uint,
    Float,
    Hex,
    Text,
    Bool,
}

impl To {
    /// As in Fluent Bit, the beginning of a name is enough; the first that fits counts.
    fn new(name: &str) -> Option<Self> {
        const NAMES: [(&str, To); 6] = [
            ("int", To::Int),
            ("uint", To::Uint),
            ("float", To::Float),
            ("hex", To::Hex),
            ("string", To::Text),
            ("bool", To::Bool),
        ];
        let begins = |full: &str| {
            full.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        let found = NAMES.iter().find(|(full, _)| begins(full));
        found.filter(|_| !name.is_empty()).map(|(_, to)| *to)
    }
}

struct Rule {
    from: From,
    key: Accessor,
    target: Vec<u8>,
    to: To,
}

struct TypeConverter {
    rules: Vec<Rule>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let mut rules = Vec::new();
    for (key, from) in [
        ("str_key", From::Text),
        ("int_key", From::Signed),
        ("uint_key", From::Unsigned),
        ("float_key", From::Float),
    ] {
        for (words, _) in settings.words(key, 3..=3) {
            match rule(from, &words) {
                Ok(rule) => rules.push(rule),
                Err(message) => settings.error(key, message),
            }
        }
    }
    if rules.is_empty() {
        settings.warning("str_key", "there is no rule, so the filter does nothing");
    }
    Box::new(TypeConverter { rules })
}

fn rule(from: From, words: &[String]) -> Result<Rule, String> {
    let [key, target, to] = words else {
        return Err("needs three words".to_owned());
    };
    let unknown = || format!("`{to}` is no type: write int, uint, float, hex, string or bool");
    Ok(Rule {
        from,
        key: Accessor::new(key).map_err(|error| error.to_string())?,
        target: encoded(target),
        to: To::new(to).ok_or_else(unknown)?,
    })
}

impl Filter for TypeConverter {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        // Rules see the record as it came.
        let first = record.len();
        for rule in &self.rules {
            record.push_made(&rule.target, (first, &rule.key), |value, out| {
                let (_, value) = read::value(value).ok()?;
                rule.convert(value, out)
            });
        }
        Verdict::Keep
    }
}

impl Rule {
    /// Appends the value in its new type; `None`, and nothing appended, where it has the wrong type or cannot be converted.
    fn convert(&self, value: Value<'_>, out: &mut Vec<u8>) -> Option<()> {
        match (self.from, value) {
            (From::Text, Value::Str(text)) => self.convert_text(text, out),
            (From::Signed | From::Unsigned, Value::Unsigned(number)) => {
                self.convert_integer(number, false, out)
            }
            (From::Signed, Value::Signed(number)) => {
                self.convert_integer(number.cast_unsigned(), true, out)
            }
            // `uint_key` takes the bits for what they are.
            (From::Unsigned, Value::Signed(number)) => {
                self.convert_integer(number.cast_unsigned(), false, out)
            }
            (From::Float, Value::Float(number)) => self.convert_float(number, out),
            _ => None,
        }
    }

    fn convert_text(&self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let starts = |word: &[u8]| {
            text.get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        match self.to {
            To::Int => write::signed(out, number::integer(text)?),
            To::Uint => write::unsigned(out, number::unsigned(text)?),
            To::Hex => write::unsigned(out, number::hex(text)?),
            To::Float => write::float(out, number::float(text)?),
            To::Bool if starts(b"true") => write::bool(out, true),
            To::Bool if starts(b"false") => write::bool(out, false),
            To::Bool | To::Text => return None,
        }
        Some(())
    }

    /// `number` holds the bits; `negative` says that they are those of a negative number.
    fn convert_integer(&self, number: u64, negative: bool, out: &mut Vec<u8>) -> Option<()> {
        let signed = number.cast_signed();
        match self.to {
            To::Text if negative => write::str(out, itoa::Buffer::new().format(signed).as_bytes()),
            To::Text => write::str(out, itoa::Buffer::new().format(number).as_bytes()),
            To::Float if negative => write::float(out, signed as f64),
            To::Float => write::float(out, number as f64),
            To::Uint if self.from == From::Signed => write::unsigned(out, number),
            To::Int if self.from == From::Unsigned => write::signed(out, signed),
            _ => return None,
        }
        Some(())
    }

    fn convert_float(&self, number: f64, out: &mut Vec<u8>) -> Option<()> {
        match self.to {
            To::Text => {
                let mut text = Vec::new();
                json::float(number, &mut text);
                write::str(out, &text);
            }
            To::Int => write::signed(out, number as i64),
            // C has no answer for negative numbers; their integer wraps, as that of `int_key`.
            To::Uint if number < 0.0 => write::unsigned(out, (number as i64).cast_unsigned()),
            To::Uint => write::unsigned(out, number as u64),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, refused};
    use super::build;

    /// Checklist: filters 71
    #[test]
    fn results_are_appended_by_the_type_they_come_from() {
        check(
            build,
            &[
                ("float_key", "d d_int int"),
                ("float_key", "d d_str string"),
                ("int_key", "i i_str string"),
                ("int_key", "i i_f float"),
                ("str_key", "s s_int int"),
                ("str_key", "b b_bool bool"),
            ],
            &[
                (
                    r#"{"s":"12","b":"true","i":5,"d":1.5}"#,
                    r#"{"s":"12","b":"true","i":5,"d":1.5,"s_int":12,"b_bool":true,"i_str":"5","i_f":5.0,"d_int":1,"d_str":"1.5"}"#,
                ),
                (
                    r#"{"i":-5,"d":2.0}"#,
                    r#"{"i":-5,"d":2.0,"i_str":"-5","i_f":-5.0,"d_int":2,"d_str":"2.0"}"#,
                ),
                (r#"{"q":1}"#, "="),
                (r#"{"s":1,"b":"no","i":"5","d":1}"#, "="),
            ],
        );
    }

    /// Checklist: filters 71
    #[test]
    fn texts_become_numbers_as_far_as_they_are_ones() {
        check(
            build,
            &[
                ("str_key", "v i int"),
                ("str_key", "v u UINT"),
                ("str_key", "v h hex"),
                ("str_key", "v f flo"),
            ],
            &[
                (r#"{"v":"0"}"#, r#"{"v":"0","i":0,"u":0,"h":0,"f":0.0}"#),
                (
                    r#"{"v":"12ab"}"#,
                    r#"{"v":"12ab","i":12,"u":12,"h":4779,"f":12.0}"#,
                ),
                (
                    r#"{"v":"-1"}"#,
                    r#"{"v":"-1","i":-1,"u":18446744073709551615,"h":18446744073709551615,"f":-1.0}"#,
                ),
                (r#"{"v":"x"}"#, "="),
                (r#"{"v":""}"#, "="),
            ],
        );
    }

    #[test]
    fn integers_change_their_sign_by_their_bits() {
        check(
            build,
            &[
                ("int_key", "n u uint"),
                ("uint_key", "n i int"),
                ("uint_key", "n s string"),
            ],
            &[(
                r#"{"n":-1}"#,
                r#"{"n":-1,"u":18446744073709551615,"i":-1,"s":"18446744073709551615"}"#,
            )],
        );
        check(
            build,
            &[("int_key", "n h hex"), ("int_key", "n i int")],
            &[(r#"{"n":1}"#, "=")],
        );
    }

    #[test]
    fn a_source_is_an_accessor_and_seen_as_it_came() {
        check(
            build,
            &[
                ("str_key", "$k['s'] out int"),
                ("str_key", "status status int"),
                ("int_key", "status again string"),
            ],
            &[
                (r#"{"k":{"s":"7"}}"#, r#"{"k":{"s":"7"},"out":7}"#),
                (r#"{"status":"200"}"#, r#"{"status":"200","status":200}"#),
            ],
        );
    }

    /// Checklist: filters 71
    #[test]
    fn a_rule_that_says_nothing_is_refused() {
        refused(build, &[("str_key", "a b integer")], "is no type");
        refused(build, &[("str_key", "a b")], "2 words, not 3");
        refused(build, &[("str_key", "$a[ b int")], "bracket");
    }
}
