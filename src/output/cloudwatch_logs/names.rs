//! Which log group and stream an event goes to, in the dialects of both plugins.

use std::borrow::Cow;

use super::stream_name::{self, cut};
use crate::config::{Settings, Variables};
use crate::event::{Event, EventTime, Tag};
use crate::output::aws::{Metadata, Task};
use crate::output::template::Template;
use crate::output::{Answer, Destination, Item, go};

/// The defaults of the Go plugin, where a template comes to nothing.
const GO_GROUP: &str = "fluentbit-default";
const GO_STREAM: &str = "/fluentbit-default";

/// How groups and streams are named.
#[derive(Debug)]
pub(super) struct Names {
    group: GroupName,
    stream: StreamName,
    /// Where the variables of the task come from.
    metadata: Option<Metadata>,
}

#[derive(Debug)]
enum GroupName {
    C(Option<Template>, String),
    Go(go::Template, String),
}

#[derive(Debug)]
enum StreamName {
    C(Option<Template>, Plain),
    Go(go::Template, String),
    GoPrefix(String),
}

/// Names without a template.
#[derive(Debug)]
enum Plain {
    Fixed(String),
    Prefix(String),
}

impl Plain {
    /// Reads `log_stream_name` and `log_stream_prefix`, of which exactly one has to be there.
    fn read(settings: &mut Settings<'_>) -> Self {
        let name = settings.text("log_stream_name");
        match (name, settings.text("log_stream_prefix")) {
            (Some(name), None) => Self::Fixed(name),
            (None, Some(prefix)) => Self::Prefix(prefix),
            (one, _) => {
                let message = if one.is_some() {
                    "exclude each other; leave one out"
                } else {
                    "one of the two is required"
                };
                settings.error(
                    "log_stream_name",
                    format!("log_stream_name and log_stream_prefix: {message}"),
                );
                Self::Prefix(String::new())
            }
        }
    }

    fn of(&self, tag: &Tag) -> String {
        match self {
            Self::Fixed(name) => name.clone(),
            Self::Prefix(prefix) => format!("{prefix}{}", tag.to_text()),
        }
    }
}

impl Names {
    /// Reads the names as `cloudwatch_logs` has them.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let group = settings.required("log_group_name").unwrap_or_default();
        Self {
            group: GroupName::C(template(settings, "log_group_template"), group),
            stream: StreamName::C(
                template(settings, "log_stream_template"),
                Plain::read(settings),
            ),
            metadata: None,
        }
    }

    /// Reads the names as `cloudwatch` has them.
    pub(super) fn read_go(settings: &mut Settings<'_>) -> Self {
        let uuid = ksuid();
        let group = settings.required("log_group_name").unwrap_or_default();
        let group = go_template(settings, "log_group_name", &group, &uuid);
        let default_group = settings.text("default_log_group_name");
        let default_stream = settings.text("default_log_stream_name");
        let stream = match Plain::read(settings) {
            Plain::Fixed(name) => StreamName::Go(
                go_template(settings, "log_stream_name", &name, &uuid),
                default_stream.unwrap_or_else(|| GO_STREAM.to_owned()),
            ),
            Plain::Prefix(prefix) => StreamName::GoPrefix(prefix),
        };
        Self {
            group: GroupName::Go(group, default_group.unwrap_or_else(|| GO_GROUP.to_owned())),
            stream,
            metadata: Metadata::of(&Variables::from_process()),
        }
        .told_of_the_task(settings)
    }

    /// Warns where variables of the task are used outside of one.
    fn told_of_the_task(self, settings: &mut Settings<'_>) -> Self {
        let is_outside = self.metadata.is_none();
        let warn = |settings: &mut Settings<'_>, key| {
            let message = "names the task, and this is none (ECS_CONTAINER_METADATA_URI_V4 is not set); the default name is used";
            settings.warning(key, message);
        };
        if matches!(&self.group, GroupName::Go(template, _) if is_outside && template.needs_task())
        {
            warn(settings, "log_group_name");
        }
        if matches!(&self.stream, StreamName::Go(template, _) if is_outside && template.needs_task())
        {
            warn(settings, "log_stream_name");
        }
        self
    }

    /// Where all events of a tag go; `None` when that depends on the event.
    pub(super) fn of_tag(&self, tag: &Tag) -> Option<Destination> {
        let by_group = match &self.group {
            GroupName::C(template, _) => template.is_none(),
            GroupName::Go(template, _) => template.depends_on_tag_only(),
        };
        let by_stream = match &self.stream {
            StreamName::C(template, _) => template.is_none(),
            StreamName::Go(template, _) => template.depends_on_tag_only(),
            StreamName::GoPrefix(_) => true,
        };
        let event = Event {
            time: EventTime::default(),
            metadata: &[],
            record: &[],
        };
        (by_group && by_stream).then(|| self.of_item(Item { tag, event }))
    }

    /// Where an event goes. Variables of the task stand in the names until [`Names::resolve`].
    pub(super) fn of_item(&self, item: Item<'_>) -> Destination {
        Destination {
            group: self.group_of(item),
            name: self.stream_of(item),
        }
    }

    fn group_of(&self, item: Item<'_>) -> Box<str> {
        match &self.group {
            GroupName::C(template, plain) => {
                let made = template.as_ref().and_then(|template| template.render(item));
                stream_name::group(made.as_deref().unwrap_or(plain))
            }
            GroupName::Go(template, default) => self
                .render_go(template, item, stream_name::go_group)
                .unwrap_or_else(|| default.as_str().into()),
        }
    }

    fn stream_of(&self, item: Item<'_>) -> Box<str> {
        match &self.stream {
            StreamName::C(template, plain) => {
                let made = template.as_ref().and_then(|template| template.render(item));
                stream_name::stream(&made.unwrap_or_else(|| plain.of(item.tag)))
            }
            StreamName::Go(template, default) => self
                .render_go(template, item, stream_name::go_stream)
                .unwrap_or_else(|| default.as_str().into()),
            StreamName::GoPrefix(prefix) => {
                stream_name::stream(&format!("{prefix}{}", item.tag.to_text()))
            }
        }
    }

    fn render_go(
        &self,
        template: &go::Template,
        item: Item<'_>,
        clean: fn(&str) -> String,
    ) -> Option<Box<str>> {
        if template.needs_task() && self.metadata.is_none() {
            return None;
        }
        let name = template.render(item, clean)?;
        Some(if template.needs_task() {
            name.into()
        } else {
            cut(&name)
        })
    }

    /// The destination with what the variables of the task stand for.
    ///
    /// # Errors
    /// Nothing is known of the task yet; the request may be sent later.
    pub(super) async fn resolve<'d>(
        &self,
        destination: &'d Destination,
    ) -> Result<Cow<'d, Destination>, Answer> {
        let names_task = |name: &str| go::TASK_VARIABLES.iter().any(|known| name.contains(known));
        let Some(metadata) = &self.metadata else {
            return Ok(Cow::Borrowed(destination));
        };
        if !names_task(&destination.group) && !names_task(&destination.name) {
            return Ok(Cow::Borrowed(destination));
        }
        let task = metadata.task().await.map_err(Answer::again)?;
        Ok(Cow::Owned(Destination {
            group: filled(&destination.group, &task, stream_name::go_group),
            name: filled(&destination.name, &task, stream_name::go_stream),
        }))
    }
}

/// A name with the values of the task's variables.
fn filled(name: &str, task: &Task, clean: fn(&str) -> String) -> Box<str> {
    let values = [task.id(), &task.cluster, &task.arn];
    let pairs = go::TASK_VARIABLES.iter().zip(values);
    let name = pairs.fold(name.to_owned(), |name, (variable, value)| {
        name.replace(variable, &clean(value))
    });
    cut(&name)
}

fn template(settings: &mut Settings<'_>, key: &'static str) -> Option<Template> {
    let text = settings.text(key)?;
    match Template::new(&text) {
        Ok(template) => Some(template),
        Err(error) => {
            settings.error(key, error.to_string());
            None
        }
    }
}

fn go_template(
    settings: &mut Settings<'_>,
    key: &'static str,
    text: &str,
    uuid: &str,
) -> go::Template {
    go::Template::new(text, uuid).unwrap_or_else(|error| {
        settings.error(key, error);
        go::Template::default()
    })
}

/// 27 characters that sort by time and that nobody else has: seconds since May 2014 and 16 random bytes, as a number to the base 62.
///
/// <https://github.com/segmentio/ksuid>
fn ksuid() -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const EPOCH: u64 = 1_400_000_000;
    let seconds = EventTime::now().seconds.saturating_sub(EPOCH) as u32;
    let mut number = seconds.to_be_bytes().to_vec();
    number.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
    let mut digits = Vec::new();
    for _ in 0..27 {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        digits.push(DIGITS.get(rest as usize).copied().unwrap_or(b'0'));
    }
    digits
        .iter()
        .rev()
        .map(|&digit| char::from(digit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    fn go_names(properties: &[(&str, &str)]) -> Names {
        let (mut names, problems) = configured(properties, Names::read_go);
        assert_eq!(problems, [""; 0]);
        names.metadata = None;
        names
    }

    fn named(names: &Names, tag: &str, record: &[u8]) -> (String, String) {
        let tag = Tag::new(tag.as_bytes());
        let event = Event {
            time: EventTime::default(),
            metadata: &[],
            record,
        };
        let item = Item { tag: &tag, event };
        let made = names.of_item(item);
        if let Some(by_tag) = names.of_tag(&tag) {
            assert_eq!(by_tag, made);
        }
        (made.group.into(), made.name.into())
    }

    /// Checklist: outputs 16
    #[test]
    fn a_name_that_comes_to_nothing_is_the_default() {
        let names = go_names(&[
            ("log_group_name", "$(svc)"),
            ("log_stream_name", "$(tag[5])"),
        ]);
        assert_eq!(
            named(&names, "a.b", b"\x80"),
            (GO_GROUP.into(), GO_STREAM.into())
        );
        assert_eq!(
            named(&names, "a.b", b"\x81\xa3svc\xa3a b"),
            ("a.b".into(), GO_STREAM.into())
        );
    }

    #[test]
    fn a_prefix_is_no_template() {
        let names = go_names(&[("log_group_name", "g"), ("log_stream_prefix", "$(tag)-")]);
        assert_eq!(named(&names, "t", b"\x80"), ("g".into(), "$(tag)-t".into()));
    }

    /// Checklist: outputs 16, 17
    #[test]
    fn variables_of_the_task_are_filled_in_and_the_name_cut() {
        let task = Task {
            cluster: "prod#1".to_owned(),
            arn: format!("arn:aws:ecs:r:1:task/prod/{}", "x".repeat(600)),
        };
        let group = filled(
            "/ecs/$(ecs_cluster)/$(ecs_task_arn)",
            &task,
            stream_name::go_group,
        );
        assert!(group.starts_with("/ecs/prod.1/arn.aws.ecs.r.1.task/prod/x"));
        assert_eq!(
            (
                group.len(),
                filled("$(ecs_task_id)", &task, stream_name::go_stream).len()
            ),
            (512, 512)
        );
    }

    #[test]
    fn outside_of_a_task_its_variables_come_to_nothing() {
        let (mut names, _) = configured(
            &[
                ("log_group_name", "$(ecs_cluster)"),
                ("log_stream_name", "s"),
            ],
            Names::read_go,
        );
        names.metadata = None;
        assert_eq!(named(&names, "t", b"\x80"), (GO_GROUP.into(), "s".into()));
    }

    /// Checklist: outputs 16
    #[test]
    fn two_ids_differ_and_have_27_characters() {
        let (one, two) = (ksuid(), ksuid());
        assert!(one.len() == 27 && two.len() == 27 && one != two);
    }
}
