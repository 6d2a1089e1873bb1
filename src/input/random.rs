//! `random`: a random number now and then.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Samples` | -1 | how many; below 0 for no end |
//! | `Interval_Sec`, `Interval_NSec` | 1, 0 | the time between two |
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/random>

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Context, Ingest, Input, Phase, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::write;
use crate::parser::Parsers;

/// More than the record takes.
const ROOM: usize = 64;

struct Random {
    /// `None` for no end.
    samples: Option<u64>,
    interval: Duration,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    let samples = settings.integer("samples").unwrap_or(-1);
    Box::new(Random {
        samples: u64::try_from(samples).ok(),
        interval: super::interval(settings),
    })
}

impl Input for Random {
    fn bind(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.make(&context).await })
    }
}

impl Random {
    async fn make(&self, context: &Context) {
        let mut ingest = Ingest::open_source(context);
        let mut phase = context.phase.clone();
        let first = tokio::time::Instant::now() + self.interval;
        let mut ticks = tokio::time::interval_at(first, self.interval);
        let mut made = 0;
        while self.samples.is_none_or(|samples| made < samples) {
            let permit = tokio::select! {
                permit = async { ticks.tick().await; ingest.permit(ROOM).await } => permit,
                () = reached(&mut phase, Phase::Drain) => return,
            };
            let mut record = Vec::with_capacity(ROOM);
            write::map_header(&mut record, 1);
            write::str(&mut record, b"rand_value");
            write::unsigned(&mut record, fastrand::u64(..));
            let session = ingest.session();
            session.tag(context.tag.as_bytes());
            session.offer(Event {
                time: EventTime::now(),
                metadata: &[],
                record: &record,
            });
            session.commit().await;
            drop(permit);
            made += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::testing::Keeper;

    #[tokio::test]
    async fn so_many_numbers_come_and_no_more() {
        let keeper = Keeper::default();
        let (context, _phase) = keeper.context(1 << 20);
        let random = Random {
            samples: Some(3),
            interval: Duration::from_millis(1),
        };
        Box::new(random).run(context).await;
        let records = keeper.take_records();
        assert_eq!(records.len(), 3);
        assert!(
            records
                .iter()
                .all(|record| record.starts_with(b"\x81\xaarand_value"))
        );
        assert_ne!(records[0], records[1]);
    }
}
