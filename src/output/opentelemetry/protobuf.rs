//! Protocol buffers, as far as OTLP's logs need them: fields written one behind the other, and read.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// What stands behind a field's number.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

fn tag(field: u8, kind: u8, out: &mut Vec<u8>) {
    // All fields here have numbers below 16.
    out.push(field << 3 | kind);
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a number of variable length.
pub(super) fn varint(field: u8, number: u64, out: &mut Vec<u8>) {
    tag(field, VARINT, out);
    write_varint(number, out);
}

/// Appends a number of eight bytes.
pub(super) fn fixed64(field: u8, number: u64, out: &mut Vec<u8>) {
    tag(field, FIXED64, out);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a number of four bytes.
pub(super) fn fixed32(field: u8, number: u32, out: &mut Vec<u8>) {
    tag(field, FIXED32, out);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends bytes.
pub(super) fn bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    tag(field, BYTES, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a text; bad bytes become U+FFFD, since readers refuse a message with any.
pub(super) fn text(field: u8, text: &[u8], out: &mut Vec<u8>) {
    bytes(field, String::from_utf8_lossy(text).as_bytes(), out);
}

/// Appends a message that `write` appends the fields of.
pub(super) fn message(field: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    tag(field, BYTES, out);
    let start = out.len();
    write(out);
    wrap(start, out);
}

/// Puts the length of what stands from `start` on in front of it.
fn wrap(start: usize, out: &mut Vec<u8>) {
    let end = out.len();
    write_varint((end - start) as u64, out);
    let length = out.len() - end;
    if let Some(message) = out.get_mut(start..) {
        message.rotate_right(length);
    }
}

/// What is read of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'m> {
    /// A number of variable length.
    Varint(u64),
    /// Bytes, a text, a message.
    Bytes(&'m [u8]),
    /// A number of fixed length, which nothing here asks for.
    Fixed,
}

/// The fields of a message; ends at the first that is none.
#[derive(Debug, Clone)]
pub(super) struct Fields<'m>(pub(super) &'m [u8]);

impl<'m> Fields<'m> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'m [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = (u64, Value<'m>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match (tag & 7) as u8 {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => self.take(8).map(|_| Value::Fixed)?,
            BYTES => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            FIXED32 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back_as_they_were_written() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let inner = vec![7; length];
            let mut out = vec![];
            varint(1, u64::MAX, &mut out);
            fixed64(2, 5, &mut out);
            message(3, &mut out, |out| {
                out.extend_from_slice(&inner);
            });
            fixed32(4, 5, &mut out);
            text(5, b"a\xffb", &mut out);
            let fields: Vec<_> = Fields(&out).collect();
            let expected = [
                (1, Value::Varint(u64::MAX)),
                (2, Value::Fixed),
                (3, Value::Bytes(&inner)),
                (4, Value::Fixed),
                (5, Value::Bytes("a\u{fffd}b".as_bytes())),
            ];
            assert!(fields == expected, "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            Fields(&bytes).for_each(drop);
        }
    }
}
