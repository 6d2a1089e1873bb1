//! Keys of objects: `/logs/$TAG[1]/%Y/%m/%d/$UUID.gz`.
//!
//! | token | meaning |
//! |---|---|
//! | `$TAG`, `$TAG[n]` | the tag, its n-th part between delimiters |
//! | `$UUID` | eight characters that differ for each object |
//! | `$INDEX` | counts the objects of this output, also over restarts |
//! | `%Y`, .. | strftime of the time at which the object's file was begun, in UTC |

use std::time::SystemTime;

use jiff::Timestamp;

/// The longest key.
const KEY_MAX: usize = 1024;
/// What a key gets that has nothing of its own to tell objects apart.
const SUFFIX: &str = "-object";
/// The characters of `$UUID`.
const RANDOM: usize = 8;
/// `$TAG[9]` is the last.
const PARTS: usize = 10;

/// A format that was read.
#[derive(Debug, Clone)]
pub(super) struct KeyFormat {
    format: String,
    delimiters: String,
    /// No suffix.
    is_static: bool,
}

/// What a key is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ingredients<'a> {
    pub(super) tag: &'a str,
    pub(super) created: SystemTime,
    pub(super) index: u64,
    /// See [`random`].
    pub(super) random: &'a str,
    /// The object is uploaded whole, by `PutObject`.
    pub(super) whole: bool,
}

/// Eight characters.
pub(super) fn random() -> String {
    (0..RANDOM).map(|_| fastrand::alphanumeric()).collect()
}

impl KeyFormat {
    /// Takes a format, the delimiters of a tag's parts, and whether keys stay without a suffix.
    ///
    /// # Errors
    /// What is wrong with the format.
    pub(super) fn new(format: &str, delimiters: &str, is_static: bool) -> Result<Self, String> {
        if !format.starts_with('/') {
            return Err("has to start with a slash".to_owned());
        }
        let key = Self {
            format: format.to_owned(),
            delimiters: delimiters.to_owned(),
            is_static,
        };
        key.dated(SystemTime::UNIX_EPOCH)?;
        Ok(key)
    }

    /// Whether objects are counted.
    pub(super) fn has_index(&self) -> bool {
        self.format.contains("$INDEX")
    }

    /// Makes a key, slash first.
    pub(super) fn render(&self, with: Ingredients<'_>) -> String {
        // Dates first: a percent sign in a tag starts no date.
        let format = self.dated(with.created);
        let mut key = self.fill(&format.unwrap_or_else(|_| self.format.clone()), with);
        let is_told_apart = self.format.contains("$UUID") || self.has_index();
        let room = KEY_MAX - SUFFIX.len() - RANDOM;
        if with.whole && !self.is_static && !is_told_apart && key.len() < room {
            key.push_str(SUFFIX);
            key.push_str(with.random);
        }
        key.truncate(key.floor_char_boundary(KEY_MAX));
        key
    }

    fn dated(&self, time: SystemTime) -> Result<String, String> {
        let time = Timestamp::try_from(time).unwrap_or_default();
        let zoned = time.to_zoned(jiff::tz::TimeZone::UTC);
        jiff::fmt::strtime::format(&self.format, &zoned).map_err(|error| error.to_string())
    }

    fn fill(&self, format: &str, with: Ingredients<'_>) -> String {
        let mut key = String::with_capacity(format.len() + with.tag.len());
        let mut rest = format;
        while let Some((before, behind)) = rest.split_once('$') {
            key.push_str(before);
            rest = behind;
            if let Some((part, behind)) = self.part(behind, with.tag) {
                key.push_str(part);
                rest = behind;
            } else if let Some(behind) = behind.strip_prefix("TAG") {
                key.push_str(with.tag);
                rest = behind;
            } else if let Some(behind) = behind.strip_prefix("INDEX") {
                key.push_str(itoa::Buffer::new().format(with.index));
                rest = behind;
            } else if let Some(behind) = behind.strip_prefix("UUID") {
                key.push_str(with.random);
                rest = behind;
            } else {
                key.push('$');
            }
        }
        key + rest
    }

    /// The part that `TAG[n]` names, and what follows it; `None` where there is none, which leaves the token as it is.
    fn part<'t, 'f>(&self, token: &'f str, tag: &'t str) -> Option<(&'t str, &'f str)> {
        let (index, behind) = token.strip_prefix("TAG[")?.split_once(']')?;
        let index: usize = index.parse().ok().filter(|index| *index < PARTS)?;
        // Delimiters in a row count as one.
        let mut parts = tag
            .split(|c| self.delimiters.contains(c))
            .filter(|part| !part.is_empty());
        Some((parts.nth(index)?, behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rendered(format: &str, delimiters: &str, tag: &str) -> String {
        let key = KeyFormat::new(format, delimiters, false).unwrap();
        key.render(Ingredients {
            tag,
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            index: 7,
            random: "abcdefgh",
            whole: true,
        })
    }

    /// Checklist: outputs 42
    #[test]
    fn tokens_are_replaced() {
        for (format, expected) in [
            (
                "/$TAG[0]/$TAG[1]/$TAG/x",
                "/prod/web/prod.web.%Y/x-objectabcdefgh",
            ),
            ("/u/$TAG[0]-$UUID.log", "/u/prod-abcdefgh.log"),
            ("/%Y/%m/%d/%H/%M/%S", "/2023/11/14/22/13/20-objectabcdefgh"),
            ("/$INDEX/$UUID/$UUID", "/7/abcdefgh/abcdefgh"),
            ("/$TAG[3]/$X", "/prod.web.%Y[3]/$X-objectabcdefgh"),
        ] {
            assert_eq!(rendered(format, ".", "prod.web.%Y"), expected, "{format}");
        }
    }

    /// Checklist: outputs 42
    #[test]
    fn delimiters_in_a_row_count_as_one() {
        let key = rendered("/$TAG[1]-$TAG[2]-$TAG[0]/$UUID", ".-", "app--firelens.77");
        assert_eq!(key, "/firelens-77-app/abcdefgh");
    }

    /// Checklist: outputs 42
    #[test]
    fn a_key_is_cut_and_then_gets_no_suffix() {
        let tag = "\u{e9}".repeat(600);
        let key = rendered("/$TAG", ".", &tag);
        assert!(key.len() >= KEY_MAX - 1 && key.len() <= KEY_MAX && !key.contains(SUFFIX));
    }

    /// Checklist: outputs 6
    #[test]
    fn a_format_that_cannot_be_is_refused() {
        assert!(KeyFormat::new("x/$TAG", ".", false).is_err());
        assert!(KeyFormat::new("/%!", ".", false).is_err());
    }
}
