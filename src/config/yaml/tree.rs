//! Events of the YAML parser to [`Node`]s, within limits.
//!
//! Scalars are texts whatever their style: Fluent Bit knows no other kind. Aliases are refused, as
//! in Fluent Bit; so nothing in a file can be larger than the file.

use std::sync::Arc;

use granit_parser::{Event, Parser, Span};

use crate::config::error::Problems;
use crate::config::include::Source;
use crate::config::node::{Entry, Node};
use crate::config::section::Place;

/// How deep maps and lists may lie in one another; no key of Fluent Bit needs ten.
const MAX_DEPTH: usize = 64;

/// How many values a file may have.
const MAX_NODES: usize = 200_000;

/// The documents of a file. Mistakes go to `problems`; a file that is no YAML has no documents.
pub(super) fn documents(source: &Source, problems: &mut Problems) -> Vec<Node> {
    let file = Place::new(Arc::clone(&source.name), 0);
    let Ok(text) = std::str::from_utf8(&source.bytes) else {
        let valid = source.bytes.utf8_chunks().next();
        let lines = valid.map_or(0, |chunk| chunk.valid().matches('\n').count());
        let line = u32::try_from(lines + 1).unwrap_or(0);
        problems.error(
            &Place { line, ..file },
            None,
            "is not UTF-8, which YAML has to be",
        );
        return Vec::new();
    };
    let mut builder = Builder {
        file,
        problems,
        open: Vec::new(),
        documents: Vec::new(),
        nodes: 0,
    };
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        emit_unresolved_aliases: true,
        // As libyaml, which Fluent Bit reads with.
        block_scalar_eof_without_line_feed: true,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    loop {
        match parser.next_event() {
            None => return builder.documents,
            Some(Ok((event, span))) => {
                if builder.event(event, &span).is_none() {
                    return Vec::new();
                }
            }
            Some(Err(error)) => {
                let place = builder.place(error.marker().line(), error.marker().col());
                let message = format!("is no YAML: {}", error.info());
                builder.problems.error(&place, None, message);
                return Vec::new();
            }
        }
    }
}

struct Builder<'a> {
    file: Place,
    problems: &'a mut Problems,
    /// The collections that have begun, the innermost last.
    open: Vec<Open>,
    documents: Vec<Node>,
    nodes: usize,
}

/// A collection that is not complete.
enum Open {
    List(Vec<Node>, Place),
    Map {
        entries: Vec<Entry>,
        /// A key that waits for its value.
        key: Option<(String, Place)>,
        place: Place,
    },
}

impl Builder<'_> {
    /// Takes an event; nothing when the file must not be read further.
    fn event(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let place = self.place(span.start.line(), span.start.col());
        match event {
            // The parser says `~` where nothing is written.
            Event::Scalar(..) if span.start == span.end => {
                self.node(Node::Text(String::new(), place))
            }
            Event::Scalar(text, ..) => self.node(Node::Text(text.trim_ascii().to_owned(), place)),
            Event::SequenceStart(..) => {
                self.open.push(Open::List(Vec::new(), place));
                Some(())
            }
            Event::MappingStart(..) => {
                self.open.push(Open::Map {
                    entries: Vec::new(),
                    key: None,
                    place,
                });
                Some(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop()? {
                Open::List(items, place) => self.node(Node::List(items, place)),
                Open::Map { entries, place, .. } => self.node(Node::Map(entries, place)),
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let message = "aliases (`*name`) are not read, by Fluent Bit neither: write out what it stands for";
                self.problems.error(&place, None, message);
                self.node(Node::Text(String::new(), place))
            }
            _ => Some(()),
        }
    }

    /// Puts a complete value where it belongs.
    fn node(&mut self, node: Node) -> Option<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values");
            self.problems.error(node.place(), None, message);
            return None;
        }
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List(items, _)) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match (key.take(), node) {
                (Some((written, place)), value) => entries.push(Entry {
                    key: snake_case(&written),
                    written,
                    value,
                    place,
                }),
                (None, Node::Text(text, place)) => *key = Some((text, place)),
                (None, node) => {
                    let message = format!("{} where a key belongs", node.shape());
                    self.problems.error(node.place(), None, message);
                    *key = Some((String::new(), node.place().clone()));
                }
            },
        }
        Some(())
    }

    /// A place of this file; the parser counts columns from 0.
    fn place(&self, line: usize, column: usize) -> Place {
        let number = |number: usize| u32::try_from(number).unwrap_or(0);
        Place::new(Arc::clone(&self.file.file), number(line)).at(number(column + 1))
    }
}

/// The key as Fluent Bit spells it: `flushInterval` is `flush_interval`, and a key that begins with
/// a capital or has a `_` only becomes lower case.
fn snake_case(key: &str) -> String {
    if key.contains('_') || !key.starts_with(|first: char| first.is_ascii_lowercase()) {
        return key.to_ascii_lowercase();
    }
    let mut snake = String::with_capacity(key.len() + 4);
    for character in key.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_camel_case_become_snake_case() {
        for (key, expected) in [
            ("flushInterval", "flush_interval"),
            ("Log_Level", "log_level"),
            ("HTTP", "http"),
            ("hc_Period", "hc_period"),
            ("storage.maxChunksUp", "storage.max_chunks_up"),
            ("", ""),
        ] {
            assert_eq!(snake_case(key), expected);
        }
    }
}
