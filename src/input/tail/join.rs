//! Lines of one file that belong together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::docker::Docker;
use super::place::Place;
use crate::event::EventTime;
use crate::parser::Parsers;
use crate::parser::multiline::{Definition, Machine, Message};

/// The longest line that is joined of Docker's parts.
const DOCKER_MAX: usize = 1 << 20;

/// How lines are joined.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// Docker's parts, which wait so long for each other.
    Docker(Duration),
    /// By multiline parsers, to messages of so many bytes at most.
    Multiline(Vec<Arc<Definition>>, usize),
}

impl Rule {
    /// Multiline parsers by their names, of which at least one is there.
    pub(super) fn multiline(definitions: Vec<Arc<Definition>>, parsers: &Parsers) -> Self {
        Self::Multiline(definitions, parsers.message_max())
    }
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Joined<'j> {
    /// A line, which a parser may look at.
    Line(&'j [u8]),
    /// The text of a record, as it stands, with its time.
    Text(&'j [u8], EventTime),
    /// A record, and its time.
    Record(&'j [u8], EventTime),
}

/// Takes what comes out, with the place where it starts.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Place, Joined<'_>);

/// Joins the lines of one file.
#[derive(Debug)]
pub(super) enum Joiner {
    /// Docker's parts.
    Docker(Docker),
    /// By multiline parsers.
    Multiline(Box<Multiline>),
}

/// Joins by multiline parsers.
#[derive(Debug)]
pub(super) struct Multiline {
    machine: Machine<Place>,
    patience: Duration,
    /// Texts end in a newline.
    adds_newline: bool,
    text: Vec<u8>,
}

impl Joiner {
    /// For one file.
    pub(super) fn new(rule: &Rule) -> Self {
        match rule {
            Rule::Docker(patience) => Self::Docker(Docker::new(*patience, DOCKER_MAX)),
            Rule::Multiline(definitions, message_max) => {
                let waits = definitions
                    .iter()
                    .map(|definition| definition.flush_timeout());
                Self::Multiline(Box::new(Multiline {
                    machine: Machine::new(definitions, None, *message_max),
                    patience: waits.max().unwrap_or_default(),
                    adds_newline: definitions
                        .first()
                        .is_some_and(|first| first.key_content().is_none()),
                    text: Vec::new(),
                }))
            }
        }
    }

    /// Takes a line that starts at `start` and hands over what is whole.
    pub(super) fn take(
        &mut self,
        line: &[u8],
        start: impl Fn() -> Place,
        time: EventTime,
        now: Instant,
        sink: Sink<'_>,
    ) {
        match self {
            Self::Docker(docker) => docker.take(line, start, now, &mut |place, line| {
                sink(place, Joined::Line(line));
            }),
            Self::Multiline(multiline) => multiline.take(line, start(), time, now, sink),
        }
    }

    /// Hands over what has waited long enough by `now`, or everything.
    pub(super) fn flush(&mut self, now: Option<Instant>, sink: Sink<'_>) {
        if self
            .due()
            .is_none_or(|due| now.is_some_and(|now| now < due))
        {
            return;
        }
        match self {
            Self::Docker(docker) => docker.flush(&mut |place, line| {
                sink(place, Joined::Line(line));
            }),
            Self::Multiline(multiline) => multiline.flush(now, sink),
        }
    }

    /// Where the first line starts that has not come out.
    pub(super) fn start(&self) -> Option<Place> {
        match self {
            Self::Docker(docker) => docker.start(),
            Self::Multiline(multiline) => {
                let marks = multiline.machine.marks();
                marks.min_by_key(|place| place.offset)
            }
        }
    }

    /// When something has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Docker(docker) => docker.due(),
            Self::Multiline(multiline) => multiline.machine.due(multiline.patience),
        }
    }

    /// The bytes it holds.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Docker(docker) => docker.held(),
            Self::Multiline(multiline) => multiline.machine.held(),
        }
    }
}

impl Multiline {
    fn take(&mut self, line: &[u8], start: Place, time: EventTime, now: Instant, sink: Sink<'_>) {
        let Self {
            machine,
            text,
            adds_newline,
            ..
        } = self;
        let is_taken = machine.take_text(line, time, start, now, &mut |message| {
            put(&message, *adds_newline, text, sink);
        });
        if !is_taken {
            let line = ended(line, *adds_newline, text);
            sink(start, Joined::Text(line, time));
        }
    }

    fn flush(&mut self, now: Option<Instant>, sink: Sink<'_>) {
        let Self {
            machine,
            text,
            adds_newline,
            patience,
        } = self;
        let mut put = |message: Message<'_, Place>| put(&message, *adds_newline, text, sink);
        match now {
            None => machine.end_all(&mut put),
            Some(now) => {
                if let Some(since) = now.checked_sub(*patience) {
                    machine.end_idle(since, &mut put);
                }
            }
        }
    }
}

fn put(message: &Message<'_, Place>, adds_newline: bool, room: &mut Vec<u8>, sink: Sink<'_>) {
    room.clear();
    message.write(room);
    let joined = if room.is_empty() {
        Joined::Text(ended(message.text, adds_newline, room), message.time)
    } else {
        Joined::Record(room, message.time)
    };
    sink(message.mark, joined);
}

/// The text with a newline at its end.
fn ended<'t>(text: &'t [u8], adds_newline: bool, room: &'t mut Vec<u8>) -> &'t [u8] {
    if !adds_newline || text.ends_with(b"\n") {
        return text;
    }
    room.clear();
    room.extend_from_slice(text);
    room.push(b'\n');
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(names: &[&str], lines: &[&str]) -> (Vec<(u64, String)>, Option<u64>) {
        let parsers = Parsers::default();
        let definitions = names.iter().map(|name| parsers.multiline(name).unwrap());
        let mut joiner = Joiner::new(&Rule::multiline(definitions.collect(), &parsers));
        let mut found = Vec::new();
        let mut sink = |place: Place, joined: Joined<'_>| {
            let text = match joined {
                Joined::Line(text) | Joined::Text(text, _) => String::from_utf8_lossy(text),
                Joined::Record(record, _) => String::from_utf8_lossy(record),
            };
            found.push((place.offset, text.into_owned()));
        };
        for (at, line) in lines.iter().enumerate() {
            let start = || Place::new(at as u64, b"");
            joiner.take(
                line.as_bytes(),
                start,
                EventTime::default(),
                Instant::now(),
                &mut sink,
            );
        }
        let open = joiner.start().map(|place| place.offset);
        assert_eq!(open.is_some(), joiner.held() > 0 && joiner.due().is_some());
        joiner.flush(Some(Instant::now()), &mut |_, _| panic!("too early"));
        joiner.flush(None, &mut sink);
        assert_eq!(joiner.start(), None);
        (found, open)
    }

    #[test]
    fn a_trace_is_one_text_and_other_lines_are_themselves() {
        let lines = [
            "single",
            "x.SomeException: y",
            "\tat a.B",
            "after",
            "a.Error: z",
        ];
        let (found, open) = joined(&["java"], &lines);
        let expected = [
            (0, "single\n"),
            (1, "x.SomeException: y\n\tat a.B\n"),
            (3, "after\n"),
            (4, "a.Error: z\n"),
        ];
        assert_eq!(found, expected.map(|(at, text)| (at, text.to_owned())));
        assert_eq!(open, Some(4));
    }

    #[test]
    fn the_place_is_that_of_the_first_line_that_is_open() {
        let lines = [
            "2024-01-02T03:04:05.1Z stdout P a",
            "2024-01-02T03:04:05.1Z stderr P b",
        ];
        let (found, open) = joined(&["cri"], &lines);
        assert_eq!((found.len(), open), (2, Some(0)));
        let lines = [lines[0], lines[1], "2024-01-02T03:04:05.1Z stdout F c"];
        let (found, open) = joined(&["cri"], &lines);
        assert_eq!((found.len(), found[0].0, open), (2, 0, Some(1)));
    }
}
