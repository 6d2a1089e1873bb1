//! The second port: look at the counters, read back texts, change the faults, start anew. Plain HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::cloud::Cloud;
use super::ledger::Ledger;
use super::logs::stream_key;
use crate::stats::now_nanos;

const MAX_BODY: usize = 1 << 20;

/// Why a control request was refused.
type Refusal = (StatusCode, String);

#[derive(Deserialize)]
struct Expectation {
    records: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deletion {
    /// All log groups.
    Groups,
    /// All log streams.
    Streams,
}

/// Answers control requests for ever.
pub(super) async fn serve(listener: TcpListener, cloud: Arc<Cloud>, read_rate: Arc<AtomicU64>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (cloud, read_rate) = (Arc::clone(&cloud), Arc::clone(&read_rate));
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &cloud, &read_rate));
            // A caller that goes away early does not need its answer.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    cloud: &Cloud,
    read_rate: &AtomicU64,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (status, body) = match route(request, cloud, read_rate).await {
        Ok(value) => (StatusCode::OK, value),
        Err((status, message)) => (status, json!({ "error": message })),
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    Ok(response
        .body(Full::from(body.to_string()))
        .unwrap_or_default())
}

async fn route(
    request: Request<Incoming>,
    cloud: &Cloud,
    read_rate: &AtomicU64,
) -> Result<Value, Refusal> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or("");
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/ready") => Ok(json!({ "ready": true })),
        (&Method::GET, "/stats") => {
            let state = cloud.state();
            let mut stats = state.ledger.to_json();
            if let Some(stats) = stats.as_object_mut() {
                stats.insert("credentials".to_owned(), state.keys.to_json());
            }
            Ok(stats)
        }
        (&Method::GET, "/objects") => Ok(cloud.state().buckets.to_json()),
        (&Method::GET, "/groups") => Ok(cloud.state().groups.to_json()),
        (&Method::GET, "/events") => {
            let stream = stream_key(&parameter(query, "group")?, &parameter(query, "stream")?);
            Ok(cloud.state().kept.to_json("events", &stream))
        }
        (&Method::GET, "/records") => {
            let stream = parameter(query, "stream")?;
            Ok(cloud.state().kept.to_json("records", &stream))
        }
        (&Method::POST, "/faults") => set_faults(&json_body(body).await?, cloud, read_rate),
        (&Method::POST, "/expect") => {
            let expectation: Expectation = json_body(body).await?;
            cloud.state().ledger.expect(expectation.records);
            Ok(json!({}))
        }
        (&Method::POST, "/delete") => {
            let deletion: Deletion = json_body(body).await?;
            cloud
                .state()
                .groups
                .delete(matches!(deletion, Deletion::Groups));
            Ok(json!({}))
        }
        (&Method::POST, "/expire") => {
            cloud.state().keys.expire(now_nanos());
            Ok(json!({}))
        }
        (&Method::POST, "/mark") => {
            cloud.state().ledger.mark(now_nanos());
            Ok(json!({}))
        }
        (&Method::POST, "/reset") => {
            let mut state = cloud.state();
            state.ledger = Ledger::default();
            state.kept.clear();
            Ok(json!({}))
        }
        (method, path) => Err((
            StatusCode::NOT_FOUND,
            format!("there is no {method} {path}"),
        )),
    }
}

fn set_faults(
    faults: &Map<String, Value>,
    cloud: &Cloud,
    read_rate: &AtomicU64,
) -> Result<Value, Refusal> {
    // A mistake in one name leaves the faults of requests as they were.
    let mut changed = cloud.state().faults.clone();
    for (name, value) in faults {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let set = if name.starts_with("issue-") {
            cloud.state().keys.set(name, &text)
        } else {
            changed.set(name, &text)
        };
        set.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    }
    read_rate.store(changed.read_rate, Ordering::Relaxed);
    cloud.change_faults(changed);
    Ok(json!({}))
}

async fn json_body<T: serde::de::DeserializeOwned>(body: Incoming) -> Result<T, Refusal> {
    let refused = |error: String| (StatusCode::BAD_REQUEST, error);
    let body = Limited::new(body, MAX_BODY)
        .collect()
        .await
        .map_err(|error| refused(error.to_string()))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| refused(error.to_string()))
}

/// A query parameter, with `%XX` decoded.
fn parameter(query: &str, name: &str) -> Result<String, Refusal> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| decoded(value))
        .next();
    value.ok_or_else(|| (StatusCode::BAD_REQUEST, format!("the query needs {name}=")))
}

/// Decodes `%XX`; what is no such code stays.
pub(super) fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut parts = value.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or("").as_bytes());
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (code, part.get(2..)) {
            (Some(code), Some(rest)) => {
                bytes.push(code);
                bytes.extend_from_slice(rest.as_bytes());
            }
            _ => bytes.extend_from_slice(format!("%{part}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_parameters_are_decoded() {
        let query = "group=%2Fecs%2Fapp&stream=a%20b&broken=%zz%";
        assert_eq!(parameter(query, "group").unwrap(), "/ecs/app");
        assert_eq!(parameter(query, "stream").unwrap(), "a b");
        assert_eq!(parameter(query, "broken").unwrap(), "%zz%");
        assert!(parameter(query, "none").is_err());
    }
}
