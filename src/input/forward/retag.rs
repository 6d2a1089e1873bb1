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
