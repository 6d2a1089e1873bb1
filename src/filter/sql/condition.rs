//! What stands behind `WHERE`.
//!
//! Numbers compare with numbers, texts with texts, switches with switches, and null with null. A text that stands against a
//! number counts as the number it begins with. Everything else, and a key that is not there, compares false, so that `a != 1`
//! holds without `a`. A key alone holds if it is a text, `true`, or a number above 0.

use std::cmp::Ordering;

use crate::filter::View;
use crate::msgpack::read::{self, Value};
use crate::parser::number;

/// A condition.
#[derive(Debug)]
pub(super) enum Condition {
    /// All of them hold.
    All(Vec<Condition>),
    /// One of them holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The value of a key is something.
    Key(String),
    /// A value that is always the same is something.
    Constant(Constant),
    /// The value of a key compares so with one that is always the same.
    Compares(String, Comparison, Constant),
}

/// A value in a query.
#[derive(Debug)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// What a sign means, and whether its opposite is meant.
    pub(super) fn of(sign: &str) -> Option<(Self, bool)> {
        Some(match sign {
            "=" => (Self::Equal, false),
            "!=" | "<>" => (Self::Equal, true),
            "<" => (Self::Less, false),
            "<=" => (Self::LessOrEqual, false),
            ">" => (Self::Greater, false),
            ">=" => (Self::GreaterOrEqual, false),
            _ => return None,
        })
    }

    fn fits(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Condition {
    /// Whether a record meets it.
    pub(super) fn holds(&self, record: &View<'_>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(record)),
            Self::Any(all) => all.iter().any(|one| one.holds(record)),
            Self::Not(one) => !one.holds(record),
            Self::Key(key) => first(record, key).is_some_and(is_something),
            Self::Constant(constant) => is_something(constant.value()),
            Self::Compares(key, comparison, constant) => first(record, key)
                .is_some_and(|value| compare(value, *comparison, constant.value())),
        }
    }
}

impl Constant {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Nil,
            Self::Bool(switch) => Value::Bool(*switch),
            Self::Integer(number) => Value::Signed(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Text(text) => Value::Str(text.as_bytes()),
        }
    }
}

/// The value of the first pair with this key.
fn first<'r>(record: &'r View<'_>, key: &str) -> Option<Value<'r>> {
    let mut fields = record.fields();
    let (_, value) = fields.find(|(name, _)| *name == Some(key.as_bytes()))?;
    read::value(value).ok().map(|(_, value)| value)
}

fn is_something(value: Value<'_>) -> bool {
    match value {
        Value::Str(_) => true,
        Value::Bool(switch) => switch,
        Value::Unsigned(number) => number > 0,
        Value::Signed(number) => number > 0,
        Value::Float(number) => number > 0.0,
        _ => false,
    }
}

/// A number as it is compared: whole ones exactly.
enum Number {
    Whole(i128),
    Real(f64),
}

fn compare(value: Value<'_>, comparison: Comparison, with: Value<'_>) -> bool {
    match (value, with) {
        (Value::Nil, Value::Nil) => comparison == Comparison::Equal,
        (Value::Bool(left), Value::Bool(right)) => comparison == Comparison::Equal && left == right,
        (Value::Str(left), Value::Str(right)) => comparison.fits(left.cmp(right)),
        (_, Value::Str(_)) => false,
        (left, right) => {
            let order = number_of(left).zip(number_of(right));
            let order = order.and_then(|(left, right)| match (left, right) {
                (Number::Whole(left), Number::Whole(right)) => Some(left.cmp(&right)),
                (left, right) => real(&left).partial_cmp(&real(&right)),
            });
            order.is_some_and(|order| comparison.fits(order))
        }
    }
}

fn real(number: &Number) -> f64 {
    match number {
        Number::Whole(number) => *number as f64,
        Number::Real(number) => *number,
    }
}

/// A number, or the one that a text begins with.
fn number_of(value: Value<'_>) -> Option<Number> {
    Some(match value {
        Value::Unsigned(number) => Number::Whole(number.into()),
        Value::Signed(number) => Number::Whole(number.into()),
        Value::Float(number) => Number::Real(number),
        Value::Str(text) => match memchr::memchr_iter(b'.', text).count() {
            0 => Number::Whole(number::integer(text)?.into()),
            1 => Number::Real(number::float(text)?),
            _ => return None,
        },
        _ => return None,
    })
}
