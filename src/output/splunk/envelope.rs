//! An event in its envelope: `{"time":..,"host":..,"event":..}`.

use crate::accessor::Accessor;
use crate::config::Settings;
use crate::msgpack::json::{self, Json};
use crate::msgpack::write;
use crate::output::Item;
use crate::output::template::Template;
use crate::output::text::seconds;

/// A value of the envelope.
struct Field {
    /// `"name":`
    name: &'static str,
    /// What it is made of, unless that gives nothing.
    template: Option<Template>,
    /// What it is otherwise.
    fixed: Option<Box<[u8]>>,
}

/// How events are wrapped.
pub(super) struct Envelope {
    has_time: bool,
    is_raw: bool,
    event_key: Option<Template>,
    meta: Vec<Field>,
    /// Encoded names, and where their values are.
    fields: Vec<(Vec<u8>, Accessor)>,
    json: Json,
}

impl Envelope {
    /// Reads `event_*` and `splunk_send_raw`.
    pub(super) fn read(settings: &mut Settings<'_>, json: Json, has_time: bool) -> Self {
        let event_key = settings.text("event_key");
        if event_key.as_ref().is_some_and(|key| !key.starts_with('$')) {
            settings.error(
                "event_key",
                "names no value; write it with a dollar, as in $log",
            );
        }
        let mut field = |name, template: &'static str, fixed: Option<&'static str>| Field {
            name,
            template: Template::read(settings, template),
            fixed: fixed
                .and_then(|key| settings.text(key))
                .map(|text| text.into_bytes().into()),
        };
        let meta = vec![
            field("host", "event_host", None),
            field("source", "event_source", None),
            field(
                "sourcetype",
                "event_sourcetype_key",
                Some("event_sourcetype"),
            ),
            field("index", "event_index_key", Some("event_index")),
        ];
        let is_given = |field: &Field| field.template.is_some() || field.fixed.is_some();
        Self {
            has_time,
            is_raw: settings.flag("splunk_send_raw", false),
            event_key: Template::read(settings, "event_key"),
            meta: meta.into_iter().filter(is_given).collect(),
            fields: fields(settings),
            json,
        }
    }

    /// Appends an event. `scratch` is room that is used again for each.
    pub(super) fn write(&self, item: Item<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        if !self.is_raw {
            self.open(item, scratch, out);
        }
        scratch.clear();
        if let Some(key) = &self.event_key {
            key.render_into(item, scratch);
        }
        if scratch.is_empty() {
            self.json.value(item.event.record, out);
        } else {
            self.json.string(scratch, out);
        }
        out.push(if self.is_raw { b'\n' } else { b'}' });
    }

    /// Everything in front of the event.
    fn open(&self, item: Item<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        out.push(b'{');
        if self.has_time {
            out.extend_from_slice(b"\"time\":");
            json::float(seconds(item.event.time), out);
            out.push(b',');
        }
        for field in &self.meta {
            scratch.clear();
            if let Some(template) = &field.template {
                template.render_into(item, scratch);
            }
            let text = if scratch.is_empty() {
                field.fixed.as_deref().unwrap_or_default()
            } else {
                &scratch[..]
            };
            if !text.is_empty() {
                name(field.name, out);
                self.json.string(text, out);
                out.push(b',');
            }
        }
        if !self.fields.is_empty() {
            name("fields", out);
            let fields = self.fields.iter().filter_map(|(name, accessor)| {
                let value = accessor.find_in(item.event.record)?;
                Some((&name[..], value))
            });
            self.json.object(fields, out);
            out.push(b',');
        }
        name("event", out);
    }
}

fn name(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn fields(settings: &mut Settings<'_>) -> Vec<(Vec<u8>, Accessor)> {
    let mut fields = Vec::new();
    for (words, place) in settings.words("event_field", 2..=2) {
        let [name, path] = words.as_slice() else {
            continue;
        };
        match Accessor::new(path) {
            Ok(accessor) => {
                let mut encoded = Vec::new();
                write::str(&mut encoded, name.as_bytes());
                fields.push((encoded, accessor));
            }
            Err(error) => settings.error_at(&place, "event_field", error.to_string()),
        }
    }
    fields
}
