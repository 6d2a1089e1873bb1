//! Values from msgpack to Lua and back.
//!
//! | msgpack | Lua | and back |
//! |---|---|---|
//! | nil | nothing, or `flb_null` | nil |
//! | integer | number, exact up to 2^53 | integer |
//! | float | number | integer if it is whole, else float |
//! | str, bin, ext | string | str |
//! | array | table with a mark | array up to the highest index, holes are nil; an empty one by its mark, or its key |
//! | map | table | map |

use mlua::{Table, Value};

use super::vm::Types;
use crate::msgpack::read::{self, Pairs, Value as Encoded};
use crate::msgpack::scan::MAX_DEPTH;
use crate::msgpack::write;

/// Makes Lua values.
pub(super) struct Reader<'r> {
    pub(super) lua: &'r mlua::Lua,
    /// The metatable that marks arrays.
    pub(super) array: &'r Table,
    /// Nulls are `flb_null`.
    pub(super) has_null: bool,
}

impl Reader<'_> {
    /// Makes a value of the one at the start of `encoded`, and gives what follows it. No deeper than a record is.
    pub(super) fn value<'e>(&self, encoded: &'e [u8]) -> mlua::Result<(Value, &'e [u8])> {
        let Ok((rest, value)) = read::value(encoded) else {
            return Ok((Value::Nil, &[]));
        };
        let made = match value {
            Encoded::Nil if self.has_null => Value::NULL,
            Encoded::Nil => Value::Nil,
            Encoded::Bool(truth) => Value::Boolean(truth),
            Encoded::Unsigned(number) => Value::Number(number as f64),
            Encoded::Signed(number) => Value::Number(number as f64),
            Encoded::Float(number) => Value::Number(number),
            Encoded::Str(bytes) | Encoded::Bin(bytes) | Encoded::Ext(_, bytes) => {
                Value::String(self.lua.create_string(bytes)?)
            }
            Encoded::Array(count) => return self.array(rest, count),
            Encoded::Map(count) => {
                let mut pairs = Pairs::inside(rest, count);
                let map = self.map(count as usize, &mut pairs)?;
                return Ok((map, pairs.rest()));
            }
        };
        Ok((made, rest))
    }

    fn array<'e>(&self, mut rest: &'e [u8], count: u32) -> mlua::Result<(Value, &'e [u8])> {
        let table = self.lua.create_table_with_capacity(count as usize, 0)?;
        for index in 1..=i64::from(count) {
            let (item, behind) = self.value(rest)?;
            rest = behind;
            if !item.is_nil() {
                table.raw_set(index, item)?;
            }
        }
        table.set_metatable(Some(self.array.clone()))?;
        Ok((Value::Table(table), rest))
    }

    /// Makes a table of pairs.
    pub(super) fn map<'e>(
        &self,
        count: usize,
        pairs: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> mlua::Result<Value> {
        let table = self.lua.create_table_with_capacity(0, count)?;
        for (key, value) in pairs {
            let key = self.value(key)?.0;
            let is_key = match key {
                Value::Nil => false,
                Value::Number(number) => !number.is_nan(),
                _ => true,
            };
            if is_key {
                table.raw_set(key, self.value(value)?.0)?;
            }
        }
        Ok(Value::Table(table))
    }
}

/// Encodes Lua values.
pub(super) struct Writer<'w> {
    /// The metatable that marks arrays.
    pub(super) array: &'w Table,
    pub(super) types: &'w Types,
    /// The most bytes of a record. Tables may hold each other, and themselves.
    pub(super) limit: usize,
}

/// What a table is.
enum Shape {
    /// With the highest index.
    Array(usize),
    /// With the number of pairs.
    Map(usize),
}

impl Writer<'_> {
    /// Appends a value.
    pub(super) fn value(&self, value: &Value, out: &mut Vec<u8>) -> mlua::Result<()> {
        self.nested(value, b"", 0, out)
    }

    /// Appends a table as a map, whatever is in it.
    pub(super) fn map(&self, table: &Table, out: &mut Vec<u8>) -> mlua::Result<()> {
        let mut count = 0;
        table.for_each(|_: Value, _: Value| {
            count += 1;
            Ok(())
        })?;
        self.pairs(table, count, 0, out)
    }

    /// Appends the value of a key.
    fn nested(
        &self,
        value: &Value,
        key: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> mlua::Result<()> {
        if depth > MAX_DEPTH {
            return Err(mlua::Error::runtime("its record is nested too deep"));
        }
        if out.len() > self.limit {
            return Err(mlua::Error::runtime("its record is too large"));
        }
        match value {
            Value::Boolean(truth) => write::bool(out, *truth),
            Value::Integer(number) => write::signed(out, *number),
            Value::Number(number) => self.number(*number, key, out),
            Value::String(text) => write::str(out, &text.as_bytes()),
            Value::Table(table) => match self.shape(table, key)? {
                Shape::Array(count) => self.items(table, count, depth, out)?,
                Shape::Map(count) => self.pairs(table, count, depth, out)?,
            },
            // `flb_null`, and what has no form: functions, coroutines.
            _ => write::nil(out),
        }
        Ok(())
    }

    fn number(&self, number: f64, key: &[u8], out: &mut Vec<u8>) {
        let is_integer =
            number.fract() == 0.0 || self.types.integers.iter().any(|name| **name == *key);
        // Up to here an integer of 64 bits holds it.
        if is_integer && number.abs() < 9.2e18 {
            write::signed(out, number as i64);
        } else {
            write::float(out, number);
        }
    }

    /// Looks at all keys: if all are positive whole numbers it is an array. An empty one is what it was, or what its key says.
    fn shape(&self, table: &Table, key: &[u8]) -> mlua::Result<Shape> {
        let (mut count, mut highest) = (0, Some(0));
        table.for_each(|key: Value, _: Value| {
            count += 1;
            highest = match (highest, index(&key)) {
                (Some(highest), Some(index)) => Some(index.max(highest)),
                _ => None,
            };
            Ok(())
        })?;
        let is_array = || {
            table.metatable().is_some_and(|mark| mark == *self.array)
                || self.types.arrays.iter().any(|name| **name == *key)
        };
        Ok(match highest {
            Some(0) if is_array() => Shape::Array(0),
            Some(highest @ 1..) => Shape::Array(highest),
            _ => Shape::Map(count),
        })
    }

    fn items(
        &self,
        table: &Table,
        count: usize,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> mlua::Result<()> {
        let Ok(length) = u32::try_from(count) else {
            return Err(mlua::Error::runtime("its list is too long"));
        };
        write::array_header(out, length);
        for index in 1..=count {
            self.nested(&table.raw_get(index)?, b"", depth + 1, out)?;
        }
        Ok(())
    }

    fn pairs(
        &self,
        table: &Table,
        count: usize,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> mlua::Result<()> {
        write::map_header(out, count as u32);
        table.for_each(|key: Value, value: Value| {
            let name = match &key {
                Value::String(name) => name.as_bytes().to_vec(),
                _ => Vec::new(),
            };
            match &key {
                Value::Table(_) => write::nil(out),
                key => self.nested(key, b"", depth, out)?,
            }
            self.nested(&value, &name, depth + 1, out)
        })
    }
}

/// The index that a key is.
fn index(key: &Value) -> Option<usize> {
    let number = match key {
        Value::Integer(number) => *number,
        Value::Number(number) if number.fract() == 0.0 && *number < 9.2e18 => *number as i64,
        _ => return None,
    };
    usize::try_from(number).ok().filter(|index| *index > 0)
}
