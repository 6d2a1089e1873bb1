//! Ruby regular expressions on bytes, as Fluent Bit's Onigmo reads them.
//!
//! A pattern is parsed by this module (`parse`), into a tree without flags (`ast`), and written out again
//! (`translate`) for one of two engines (`engine`):
//!
//! | engine | for | time |
//! |---|---|---|
//! | `regex-automata` | every pattern without look-around, back references, atomic and possessive parts | linear in the text |
//! | `fancy-regex` | the others | backtracking, up to a limit of steps, each of which may scan the text; a search that meets it finds nothing and is counted |
//!
//! The places of groups in ASCII text are mostly found without either (`quick`).
//!
//! Promises: what Onigmo refuses is refused, with the place and what to write instead; no pattern and no text makes it
//! panic; a search in UTF-8 text with the first engine allocates nothing and copies nothing.
//!
//! Differences from Onigmo that remain:
//! - Under `i` a character never equals several: `ß` does not match `SS`, nor the other way round.
//! - The bytes of a character that is cut off by the end of the text are one character each. Onigmo reads past the end.
//! - A group that is repeated and matches nothing the last time, as in `(a*)*`, keeps what it matched before that.
//! - Refused: `\M-x`, `(?~...)` around something without a fixed width, `\g<n>` of a name that two groups have.
//! - Accepted: a group that calls itself before anything else, and under `i` a look-behind around a class that in Onigmo
//!   may match several characters.
//! - `\K` before the end of a match hides its start from [`Regex::matches_at_start`].
//! - Properties follow a newer Unicode than Onigmo's.
//!
//! Syntax: <https://github.com/k-takata/Onigmo/blob/master/doc/RE>

mod ast;
mod bytes;
mod charset;
mod class;
mod engine;
mod error;
mod escape;
mod group;
mod idle;
mod parse;
mod quick;
mod translate;

use std::ops::Range;
use std::sync::Arc;

use regex_automata::util::primitives::NonMaxUsize;

use ast::Node;
use engine::{Backtracking, Linear};
pub use error::{PatternError, Problem};
use parse::{Flags, Placed};
use quick::{Quick, Retry};
pub use translate::GroupName;
use translate::{Dialect, Numbering};

/// A compiled pattern. Cloning it shares the compiled form.
#[derive(Clone, Debug)]
pub struct Regex(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    engine: Engine,
    /// For `is_match`: what remains of the pattern where parts of it cannot change the answer.
    essence: Option<Linear>,
    /// For the places of groups in ASCII text.
    quick: Option<Quick>,
    names: Vec<GroupName>,
    groups: usize,
}

#[derive(Debug)]
enum Engine {
    Linear(Linear),
    Backtracking(Backtracking),
    /// Linear, but for text with a final newline that matters.
    Either(Linear, Backtracking),
}

/// Where the groups of a match lie in the text. Reusable for any pattern and text.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    slots: Vec<Option<NonMaxUsize>>,
    retries: Vec<Retry>,
}

impl Regex {
    /// Compiles `pattern`: `/pattern/`, `/pattern/imxo` or a pattern as it is.
    ///
    /// # Errors
    /// What Onigmo refuses, and what needs more than the limits allow: 16 384 characters, 50 levels of nesting, 10 MiB
    /// compiled.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let (pattern, flags) = delimited(pattern);
        let parsed = parse::parse(pattern, flags)?;
        let numbering = Numbering::new(&parsed.groups);
        let compiled = Compiled::new(&parsed.root, numbering);
        compiled
            .map(|compiled| Self(Arc::new(compiled)))
            .map_err(|(at, problem)| parse::error(pattern, at, problem))
    }

    /// Whether the pattern matches anywhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match self.engine_for(text) {
            Chosen::Linear(engine) => self.0.essence.as_ref().unwrap_or(engine).is_match(text),
            Chosen::Backtracking(engine) => engine.is_match(text),
        }
    }

    /// Whether the pattern matches at the start of `text` and consumes at least one byte: the rule of `Match_Regex`.
    pub fn matches_at_start(&self, text: &[u8]) -> bool {
        match self.engine_for(text) {
            Chosen::Linear(engine) => engine.matches_at_start(text),
            Chosen::Backtracking(engine) => engine.matches_at_start(text),
        }
    }

    /// Whether the pattern matches anywhere in `text`; if so `captures` holds the places of its groups.
    pub fn captures(&self, text: &[u8], captures: &mut Captures) -> bool {
        captures.slots.clear();
        captures.slots.resize(2 * (self.0.groups + 1), None);
        let Captures { slots, retries } = captures;
        let engine = self.engine_for(text);
        let quick = self.0.quick.as_ref().filter(|_| text.is_ascii());
        let quickly = match engine {
            Chosen::Linear(_) => quick.and_then(|quick| quick.search(text, slots, retries).ok()),
            Chosen::Backtracking(_) => None,
        };
        let found = match engine {
            _ if quickly.is_some() => quickly == Some(true),
            Chosen::Linear(engine) => {
                slots.fill(None);
                engine.captures(text, slots)
            }
            Chosen::Backtracking(engine) => engine.captures(text, slots),
        };
        if !found {
            captures.slots.clear();
        }
        found
    }

    /// The named groups, by their first opening. Groups of one name are one entry.
    pub fn names(&self) -> &[GroupName] {
        &self.0.names
    }

    /// How many searches took too many steps and so found nothing.
    pub fn given_up(&self) -> u64 {
        match &self.0.engine {
            Engine::Linear(_) => 0,
            Engine::Backtracking(engine) | Engine::Either(_, engine) => engine.given_up(),
        }
    }

    fn engine_for(&self, text: &[u8]) -> Chosen<'_> {
        match &self.0.engine {
            Engine::Linear(linear) => Chosen::Linear(linear),
            Engine::Either(linear, _) if !text.ends_with(b"\n") => Chosen::Linear(linear),
            Engine::Either(_, backtracking) | Engine::Backtracking(backtracking) => {
                Chosen::Backtracking(backtracking)
            }
        }
    }
}

impl Compiled {
    fn new(root: &Node, numbering: Numbering) -> Placed<Self> {
        let linear = |root: &Node| {
            let text = translate::translate(root, &numbering, Dialect::Linear)?;
            Linear::new(&text, root.sees_bad_bytes()).map_err(|problem| (0, problem))
        };
        let backtracking = || {
            let text = translate::translate(root, &numbering, Dialect::Backtracking)?;
            Backtracking::new(&text).map_err(|problem| (0, problem))
        };
        let engine = if !root.is_linear() {
            Engine::Backtracking(backtracking()?)
        } else if root.heeds_final_newline() {
            Engine::Either(linear(root)?, backtracking()?)
        } else {
            Engine::Linear(linear(root)?)
        };
        let essence = idle::without_idle_ends(root).filter(Node::is_linear);
        let essence = essence.map(|essence| linear(&essence)).transpose()?;
        let is_linear = !matches!(engine, Engine::Backtracking(_));
        let quick = (is_linear && numbering.count > 0).then(|| Quick::new(root, &numbering));
        Ok(Self {
            quick: quick.flatten(),
            engine,
            essence,
            groups: numbering.count,
            names: numbering.names,
        })
    }
}

/// The engine that takes a text.
enum Chosen<'r> {
    Linear(&'r Linear),
    Backtracking(&'r Backtracking),
}

impl Captures {
    /// The place of a group: 0 is the whole match. `None` if the group took no part or does not exist.
    pub fn get(&self, group: usize) -> Option<Range<usize>> {
        match self.slots.chunks_exact(2).nth(group)? {
            [Some(start), Some(end)] => Some(start.get()..end.get()),
            _ => None,
        }
    }

    /// The place of a named group: of several groups of the name, the last that took part.
    pub fn named(&self, name: &GroupName) -> Option<Range<usize>> {
        name.groups.iter().rev().find_map(|group| self.get(*group))
    }
}

/// Takes slashes and flags off. With a flag that is unknown the slashes belong to the pattern.
fn delimited(text: &str) -> (&str, Flags) {
    let inner = text
        .strip_prefix('/')
        .and_then(|rest| rest.rsplit_once('/'));
    let Some((pattern, letters)) = inner else {
        return (text, Flags::default());
    };
    if !letters
        .chars()
        .all(|letter| matches!(letter, 'i' | 'm' | 'x' | 'o'))
    {
        return (text, Flags::default());
    }
    let has = |letter| letters.contains(letter);
    let flags = Flags {
        ignore_case: has('i'),
        dot_newline: has('m'),
        extended: has('x'),
        ..Flags::default()
    };
    (pattern, flags)
}

#[cfg(test)]
mod tests;
