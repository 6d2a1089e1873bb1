//! From the tree to the syntax of the engines.
//!
//! Everything is spelled out: sets as ranges of code points, no flags but `m` around an anchor, groups only where Ruby
//! numbers them. So nothing depends on what `\w`, `.` or `<` mean elsewhere.

use std::fmt::Write as _;

use regex_syntax::hir::ClassUnicode;

use super::ast::{Assertion, Greed, Look, Named, Node, Reference, Repeat, Target};
use super::error::Problem;
use super::parse::Placed;

/// The most bytes a translation may have; the engines' limits on compiled size are beside it.
const MAX_TRANSLATION: usize = 1 << 20;

/// An extended grapheme cluster, Unicode Standard Annex 29, without the rules for Indic conjuncts.
const GRAPHEME: &str = concat!(
    r"(?>\r\n|\p{gcb=Control}|\r|\n|\p{gcb=Prepend}*",
    r"(?:\p{gcb=RI}\p{gcb=RI}|\p{gcb=L}*(?:\p{gcb=V}+|\p{gcb=LV}\p{gcb=V}*|\p{gcb=LVT})\p{gcb=T}*|\p{gcb=L}+|\p{gcb=T}+",
    r"|\p{Extended_Pictographic}(?:\p{gcb=Extend}*\p{gcb=ZWJ}\p{Extended_Pictographic})*|[^\p{gcb=Control}\r\n])",
    r"[\p{gcb=Extend}\p{gcb=ZWJ}\p{gcb=SpacingMark}]*|[^\p{gcb=Control}\r\n])",
);

/// Which engine is to read the translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The engine in linear time, on text without a final newline, or whose final newline makes no difference.
    Linear,
    /// The engine that knows look-around and the like, on any text.
    Backtracking,
}

/// A named group of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// The name.
    pub name: String,
    /// The numbers of the groups of this name, ascending.
    pub groups: Vec<usize>,
}

/// How the groups of a pattern are numbered: all plain ones, or only the named ones if there are any.
pub(super) struct Numbering {
    numbers: Vec<Option<usize>>,
    /// Named groups, by their first opening.
    pub(super) names: Vec<GroupName>,
    /// How many groups have a number.
    pub(super) count: usize,
}

impl Numbering {
    pub(super) fn new(groups: &[Option<String>]) -> Self {
        let mut numbering = Self {
            numbers: Vec::new(),
            names: Vec::new(),
            count: 0,
        };
        let any_named = groups.iter().any(Option::is_some);
        for name in groups {
            let numbered = name.is_some() || !any_named;
            numbering.count += usize::from(numbered);
            numbering.numbers.push(numbered.then_some(numbering.count));
            if let Some(name) = name {
                numbering.add_name(name);
            }
        }
        numbering
    }

    /// The number of the group that opens at this place among all.
    pub(super) fn number(&self, index: usize) -> Option<usize> {
        self.numbers.get(index).copied().flatten()
    }

    fn add_name(&mut self, name: &str) {
        let number = self.count;
        match self.names.iter_mut().find(|known| known.name == name) {
            Some(known) => known.groups.push(number),
            None => self.names.push(GroupName {
                name: name.to_owned(),
                groups: vec![number],
            }),
        }
    }

    /// The numbers of the groups that `target` means.
    fn resolve(&self, target: &Target) -> Placed<Vec<usize>> {
        match &target.group {
            Named::Number(_) if !self.names.is_empty() => {
                Err((target.at, Problem::NumberBesideNames))
            }
            Named::Number(number) if (1..=self.count).contains(number) => Ok(vec![*number]),
            Named::Number(number) => {
                Err((target.at, Problem::UnknownReference(number.to_string())))
            }
            Named::Name(name) => match self.names.iter().find(|known| known.name == *name) {
                Some(known) => Ok(known.groups.clone()),
                None => Err((target.at, Problem::UnknownReference(name.clone()))),
            },
        }
    }
}

/// Translates a pattern or a part of it.
pub(super) fn translate(root: &Node, numbering: &Numbering, dialect: Dialect) -> Placed<String> {
    let exact_line_start = dialect == Dialect::Backtracking && root.heeds_final_newline();
    let mut writer = Writer {
        out: String::new(),
        numbering,
        dialect,
        exact_line_start,
    };
    writer.node(root)?;
    Ok(writer.out)
}

struct Writer<'p> {
    out: String,
    numbering: &'p Numbering,
    dialect: Dialect,
    exact_line_start: bool,
}

impl Writer<'_> {
    fn node(&mut self, node: &Node) -> Placed<()> {
        if self.out.len() > MAX_TRANSLATION {
            return Err((
                0,
                Problem::TooLarge(format!("its translation has over {MAX_TRANSLATION} bytes")),
            ));
        }
        match node {
            Node::Empty => {}
            Node::Char(c) => push_char(&mut self.out, *c),
            Node::Set(set) => push_set(&mut self.out, set),
            Node::Assert(assertion) => self.assertion(*assertion),
            Node::Concat(nodes) => {
                for node in nodes {
                    self.item(node)?;
                }
            }
            Node::Alternate(nodes) => self.alternatives(nodes)?,
            Node::Repeat(repeat) => self.repeat(repeat)?,
            Node::Group(index, body) => {
                let numbered = self.numbering.number(*index).is_some();
                self.wrapped(if numbered { "(" } else { "(?:" }, body)?;
            }
            Node::Atomic(body) => self.wrapped("(?>", body)?,
            Node::Look(look) => self.look(look)?,
            Node::Absent(body) => self.absent(body)?,
            Node::Reference(reference) => self.reference(reference)?,
            Node::Call(target) => self.call(target)?,
            Node::Condition(target, yes, no) => self.condition(target, yes, no)?,
            Node::Keep => self.out.push_str(r"\K"),
            Node::Grapheme => self.out.push_str(GRAPHEME),
        }
        Ok(())
    }

    /// A node as part of a sequence.
    fn item(&mut self, node: &Node) -> Placed<()> {
        match node {
            Node::Alternate(_) => self.wrapped("(?:", node),
            other => self.node(other),
        }
    }

    fn wrapped(&mut self, open: &str, body: &Node) -> Placed<()> {
        self.out.push_str(open);
        self.node(body)?;
        self.out.push(')');
        Ok(())
    }

    fn alternatives(&mut self, nodes: &[Node]) -> Placed<()> {
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                self.out.push('|');
            }
            self.item(node)?;
        }
        Ok(())
    }

    fn assertion(&mut self, assertion: Assertion) {
        let linear = self.dialect == Dialect::Linear;
        let word = "[0-9A-Za-z_]";
        match assertion {
            Assertion::LineStart if self.exact_line_start => {
                self.out.push_str(r"(?:\A|(?<=\n)(?!\z))");
            }
            Assertion::LineStart => self.out.push_str("(?m:^)"),
            Assertion::LineEnd => self.out.push_str("(?m:$)"),
            Assertion::TextStart => self.out.push_str(r"\A"),
            Assertion::TextEndOrNewline if !linear => self.out.push_str(r"(?=\n?\z)"),
            Assertion::TextEnd | Assertion::TextEndOrNewline => self.out.push_str(r"\z"),
            Assertion::WordBoundary => self.out.push_str(r"\b"),
            Assertion::NotWordBoundary => self.out.push_str(r"\B"),
            Assertion::AsciiWordBoundary if linear => self.out.push_str(r"(?-u:\b)"),
            Assertion::NotAsciiWordBoundary if linear => self.out.push_str(r"(?-u:\B)"),
            Assertion::AsciiWordBoundary => {
                let _ = write!(self.out, "(?:(?<={word})(?!{word})|(?<!{word})(?={word}))");
            }
            Assertion::NotAsciiWordBoundary => {
                let _ = write!(self.out, "(?:(?<={word})(?={word})|(?<!{word})(?!{word}))");
            }
        }
    }

    fn repeat(&mut self, repeat: &Repeat) -> Placed<()> {
        let Repeat {
            body,
            min,
            max,
            greed,
        } = repeat;
        if body.is_always_empty() && self.dialect == Dialect::Backtracking {
            return self.repeat_of_nothing(repeat);
        }
        let possessive = *greed == Greed::Possessive;
        if possessive {
            self.out.push_str("(?>");
        }
        match body {
            Node::Char(_) | Node::Set(_) | Node::Group(..) => self.node(body)?,
            other => self.wrapped("(?:", other)?,
        }
        match (min, max) {
            (0, None) => self.out.push('*'),
            (1, None) => self.out.push('+'),
            (0, Some(1)) => self.out.push('?'),
            (min, None) => _ = write!(self.out, "{{{min},}}"),
            (min, Some(max)) => _ = write!(self.out, "{{{min},{max}}}"),
        }
        match greed {
            Greed::Greedy => {}
            Greed::Lazy => self.out.push('?'),
            Greed::Possessive => self.out.push(')'),
        }
        Ok(())
    }

    /// What matches nothing is tried once, however often it is wanted.
    fn repeat_of_nothing(&mut self, repeat: &Repeat) -> Placed<()> {
        match (repeat.min, repeat.max, repeat.greed) {
            (_, Some(0), _) => return Ok(()),
            (0, _, Greed::Lazy) => self.out.push_str("(?:|"),
            _ => self.out.push_str("(?:"),
        }
        self.item(&repeat.body)?;
        if repeat.min == 0 && repeat.greed != Greed::Lazy {
            self.out.push('|');
        }
        self.out.push(')');
        Ok(())
    }

    /// Alternatives of different width become look-behinds of their own, as the engine knows only fixed widths.
    fn look(&mut self, look: &Look) -> Placed<()> {
        let open = match (look.behind, look.negative) {
            (false, false) => "(?=",
            (false, true) => "(?!",
            (true, false) => "(?<=",
            (true, true) => "(?<!",
        };
        let Node::Alternate(branches) = &look.body else {
            return self.wrapped(open, &look.body);
        };
        if !look.behind {
            return self.wrapped(open, &look.body);
        }
        self.out.push_str("(?:");
        for (index, branch) in branches.iter().enumerate() {
            if index > 0 && !look.negative {
                self.out.push('|');
            }
            self.wrapped(open, branch)?;
        }
        self.out.push(')');
        Ok(())
    }

    /// The longest text that does not contain `body`, of a fixed width: up to where it starts, and all of it but its
    /// last character.
    fn absent(&mut self, body: &Node) -> Placed<()> {
        let Some(width) = body.width().filter(|width| *width > 0) else {
            let instead = "write (?:(?!...)(?m:.))* instead";
            return Err((
                0,
                Problem::Unsupported("(?~...) of something without a fixed width", instead),
            ));
        };
        self.out.push_str("(?:(?:");
        self.wrapped("(?!", body)?;
        self.out.push_str(r"[\x00-\x{10FFFF}])*(?:");
        self.wrapped("(?=", body)?;
        let _ = write!(self.out, r"[\x00-\x{{10FFFF}}]{{0,{}}})?)", width - 1);
        Ok(())
    }

    /// Of several groups of the name the last that took part is meant.
    fn reference(&mut self, reference: &Reference) -> Placed<()> {
        let numbers = self.numbering.resolve(&reference.target)?;
        self.out
            .push_str(if reference.fold { "(?>(?i:" } else { "(?>(?:" });
        for (index, number) in numbers.iter().rev().enumerate() {
            let or = if index > 0 { "|" } else { "" };
            let _ = write!(self.out, r"{or}\{number}");
        }
        self.out.push_str("))");
        Ok(())
    }

    fn call(&mut self, target: &Target) -> Placed<()> {
        if matches!(target.group, Named::Number(0)) {
            self.out.push_str(r"\g<0>");
            return Ok(());
        }
        match self.numbering.resolve(target)?.as_slice() {
            [number] => _ = write!(self.out, r"\g<{number}>"),
            _ => {
                return Err((
                    target.at,
                    Problem::Unsupported("a call of a name that two groups have", "rename one"),
                ));
            }
        }
        Ok(())
    }

    fn condition(&mut self, target: &Target, yes: &Node, no: &Node) -> Placed<()> {
        let numbers = self.numbering.resolve(target)?;
        let _ = write!(
            self.out,
            "(?({})",
            numbers.first().copied().unwrap_or_default()
        );
        self.item(yes)?;
        self.out.push('|');
        self.item(no)?;
        self.out.push(')');
        Ok(())
    }
}

fn push_char(out: &mut String, c: char) {
    if c.is_alphanumeric() || matches!(c, ' ' | '"' | '/' | ':' | '=' | '_' | ',' | '<' | '>') {
        out.push(c);
    } else {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
    }
}

fn push_set(out: &mut String, set: &ClassUnicode) {
    if set.ranges().is_empty() {
        out.push_str(r"[^\x00-\x{10FFFF}]");
        return;
    }
    out.push('[');
    for range in set.ranges() {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(range.start()));
        if range.end() > range.start() {
            let _ = write!(out, "-\\x{{{:X}}}", u32::from(range.end()));
        }
    }
    out.push(']');
}
