//! `loki`: events for Grafana Loki.
//!
//! | file | purpose |
//! |---|---|
//! | `labels.rs` | the labels of a stream, and structured metadata |
//! | `line.rs` | what of a record becomes the line, and how |
//!
//! The settings are in `docs/configuration.md`. Events that follow each other with the same labels share a stream of a body. Each
//! tenant has its own requests.
//!
//! <https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs>

mod labels;
mod line;

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, Request};
use http_body_util::Full;

use self::labels::{Labels, Metadata};
use self::line::Line;
use super::compression::Compression;
use super::web::{Content, Defaults, Exchange, Poster, Room, Target, Verdict, header_value};
use super::{Encoded, Item, Options, Output};
use crate::accessor::Accessor;
use crate::config::Settings;
use crate::event::DropReason;
use crate::msgpack::json::Json;
use crate::msgpack::read;

const DEFAULTS: Defaults = Defaults {
    host: "127.0.0.1",
    ports: (3100, 3100),
    path: "/loki/api/v1/push",
    path_key: Some("uri"),
};
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");
/// Behind the events.
const TAIL: &[u8] = b"]}]}";

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, options: Options) -> Arc<dyn Output> {
    // A tenant's events have requests of their own, so none shares the failure of another.
    settings.accept(&["buffer_size", "tenant_id_key_error_handling"]);
    let exchange = Exchange::read(settings, "output:loki", verdict);
    let compress = Compression::read_or_off(settings, "compress", &[Compression::Gzip], None);
    let mut target = Target::read(settings, DEFAULTS);
    target.identify();
    target.describe(Some("application/json"), compress);
    let bearer = settings.text("bearer_token");
    if !target.authenticate(settings)
        && let Some(token) = bearer
    {
        let value = format!("Bearer {token}");
        target.set_secret(settings, "bearer_token", AUTHORIZATION, &value);
    }
    target.add_headers(settings, true);
    let tenant = Tenant::read(settings);
    if let (None, Some(tenant)) = (&tenant.key, &tenant.fixed) {
        target.set_secret(settings, "tenant_id", TENANT, tenant);
    }
    let mut removed = Vec::new();
    let content = Events {
        tenant,
        metadata: Metadata::read(settings, &mut removed),
        labels: Labels::read(settings, &mut removed),
        line: Line::read(settings, options.json, removed),
        json: options.json,
    };
    let poster = Poster {
        target,
        exchange,
        compress,
        content,
    };
    poster.output()
}

/// What a status means: Fluent Bit's rules, but that a body which is too large is cut.
fn verdict(status: u16) -> Verdict {
    match status {
        200..=205 => Verdict::Taken,
        400 => Verdict::Refused,
        413 => Verdict::Unacceptable(DropReason::TooLarge),
        _ => Verdict::Again,
    }
}

/// Whose events they are.
struct Tenant {
    fixed: Option<String>,
    key: Option<Accessor>,
}

impl Tenant {
    /// Reads `tenant_id` and `tenant_id_key`.
    fn read(settings: &mut Settings<'_>) -> Self {
        let fixed = settings.text("tenant_id");
        let key = settings.text("tenant_id_key");
        let key = key.and_then(|text| {
            Accessor::new(&text)
                .inspect_err(|error| settings.error("tenant_id_key", error.to_string()))
                .ok()
        });
        Self { fixed, key }
    }

    fn of(&self, record: &[u8]) -> Box<str> {
        let named = self.key.as_ref().and_then(|key| key.find_in(record));
        match named.and_then(read::text) {
            Some(tenant) => String::from_utf8_lossy(tenant).into(),
            None => self.fixed.as_deref().unwrap_or_default().into(),
        }
    }
}

struct Events {
    tenant: Tenant,
    labels: Labels,
    metadata: Option<Metadata>,
    line: Line,
    json: Json,
}

/// Buffers for one event.
#[derive(Default)]
struct Scratch {
    /// The labels of the stream that is open, as JSON.
    open: Vec<u8>,
    labels: Vec<u8>,
    pairs: labels::Scratch,
    line: line::Scratch,
}

impl Events {
    fn write(&self, is_first: bool, item: Item<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) {
        if is_first || !self.labels.are_fixed() {
            scratch.labels.clear();
            self.labels
                .write(item, self.json, &mut scratch.pairs, &mut scratch.labels);
            if is_first || scratch.labels != scratch.open {
                out.extend_from_slice(if is_first {
                    b"{\"stream\":"
                } else {
                    b"]},{\"stream\":"
                });
                out.extend_from_slice(&scratch.labels);
                out.extend_from_slice(b",\"values\":[");
                std::mem::swap(&mut scratch.labels, &mut scratch.open);
            } else {
                out.push(b',');
            }
        } else {
            out.push(b',');
        }
        let time = item.event.time;
        let nanos = u128::from(time.seconds) * 1_000_000_000 + u128::from(time.nanos);
        let _infallible = write!(out, "[\"{nanos}\",");
        self.line.write(item.event.record, &mut scratch.line, out);
        if let Some(metadata) = &self.metadata {
            out.push(b',');
            metadata.write(item, self.json, &mut scratch.pairs, out);
        }
        out.push(b']');
    }
}

impl Content for Events {
    fn room(&self) -> Room {
        Room::FREE
    }

    fn write(&self, items: &mut dyn Iterator<Item = Item<'_>>, body: &mut Vec<u8>) -> Encoded {
        let mut scratch = Scratch::default();
        body.extend_from_slice(b"{\"streams\":[");
        let encoded = Room::FREE.fill(items, body, TAIL.len(), |index, item, body| {
            self.write(index == 0, item, &mut scratch, body);
            Ok(())
        });
        body.extend_from_slice(TAIL);
        encoded
    }

    fn divides(&self) -> bool {
        self.tenant.key.is_some()
    }

    fn division_of(&self, item: Item<'_>) -> Box<str> {
        self.tenant.of(item.event.record)
    }

    fn address(&self, tenant: &str, request: &mut Request<Full<Bytes>>) {
        if !tenant.is_empty()
            && let Some(value) = header_value(tenant)
        {
            request.headers_mut().insert(TENANT, value);
        }
    }
}

#[cfg(test)]
mod tests;
