//! What AWS's Go plugins do otherwise than the C ones: switches, the shape of records, templates.
//!
//! | file | purpose |
//! |---|---|
//! | `json.rs` | a record as Go's JSON |
//! | `record.rs` | which part of a record is sent, and how: `data_keys`, `replace_dots`, `log_key`, `time_key` |
//! | `template.rs` | names with `$(key)` in them |

mod json;
mod record;
mod template;

pub(super) use self::record::Record;
pub(super) use self::template::{TASK_VARIABLES, Template};

use crate::config::Settings;

/// A switch as the Go plugins read it: `true` or `false`; any other word leaves the default.
pub(super) fn flag(settings: &mut Settings<'_>, key: &'static str, default: bool) -> bool {
    let Some(text) = settings.text(key) else {
        return default;
    };
    match text.to_ascii_lowercase().as_str() {
        "true" => true,
        "false" => false,
        _ => {
            let state = if default { "true" } else { "false" };
            settings.warning(
                key,
                format!("this plugin knows only true and false; it is {state}"),
            );
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    #[test]
    fn only_true_and_false_are_switches() {
        for (word, default, expected, warnings) in [
            ("TRUE", false, true, 0),
            ("false", true, false, 0),
            ("on", false, false, 1),
            ("off", true, true, 1),
        ] {
            let (read, problems) = configured(&[("append_newline", word)], |settings| {
                flag(settings, "append_newline", default)
            });
            assert_eq!((read, problems.len()), (expected, warnings), "{word}");
        }
    }
}
