//! Names made from a record: `/ecs/$ecs_cluster.$TAG[0]`. What may stand in them: [`crate::template`].

use super::Item;
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::template::{self, Sources, TemplateError};

/// A template of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(template::Template);

impl Template {
    /// Reads a template.
    pub(super) fn new(text: &str) -> Result<Self, TemplateError> {
        template::Template::of_name(text).map(Self)
    }

    /// Reads the template that a setting holds; a mistake in it is reported.
    pub(super) fn read(settings: &mut Settings<'_>, key: &'static str) -> Option<Self> {
        match Self::new(&settings.text(key)?) {
            Ok(template) => Some(template),
            Err(error) => {
                settings.error(key, error.to_string());
                None
            }
        }
    }

    /// Fills the template in; `None` when a value is missing.
    pub(super) fn render(&self, item: Item<'_>) -> Option<String> {
        let mut text = Vec::new();
        let is_whole = self.render_into(item, &mut text);
        is_whole.then(|| String::from_utf8_lossy(&text).into_owned())
    }

    /// Appends what the template gives; what is missing is empty. Gives whether nothing was missing.
    pub(super) fn render_into(&self, item: Item<'_>, out: &mut Vec<u8>) -> bool {
        let tag = item.tag.to_text();
        let sources = Sources {
            tag: tag.as_bytes(),
            value: |accessor: &Accessor| accessor.find_in(item.event.record),
            group: |_| &[][..],
        };
        self.0.render(&sources, out)
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
