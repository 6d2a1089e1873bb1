//! The YAML format: bytes to the same sections as the classic format.
//!
//! ```text
//! service: {flush: 1}                    [SERVICE]
//! env: {REGION: eu-west-1}               @SET
//! includes: [other.yaml]                 @INCLUDE, from the folder of the file that includes
//! pipeline:
//!   inputs:
//!     - name: dummy                      [INPUT]
//!       record: [a 1, b 2]               a list repeats the key
//!       processors: {logs: [..]}         a map stays nested
//!   filters: [..]                        [FILTER]
//!   outputs: [..]                        [OUTPUT]
//! parsers: [..]                          [PARSER], here in the main file too
//! multiline_parsers: [..]                [MULTILINE_PARSER], each of `rules` a Rule
//! upstream_servers: [..]                 [UPSTREAM], each of `nodes` a [NODE]
//! stream_processor, plugins, customs
//! ```
//!
//! `tree.rs` reads YAML as such, `document.rs` knows the keys. What Fluent Bit overlooks is a lapse
//! here as well: an unknown key at the top, a map where it knows none.
//!
//! Facts: <https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/yaml>

mod document;
mod tree;

use super::classic::is_binary;
use super::env::Variables;
use super::error::Problems;
use super::include::{Include, Source};
use super::node::{Entry, Node};
use super::section::{Place, Role, Section};
use document::Document;

/// How deep files may include files: an end for files that include themselves.
const MAX_DEPTH: u32 = 100;

/// Reads a file and what it includes, without a disk: `includes` finds the other files.
///
/// `env` goes to `variables`, mistakes go to `problems`, and reading goes on after each.
pub fn load_yaml(
    main: &Source,
    role: Role,
    includes: &mut dyn Include,
    variables: &mut Variables,
    problems: &mut Problems,
) -> Vec<Section> {
    let mut reader = Reader {
        includes,
        document: Document {
            role,
            variables,
            problems,
            sections: Vec::new(),
            service: None,
        },
        waiting: Vec::new(),
    };
    reader.open(main, 0);
    reader.run();
    reader.document.sections
}

struct Reader<'a> {
    includes: &'a mut dyn Include,
    document: Document<'a>,
    /// The top-level entries still to be read, the next one last, each with the depth of its file:
    /// what a file includes comes where it is named.
    waiting: Vec<(Entry, u32)>,
}

impl Reader<'_> {
    fn run(&mut self) {
        while let Some((entry, depth)) = self.waiting.pop() {
            if entry.key == "includes" {
                self.include(&entry, depth + 1);
            } else {
                self.document.entry(entry, &mut *self.includes);
            }
        }
    }

    /// Puts the entries of a file before those that wait.
    fn open(&mut self, source: &Source, depth: u32) {
        let problems = &mut *self.document.problems;
        problems.source(source);
        let place = Place::new(source.name.clone(), 0);
        if is_binary(&source.bytes) {
            let message = "is no text: it holds NUL bytes (UTF-16 is not read: save it as UTF-8)";
            problems.error(&place, None, message);
            return;
        }
        if is_classic(source) {
            let message = "is in the classic format, and a YAML file can include YAML only";
            problems.error(&place, None, message);
            return;
        }
        let mut entries = Vec::new();
        for document in tree::documents(source, problems) {
            match document {
                Node::Map(map, _) => entries.extend(map),
                // A document without content.
                Node::Text(text, _) if text.is_empty() => {}
                other => {
                    let message = format!(
                        "the file is {}: write a map of `service`, `pipeline` and others",
                        other.shape()
                    );
                    problems.error(other.place(), None, message);
                }
            }
        }
        let waiting = entries.into_iter().rev().map(|entry| (entry, depth));
        self.waiting.extend(waiting);
    }

    fn include(&mut self, entry: &Entry, depth: u32) {
        if depth > MAX_DEPTH {
            let message = format!("files include files more than {MAX_DEPTH} deep");
            self.document.problems.error(&entry.place, None, message);
            return;
        }
        // The last one is opened first, so that its entries wait below those of the others.
        for item in entry.value.items().iter().rev() {
            let Some(argument) = item.text().filter(|text| !text.is_empty()) else {
                let message = format!("needs file names, not {}", item.shape());
                let key = Some(entry.key.as_str());
                self.document.problems.error(item.place(), key, message);
                continue;
            };
            match self.includes.include_beside(&item.place().file, argument) {
                Ok(sources) => {
                    for source in sources.iter().rev() {
                        self.open(source, depth);
                    }
                }
                Err(error) => {
                    let key = Some(entry.key.as_str());
                    let message = error.to_string();
                    self.document.problems.error(item.place(), key, message);
                }
            }
        }
    }
}

/// Whether the first line that says something is a header or a command of the classic format.
fn is_classic(source: &Source) -> bool {
    let yaml = [".yaml", ".yml"]
        .iter()
        .any(|end| source.name.ends_with(end));
    let lines = source.bytes.split(|&byte| byte == b'\n');
    let mut said = lines
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    !yaml
        && said
            .next()
            .is_some_and(|line| line.starts_with(b"[") || line.starts_with(b"@"))
}

#[cfg(test)]
mod tests;
