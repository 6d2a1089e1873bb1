//! Operators in tests: events in, events out, without a chain around them.

use std::path::Path;
use std::time::Instant;

use super::testing::{encoded, shown};
use super::{Halt, MakeOperator, Means, Operator, Outbox, Passage, Scratch, Verdict, View, Way};
use crate::config::testing::configured;
use crate::config::{Settings, Variables};
use crate::event::{Block, Event, EventTime};
use crate::parser::Parsers;

/// What a section with these properties makes, and what is wrong with it.
pub(super) fn built(
    build: fn(&mut Settings<'_>, Means<'_>) -> Box<dyn MakeOperator>,
    properties: &[(&str, &str)],
) -> (Box<dyn MakeOperator>, Vec<String>) {
    let mut variables = Variables::from_pairs([("OUTSIDE", "o")]);
    variables.set("STAGE", "prod");
    built_in(&variables, &Parsers::default(), build, properties)
}

/// As [`built`], with these variables and parsers.
pub(super) fn built_in(
    variables: &Variables,
    parsers: &Parsers,
    build: fn(&mut Settings<'_>, Means<'_>) -> Box<dyn MakeOperator>,
    properties: &[(&str, &str)],
) -> (Box<dyn MakeOperator>, Vec<String>) {
    configured(properties, |settings| {
        let means = Means {
            parsers,
            variables,
            directory: Path::new(""),
            halt: &Halt::default(),
        };
        build(settings, means)
    })
}

/// One operator and its outbox.
pub(super) struct Stand {
    pub(super) operator: Box<dyn Operator>,
    pub(super) now: Instant,
    pub(super) time: EventTime,
    pub(super) metadata: Vec<u8>,
}

impl Stand {
    /// The operator for events of the tag `tag.of.it`.
    pub(super) fn new(maker: &dyn MakeOperator) -> Self {
        Self::of_tag(maker, "tag.of.it")
    }

    /// The operator for events of a tag.
    pub(super) fn of_tag(maker: &dyn MakeOperator, tag: &str) -> Self {
        Self {
            operator: maker.operator(tag.as_bytes()),
            now: Instant::now(),
            time: EventTime {
                seconds: 1_700_000_000,
                nanos: 500_000_000,
            },
            metadata: Vec::new(),
        }
    }

    /// What comes out for an event: those put out, with their way, then the event itself if it goes on.
    pub(super) fn send(&mut self, record: &str) -> Vec<String> {
        let record = encoded(record);
        let event = Event {
            time: self.time,
            metadata: &self.metadata,
            record: &record,
        };
        let mut scratch = Scratch::default();
        let mut view = View::open(b"tag.of.it", event, &mut scratch);
        let mut outbox = self.outbox();
        let verdict = self.operator.apply(&mut view, &mut outbox);
        let mut out = emitted(&outbox);
        match verdict {
            Verdict::Keep => {
                let mut record = Vec::new();
                view.write(&mut record);
                out.push(shown(&record));
            }
            Verdict::Drop => out.push("dropped".to_owned()),
            Verdict::Taken => {}
        }
        out
    }

    /// As [`Stand::send`], after what the operator wants to wait for.
    pub(super) async fn send_ready(&mut self, record: &str) -> String {
        let mut events = Block::default();
        events.push(Event {
            time: self.time,
            metadata: &self.metadata,
            record: &encoded(record),
        });
        if let Some(ready) = self.operator.ready(&events) {
            ready.await;
        }
        self.send(record).concat()
    }

    /// What is let go.
    pub(super) fn release(&mut self, everything: bool) -> Vec<String> {
        let mut outbox = self.outbox();
        self.operator.release(&mut outbox, everything);
        emitted(&outbox)
    }

    fn outbox(&self) -> Outbox {
        let mut outbox = Outbox::new(self.now);
        outbox.begin(self.now, 3, false, Passage::default());
        outbox
    }
}

fn emitted(outbox: &Outbox) -> Vec<String> {
    let show = |emitted: super::Emitted<'_>| {
        let way = match emitted.way {
            Way::Next => "next",
            Way::Again => "again",
            Way::Retag => "retag",
        };
        let tag = String::from_utf8_lossy(emitted.tag);
        let time = emitted.event.time;
        let metadata = match emitted.event.metadata {
            [] => String::new(),
            metadata => shown(metadata),
        };
        let record = shown(emitted.event.record);
        format!(
            "{way} {tag}{}.{:09} {metadata}{record}",
            time.seconds, time.nanos
        )
    };
    outbox.emitted().map(show).collect()
}
