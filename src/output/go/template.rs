//! Names of log groups and streams in the dialect of AWS's `cloudwatch` plugin: `/ecs/$(tag[0])`.
//!
//! | token | meaning |
//! |---|---|
//! | `$(tag)`, `$(tag[n])` | the tag; its n-th part between dots, of ten at most |
//! | `$(key)`, `$(key['sub'])` | a text of the record |
//! | `$(uuid)` | 27 characters that no other instance has |
//! | `$(ecs_task_id)`, `$(ecs_cluster)`, `$(ecs_task_arn)` | of the task; known when the task's metadata have been read |
//!
//! <https://github.com/aws/amazon-cloudwatch-logs-for-fluent-bit#templating-log-group-and-stream-names>

use crate::accessor::last_value;
use crate::msgpack::read;
use crate::output::Item;

/// The parts that a tag is split into.
const TAG_PARTS: usize = 10;
/// The variables of the task. They stay in a name as they are written until their values are known.
pub(in crate::output) const TASK_VARIABLES: [&str; 3] =
    ["$(ecs_task_id)", "$(ecs_cluster)", "$(ecs_task_arn)"];

/// A template that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::output) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Tag,
    Piece(usize),
    Value(Vec<Box<[u8]>>),
    Task(&'static str),
}

impl Template {
    /// Reads a template; `uuid` is what `$(uuid)` stands for.
    ///
    /// # Errors
    /// What in it is no token.
    pub(in crate::output) fn new(text: &str, uuid: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("$(") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (token, behind) = behind
                .split_once(')')
                .ok_or_else(|| format!("`{text}` has a `$(` that is not closed"))?;
            parts.push(part(token, uuid)?);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Whether every event of a tag gets the same name.
    pub(in crate::output) fn depends_on_tag_only(&self) -> bool {
        !self.0.iter().any(|part| matches!(part, Part::Value(_)))
    }

    /// Whether it names a variable of the task.
    pub(in crate::output) fn needs_task(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Task(_)))
    }

    /// Fills the template in, `clean` making every text fit for a name; `None` when something is missing or nothing is left.
    pub(in crate::output) fn render(
        &self,
        item: Item<'_>,
        clean: fn(&str) -> String,
    ) -> Option<String> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(&clean(text)),
                Part::Tag => name.push_str(&clean(&item.tag.to_text())),
                Part::Piece(index) => {
                    let tag = item.tag.to_text();
                    name.push_str(&clean(tag.splitn(TAG_PARTS, '.').nth(*index)?));
                }
                Part::Value(path) => {
                    let value = path
                        .iter()
                        .try_fold(item.event.record, |map, key| last_value(map, key))?;
                    name.push_str(&clean(&String::from_utf8_lossy(read::text(value)?)));
                }
                Part::Task(variable) => name.push_str(variable),
            }
        }
        Some(name).filter(|name| !name.is_empty())
    }
}

/// Reads what stands between the parentheses.
fn part(token: &str, uuid: &str) -> Result<Part, String> {
    let wrong = || {
        format!(
            "`$({token})` is neither $(key['sub']), $(tag), $(tag[n]), $(uuid) nor $(ecs_task_id), $(ecs_cluster), $(ecs_task_arn)"
        )
    };
    if let Some(variable) = TASK_VARIABLES
        .into_iter()
        .find(|variable| variable.get(2..variable.len() - 1) == Some(token))
    {
        return Ok(Part::Task(variable));
    }
    match token {
        "tag" => return Ok(Part::Tag),
        "uuid" => return Ok(Part::Text(uuid.to_owned())),
        _ => {}
    }
    if let Some(index) = token.strip_prefix("tag[") {
        let index = index.strip_suffix(']').and_then(|index| index.parse().ok());
        return index
            .filter(|index| *index < TAG_PARTS)
            .map(Part::Piece)
            .ok_or_else(wrong);
    }
    let (key, mut steps) = token.split_at(token.find('[').unwrap_or(token.len()));
    let mut path: Vec<Box<[u8]>> = vec![key.as_bytes().into()];
    while !steps.is_empty() {
        let step = steps
            .strip_prefix("['")
            .and_then(|step| step.split_once("']"));
        let (step, behind) = step.ok_or_else(wrong)?;
        path.push(step.as_bytes().into());
        steps = behind;
    }
    if key.is_empty() {
        return Err(wrong());
    }
    Ok(Part::Value(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventTime, Tag};

    /// `{"k":{"p":{"n":"deep:"}},"i":5}`
    const RECORD: &[u8] = b"\x82\xa1k\x81\xa1p\x81\xa1n\xa5deep:\xa1i\x05";

    fn render(template: &str, tag: &str) -> Option<String> {
        let tag = Tag::new(tag.as_bytes());
        let event = Event {
            time: EventTime::default(),
            metadata: &[],
            record: RECORD,
        };
        let clean = |text: &str| text.replace(':', ".");
        Template::new(template, "id")
            .unwrap()
            .render(Item { tag: &tag, event }, clean)
    }

    /// Checklist: outputs 16
    #[test]
    fn tokens_are_replaced_and_cleaned() {
        for (template, expected) in [
            ("/ecs/$(tag[0])", Some("/ecs/a")),
            ("$(tag[1])-$(tag)", Some("b-a.b")),
            ("s:$(k['p']['n'])", Some("s.deep.")),
            ("$(uuid)x", Some("idx")),
            ("t/$(ecs_task_id)", Some("t/$(ecs_task_id)")),
            ("$(i)", None),
            ("$(k)", None),
            ("$(none)", None),
            ("$(tag[2])", None),
        ] {
            assert_eq!(render(template, "a.b").as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn the_tenth_part_of_a_tag_keeps_the_rest() {
        assert_eq!(
            render("$(tag[9])", "0.1.2.3.4.5.6.7.8.9.10").as_deref(),
            Some("9.10")
        );
    }

    #[test]
    fn a_text_that_is_no_template_is_refused() {
        for text in ["$(", "$()", "$(tag[10])", "$(tag[x])", "$(a[b])", "$(a['b)"] {
            assert!(Template::new(text, "id").is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_knows_what_it_depends_on() {
        let template = |text| Template::new(text, "id").unwrap();
        assert!(template("$(tag)$(ecs_cluster)").depends_on_tag_only());
        assert!(template("$(ecs_cluster)").needs_task());
        assert!(!template("$(key)").depends_on_tag_only() && !template("$(key)").needs_task());
    }
}
