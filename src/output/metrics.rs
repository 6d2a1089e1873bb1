//! `prometheus_exporter` and `prometheus_remote_write`: outputs of metrics, of which there are none here.
//!
//! The sections are read, so that a configuration that has them runs. No record is routed to them; one that comes all the same, by
//! the `routes` of an input, is refused and counted.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::{DropReason, Tag};

struct Metrics;

/// Reads the section of either.
pub(super) fn build(settings: &mut Settings<'_>, _: Options) -> Arc<dyn Output> {
    settings.warning(
        "name",
        "there are no metrics to send here; set HTTP_Server on and read /api/v2/metrics/prometheus",
    );
    settings.accept(&[
        "add_label",
        "add_timestamp",
        "aws_*",
        "compression",
        "header",
        "host",
        "http_passwd",
        "http_user",
        "log_response_payload",
        "net.*",
        "port",
        "proxy",
        "tls",
        "tls.*",
        "uri",
    ]);
    Arc::new(Metrics)
}

impl Output for Metrics {
    fn limits(&self) -> Limits {
        Limits {
            events: usize::MAX,
            bytes: 0,
        }
    }

    fn takes_records(&self) -> bool {
        false
    }

    fn destination(&self, _: &Tag) -> Option<Destination> {
        Some(Destination::default())
    }

    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        _: Vec<u8>,
    ) -> Encoded {
        let consumed = items.count();
        Encoded {
            consumed,
            refused: (0..consumed)
                .map(|place| (place, DropReason::Refused))
                .collect(),
            ..Encoded::default()
        }
    }

    fn send<'a>(&'a self, _: &'a Destination, _: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::done()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::output::testing::{items, record};

    #[test]
    fn every_setting_is_read_and_no_record_is_wanted() {
        let properties = [
            ("host", "h"),
            ("uri", "/write"),
            ("aws_auth", "on"),
            ("add_label", "a b"),
            ("add_label", "c d"),
        ];
        let read = |settings: &mut Settings<'_>| build(settings, Options::default());
        let (output, said) = configured(&properties, read);
        assert!(
            said.iter().all(|said| said.starts_with("warning: ")),
            "{said:?}"
        );
        assert!(said.concat().contains("no metrics to send"), "{said:?}");
        assert!(!output.takes_records());
        let records = [record("{}"), record("{}")];
        let encoded = output.encode(&Destination::default(), &mut items(&records), Vec::new());
        assert_eq!((encoded.consumed, encoded.taken()), (2, 0));
    }
}
