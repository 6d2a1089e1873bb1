//! What the tags of clients become.

/// What the tag of a client's events becomes.
#[derive(Debug, Clone, Default)]
pub(super) struct Retag {
    /// Put in front of every tag.
    pub prefix: Option<String>,
    /// Replaces every tag; the prefix wins.
    pub tag: Option<String>,
}

impl Retag {
    /// The tag of an event that came as `tag`; `joined` is room for it.
    pub(super) fn apply<'t>(&'t self, tag: &'t [u8], joined: &'t mut Vec<u8>) -> &'t [u8] {
        match (&self.prefix, &self.tag) {
            (Some(prefix), _) => {
                joined.clear();
                joined.extend_from_slice(prefix.as_bytes());
                joined.extend_from_slice(tag);
                joined
            }
            (None, Some(tag)) => tag.as_bytes(),
            (None, None) => tag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: forward 34.
    #[test]
    fn a_prefix_gets_no_dot_and_beats_a_tag() {
        let text = |text: &str| Some(text.to_owned());
        for (prefix, tag, expected) in [
            (None, None, "in.tag"),
            (text("pre"), None, "prein.tag"),
            (None, text("fixed"), "fixed"),
            (text("pre"), text("fixed"), "prein.tag"),
        ] {
            let retag = Retag { prefix, tag };
            let mut joined = b"left from before".to_vec();
            let tag = retag.apply(b"in.tag", &mut joined);
            assert_eq!(tag, expected.as_bytes(), "{retag:?}");
        }
    }
}
