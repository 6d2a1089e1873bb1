//! The tag of a file.

use std::path::Path;

use crate::regex::{Captures, Regex};

/// How a file's tag is made.
#[derive(Debug, Clone)]
pub(super) struct TagRule {
    tag: Vec<u8>,
    /// `Tag_Regex`: its named groups stand in the tag as `<name>`.
    regex: Option<Regex>,
}

impl TagRule {
    /// For this `Tag`.
    pub(super) fn new(tag: &[u8], regex: Option<Regex>) -> Self {
        Self {
            tag: tag.to_vec(),
            regex,
        }
    }

    /// The tag of the file called `path`; `None` where `Tag_Regex` does not match it.
    pub(super) fn of(&self, path: &Path) -> Option<Vec<u8>> {
        let path = path.as_os_str().as_encoded_bytes();
        match (&self.regex, memchr::memchr(b'*', &self.tag)) {
            (_, None) if self.regex.is_none() => Some(self.tag.clone()),
            (Some(regex), _) => self.with_groups(regex, path),
            (None, star) => Some(self.with_path(star.unwrap_or_default(), path)),
        }
    }

    /// Puts the path in the place of the star, as Fluent Bit does: slashes become dots, and there are no two dots in a row,
    /// none at the end, and no other stars.
    fn with_path(&self, star: usize, path: &[u8]) -> Vec<u8> {
        let (head, tail) = self.tag.split_at_checked(star).unwrap_or((&self.tag, &[]));
        let tail = tail.get(1..).unwrap_or_default();
        let mut tag = Vec::with_capacity(self.tag.len() + path.len());
        for &byte in head.iter().chain(path).chain(tail) {
            let is_slash = matches!(byte, b'/' | b'\\' | b':');
            match if is_slash { b'.' } else { byte } {
                b'*' => {}
                b'.' if tag.last() == Some(&b'.') || tag.is_empty() && is_slash => {}
                byte => tag.push(byte),
            }
        }
        if tag.last() == Some(&b'.') {
            tag.pop();
        }
        tag
    }

    fn with_groups(&self, regex: &Regex, path: &[u8]) -> Option<Vec<u8>> {
        let mut captures = Captures::default();
        if !regex.captures(path, &mut captures) {
            return None;
        }
        let mut tag = Vec::new();
        let mut rest = self.tag.as_slice();
        while let Some((before, name, behind)) = first_name(rest) {
            tag.extend_from_slice(before);
            let group = regex
                .names()
                .iter()
                .find(|group| group.name.as_bytes() == name);
            let value = group
                .and_then(|group| captures.named(group))
                .and_then(|range| path.get(range));
            tag.extend_from_slice(value.unwrap_or(b"_"));
            rest = behind;
        }
        tag.extend_from_slice(rest);
        Some(tag)
    }
}

/// Parts `a<name>b` into its three parts.
fn first_name(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let open = memchr::memchr(b'<', text)?;
    let close = open + memchr::memchr(b'>', text.get(open..)?)?;
    Some((
        text.get(..open)?,
        text.get(open + 1..close)?,
        text.get(close + 1..)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag: &str, regex: Option<&str>, path: &str) -> Option<String> {
        let regex = regex.map(|regex| Regex::new(regex).unwrap());
        let tag = TagRule::new(tag.as_bytes(), regex).of(Path::new(path));
        tag.map(|tag| String::from_utf8(tag).unwrap())
    }

    /// Checklist: engine 57
    #[test]
    fn a_star_is_the_path_with_dots() {
        for (rule, path, expected) in [
            ("app.*", "/var/log/a.log", "app.var.log.a.log"),
            ("*", "/var/log/a.log", "var.log.a.log"),
            ("t.*", "logs/a.log", "t.logs.a.log"),
            ("a.*.b", "/x/*y//z.", "a.x.y.z.b"),
            ("x*", "/c:/d/", "x.c.d"),
            ("plain", "/a", "plain"),
            ("a..*", "/b", "a.b"),
        ] {
            assert_eq!(
                tag(rule, None, path).as_deref(),
                Some(expected),
                "{rule} {path}"
            );
        }
    }

    #[test]
    fn groups_of_a_regex_stand_in_the_tag() {
        let regex = Some(r"/(?<pod>[a-z0-9-]+)_(?<space>[^_]+)_[^/]*\.log$");
        let path = "/var/log/web-1_shop_x.log";
        assert_eq!(
            tag("kube.<space>.<pod>", regex, path).as_deref(),
            Some("kube.shop.web-1")
        );
        assert_eq!(tag("<nope>.<pod", regex, path).as_deref(), Some("_.<pod"));
        assert_eq!(tag("<pod>", regex, "/other"), None);
    }
}
