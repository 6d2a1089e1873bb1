//! Reads texts and base64 data out of request bodies without keeping them.
//!
//! The parser hands each string to a visitor, which measures it and looks for marks: one pass over the
//! body and, for texts, no allocation at all.

use std::fmt;
use std::io::Read;

use serde::Deserializer;
use serde::de::{Error, Visitor};

use super::ledger::Item;

/// The most bytes that a record compressed by the client may hold.
const MAX_INFLATED: u64 = 16 << 20;

/// Deserialises a JSON string as an item.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
    deserializer.deserialize_str(Text)
}

/// Deserialises a base64 string as an item; data that is gzip is looked into.
pub(super) fn blob<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
    deserializer.deserialize_str(Blob)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Item;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        Ok(Item::of(text.as_bytes()))
    }
}

struct Blob;

impl Visitor<'_> for Blob {
    type Value = Item;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("base64 with padding")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        let data = base64_simd::STANDARD.decode_to_vec(text).map_err(|_| {
            E::custom("Unable to decode Base64: invalid character or missing padding")
        })?;
        if !data.starts_with(&[0x1f, 0x8b]) {
            return Ok(Item::of(&data));
        }
        let mut inflated = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(data.as_slice()).take(MAX_INFLATED);
        decoder
            .read_to_end(&mut inflated)
            .map_err(|error| E::custom(format!("record is broken gzip: {error}")))?;
        Ok(Item::of(&inflated).sized(data.len()))
    }
}
