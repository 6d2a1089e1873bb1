//! Names made from a record: `/ecs/$ecs_cluster.$TAG[0]`. What may stand in them: [`crate::template`].

use super::Item;
use crate::accessor::Accessor;
use crate::template::{self, Sources, TemplateError};

/// A template of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(template::Template);

impl Template {
    /// Reads a template.
    pub(super) fn new(text: &str) -> Result<Self, TemplateError> {
        template::Template::of_name(text).map(Self)
    }

    /// Fills the template in; `None` when a value is missing.
    pub(super) fn render(&self, item: Item<'_>) -> Option<String> {
        let tag = item.tag.to_text();
        let sources = Sources {
            tag: tag.as_bytes(),
            value: |accessor: &Accessor| accessor.find_in(item.event.record),
            group: |_| &[][..],
        };
        let mut text = Vec::new();
        let is_whole = self.0.render(&sources, &mut text);
        is_whole.then(|| String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventTime, Tag};

    #[test]
    fn a_missing_value_gives_the_whole_name_up() {
        let tag = Tag::new(b"a.b");
        let event = Event {
            time: EventTime::default(),
            metadata: &[],
            record: b"\x81\xa1k\xa2v\xff",
        };
        let render = |text: &str| {
            Template::new(text)
                .unwrap()
                .render(Item { tag: &tag, event })
        };
        assert_eq!(render("$TAG[1].$k"), Some("b.v\u{fffd}".to_owned()));
        assert_eq!(render("x.$missing"), None);
        assert_eq!(render("$TAG[7]"), None);
    }
}
