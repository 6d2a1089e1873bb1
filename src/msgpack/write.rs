//! Writes values in their shortest form.

/// Appends a map header for `pairs` pairs.
pub fn map_header(out: &mut Vec<u8>, pairs: u32) {
    match pairs {
        0..=15 => out.push(0x80 | pairs as u8),
        16..=0xffff => sized(out, 0xde, &(pairs as u16).to_be_bytes()),
        _ => sized(out, 0xdf, &pairs.to_be_bytes()),
    }
}

/// A map at the end of a buffer, for whoever learns the number of its pairs only while writing them.
///
/// ```text
/// let mut map = OpenMap::begin(out);
/// map.count();  // and append a key and a value
/// map.end(out);
/// ```
#[derive(Debug)]
pub struct OpenMap {
    header: usize,
    pairs: u32,
}

impl OpenMap {
    /// Appends a header of one byte.
    pub fn begin(out: &mut Vec<u8>) -> Self {
        let header = out.len();
        map_header(out, 0);
        Self { header, pairs: 0 }
    }

    /// Notes one more pair.
    pub fn count(&mut self) {
        self.pairs += 1;
    }

    /// How many pairs were noted.
    pub fn pairs(&self) -> u32 {
        self.pairs
    }

    /// Takes the map and all it holds away again.
    pub fn abandon(self, out: &mut Vec<u8>) {
        out.truncate(self.header);
    }

    /// Writes the number of pairs. From 16 on the header takes more than its byte, and the pairs move up once.
    pub fn end(self, out: &mut Vec<u8>) {
        if let (0..=15, Some(header)) = (self.pairs, out.get_mut(self.header)) {
            *header = 0x80 | self.pairs as u8;
            return;
        }
        let end = out.len();
        map_header(out, self.pairs);
        let length = out.len() - end;
        if let Some(tail) = out.get_mut(self.header..) {
            tail.rotate_right(length);
        }
        // The byte that kept the place stands behind the header now.
        out.remove(self.header + length);
    }
}

/// Appends an array header for `items` values.
pub fn array_header(out: &mut Vec<u8>, items: u32) {
    match items {
        0..=15 => out.push(0x90 | items as u8),
        16..=0xffff => sized(out, 0xdc, &(items as u16).to_be_bytes()),
        _ => sized(out, 0xdd, &items.to_be_bytes()),
    }
}

/// Appends a str; the bytes need not be UTF-8.
///
/// # Panics
/// Never: text from 4 GiB on cannot reach this, since no frame is that long.
pub fn str(out: &mut Vec<u8>, text: &[u8]) {
    str_header(out, text.len());
    out.extend_from_slice(text);
}

fn str_header(out: &mut Vec<u8>, length: usize) {
    match length {
        0..=31 => out.push(0xa0 | length as u8),
        32..=0xff => sized(out, 0xd9, &[length as u8]),
        0x100..=0xffff => sized(out, 0xda, &(length as u16).to_be_bytes()),
        _ => sized(out, 0xdb, &(length as u32).to_be_bytes()),
    }
}

/// Appends the parts as one str.
pub fn strs(out: &mut Vec<u8>, parts: &[&[u8]]) {
    str_header(out, parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a bin.
pub fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        0..=0xff => sized(out, 0xc4, &[bytes.len() as u8]),
        0x100..=0xffff => sized(out, 0xc5, &(bytes.len() as u16).to_be_bytes()),
        _ => sized(out, 0xc6, &(bytes.len() as u32).to_be_bytes()),
    }
    out.extend_from_slice(bytes);
}

/// Appends a non-negative integer.
pub fn unsigned(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => sized(out, 0xcc, &[number as u8]),
        0x100..=0xffff => sized(out, 0xcd, &(number as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => sized(out, 0xce, &(number as u32).to_be_bytes()),
        _ => sized(out, 0xcf, &number.to_be_bytes()),
    }
}

/// Appends an integer of either sign.
pub fn signed(out: &mut Vec<u8>, number: i64) {
    match number {
        0.. => unsigned(out, number.cast_unsigned()),
        -32..=-1 => out.push((number as i8).cast_unsigned()),
        -0x80..=-33 => sized(out, 0xd0, &(number as i8).to_be_bytes()),
        -0x8000..=-0x81 => sized(out, 0xd1, &(number as i16).to_be_bytes()),
        -0x8000_0000..=-0x8001 => sized(out, 0xd2, &(number as i32).to_be_bytes()),
        _ => sized(out, 0xd3, &number.to_be_bytes()),
    }
}

/// Appends a 64-bit float.
pub fn float(out: &mut Vec<u8>, number: f64) {
    sized(out, 0xcb, &number.to_be_bytes());
}

/// Appends `true` or `false`.
pub fn bool(out: &mut Vec<u8>, truth: bool) {
    out.push(if truth { 0xc3 } else { 0xc2 });
}

/// Appends `nil`.
pub fn nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

fn sized(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::read::{Value, value};

    #[test]
    fn a_map_is_counted_while_it_is_written() {
        for pairs in [0_u32, 1, 15, 16, 17, 70_000] {
            let mut out = vec![0xc0];
            let mut map = OpenMap::begin(&mut out);
            for _ in 0..pairs {
                map.count();
                out.extend_from_slice(&[0xa1, b'k', 7]);
            }
            map.end(&mut out);
            let mut expected = vec![0xc0];
            map_header(&mut expected, pairs);
            expected.extend([0xa1, b'k', 7].repeat(pairs as usize));
            assert!(out == expected, "{pairs}");
        }
    }

    proptest::proptest! {
        #[test]
        fn integers_read_back_as_written(number in proptest::num::i64::ANY, shift in 0..64u32) {
            let number = number >> shift;
            let mut out = Vec::new();
            signed(&mut out, number);
            let expected = u64::try_from(number).map_or(Value::Signed(number), Value::Unsigned);
            proptest::prop_assert_eq!(value(&out), Ok((&[][..], expected)));
        }

        #[test]
        fn text_and_bytes_read_back_as_written(text in proptest::collection::vec(proptest::num::u8::ANY, 0..70_000)) {
            let mut out = Vec::new();
            str(&mut out, &text);
            proptest::prop_assert_eq!(value(&out), Ok((&[][..], Value::Str(&text))));
            out.clear();
            bin(&mut out, &text);
            proptest::prop_assert_eq!(value(&out), Ok((&[][..], Value::Bin(&text))));
        }
    }
}
