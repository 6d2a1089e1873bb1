//! The grammar: alternatives, sequences, quantifiers.
//!
//! Groups are in `group.rs`, escapes in `escape.rs`, bracketed classes in `class.rs`; each adds its methods to
//! [`Parser`]. What is accepted, and as what, follows `regparse.c` of Onigmo with its Ruby syntax.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::ast::{Assertion, Greed, Node, Repeat};
use super::error::{PatternError, Problem};

/// The most characters a pattern may have.
pub(super) const MAX_PATTERN: usize = 16 * 1024;
/// The largest repeat count, Onigmo's own.
pub(super) const MAX_REPEAT: u32 = 100_000;
/// How deep groups and classes may be nested, and how many quantifiers may follow each other. The parser and the
/// engines' compilers recurse that deep.
const MAX_DEPTH: usize = 50;
/// How much of a pattern an error shows.
const MAX_SHOWN: usize = 200;

/// A parsed pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) root: Node,
    /// The name of every `(...)` and `(?<name>...)`, by their opening; `None` for the plain ones.
    pub(super) groups: Vec<Option<String>>,
}

/// What `(?imx)`, `(?adu)` and the letters after `/pattern/` set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    pub(super) dot_newline: bool,
    pub(super) extended: bool,
    pub(super) charset: Charset,
}

/// What `\w`, `\d`, `\s`, `\b` and `[[:alpha:]]` mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Charset {
    /// `(?d)`: letters after a backslash are ASCII, brackets and `\b` are Unicode.
    #[default]
    Ruby,
    /// `(?a)`: all ASCII.
    Ascii,
    /// `(?u)`: all Unicode.
    Unicode,
}

/// Reads a pattern from left to right.
pub(super) struct Parser {
    chars: Vec<char>,
    pub(super) at: usize,
    pub(super) flags: Flags,
    pub(super) groups: Vec<Option<String>>,
    depth: usize,
}

/// Parses a pattern without slashes.
pub(super) fn parse(pattern: &str, flags: Flags) -> Result<Pattern, PatternError> {
    if pattern.chars().nth(MAX_PATTERN).is_some() {
        return Err(error(pattern, MAX_PATTERN, Problem::TooLong));
    }
    let chars = pattern.chars().collect();
    let mut parser = Parser {
        chars,
        at: 0,
        flags,
        groups: Vec::new(),
        depth: 0,
    };
    let root = parser
        .alternatives()
        .map_err(|(at, problem)| error(pattern, at, problem))?;
    if parser.peek().is_some() {
        return Err(error(pattern, parser.at, Problem::UnopenedGroup));
    }
    Ok(Pattern {
        root,
        groups: parser.groups,
    })
}

/// An error that shows its pattern, which may be long.
pub(super) fn error(pattern: &str, at: usize, problem: Problem) -> PatternError {
    PatternError {
        problem,
        at,
        pattern: pattern.chars().take(MAX_SHOWN).collect(),
    }
}

/// A problem and its place.
pub(super) type Placed<T> = Result<T, (usize, Problem)>;

impl Parser {
    /// `a|b|c`, up to `)` or the end.
    pub(super) fn alternatives(&mut self) -> Placed<Node> {
        let flags = self.flags;
        self.enter()?;
        let mut alternatives = vec![self.sequence()?];
        while self.eat('|') {
            alternatives.push(self.sequence()?);
        }
        self.leave();
        self.flags = flags;
        Ok(Node::alternate(alternatives))
    }

    /// Goes one level deeper.
    pub(super) fn enter(&mut self) -> Placed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err((self.at, Problem::TooDeep))
        } else {
            Ok(())
        }
    }

    /// Comes back from a level.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn sequence(&mut self) -> Placed<Node> {
        let mut nodes = Vec::new();
        loop {
            self.skip_ignored()?;
            match self.peek() {
                None | Some('|' | ')') => return Ok(Node::concat(nodes)),
                Some(_) => {
                    let atom = self.atom()?;
                    nodes.push(self.quantified(atom)?);
                }
            }
        }
    }

    /// Skips comments and, under `x`, blanks and `#` to the end of the line.
    fn skip_ignored(&mut self) -> Placed<()> {
        loop {
            match self.peek() {
                Some('(') if self.looking_at("(?#") => self.skip_comment()?,
                Some(c) if self.flags.extended && c.is_whitespace() => self.at += 1,
                Some('#') if self.flags.extended => while self.next().is_some_and(|c| c != '\n') {},
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Placed<()> {
        let start = self.at;
        loop {
            match self.next() {
                None => return Err((start, Problem::UnclosedGroup)),
                Some(')') => return Ok(()),
                Some('\\') => self.at += 1,
                Some(_) => {}
            }
        }
    }

    fn atom(&mut self) -> Placed<Node> {
        let start = self.at;
        match self.next() {
            Some('(') => self.group(start),
            Some('[') => self.class(start).map(Node::Set),
            Some('\\') => self.escape(start),
            Some('.') => Ok(Node::Set(self.dot())),
            Some('^') => Ok(Node::Assert(Assertion::LineStart)),
            Some('$') => Ok(Node::Assert(Assertion::LineEnd)),
            Some(c @ ('*' | '+' | '?')) => Err((start, Problem::NothingToRepeat(c))),
            Some('{') => {
                let mut ahead = start;
                match self.interval(&mut ahead)? {
                    Some(_) => Err((start, Problem::NothingToRepeat('{'))),
                    None => Ok(Node::Char('{')),
                }
            }
            Some(c) => Ok(self.literal(c)),
            None => Ok(Node::Empty),
        }
    }

    fn dot(&self) -> ClassUnicode {
        if self.flags.dot_newline {
            return ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)]);
        }
        let mut set = ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]);
        set.negate();
        set
    }

    /// A character, under `i` with its other forms.
    pub(super) fn literal(&self, c: char) -> Node {
        if !self.flags.ignore_case {
            return Node::Char(c);
        }
        let mut set = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
        set.case_fold_simple();
        let single =
            set.ranges().len() == 1 && set.ranges().first().is_some_and(|r| r.start() == r.end());
        if single {
            Node::Char(c)
        } else {
            Node::Set(set)
        }
    }

    fn quantified(&mut self, mut node: Node) -> Placed<Node> {
        for _ in 0..MAX_DEPTH {
            self.skip_ignored()?;
            let start = self.at;
            let (min, max, greed) = match self.peek() {
                Some('*') => (0, None, self.greed_after(1)),
                Some('+') => (1, None, self.greed_after(1)),
                Some('?') => (0, Some(1), self.greed_after(1)),
                Some('{') => {
                    let mut ahead = start;
                    let Some(interval) = self.interval(&mut ahead)? else {
                        return Ok(node);
                    };
                    self.at = ahead;
                    (interval.min, interval.max, self.greed_of(&interval))
                }
                _ => return Ok(node),
            };
            node = Node::Repeat(Box::new(Repeat {
                body: node,
                min,
                max,
                greed,
            }));
        }
        Err((self.at, Problem::TooDeep))
    }

    fn greed_after(&mut self, quantifier: usize) -> Greed {
        self.at += quantifier;
        if self.eat('?') {
            Greed::Lazy
        } else if self.eat('+') {
            Greed::Possessive
        } else {
            Greed::Greedy
        }
    }

    /// After an interval `+` repeats again, and after `{n}` so does `?`.
    fn greed_of(&mut self, interval: &Interval) -> Greed {
        if !interval.exact && self.eat('?') {
            Greed::Lazy
        } else {
            Greed::Greedy
        }
    }

    /// `{2}`, `{2,}`, `{,2}` or `{2,3}` at `at`, which then points after it; anything else is no interval.
    fn interval(&self, at: &mut usize) -> Placed<Option<Interval>> {
        let start = *at;
        let mut ahead = start + 1;
        let low = self.number(&mut ahead)?;
        let comma = self.chars.get(ahead) == Some(&',');
        ahead += usize::from(comma);
        let high = if comma { self.number(&mut ahead)? } else { low };
        if self.chars.get(ahead) != Some(&'}') || (low.is_none() && high.is_none()) {
            return Ok(None);
        }
        *at = ahead + 1;
        let min = low.unwrap_or(0);
        match high {
            Some(max) if max < min => Err((start, Problem::RepeatReversed(min, max))),
            max => Ok(Some(Interval {
                min,
                max,
                exact: !comma,
            })),
        }
    }

    fn number(&self, at: &mut usize) -> Placed<Option<u32>> {
        let start = *at;
        let mut number = None;
        while let Some(digit) = self.chars.get(*at).and_then(|c| c.to_digit(10)) {
            let value = number.unwrap_or(0) * 10 + digit;
            if value > MAX_REPEAT {
                return Err((start, Problem::RepeatTooLarge));
            }
            number = Some(value);
            *at += 1;
        }
        Ok(number)
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    pub(super) fn eat(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        self.at += usize::from(found);
        found
    }

    pub(super) fn looking_at(&self, expected: &str) -> bool {
        expected
            .chars()
            .enumerate()
            .all(|(ahead, c)| self.peek_at(ahead) == Some(c))
    }

    /// Reads up to `end`, which is passed; `None` if it never comes.
    pub(super) fn until(&mut self, end: char) -> Option<String> {
        let rest = self.chars.get(self.at..)?;
        let length = rest.iter().position(|c| *c == end)?;
        let text = rest.iter().take(length).collect();
        self.at += length + 1;
        Some(text)
    }
}

/// A quantifier in braces.
struct Interval {
    min: u32,
    max: Option<u32>,
    /// Written `{n}`.
    exact: bool,
}
