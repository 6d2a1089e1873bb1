//! `opentelemetry`: events as OTLP logs, by HTTP.
//!
//! | file | purpose |
//! |---|---|
//! | `record.rs` | from an event to a `LogRecord` |
//! | `protobuf.rs` | how that is written |
//!
//! The settings are in `docs/configuration.md`. There are logs only: what is set for metrics and traces has no effect. gRPC is refused.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

mod protobuf;
mod record;

use std::sync::Arc;

use self::protobuf::{Fields, Value, message};
use self::record::Records;
use super::compression::Compression;
use super::web::{Content, Defaults, Exchange, Poster, Reply, Room, Target, Verdict};
use super::{Encoded, Item, Options, Output};
use crate::config::Settings;
use crate::event::DropReason;

const DEFAULTS: Defaults = Defaults {
    host: "127.0.0.1",
    ports: (80, 80),
    path: "/v1/logs",
    path_key: Some("logs_uri"),
};
/// The default of `batch_size`.
const BATCH_SIZE: i64 = 1000;

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Options) -> Arc<dyn Output> {
    if settings.flag("grpc", false) {
        settings.error(
            "grpc",
            "is not supported; leave it out and name the port of OTLP over HTTP, mostly 4318",
        );
    }
    for key in ["aws_auth", "oauth2.enable"] {
        if settings.flag(key, false) {
            settings.error(key, "is not supported yet");
        }
    }
    settings.accept(&[
        "add_label",
        "aws_*",
        "grpc_*",
        "http2",
        "logs_instrumentation_scope_metadata_key",
        "logs_max_resources",
        "logs_max_scopes",
        "logs_metadata_key",
        "logs_resource_metadata_key",
        "metrics_uri",
        "oauth2.*",
        "profiles_uri",
        "traces_uri",
    ]);
    let mut exchange = Exchange::read(settings, "output:opentelemetry", verdict);
    exchange.read_shows_answers(settings);
    let kinds = [Compression::Gzip, Compression::Zstd];
    let compress = Compression::read_or_off(settings, "compress", &kinds, None);
    let mut target = Target::read(settings, DEFAULTS);
    target.describe(Some("application/x-protobuf"), compress);
    target.authenticate(settings);
    target.identify();
    target.add_headers(settings, false);
    let batch = settings.integer("batch_size").filter(|size| *size > 0);
    let content = Events {
        room: Room {
            events: usize::try_from(batch.unwrap_or(BATCH_SIZE)).unwrap_or(usize::MAX),
            ..Room::FREE
        },
        records: Records::read(settings),
    };
    let poster = Poster {
        target,
        exchange,
        compress,
        content,
    };
    poster.output()
}

/// What a status means: as OTLP and Fluent Bit say, but that a body which is too large is cut.
fn verdict(status: u16) -> Verdict {
    match status {
        200..=205 => Verdict::Taken,
        413 => Verdict::Unacceptable(DropReason::TooLarge),
        429 | 502 | 503 | 504 => Verdict::Again,
        _ => Verdict::Refused,
    }
}

struct Events {
    room: Room,
    records: Records,
}

impl Content for Events {
    fn room(&self) -> Room {
        self.room
    }

    /// One resource with one scope, of both of which nothing is known.
    fn write(&self, items: &mut dyn Iterator<Item = Item<'_>>, body: &mut Vec<u8>) -> Encoded {
        let (mut encoded, mut scratch) = (Encoded::default(), Vec::new());
        message(1, body, |out| {
            message(1, out, |_| {});
            message(2, out, |out| {
                message(1, out, |_| {});
                encoded = self.room.fill(items, out, 0, |_, item, out| {
                    message(2, out, |out| {
                        self.records.write(item.event, &mut scratch, out);
                    });
                    Ok(())
                });
            });
        });
        encoded
    }

    /// A server that rejects some of the records for good says how many, and not which.
    fn remark(&self, reply: &Reply) -> Option<String> {
        let partial = field(&reply.payload, 1)?;
        let rejected = Fields(partial).find_map(|(number, value)| match (number, value) {
            (1, Value::Varint(count)) if count > 0 => Some(count),
            _ => None,
        })?;
        let why = field(partial, 2).unwrap_or_default();
        let why = why.get(..200).unwrap_or(why).escape_ascii();
        Some(format!(
            "{rejected} records of a request are rejected for good, and which it does not say: {why}"
        ))
    }
}

/// The first bytes under that number.
fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    Fields(message).find_map(|field| match field {
        (known, Value::Bytes(bytes)) if known == number => Some(bytes),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
