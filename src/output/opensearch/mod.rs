//! `opensearch` and `es`: documents by the bulk API of `OpenSearch` and Elasticsearch.
//!
//! | file | purpose |
//! |---|---|
//! | `document.rs` | from an event to its two lines |
//! | `bulk.rs` | what became of each document |
//!
//! The settings are in `docs/configuration.md`.
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/opensearch>,
//! <https://docs.opensearch.org/latest/api-reference/document-apis/bulk/>

mod bulk;
mod document;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::document::Documents;
use super::aws::{Aws, Call, Keys, Payload, Question, RegionSource, Reply, Signed, read_url};
use super::compression::Compression;
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::Tag;

/// Of one call. The smallest instances take 10 MiB; smaller bodies cost a little more and are answered sooner.
const LIMITS: Limits = Limits {
    events: usize::MAX,
    bytes: 4 << 20,
};
const KEYS: Keys = Keys {
    role_arn: "aws_role_arn",
    external_id: "aws_external_id",
    profile: "aws_profile",
};

struct OpenSearch {
    service: Signed,
    destination: Destination,
    path: String,
    authorization: Option<String>,
    compression: Option<Compression>,
    documents: Documents,
}

/// Reads the section of `opensearch`, whose `index` is a template.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    make(settings, options, true)
}

/// Reads the section of `es`.
pub(super) fn build_es(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    make(settings, options, false)
}

fn make(settings: &mut Settings<'_>, options: Options, templates: bool) -> Arc<dyn Output> {
    settings.accept(&["buffer_size", "trace_output", "trace_error"]);
    let endpoint = endpoint(settings);
    let path = settings.text("path").unwrap_or_default();
    let mut path = format!("{}/_bulk", path.trim_end_matches('/'));
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    if let Some(pipeline) = settings.text("pipeline") {
        path = format!("{path}?pipeline={pipeline}");
    }
    if path.parse::<http::uri::PathAndQuery>().is_err() {
        settings.error("path", format!("{path} cannot stand in a request"));
    }
    let authorization = authorization(settings);
    Arc::new(OpenSearch {
        destination: Destination {
            group: "".into(),
            name: endpoint.as_str().into(),
        },
        service: service(settings, endpoint),
        path,
        authorization,
        compression: Compression::read(settings, "compress", &[Compression::Gzip], false),
        documents: Documents::read(settings, options.json, templates),
    })
}

fn endpoint(settings: &mut Settings<'_>) -> String {
    let tls = settings.flag("tls", false);
    let host = settings.text("host");
    let port = settings.port("port").unwrap_or(9200);
    // It names its own port, or means that of HTTPS.
    if let Some(id) = settings.text("cloud_id") {
        let url = of_cloud_id(&id);
        if url.is_none() {
            settings.error("cloud_id", "not an id of Elastic Cloud: `name:base64`");
        }
        return url.unwrap_or_default();
    }
    let host = host.as_deref().unwrap_or("127.0.0.1");
    let scheme = if tls { "https" } else { "http" };
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let url = format!("{scheme}://{host}:{port}");
    if url.parse::<http::Uri>().is_err() {
        settings.error("host", format!("{host} is no host"));
    }
    url
}

/// `name:BASE64`, in which stands `host[:port]$elasticsearch$kibana`.
fn of_cloud_id(id: &str) -> Option<String> {
    let (_, encoded) = id.split_once(':')?;
    let decoded = base64_simd::STANDARD.decode_to_vec(encoded).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let mut parts = decoded.split('$');
    let (host, name) = (parts.next()?, parts.next()?);
    let (host, port) = host.split_once(':').unwrap_or((host, "443"));
    let url = format!("https://{name}.{host}:{port}");
    url.parse::<http::Uri>().is_ok().then_some(url)
}

/// The header for a user or a key.
fn authorization(settings: &mut Settings<'_>) -> Option<String> {
    let key = settings.text("http_api_key");
    let user = settings.text("http_user").map(|user| {
        let password = settings.text("http_passwd").unwrap_or_default();
        format!("{user}:{password}")
    });
    let user = settings.text("cloud_auth").or(user);
    match (user, key) {
        (Some(user), _) => {
            let encoded = base64_simd::STANDARD.encode_to_string(user);
            Some(format!("Basic {encoded}"))
        }
        (None, key) => key.map(|key| format!("ApiKey {key}")),
    }
}

fn service(settings: &mut Settings<'_>, endpoint: String) -> Signed {
    let is_signed = settings.flag("aws_auth", false);
    let name = match settings.text("aws_service_name").as_deref() {
        None | Some("es") => "es",
        Some("aoss") => "aoss",
        Some(other) => {
            let message = format!("{other} is no service; write es or aoss");
            settings.error("aws_service_name", message);
            "es"
        }
    };
    let region = if is_signed {
        RegionSource::read(settings, "aws_region")
    } else {
        RegionSource::Known(settings.text("aws_region").unwrap_or_default())
    };
    let sts_endpoint = read_url(settings, "aws_sts_endpoint", "https", None);
    let aws = Aws::read_as(settings, KEYS, region, Some(endpoint), sts_endpoint);
    if is_signed {
        Signed::new(aws, name, "")
    } else {
        Signed::unsigned(aws, name)
    }
}

impl OpenSearch {
    async fn put(&self, body: Bytes) -> Answer {
        let mut headers = vec![("content-type", "application/x-ndjson".to_owned())];
        if let Some(authorization) = &self.authorization {
            headers.push(("authorization", authorization.clone()));
        }
        let body = match self.compression {
            Some(compression) => {
                headers.push(("content-encoding", compression.name().to_owned()));
                compression.pack(&body).into()
            }
            None => body,
        };
        let call = Call {
            method: "POST",
            path: self.path.clone(),
            headers,
            body: Payload::Bytes(body),
        };
        let read = |reply: &Reply| {
            if (200..300).contains(&reply.status) {
                return Ok(bulk::answer(&reply.body));
            }
            let excerpt = String::from_utf8_lossy(&reply.body);
            let excerpt: String = excerpt.chars().take(200).collect();
            Err(reply.failure("", &excerpt, false))
        };
        let answer = self.service.ask(&call, read).await;
        answer.unwrap_or_else(|answer| answer)
    }
}

impl OpenSearch {
    /// Sends an empty bulk request, which is refused.
    async fn ask(&self) -> Result<String, String> {
        let question = Question {
            target: &self.destination.name,
            action: "es:ESHttpPost",
        };
        let mut headers = vec![("content-type", "application/x-ndjson".to_owned())];
        headers.extend(self.authorization.clone().map(|it| ("authorization", it)));
        let call = Call {
            method: "POST",
            path: self.path.clone(),
            headers,
            body: Payload::Bytes(Bytes::from_static(b"\n")),
        };
        let read = |reply: &Reply| match reply.status {
            200..300 | 400 => Ok(reply.status),
            _ => {
                let excerpt = String::from_utf8_lossy(&reply.body);
                let excerpt: String = excerpt.chars().take(300).collect();
                Err(reply.failure("", &excerpt, false))
            }
        };
        let asked = self.service.ask(&call, read).await;
        asked.map_or_else(
            |answer| question.sort(&answer),
            |status| {
                Ok(format!(
                    "{} takes bulk requests (HTTP status {status} to an empty one)",
                    question.target
                ))
            },
        )
    }
}

impl Output for OpenSearch {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn destination(&self, _: &Tag) -> Option<Destination> {
        Some(self.destination.clone())
    }

    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut body: Vec<u8>,
    ) -> Encoded {
        let mut encoded = Encoded::default();
        let mut writer = self.documents.writer();
        while body.len() < LIMITS.bytes
            && let Some(item) = items.next()
        {
            if let Err(reason) = writer.write(item, &mut body) {
                encoded.refused.push((encoded.consumed, reason));
            }
            encoded.consumed += 1;
        }
        encoded.body = body.into();
        encoded
    }

    fn send<'a>(&'a self, _: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(self.put(body))
    }

    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { Some(self.ask().await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    #[test]
    fn a_cloud_id_names_a_host() {
        let id = |text: &str| format!("my:{}", base64_simd::STANDARD.encode_to_string(text));
        let cases = [
            (id("eu.example$abc$kib"), Some("https://abc.eu.example:443")),
            (
                id("eu.example:9243$abc$kib"),
                Some("https://abc.eu.example:9243"),
            ),
            (id("eu.example"), None),
            ("my:%".to_owned(), None),
            ("none".to_owned(), None),
        ];
        for (id, expected) in cases {
            assert_eq!(of_cloud_id(&id).as_deref(), expected, "{id}");
        }
    }

    #[test]
    fn who_asks_is_told_by_user_or_key() {
        let header = |properties: &[(&str, &str)]| configured(properties, authorization).0;
        assert_eq!(
            header(&[("http_user", "u"), ("http_passwd", "p")]).as_deref(),
            Some("Basic dTpw")
        );
        assert_eq!(
            header(&[("cloud_auth", "u:p")]).as_deref(),
            Some("Basic dTpw")
        );
        assert_eq!(
            header(&[("http_api_key", "k")]).as_deref(),
            Some("ApiKey k")
        );
        assert_eq!(header(&[]), None);
    }
}
