//! The tasks of the stream processor as sections: who sees which events, and the tag of what they make.
//!
//! What Fluent Bit runs and these do not (aggregates, windows, snapshots, a `SELECT` that would be printed) is a lapse, as is a task
//! that Fluent Bit itself cannot read: it starts all the same.

use crate::config::{Problems, Section, Settings, Variables};
use crate::filter::{Link, StreamTask, TaskSource};
use crate::router::Matcher;

/// A task as its section says.
pub(super) struct PlannedTask {
    /// The tags it reads.
    pub(super) matcher: Matcher,
    /// The input it reads, by its place; nothing for all.
    pub(super) only_of: Option<usize>,
    pub(super) link: Link,
}

/// An input that a task may name.
pub(super) struct Named<'n> {
    pub(super) name: &'n str,
    pub(super) instance: &'n str,
}

/// The tasks of these sections, given the inputs in their order.
pub(super) fn plan<'s>(
    sections: impl Iterator<Item = &'s Section>,
    inputs: &[Named<'_>],
    variables: &Variables,
    problems: &mut Problems,
) -> Vec<PlannedTask> {
    let mut planner = Planner {
        inputs,
        streams: Vec::new(),
    };
    let mut planned = Vec::new();
    for section in sections {
        let mut settings = Settings::new(section, variables, problems);
        match planner.task(&mut settings) {
            Ok(task) => planned.push(task),
            Err(message) => settings.lapse("exec", message, "the task does nothing"),
        }
        settings.finish();
    }
    planned
}

struct Planner<'p> {
    inputs: &'p [Named<'p>],
    /// What tasks make: the name of the stream and its tag.
    streams: Vec<(String, String)>,
}

impl Planner<'_> {
    fn task(&mut self, settings: &mut Settings<'_>) -> Result<PlannedTask, String> {
        let exec = settings.text("exec");
        let exec = exec.ok_or("missing: a task needs `Exec CREATE STREAM ..`")?;
        let task = StreamTask::read(&exec).map_err(|error| {
            format!(
                "{error}; a task is `CREATE STREAM name WITH (tag='..') AS SELECT .. FROM TAG:'..' WHERE ..`, without aggregates and windows"
            )
        })?;
        if self.input(&task.name).is_some() || self.stream(&task.name).is_some() {
            return Err(format!("there is a stream `{}` already", task.name));
        }
        let (matcher, only_of) = match &task.source {
            TaskSource::Tag(glob) => (Matcher::of_glob(glob), None),
            TaskSource::Stream(name) => match (self.input(name), self.stream(name)) {
                (Some(place), _) => (Matcher::all(), Some(place)),
                (None, Some(tag)) => (Matcher::of_glob(tag), None),
                (None, None) => {
                    return Err(format!(
                        "no input, and no task above, is called `{name}`: `FROM STREAM:` wants a name or an alias"
                    ));
                }
            },
        };
        // Fluent Bit makes an input of each, which is numbered with the others.
        let number = self.inputs.len() + self.streams.len();
        let tag = task.property("tag").filter(|tag| !tag.is_empty());
        let tag = tag.map_or_else(|| format!("stream_processor.{number}"), str::to_owned);
        self.streams.push((task.name.clone(), tag.clone()));
        Ok(PlannedTask {
            matcher,
            only_of,
            link: Link::Operator(task.operator(&tag, only_of.is_some())),
        })
    }

    fn input(&self, name: &str) -> Option<usize> {
        let is_it = |input: &Named<'_>| {
            let mut names = [input.name, input.instance].into_iter();
            names.any(|known| known.eq_ignore_ascii_case(name))
        };
        self.inputs.iter().position(is_it)
    }

    fn stream(&self, name: &str) -> Option<&str> {
        let mut streams = self.streams.iter();
        let (_, tag) = streams.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SectionKind;

    fn planned(queries: &[&str]) -> (Vec<PlannedTask>, String) {
        let of = |query: &&str| {
            let pairs = [("name", "t"), ("exec", *query)];
            Section::of_pairs(SectionKind::StreamTask, &pairs)
        };
        let sections: Vec<_> = queries.iter().map(of).collect();
        let inputs = [("in", "forward.0"), ("tcp.1", "tcp.1")]
            .map(|(name, instance)| Named { name, instance });
        let mut problems = Problems::default();
        let tasks = plan(
            sections.iter(),
            &inputs,
            &Variables::default(),
            &mut problems,
        );
        (tasks, problems.to_string())
    }

    #[test]
    fn a_task_reads_the_tags_or_the_stream_that_it_names() {
        let (tasks, said) = planned(&[
            "CREATE STREAM a WITH (tag='x') AS SELECT * FROM TAG:'app*'",
            "CREATE STREAM b AS SELECT * FROM STREAM:IN",
            "CREATE STREAM c AS SELECT * FROM STREAM:tcp.1",
            "CREATE STREAM d AS SELECT * FROM STREAM:a",
            "CREATE STREAM e AS SELECT * FROM STREAM:b",
        ]);
        assert_eq!(said, "");
        let read: Vec<_> = tasks.iter().map(|task| task.only_of).collect();
        assert_eq!(read, [None, Some(0), Some(1), None, None]);
        assert!(tasks[0].matcher.matches(b"app.1") && !tasks[0].matcher.matches(b"x"));
        assert!(tasks[3].matcher.matches(b"x") && !tasks[3].matcher.matches(b"app.1"));
        assert!(tasks[4].matcher.matches(b"stream_processor.3"));
    }

    #[test]
    fn what_cannot_run_is_a_lapse_and_the_other_tasks_run() {
        let (tasks, said) = planned(&[
            "CREATE STREAM in AS SELECT * FROM TAG:'a'",
            "CREATE STREAM a AS SELECT * FROM STREAM:nobody",
            "CREATE STREAM a AS SELECT COUNT(*) FROM TAG:'a' WINDOW TUMBLING (5 SECOND)",
            "CREATE STREAM a AS SELECT * FROM TAG:'a'",
            "CREATE STREAM A AS SELECT * FROM TAG:'a'",
        ]);
        assert_eq!(tasks.len(), 1);
        assert_eq!(said.lines().count(), 4, "{said}");
        for words in [
            "there is a stream `in` already",
            "is called `nobody`",
            "without aggregates and windows",
            "there is a stream `A` already",
        ] {
            assert!(said.contains(words), "{said}");
        }
        for line in said.lines() {
            assert!(line.starts_with("warning: "), "{line}");
            assert!(line.ends_with("(the task does nothing)"), "{line}");
        }
    }
}
