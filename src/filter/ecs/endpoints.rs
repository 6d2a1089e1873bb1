//! Who knows the cluster and its containers.
//!
//! | endpoint | knows |
//! |---|---|
//! | the task's own, `ECS_CONTAINER_METADATA_URI_V4` | the cluster's name, and the containers of this task; everywhere on ECS |
//! | the instance's agent, `/v1/metadata`, `/v1/tasks?dockerid=ID` | the cluster, the instance, and all containers on it; EC2 only |
//!
//! The task's own is asked first, unless `ecs_meta_host` or `ecs_meta_port` names an agent, which then is asked alone. As a daemon that
//! takes the logs of all tasks of an instance, the router finds in the agent what its own task does not know.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-introspection.html>

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join};
use http::{Request, StatusCode};
use http_body_util::Empty;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::accessor::{Accessor, last_value};
use crate::config::{Settings, Variables};
use crate::filter::lookup::{Answer, Client, Found, Source};
use crate::msgpack::write::{self, OpenMap};
use crate::net::Tls;

/// The agent's, as Fluent Bit has it.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 51678;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(3);
/// A task has ten containers, each with some kilobytes.
const ANSWER_MAX: usize = 1 << 20;
/// As long as a container's id is in a tag.
const SHORT_ID: usize = 12;
/// What `FireLens` puts between the name of a container and the id of its task.
const FIRELENS: &str = "-firelens-";

/// ECS allows 255 characters for a name, and an id has 36.
const NAMES_MAX: usize = 512;

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The cluster and the instance.
    Cluster,
    /// The container whose id begins so.
    Id(Box<str>),
    /// The container of this name in the task of this id.
    Name(Box<str>, Box<str>),
}

impl Key {
    /// The container that a tag is of: `PREFIX` and the first characters of its id, or the tag that `FireLens` gives.
    pub(super) fn of_tag(tag: &[u8], prefix: &str) -> Option<Self> {
        let tag = std::str::from_utf8(tag).ok()?;
        let rest = tag.strip_prefix(prefix)?;
        if let Some((name, task)) = rest.split_once(FIRELENS)
            && rest.len() <= NAMES_MAX
        {
            return Some(Self::Name(name.into(), task.into()));
        }
        let id = rest.get(..SHORT_ID)?;
        let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_id.then(|| Self::Id(id.into()))
    }
}

/// Variables with their values: a msgpack map of texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts(Vec<u8>);

impl Facts {
    fn new<'f>(facts: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let mut bytes = Vec::new();
        let mut map = OpenMap::begin(&mut bytes);
        for (name, value) in facts {
            map.count();
            write::str(&mut bytes, name.as_bytes());
            write::str(&mut bytes, value.as_bytes());
        }
        map.end(&mut bytes);
        Self(bytes)
    }

    /// The value that an accessor names.
    pub(super) fn find(&self, accessor: &Accessor) -> Option<&[u8]> {
        accessor.descend(last_value(&self.0, accessor.key())?)
    }
}

impl Found for Facts {
    fn size(&self) -> usize {
        self.0.len()
    }
}

/// What the agent says of its instance.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentMetadata {
    cluster: String,
    #[serde(default)]
    container_instance_arn: String,
    #[serde(default)]
    version: String,
}

/// A task, as either endpoint shows it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    /// Of the task's own endpoint alone.
    #[serde(default)]
    cluster: String,
    #[serde(rename = "TaskARN", alias = "Arn", default)]
    arn: String,
    #[serde(default)]
    family: String,
    #[serde(alias = "Revision", default)]
    version: String,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    docker_id: String,
    #[serde(default)]
    docker_name: String,
    #[serde(default)]
    name: String,
}

impl Task {
    fn facts(&self, container: &Container) -> Facts {
        Facts::new([
            ("ContainerID", container.docker_id.as_str()),
            ("DockerContainerName", &container.docker_name),
            ("ECSContainerName", &container.name),
            ("TaskARN", &self.arn),
            ("TaskID", last_part(&self.arn)),
            ("TaskDefinitionFamily", &self.family),
            ("TaskDefinitionVersion", &self.version),
        ])
    }

    fn find(&self, key: &Key) -> Option<Facts> {
        let is_wanted = |container: &&Container| match key {
            Key::Cluster => false,
            Key::Id(id) => container.docker_id.starts_with(&**id),
            Key::Name(name, task) => *container.name == **name && last_part(&self.arn) == &**task,
        };
        let container = self.containers.iter().find(is_wanted)?;
        Some(self.facts(container))
    }
}

/// What stands behind the last slash of an ARN; all of a name.
fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// Why there is no answer.
enum Trouble {
    /// The endpoint answers, and not to this.
    Refused(String),
    /// It does not answer, or nothing that can be understood.
    Failed(String),
}

impl Trouble {
    fn into_answer<F>(self) -> Answer<F> {
        match self {
            Self::Refused(why) => Answer::Absent(why),
            Self::Failed(why) => Answer::Failed(why),
        }
    }

    fn into_words(self) -> String {
        match self {
            Self::Refused(why) | Self::Failed(why) => why,
        }
    }
}

/// The endpoints.
pub(super) struct Endpoints {
    client: Client,
    /// The URL of this task.
    own: Option<String>,
    /// The URL of the agent.
    agent: String,
}

impl Endpoints {
    /// Reads the section and the environment.
    pub(super) fn read(settings: &mut Settings<'_>, variables: &Variables) -> Self {
        let host = settings.text("ecs_meta_host");
        let port = settings.port("ecs_meta_port");
        let own = variables.get("ECS_CONTAINER_METADATA_URI_V4");
        let own = own.filter(|url| !url.is_empty() && host.is_none() && port.is_none());
        let host = host.as_deref().unwrap_or(HOST);
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let agent = format!("http://{host}:{}", port.unwrap_or(PORT));
        if agent.parse::<http::Uri>().is_err() {
            settings.error("ecs_meta_host", format!("`{host}` is no host"));
        }
        Self {
            client: Client::new(CONNECT_TIMEOUT, Tls::default()),
            own: own.map(|url| format!("{}/task", url.trim_end_matches('/'))),
            agent,
        }
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, Trouble> {
        let failed = |why: String| Trouble::Failed(format!("{url}: {why}"));
        let request = Request::get(url).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| failed(error.to_string()))?;
        let answer = self.client.ask(request, LIMIT, ANSWER_MAX).await;
        let answer = answer.map_err(Trouble::Failed)?;
        match answer.status {
            StatusCode::OK => {
                serde_json::from_slice(&answer.body).map_err(|error| failed(error.to_string()))
            }
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => {
                Err(Trouble::Refused(format!("{url}: status {}", answer.status)))
            }
            status => Err(failed(format!("status {status}"))),
        }
    }

    async fn own_task(&self) -> Option<Result<Task, Trouble>> {
        Some(self.get(self.own.as_ref()?).await)
    }

    async fn cluster(&self) -> Answer<Facts> {
        let agent = format!("{}/v1/metadata", self.agent);
        let (own, agent) = join(self.own_task(), self.get::<AgentMetadata>(&agent)).await;
        let (name, agent) = match (own, agent) {
            (_, Ok(agent)) => (agent.cluster.clone(), agent),
            // There is no agent on Fargate.
            (Some(Ok(task)), Err(_)) => {
                let agent = AgentMetadata {
                    cluster: String::new(),
                    container_instance_arn: String::new(),
                    version: String::new(),
                };
                (task.cluster, agent)
            }
            (Some(Err(trouble)), Err(_)) | (None, Err(trouble)) => {
                return Answer::Failed(trouble.into_words());
            }
        };
        let name = if name.starts_with("arn:") {
            last_part(&name)
        } else {
            &name
        };
        if name.is_empty() {
            return Answer::Failed("the answer names no cluster".to_owned());
        }
        let arn = agent.container_instance_arn.as_str();
        Answer::Found(Facts::new([
            ("ClusterName", name),
            ("ContainerInstanceArn", arn),
            ("ContainerInstanceID", last_part(arn)),
            ("ECSAgentVersion", &agent.version),
        ]))
    }

    async fn container(&self, key: &Key) -> Answer<Facts> {
        let own = self.own_task().await;
        if let Some(Ok(task)) = &own
            && let Some(facts) = task.find(key)
        {
            return Answer::Found(facts);
        }
        let unknown = || Answer::Absent(format!("ECS knows nothing of {key}"));
        let Key::Id(id) = key else {
            // The agent finds tasks by the ids of containers only.
            return match own {
                Some(Err(trouble)) => trouble.into_answer(),
                Some(Ok(_)) | None => unknown(),
            };
        };
        let url = format!("{}/v1/tasks?dockerid={id}", self.agent);
        match (self.get::<Task>(&url).await, own) {
            (Ok(task), _) => task.find(key).map_or_else(unknown, Answer::Found),
            (Err(_), Some(Ok(_))) => unknown(),
            (Err(_), Some(Err(trouble))) | (Err(trouble), None) => trouble.into_answer(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            Self::Id(id) => write!(f, "a container {id}"),
            Self::Name(name, task) => {
                let (name, task) = (name.escape_debug(), task.escape_debug());
                write!(f, "a container `{name}` in the task `{task}`")
            }
        }
    }
}

impl Source for Endpoints {
    type Key = Key;
    type Found = Facts;

    fn fetch<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Answer<Facts>>> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for key in keys {
                answers.push(match key {
                    Key::Cluster => self.cluster().await,
                    container => self.container(container).await,
                });
            }
            answers
        })
    }
}
