//! Sections as a classic file.

use std::fmt::Write as _;

use super::variables;
use crate::config::{Config, Place, Problems, Property, Section, SectionKind};

/// Writes the sections in their order; what the format cannot say goes to `problems`.
pub(super) fn write(config: &Config, problems: &mut Problems) -> String {
    let mut text = String::new();
    for (name, value) in variables(config) {
        if value.contains('\n') || config.variables.is_from_file(name) {
            let message = format!(
                "the classic format cannot say what the variable `{name}` is: a file, or several lines"
            );
            problems.error(&Place::command_line(), None, message);
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "@SET {name}={value}");
    }
    for section in &config.sections {
        if !text.is_empty() {
            text.push('\n');
        }
        write_section(&mut text, section, problems);
    }
    text
}

fn write_section(text: &mut String, section: &Section, problems: &mut Problems) {
    let header = section.kind.name().to_ascii_uppercase();
    if !can_stand_in_main(section.kind) {
        let message = format!(
            "`[{header}]` cannot stand in a classic main file: keep it in a file of its own, which a key of [SERVICE] or of the output names"
        );
        problems.error(&section.place, None, message);
    }
    let _ = writeln!(text, "[{header}]");
    for property in &section.properties {
        write_property(text, property, problems);
    }
    for entry in &section.nested {
        let message = format!(
            "{} cannot be said in the classic format",
            entry.value.shape()
        );
        problems.error(&entry.place, Some(&entry.key), message);
    }
}

fn write_property(text: &mut String, property: &Property, problems: &mut Problems) {
    let Property { key, value, place } = property;
    if value.contains(['\n', '\r']) || key.contains([' ', '\t', '\n']) || key.is_empty() {
        let message = "several lines, or a key with blanks, cannot be said in the classic format";
        problems.error(place, Some(key), message);
    } else if value.is_empty() {
        problems.warning(place, Some(key), "has no value and is left out");
    } else {
        let _ = writeln!(text, "    {key:<16} {value}");
    }
}

fn can_stand_in_main(kind: SectionKind) -> bool {
    use SectionKind as Kind;
    matches!(
        kind,
        Kind::Service | Kind::Input | Kind::Filter | Kind::Output | Kind::Custom | Kind::Plugins
    )
}
