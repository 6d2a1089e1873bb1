//! The sources of pods and namespaces.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::api::{Trouble, prepared};
use super::metadata::{Object, items};
use super::names::Names;
use super::options::Access;
use crate::accessor::last_value;
use crate::filter::lookup::{Answer, CALLS_MAX, Source};
use crate::parser::json;

/// Pods that one list of a kubelet is searched for.
const KEYS_MAX: usize = 256;

/// A pod, and the container's id where another id is to be asked for anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PodKey {
    namespace: Box<str>,
    pod: Box<str>,
    docker_id: Option<Box<str>>,
}

impl PodKey {
    /// The pod of these names; `None` where there can be none.
    pub(super) fn of(names: &Names, with_docker_id: bool) -> Option<Self> {
        let (namespace, pod) = names.pod_key()?;
        Some(Self {
            namespace,
            pod,
            docker_id: names.docker_id.clone().filter(|_| with_docker_id),
        })
    }
}

/// Pods, from the API server or the kubelet.
pub(super) struct Pods(Arc<Access>);

impl Pods {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self(access)
    }

    async fn pod(&self, key: &PodKey) -> Answer<Object> {
        let PodKey { namespace, pod, .. } = key;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
        object(self.0.api.get(&path).await.map(Into::into))
    }

    /// Looks for keys in the list of all pods of the node.
    async fn listed(&self, keys: &[&PodKey]) -> Vec<Answer<Object>> {
        let Some(kubelet) = &self.0.kubelet else {
            return Vec::new();
        };
        let list = kubelet.get("/pods").await;
        let list = list.and_then(|text| {
            let text: Vec<u8> = text.into();
            decoded(&text)
        });
        let list = match list {
            Ok(list) => list,
            Err(trouble) => return keys.iter().map(|_| trouble.answer()).collect(),
        };
        keys.iter().map(|key| find(&list, key)).collect()
    }

    async fn prepared(&self, key: &PodKey) -> Option<Answer<Object>> {
        let PodKey { namespace, pod, .. } = key;
        let file = self
            .0
            .preload
            .as_ref()?
            .join(format!("{namespace}_{pod}.meta"));
        let text = prepared(file).await?;
        let answer = decoded(&text);
        Some(match answer {
            Err(trouble) => trouble.answer(),
            // A kubelet's answer is a list.
            Ok(answer) if last_value(&answer, b"items").is_some() => find(&answer, key),
            Ok(answer) => Object::read(&answer).map_or_else(|| nothing(key), Answer::Found),
        })
    }
}

impl Source for Pods {
    type Key = PodKey;
    type Found = Object;

    fn fetch<'a>(&'a self, keys: &'a [PodKey]) -> BoxFuture<'a, Vec<Answer<Object>>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for key in keys {
                answers.push(self.prepared(key).await);
            }
            let open = keys.iter().zip(&answers);
            let open: Vec<&PodKey> = open
                .filter_map(|(key, answer)| answer.is_none().then_some(key))
                .collect();
            let mut rest = Vec::new();
            if self.0.kubelet.is_some() && !open.is_empty() {
                rest = self.listed(&open).await;
            } else {
                for key in open {
                    rest.push(self.pod(key).await);
                }
            }
            let mut rest = rest.into_iter();
            let answers = answers.into_iter();
            answers
                .filter_map(|answer| answer.or_else(|| rest.next()))
                .collect()
        })
    }

    fn keys_max(&self) -> usize {
        if self.0.kubelet.is_some() {
            KEYS_MAX
        } else {
            1
        }
    }

    fn calls_max(&self) -> usize {
        // A list holds all pods, and is large.
        if self.0.kubelet.is_some() {
            1
        } else {
            CALLS_MAX
        }
    }
}

/// Namespaces, from the API server: a kubelet knows none.
pub(super) struct Namespaces(Arc<Access>);

impl Namespaces {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self(access)
    }

    async fn namespace(&self, name: &str) -> Answer<Object> {
        if let Some(folder) = &self.0.preload
            && let Some(text) = prepared(folder.join(format!("{name}.namespace_meta"))).await
        {
            return object(Ok(text));
        }
        let path = format!("/api/v1/namespaces/{name}");
        object(self.0.api.get(&path).await.map(Into::into))
    }
}

impl Source for Namespaces {
    type Key = Box<str>;
    type Found = Object;

    fn fetch<'a>(&'a self, keys: &'a [Box<str>]) -> BoxFuture<'a, Vec<Answer<Object>>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for name in keys {
                answers.push(self.namespace(name).await);
            }
            answers
        })
    }
}

impl Trouble {
    fn answer(&self) -> Answer<Object> {
        match self {
            Self::Absent(why) => Answer::Absent(why.clone()),
            Self::Failed(why) => Answer::Failed(why.clone()),
        }
    }
}

/// A JSON text as msgpack.
fn decoded(text: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut answer = Vec::new();
    match json::to_msgpack(text, &mut answer) {
        Ok(_) => Ok(answer),
        Err(error) => Err(Trouble::Absent(format!(
            "an answer that is no JSON: {error}"
        ))),
    }
}

fn object(text: Result<Vec<u8>, Trouble>) -> Answer<Object> {
    match text.and_then(|text| decoded(&text)) {
        Ok(answer) => match Object::read(&answer) {
            Some(object) => Answer::Found(object),
            None => Answer::Absent("an answer without metadata".to_owned()),
        },
        Err(trouble) => trouble.answer(),
    }
}

/// Looks for a pod in a list.
fn find(list: &[u8], key: &PodKey) -> Answer<Object> {
    let wanted = (key.namespace.as_bytes(), key.pod.as_bytes());
    let mut pods = items(last_value(list, b"items").unwrap_or_default());
    let pod = pods.find(|pod| Object::key(pod) == Some(wanted));
    pod.and_then(Object::read)
        .map_or_else(|| nothing(key), Answer::Found)
}

fn nothing(key: &PodKey) -> Answer<Object> {
    let PodKey { namespace, pod, .. } = key;
    Answer::Absent(format!("there is no pod {pod} in {namespace}"))
}
