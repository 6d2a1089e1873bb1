//! `null`: takes everything and keeps nothing. No settings. <https://docs.fluentbit.io/manual/pipeline/outputs/null>

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::Tag;

struct Null;

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Options) -> Arc<dyn Output> {
    settings.accept(&["format"]);
    Arc::new(Null)
}

impl Output for Null {
    fn limits(&self) -> Limits {
        // Anything fills a request, so nothing waits.
        Limits {
            events: usize::MAX,
            bytes: 0,
        }
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
        Encoded {
            consumed: items.count(),
            ..Encoded::default()
        }
    }

    fn send<'a>(&'a self, _: &'a Destination, _: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::done()))
    }
}
