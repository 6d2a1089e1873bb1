//! `stdout`: prints every record and changes none, for who wants to see what passes.
//!
//! A line is `[n] TAG: [SECONDS.NANOSECONDS, {metadata}, {record}]`; n counts the lines of this filter. It has no settings.
//! <https://docs.fluentbit.io/manual/pipeline/filters/standard-output>

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::{Filter, Means, Verdict, View};
use crate::config::Settings;
use crate::msgpack::print::print;

struct Stdout<W> {
    state: Mutex<State<W>>,
}

struct State<W> {
    lines: u64,
    line: Vec<u8>,
    record: Vec<u8>,
    sink: W,
}

/// Reads the section.
pub(super) fn build(_: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    Box::new(Stdout::new(std::io::stdout()))
}

impl<W: Write> Stdout<W> {
    fn new(sink: W) -> Self {
        Self {
            state: Mutex::new(State {
                lines: 0,
                line: Vec::new(),
                record: Vec::new(),
                sink,
            }),
        }
    }

    fn print(&self, record: &View<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State {
            lines,
            line,
            record: encoded,
            sink,
        } = &mut *state;
        encoded.clear();
        record.write(encoded);
        line.clear();
        let time = record.time();
        let metadata = match record.metadata() {
            [] => &[0x80],
            metadata => metadata,
        };
        let head = write!(line, "[{lines}] ")
            .and_then(|()| line.write_all(record.tag()))
            .and_then(|()| write!(line, ": [{}.{:09}, ", time.seconds, time.nanos));
        print(metadata, line);
        line.extend_from_slice(b", ");
        print(encoded, line);
        line.extend_from_slice(b"]\n");
        *lines += 1;
        // Who does not read what is printed must not stop the logs.
        let _unread = head
            .and_then(|()| sink.write_all(line))
            .and_then(|()| sink.flush());
    }
}

impl<W: Write + Send> Filter for Stdout<W> {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        if matches!(flavor, Ok(RuntimeFlavor::MultiThread)) {
            // A pipe may be full: the other connections go on meanwhile.
            tokio::task::block_in_place(|| self.print(record));
        } else {
            self.print(record);
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::filtered;
    use super::*;

    #[test]
    fn a_line_shows_everything_and_nothing_changes() {
        let filter = Stdout::new(Vec::new());
        for record in [r#"{"a":"1","n":5}"#, "{}"] {
            assert_eq!(filtered(&filter, record).as_deref(), Some(record));
        }
        let printed = filter.state.into_inner().unwrap().sink;
        assert_eq!(
            String::from_utf8(printed).unwrap(),
            "[0] a.b: [1700000000.000000007, {\"m\"=>1}, {\"a\"=>\"1\", \"n\"=>5}]\n\
             [1] a.b: [1700000000.000000007, {\"m\"=>1}, {}]\n"
        );
    }
}
