//! What ECS says of a container, as tags of Datadog.
//!
//! | key | tags |
//! |---|---|
//! | `container_id`, `container_image` | the same |
//! | `container_name` | the same, without the `/` in front |
//! | `ecs_cluster` | `cluster_name`, of an ARN its name |
//! | `ecs_task_definition` | `task_family` and `task_version`, what stands before and behind the colon |
//! | `ecs_task_arn` | `task_arn`, `region`, `task_id` |
//!
//! Keys whose value is a text leave the record, in its order.

use crate::config::Settings;
use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::write;

/// The tags of an event: those it gets by `provider ecs`, then `dd_tags`.
pub(super) struct Tags {
    moves: bool,
    fixed: Option<Box<[u8]>>,
}

impl Tags {
    /// Reads `provider` and `dd_tags`.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let provider = settings.text("provider");
        if let Some(provider) = provider.as_deref().filter(|provider| *provider != "ecs") {
            let message = format!("`{provider}` is no provider; write ecs");
            settings.lapse("provider", message, "nothing becomes tags");
        }
        let fixed = settings.text("dd_tags");
        Self {
            moves: provider.as_deref() == Some("ecs"),
            fixed: fixed.map(|tags| tags.into_bytes().into()),
        }
    }

    /// Whether pairs of the record become tags.
    pub(super) fn moves(&self) -> bool {
        self.moves
    }

    /// Puts the encoded tags in place of what `out` held; whether there are any. `tags` is room that is used again for each event.
    pub(super) fn collect(&self, record: &[u8], tags: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        out.clear();
        tags.clear();
        if self.moves {
            for (key, value) in Pairs::of(record) {
                if let Some((remap, text)) = remap(key, value) {
                    remap(text, tags);
                }
            }
        }
        match &self.fixed {
            Some(fixed) if tags.is_empty() => write::str(out, fixed),
            Some(fixed) => write::strs(out, &[&tags[..], b",", fixed]),
            None if tags.is_empty() => return false,
            None => write::str(out, tags),
        }
        true
    }
}

/// Appends the tags of a text.
type Remap = fn(&[u8], &mut Vec<u8>);

/// The keys that become tags.
const REMAPS: [(&[u8], Remap); 6] = [
    (b"container_id", |text, tags| {
        add(tags, "container_id", text);
    }),
    (b"container_name", |text, tags| {
        let name = text.strip_prefix(b"/").unwrap_or(text);
        add(tags, "container_name", name);
    }),
    (b"container_image", |text, tags| {
        add(tags, "container_image", text);
    }),
    (b"ecs_cluster", |text, tags| {
        add(
            tags,
            "cluster_name",
            behind(text, b"cluster/").unwrap_or(text),
        );
    }),
    (b"ecs_task_definition", task_definition),
    (b"ecs_task_arn", task_arn),
];

/// Whether a pair becomes tags.
pub(super) fn is_remapped(key: &[u8], value: &[u8]) -> bool {
    remap(key, value).is_some()
}

fn remap<'v>(key: &[u8], value: &'v [u8]) -> Option<(Remap, &'v [u8])> {
    let key = read::text(key)?;
    let (_, remap) = REMAPS.iter().find(|(name, _)| *name == key)?;
    match read::value(value) {
        Ok((_, Value::Str(text))) if !text.is_empty() => Some((*remap, text)),
        _ => None,
    }
}

fn add(tags: &mut Vec<u8>, name: &str, text: &[u8]) {
    if !tags.is_empty() {
        tags.push(b',');
    }
    tags.extend_from_slice(name.as_bytes());
    tags.push(b':');
    tags.extend_from_slice(text);
}

/// What follows the first of these bytes.
fn behind<'t>(text: &'t [u8], mark: &[u8]) -> Option<&'t [u8]> {
    let at = memchr::memmem::find(text, mark)?;
    text.get(at + mark.len()..)
}

fn task_definition(text: &[u8], tags: &mut Vec<u8>) {
    match memchr::memchr(b':', text).and_then(|at| text.split_at_checked(at)) {
        Some((family, version)) => {
            add(tags, "task_family", family);
            add(tags, "task_version", version.get(1..).unwrap_or_default());
        }
        None => add(tags, "ecs_task_definition", text),
    }
}

fn task_arn(text: &[u8], tags: &mut Vec<u8>) {
    add(tags, "task_arn", text);
    let region = text.strip_prefix(b"arn:aws:ecs:").and_then(|rest| {
        let end = memchr::memchr(b':', rest)?;
        rest.get(..end)
    });
    if let Some(region) = region {
        add(tags, "region", region);
    }
    add(tags, "task_id", behind(text, b"task/").unwrap_or(text));
}
