//! A task of the stream processor: copies of the records that a query selects, under another tag.
//!
//! ```text
//! CREATE STREAM errors WITH (tag='app.errors') AS SELECT * FROM TAG:'app*' WHERE level = 'error';
//! CREATE STREAM short AS SELECT log, level AS severity FROM STREAM:forward.0;
//! ```
//!
//! Tasks stand behind the filters. A copy goes through the chain under its new tag, as after `rewrite_tag`; the record itself goes on
//! as it was. A record without any of the keys that are selected makes no copy. A task does not see what it made itself, and tasks that
//! feed each other end after [`HOPS_MAX`](crate::filter::HOPS_MAX) changes of tag.
//! <https://docs.fluentbit.io/manual/stream-processing/overview>

use std::sync::Arc;

use super::{Query, Sql, parse};
use crate::event::Event;
use crate::filter::{Filter, MakeOperator, Operator, Outbox, Scratch, Verdict, View};
use crate::telemetry::log::Limiter;

/// Where a task's records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An input, by its name or alias, of which it reads what has kept its tag; or what another task makes, by the name of its stream.
    Stream(String),
    /// The tags that a pattern covers, as `Match` does.
    Tag(String),
}

/// A task as it was read.
#[derive(Debug)]
pub struct Task {
    /// The name of the stream it makes.
    pub name: String,
    /// What stands behind `WITH`, the names in lower case.
    pub properties: Vec<(String, String)>,
    /// What it reads.
    pub source: Source,
    /// What it selects.
    pub(super) query: Query,
}

impl Task {
    /// Reads a task; the error says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        parse::task(text).map_err(|error| error.to_string())
    }

    /// The last property of a name.
    pub fn property(&self, name: &str) -> Option<&str> {
        let mut properties = self.properties.iter().rev();
        let (_, value) = properties.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// What puts the copies out under `tag`, of those events alone that have come as they are from their input, or of all.
    pub fn operator(self, tag: &str, originals: bool) -> Box<dyn MakeOperator> {
        Box::new(Copies(Arc::new(Plan {
            tag: tag.as_bytes().into(),
            originals,
            name: self.name,
            sql: Sql::of(self.query),
            limiter: Limiter::default(),
        })))
    }
}

/// What all streams share.
struct Plan {
    tag: Box<[u8]>,
    originals: bool,
    name: String,
    sql: Sql,
    limiter: Limiter,
}

struct Copies(Arc<Plan>);

impl MakeOperator for Copies {
    fn operator(&self, _tag: &[u8]) -> Box<dyn Operator> {
        Box::new(Copier {
            plan: Arc::clone(&self.0),
            scratch: Scratch::default(),
            record: Vec::new(),
        })
    }
}

/// A task at one stream, and room for its work.
struct Copier {
    plan: Arc<Plan>,
    scratch: Scratch,
    record: Vec<u8>,
}

impl Operator for Copier {
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        let Plan {
            tag,
            sql,
            originals,
            ..
        } = &*self.plan;
        let is_wanted = || {
            let condition = sql.condition.as_ref();
            condition.is_none_or(|condition| condition.holds(event))
        };
        let is_ours = !outbox.is_retagged_here() && (!originals || outbox.is_original());
        if !is_ours || !is_wanted() {
            return Verdict::Keep;
        }
        if !outbox.may_hop() {
            self.refuse(event);
            return Verdict::Keep;
        }
        if sql.keys.is_none() {
            outbox.retag(tag, event, true);
            return Verdict::Keep;
        }
        self.record.clear();
        event.write(&mut self.record);
        let copy = Event {
            time: event.time(),
            metadata: event.metadata(),
            record: &self.record,
        };
        let mut copy = View::open(tag, copy, &mut self.scratch);
        sql.apply(&mut copy);
        if !copy.is_empty() {
            outbox.retag(tag, &copy, true);
        }
        Verdict::Keep
    }
}

impl Copier {
    fn refuse(&self, event: &View<'_>) {
        if let Some(more) = self.plan.limiter.admit() {
            crate::error!(
                "sp",
                "the task that makes `{}` leaves an event of {} alone: it has changed its tag too often, so tasks feed each other{more}",
                self.plan.name,
                crate::event::Tag::new(event.tag())
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_names_its_stream_its_properties_and_its_source() {
        let task = Task::read(
            "create stream x with (Tag='a.b', routable='true', tag='c') as select * from tag:'app*' where l = 'e';",
        )
        .unwrap();
        assert_eq!(task.name, "x");
        assert_eq!(task.property("tag"), Some("c"));
        assert_eq!(task.property("routable"), Some("true"));
        assert_eq!(task.source, Source::Tag("app*".to_owned()));
        assert!(task.query.keys.is_none() && task.query.condition.is_some());
        let task = Task::read("CREATE STREAM y AS SELECT a, b AS c FROM STREAM:forward.0").unwrap();
        assert_eq!(task.source, Source::Stream("forward.0".to_owned()));
        assert_eq!(task.property("tag"), None);
    }

    #[test]
    fn what_is_no_task_is_told_what_belongs_where() {
        for (text, words) in [
            ("", "it ends where CREATE belongs"),
            (
                "SELECT * FROM TAG:'a'",
                "`SELECT` stands where CREATE belongs",
            ),
            (
                "CREATE SNAPSHOT a AS SELECT * FROM STREAM:b",
                "`SNAPSHOT` stands where STREAM belongs",
            ),
            (
                "CREATE STREAM a WITH (tag=b) AS SELECT * FROM TAG:'c'",
                "`b` stands where a text in quotes belongs",
            ),
            (
                "CREATE STREAM a WITH (tag='b' AS SELECT * FROM TAG:'c'",
                "`AS` stands where ) belongs",
            ),
            (
                "CREATE STREAM a AS SELECT * FROM STREAM b",
                "`b` stands where : belongs",
            ),
            (
                "CREATE STREAM a AS SELECT * FROM TAG:b",
                "`b` stands where a pattern in quotes belongs",
            ),
            (
                "CREATE STREAM a AS SELECT COUNT(*) FROM TAG:'b'",
                "`(` stands where FROM belongs",
            ),
            (
                "CREATE STREAM a AS SELECT * FROM TAG:'b' WINDOW TUMBLING (5 SECOND)",
                "`WINDOW` stands where the end belongs",
            ),
            (
                "CREATE STREAM a AS SELECT * FROM TAG:'b' GROUP BY c",
                "`GROUP` stands where the end belongs",
            ),
            (
                "CREATE STREAM a AS SELECT b['c'] FROM TAG:'d'",
                "`[` means nothing in a query",
            ),
        ] {
            let said = Task::read(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
