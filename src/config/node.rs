//! Values that are more than a text: the lists and maps of YAML, each with its place.
//!
//! Classic files have none. Most keys take a text, or a list of texts that stands for the key
//! repeated; what is left are `processors`, `routes`, `condition` and their like, which their
//! readers take apart with the questions of [`Node`].

use super::error::Problems;
use super::section::{Place, Property, Section, SectionKind};

/// A value of YAML. How deep values lie in one another is bounded by the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A text, variables not expanded; every scalar is one.
    Text(String, Place),
    /// A list.
    List(Vec<Node>, Place),
    /// A map; keys may repeat.
    Map(Vec<Entry>, Place),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key as `snake_case`.
    pub key: String,
    /// The key as it stands in the file: names of variables keep their case.
    pub written: String,
    /// The value.
    pub value: Node,
    /// Where the key stands.
    pub place: Place,
}

impl Node {
    /// Where the value begins.
    pub fn place(&self) -> &Place {
        match self {
            Self::Text(_, place) | Self::List(_, place) | Self::Map(_, place) => place,
        }
    }

    /// The text, if the value is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text, _) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; a value that is no list is its own only item.
    pub fn items(&self) -> &[Node] {
        match self {
            Self::List(items, _) => items,
            single => std::slice::from_ref(single),
        }
    }

    /// The entries of a map; other values have none.
    pub fn entries(&self) -> &[Entry] {
        match self {
            Self::Map(entries, _) => entries,
            _ => &[],
        }
    }

    /// The first value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let found = self.entries().iter().find(|entry| entry.key == key);
        found.map(|entry| &entry.value)
    }

    /// What the value is called in messages.
    pub fn shape(&self) -> &'static str {
        match self {
            Self::Text(..) => "a text",
            Self::List(..) => "a list",
            Self::Map(..) => "a map",
        }
    }
}

impl Section {
    /// The processors of logs that a value of `processors` lists, a section each; mistakes go to
    /// `problems`.
    pub fn processors(value: &Node, problems: &mut Problems) -> Vec<Self> {
        let mut sections = Vec::new();
        for entry in value.entries() {
            let key = Some(entry.key.as_str());
            match entry.key.as_str() {
                "logs" => {}
                "metrics" | "traces" | "profiles" => {
                    let message = "has no effect: only logs pass through here";
                    problems.warning(&entry.place, key, message);
                    continue;
                }
                _ => {
                    let message =
                        "unknown in `processors`; known are logs, metrics, traces, profiles";
                    problems.error(&entry.place, key, message);
                    continue;
                }
            }
            for item in entry.value.items() {
                let place = item.place().clone();
                if let Node::Map(entries, _) = item {
                    let kind = SectionKind::Processor;
                    sections.push(Self::of_entries(kind, place, entries.clone()));
                } else {
                    let message = format!("needs maps in its list, not {}", item.shape());
                    problems.error(&place, key, message);
                }
            }
        }
        if !matches!(value, Node::Map(..)) {
            let message = format!("needs a map such as `logs: [..]`, not {}", value.shape());
            problems.error(value.place(), Some("processors"), message);
        }
        sections
    }

    /// A section made of a map, as a plugin reads it: texts become properties, lists of texts the
    /// property repeated, everything else stays nested.
    pub fn of_entries(kind: SectionKind, place: Place, entries: Vec<Entry>) -> Self {
        let mut section = Self::new(kind, place);
        for entry in entries {
            section.take(entry);
        }
        section
    }

    fn take(&mut self, entry: Entry) {
        let mut add = |value: String, place| {
            let key = entry.key.clone();
            self.properties.push(Property { key, value, place });
        };
        match entry.value {
            Node::Text(text, _) => add(text, entry.place),
            Node::List(items, _) if items.iter().all(|item| item.text().is_some()) => {
                for item in items {
                    if let Node::Text(text, place) = item {
                        add(text, place);
                    }
                }
            }
            _ => self.nested.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn place(line: u32) -> Place {
        Place::new(Arc::from("a.yaml"), line)
    }

    fn text(text: &str, line: u32) -> Node {
        Node::Text(text.to_owned(), place(line))
    }

    fn entry(key: &str, value: Node) -> Entry {
        Entry {
            key: key.to_owned(),
            written: key.to_owned(),
            place: place(1),
            value,
        }
    }

    /// Checklist: engine 26
    #[test]
    fn a_list_of_texts_repeats_the_property_and_each_has_its_own_place() {
        let records = Node::List(vec![text("a 1", 2), text("b 2", 3)], place(2));
        let rules = Node::List(vec![Node::Map(vec![], place(5))], place(5));
        let entries = vec![
            entry("name", text("modify", 1)),
            entry("add", records),
            entry("rules", rules),
        ];
        let section = Section::of_entries(SectionKind::Filter, place(1), entries);
        let properties: Vec<_> = section
            .properties
            .iter()
            .map(|property| (&*property.key, &*property.value, property.place.line))
            .collect();
        assert_eq!(
            properties,
            [("name", "modify", 1), ("add", "a 1", 2), ("add", "b 2", 3)]
        );
        assert_eq!(section.nested.len(), 1);
    }

    #[test]
    fn questions_to_a_value_of_another_shape_are_answered_with_nothing() {
        let map = Node::Map(vec![entry("op", text("and", 1))], place(1));
        assert_eq!(map.get("op").and_then(Node::text), Some("and"));
        assert_eq!(map.get("rules"), None);
        assert_eq!(text("x", 1).get("op"), None);
        assert_eq!(text("x", 1).items().len(), 1);
        assert_eq!(map.shape(), "a map");
    }
}
