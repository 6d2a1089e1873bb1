//! Tags, and the globs that choose among them.

use std::fmt;
use std::sync::Arc;

/// What a client calls its events. Bytes as they came; display shows them with anything odd escaped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Arc<[u8]>);

impl Tag {
    /// Takes a tag as it stands.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text, with U+FFFD where the bytes are no UTF-8.
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl fmt::Display for Tag {
    /// Control characters are escaped, so that a tag cannot forge a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.to_text().chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// A `Match` glob: `*` stands for any run of bytes, everything else for itself, anchored at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern(Box<[u8]>);

impl TagPattern {
    /// Takes the text of a `Match`.
    pub fn new(glob: &str) -> Self {
        Self(glob.as_bytes().into())
    }

    /// Whether the glob covers the whole tag. Linear for one star, and never worse than tag × glob.
    pub fn matches(&self, tag: &[u8]) -> bool {
        let glob = &self.0;
        let (mut at, mut in_tag) = (0, 0);
        // Where to take up again with one byte more under the last star.
        let mut last_star = None;
        while let Some(&byte) = tag.get(in_tag) {
            match glob.get(at) {
                Some(b'*') => {
                    at += 1;
                    last_star = Some((at, in_tag));
                }
                Some(&want) if want == byte => {
                    at += 1;
                    in_tag += 1;
                }
                _ => {
                    let Some((star, covered)) = last_star else {
                        return false;
                    };
                    (at, in_tag) = (star, covered + 1);
                    last_star = Some((star, in_tag));
                }
            }
        }
        glob.get(at..)
            .unwrap_or_default()
            .iter()
            .all(|&byte| byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: engine 37; firelens 12
    #[test]
    fn a_glob_matches_as_in_fluent_bit() {
        let cases = [
            ("*", "", true),
            ("*", "anything", true),
            ("**", "a.b", true),
            ("app.*", "app.", true),
            ("app.*", "app.b.log", true),
            ("app.*", "app", false),
            ("*log", "a.b.log", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdef", false),
            ("APP", "app", false),
            ("app?", "appx", false),
            ("web-firelens*", "web-firelens-0123", true),
            ("a*aab", "aaaab", true),
        ];
        for (glob, tag, expected) in cases {
            assert_eq!(
                TagPattern::new(glob).matches(tag.as_bytes()),
                expected,
                "{glob} on {tag}"
            );
        }
    }

    #[test]
    fn a_tag_cannot_forge_a_log_line() {
        assert_eq!(
            Tag::new(b"a\n[error] b\x1b[m").to_string(),
            "a\\n[error] b\\u{1b}[m"
        );
    }
}
