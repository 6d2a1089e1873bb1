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

/// What a marker says about the bytes behind it.
#[derive(Clone, Copy)]
struct Marker {
    /// Bytes of the marker and of the payload that it alone determines; 0 for the reserved one.
    fixed: u8,
    /// Bytes of the big-endian length behind the marker.
    width: u8,
    /// Values inside that the marker alone determines.
    children: u8,
    /// Values inside for each one the length counts; 0 where it counts bytes.
    each: u8,
    /// Whether it opens an array or a map.
    opens: bool,
}

static MARKERS: [Marker; 256] = markers();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const fn markers() -> [Marker; 256] {
    let scalar = Marker {
        fixed: 1,
        width: 0,
        children: 0,
        each: 0,
        opens: false,
    };
    let mut markers = [scalar; 256];
    let mut byte = 0;
    while byte < markers.len() {
        let marker = &mut markers[byte];
        let low = byte as u8 & 0x0f;
        match byte {
            0x80..=0x8f => (marker.children, marker.opens) = (low * 2, true),
            0x90..=0x9f => (marker.children, marker.opens) = (low, true),
            0xa0..=0xbf => marker.fixed = 1 + (byte as u8 & 0x1f),
            0xc1 => marker.fixed = 0,
            0xc4 | 0xd9 => marker.width = 1,
            0xc5 | 0xda => marker.width = 2,
            0xc6 | 0xdb => marker.width = 4,
            // An ext has its type in front of the payload.
            0xc7 => (marker.fixed, marker.width) = (2, 1),
            0xc8 => (marker.fixed, marker.width) = (2, 2),
            0xc9 => (marker.fixed, marker.width) = (2, 4),
            0xcc | 0xd0 => marker.fixed = 2,
            0xcd | 0xd1 | 0xd4 => marker.fixed = 3,
            0xca | 0xce | 0xd2 => marker.fixed = 5,
            0xcb | 0xcf | 0xd3 => marker.fixed = 9,
            0xd5 => marker.fixed = 4,
            0xd6 => marker.fixed = 6,
            0xd7 => marker.fixed = 10,
            0xd8 => marker.fixed = 18,
            0xdc => (marker.width, marker.each, marker.opens) = (2, 1, true),
            0xdd => (marker.width, marker.each, marker.opens) = (4, 1, true),
            0xde => (marker.width, marker.each, marker.opens) = (2, 2, true),
            0xdf => (marker.width, marker.each, marker.opens) = (4, 2, true),
            _ => {}
        }
        byte += 1;
    }
    markers
}

impl Marker {
    /// The length behind the marker at the start of `bytes`; `None` when it is cut.
    #[inline]
    fn length(self, bytes: &[u8]) -> Option<u64> {
        let length = bytes.get(1..)?;
        Some(match self.width {
            0 => 0,
            1 => u64::from(*length.first()?),
            2 => u64::from(u16::from_be_bytes(*length.first_chunk()?)),
            _ => u64::from(u32::from_be_bytes(*length.first_chunk()?)),
        })
    }
}

/// Reads the head of the value at the start of `bytes`; `None` when it is cut.
///
/// # Errors
/// [`ScanError::Reserved`] on `c1`.
#[inline]
pub fn head(bytes: &[u8]) -> Result<Option<Head>, ScanError> {
    let Some(marker) = marker(bytes) else {
        return Ok(None);
    };
    if marker.fixed == 0 {
        return Err(ScanError::Reserved);
    }
    let Some(length) = marker.length(bytes) else {
        return Ok(None);
    };
    let counted = if marker.opens { 0 } else { length as usize };
    Ok(Some(Head {
        header: 1 + usize::from(marker.width),
        payload: usize::from(marker.fixed) - 1 + counted,
        children: u64::from(marker.children) + length * u64::from(marker.each),
    }))
}

#[inline]
fn marker(bytes: &[u8]) -> Option<Marker> {
    MARKERS.get(usize::from(*bytes.first()?)).copied()
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
        // Nearly always the whole value is there, and then nothing need be remembered.
        if self.position == 0
            && let Some(end) = flat_len(bytes)
        {
            (self.position, self.depth) = (end, 0);
            return Ok(Some(end));
        }
        self.resume(bytes)
    }

    /// As [`Scanner::end`], without a look whether the whole value is there, which is quicker where it is.
    ///
    /// # Errors
    /// What makes the value impossible, see [`ScanError`].
    pub fn resume(&mut self, bytes: &[u8]) -> Result<Option<usize>, ScanError> {
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
    match flat_len(bytes) {
        Some(end) => Ok(Some(end)),
        None => Scanner::default().resume(bytes),
    }
}

/// The length of the value at the start of `bytes`, found without a count for each level; `None` where that is not enough: the
/// value is cut, impossible, or has so many arrays and maps that they might lie [`MAX_DEPTH`] deep inside each other.
#[inline]
pub fn flat_len(bytes: &[u8]) -> Option<usize> {
    let (mut position, mut values, mut opened) = (0_usize, 1_u64, 0);
    while values > 0 {
        let rest = bytes.get(position..)?;
        let marker = marker(rest)?;
        position += usize::from(marker.fixed);
        values += u64::from(marker.children);
        values -= 1;
        if marker.width > 0 {
            let length = marker.length(rest)?;
            position += usize::from(marker.width);
            if marker.opens {
                values += length * u64::from(marker.each);
            } else {
                position += length as usize;
            }
        } else if marker.fixed == 0 {
            return None;
        }
        opened += usize::from(marker.opens);
        if opened >= MAX_DEPTH {
            return None;
        }
    }
    (position <= bytes.len()).then_some(position)
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

    /// Checklist: forward 54.
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

    /// Checklist: forward 53.
    #[test]
    fn nesting_is_fine_up_to_the_limit() {
        let mut bytes = vec![0x91; MAX_DEPTH - 1];
        bytes.push(0xc0);
        check(&bytes, Ok(Some(MAX_DEPTH)));
        bytes.insert(0, 0x91);
        check(&bytes, Err(ScanError::Depth));
        // Cut and whole are told apart by nothing but the bytes that came.
        assert_eq!(
            Scanner::default().end(&bytes[..MAX_DEPTH]),
            Err(ScanError::Depth)
        );
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
