//! Configuration as Fluent Bit users write it: files and variables in, [`Section`]s out, mistakes
//! named with their place.
//!
//! A configuration passes two forms. *As written*: a list of [`Section`]s, each a list of `key
//! value` properties with the file and line they came from, values still holding their
//! `${VARIABLES}`. *As meant*: [`Settings`], the typed questions a plugin asks a section, which
//! expand variables, read numbers and remember every key asked for, so that unknown keys are found
//! without a second list of names.
//!
//! | file | purpose |
//! |---|---|
//! | `section.rs` | the written form: [`Place`], [`Property`], [`Section`], [`Config`] |
//! | `classic/` | the classic format, bytes to sections, without touching a disk |
//! | `yaml/`, `node.rs` | the same for YAML, and its values that are maps: [`Node`] |
//! | `include.rs` | finds and reads the files that `@INCLUDE` and `Parsers_File` name |
//! | `env.rs` | [`Variables`], the only reader of the process environment |
//! | `settings.rs`, `finish.rs` | the meant form: [`Settings`], and what is wrong as a whole |
//! | `value.rs`, `words.rs` | sizes, times, switches, numbers; lists of words |
//! | `builtin.rs` | the shared objects that need no loading |
//! | `error.rs`, `report.rs` | [`Problems`], and how they are shown |
//! | `reading.rs` | what became of each key, for `sluice explain` |
//! | `nearest.rs`, `secret.rs` | "did you mean"; what is never shown |
//!
//! Promises:
//! - All mistakes of all files are reported together, each with file, line and column.
//! - What Fluent Bit overlooks (a misspelt section, a word for a number) does not stop the start: it
//!   is a *lapse*, a warning that `--dry-run` turns into an error. See [`Problems`].
//! - No message holds the value of a key that names a credential, nor what a variable holds unless
//!   it is a plugin's name.
//! - No bytes make the reader panic, and what it keeps is bounded: [`MAX_FILES`], [`MAX_BYTES`].

mod builtin;
mod classic;
mod env;
mod error;
mod finish;
mod include;
mod nearest;
mod node;
mod reading;
mod report;
mod secret;
mod section;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
pub mod value;
mod words;
mod yaml;

use std::path::{Path, PathBuf};

pub use builtin::built_in;
pub use classic::load_classic;
pub use env::{Expanded, Variables};
pub use error::{Problem, Problems, Severity};
pub use include::{Include, IncludeError, MAX_BYTES, MAX_FILES, Source};
pub use nearest::nearest;
pub use node::{Entry, Node};
pub use reading::{Effect, Given, Reading};
pub use secret::is_secret;
pub use section::{Config, Place, Property, Role, Section, SectionKind};
pub use settings::Settings;
pub use yaml::load_yaml;

use include::Files;

/// The Fluent Bit whose configuration is read and whose place this router takes, where something looks for its features.
pub const FLUENT_BIT_VERSION: &str = "5.1.1";

/// Reads the main configuration file and all it includes; mistakes go to `problems`, what could be
/// read is returned.
///
/// `variables` grow by the `@SET` commands and the `env` of all files. The result is of use only
/// when `problems` holds no error.
pub fn load(path: &Path, mut variables: Variables, problems: &mut Problems) -> Config {
    let directory = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let mut files = Files::new(&directory);
    let sections = match files.open(path) {
        Ok(main) => load_source(main, Role::Main, &mut files, &mut variables, problems),
        Err(error) => {
            problems.error(&Place::command_line(), None, error.to_string());
            Vec::new()
        }
    };
    Config {
        sections,
        variables,
        directory,
    }
}

/// Reads a file that a property names, such as `Parsers_File`: relative to the working folder, else
/// to `directory`.
///
/// `named_at` is where the name stands, for the message when the file is missing. `@SET` has no
/// effect in such a file, as in Fluent Bit; `@INCLUDE` has.
pub fn load_named(
    name: &str,
    named_at: &Property,
    directory: &Path,
    role: Role,
    problems: &mut Problems,
) -> Vec<Section> {
    let mut files = Files::new(directory);
    match files.open_named(name) {
        Ok(file) => load_source(file, role, &mut files, &mut Variables::default(), problems),
        Err(error) => {
            problems.error(&named_at.place, Some(&named_at.key), error.to_string());
            Vec::new()
        }
    }
}

/// The sections of each `Parsers_File` of `[SERVICE]` and each `-R` of `flags`; what YAML has in the
/// main file is among the sections of `config`.
pub fn load_parsers(config: &Config, flags: &[Property], problems: &mut Problems) -> Vec<Section> {
    let mut parsers = Vec::new();
    for property in config.service(flags).properties {
        if property.key == "parsers_file" {
            let name = config.variables.expand(&property.value).text;
            let directory = &config.directory;
            parsers.extend(load_named(
                &name,
                &property,
                directory,
                Role::Parsers,
                problems,
            ));
        }
    }
    parsers
}

/// Reads a file in the format that its name says, and what it includes, without a disk: `includes`
/// finds the other files.
pub fn load_source(
    main: Source,
    role: Role,
    includes: &mut dyn Include,
    variables: &mut Variables,
    problems: &mut Problems,
) -> Vec<Section> {
    if is_yaml(Path::new(&*main.name)) {
        load_yaml(&main, role, includes, variables, problems)
    } else {
        load_classic(main, role, includes, variables, problems)
    }
}

/// Tells YAML by the file's suffix, as Fluent Bit does.
fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|suffix| suffix == "yaml" || suffix == "yml")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(path: &Path) -> (Config, String) {
        let mut problems = Problems::default();
        let config = load(
            path,
            Variables::from_pairs([("B", "from-env")]),
            &mut problems,
        );
        (config, problems.to_string())
    }

    #[test]
    fn a_configuration_is_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.conf");
        fs::write(&main, "@SET A=1\n[SERVICE]\n Flush 30\n@INCLUDE s.conf\n").unwrap();
        fs::write(
            folder.path().join("s.conf"),
            "[SERVICE]\n Flush 0.2\n@SET B=bb\n",
        )
        .unwrap();
        let (config, said) = read(&main);
        assert_eq!(said, "");
        assert_eq!(config.directory, folder.path());
        assert_eq!(
            (config.variables.get("A"), config.variables.get("B")),
            (Some("1"), Some("bb"))
        );
        let flag = Property {
            key: "flush".to_owned(),
            value: "5".to_owned(),
            place: Place::command_line(),
        };
        let service = config.service(&[flag]);
        let values: Vec<&str> = service
            .properties
            .iter()
            .map(|property| property.value.as_str())
            .collect();
        assert_eq!(values, ["5", "30", "0.2"]);
        assert_eq!(service.place.line, 2);
    }

    #[test]
    fn a_main_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, words) in [
            ("absent.conf", "absent.conf`: No such file"),
            ("", "is a folder"),
            ("absent.yaml", "absent.yaml`: No such file"),
        ] {
            let (config, said) = read(&folder.path().join(name));
            assert!(config.sections.is_empty());
            assert!(
                said.starts_with("error: command line: ") && said.contains(words),
                "{said}"
            );
        }
    }

    /// Checklist: engine 23; firelens 19
    #[test]
    fn a_parsers_file_is_found_beside_the_main_file_or_its_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("p.conf"), "[PARSER]\n Name p\n").unwrap();
        let named_at = Property {
            key: "parsers_file".to_owned(),
            value: "p.conf".to_owned(),
            place: Place::command_line(),
        };
        let mut problems = Problems::default();
        let sections = load_named(
            "p.conf",
            &named_at,
            folder.path(),
            Role::Parsers,
            &mut problems,
        );
        assert_eq!((sections.len(), problems.has_errors()), (1, false));
        load_named(
            "absent.conf",
            &named_at,
            folder.path(),
            Role::Parsers,
            &mut problems,
        );
        assert!(
            problems
                .to_string()
                .starts_with("error: command line: key `parsers_file`: cannot read `")
        );
    }
}
