//! What the outputs share that send requests to a server by HTTP.
//!
//! | file | purpose |
//! |---|---|
//! | `target.rs` | where requests go, and what is the same in all of them |
//! | `body.rs` | the filling of a body, within a service's limits |
//! | `poster.rs` | an output that fills bodies and posts them |
//!
//! What an answer means is for each output to say, by a [`Verdict`] for every status; that it is obeyed, is done here.

mod body;
mod poster;
mod target;

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

pub(super) use self::body::Room;
pub(super) use self::poster::{Content, Poster};
pub(super) use self::target::{Defaults, Target, header_value, is_counted};
use super::Answer;
use super::net::{HttpClient, HttpWay, with_causes};
use crate::config::Settings;
use crate::event::{DropReason, EventTime};
use crate::telemetry::log::Limiter;

/// As Fluent Bit's `net.keepalive_idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer has to begin by then; below what a request may take in all.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(55);
/// An answer has to be whole so long after its beginning.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read, and how much of it is shown.
const ANSWER_MAX: usize = 1 << 20;
const SHOWN_MAX: usize = 500;

/// What a status means for the events of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server has them.
    Taken,
    /// They may be sent again.
    Again,
    /// They are not wanted, now or later.
    Refused,
    /// Fewer at once will tell which of them is not wanted.
    Unacceptable(DropReason),
}

/// What a server said.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status.
    pub(super) status: u16,
    /// The body, as far as it came.
    pub(super) payload: Bytes,
    after: Option<Duration>,
}

#[cfg(test)]
impl Reply {
    /// An answer of this status with this body.
    pub(super) fn of(status: u16, payload: &[u8]) -> Self {
        Self {
            status,
            payload: Bytes::copy_from_slice(payload),
            after: None,
        }
    }
}

/// Sends requests and judges answers.
pub(super) struct Exchange {
    client: HttpClient<Full<Bytes>>,
    /// Who speaks in the log: `output:http`.
    component: &'static str,
    verdict: fn(u16) -> Verdict,
    response_timeout: Duration,
    body_timeout: Duration,
    shows_answers: bool,
    limiter: Limiter,
}

impl Exchange {
    /// Reads `net.*`, `tls.*` and `proxy`.
    pub(super) fn read(
        settings: &mut Settings<'_>,
        component: &'static str,
        verdict: fn(u16) -> Verdict,
    ) -> Self {
        let way = HttpWay::read(settings, IDLE_TIMEOUT);
        let response_timeout = way.io_timeout().unwrap_or(RESPONSE_TIMEOUT);
        Self {
            client: way.client(),
            component,
            verdict,
            response_timeout: response_timeout.min(RESPONSE_TIMEOUT),
            body_timeout: BODY_TIMEOUT,
            shows_answers: true,
            limiter: Limiter::default(),
        }
    }

    /// Has answers begin and end by then.
    pub(super) fn hurry(&mut self, response_timeout: Duration, body_timeout: Duration) {
        self.response_timeout = self.response_timeout.min(response_timeout);
        self.body_timeout = self.body_timeout.min(body_timeout);
    }

    /// Reads `log_response_payload`.
    pub(super) fn read_shows_answers(&mut self, settings: &mut Settings<'_>) {
        self.shows_answers = settings.flag("log_response_payload", true);
    }

    /// Sends a request and says what became of its events. `make` makes it, more than once where a connection turns out dead.
    pub(super) async fn send(&self, peer: &str, make: impl Fn() -> Request<Full<Bytes>>) -> Answer {
        match self.ask(peer, make).await {
            Ok(reply) => self.judge(peer, &reply),
            Err(answer) => answer,
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Without an answer the request may be sent again.
    pub(super) async fn ask(
        &self,
        peer: &str,
        make: impl Fn() -> Request<Full<Bytes>>,
    ) -> Result<Reply, Answer> {
        let sent = self
            .client
            .send(self.response_timeout, make(), || Some(make()))
            .await;
        let response =
            sent.map_err(|error| Answer::again(format!("{peer}: {}", with_causes(&error))))?;
        Ok(Reply {
            status: response.status().as_u16(),
            after: retry_after(response.headers(), EventTime::now()),
            payload: self.read_payload(response.into_body()).await,
        })
    }

    /// What an answer means. Of events that are refused, the log says why.
    pub(super) fn judge(&self, peer: &str, reply: &Reply) -> Answer {
        let why = || self.words(peer, reply);
        match (self.verdict)(reply.status) {
            Verdict::Taken => Answer::done(),
            Verdict::Again => Answer::Again {
                throttled: matches!(reply.status, 429 | 503),
                after: reply.after,
                why: why(),
            },
            Verdict::Unacceptable(reason) => Answer::Unacceptable { why: why(), reason },
            Verdict::Refused => {
                if let Some(more) = self.limiter.admit() {
                    crate::error!(self.component, "{}; its events are lost{more}", why());
                }
                Answer::Done {
                    rejected: vec![(0..usize::MAX, DropReason::Refused)],
                }
            }
        }
    }

    /// Says something of an answer that is taken all the same, once in a while.
    pub(super) fn remark(&self, peer: &str, remark: &str) {
        if let Some(more) = self.limiter.admit() {
            crate::warning!(self.component, "{peer}: {remark}{more}");
        }
    }

    /// What the server says. The status stands, whatever becomes of the rest.
    async fn read_payload(&self, body: Incoming) -> Bytes {
        let whole = Limited::new(body, ANSWER_MAX).collect();
        match tokio::time::timeout(self.body_timeout, whole).await {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(_)) | Err(_) => Bytes::new(),
        }
    }

    fn words(&self, peer: &str, reply: &Reply) -> String {
        let (status, payload) = (reply.status, &reply.payload);
        if payload.is_empty() || !self.shows_answers {
            return format!("{peer}, HTTP status={status}");
        }
        let shown = payload.get(..SHOWN_MAX).unwrap_or(payload).escape_ascii();
        format!("{peer}, HTTP status={status}: {shown}")
    }

    /// Only connects: nobody knows what a request without events would do there.
    ///
    /// # Errors
    /// What stands against it.
    pub(super) async fn reach(&self, target: &Target) -> Result<String, String> {
        match self.client.reach(target.uri()).await {
            Ok(()) => Ok(format!(
                "{} accepts connections; no request was sent",
                target.peer
            )),
            Err(error) => Err(with_causes(&error)),
        }
    }
}

/// How long to wait: seconds, or until a date.
fn retry_after(headers: &HeaderMap, now: EventTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    let millis = date.timestamp().as_millisecond() - now.millis();
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_server_names_seconds_or_a_date_to_come_back_at() {
        let now = EventTime {
            seconds: 784_111_777,
            nanos: 0,
        };
        let wait = |value: &'static str| {
            let headers = [(RETRY_AFTER, HeaderValue::from_static(value))];
            retry_after(&headers.into_iter().collect(), now)
        };
        assert_eq!(wait(" 7 "), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(wait(date), Some(Duration::from_secs(10)));
        let past = "Sun, 06 Nov 1994 08:49:07 GMT";
        assert_eq!(wait(past), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }
}
