//! `ecs`: appends what ECS knows of the container that an event comes from.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Add KEY TEMPLATE` | | append a key with a text made of the variables below; repeatable |
//! | `ecs_tag_prefix` | | stands in the tag before the first 12 characters of the container's id |
//! | `cluster_metadata_only` | off | ask for the cluster alone |
//! | `ecs_meta_cache_ttl` | 3600 | seconds after which a container is asked for again |
//! | `ecs_meta_host`, `ecs_meta_port` | 127.0.0.1, 51678 | the agent of the instance |
//! | `agent_endpoint_retries` | 2 | how often a container may be unknown before only the cluster counts |
//! | `metadata_wait` | 3 | seconds that the first events of a tag wait for the answer |
//!
//! | variables | of |
//! |---|---|
//! | `$ClusterName`, `$ContainerInstanceArn`, `$ContainerInstanceID`, `$ECSAgentVersion` | the cluster |
//! | `$ContainerID`, `$DockerContainerName`, `$ECSContainerName` | the container |
//! | `$TaskARN`, `$TaskID`, `$TaskDefinitionFamily`, `$TaskDefinitionVersion` | its task |
//!
//! Without the cluster's data events stay as they are; without the container's, its variables are empty. `endpoints.rs` says who is
//! asked. <https://docs.fluentbit.io/manual/pipeline/filters/ecs-metadata>

mod endpoints;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join};
use tokio::time::Instant;

use self::endpoints::{Endpoints, Facts, Key};
use super::lookup::{Decorator, Lookup, Patient, Terms, Watched, wait};
use super::operator::{MakeOperator, Operator};
use super::pattern::encoded;
use super::{Means, Verdict, View};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::event::Block;
use crate::msgpack::write;
use crate::template::{Sources, Template};

const COMPONENT: &str = "filter:ecs";
/// All questions of one attempt have to be answered by then.
const DEADLINE: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// As Fluent Bit's `ecs_meta_cache_ttl`.
const TTL: Duration = Duration::from_hours(1);
/// As Fluent Bit's `agent_endpoint_retries`.
const RETRIES: i64 = 2;

struct Maker {
    lookup: Lookup<Endpoints>,
    /// Keeps what is known, and has it asked for before the first event comes.
    cluster: Watched<Facts>,
    cluster_only: bool,
    tag_prefix: String,
    keys: Arc<[(Vec<u8>, Template)]>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, means: Means<'_>) -> Box<dyn MakeOperator> {
    let ttl = settings.duration("ecs_meta_cache_ttl").unwrap_or(TTL);
    let ttl = ttl.max(Duration::from_secs(1));
    let retries = settings.integer_in("agent_endpoint_retries", 0..=1000);
    let terms = Terms {
        wait: wait(settings),
        deadline: DEADLINE,
        retry_max: RETRY_MAX,
        ttl: Some(ttl),
        absent_ttl: ttl,
        absent_max: u32::try_from(retries.unwrap_or(RETRIES)).unwrap_or(u32::MAX),
    };
    let endpoints = Endpoints::read(settings, means.variables);
    let lookup = Lookup::new(endpoints, terms, COMPONENT);
    Box::new(Maker {
        cluster: lookup.watch_alone(&Key::Cluster),
        lookup,
        cluster_only: settings.flag("cluster_metadata_only", false),
        tag_prefix: settings.text("ecs_tag_prefix").unwrap_or_default(),
        keys: keys(settings),
    })
}

/// The keys to add, encoded, each with its template.
fn keys(settings: &mut Settings<'_>) -> Arc<[(Vec<u8>, Template)]> {
    let mut keys = Vec::new();
    for ((key, template), place) in settings.pairs("add") {
        match Template::of_tag(&template) {
            Ok(template) => keys.push((encoded(&key), template)),
            Err(error) => settings.error_at(&place, "add", error.to_string()),
        }
    }
    if keys.is_empty() {
        settings.warning("add", "there is none, so the filter changes nothing");
    }
    keys.into()
}

impl MakeOperator for Maker {
    fn operator(&self, tag: &[u8]) -> Box<dyn Operator> {
        let key = Key::of_tag(tag, &self.tag_prefix).filter(|_| !self.cluster_only);
        let ecs = Ecs {
            cluster: self.cluster.clone(),
            wants_container: !self.cluster_only,
            container: key.and_then(|key| self.lookup.watch(&key)),
            keys: Arc::clone(&self.keys),
            pairs: Vec::new(),
            is_whole: false,
        };
        Box::new(Patient::new(ecs, tag))
    }

    fn task(&self) -> Option<BoxFuture<'static, ()>> {
        Some(Box::pin(self.lookup.clone().run()))
    }
}

struct Ecs {
    cluster: Watched<Facts>,
    wants_container: bool,
    /// Nothing where the tag names none.
    container: Option<Watched<Facts>>,
    keys: Arc<[(Vec<u8>, Template)]>,
    /// What to append, encoded once for each answer.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Cluster and container are known, as far as they are wanted.
    is_whole: bool,
}

impl Ecs {
    fn has_changed(&self) -> bool {
        let container = self.container.as_ref();
        self.cluster.has_changed() || container.is_some_and(Watched::has_changed)
    }

    fn renew(&mut self) {
        self.pairs.clear();
        self.is_whole = false;
        let container = self.container.as_mut().and_then(Watched::take);
        let Some(cluster) = self.cluster.take() else {
            return;
        };
        self.is_whole = container.is_some() || !self.wants_container;
        let none = Facts::default();
        let container = container.as_deref().unwrap_or(&none);
        let sources = Sources {
            tag: b"",
            value: |accessor: &Accessor| {
                let found = container.find(accessor);
                found.or_else(|| cluster.find(accessor))
            },
            group: |_| &b""[..],
        };
        for (key, template) in &*self.keys {
            let (mut text, mut value) = (Vec::new(), Vec::new());
            template.render(&sources, &mut text);
            write::str(&mut value, &text);
            self.pairs.push((key.clone(), value));
        }
    }
}

impl Decorator for Ecs {
    fn ready(&mut self, _: &Block) -> Option<BoxFuture<'static, ()>> {
        let container = self.container.as_ref().and_then(Watched::ready);
        match (self.cluster.ready(), container) {
            (Some(cluster), Some(container)) => Some(join(cluster, container).map(|_| ()).boxed()),
            (cluster, container) => cluster.or(container),
        }
    }

    fn waits_until(&mut self, _: &View<'_>) -> Option<Instant> {
        let container = self.container.as_mut().and_then(Watched::waits_until);
        self.cluster.waits_until().max(container)
    }

    fn decorate(&mut self, event: &mut View<'_>) -> (Verdict, bool) {
        if self.has_changed() {
            self.renew();
        }
        for (key, value) in &self.pairs {
            event.push_encoded(key, value);
        }
        (Verdict::Keep, self.is_whole)
    }
}
