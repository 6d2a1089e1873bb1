//! The keys of a YAML file and the sections that they stand for.

use crate::config::env::Variables;
use crate::config::error::Problems;
use crate::config::include::Include;
use crate::config::nearest::nearest;
use crate::config::node::{Entry, Node};
use crate::config::section::{Place, Property, Role, Section, SectionKind};

/// The keys at the top, `extensions` being one that Fluent Bit reads for others.
const TOP: [&str; 11] = [
    "service",
    "env",
    "includes",
    "pipeline",
    "customs",
    "parsers",
    "multiline_parsers",
    "stream_processor",
    "plugins",
    "upstream_servers",
    "extensions",
];

/// The keys below `pipeline`.
const PIPELINE: [&str; 4] = ["inputs", "filters", "outputs", "customs"];

/// What the files read so far say.
pub(super) struct Document<'a> {
    pub(super) role: Role,
    pub(super) variables: &'a mut Variables,
    pub(super) problems: &'a mut Problems,
    pub(super) sections: Vec<Section>,
    /// Where `service` stands, which may be there once.
    pub(super) service: Option<Place>,
}

impl Document<'_> {
    /// Reads an entry at the top of a file.
    pub(super) fn entry(&mut self, entry: Entry, files: &mut dyn Include) {
        use SectionKind as Kind;
        let key = entry.key.as_str();
        match key {
            "service" => self.service(entry),
            "env" => self.env(&entry, files),
            "pipeline" => self.pipeline(entry),
            "customs" => self.instances(Kind::Custom, entry),
            "parsers" => self.instances(Kind::Parser, entry),
            "multiline_parsers" => self.instances(Kind::MultilineParser, entry),
            "stream_processor" => self.instances(Kind::StreamTask, entry),
            "upstream_servers" => self.instances(Kind::Upstream, entry),
            "plugins" => self.plugins(&entry),
            "extensions" => {
                let message = "has no effect: there is nothing that reads it";
                self.problems.warning(&entry.place, Some(key), message);
            }
            _ => self.unknown(&entry),
        }
    }

    fn refuse(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.problems.error(place, Some(key), message);
    }

    /// Fluent Bit reads over an unknown map and refuses an unknown list or text.
    fn unknown(&mut self, entry: &Entry) {
        let hint = match nearest(&entry.key, TOP) {
            _ if PIPELINE.contains(&entry.key.as_str()) => "put it below `pipeline`".to_owned(),
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", TOP.join(", ")),
        };
        let message = format!("unknown at the top of a file; {hint}");
        let key = Some(entry.key.as_str());
        if matches!(entry.value, Node::Map(..)) {
            self.problems
                .lapse(&entry.place, key, message, "it is ignored with all in it");
        } else {
            self.problems.error(&entry.place, key, message);
        }
    }

    fn service(&mut self, entry: Entry) {
        if let Some(first) = &self.service {
            let message = format!("stands here again: put all of it into the one at {first}");
            self.refuse(&entry.place, "service", message);
            return;
        }
        self.service = Some(entry.place.clone());
        let Some(entries) = self.map(entry.value, "service") else {
            return;
        };
        let mut section = Section::new(SectionKind::Service, entry.place);
        for Entry {
            key, value, place, ..
        } in entries
        {
            match value {
                Node::Text(value, _) => section.properties.push(Property { key, value, place }),
                Node::Map(..) if key == "telemetry" => flatten(&mut section, &key, &value),
                Node::Map(..) => {
                    let message = "a map means nothing here; write its keys with dots, as in `storage.path: x`";
                    self.problems
                        .lapse(&place, Some(&key), message, "it is ignored");
                }
                Node::List(items, _) if key == "parsers_file" || key == "plugins_file" => {
                    for item in items {
                        if let Node::Text(value, place) = item {
                            let key = key.clone();
                            section.properties.push(Property { key, value, place });
                        }
                    }
                }
                Node::List(..) => self.refuse(&place, &key, "takes one value, not a list"),
            }
        }
        self.admit(section);
    }

    fn env(&mut self, entry: &Entry, files: &mut dyn Include) {
        match &entry.value {
            Node::Map(entries, _) => {
                for entry in entries {
                    self.variable(&entry.written, &entry.value, files);
                }
            }
            Node::List(items, _) => {
                for item in items {
                    self.env_item(item, files);
                }
            }
            Node::Text(text, _) if text.is_empty() => {}
            Node::Text(..) => self.refuse(&entry.place, "env", "needs a map: `NAME: value`"),
        }
    }

    /// `{name: N, value: V}`, `{name: N, uri: file:///path}` or `{N: V}`.
    fn env_item(&mut self, item: &Node, files: &mut dyn Include) {
        if let Some(interval) = item.get("refresh_interval") {
            let message = "has no effect: a variable is read once, at the start";
            self.problems
                .warning(interval.place(), Some("refresh_interval"), message);
        }
        let name = item.get("name").and_then(Node::text);
        match (name, item.get("value").or_else(|| item.get("uri"))) {
            (Some(name), Some(value)) => self.variable(name, value, files),
            (Some(_), None) => self.refuse(item.place(), "env", "the variable has no `value`"),
            (None, _) => match item.entries() {
                [entry] => self.variable(&entry.written, &entry.value, files),
                _ => self.refuse(item.place(), "env", "needs `name` and `value`"),
            },
        }
    }

    fn variable(&mut self, name: &str, value: &Node, files: &mut dyn Include) {
        let Node::Text(text, place) = value else {
            let message = format!("needs a text, not {}", value.shape());
            self.refuse(value.place(), name, message);
            return;
        };
        match text.strip_prefix("file://") {
            None => self.variables.set(name, text),
            Some(path) => match files.value(path) {
                Ok(content) => self.variables.set_from_file(name, &content),
                Err(error) => self.refuse(place, name, error.to_string()),
            },
        }
    }

    fn pipeline(&mut self, entry: Entry) {
        for entry in self.map(entry.value, "pipeline").unwrap_or_default() {
            let kind = match entry.key.as_str() {
                "inputs" => SectionKind::Input,
                "filters" => SectionKind::Filter,
                "outputs" => SectionKind::Output,
                "customs" => SectionKind::Custom,
                other => {
                    let hint = match nearest(other, PIPELINE) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("known are {}", PIPELINE.join(", ")),
                    };
                    let message = format!("unknown in `pipeline`; {hint}");
                    self.problems.error(&entry.place, Some(other), message);
                    continue;
                }
            };
            self.instances(kind, entry);
        }
    }

    /// A list of maps, each a section.
    fn instances(&mut self, kind: SectionKind, entry: Entry) {
        let items = match entry.value {
            Node::List(items, _) => items,
            // `inputs:` without anything below.
            Node::Text(text, _) if text.is_empty() => return,
            other => {
                let message = format!(
                    "needs a list, each item beginning with `- name:`, not {}",
                    other.shape()
                );
                self.refuse(other.place(), &entry.key, message);
                return;
            }
        };
        for item in items {
            match item {
                Node::Map(entries, place) => self.instance(kind, place, entries),
                other => {
                    let message = format!("needs maps in its list, not {}", other.shape());
                    self.refuse(other.place(), &entry.key, message);
                }
            }
        }
    }

    fn instance(&mut self, kind: SectionKind, place: Place, entries: Vec<Entry>) {
        let mut section = Section::of_entries(kind, place, entries);
        let inner = match kind {
            SectionKind::MultilineParser => "rules",
            SectionKind::Upstream => "nodes",
            _ => {
                self.admit(section);
                return;
            }
        };
        let (found, kept) = std::mem::take(&mut section.nested)
            .into_iter()
            .partition(|entry| entry.key == inner);
        section.nested = kept;
        let found: Vec<Entry> = found;
        let mut nodes = Vec::new();
        for item in found.iter().flat_map(|entry| entry.value.items()) {
            if kind == SectionKind::MultilineParser {
                self.rule(&mut section, item);
            } else {
                let entries = item.entries().to_vec();
                nodes.push(Section::of_entries(
                    SectionKind::Node,
                    item.place().clone(),
                    entries,
                ));
            }
        }
        self.admit(section);
        for node in nodes {
            self.admit(node);
        }
    }

    /// `{state, regex, next_state}` as the classic `Rule "state" "regex" "next_state"`.
    fn rule(&mut self, section: &mut Section, item: &Node) {
        let (mut words, mut whole) = (Vec::new(), true);
        for key in ["state", "regex", "next_state"] {
            let text = item.get(key).and_then(Node::text);
            match text.filter(|text| !text.is_empty()) {
                Some(text) => words.push(format!("\"{}\"", text.replace('"', "\\\""))),
                None if key == "next_state" => {}
                None => {
                    self.refuse(item.place(), "rules", format!("a rule has no `{key}`"));
                    whole = false;
                }
            }
        }
        for entry in item.entries() {
            if !["state", "regex", "next_state"].contains(&entry.key.as_str()) {
                let message = "unknown in a rule; known are state, regex, next_state";
                self.problems
                    .lapse(&entry.place, Some(&entry.key), message, "it is ignored");
            }
        }
        if whole {
            section.properties.push(Property {
                key: "rule".to_owned(),
                value: words.join(" "),
                place: item.place().clone(),
            });
        }
    }

    fn plugins(&mut self, entry: &Entry) {
        let mut section = Section::new(SectionKind::Plugins, entry.place.clone());
        for item in entry.value.items() {
            match item {
                Node::Text(path, place) => section.properties.push(Property {
                    key: "path".to_owned(),
                    value: path.clone(),
                    place: place.clone(),
                }),
                other => {
                    let message = format!("needs paths, not {}", other.shape());
                    self.refuse(other.place(), "plugins", message);
                }
            }
        }
        self.admit(section);
    }

    /// Adds a section, if such a file may have it.
    fn admit(&mut self, section: Section) {
        if self.role.takes_in_yaml(section.kind) {
            self.sections.push(section);
        } else {
            let message = format!(
                "a {} has no effect in this file (it is ignored)",
                section.kind
            );
            self.problems.warning(&section.place, None, message);
        }
    }

    /// The entries of a map, or a mistake. Nothing at all is an empty map.
    fn map(&mut self, value: Node, key: &str) -> Option<Vec<Entry>> {
        match value {
            Node::Map(entries, _) => Some(entries),
            Node::Text(text, _) if text.is_empty() => None,
            other => {
                let message = format!("needs a map, not {}", other.shape());
                self.refuse(other.place(), key, message);
                None
            }
        }
    }
}

/// A map as properties with dots: `{metrics: {x: 1}}` below `telemetry` is `telemetry.metrics.x`.
/// The depth of values is bounded by their reader.
fn flatten(section: &mut Section, prefix: &str, value: &Node) {
    for entry in value.entries() {
        let key = format!("{prefix}.{}", entry.key);
        match &entry.value {
            Node::Text(value, _) => section.properties.push(Property {
                key,
                value: value.clone(),
                place: entry.place.clone(),
            }),
            value => flatten(section, &key, value),
        }
    }
}
