//! `multiline`: joins events that hold the lines of one message, or the parts of one line.
//!
//! | setting | effect |
//! |---|---|
//! | `mode` | `parser` (default): lines, by multiline parsers (`lines.rs`); `partial_message`: parts of lines that Docker cut (`partial.rs`) |
//! | `multiline.parser` | names of multiline parsers, with commas between them; tried in order |
//! | `multiline.key_content` | the key whose text is joined |
//! | `flush_ms` | a message ends when no line has come for so long; 2000 |
//! | `buffer` | off: a message ends with the message of the protocol that brought it |
//! | `debug_flush`, `emitter_*` | taken, and without effect |
//!
//! Joined events go through the whole chain once more, as in Fluent Bit. There, what is joined waits in a queue and is lost at the
//! end of the process; here it is stored with the line that ended it, or when its time has come, or at the end.
//! <https://docs.fluentbit.io/manual/pipeline/filters/multiline-stacktrace>

mod lines;
mod partial;

use std::sync::Arc;
use std::time::Duration;

use self::lines::Lines;
use self::partial::Partial;
use super::{MakeOperator, Means, Operator};
use crate::config::{Settings, value};
use crate::parser::multiline::Definition;

/// How long a message waits for more, unless `flush_ms` says otherwise.
const PATIENCE: Duration = Duration::from_secs(2);

/// The least `flush_ms` for lines, as in Fluent Bit.
const PATIENCE_MIN: Duration = Duration::from_millis(500);

/// What the section says.
struct Plan {
    definitions: Vec<Arc<Definition>>,
    key_content: Option<Vec<u8>>,
    patience: Duration,
    buffer: bool,
    message_max: usize,
}

struct ByParser(Arc<Plan>);

struct ByParts(Arc<Plan>);

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, means: Means<'_>) -> Box<dyn MakeOperator> {
    let is_partial =
        settings.choice("mode", &["parser", "partial_message"]) == Some("partial_message");
    let names: Vec<_> = settings
        .all("multiline.parser")
        .iter()
        .flat_map(|(names, _)| value::comma_list(names))
        .collect();
    let key_content = settings.text("multiline.key_content");
    let patience = settings
        .integer_in("flush_ms", 0..=i64::from(u32::MAX))
        .map_or(PATIENCE, |millis| {
            Duration::from_millis(millis.unsigned_abs())
        });
    let buffer = settings.flag("buffer", true);
    settings.flag("debug_flush", false);
    settings.accept(&[
        "debug_flush",
        "emitter_name",
        "emitter_storage.type",
        "emitter_mem_buf_limit",
    ]);
    if is_partial && key_content.is_none() {
        settings.required("multiline.key_content");
    }
    let definitions = if is_partial {
        Vec::new()
    } else {
        definitions(settings, means, &names)
    };
    if !is_partial && buffer && patience < PATIENCE_MIN {
        settings.error("flush_ms", "is too short; write 500 or more");
    }
    let plan = Arc::new(Plan {
        definitions,
        key_content: key_content.map(String::into_bytes),
        patience,
        buffer,
        message_max: means.parsers.message_max(),
    });
    if is_partial {
        Box::new(ByParts(plan))
    } else {
        Box::new(ByParser(plan))
    }
}

fn definitions(
    settings: &mut Settings<'_>,
    means: Means<'_>,
    names: &[String],
) -> Vec<Arc<Definition>> {
    if names.is_empty() {
        settings.error(
            "multiline.parser",
            "missing or empty; filter `multiline` needs it",
        );
    }
    let mut definitions = Vec::new();
    for name in names {
        match means.parsers.multiline(name) {
            Some(definition) => definitions.push(definition),
            None => settings.error(
                "multiline.parser",
                format!("there is no multiline parser `{name}`"),
            ),
        }
    }
    definitions
}

impl MakeOperator for ByParser {
    fn operator(&self, _tag: &[u8]) -> Box<dyn Operator> {
        Box::new(Lines::new(Arc::clone(&self.0)))
    }
}

impl MakeOperator for ByParts {
    fn operator(&self, _tag: &[u8]) -> Box<dyn Operator> {
        Box::new(Partial::new(Arc::clone(&self.0)))
    }
}

#[cfg(test)]
mod tests;
