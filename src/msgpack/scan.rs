//! Finds where a value ends without decoding it.

/// The deepest nesting accepted anywhere in a frame.
pub const MAX_DEPTH: usize = 64;

/// Why bytes can never become a value, however many follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The byte `c1`, which the format reserves.
    #[error("byte c1 starts no msgpack value")]
    Reserved,
    /// Nesting beyond [`MAX_DEPTH`].
    #[error("values are nested more than {MAX_DEPTH} deep")]
    Depth,
}

/// What a value's first bytes say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the marker and the length that follows it.
    pub header: usize,
    /// Bytes of payload behind the header; 0 for arrays and maps.
    pub payload: usize,
    /// Values inside: the length of an array, twice that of a map.
    pub children: u64,
}

/// Reads the head of the value at the start of `bytes`; `None` when it is cut.
///
/// # Errors
/// [`ScanError::Reserved`] on `c1`.
#[inline]
pub fn head(bytes: &[u8]) -> Result<Option<Head>, ScanError> {
    let Some(&marker) = bytes.first() else {
        return Ok(None);
    };
    let scalar = |payload| {
        Ok(Some(Head {
            header: 1,
            payload,
            children: 0,
        }))
    };
    match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => scalar(0),
        0xa0..=0xbf => scalar(usize::from(marker & 0x1f)),
        0x90..=0x9f => Ok(Some(Head {
            header: 1,
            payload: 0,
            children: u64::from(marker & 0x0f),
        })),
        0x80..=0x8f => Ok(Some(Head {
            header: 1,
            payload: 0,
            children: u64::from(marker & 0x0f) * 2,
        })),
        0xcc | 0xd0 => scalar(1),
        0xcd | 0xd1 | 0xd4 => scalar(2),
        0xca | 0xce | 0xd2 => scalar(4),
        0xcb | 0xcf | 0xd3 => scalar(8),
        0xd5 => scalar(3),
        0xd6 => scalar(5),
        0xd7 => scalar(9),
        0xd8 => scalar(17),
        0xc4 | 0xd9 => Ok(sized(bytes, 1, 0)),
        0xc5 | 0xda => Ok(sized(bytes, 2, 0)),
        0xc6 | 0xdb => Ok(sized(bytes, 4, 0)),
        0xc7 => Ok(sized(bytes, 1, 1)),
        0xc8 => Ok(sized(bytes, 2, 1)),
        0xc9 => Ok(sized(bytes, 4, 1)),
        0xdc => Ok(counted(bytes, 2, 1)),
        0xdd => Ok(counted(bytes, 4, 1)),
        0xde => Ok(counted(bytes, 2, 2)),
        0xdf => Ok(counted(bytes, 4, 2)),
        0xc1 => Err(ScanError::Reserved),
    }
}

/// A big-endian length of `width` bytes behind the marker.
#[inline]
fn length(bytes: &[u8], width: usize) -> Option<u64> {
    let digits = bytes.get(1..=width)?;
    Some(
        digits
            .iter()
            .fold(0, |length, &digit| (length << 8) | u64::from(digit)),
    )
}

/// A str, bin or ext; an ext has its type byte (`extra`) in front of the payload.
#[inline]
fn sized(bytes: &[u8], width: usize, extra: usize) -> Option<Head> {
    let payload = length(bytes, width)? as usize + extra;
    Some(Head {
        header: 1 + width,
        payload,
        children: 0,
    })
}

/// An array (`each` 1) or a map (`each` 2).
#[inline]
fn counted(bytes: &[u8], width: usize, each: u64) -> Option<Head> {
    let children = length(bytes, width)? * each;
    Some(Head {
        header: 1 + width,
        payload: 0,
        children,
    })
}

/// A search for the end of one value that can be taken up again when more bytes have come.
///
/// Positions count from the start of the value. The cost over all calls is linear in the value's size, also when it
/// arrives byte by byte.
#[derive(Debug, Clone)]
pub struct Scanner {
    position: usize,
    depth: usize,
    /// Values still to come on each open level.
    open: [u64; MAX_DEPTH],
}

impl Default for Scanner {
    fn default() -> Self {
        let mut open = [0; MAX_DEPTH];
        if let Some(first) = open.first_mut() {
            *first = 1;
        }
        Self {
            position: 0,
            depth: 1,
            open,
        }
    }
}

impl Scanner {
    /// How many bytes the value needs at least, as far as is known.
    pub fn least(&self) -> usize {
        self.position
    }

    /// Looks on in `bytes`, which start where the value starts; `None` while it is incomplete.
    ///
    /// # Errors
    /// What makes the value impossible, see [`ScanError`].
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, ScanError> {
        loop {
            while let Some(0) = self.open.get(self.depth.wrapping_sub(1)) {
                self.depth -= 1;
            }
            if self.depth == 0 {
                return Ok((self.position <= bytes.len()).then_some(self.position));
            }
            let Some(rest) = bytes.get(self.position..) else {
                return Ok(None);
            };
            let Some(head) = head(rest)? else {
                return Ok(None);
            };
            self.position += head.header + head.payload;
            if let Some(left) = self.open.get_mut(self.depth - 1) {
                *left -= 1;
            }
            if head.children > 0 {
                let level = self.open.get_mut(self.depth).ok_or(ScanError::Depth)?;
                *level = head.children;
                self.depth += 1;
            }
        }
    }
}

/// The length of the value at the start of `bytes`; `None` when it is cut.
///
/// # Errors
/// What makes the value impossible, see [`ScanError`].
#[inline]
pub fn value_len(bytes: &[u8]) -> Result<Option<usize>, ScanError> {
    match head(bytes)? {
        None => Ok(None),
        Some(Head {
            header,
            payload,
            children: 0,
        }) => Ok((header + payload <= bytes.len()).then_some(header + payload)),
        Some(_) => nested_len(bytes),
    }
}

/// As [`value_len`], for arrays and maps: one level is walked here, deeper ones by a [`Scanner`].
fn nested_len(bytes: &[u8]) -> Result<Option<usize>, ScanError> {
    let Some(outer) = head(bytes)? else {
        return Ok(None);
    };
    let mut position = outer.header;
    for _ in 0..outer.children {
        let Some(rest) = bytes.get(position..) else {
            return Ok(None);
        };
        match head(rest)? {
            None => return Ok(None),
            Some(child) if child.children == 0 => position += child.header + child.payload,
            Some(_) => return Scanner::default().end(bytes),
        }
    }
    Ok((position <= bytes.len()).then_some(position))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Option<usize>, ScanError>) {
        assert_eq!(value_len(bytes), expected, "{bytes:02x?}");
        assert_eq!(Scanner::default().end(bytes), expected, "{bytes:02x?}");
    }

    #[test]
    fn every_family_ends_where_the_format_says() {
        check(&[0x05], Ok(Some(1)));
        check(&[0xe0], Ok(Some(1)));
        check(&[0xa2, b'h', b'i', 0x01], Ok(Some(3)));
        check(&[0xd7, 0, 1, 2, 3, 4, 5, 6, 7, 8], Ok(Some(10)));
        check(&[0xc7, 2, 9, 1, 1], Ok(Some(5)));
        check(
            &[0x82, 0xa1, b'a', 0x92, 1, 2, 0xa1, b'b', 0x80, 0xff],
            Ok(Some(9)),
        );
        check(
            &[0xdf, 0, 0, 0, 1, 0xa1, b'k', 0xdd, 0, 0, 0, 1, 0xc3],
            Ok(Some(13)),
        );
    }

    #[test]
    fn a_cut_value_asks_for_more_and_allocates_nothing() {
        check(&[], Ok(None));
        check(&[0xdd, 0xff, 0xff, 0xff, 0xff], Ok(None));
        check(&[0xc6, 0xff, 0xff, 0xff, 0xff, 0], Ok(None));
    }

    #[test]
    fn what_can_never_be_a_value_is_an_error() {
        check(&[0xc1], Err(ScanError::Reserved));
        check(&[0x91, 0xc1], Err(ScanError::Reserved));
        check(&[0x91; 10_000], Err(ScanError::Depth));
    }

    #[test]
    fn nesting_is_fine_up_to_the_limit() {
        let mut bytes = vec![0x91; MAX_DEPTH - 1];
        bytes.push(0xc0);
        check(&bytes, Ok(Some(MAX_DEPTH)));
    }

    #[test]
    fn a_search_taken_up_again_byte_by_byte_finds_the_same_end() {
        let bytes = [
            0x93, 0xa1, b't', 0x92, 0x81, 0xa1, b'k', 0xc4, 2, 0, 0, 0x07, 0xd7, 0, 0, 0, 0, 0, 0,
            0, 0, 0,
        ];
        let mut scanner = Scanner::default();
        for cut in 0..bytes.len() {
            assert_eq!(scanner.end(&bytes[..cut]), Ok(None));
        }
        assert_eq!(scanner.end(&bytes), Ok(Some(bytes.len())));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            proptest::prop_assert_eq!(value_len(&bytes), Scanner::default().end(&bytes));
        }
    }
}
