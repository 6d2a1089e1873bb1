//! Reads one value at a time from a slice, as [`nom`] parsers.

use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::error::{Error, ErrorKind};
use nom::number::complete::{
    be_f32, be_f64, be_i8, be_i16, be_i32, be_i64, be_u8, be_u16, be_u32, be_u64,
};

use super::scan;

/// One value; arrays and maps say only how many elements or pairs follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `nil`
    Nil,
    /// `true` or `false`
    Bool(bool),
    /// Any non-negative integer.
    Unsigned(u64),
    /// A negative integer.
    Signed(i64),
    /// A float of either width.
    Float(f64),
    /// Text; not necessarily UTF-8.
    Str(&'a [u8]),
    /// Bytes.
    Bin(&'a [u8]),
    /// A type and its bytes.
    Ext(i8, &'a [u8]),
    /// So many values follow.
    Array(u32),
    /// So many pairs follow.
    Map(u32),
}

/// Reads the value at the start of `input`.
///
/// # Errors
/// When it is cut or starts with the reserved byte.
#[inline]
pub fn value(input: &[u8]) -> IResult<&[u8], Value<'_>> {
    let (rest, marker) = be_u8(input)?;
    match marker {
        0x00..=0x7f => Ok((rest, Value::Unsigned(u64::from(marker)))),
        0xa0..=0xbf => take(marker & 0x1f).map(Value::Str).parse(rest),
        0x80..=0x8f => Ok((rest, Value::Map(u32::from(marker & 0x0f)))),
        0x90..=0x9f => Ok((rest, Value::Array(u32::from(marker & 0x0f)))),
        0xe0..=0xff => Ok((rest, Value::Signed(i64::from(marker.cast_signed())))),
        0xc0 => Ok((rest, Value::Nil)),
        0xc2 => Ok((rest, Value::Bool(false))),
        0xc3 => Ok((rest, Value::Bool(true))),
        0xca => be_f32
            .map(|float| Value::Float(f64::from(float)))
            .parse(rest),
        0xcb => be_f64.map(Value::Float).parse(rest),
        0xcc => be_u8
            .map(|number| Value::Unsigned(u64::from(number)))
            .parse(rest),
        0xcd => be_u16
            .map(|number| Value::Unsigned(u64::from(number)))
            .parse(rest),
        0xce => be_u32
            .map(|number| Value::Unsigned(u64::from(number)))
            .parse(rest),
        0xcf => be_u64.map(Value::Unsigned).parse(rest),
        0xd0 => be_i8.map(|number| signed(i64::from(number))).parse(rest),
        0xd1 => be_i16.map(|number| signed(i64::from(number))).parse(rest),
        0xd2 => be_i32.map(|number| signed(i64::from(number))).parse(rest),
        0xd3 => be_i64.map(signed).parse(rest),
        0xdc => be_u16
            .map(|count| Value::Array(u32::from(count)))
            .parse(rest),
        0xdd => be_u32.map(Value::Array).parse(rest),
        0xde => be_u16.map(|count| Value::Map(u32::from(count))).parse(rest),
        0xdf => be_u32.map(Value::Map).parse(rest),
        _ => sized(marker, rest),
    }
}

/// A signed family may hold a positive number; it reads as [`Value::Unsigned`].
fn signed(number: i64) -> Value<'static> {
    u64::try_from(number).map_or(Value::Signed(number), Value::Unsigned)
}

/// Str, bin and ext of every width.
fn sized(marker: u8, rest: &[u8]) -> IResult<&[u8], Value<'_>> {
    let (rest, length) = match marker {
        0xc4 | 0xc7 | 0xd9 => be_u8.map(u32::from).parse(rest)?,
        0xc5 | 0xc8 | 0xda => be_u16.map(u32::from).parse(rest)?,
        0xc6 | 0xc9 | 0xdb => be_u32(rest)?,
        0xd4..=0xd8 => (rest, 1 << (marker - 0xd4)),
        _ => return Err(nom::Err::Error(Error::new(rest, ErrorKind::Switch))),
    };
    match marker {
        0xd9..=0xdb => take(length).map(Value::Str).parse(rest),
        0xc4..=0xc6 => take(length).map(Value::Bin).parse(rest),
        _ => {
            let (rest, kind) = be_i8(rest)?;
            take(length)
                .map(|bytes| Value::Ext(kind, bytes))
                .parse(rest)
        }
    }
}

/// Takes the value at the start of `input` whole, as bytes.
///
/// # Errors
/// When it is cut, reserved or nested too deep.
#[inline]
pub fn raw(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let length = match *input {
        // Nearly all keys and most values are short texts.
        [marker @ 0xa0..=0xbf, ..] => 1 + usize::from(marker & 0x1f),
        [0xd9, length, ..] => 2 + usize::from(length),
        [0xda, high, low, ..] => 3 + usize::from(u16::from_be_bytes([high, low])),
        _ => match scan::value_len(input) {
            Ok(Some(length)) => length,
            _ => return Err(nom::Err::Error(Error::new(input, ErrorKind::Eof))),
        },
    };
    take(length)(input)
}

/// The bytes of a str or bin value.
pub fn text(value: &[u8]) -> Option<&[u8]> {
    match self::value(value) {
        Ok((_, Value::Str(bytes) | Value::Bin(bytes))) => Some(bytes),
        _ => None,
    }
}

/// Walks the pairs of a map as raw bytes; a record whose bytes are not a whole map yields what there is.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Pairs<'a> {
    /// Opens the map at the start of `record`; anything else has no pairs.
    #[inline]
    pub fn of(record: &'a [u8]) -> Self {
        match value(record) {
            Ok((rest, Value::Map(left))) => Self { rest, left },
            _ => Self { rest: &[], left: 0 },
        }
    }

    /// Walks `left` pairs that follow a map's header.
    #[inline]
    pub fn inside(rest: &'a [u8], left: u32) -> Self {
        Self { rest, left }
    }

    /// What follows the pairs walked so far.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many pairs are left.
    pub fn left(&self) -> u32 {
        self.left
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (rest, key) = raw(self.rest).ok()?;
        let (rest, value) = raw(rest).ok()?;
        self.rest = rest;
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_family_read_as_their_number() {
        let cases: [(&[u8], Value); 8] = [
            (&[0x07], Value::Unsigned(7)),
            (&[0xff], Value::Signed(-1)),
            (&[0xd0, 0x05], Value::Unsigned(5)),
            (&[0xd1, 0xff, 0xfe], Value::Signed(-2)),
            (&[0xd2, 0, 0, 1, 0], Value::Unsigned(256)),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], Value::Signed(i64::MIN)),
            (
                &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Value::Unsigned(u64::MAX),
            ),
            (&[0xcd, 1, 0], Value::Unsigned(256)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(value(bytes), Ok((&[][..], expected)));
        }
    }

    #[test]
    fn text_and_ext_borrow_their_bytes() {
        assert_eq!(value(&[0xa2, b'h', b'i']), Ok((&[][..], Value::Str(b"hi"))));
        assert_eq!(value(&[0xc4, 1, 9]), Ok((&[][..], Value::Bin(&[9]))));
        assert_eq!(
            value(&[0xd5, 3, 1, 2]),
            Ok((&[][..], Value::Ext(3, &[1, 2])))
        );
        assert!(value(&[0xd9, 200, b'x']).is_err());
    }

    #[test]
    fn pairs_walk_a_map_in_its_order() {
        let record = [0x82, 0xa1, b'a', 0x91, 0x01, 0xa1, b'b', 0xc0];
        let pairs: Vec<_> = Pairs::of(&record).collect();
        assert_eq!(
            pairs,
            [
                (&record[1..3], &record[3..5]),
                (&record[5..7], &record[7..8])
            ]
        );
    }
}
