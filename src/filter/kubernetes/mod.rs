//! `kubernetes`: appends what the cluster knows of the pod that an event comes from.
//!
//! | file | purpose |
//! |---|---|
//! | `options.rs` | the settings |
//! | `names.rs` | pod, namespace and container from a tag, or from what the journal says |
//! | `api.rs` | one question to the API server or the kubelet: token, TLS, limits |
//! | `pods.rs` | the sources of pods and namespaces |
//! | `metadata.rs` | an answer to what is kept of it, and that to what is appended |
//! | `suggestions.rs` | what annotations ask for: a parser, or to be left out |
//! | `merge.rs` | `Merge_Log` |
//!
//! The settings are in `docs/configuration.md`. What is known of a pod serves all its streams, and is encoded once for each stream
//! and answer. While a pod is not known its events pass without the map, merged all the same.
//!
//! <https://docs.fluentbit.io/manual/pipeline/filters/kubernetes>

mod api;
mod merge;
mod metadata;
mod names;
mod options;
mod pods;
mod suggestions;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join, join_all};
use tokio::time::Instant;

use self::metadata::{Decoration, Object};
use self::names::Names;
use self::options::Options;
use self::pods::{Namespaces, PodKey, Pods};
use super::lookup::{Decorator, Lookup, Patient, Watched};
use super::operator::{MakeOperator, Operator};
use super::{Means, Verdict, View};
use crate::accessor::last_value;
use crate::config::Settings;
use crate::event::{Block, Tag};
use crate::msgpack::read;
use crate::telemetry::log::Limiter;

const COMPONENT: &str = "filter:kubernetes";
/// Where the journal names the container.
const CONTAINER_NAME: &[u8] = b"CONTAINER_NAME";
/// Containers of the journal that a stream remembers; a node has a few hundred.
const SUBJECTS_MAX: usize = 1024;

/// What all streams share.
struct Shared {
    options: Options,
    pods: Option<Lookup<Pods>>,
    namespaces: Option<Lookup<Namespaces>>,
    nameless: Limiter,
}

struct Maker(Arc<Shared>);

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, means: Means<'_>) -> Box<dyn MakeOperator> {
    let (options, access) = Options::read(settings, means);
    let access = Arc::new(access);
    let asks_pods = options.asks_pods();
    let pods = asks_pods.then(|| {
        let terms = access.terms(access.pod_ttl);
        Lookup::new(Pods::new(Arc::clone(&access)), terms, COMPONENT)
    });
    let namespaces = options.asks_namespaces().then(|| {
        let terms = access.terms(access.namespace_ttl);
        Lookup::new(Namespaces::new(Arc::clone(&access)), terms, COMPONENT)
    });
    Box::new(Maker(Arc::new(Shared {
        options,
        pods,
        namespaces,
        nameless: Limiter::default(),
    })))
}

impl MakeOperator for Maker {
    fn operator(&self, tag: &[u8]) -> Box<dyn Operator> {
        let shared = Arc::clone(&self.0);
        if shared.options.use_journal {
            let journal = Journal {
                shared,
                subjects: HashMap::new(),
            };
            return Box::new(Patient::new(journal, tag));
        }
        let subject = Subject::of_tag(&shared, tag);
        Box::new(Patient::new(Tagged { shared, subject }, tag))
    }

    fn task(&self) -> Option<BoxFuture<'static, ()>> {
        let pods = self.0.pods.clone().map(Lookup::run);
        let namespaces = self.0.namespaces.clone().map(Lookup::run);
        match (pods, namespaces) {
            (Some(pods), Some(namespaces)) => Some(join(pods, namespaces).map(|_| ()).boxed()),
            (Some(pods), None) => Some(pods.boxed()),
            (None, Some(namespaces)) => Some(namespaces.boxed()),
            (None, None) => None,
        }
    }
}

/// One container as an event's origin.
struct Subject {
    names: Names,
    pod: Option<Watched<Object>>,
    namespace: Option<Watched<Object>>,
    decoration: Decoration,
    /// What is asked for is known.
    is_whole: bool,
}

impl Subject {
    fn of_tag(shared: &Shared, tag: &[u8]) -> Option<Self> {
        if shared.options.dummy_meta {
            return Some(Self::new(shared, Names::default()));
        }
        let names = shared.options.namer.of_tag(tag);
        if names.is_none()
            && let Some(more) = shared.nameless.admit()
        {
            crate::warning!(
                COMPONENT,
                "the tag {} names no pod; its records pass unchanged: check Kube_Tag_Prefix{more}",
                Tag::new(tag)
            );
        }
        Some(Self::new(shared, names?))
    }

    fn new(shared: &Shared, names: Names) -> Self {
        let key = PodKey::of(&names, shared.options.cache_use_docker_id);
        let pods = shared.pods.as_ref().zip(key);
        let namespaces = shared.namespaces.as_ref().zip(names.namespace_key());
        let mut subject = Self {
            pod: pods.and_then(|(pods, key)| pods.watch(&key)),
            namespace: namespaces.and_then(|(namespaces, key)| namespaces.watch(&key)),
            names,
            decoration: Decoration::default(),
            is_whole: false,
        };
        subject.renew(&shared.options);
        subject
    }

    fn renew(&mut self, options: &Options) {
        let pod = self.pod.as_mut().and_then(Watched::take);
        let namespace = self.namespace.as_mut().and_then(Watched::take);
        self.is_whole = (pod.is_some() || !options.asks_pods())
            && (namespace.is_some() || !options.asks_namespaces());
        self.decoration =
            Decoration::new(options, &self.names, pod.as_deref(), namespace.as_deref());
    }

    fn ready(&self) -> Vec<BoxFuture<'static, ()>> {
        let watched = [&self.pod, &self.namespace].into_iter().flatten();
        watched.filter_map(Watched::ready).collect()
    }

    fn waits_until(&mut self) -> Option<Instant> {
        let pod = self.pod.as_mut().and_then(Watched::waits_until);
        let namespace = self.namespace.as_mut().and_then(Watched::waits_until);
        pod.max(namespace)
    }

    fn decorate(&mut self, shared: &Shared, event: &mut View<'_>) -> (Verdict, bool) {
        let watched = [&self.pod, &self.namespace];
        if watched.into_iter().flatten().any(Watched::has_changed) {
            self.renew(&shared.options);
        }
        let decoration = &self.decoration;
        let wishes = decoration.wishes.of_stream(event.get(b"stream"));
        if wishes.exclude {
            return (Verdict::Drop, self.is_whole);
        }
        if let Some(merge) = &shared.options.merge {
            merge.apply(event, wishes.parser);
        }
        for (key, value) in &decoration.pairs {
            event.push_encoded(key, value);
        }
        (Verdict::Keep, self.is_whole)
    }
}

fn all(mut waits: Vec<BoxFuture<'static, ()>>) -> Option<BoxFuture<'static, ()>> {
    if waits.len() > 1 {
        return Some(join_all(waits).map(|_| ()).boxed());
    }
    waits.pop()
}

/// The events of a tag that names a container.
struct Tagged {
    shared: Arc<Shared>,
    subject: Option<Subject>,
}

impl Decorator for Tagged {
    fn ready(&mut self, _: &Block) -> Option<BoxFuture<'static, ()>> {
        all(self.subject.as_ref()?.ready())
    }

    fn waits_until(&mut self, _: &View<'_>) -> Option<Instant> {
        self.subject.as_mut()?.waits_until()
    }

    fn decorate(&mut self, event: &mut View<'_>) -> (Verdict, bool) {
        match &mut self.subject {
            Some(subject) => subject.decorate(&self.shared, event),
            None => (Verdict::Keep, false),
        }
    }
}

/// Events of the journal, each of which names its container.
struct Journal {
    shared: Arc<Shared>,
    /// `None` for names that are no container's.
    subjects: HashMap<Box<[u8]>, Option<Subject>>,
}

impl Journal {
    fn subject(&mut self, name: &[u8]) -> Option<&mut Subject> {
        if !self.subjects.contains_key(name) {
            if self.subjects.len() >= SUBJECTS_MAX {
                self.subjects.clear();
            }
            let names = self.shared.options.namer.of_text(name);
            let subject = names.map(|names| Subject::new(&self.shared, names));
            self.subjects.insert(name.into(), subject);
        }
        self.subjects.get_mut(name)?.as_mut()
    }
}

impl Decorator for Journal {
    fn ready(&mut self, events: &Block) -> Option<BoxFuture<'static, ()>> {
        let mut waits = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for event in events.events_from(0) {
            let name = last_value(event.record, CONTAINER_NAME).and_then(read::text);
            if let Some(name) = name
                && seen.insert(name)
                && let Some(subject) = self.subject(name)
            {
                waits.append(&mut subject.ready());
            }
        }
        all(waits)
    }

    fn waits_until(&mut self, event: &View<'_>) -> Option<Instant> {
        let name = event.get(CONTAINER_NAME).and_then(read::text)?;
        self.subject(name)?.waits_until()
    }

    fn decorate(&mut self, event: &mut View<'_>) -> (Verdict, bool) {
        let shared = Arc::clone(&self.shared);
        let name = event.get(CONTAINER_NAME).and_then(read::text);
        match name.and_then(|name| self.subject(name)) {
            Some(subject) => subject.decorate(&shared, event),
            None => (Verdict::Keep, false),
        }
    }
}
