//! Printable text as it stands inside a JSON string, many bytes at a time.
//!
//! Logs are mostly printable ASCII with a quote every few dozen bytes. Stopping at each costs more than copying the text, because
//! where the quotes are is noise to the processor's branch prediction. So eight bytes at a time are spread by a table
//! that knows, for each of the 256 ways in which some of them need a backslash, where each byte goes.

use wide::u8x16;

/// Bytes that are spread together.
const GROUP: usize = 8;

/// For each set of marked bytes in a group and each byte of the result: the place it comes from; [`GROUP`] for a backslash.
/// Only the first 16 bytes of the result.
type Table = [[u8; 16]; 256];

static ONCE: Table = table(1);
static NESTED: Table = table(3);

/// Makes the table that puts `before` backslashes in front of each marked byte.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const fn table(before: usize) -> Table {
    let mut table = [[0; 16]; 256];
    let mut marks = 0;
    while marks < table.len() {
        let (mut from, mut to) = (0, 0);
        while from < GROUP {
            let mut backslashes = if marks >> from & 1 == 1 { before } else { 0 };
            while backslashes > 0 && to < 16 {
                table[marks][to] = GROUP as u8;
                to += 1;
                backslashes -= 1;
            }
            if to < 16 {
                table[marks][to] = from as u8;
                to += 1;
            }
            from += 1;
        }
        marks += 1;
    }
    table
}

/// Appends the printable ASCII at the start of `text`, with quotes and backslashes escaped once, or once more when `NEST`,
/// and gives how many bytes of `text` that was. What follows them is the end, a control character, or beyond ASCII.
#[inline]
pub(super) fn printable<const NEST: bool>(text: &[u8], out: &mut Vec<u8>) -> usize {
    let mut done = 0;
    for [low, high] in text.as_chunks().0.as_chunks::<2>().0 {
        let (low_marks, low_odd) = marks(*low);
        let (high_marks, high_odd) = marks(*high);
        if low_odd | high_odd != 0 {
            break;
        }
        if low_marks | high_marks == 0 {
            out.extend_from_slice(low);
            out.extend_from_slice(high);
        } else {
            let [first, second] = halves(low);
            spread::<NEST>(first, low_marks as u8, GROUP, out);
            spread::<NEST>(second, (low_marks >> GROUP) as u8, GROUP, out);
            let [first, second] = halves(high);
            spread::<NEST>(first, high_marks as u8, GROUP, out);
            spread::<NEST>(second, (high_marks >> GROUP) as u8, GROUP, out);
        }
        done += low.len() + high.len();
    }
    let (groups, rest) = text.get(done..).unwrap_or_default().as_chunks::<GROUP>();
    for group in groups {
        let (marks, odd) = marks(beside_backslashes(*group));
        // The filling is marked; only the group counts.
        if odd != 0 {
            break;
        }
        spread::<NEST>(*group, marks as u8, GROUP, out);
        done += GROUP;
    }
    if !rest.is_empty()
        && done + rest.len() == text.len()
        && let Some(group) = last_group(text, rest.len())
    {
        let (marks, odd) = marks(beside_backslashes(group));
        let inside = (1 << rest.len()) - 1;
        if odd & inside == 0 {
            spread::<NEST>(group, (marks & inside) as u8, rest.len(), out);
            return text.len();
        }
    }
    for &byte in text.get(done..).unwrap_or_default() {
        match byte {
            b'"' | b'\\' => {
                out.extend_from_slice(if NEST { b"\\\\\\" } else { b"\\" });
                out.push(byte);
            }
            0x20..=0x7e => out.push(byte),
            _ => break,
        }
        done += 1;
    }
    done
}

/// Which bytes need a backslash, and which are not printable ASCII: a bit for each.
#[inline]
fn marks(bytes: [u8; 16]) -> (u32, u32) {
    let bytes = u8x16::new(bytes);
    let backslash = bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
    let odd = bytes.simd_lt(u8x16::splat(0x20)) | bytes.simd_gt(u8x16::splat(0x7e));
    (backslash.to_bitmask(), odd.to_bitmask())
}

#[inline]
fn halves(bytes: &[u8; 16]) -> [[u8; GROUP]; 2] {
    let whole = u128::from_le_bytes(*bytes);
    [
        (whole as u64).to_le_bytes(),
        ((whole >> 64) as u64).to_le_bytes(),
    ]
}

/// The source of a spread: the group, and backslashes from place [`GROUP`] on.
#[inline]
fn beside_backslashes(group: [u8; GROUP]) -> [u8; 16] {
    const BACKSLASHES: u128 = u64::from_le_bytes([b'\\'; GROUP]) as u128;
    (u128::from(u64::from_le_bytes(group)) | BACKSLASHES << 64).to_le_bytes()
}

/// The last `length` bytes of a text, fewer than a group, with zeros behind them: read at once, from where they overlap what is done
/// already. Nothing where the text is shorter than half a group.
#[inline]
fn last_group(text: &[u8], length: usize) -> Option<[u8; GROUP]> {
    let group = if let Some(last) = text.last_chunk() {
        u64::from_le_bytes(*last) >> (8 * (GROUP - length))
    } else {
        let (first, last) = (text.first_chunk()?, text.last_chunk()?);
        let last = u64::from(u32::from_le_bytes(*last));
        u64::from(u32::from_le_bytes(*first)) | last << (8 * (length - GROUP / 2))
    };
    Some(group.to_le_bytes())
}

/// Appends the first `count` bytes of a group, whose marked bytes need backslashes.
#[inline]
fn spread<const NEST: bool>(group: [u8; GROUP], marks: u8, count: usize, out: &mut Vec<u8>) {
    if NEST && marks.count_ones() > 2 {
        // The result may be longer than 16 bytes, so each half goes by itself.
        let (low, high) = (marks & 0x0f, marks >> 4);
        let half = count.min(GROUP / 2);
        place::<NEST>(group, low, half, out);
        let behind = (u64::from_le_bytes(group) >> 32).to_le_bytes();
        place::<NEST>(behind, high, count - half, out);
    } else {
        place::<NEST>(group, marks, count, out);
    }
}

/// The same where the result is not longer than 16 bytes.
#[inline]
fn place<const NEST: bool>(group: [u8; GROUP], marks: u8, count: usize, out: &mut Vec<u8>) {
    let (table, before) = if NEST { (&NESTED, 3) } else { (&ONCE, 1) };
    let places = table.get(usize::from(marks)).copied().unwrap_or_default();
    let bytes = u8x16::new(beside_backslashes(group)).shuffle(u8x16::new(places));
    // All 16 bytes are stored and the surplus is cut off again, which is cheaper than a store of varying length.
    let end = out.len() + count + before * marks.count_ones() as usize;
    out.extend_from_slice(&bytes.to_array());
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn byte_by_byte(text: &[u8], backslashes: &[u8]) -> (usize, Vec<u8>) {
        let mut out = Vec::new();
        for (done, &byte) in text.iter().enumerate() {
            if !matches!(byte, 0x20..=0x7e) {
                return (done, out);
            }
            if matches!(byte, b'"' | b'\\') {
                out.extend_from_slice(backslashes);
            }
            out.push(byte);
        }
        (text.len(), out)
    }

    #[test]
    fn every_set_of_marks_in_a_group_is_spread_as_byte_by_byte() {
        for marks in 0..=255_u8 {
            let text: Vec<u8> = (0..8)
                .map(|bit| {
                    if marks >> bit & 1 == 1 {
                        b'"'
                    } else {
                        b'a' + bit
                    }
                })
                .collect();
            for length in (1..=16).chain([32]) {
                let text = text.repeat(4);
                let text = &text[..length];
                let (mut once, mut nested) = (Vec::new(), Vec::new());
                let done = (
                    printable::<false>(text, &mut once),
                    printable::<true>(text, &mut nested),
                );
                assert_eq!((done.0, once), byte_by_byte(text, b"\\"));
                assert_eq!((done.1, nested), byte_by_byte(text, b"\\\\\\"));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_written_up_to_what_is_not_printable(text in r#"[a-z"\\]{0,70}[\x00-\x7f\u{80}]{0,10}[a-z"]{0,70}"#) {
            let (mut once, mut nested) = (Vec::new(), Vec::new());
            let text = text.as_bytes();
            let done = (printable::<false>(text, &mut once), printable::<true>(text, &mut nested));
            proptest::prop_assert_eq!((done.0, once), byte_by_byte(text, b"\\"));
            proptest::prop_assert_eq!((done.1, nested), byte_by_byte(text, b"\\\\\\"));
        }
    }
}
