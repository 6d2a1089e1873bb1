//! Paths and methods. Fluent Bit's are matched as in its version 5: exactly, and with any query.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, REFERRER_POLICY, SERVER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use super::{fluent, own, page, text};
use crate::telemetry::board::{Board, NoReload};

const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4";
const HTML: &str = "text/html; charset=utf-8";

/// What is wanted.
#[derive(Debug)]
pub(super) struct Asked<'r> {
    method: &'r Method,
    path: &'r str,
    query: &'r str,
    /// A browser asks.
    html: bool,
}

impl<'r> Asked<'r> {
    /// Reads the head of a request.
    pub(super) fn of(head: &'r Parts) -> Self {
        let accept = head.headers.get_all(ACCEPT);
        let wants_html = |value: &HeaderValue| {
            value
                .to_str()
                .is_ok_and(|text| text.to_ascii_lowercase().contains("text/html"))
        };
        Self {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            html: accept.iter().any(wants_html),
        }
    }

    /// The value of a parameter of the query.
    fn parameter(&self, name: &str) -> Option<&'r str> {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Reply {
    /// Only a status.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::empty(status).with(CONTENT_TYPE, content_type);
        reply.body = body.into();
        reply
    }

    fn json(status: StatusCode, value: &impl Serialize) -> Self {
        // Numbers, texts and maps with text keys: nothing that could fail.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self::new(status, JSON, body)
    }

    fn bare(status: StatusCode, body: &'static str) -> Self {
        Self {
            body: Bytes::from_static(body.as_bytes()),
            ..Self::empty(status)
        }
    }

    fn with(self, name: HeaderName, value: &'static str) -> Self {
        self.with_value(name, HeaderValue::from_static(value))
    }

    fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The connection ends with it.
    pub(super) fn closing(self) -> Self {
        self.with(CONNECTION, "close")
    }

    /// As hyper sends it. `HEAD` is its business.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static("Fluent Bit"));
        headers.extend(self.headers);
        response
    }
}

/// Answers one request.
pub(super) async fn reply(board: &Board, asked: &Asked<'_>) -> Reply {
    let view = board.view();
    let ok = StatusCode::OK;
    match asked.path {
        "/" if asked.html => html(board),
        "/" => Reply::json(ok, &fluent::root()).with(VARY, "accept"),
        "/api/v1/uptime" => Reply::json(ok, &fluent::uptime(board.uptime())),
        "/api/v1/metrics" => Reply::json(ok, &fluent::metrics(&view)),
        "/api/v1/metrics/prometheus" => {
            Reply::new(ok, PROMETHEUS, text::prometheus(&fluent::v1(board)))
        }
        "/api/v1/storage" if view.storage_metrics => Reply::json(ok, &fluent::storage(&view)),
        "/api/v1/health" if view.health.is_some() => {
            let health = fluent::health(board);
            if health.is_ok() {
                Reply::bare(ok, "ok\n")
            } else {
                Reply::bare(StatusCode::INTERNAL_SERVER_ERROR, "error\n")
            }
        }
        "/api/v1/plugins" => Reply::json(ok, &fluent::plugins(&view)),
        "/api/v2/health" => {
            let health = fluent::health(board);
            let status = if health.is_ok() {
                ok
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            Reply::json(status, &health)
        }
        "/api/v2/metrics" => {
            let families = all(board);
            Reply {
                body: text::lines(&families, jiff::Timestamp::now()).into(),
                ..Reply::empty(ok)
            }
        }
        "/api/v2/metrics/prometheus" | "/metrics" => {
            let families = all(board).into_iter().map(text::Stamped::without);
            Reply::new(
                ok,
                PROMETHEUS,
                text::prometheus(&families.collect::<Vec<_>>()),
            )
        }
        "/api/v2/reload" => reload(board, asked.method).await,
        "/live" => Reply::json(ok, &own::Live { live: true }),
        "/ready" => verdict(own::ready(board)),
        "/delivering" => {
            let within = asked.parameter("within").map(str::parse);
            match within {
                Some(Err(_)) => Reply::empty(StatusCode::BAD_REQUEST),
                Some(Ok(seconds)) => verdict(own::delivering(&view, seconds)),
                None => verdict(own::delivering(&view, own::DELIVERING_WITHIN)),
            }
        }
        _ => Reply::empty(StatusCode::NOT_FOUND),
    }
}

fn all(board: &Board) -> Vec<crate::telemetry::Family> {
    let mut families = fluent::v2(board);
    families.extend(own::families(board));
    families
}

fn verdict<T: Serialize>((good, value): (bool, T)) -> Reply {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Reply::json(status, &value)
}

fn html(board: &Board) -> Reply {
    Reply::new(StatusCode::OK, HTML, page::render(board))
        .with_value(CONTENT_SECURITY_POLICY, page::POLICY.clone())
        .with(CACHE_CONTROL, "no-store")
        .with(VARY, "accept")
        .with(REFERRER_POLICY, "no-referrer")
        .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

#[derive(Debug, Serialize)]
struct Outcome {
    reload: &'static str,
    status: i8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

async fn reload(board: &Board, method: &Method) -> Reply {
    if method == Method::GET || method == Method::HEAD {
        let count = fluent::ReloadCount {
            hot_reload_count: board.reload().count(),
        };
        return Reply::json(StatusCode::OK, &count);
    }
    if method != Method::POST && method != Method::PUT {
        return Reply::empty(StatusCode::METHOD_NOT_ALLOWED).with(ALLOW, "GET, POST, PUT");
    }
    let outcome = |reload, status, error| Outcome {
        reload,
        status,
        error,
    };
    let (status, outcome) = match board.reload().ask().await {
        Ok(()) => (StatusCode::OK, outcome("done", 0, None)),
        Err(NoReload::NotEnabled) => (StatusCode::OK, outcome("not enabled", -1, None)),
        Err(NoReload::InProgress) => (StatusCode::BAD_REQUEST, outcome("in progress", -2, None)),
        Err(NoReload::Failed(why)) => (StatusCode::BAD_REQUEST, outcome("failed", -3, Some(why))),
    };
    Reply::json(status, &outcome)
}
