//! What the task's metadata endpoint says of the task this process runs in.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::config::Variables;

/// One question has to be answered by then.
const DEADLINE: Duration = Duration::from_secs(2);
/// The agent's answers have some kilobytes.
const ANSWER_MAX: usize = 1 << 20;

/// The task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in crate::output) struct Task {
    /// A name or an ARN, as the agent has it.
    #[serde(rename = "Cluster", default)]
    pub(in crate::output) cluster: String,
    /// `arn:<partition>:ecs:<region>:<account>:task/<cluster>/<id>`
    #[serde(rename = "TaskARN", default)]
    pub(in crate::output) arn: String,
}

impl Task {
    /// The last part of its ARN.
    pub(in crate::output) fn id(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }

    /// The region in its ARN.
    pub(super) fn region(&self) -> Option<&str> {
        self.arn
            .split(':')
            .nth(3)
            .filter(|region| !region.is_empty())
    }
}

/// The metadata endpoint of this task; what it said once is not asked again.
#[derive(Debug)]
pub(in crate::output) struct Metadata {
    url: String,
    task: Mutex<Option<Arc<Task>>>,
}

impl Metadata {
    /// The endpoint; `None` outside of a task.
    pub(in crate::output) fn of(variables: &Variables) -> Option<Self> {
        let names = [
            "ECS_CONTAINER_METADATA_URI_V4",
            "ECS_CONTAINER_METADATA_URI",
        ];
        let url = names
            .iter()
            .find_map(|name| variables.get(name).filter(|url| !url.is_empty()))?;
        Some(Self {
            url: format!("{}/task", url.trim_end_matches('/')),
            task: Mutex::default(),
        })
    }

    /// The task.
    ///
    /// # Errors
    /// Why nothing is known of it.
    pub(in crate::output) async fn task(&self) -> Result<Arc<Task>, String> {
        let mut known = self.task.lock().await;
        if let Some(task) = &*known {
            return Ok(Arc::clone(task));
        }
        let asked = tokio::time::timeout(DEADLINE, self.ask()).await;
        let answer = asked.unwrap_or_else(|_| Err("no answer".to_owned()));
        let task = answer.map_err(|error| format!("cannot read the task's metadata: {error}"))?;
        Ok(Arc::clone(known.insert(Arc::new(task))))
    }

    async fn ask(&self) -> Result<Task, String> {
        let url = self.url.parse().map_err(|error| format!("{error}"))?;
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
        let answer = client.get(url).await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("HTTP status {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        let task: Task = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        if task.id().is_empty() {
            return Err("it names no task".to_owned());
        }
        Ok(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// An endpoint that gives these answers, one for each question.
    async fn endpoint(answers: Vec<&'static str>) -> Metadata {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v4/id", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut question = [0; 1024];
                let length = socket.read(&mut question).await.unwrap();
                assert!(question[..length].starts_with(b"GET /v4/id/task "));
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Metadata::of(&Variables::from_pairs([(
            "ECS_CONTAINER_METADATA_URI",
            &url,
        )]))
        .unwrap()
    }

    /// Checklist: outputs 46
    #[tokio::test]
    async fn what_is_known_once_is_not_asked_again() {
        let body = r#"{"Cluster":"prod","TaskARN":"arn:aws:ecs:eu-west-1:1:task/prod/abc"}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let failure = "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let metadata = endpoint(vec![failure, answer.leak()]).await;
        assert!(metadata.task().await.is_err());
        for _ in 0..2 {
            let task = metadata.task().await.unwrap();
            assert_eq!(
                (task.id(), task.region(), &*task.cluster),
                ("abc", Some("eu-west-1"), "prod")
            );
        }
    }

    /// Checklist: outputs 46
    #[test]
    fn a_task_needs_no_more_than_its_arn() {
        let task = |text: &str| serde_json::from_str::<Task>(text).unwrap();
        let cluster = "arn:aws-cn:ecs:cn-north-1:1:cluster/prod";
        let full = task(&format!(
            r#"{{"Cluster":"{cluster}","TaskARN":"arn:aws-cn:ecs:cn-north-1:1:task/abc","Containers":[{{}}],"Limits":null}}"#
        ));
        assert_eq!(
            (full.id(), full.region(), &*full.cluster),
            ("abc", Some("cn-north-1"), cluster)
        );
        let empty = task("{}");
        assert_eq!((empty.id(), empty.region()), ("", None));
    }

    #[test]
    fn outside_of_a_task_there_is_no_endpoint() {
        assert!(Metadata::of(&Variables::default()).is_none());
    }
}
