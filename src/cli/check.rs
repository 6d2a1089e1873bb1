//! `sluice check`: whether the destinations of a configuration would take events.
//!
//! Every output asks its own, over the connections that it would deliver by: names, proxies, TLS and credentials are those of a run.
//! All ask at the same time, within a deadline, and nothing is stored.
//!
//! | output | asks | finds out |
//! |---|---|---|
//! | `cloudwatch_logs`, `cloudwatch` | `PutLogEvents` to a stream that does not exist | credentials, `logs:PutLogEvents`, whether the group exists |
//! | `kinesis_firehose`, `firehose`, `kinesis_streams`, `kinesis` | for no record to be put | credentials, the permission to put, whether the stream exists |
//! | `s3` | for a part of an upload that does not exist | credentials, `s3:PutObject`, whether the bucket exists |
//! | `es`, `opensearch` | for an empty `_bulk` | credentials |
//! | `forward` | nothing, after the handshake | keys and users |
//! | `http` | nothing | the connection |

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::config::Place;
use crate::pipeline::Plan;

/// How long an output may take, credentials included.
const DEADLINE: Duration = Duration::from_secs(20);

/// What became of an output's question.
#[derive(Debug)]
pub struct Finding {
    /// Where its section stands.
    place: Place,
    /// The output.
    output: String,
    /// What was found, or what stands against it; nothing where there is nothing to ask.
    answer: Option<Result<String, String>>,
}

impl Finding {
    /// Whether nothing stands against it.
    pub fn is_good(&self) -> bool {
        !matches!(self.answer, Some(Err(_)))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match &self.answer {
            Some(Ok(said) | Err(said)) => said,
            None => "there is nothing to ask",
        };
        write!(f, "{}: output {}: {said}", self.place, self.output)
    }
}

/// Has all outputs ask at once; the findings come in their order.
pub async fn ask(plan: &Plan) -> Vec<Finding> {
    let questions = plan.outputs().map(|(place, name, output)| async move {
        let late = || format!("no answer within {} s", DEADLINE.as_secs());
        let answer = timeout(DEADLINE, output.check()).await;
        Finding {
            place: place.clone(),
            output: name.to_owned(),
            answer: answer.unwrap_or_else(|_| Some(Err(late()))),
        }
    });
    join_all(questions).await
}
