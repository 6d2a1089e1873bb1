//! The credentials of the account: fixed ones, and those that the endpoints of ECS and EC2 hand out for a while.
//!
//! A third port plays both: `GET /ecs` for `AWS_CONTAINER_CREDENTIALS_FULL_URI`, and the instance metadata service, version 2. Either
//! hands out the same set until half of its life is over, then a new one.
//!
//! Shapes: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::answer::ApiError;
use super::cloud::Cloud;
use super::sigv4::Credentials;
use crate::args;
use crate::error::{Error, Result};
use crate::random::Random;
use crate::stats::now_nanos;

/// The role's name at the instance metadata service.
const ROLE: &str = "bench";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// Longer than any client waits.
const HANG: Duration = Duration::from_mins(10);

/// Who may sign.
#[derive(Debug, Default)]
pub(super) struct Keys {
    fixed: Option<Credentials>,
    /// How long a set is good; `None` hands out nothing.
    life: Option<Duration>,
    issued: Vec<Issued>,
    fail: f64,
    hang: f64,
    random: Option<Random>,
    asked: u64,
    failed: u64,
    hung: u64,
}

#[derive(Debug)]
struct Issued {
    credentials: Credentials,
    /// Nanoseconds since 1970.
    from: u64,
    until: u64,
    /// How many requests came with it after its end.
    late: u64,
}

/// What becomes of one question for credentials.
enum Verdict {
    Answer,
    Fail,
    Hang,
}

impl Keys {
    pub(super) fn new(fixed: Option<Credentials>, life: Option<Duration>) -> Self {
        Self {
            fixed,
            life,
            ..Self::default()
        }
    }

    /// Sets `issue-fail` or `issue-hang`.
    ///
    /// # Errors
    /// When it is neither, or the value is not a share.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "issue-fail" => self.fail = args::share(value)?,
            "issue-hang" => self.hang = args::share(value)?,
            _ => return Err(Error::Usage(format!("there is no fault {name:?}"))),
        }
        Ok(())
    }

    /// The credentials that `access_key` belongs to; the fixed ones when it is not known.
    pub(super) fn of(&self, access_key: Option<&str>) -> Option<Credentials> {
        let issued = self
            .issued
            .iter()
            .map(|issued| &issued.credentials)
            .find(|known| Some(known.access_key.as_str()) == access_key);
        let first = self.issued.first().map(|issued| &issued.credentials);
        issued.or(self.fixed.as_ref()).or(first).cloned()
    }

    /// Refuses credentials whose time is over.
    ///
    /// # Errors
    /// As the services say it.
    pub(super) fn check_end(
        &mut self,
        access_key: Option<&str>,
        now: u64,
    ) -> std::result::Result<(), ApiError> {
        let of_key = |issued: &&mut Issued| {
            Some(issued.credentials.access_key.as_str()) == access_key && issued.until <= now
        };
        let Some(issued) = self.issued.iter_mut().find(of_key) else {
            return Ok(());
        };
        issued.late += 1;
        Err(expired())
    }

    /// Ends all credentials that were handed out.
    pub(super) fn expire(&mut self, now: u64) {
        for issued in &mut self.issued {
            issued.until = issued.until.min(now);
        }
    }

    /// What was handed out; part of `GET /stats`.
    pub(super) fn to_json(&self) -> Value {
        let late = self.issued.iter().map(|issued| issued.late);
        json!({
            "asked": self.asked,
            "failed": self.failed,
            "hung": self.hung,
            "issued": self.issued.len(),
            "expired_requests": late.clone().sum::<u64>(),
            "most_expired_requests": late.max().unwrap_or(0),
        })
    }

    fn judge(&mut self) -> Verdict {
        self.asked += 1;
        let random = self.random.get_or_insert_with(|| Random::new(3));
        let (fail, hang) = (random.happens(self.fail), random.happens(self.hang));
        if hang {
            self.hung += 1;
            return Verdict::Hang;
        }
        if fail {
            self.failed += 1;
            return Verdict::Fail;
        }
        Verdict::Answer
    }

    /// The set that is handed out at `now`.
    fn hand_out(&mut self, now: u64) -> Option<&Issued> {
        let life = u64::try_from(self.life?.as_nanos()).unwrap_or(u64::MAX);
        let is_fresh = |issued: &Issued| issued.until > now && now - issued.from < life / 2;
        if !self.issued.last().is_some_and(is_fresh) {
            let number = self.issued.len();
            let mut random = Random::new(now ^ number as u64);
            let credentials = Credentials {
                access_key: format!("ASIABENCH{number:08}"),
                secret_key: random.hex(40),
                session_token: Some(random.hex(200)),
            };
            self.issued.push(Issued {
                credentials,
                from: now,
                until: now.saturating_add(life),
                late: 0,
            });
        }
        self.issued.last()
    }
}

/// The answer to a token whose time is over.
pub(super) fn expired() -> ApiError {
    ApiError::refusal(
        StatusCode::BAD_REQUEST,
        "ExpiredTokenException",
        "The security token included in the request is expired",
    )
}

/// Answers questions for credentials for ever.
pub(super) async fn serve(listener: TcpListener, cloud: Arc<Cloud>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let cloud = Arc::clone(&cloud);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &cloud));
            // Whoever asked may have gone away.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    cloud: &Cloud,
) -> std::result::Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let verdict = cloud.state().keys.judge();
    let (status, body) = match verdict {
        Verdict::Hang => {
            tokio::time::sleep(HANG).await;
            (StatusCode::GATEWAY_TIMEOUT, String::new())
        }
        Verdict::Fail => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "{\"code\":\"InternalServerError\",\"message\":\"busy\"}".to_owned(),
        ),
        Verdict::Answer => route(&request, cloud),
    };
    let response = Response::builder()
        .status(status)
        .header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
        .header("content-type", "application/json");
    Ok(response.body(Full::from(body)).unwrap_or_default())
}

fn route(request: &Request<Incoming>, cloud: &Cloud) -> (StatusCode, String) {
    let role = request.uri().path().strip_prefix(ROLES);
    match (request.method(), request.uri().path(), role) {
        (&Method::PUT, "/latest/api/token", _) => (StatusCode::OK, "bench-token".to_owned()),
        (&Method::GET, "/ecs", _) | (&Method::GET, _, Some(ROLE)) => {
            match cloud.state().keys.hand_out(now_nanos()) {
                Some(issued) => (StatusCode::OK, issued.to_json().to_string()),
                None => (StatusCode::NOT_FOUND, String::new()),
            }
        }
        (&Method::GET, _, Some("")) => (StatusCode::OK, ROLE.to_owned()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    }
}

impl Issued {
    fn to_json(&self) -> Value {
        let at = |nanos: u64| {
            let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(0);
            jiff::Timestamp::from_second(seconds)
                .map_or_else(|_| String::new(), |at| at.to_string())
        };
        json!({
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": at(self.from),
            "AccessKeyId": self.credentials.access_key, "SecretAccessKey": self.credentials.secret_key,
            "Token": self.credentials.session_token, "Expiration": at(self.until),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_set_is_handed_out_for_half_of_its_life_and_refused_after_its_end() {
        let mut keys = Keys::new(None, Some(Duration::from_mins(1)));
        let mut key = |at: u64| {
            keys.hand_out(at * SECOND)
                .unwrap()
                .credentials
                .access_key
                .clone()
        };
        let first = key(100);
        assert_eq!(key(129), first);
        let second = key(131);
        assert_ne!(second, first);
        assert_eq!(keys.of(Some(&second)).unwrap().access_key, second);
        assert!(keys.check_end(Some(&first), 159 * SECOND).is_ok());
        assert_eq!(
            keys.check_end(Some(&first), 160 * SECOND).unwrap_err().code,
            "ExpiredTokenException"
        );
        assert_eq!(keys.to_json()["most_expired_requests"], 1);
        keys.expire(132 * SECOND);
        assert!(keys.check_end(Some(&second), 133 * SECOND).is_err());
    }
}
