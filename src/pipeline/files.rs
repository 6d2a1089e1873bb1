//! What `[PLUGINS]`, `Plugins_File` and `Streams_File` ask for: shared objects and SQL, neither of
//! which Sluice runs. Those of AWS's Go plugins are built in.

use std::path::Path;

use crate::config::{
    Config, Problems, Property, Role, Section, SectionKind, Settings, built_in, load_named,
};

/// Reads the files and the sections, and says what will not be done.
pub(super) fn check(config: &Config, service: &Section, problems: &mut Problems) {
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
            SectionKind::StreamTask => task(section, config, problems),
            SectionKind::Custom => custom(section, config, problems),
            _ => {}
        }
    }
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

fn task(section: &Section, config: &Config, problems: &mut Problems) {
    let mut settings = Settings::new(section, &config.variables, problems);
    let exec = settings.required("exec");
    if exec.is_some() {
        let message =
            "there is no stream processor; a rewrite_tag filter copies records to another tag";
        settings.lapse("exec", message, "the task does nothing");
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

    fn said(text: &str) -> String {
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
        check(&config, &config.service(&[]), &mut problems);
        let folder = format!("{}/", folder.path().display());
        problems.to_string().replace(&folder, "")
    }

    #[test]
    fn shared_objects_are_refused_but_for_those_built_in() {
        let said = said(
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
    fn stream_tasks_are_named_one_by_one() {
        let said = said("[SERVICE]\n  Streams_File streams.conf\n  Streams_File absent.conf\n");
        assert!(
            said.contains("warning: streams.conf:3:3: key `exec`: there is no stream processor"),
            "{said}"
        );
        assert!(
            said.contains("error: streams.conf:4:1: key `exec`: missing"),
            "{said}"
        );
        assert!(
            said.contains("warning: main.conf:3:3: key `streams_file`: cannot read `absent.conf`"),
            "{said}"
        );
    }

    #[test]
    fn custom_plugins_are_refused() {
        let said = said("[CUSTOM]\n  Name calyptia\n");
        assert_eq!(
            said,
            "error: main.conf:1:1: key `name`: no custom plugin `calyptia`; there are none: remove the section\n"
        );
    }
}
