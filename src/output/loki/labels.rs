//! The labels of a stream, and the structured metadata of an event: names and texts.
//!
//! | setting | what it gives |
//! |---|---|
//! | `labels NAME=TEXT, NAME=$key, $key` | a text, a value, a value under the name of its key |
//! | `label_keys $key` | a value under the name of its key |
//! | `label_map_path FILE` | JSON of the shape of a record: texts in it are the names of the labels with the values there |
//! | `auto_kubernetes_labels` | all of `$kubernetes['labels']` |
//! | `structured_metadata` | as `labels` |
//! | `structured_metadata_map_keys $key` | everything in a map |
//!
//! What a record lacks, or holds as an empty text, gives no label. Values that are named leave the line.

use std::fmt::Write as _;

use crate::accessor::Accessor;
use crate::config::Settings;
use crate::config::value::comma_list;
use crate::msgpack::json::Json;
use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::write;
use crate::output::Item;
use crate::output::template::Template;
use crate::parser::json;

/// The largest file of labels.
const FILE_MAX: u64 = 1 << 20;
/// What a stream without any label gets.
const DEFAULT: (&[u8], &[u8]) = (b"job", b"fluent-bit");

/// Where the text of a label comes from.
enum Source {
    Text(Box<[u8]>),
    Record(Template),
}

/// A label.
struct Label {
    name: Box<[u8]>,
    source: Source,
}

/// Room for the names and texts of one event, used again for each.
#[derive(Default)]
pub(super) struct Scratch {
    pairs: Vec<u8>,
    text: Vec<u8>,
}

/// The labels of a stream.
pub(super) struct Labels {
    labels: Vec<Label>,
    /// Where Kubernetes keeps its labels, if they are wanted.
    kubernetes: Option<Accessor>,
}

impl Labels {
    /// Reads the settings; what they name goes to `removed`.
    pub(super) fn read(settings: &mut Settings<'_>, removed: &mut Vec<Accessor>) -> Self {
        let mut labels = list(settings, "labels", removed);
        for key in settings.list("label_keys") {
            if key.starts_with('$') {
                labels.extend(named_by_key(settings, "label_keys", &key, removed));
            } else {
                let message = format!("`{key}` names no value; write it with a dollar, as in $key");
                settings.error("label_keys", message);
            }
        }
        labels.extend(map(settings, removed));
        let kubernetes = settings
            .flag("auto_kubernetes_labels", false)
            .then(|| Accessor::new("$kubernetes['labels']").ok());
        Self {
            labels,
            kubernetes: kubernetes.flatten(),
        }
    }

    /// Whether all events have the same.
    pub(super) fn are_fixed(&self) -> bool {
        let is_fixed = |label: &Label| matches!(label.source, Source::Text(_));
        self.kubernetes.is_none() && self.labels.iter().all(is_fixed)
    }

    /// Appends an object.
    pub(super) fn write(
        &self,
        item: Item<'_>,
        json: Json,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        scratch.pairs.clear();
        let mut count = collect(&self.labels, item, scratch);
        let Scratch { pairs, text: name } = scratch;
        let kubernetes = self.kubernetes.as_ref();
        if let Some(map) = kubernetes.and_then(|labels| labels.find_in(item.event.record)) {
            for (key, value) in Pairs::of(map) {
                if let (Some(key), Some(value)) = (text(key), text(value)) {
                    sanitize(key, name);
                    write::str(pairs, name);
                    write::str(pairs, value);
                    count += 1;
                }
            }
        }
        if count == 0 {
            write::str(pairs, DEFAULT.0);
            write::str(pairs, DEFAULT.1);
            count = 1;
        }
        json.object(Pairs::inside(pairs, count), out);
    }
}

/// What Loki keeps beside the line of an event.
pub(super) struct Metadata {
    maps: Vec<Accessor>,
    entries: Vec<Label>,
}

impl Metadata {
    /// Reads the settings; what they name goes to `removed`. `None` when there are none.
    pub(super) fn read(settings: &mut Settings<'_>, removed: &mut Vec<Accessor>) -> Option<Self> {
        let entries = list(settings, "structured_metadata", removed);
        let mut maps = Vec::new();
        let key = "structured_metadata_map_keys";
        for path in settings.list(key) {
            match Accessor::new(&path) {
                Ok(accessor) if path.starts_with('$') => {
                    removed.push(accessor.clone());
                    maps.push(accessor);
                }
                Ok(_) => settings.error(
                    key,
                    format!("`{path}` names no map; write it with a dollar, as in $key"),
                ),
                Err(error) => settings.error(key, error.to_string()),
            }
        }
        let is_empty = entries.is_empty() && maps.is_empty();
        (!is_empty).then_some(Self { maps, entries })
    }

    /// Appends an object.
    pub(super) fn write(
        &self,
        item: Item<'_>,
        json: Json,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let mut count = 0;
        let Scratch { pairs, text: room } = &mut *scratch;
        pairs.clear();
        for map in &self.maps {
            let map = map.find_in(item.event.record).unwrap_or_default();
            for (key, value) in Pairs::of(map) {
                let Some(key) = text(key) else { continue };
                sanitize(key, room);
                write::str(pairs, room);
                if let Some(text) = text(value) {
                    write::str(pairs, text);
                } else {
                    room.clear();
                    json.value(value, room);
                    write::str(pairs, room);
                }
                count += 1;
            }
        }
        // These stand last and so win.
        count += collect(&self.entries, item, scratch);
        json.object(Pairs::inside(&scratch.pairs, count), out);
    }
}

fn text(value: &[u8]) -> Option<&[u8]> {
    match read::value(value) {
        Ok((_, Value::Str(text))) => Some(text),
        _ => None,
    }
}

/// Appends the labels that an event has, and gives how many.
fn collect(labels: &[Label], item: Item<'_>, scratch: &mut Scratch) -> u32 {
    let mut count = 0;
    let Scratch { pairs, text: made } = scratch;
    for label in labels {
        let value = match &label.source {
            Source::Text(text) => text,
            Source::Record(template) => {
                made.clear();
                template.render_into(item, made);
                &made[..]
            }
        };
        if !value.is_empty() {
            write::str(pairs, &label.name);
            write::str(pairs, value);
            count += 1;
        }
    }
    count
}

/// Puts a name for a label in place of what `out` held, with `_` for what Loki does not take.
fn sanitize(name: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if name.first().is_some_and(u8::is_ascii_digit) {
        out.push(b'_');
    }
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let name = name.iter();
    out.extend(name.map(|&byte| if is_fine(byte) { byte } else { b'_' }));
}

/// `NAME=TEXT, NAME=$key, $key`
fn list(settings: &mut Settings<'_>, key: &'static str, removed: &mut Vec<Accessor>) -> Vec<Label> {
    let mut labels = Vec::new();
    let entries = comma_list(&settings.text(key).unwrap_or_default());
    for entry in entries {
        if entry.starts_with('$') {
            labels.extend(named_by_key(settings, key, &entry, removed));
            continue;
        }
        match entry.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                labels.extend(label(settings, key, name, value, removed));
            }
            _ => {
                let message = format!("`{entry}` is no label; write name=text, name=$key or $key");
                settings.error(key, message);
            }
        }
    }
    labels
}

fn label(
    settings: &mut Settings<'_>,
    key: &'static str,
    name: &str,
    value: &str,
    removed: &mut Vec<Accessor>,
) -> Option<Label> {
    let source = if value.starts_with('$') {
        let template = Template::new(value);
        let template = template.inspect_err(|error| settings.error(key, error.to_string()));
        removed.extend(named(value));
        Source::Record(template.ok()?)
    } else {
        Source::Text(value.as_bytes().into())
    };
    Some(Label {
        name: name.as_bytes().into(),
        source,
    })
}

/// The value that leaves the line: the first that a template names.
fn named(template: &str) -> Option<Accessor> {
    let is_tag = template.starts_with("$TAG");
    Accessor::new(template).ok().filter(|_| !is_tag)
}

fn named_by_key(
    settings: &mut Settings<'_>,
    key: &'static str,
    path: &str,
    removed: &mut Vec<Accessor>,
) -> Option<Label> {
    match Accessor::new(path) {
        Ok(accessor) if path.starts_with("$TAG") => {
            let name = String::from_utf8_lossy(&accessor.flat_name()).to_lowercase();
            settings.error(key, format!("`{path}` has no name; write {name}={path}"));
            None
        }
        Ok(accessor) => {
            let mut name = Vec::new();
            sanitize(&accessor.flat_name(), &mut name);
            let name = String::from_utf8_lossy(&name).into_owned();
            label(settings, key, &name, path, removed)
        }
        Err(error) => {
            settings.error(key, error.to_string());
            None
        }
    }
}

/// Reads `label_map_path`.
fn map(settings: &mut Settings<'_>, removed: &mut Vec<Accessor>) -> Vec<Label> {
    const KEY: &str = "label_map_path";
    let mut labels = Vec::new();
    let Some(path) = settings.text(KEY) else {
        return labels;
    };
    let mut record = Vec::new();
    let read = std::fs::metadata(&path)
        .and_then(|file| match file.len() {
            0..=FILE_MAX => std::fs::read(&path),
            _ => Err(std::io::ErrorKind::FileTooLarge.into()),
        })
        .map_err(|error| error.to_string())
        .and_then(|text| json::to_msgpack(&text, &mut record).map_err(|error| error.to_string()));
    if let Err(error) = read {
        settings.lapse(
            KEY,
            format!("cannot read it: {error}"),
            "it gives no labels",
        );
        return labels;
    }
    let mut paths = Vec::new();
    leaves(&record, &mut String::new(), &mut paths);
    for (path, name) in paths {
        labels.extend(label(settings, KEY, &name, &path, removed));
    }
    labels
}

/// The texts in a map, each with the path to it; as deep as the reader of JSON goes.
fn leaves(map: &[u8], path: &mut String, found: &mut Vec<(String, String)>) {
    for (key, value) in Pairs::of(map) {
        let length = path.len();
        let key = String::from_utf8_lossy(text(key).unwrap_or_default()).into_owned();
        if path.is_empty() {
            path.push('$');
            path.push_str(&key);
        } else {
            let _infallible = write!(path, "['{}']", key.replace('\'', "''"));
        }
        match text(value) {
            Some(name) => {
                let name = String::from_utf8_lossy(name).into_owned();
                found.push((path.clone(), name));
            }
            None => leaves(value, path, found),
        }
        path.truncate(length);
    }
}
