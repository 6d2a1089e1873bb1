//! From an answer to what is kept of it, and from that to what is appended.

use super::names::Names;
use super::options::Options;
use super::suggestions::Wishes;
use crate::accessor::last_value;
use crate::filter::lookup::Found;
use crate::filter::pattern::encoded;
use crate::msgpack::read::{self, Value};
use crate::msgpack::scan;
use crate::msgpack::write::{self, OpenMap};

/// What is kept of a pod or a namespace: raw values, each as the API has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Object {
    uid: Option<Vec<u8>>,
    labels: Option<Vec<u8>>,
    annotations: Option<Vec<u8>>,
    owner_references: Option<Vec<u8>>,
    /// `spec.nodeName` and `status.podIP`.
    host: Option<Vec<u8>>,
    ip: Option<Vec<u8>>,
    containers: Vec<Container>,
}

/// What is kept of the status of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Container {
    name: Box<[u8]>,
    id: Option<Box<[u8]>>,
    image_id: Option<Box<[u8]>>,
    image: Option<Box<[u8]>>,
}

impl Object {
    /// Reads an object; `None` if it has no metadata.
    pub(super) fn read(object: &[u8]) -> Option<Self> {
        let metadata = map(object, "metadata")?;
        let own = |value: &[u8]| value.to_vec();
        let of_metadata = |key: &str| last_value(metadata, key.as_bytes()).map(own);
        let status = map(object, "status");
        let inner = |outer: Option<&[u8]>, key: &str| last_value(outer?, key.as_bytes()).map(own);
        let mut containers = Vec::new();
        for key in ["containerStatuses", "initContainerStatuses"] {
            let list = status.and_then(|status| last_value(status, key.as_bytes()));
            containers.extend(items(list.unwrap_or_default()).filter_map(Container::read));
        }
        Some(Self {
            uid: of_metadata("uid"),
            labels: of_metadata("labels"),
            annotations: of_metadata("annotations"),
            owner_references: of_metadata("ownerReferences"),
            host: inner(map(object, "spec"), "nodeName"),
            ip: inner(status, "podIP"),
            containers,
        })
    }

    /// Namespace and name in the metadata of an object.
    pub(super) fn key(object: &[u8]) -> Option<(&[u8], &[u8])> {
        let metadata = map(object, "metadata")?;
        let text = |key: &[u8]| read::text(last_value(metadata, key)?);
        Some((text(b"namespace")?, text(b"name")?))
    }

    fn container(&self, name: Option<&str>) -> Option<&Container> {
        let name = name?.as_bytes();
        self.containers.iter().find(|known| *known.name == *name)
    }
}

impl Found for Object {
    fn size(&self) -> usize {
        let values = [
            &self.uid,
            &self.labels,
            &self.annotations,
            &self.owner_references,
            &self.host,
            &self.ip,
        ];
        let values: usize = values.into_iter().flatten().map(Vec::len).sum();
        let containers = self.containers.iter().map(|container| {
            let parts = [&container.id, &container.image_id, &container.image];
            let parts: usize = parts.into_iter().flatten().map(|part| part.len()).sum();
            container.name.len() + parts
        });
        values + containers.sum::<usize>()
    }
}

impl Container {
    fn read(status: &[u8]) -> Option<Self> {
        let text = |key: &[u8]| read::text(last_value(status, key)?);
        Some(Self {
            name: text(b"name")?.into(),
            id: text(b"containerID").and_then(behind_scheme).map(Into::into),
            image_id: text(b"imageID").and_then(behind_scheme).map(Into::into),
            image: text(b"image").map(Into::into),
        })
    }
}

/// `docker://abc` without the scheme; `sha256:abc` as it is. `None` for what has no colon.
fn behind_scheme(id: &[u8]) -> Option<&[u8]> {
    let colon = id.iter().position(|byte| *byte == b':')?;
    let behind = id.get(colon + 1..)?;
    let slashes = behind.iter().take_while(|byte| **byte == b'/').count();
    Some(if slashes == 0 {
        id
    } else {
        behind.get(slashes..).unwrap_or_default()
    })
}

/// A map in a map.
fn map<'m>(object: &'m [u8], key: &str) -> Option<&'m [u8]> {
    let value = last_value(object, key.as_bytes())?;
    matches!(read::value(value), Ok((_, Value::Map(_)))).then_some(value)
}

/// The items of an array; none of anything else.
pub(super) fn items(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut rest, count) = match read::value(array) {
        Ok((rest, Value::Array(count))) => (rest, count),
        _ => (&b""[..], 0),
    };
    (0..count).map_while(move |_| {
        let (behind, item) = read::raw(rest).ok()?;
        rest = behind;
        Some(item)
    })
}

/// What is done with the events of one container.
#[derive(Default)]
pub(super) struct Decoration {
    /// Keys and values to append, encoded.
    pub(super) pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What annotations ask for.
    pub(super) wishes: Wishes,
}

impl Decoration {
    /// What follows from all that is known.
    pub(super) fn new(
        options: &Options,
        names: &Names,
        pod: Option<&Object>,
        namespace: Option<&Object>,
    ) -> Self {
        let mut decoration = Self::default();
        if options.dummy_meta {
            decoration.push("kubernetes", dummy());
            return decoration;
        }
        if let Some(map) = of_pod(options, names, pod) {
            decoration.push("kubernetes", map);
        }
        let container = names.container.as_deref();
        let annotations = |object: Option<&Object>| object.and_then(|o| o.annotations.clone());
        if let Some(annotations) = annotations(pod) {
            let wishes = &mut decoration.wishes;
            wishes.add(&annotations, container, &options.allowed);
        }
        if let Some(object) = namespace {
            if options.namespace_labels || options.namespace_annotations {
                let map = of_namespace(options, names, object);
                decoration.push("kubernetes_namespace", map);
            }
            if let Some(annotations) = annotations(namespace).filter(|_| options.namespace_exclude)
            {
                let mut wishes = Wishes::default();
                wishes.add(&annotations, container, &options.allowed);
                decoration.wishes.fall_back(&wishes);
            }
        }
        decoration
    }

    /// Adds a pair that a record can hold: what an API nests too deep is left out.
    fn push(&mut self, key: &str, value: Vec<u8>) {
        let key = encoded(key);
        let mut record = Vec::new();
        write::map_header(&mut record, 1);
        record.extend_from_slice(&key);
        record.extend_from_slice(&value);
        if matches!(scan::value_len(&record), Ok(Some(length)) if length == record.len()) {
            self.pairs.push((key, value));
        }
    }
}

/// A map that is written pair by pair.
struct Writer {
    map: OpenMap,
    out: Vec<u8>,
}

impl Writer {
    fn new() -> Self {
        let mut out = Vec::new();
        let map = OpenMap::begin(&mut out);
        Self { map, out }
    }

    fn raw(&mut self, key: &str, value: Option<&Vec<u8>>) {
        if let Some(value) = value {
            self.map.count();
            write::str(&mut self.out, key.as_bytes());
            self.out.extend_from_slice(value);
        }
    }

    fn text(&mut self, key: &str, text: Option<&[u8]>) {
        if let Some(text) = text {
            self.map.count();
            write::str(&mut self.out, key.as_bytes());
            write::str(&mut self.out, text);
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.map.end(&mut self.out);
        self.out
    }
}

fn of_pod(options: &Options, names: &Names, pod: Option<&Object>) -> Option<Vec<u8>> {
    let bytes = |name: &Option<Box<str>>| name.as_deref().map(|name| name.as_bytes().to_vec());
    let mut map = Writer::new();
    map.text("pod_name", bytes(&names.pod).as_deref());
    map.text("namespace_name", bytes(&names.namespace).as_deref());
    if options.use_tag_for_meta {
        map.text("container_name", bytes(&names.container).as_deref());
        map.text("docker_id", bytes(&names.docker_id).as_deref());
        return Some(map.end());
    }
    let pod = pod?;
    map.raw("pod_id", pod.uid.as_ref());
    map.raw("labels", pod.labels.as_ref().filter(|_| options.labels));
    let annotations = pod.annotations.as_ref();
    map.raw("annotations", annotations.filter(|_| options.annotations));
    let owners = pod.owner_references.as_ref();
    map.raw(
        "ownerReferences",
        owners.filter(|_| options.owner_references),
    );
    map.raw("host", pod.host.as_ref());
    map.raw("pod_ip", pod.ip.as_ref());
    let container = pod.container(names.container.as_deref());
    map.text("container_name", bytes(&names.container).as_deref());
    let docker_id = bytes(&names.docker_id);
    let known = container.and_then(|container| container.id.as_deref());
    map.text("docker_id", docker_id.as_deref().or(known));
    let hash = bytes(&names.container_hash);
    let known = container.and_then(|container| container.image_id.as_deref());
    map.text("container_hash", hash.as_deref().or(known));
    let image = container.and_then(|container| container.image.as_deref());
    map.text("container_image", image);
    Some(map.end())
}

fn of_namespace(options: &Options, names: &Names, object: &Object) -> Vec<u8> {
    let mut map = Writer::new();
    map.text("name", names.namespace.as_deref().map(str::as_bytes));
    let labels = object.labels.as_ref();
    map.raw("labels", labels.filter(|_| options.namespace_labels));
    let annotations = object.annotations.as_ref();
    map.raw(
        "annotations",
        annotations.filter(|_| options.namespace_annotations),
    );
    map.end()
}

/// What `Dummy_Meta` appends: the time.
fn dummy() -> Vec<u8> {
    let mut map = Writer::new();
    let now = jiff::Zoned::now().strftime("%a %b %e %H:%M:%S %Y");
    map.text("dummy", Some(now.to_string().as_bytes()));
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_behind_its_scheme() {
        for (id, expected) in [
            ("docker://abc", Some("abc")),
            ("docker-pullable://repo@sha256:abc", Some("repo@sha256:abc")),
            ("sha256:abc", Some("sha256:abc")),
            ("containerd:///x", Some("x")),
            (":", Some(":")),
            ("abc", None),
            ("", None),
        ] {
            let found = behind_scheme(id.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{id}");
        }
    }
}
