//! Text that is not UTF-8.
//!
//! Onigmo takes a byte that belongs to no character as a character of its own, which `.` and `[^a]` match. The engines
//! here know only characters, so each such byte is replaced by a private-use character that stands for it, and the
//! places of a match are counted back. That costs an allocation, and happens only for text that is not UTF-8.

/// The stand-in of byte 0x80; that of byte `b` is this far from it.
const STAND_IN_BASE: u32 = 0x10_FF00;

/// The first of the stand-ins.
pub(super) const STAND_IN_EXAMPLE: char = '\u{10FF80}';

/// A stand-in takes four bytes, the byte it stands for one.
const STAND_IN_EXCESS: usize = 3;

/// The character that stands for a byte that belongs to no character.
pub(super) fn stand_in(byte: u8) -> char {
    char::from_u32(STAND_IN_BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Text in which every byte that belongs to no character has been replaced by its stand-in.
pub(super) struct Repaired {
    /// The text to search.
    pub(super) text: String,
    stand_ins: Vec<usize>,
}

impl Repaired {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len() + STAND_IN_EXCESS);
        let mut stand_ins = Vec::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                stand_ins.push(text.len());
                text.push(stand_in(*byte));
            }
        }
        Self { text, stand_ins }
    }

    /// The place in the bytes that a place in the text corresponds to.
    pub(super) fn place(&self, at: usize) -> usize {
        at - STAND_IN_EXCESS * self.stand_ins.partition_point(|stand_in| *stand_in < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_back_to_the_bytes() {
        let repaired = Repaired::new(b"a\xFFb\xE2\x82c");
        assert_eq!(repaired.text, "a\u{10FFFF}b\u{10FFE2}\u{10FF82}c");
        let places: Vec<usize> = repaired
            .text
            .char_indices()
            .map(|(at, _)| repaired.place(at))
            .collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
        assert_eq!(repaired.place(repaired.text.len()), 6);
    }
}
