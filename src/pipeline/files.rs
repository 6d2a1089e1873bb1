//! What `[PLUGINS]`, `Plugins_File` and `Streams_File` name: shared objects, of which those of AWS's Go plugins are built in and no
//! other runs, and tasks of the stream processor (`streams.rs`).

use std::path::Path;

use crate::config::{
    Config, Problems, Property, Role, Section, SectionKind, Settings, built_in, load_named,
};

/// Reads the files and the sections, says what will not be done, and answers with the tasks of the files.
pub(super) fn check(config: &Config, service: &Section, problems: &mut Problems) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for property in &service.properties {
        let role = match property.key.as_str() {
            "plugins_file" => Role::Plugins,
            "streams_file" => Role::Streams,
            _ => continue,
        };
        sections.extend(named(config, property, role, problems));
    }
    for section in config.sections.iter().chain(&sections) {
        match section.kind {
            SectionKind::Plugins => plugins(section, config, problems),
            SectionKind::Custom => custom(section, config, problems),
            _ => {}
        }
    }
    sections.retain(|section| section.kind == SectionKind::StreamTask);
    sections
}

fn named(
    config: &Config,
    property: &Property,
    role: Role,
    problems: &mut Problems,
) -> Vec<Section> {
    let name = config.variables.expand(&property.value).text;
    let is_there = Path::new(&name).exists() || config.directory.join(&name).exists();
    if role == Role::Streams && !is_there {
        // Fluent Bit logs that it is missing and goes on.
        let message = format!("cannot read `{name}`: there is no such file");
        let key = Some(property.key.as_str());
        problems.lapse(&property.place, key, message, "nothing of it is done");
        return Vec::new();
    }
    load_named(&name, property, &config.directory, role, problems)
}

fn plugins(section: &Section, config: &Config, problems: &mut Problems) {
    let mut settings = Settings::new(section, &config.variables, problems);
    for (path, place) in settings.all("path") {
        if built_in(Path::new(&path)).is_none() {
            let message = format!(
                "`{path}` cannot be loaded: there is no plugin ABI, only cloudwatch.so, firehose.so and kinesis.so are built in"
            );
            settings.error_at(&place, "path", message);
        }
    }
    settings.finish();
}

fn custom(section: &Section, config: &Config, problems: &mut Problems) {
    let name = Settings::new(section, &config.variables, problems)
        .name()
        .to_owned();
    if !name.is_empty() {
        let message = format!("no custom plugin `{name}`; there are none: remove the section");
        problems.error(&section.place, Some("name"), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    /// What is said, and how many tasks there are.
    fn read(text: &str) -> (String, usize) {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.conf");
        std::fs::write(&main, text).unwrap();
        std::fs::write(
            folder.path().join("streams.conf"),
            "[STREAM_TASK]\n  Name a\n  Exec SELECT * FROM TAG:'x';\n[STREAM_TASK]\n  Name b\n",
        )
        .unwrap();
        std::fs::write(
            folder.path().join("plugins.conf"),
            "[PLUGINS]\n  Path /fluent-bit/kinesis.so\n  Path /x/other.so\n",
        )
        .unwrap();
        let mut problems = Problems::default();
        let config = crate::config::load(&main, Variables::default(), &mut problems);
        let tasks = check(&config, &config.service(&[]), &mut problems);
        let folder = format!("{}/", folder.path().display());
        (problems.to_string().replace(&folder, ""), tasks.len())
    }

    #[test]
    fn shared_objects_are_refused_but_for_those_built_in() {
        let (said, _) = read(
            "[SERVICE]\n  Plugins_File plugins.conf\n[PLUGINS]\n  Path /a/firehose.so\n  Path b.so\n",
        );
        assert!(
            said.contains("error: main.conf:5:3: key `path`: `b.so` cannot be loaded"),
            "{said}"
        );
        assert!(
            said.contains("error: plugins.conf:3:3: key `path`: `/x/other.so`"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    #[test]
    fn tasks_are_read_and_a_file_that_is_missing_is_a_lapse() {
        let (said, tasks) =
            read("[SERVICE]\n  Streams_File streams.conf\n  Streams_File absent.conf\n");
        assert_eq!(tasks, 2);
        assert!(
            said.starts_with(
                "warning: main.conf:3:3: key `streams_file`: cannot read `absent.conf`"
            ),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }

    #[test]
    fn custom_plugins_are_refused() {
        let (said, _) = read("[CUSTOM]\n  Name calyptia\n");
        assert_eq!(
            said,
            "error: main.conf:1:1: key `name`: no custom plugin `calyptia`; there are none: remove the section\n"
        );
    }
}
