//! Outputs: the trait, the registry, and the words in which an output and its delivery speak.
//!
//! An output has two verbs, and *check* for the command line. *encode* writes events into one request's body within the service's limits; it is pure. *send* is one
//! call, and its [`Answer`] says what became of the events. An output holds no loop and no sleep: whether and when something is
//! sent again is decided elsewhere, in one place.

mod aws;
mod cloudwatch_logs;
mod compression;
mod datadog;
mod entry;
mod file;
mod forward;
mod go;
mod http;
mod kinesis_firehose;
mod kinesis_streams;
mod loki;
mod metrics;
mod nrlogs;
mod null;
mod opensearch;
mod opentelemetry;
mod otlp_json;
mod oversized;
mod records;
mod s3;
mod splunk;
mod stdout;
mod tcp;
mod template;
#[cfg(test)]
mod testing;
mod text;
mod web;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::config::Settings;
use crate::event::{DropReason, Event, Tag};
use crate::msgpack::json::Json;
use crate::net;

/// What an output keeps in order and throttles as one, such as a log stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Destination {
    /// The log group, or nothing.
    pub group: Box<str>,
    /// The log stream, the delivery stream, the file.
    pub name: Box<str>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            write!(f, "{}", self.name)
        } else {
            write!(f, "{}:{}", self.group, self.name)
        }
    }
}

/// An event on its way into a request.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Its tag.
    pub tag: &'a Tag,
    /// The event.
    pub event: Event<'a>,
}

/// How much one request holds, for deciding when it is worth sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events.
    pub events: usize,
    /// Bytes of the body.
    pub bytes: usize,
}

/// Where the items of a request stand in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Positions {
    /// As they were taken.
    #[default]
    AsTaken,
    /// The item at each position, by its place among those taken.
    Sorted(Vec<u32>),
    /// Several items at one position: where each position ends among those taken.
    Joined(Vec<u32>),
}

impl Positions {
    /// The places, among the items taken, that stand at the position.
    pub fn items_at(&self, position: usize) -> Range<usize> {
        match self {
            Self::AsTaken => position..position + 1,
            Self::Sorted(order) => order
                .get(position)
                .map_or(0..0, |&place| place as usize..place as usize + 1),
            Self::Joined(ends) => {
                let end = |position: usize| ends.get(position).map_or(0, |&end| end as usize);
                let start = position.checked_sub(1).map_or(0, end);
                start..end(position).max(start)
            }
        }
    }
}

/// One request, encoded.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// The bytes that go over the wire.
    pub body: Bytes,
    /// How many items were looked at, from the first on; each is in the request or refused.
    pub consumed: usize,
    /// Items the service would not take, by their place among those consumed, in order.
    pub refused: Vec<(usize, DropReason)>,
    /// Where the others stand.
    pub positions: Positions,
}

impl Encoded {
    /// How many items are in the request.
    pub fn taken(&self) -> usize {
        self.consumed - self.refused.len()
    }

    /// How many items stand at these positions; positions behind the last one hold none.
    pub fn items_in(&self, positions: Range<usize>) -> usize {
        let end = match &self.positions {
            Positions::AsTaken => self.taken(),
            Positions::Sorted(places) | Positions::Joined(places) => places.len(),
        };
        (positions.start..positions.end.min(end))
            .map(|position| self.positions.items_at(position).len())
            .sum()
    }
}

/// What a service says to one request. Positions count within the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has the request, except for those it rejects for good.
    Done {
        /// Positions it did not take, and why.
        rejected: Vec<(Range<usize>, DropReason)>,
    },
    /// It has all but these, which may be sent again.
    Partly {
        /// Positions to send again.
        failed: Vec<usize>,
        /// Some of them because it is asked too much.
        throttled: bool,
        /// What it said of the first.
        why: String,
    },
    /// It has nothing, or nobody knows; the same request may be sent again.
    Again {
        /// Because it is asked too much.
        throttled: bool,
        /// Not before this has passed, it says.
        after: Option<Duration>,
        /// What it said.
        why: String,
    },
    /// The destination does not exist; [`Output::prepare`] may help.
    Missing {
        /// What it said.
        why: String,
    },
    /// The request, or something in it, is too large or unacceptable: smaller ones will tell what.
    Unacceptable {
        /// What it said.
        why: String,
        /// What becomes of an item that is unacceptable alone.
        reason: DropReason,
    },
}

impl Answer {
    /// All of it is taken.
    pub fn done() -> Self {
        Self::Done {
            rejected: Vec::new(),
        }
    }

    /// All of it may be sent again.
    pub fn again(why: impl Into<String>) -> Self {
        Self::Again {
            throttled: false,
            after: None,
            why: why.into(),
        }
    }

    /// What was said, where something was.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Done { .. } => None,
            Self::Partly { why, .. }
            | Self::Again { why, .. }
            | Self::Missing { why }
            | Self::Unacceptable { why, .. } => Some(why),
        }
    }
}

/// What came of making a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// It was missing, and is there now.
    Made,
    /// It was there already.
    Found,
}

/// One output instance.
pub trait Output: Send + Sync {
    /// How much one request holds.
    fn limits(&self) -> Limits;

    /// Whether records are routed to it by `Match`.
    fn takes_records(&self) -> bool {
        true
    }

    /// Where all events of this tag go; `None` when that depends on the event.
    fn destination(&self, tag: &Tag) -> Option<Destination>;

    /// Where one event goes, for outputs whose destinations depend on it.
    fn destination_of(&self, item: Item<'_>) -> Destination {
        self.destination(item.tag).unwrap_or_default()
    }

    /// What the service throttles as one, for outputs that ask for the same to share what they learn of it. `None`: nobody else
    /// asks for this.
    fn throttled_as(&self, _: &Destination) -> Option<String> {
        None
    }

    /// Writes items, from the first on, until one request is full; `body` is an empty buffer with room for it.
    fn encode(
        &self,
        destination: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        body: Vec<u8>,
    ) -> Encoded;

    /// Writes the part of that number, from 0, of an item that is larger than a request and goes in parts; and whether more follow.
    /// To be asked for the first item when [`Output::encode`] takes none. `None`: it cannot be sent.
    fn encode_part(&self, _: &Destination, _: Item<'_>, _: u32) -> Option<(Encoded, bool)> {
        None
    }

    /// Sends one request.
    ///
    /// # Cancel safety
    /// When dropped, nobody knows whether the service has the request.
    fn send<'a>(&'a self, destination: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer>;

    /// What the service throttles as one when destinations are made, for outputs that make them in the same place. `None`: nobody else
    /// does.
    fn made_as(&self) -> Option<String> {
        None
    }

    /// Makes a destination that does not exist.
    ///
    /// # Errors
    /// What stands against it: that it is tried too often, which costs the events that wait no retry, or something else, which does.
    fn prepare<'a>(
        &'a self,
        destination: &'a Destination,
    ) -> BoxFuture<'a, Result<Prepared, Answer>> {
        let answer = Answer::again(format!("{destination} does not exist"));
        Box::pin(std::future::ready(Err(answer)))
    }

    /// Does what has to be done by the clock, beside the requests, for as long as the output lives.
    ///
    /// # Cancel safety
    /// It is dropped when no more requests come.
    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Asks the destination, by a request that stores nothing, whether it would take events: for `sluice check`. `None` where there
    /// is nothing to ask.
    ///
    /// # Errors
    /// A sentence that says what stands against it; else one that says what was found.
    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(std::future::ready(None))
    }

    /// Sends what is left, after the last request. It may be dropped when there is no more time.
    fn finish(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What every output is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How records become JSON.
    pub json: Json,
    /// Whether what is given up is kept.
    pub keeps_rejected: bool,
}

/// Makes an output from its section; mistakes go to the section's problems.
type Build = fn(&mut Settings<'_>, Options) -> Arc<dyn Output>;

/// Every output, under the `Name` that selects it. Alphabetical.
const OUTPUTS: &[(&str, Build)] = &[
    ("cloudwatch", cloudwatch_logs::build_go),
    ("cloudwatch_logs", cloudwatch_logs::build),
    ("datadog", datadog::build),
    ("es", opensearch::build_es),
    ("file", file::build),
    ("firehose", kinesis_firehose::build_go),
    ("forward", forward::build),
    ("http", http::build),
    ("kinesis", kinesis_streams::build_go),
    ("kinesis_firehose", kinesis_firehose::build),
    ("kinesis_streams", kinesis_streams::build),
    ("loki", loki::build),
    ("nrlogs", nrlogs::build),
    ("null", null::build),
    ("opensearch", opensearch::build),
    ("opentelemetry", opentelemetry::build),
    ("prometheus_exporter", metrics::build),
    ("prometheus_remote_write", metrics::build),
    ("s3", s3::build),
    ("splunk", splunk::build),
    ("stdout", stdout::build),
    ("tcp", tcp::build),
];

/// How to build the output called `name`.
pub fn find(name: &str) -> Option<Build> {
    OUTPUTS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, build)| *build)
}

/// The names of all outputs.
pub fn names() -> impl Iterator<Item = &'static str> {
    OUTPUTS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_behind_the_last_one_hold_nothing() {
        let mut encoded = Encoded {
            consumed: 5,
            refused: vec![(0, DropReason::Empty)],
            ..Encoded::default()
        };
        assert_eq!(encoded.items_in(2..10_000), 2);
        encoded.positions = Positions::Joined(vec![1, 4]);
        assert_eq!(
            (encoded.items_in(1..10_000), encoded.items_in(5..9)),
            (3, 0)
        );
    }

    #[test]
    fn positions_lead_back_to_the_items_taken() {
        assert_eq!(Positions::AsTaken.items_at(3), 3..4);
        assert_eq!(Positions::Sorted(vec![1, 0]).items_at(0), 1..2);
        let joined = Positions::Joined(vec![2, 5]);
        assert_eq!(
            (joined.items_at(0), joined.items_at(1), joined.items_at(2)),
            (0..2, 2..5, 5..5)
        );
    }
}
