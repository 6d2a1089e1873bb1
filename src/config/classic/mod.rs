//! The classic format: bytes to sections.
//!
//! ```text
//! # a comment, at any indentation
//! @SET NAME=value              holds for all files, wherever it stands
//! @INCLUDE other.conf          its sections come here; the section that is open goes on below
//! [SECTION]                    a beginning of the name is enough; what follows `]` does not count
//!     Key   the value # all of it
//! ```
//!
//! The first key of a file fixes the indentation of all keys in that file; twice the same is
//! accepted too. Key and value are parted by blanks or tabs, and nothing in a value is syntax but
//! `${NAME}`. More lenient than Fluent Bit: byte order mark, lines of blanks, comments at any
//! indentation, a tab after the key.
//!
//! Facts:
//! <https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/classic-mode/format-schema>

use std::sync::Arc;

use super::env::Variables;
use super::error::{Problems, shortened};
use super::include::{Include, Source};
use super::nearest::nearest;
use super::section::{Place, Property, Role, Section, SectionKind};

/// How deep files may include files: more than anyone needs, and an end for files that include
/// themselves.
const MAX_DEPTH: u32 = 100;

/// Reads a file and what it includes, without a disk: `includes` finds the other files.
///
/// `@SET` goes to `variables`, mistakes go to `problems`, and reading goes on after each.
pub fn load_classic(
    main: Source,
    role: Role,
    includes: &mut dyn Include,
    variables: &mut Variables,
    problems: &mut Problems,
) -> Vec<Section> {
    let mut reader = Reader {
        role,
        includes,
        variables,
        problems,
        files: Vec::new(),
        sections: Vec::new(),
    };
    reader.open(&[main], 0);
    reader.run();
    reader.sections
}

struct Reader<'a> {
    role: Role,
    includes: &'a mut dyn Include,
    variables: &'a mut Variables,
    problems: &'a mut Problems,
    /// The file being read and, below it, those that wait for its end.
    files: Vec<OpenFile>,
    sections: Vec<Section>,
}

/// A file and how far it is read.
struct OpenFile {
    source: Source,
    offset: usize,
    line: u32,
    /// By how many files it is included, one by another.
    depth: u32,
    /// What stands before the first key.
    indent: Option<String>,
    section: Current,
    /// An indented header has opened a group, to which the keys at twice the indentation belong.
    in_group: bool,
}

/// Where the keys of a file go at the moment.
#[derive(Clone, Copy)]
enum Current {
    /// No header yet.
    None,
    /// To the section of this index.
    Open(usize),
    /// Nowhere: the header was refused, and one message is enough.
    Refused,
}

impl OpenFile {
    fn new(source: Source, depth: u32) -> Self {
        let mark = "\u{feff}".as_bytes();
        let offset = if source.bytes.starts_with(mark) {
            mark.len()
        } else {
            0
        };
        Self {
            source,
            offset,
            line: 0,
            depth,
            indent: None,
            section: Current::None,
            in_group: false,
        }
    }

    /// The next line without its end, and its place.
    fn next_line(&mut self) -> Option<(Place, Vec<u8>)> {
        let rest = self
            .source
            .bytes
            .get(self.offset..)
            .filter(|rest| !rest.is_empty())?;
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or(rest);
        self.offset += line.len() + 1;
        self.line = self.line.saturating_add(1);
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        Some((Place::new(Arc::clone(&self.source.name), self.line), line))
    }
}

impl Reader<'_> {
    /// Puts files on top of those being read, the first one uppermost.
    fn open(&mut self, sources: &[Source], depth: u32) {
        for source in sources.iter().rev() {
            self.problems.source(source);
            if is_binary(&source.bytes) {
                let place = Place::new(Arc::clone(&source.name), 0);
                let message =
                    "is no text: it holds NUL bytes (UTF-16 is not read: save it as UTF-8)";
                self.problems.error(&place, None, message);
            } else {
                self.files.push(OpenFile::new(source.clone(), depth));
            }
        }
    }

    fn run(&mut self) {
        while let Some(file) = self.files.last_mut() {
            match file.next_line() {
                Some((place, line)) => self.line(&place, &line),
                None => drop(self.files.pop()),
            }
        }
    }

    fn line(&mut self, place: &Place, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let content = text.trim_ascii();
        if content.is_empty() || content.starts_with('#') {
            return;
        }
        let blanks = text.len() - text.trim_ascii_start().len();
        let place = &place.clone().at(u32::try_from(blanks + 1).unwrap_or(0));
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.problems.warning(
                place,
                None,
                "the line is not UTF-8: what cannot be read is replaced by U+FFFD",
            );
        }
        match text.as_bytes().first() {
            Some(b'[') => self.header(place, content),
            Some(b'@') => self.command(place, &text),
            Some(b' ' | b'\t') => self.indented(place, &text, content),
            _ => self.refuse(
                place,
                "a key stands in the first column: indent the keys of a section",
            ),
        }
    }

    fn refuse(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.error(place, None, message);
    }

    fn header(&mut self, place: &Place, content: &str) {
        let section = self.section(place, content);
        if let Some(file) = self.files.last_mut() {
            file.section = section;
            file.in_group = false;
        }
    }

    /// Opens the section of a header, if there is nothing against it.
    fn section(&mut self, place: &Place, content: &str) -> Current {
        let Some((name, _)) = content.get(1..).and_then(|rest| rest.split_once(']')) else {
            self.refuse(place, "the header has no `]`: write [NAME]");
            return Current::Refused;
        };
        let Some(kind) = SectionKind::from_header(name) else {
            let message = format!(
                "unknown section `[{}]`; {}",
                shortened(name),
                alternatives(name)
            );
            self.problems.lapse(place, None, message, "it is ignored");
            return Current::Refused;
        };
        if !self.role.takes(kind) {
            self.misplaced(place, kind);
            return Current::Refused;
        }
        self.sections.push(Section::new(kind, place.clone()));
        Current::Open(self.sections.len() - 1)
    }

    fn misplaced(&mut self, place: &Place, kind: SectionKind) {
        let header = kind.name().to_ascii_uppercase();
        if self.role == Role::Main && Role::Parsers.takes(kind) {
            let message = format!(
                "`[{header}]` belongs in a file of its own, which `Parsers_File` in [SERVICE] names"
            );
            self.refuse(place, message);
        } else {
            self.problems.warning(
                place,
                None,
                format!("`[{header}]` has no effect in this file (it is ignored)"),
            );
        }
    }

    fn command(&mut self, place: &Place, line: &str) {
        let Some((word, argument)) = line
            .split_once([' ', '\t'])
            .filter(|(_, argument)| !argument.trim_ascii().is_empty())
        else {
            let word = shortened(line.trim_ascii());
            self.refuse(
                place,
                format!("`{word}` says nothing: write `@INCLUDE file` or `@SET name=value`"),
            );
            return;
        };
        if word.eq_ignore_ascii_case("@INCLUDE") {
            self.include(place, argument.trim_ascii());
        } else if word.eq_ignore_ascii_case("@SET") {
            self.set(place, argument);
        } else {
            let nearest = nearest(word, ["@INCLUDE", "@SET"]).unwrap_or("@INCLUDE` or `@SET");
            let message = format!(
                "unknown command `{}`; did you mean `{nearest}`?",
                shortened(word)
            );
            self.problems
                .lapse(place, None, message, "the line is ignored");
        }
    }

    fn include(&mut self, place: &Place, argument: &str) {
        let depth = self.files.last().map_or(0, |file| file.depth + 1);
        if depth > MAX_DEPTH {
            let message = format!("files include files more than {MAX_DEPTH} deep");
            self.refuse(place, message);
            return;
        }
        match self.includes.include(argument) {
            Ok(sources) => self.open(&sources, depth),
            Err(error) => self.refuse(place, error.to_string()),
        }
    }

    /// Blanks around `=` are part of the name and the value, as in Fluent Bit.
    fn set(&mut self, place: &Place, argument: &str) {
        let Some((name, value)) = argument.split_once('=') else {
            self.refuse(place, "`@SET` has no `=`: write `@SET name=value`");
            return;
        };
        if self.role != Role::Main {
            self.problems.warning(
                place,
                None,
                "`@SET` has no effect in this file: move it to the main file",
            );
            return;
        }
        if name.trim_ascii() != name || value.trim_ascii_start() != value {
            self.problems.warning(
                place,
                None,
                "blanks beside `=` become part of the variable's name and value",
            );
        }
        self.variables.set(name, value);
    }

    fn indented(&mut self, place: &Place, line: &str, content: &str) {
        let indent = line
            .split(|character| !matches!(character, ' ' | '\t'))
            .next()
            .unwrap_or_default();
        if content.starts_with('[') {
            self.group(place, indent, content);
            return;
        }
        let (key, value) = content.split_once([' ', '\t']).unwrap_or((content, ""));
        let key = key.to_ascii_lowercase();
        let Some(file) = self.files.last_mut() else {
            return;
        };
        let expected = file.indent.get_or_insert_with(|| indent.to_owned());
        file.in_group &= indent != expected;
        if file.in_group {
            return;
        }
        if indent != expected && indent.strip_prefix(expected.as_str()) != Some(expected) {
            let message = format!(
                "the key must be indented like the first one of this file, by {}",
                blanks(expected)
            );
            self.problems.error(place, Some(&key), message);
        }
        let section = file.section;
        self.property(place, section, key, value.trim_ascii());
    }

    /// A group within a section. Fluent Bit reads it, and no plugin looks at it.
    fn group(&mut self, place: &Place, indent: &str, content: &str) {
        let Some(file) = self.files.last_mut() else {
            return;
        };
        file.indent.get_or_insert_with(|| indent.to_owned());
        file.in_group = true;
        if matches!(file.section, Current::None) {
            let message = "an indented header: put its `[` in the first column";
            self.refuse(place, message);
        } else if content.contains(']') {
            let message = "an indented header opens a group, which means nothing here: put its `[` in the first column to begin a section";
            let instead = "it is ignored with its keys, which are those indented twice";
            self.problems
                .lapse(place, None, message.to_owned(), instead);
        } else {
            self.refuse(place, "the header has no `]`: write [NAME]");
        }
    }

    fn property(&mut self, place: &Place, section: Current, key: String, value: &str) {
        if value.is_empty() {
            self.problems.error(
                place,
                Some(&key),
                "has no value: give it one or remove the line",
            );
        }
        match section {
            Current::None => {
                self.problems.error(
                    place,
                    Some(&key),
                    "stands before any section: put a header such as [SERVICE] above",
                );
            }
            Current::Open(index) => {
                if let Some(section) = self.sections.get_mut(index) {
                    section.properties.push(Property {
                        key,
                        value: value.to_owned(),
                        place: place.clone(),
                    });
                }
            }
            Current::Refused => {}
        }
    }
}

/// What an unknown section may have been meant to be.
fn alternatives(name: &str) -> String {
    match nearest(name, SectionKind::NAMES.map(|(name, _)| name)) {
        Some(known) => format!("did you mean `[{}]`?", known.to_ascii_uppercase()),
        None => "known are `[SERVICE]`, `[INPUT]`, `[FILTER]` and `[OUTPUT]`".to_owned(),
    }
}

/// Whether a file is something else than text, such as an archive or UTF-16. A NUL byte further
/// down is a byte like others.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    const HEAD: usize = 512;
    memchr::memchr(0, bytes.get(..HEAD).unwrap_or(bytes)).is_some()
}

/// An indentation in words.
fn blanks(indent: &str) -> String {
    let kind = match (indent.contains(' '), indent.contains('\t')) {
        (true, false) => "space",
        (false, true) => "tab",
        _ => return "the same tabs and spaces".to_owned(),
    };
    let plural = if indent.len() == 1 { "" } else { "s" };
    format!("{} {kind}{plural}", indent.len())
}

#[cfg(test)]
mod tests;
