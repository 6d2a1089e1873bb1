//! Pod, namespace and container, from the name of a log file in a tag or from a container's name in the journal.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Settings;
use crate::filter::Means;
use crate::msgpack::read::{self, Pairs};
use crate::parser::{Parser, Room};
use crate::regex::{Captures, Regex};

/// `POD_NAMESPACE_CONTAINER-ID.log`, as the kubelet names the files of containers.
const OF_TAG: &str = r"(?<pod_name>[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)_(?<namespace_name>[^_]+)_(?<container_name>.+)-(?<docker_id>[a-z0-9]{64})\.log$";
/// `PREFIX_CONTAINER[.HASH]_POD_NAMESPACE_UID_ATTEMPT`, as Docker names containers of pods.
const OF_JOURNAL: &str = r"^(?<name_prefix>[^_]+)_(?<container_name>[^\._]+)(?:\.(?<container_hash>[^_]+))?_(?<pod_name>[^_]+)_(?<namespace_name>[^_]+)_[^_]+_[^_]+$";
/// As Fluent Bit has it.
const TAG_PREFIX: &str = "kube.var.log.containers.";
/// The longest name that Kubernetes allows.
const NAME_MAX: usize = 253;

/// What is named. Only what was found and is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Names {
    /// `pod_name`.
    pub(super) pod: Option<Box<str>>,
    /// `namespace_name`.
    pub(super) namespace: Option<Box<str>>,
    /// `container_name`.
    pub(super) container: Option<Box<str>>,
    /// `docker_id`.
    pub(super) docker_id: Option<Box<str>>,
    /// `container_hash`.
    pub(super) container_hash: Option<Box<str>>,
}

impl Names {
    /// Takes one; the first of a name counts.
    fn set(&mut self, name: &[u8], value: &[u8]) {
        let place = match name {
            b"pod_name" => &mut self.pod,
            b"namespace_name" => &mut self.namespace,
            b"container_name" => &mut self.container,
            b"docker_id" => &mut self.docker_id,
            b"container_hash" => &mut self.container_hash,
            _ => return,
        };
        if place.is_none() && !value.is_empty() {
            *place = Some(String::from_utf8_lossy(value).into());
        }
    }

    /// Pod and namespace, where they may stand in a path.
    pub(super) fn pod_key(&self) -> Option<(Box<str>, Box<str>)> {
        let pod = self.pod.as_deref().filter(|name| is_name(name))?;
        Some((self.namespace_key()?, pod.into()))
    }

    /// The namespace, where it may stand in a path.
    pub(super) fn namespace_key(&self) -> Option<Box<str>> {
        self.namespace.clone().filter(|name| is_name(name))
    }
}

/// Whether Kubernetes may have something of this name. Tags come from clients: a name must lead nowhere but to a thing of its kind.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    name.len() <= NAME_MAX
        && name.bytes().all(is_letter)
        && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && !name.starts_with('.')
}

enum Pattern {
    Regex(Regex),
    Parser(Arc<Parser>),
}

/// Finds names.
pub(super) struct Namer {
    pattern: Option<Pattern>,
    prefix: usize,
    room: Mutex<Room>,
}

impl Namer {
    /// Reads `Regex_Parser` and `Kube_Tag_Prefix`.
    pub(super) fn read(settings: &mut Settings<'_>, means: Means<'_>, use_journal: bool) -> Self {
        let prefix = settings.text("kube_tag_prefix");
        let pattern = if let Some(name) = settings.text("regex_parser") {
            let parser = means.parsers.get(&name);
            if parser.is_none() {
                let message = format!("there is no parser `{name}`; names have a case");
                settings.error("regex_parser", message);
            }
            parser.map(Pattern::Parser)
        } else {
            let pattern = if use_journal { OF_JOURNAL } else { OF_TAG };
            // A test compiles both.
            Regex::new(pattern).ok().map(Pattern::Regex)
        };
        Self {
            pattern,
            prefix: prefix.as_deref().unwrap_or(TAG_PREFIX).len(),
            room: Mutex::default(),
        }
    }

    /// The names in a tag, behind as many characters as the prefix has.
    pub(super) fn of_tag(&self, tag: &[u8]) -> Option<Names> {
        self.of_text(tag.get(self.prefix..)?)
    }

    /// The names in a text.
    pub(super) fn of_text(&self, text: &[u8]) -> Option<Names> {
        let mut names = Names::default();
        match self.pattern.as_ref()? {
            Pattern::Regex(regex) => {
                let mut captures = Captures::default();
                if !regex.captures(text, &mut captures) {
                    return None;
                }
                for group in regex.names() {
                    let place = captures.named(group);
                    if let Some(value) = place.and_then(|place| text.get(place)) {
                        names.set(group.name.as_bytes(), value);
                    }
                }
            }
            Pattern::Parser(parser) => {
                let mut map = Vec::new();
                let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
                parser.parse(text, &mut room, &mut map)?;
                for (key, value) in Pairs::of(&map) {
                    if let (Some(key), Some(value)) = (read::text(key), read::text(value)) {
                        names.set(key, value);
                    }
                }
            }
        }
        Some(names)
    }
}
