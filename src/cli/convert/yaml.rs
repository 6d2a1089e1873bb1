//! Sections as a YAML file.

use std::fmt::Write as _;

use super::variables;
use crate::config::{Config, Property, Section, SectionKind};

/// The lists of the pipeline, with the kind of their items.
const PIPELINE: [(SectionKind, &str); 4] = [
    (SectionKind::Custom, "customs"),
    (SectionKind::Input, "inputs"),
    (SectionKind::Filter, "filters"),
    (SectionKind::Output, "outputs"),
];

/// Writes the sections: all of `[SERVICE]` as one, then the plugins, each kind in its order.
pub(super) fn write(config: &Config) -> String {
    let mut text = String::new();
    let pairs = variables(config);
    if !pairs.is_empty() {
        text.push_str("env:\n");
    }
    for (name, value) in pairs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}: {}", scalar(name), scalar(value));
    }
    let service = config.service(&[]);
    if !service.properties.is_empty() {
        text.push_str("service:\n");
        entries(&mut text, &last_of_each(&service.properties), "  ");
    }
    let plugins: Vec<&Property> = properties_of(config, SectionKind::Plugins);
    if !plugins.is_empty() {
        text.push_str("plugins:\n");
    }
    for path in plugins {
        let _ = writeln!(text, "  - {}", scalar(&path.value));
    }
    pipeline(&mut text, config);
    text
}

fn properties_of(config: &Config, kind: SectionKind) -> Vec<&Property> {
    let sections = config
        .sections
        .iter()
        .filter(|section| section.kind == kind);
    sections.flat_map(|section| &section.properties).collect()
}

fn pipeline(text: &mut String, config: &Config) {
    let mut is_begun = false;
    for (kind, list) in PIPELINE {
        let sections: Vec<&Section> = config
            .sections
            .iter()
            .filter(|section| section.kind == kind)
            .collect();
        if sections.is_empty() {
            continue;
        }
        if !is_begun {
            text.push_str("pipeline:\n");
            is_begun = true;
        }
        let _ = writeln!(text, "  {list}:");
        for section in sections {
            item(text, &section.properties);
        }
    }
}

/// An item of a list, its first line behind the dash.
fn item(text: &mut String, properties: &[Property]) {
    if properties.is_empty() {
        text.push_str("    - {}\n");
        return;
    }
    let start = text.len();
    let all: Vec<&Property> = properties.iter().collect();
    entries(text, &all, "      ");
    text.replace_range(start..start + 6, "    - ");
}

/// Entries of a map; a key that stands there several times is written once, with a list.
fn entries(text: &mut String, properties: &[&Property], indent: &str) {
    let mut written: Vec<&str> = Vec::new();
    for property in properties {
        let key = property.key.as_str();
        if written.contains(&key) {
            continue;
        }
        written.push(key);
        let same = properties.iter().filter(|other| other.key == key);
        let values: Vec<&str> = same.map(|property| property.value.as_str()).collect();
        let _ = write!(text, "{indent}{}:", scalar(key));
        if let [value] = values.as_slice() {
            let _ = writeln!(text, " {}", scalar(value));
            continue;
        }
        text.push('\n');
        for value in values {
            let _ = writeln!(text, "{indent}  - {}", scalar(value));
        }
    }
}

/// `[SERVICE]` takes one value for each key, the last one, but for the files it may name.
fn last_of_each(properties: &[Property]) -> Vec<&Property> {
    let is_last = |index: usize, property: &Property| {
        let mut later = properties.iter().skip(index + 1);
        property.key.ends_with("_file") && property.key != "log_file"
            || later.all(|other| other.key != property.key)
    };
    let kept = properties
        .iter()
        .enumerate()
        .filter(|(index, property)| is_last(*index, property));
    kept.map(|(_, property)| property).collect()
}

/// A text that YAML reads as exactly this text.
fn scalar(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "_./-+ ".contains(character);
    let starts_plain = text
        .starts_with(|first: char| first.is_ascii_alphanumeric() || first == '/' || first == '_');
    if starts_plain && text.chars().all(is_plain) && text.trim_ascii() == text {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) {
        // A text of JSON is a scalar of YAML.
        return serde_json::Value::from(text).to_string();
    }
    format!("'{}'", text.replace('\'', "''"))
}
