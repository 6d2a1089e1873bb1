//! Whether a section of a new configuration is the one that runs: then a reload leaves its plugin alone.

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::config::{Config, Section};

/// Keys of `[SERVICE]` that no plugin is made from, or that a reload applies by itself.
const NOT_OF_PLUGINS: &[&str] = &[
    "daemon",
    "flush",
    "grace",
    "health_check",
    "hc_errors_count",
    "hc_period",
    "hc_retry_failure_count",
    "hot_reload",
    "http_listen",
    "http_port",
    "http_server",
    "log_file",
    "log_level",
    "parsers_file",
    "scheduler.base",
    "scheduler.cap",
    "storage.metrics",
];

/// Everything a plugin is made from, as text: its settings with their variables expanded, what it takes from `[SERVICE]`, and the
/// state of the files that it names.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity(Vec<String>);

impl Identity {
    /// Of an input.
    pub(super) fn of_input(section: &Section, config: &Config) -> Self {
        let mut identity = Self::of_section(section, config);
        let reads_parsers = |key: &str| key.contains("parser");
        let reads_parsers = section
            .properties
            .iter()
            .any(|property| reads_parsers(&property.key));
        for property in &config.service(&[]).properties {
            let value = config.variables.expand(&property.value).text;
            if property.key == "parsers_file" && reads_parsers {
                identity.0.push(state_of(&value));
                let beside = config.directory.join(&value);
                identity.0.push(state_of(&beside.display().to_string()));
            }
            if !NOT_OF_PLUGINS.contains(&property.key.as_str()) || reads_parsers {
                identity.0.push(format!("{} {value}", property.key));
            }
        }
        identity
    }

    /// Of an output, which takes `service` from `[SERVICE]`.
    pub(super) fn of_output(section: &Section, config: &Config, service: impl Debug) -> Self {
        let mut identity = Self::of_section(section, config);
        identity.0.push(format!("{service:?}"));
        identity
    }

    fn of_section(section: &Section, config: &Config) -> Self {
        let mut parts = Vec::new();
        for property in &section.properties {
            let value = config.variables.expand(&property.value).text;
            let key = property.key.as_str();
            // A renewed certificate is a change, although the configuration is the same.
            if key.ends_with("_file") || matches!(key, "script" | "upstream") {
                parts.push(state_of(&value));
            }
            parts.push(format!("{key} {value}"));
        }
        Self(parts)
    }
}

/// What tells whether a file was written or replaced since.
fn state_of(path: &str) -> String {
    fs::metadata(path).map_or_else(
        |_| String::new(),
        |file| {
            let (seconds, nanos) = (file.mtime(), file.mtime_nsec());
            format!("{} {} {seconds}.{nanos}", file.ino(), file.len())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Problems, SectionKind, Variables};

    fn identity(folder: &std::path::Path, text: &str, kind: SectionKind) -> Identity {
        let file = folder.join("main.conf");
        fs::write(&file, text).unwrap();
        let variables = Variables::from_pairs([("PORT", "1")]);
        let config = config::load(&file, variables, &mut Problems::default());
        let section = config.sections.iter().find(|section| section.kind == kind);
        match kind {
            SectionKind::Input => Identity::of_input(section.unwrap(), &config),
            _ => Identity::of_output(section.unwrap(), &config, ()),
        }
    }

    #[test]
    fn an_input_is_the_same_until_something_it_is_made_from_changes() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| identity(folder.path(), text, SectionKind::Input);
        let first = of("[INPUT]\n Name tcp\n Port ${PORT}\n[OUTPUT]\n Name null\n");
        let same =
            "# moved\n[SERVICE]\n Flush 3\n[OUTPUT]\n Name stdout\n[INPUT]\n Name tcp\n Port 1\n";
        assert!(first == of(same));
        assert!(first != of("@SET PORT=2\n[INPUT]\n Name tcp\n Port ${PORT}\n"));
        assert!(
            first != of("[SERVICE]\n multiline_buffer_limit 1M\n[INPUT]\n Name tcp\n Port 1\n")
        );
    }

    #[test]
    fn a_file_that_was_replaced_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = folder.path().join("ca.pem");
        fs::write(&certificate, "one").unwrap();
        let text = format!(
            "[OUTPUT]\n Name http\n tls.ca_file {}\n",
            certificate.display()
        );
        let of = || identity(folder.path(), &text, SectionKind::Output);
        let first = of();
        assert!(first == of());
        fs::write(&certificate, "another").unwrap();
        assert!(first != of());
    }
}
