//! Checks of the code as text: who may know whom, what only one file may do, and what every plugin needs beside its code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a module may name. Data flows right, imports point down:
///
/// ```text
///               main · cli
///                   |
///               pipeline                          names every stage, joins them by channels
///   input   filter   router   buffer   output     siblings: none imports another
///                   |
///   accessor · forward · msgpack · parser · regex · template  formats, and net: the way to a peer
///                   |
///   budget · event · config · telemetry           the words all stages share
/// ```
const MAY_NAME: &[(&str, &[&str])] = &[
    ("cli", &["pipeline", "router", "config", "event"]),
    (
        "pipeline",
        &[
            "input",
            "filter",
            "router",
            "buffer",
            "output",
            "msgpack",
            "budget",
            "parser",
            "config",
            "event",
            "telemetry",
        ],
    ),
    (
        "input",
        &[
            "forward",
            "msgpack",
            "parser",
            "regex",
            "budget",
            "config",
            "event",
            "telemetry",
        ],
    ),
    (
        "filter",
        &[
            "accessor",
            "msgpack",
            "net",
            "parser",
            "regex",
            "config",
            "event",
            "telemetry",
            "template",
        ],
    ),
    ("router", &["regex", "config", "event"]),
    ("buffer", &["budget", "event", "telemetry"]),
    (
        "output",
        &[
            "accessor",
            "forward",
            "msgpack",
            "net",
            "parser",
            "config",
            "event",
            "telemetry",
            "template",
        ],
    ),
    ("template", &["accessor", "msgpack"]),
    ("accessor", &["msgpack"]),
    (
        "parser",
        &["msgpack", "regex", "config", "event", "telemetry"],
    ),
    ("forward", &["msgpack"]),
    ("msgpack", &[]),
    ("net", &["config"]),
    ("regex", &[]),
    ("budget", &[]),
    ("config", &[]),
    ("event", &[]),
    // The ledger counts dropped events under their reasons, which are a word of all stages.
    ("telemetry", &["event"]),
];

/// What tests may name besides: they write events as JSON to compare them, and read JSON to make them.
const TESTS_MAY_NAME: &[&str] = &["msgpack::json", "parser::json"];

/// The macros at the crate's root; each writes to the log.
const LOG_MACROS: &[&str] = &["error", "warning", "info", "debug"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file with its path from the root of the repository.
struct Text {
    path: String,
    text: String,
}

/// Every text file below a folder that belongs to the repository.
fn files(folder: &str) -> Vec<Text> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_foreign = [".git", "target", "node_modules", "__pycache__"].contains(&name);
            if is_foreign || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root()).unwrap().display().to_string();
                found.push(Text { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty());
    found
}

/// The sources of the library and of `sluice`; the bench is a program of its own.
fn sources() -> Vec<Text> {
    let mut sources = files("src");
    sources.retain(|source| {
        let is_rust = Path::new(&source.path)
            .extension()
            .is_some_and(|extension| extension == "rs");
        is_rust && !source.path.starts_with("src/bin/")
    });
    sources
}

impl Text {
    /// The module below the crate's root that a source belongs to: `input` for `src/input/tcp/mod.rs`.
    fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap();
        let first = below.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether the whole file is compiled for tests only.
    fn is_test(&self) -> bool {
        self.path
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs" | "testing.rs"))
    }

    /// How many `super::` lead to the crate's root from the code outside of `mod tests`.
    fn depth(&self) -> usize {
        let is_mod = self.path.ends_with("/mod.rs");
        self.path.split('/').count() - 1 - usize::from(is_mod)
    }

    /// The lines of code, and whether they belong to tests. A test module is the last item of its file.
    fn code(&self) -> Vec<Line<'_>> {
        let mut is_test = self.is_test();
        let mut lines = Vec::new();
        let mut before = "";
        for (at, text) in self.text.lines().enumerate() {
            is_test |= before == "#[cfg(test)]" && text.ends_with('{');
            before = text;
            if !text.trim_start().starts_with("//") {
                let number = at + 1;
                lines.push(Line {
                    number,
                    text,
                    is_test,
                });
            }
        }
        lines
    }
}

/// A line of code.
struct Line<'a> {
    number: usize,
    text: &'a str,
    is_test: bool,
}

impl Line<'_> {
    /// The paths behind each `crate::`, such as `config::Settings`.
    fn crate_paths(&self) -> impl Iterator<Item = &str> {
        self.text.split("crate::").skip(1).map(|path| {
            let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let end = path.find(|c| !is_path(c)).unwrap_or(path.len());
            &path[..end]
        })
    }

    /// The longest chain of `super::`.
    fn supers(&self) -> usize {
        let chain = |count: &usize| self.text.contains(&"super::".repeat(*count));
        (1..10).take_while(chain).count()
    }
}

/// Fails with all findings together.
fn report(findings: &[String]) {
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn modules_name_only_those_below_them() {
    let mut findings = Vec::new();
    for source in sources() {
        let module = source.module();
        if matches!(module, "main" | "lib") {
            continue;
        }
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            findings.push(format!(
                "{}: `{module}` has no row in MAY_NAME",
                source.path
            ));
            continue;
        };
        for line in source.code() {
            let place = format!("{}:{}", source.path, line.number);
            for path in line.crate_paths() {
                let first = path.split("::").next().unwrap();
                let named = if LOG_MACROS.contains(&first) {
                    "telemetry"
                } else {
                    first
                };
                let is_excused = line.is_test
                    && TESTS_MAY_NAME
                        .iter()
                        .any(|excused| path.starts_with(excused));
                if named != module && !allowed.contains(&named) && !is_excused {
                    findings.push(format!("{place}: {module} must not name {path}"));
                }
            }
            // Both would escape the check above.
            if line.text.contains("use crate::{") {
                findings.push(format!("{place}: name one module in each use"));
            }
            let is_inside = line.is_test && !source.is_test();
            if line.supers() >= source.depth() + usize::from(is_inside) {
                findings.push(format!(
                    "{place}: this leads out of {module}; write crate::"
                ));
            }
        }
    }
    report(&findings);
}

#[test]
fn the_table_names_only_modules_that_there_are_and_holds_no_circle() {
    let position = |module: &str| MAY_NAME.iter().position(|(name, _)| *name == module);
    for (module, allowed) in MAY_NAME {
        let exists = |path: String| root().join(path).exists();
        assert!(
            exists(format!("src/{module}.rs")) || exists(format!("src/{module}")),
            "{module}"
        );
        for named in *allowed {
            // The formats and words are sorted so that each names only what stands behind it, but for telemetry.
            let is_below = position(named).unwrap() > position(module).unwrap();
            assert!(
                is_below || *module == "telemetry" && *named == "event",
                "{module} names {named}"
            );
        }
    }
}

#[test]
fn only_one_file_reads_the_environment_and_nothing_blocks_a_thread() {
    const BANNED: &[(&str, &str, &str)] = &[
        (
            "env::var",
            "src/config/env.rs",
            "take variables from config::Variables",
        ),
        ("thread::sleep", "", "wait with tokio::time"),
        ("unbounded", "", "every queue is bounded"),
    ];
    let mut findings = Vec::new();
    for source in sources() {
        for line in source.code() {
            for (banned, exempt, instead) in BANNED {
                if line.text.contains(banned) && source.path != *exempt {
                    let place = format!("{}:{}", source.path, line.number);
                    findings.push(format!("{place}: {banned}; {instead}"));
                }
            }
        }
    }
    report(&findings);
}

/// The names in a registry such as `const FILTERS: &[(&str, Build)]`.
fn registry(file: &str, table: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let start = text.find(&format!("const {table}: ")).unwrap();
    let rows = &text[start..start + text[start..].find("];").unwrap()];
    let names = rows.split("(\"").skip(1).map(|row| {
        let (name, _) = row.split_once('"').unwrap();
        name.to_owned()
    });
    names.collect()
}

const REGISTRIES: &[(&str, &str)] = &[
    ("src/input/mod.rs", "INPUTS"),
    ("src/filter/mod.rs", "FILTERS"),
    ("src/filter/mod.rs", "OPERATORS"),
    ("src/output/mod.rs", "OUTPUTS"),
];

#[test]
fn registries_are_sorted_and_hold_something() {
    for (file, table) in REGISTRIES {
        let names = registry(file, table);
        assert!(!names.is_empty() && names.is_sorted(), "{file}: {names:?}");
    }
}

/// Whether a name stands in a line by itself, not as a part of another.
fn has_word(line: &str, name: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == name)
}

#[test]
fn every_plugin_is_described() {
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap_or_default();
    let (configuration, compatibility) =
        (read("docs/configuration.md"), read("docs/compatibility.md"));
    let mut findings = Vec::new();
    for (file, table) in REGISTRIES {
        for name in registry(file, table) {
            let is_heading = |line: &str| line.starts_with('#') && has_word(line, &name);
            if !configuration.lines().any(is_heading) {
                findings.push(format!("docs/configuration.md: no heading with {name}"));
            }
            if !compatibility.lines().any(|line| has_word(line, &name)) {
                findings.push(format!("docs/compatibility.md: no line about {name}"));
            }
        }
    }
    report(&findings);
}

#[test]
fn nothing_names_the_machine_it_was_made_on() {
    // Put together here, so that a search over the repository finds nothing. Then what would name the host of a registry.
    let mut banned = vec![["/wo", "rk/"].concat(), ["/ro", "ot/."].concat()];
    for setting in [
        "index-url",
        "[registries",
        "registry = \"http",
        "sparse+http",
    ] {
        banned.push(setting.to_owned());
    }
    let parent: PathBuf = root().parent().unwrap().into();
    if parent.components().count() > 1 {
        banned.push(format!("{}/", parent.display()));
    }
    let mut findings = Vec::new();
    for file in files("") {
        if file.path == "tests/tidy.rs" {
            continue;
        }
        for (at, line) in file.text.lines().enumerate() {
            for banned in &banned {
                if line.contains(banned.as_str()) {
                    findings.push(format!("{}:{}: {banned}", file.path, at + 1));
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn dependencies_come_from_the_public_index_alone() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut findings = String::new();
    for line in lock.lines().filter(|line| line.starts_with("source = ")) {
        if line != "source = \"registry+https://github.com/rust-lang/crates.io-index\"" {
            writeln!(findings, "Cargo.lock: {line}").unwrap();
        }
    }
    assert!(findings.is_empty(), "{findings}");
}
