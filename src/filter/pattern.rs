//! Keys as several filters name them.

use crate::msgpack::write;

/// The name of a key, or with a trailing `*` the start of one.
pub(super) struct KeyPattern {
    text: Box<[u8]>,
    is_prefix: bool,
}

impl KeyPattern {
    pub(super) fn new(text: &str) -> Self {
        let stem = text.strip_suffix('*');
        Self {
            text: stem.unwrap_or(text).as_bytes().into(),
            is_prefix: stem.is_some(),
        }
    }

    /// The part of a key that is compared.
    fn part<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        if self.is_prefix {
            key.get(..self.text.len()).unwrap_or_default()
        } else {
            key
        }
    }

    /// Whether a key fits.
    pub(super) fn matches(&self, key: &[u8]) -> bool {
        // A key that is too short for the prefix gives no part, which fits the prefix of no length only.
        self.part(key) == &*self.text
    }

    /// Whether a key fits in any case.
    pub(super) fn matches_in_any_case(&self, key: &[u8]) -> bool {
        self.part(key).eq_ignore_ascii_case(&self.text)
    }
}

/// The name of a key as text and in msgpack.
pub(super) struct Name {
    pub(super) text: Box<[u8]>,
    pub(super) encoded: Vec<u8>,
}

impl Name {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.as_bytes().into(),
            encoded: encoded(text),
        }
    }
}

/// A text in msgpack.
pub(super) fn encoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::str(&mut out, text.as_bytes());
    out
}
