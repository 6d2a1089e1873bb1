//! `fluentbit_logs`: the lines of our own log as events, `{"level":"info","message":"[engine] .."}`, at the time they were written.
//!
//! It has no settings. Lines wait in a queue of [`QUEUE`](log::QUEUE); what finds it full stands in the log alone, as do lines that
//! `Log_Level` does not admit. Beware of an output that logs each delivery, such as one at the level `debug`: it feeds itself.
//! <https://docs.fluentbit.io/manual/data-pipeline/inputs/fluentbit-logs>

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::Receiver;

use super::{Context, Ingest, Input, Phase, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::write;
use crate::parser::Parsers;
use crate::telemetry::log::{self, Line};

/// What a record takes beside its message.
const FRAME: usize = 64;

struct FluentbitLogs {
    lines: Option<Receiver<Line>>,
}

/// Reads the section.
pub(super) fn build(_: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    Box::new(FluentbitLogs { lines: None })
}

impl Input for FluentbitLogs {
    /// From here on lines are kept, so that what the start says comes too.
    fn bind(&mut self) -> Result<(), String> {
        self.lines = Some(log::listen());
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(lines) = self.lines {
                take(lines, &context).await;
            }
        })
    }
}

/// Goes on to the last words of the process.
async fn take(mut lines: Receiver<Line>, context: &Context) {
    let mut ingest = Ingest::open_source(context);
    let mut phase = context.phase.clone();
    loop {
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            () = reached(&mut phase, Phase::Close) => return,
        };
        let Some(line) = line else { return };
        let record = record(&line);
        let permit = tokio::select! {
            biased;
            permit = ingest.permit(record.len()) => permit,
            () = reached(&mut phase, Phase::Close) => return,
        };
        let session = ingest.session();
        session.tag(context.tag.as_bytes());
        session.offer(Event {
            time: EventTime {
                seconds: line.seconds,
                nanos: line.nanos,
            },
            metadata: &[],
            record: &record,
        });
        session.commit().await;
        drop(permit);
    }
}

fn record(line: &Line) -> Vec<u8> {
    let mut record = Vec::with_capacity(FRAME + line.text.len());
    write::map_header(&mut record, 2);
    write::str(&mut record, b"level");
    write::str(&mut record, line.level.name().as_bytes());
    write::str(&mut record, b"message");
    write::str(&mut record, line.text.as_bytes());
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::testing::Keeper;
    use crate::telemetry::log::Level;

    #[tokio::test]
    async fn lines_of_the_log_are_records_until_the_end() {
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        let mut input = FluentbitLogs { lines: None };
        input.bind().unwrap();
        crate::warning!("logs-test", "said {}", 1);
        phase.send_replace(Phase::Close);
        Box::new(input).run(context).await;
        let expected = record(&Line {
            seconds: 0,
            nanos: 0,
            level: Level::Warn,
            text: "[logs-test] said 1".to_owned(),
        });
        // Other tests write lines too.
        assert!(keeper.take_records().contains(&expected));
    }
}
