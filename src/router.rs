//! Which outputs (and which filters) want a tag: `Match` globs and `Match_Regex`.

use crate::config::Settings;
use crate::event::TagPattern;
use crate::regex::Regex;

/// The `Match` and `Match_Regex` of a section; either one suffices.
#[derive(Clone, Default)]
pub struct Matcher {
    glob: Option<TagPattern>,
    regex: Option<Regex>,
}

impl Matcher {
    /// Reads both keys.
    pub fn read(settings: &mut Settings<'_>) -> Self {
        let glob = settings.text("match").map(|glob| TagPattern::new(&glob));
        let regex = settings
            .text("match_regex")
            .and_then(|pattern| match Regex::new(&pattern) {
                Ok(regex) => Some(regex),
                Err(error) => {
                    settings.error("match_regex", error.to_string());
                    None
                }
            });
        Self { glob, regex }
    }

    /// Matches every tag.
    pub fn all() -> Self {
        Self {
            glob: Some(TagPattern::new("*")),
            regex: None,
        }
    }

    /// Matches the tags that a glob covers.
    pub fn of_glob(glob: &str) -> Self {
        Self {
            glob: Some(TagPattern::new(glob)),
            regex: None,
        }
    }

    /// Whether neither key is set, so that nothing matches.
    pub fn is_empty(&self) -> bool {
        self.glob.is_none() && self.regex.is_none()
    }

    /// Whether the tag is wanted.
    pub fn matches(&self, tag: &[u8]) -> bool {
        self.glob.as_ref().is_some_and(|glob| glob.matches(tag))
            || self
                .regex
                .as_ref()
                .is_some_and(|regex| regex.matches_at_start(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: filters 2; engine 37
    #[test]
    fn either_key_suffices_and_a_regex_starts_at_the_tags_start() {
        let matcher = Matcher {
            glob: Some(TagPattern::new("web.*")),
            regex: Some(Regex::new("b\\.log$").unwrap()),
        };
        assert!(matcher.matches(b"web.1"));
        assert!(matcher.matches(b"b.log"));
        assert!(!matcher.matches(b"app.b.log"));
        assert!(Matcher::default().is_empty());
    }
}
