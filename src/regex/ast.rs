//! The tree a pattern is parsed into, and what the translation needs to know about it.
//!
//! Flags are resolved while parsing: a character under `i` is already the set of its forms, a dot is the set it stands
//! for, so the tree has no flags and both engines read the same thing.

use regex_syntax::hir::ClassUnicode;

use super::bytes::STAND_IN_EXAMPLE;

/// One construct of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Empty,
    Char(char),
    Set(ClassUnicode),
    Assert(Assertion),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat(Box<Repeat>),
    /// A group that may capture; the number counts all such groups from 0, by their opening.
    Group(usize, Box<Node>),
    Atomic(Box<Node>),
    Look(Box<Look>),
    /// `(?~...)`.
    Absent(Box<Node>),
    Reference(Reference),
    /// `\g<name>`: the group's pattern once more.
    Call(Target),
    /// `(?(1)yes|no)`.
    Condition(Target, Box<Node>, Box<Node>),
    /// `\K`.
    Keep,
    /// `\X`.
    Grapheme,
}

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assertion {
    /// `^`: the start of the text and after every newline but a final one.
    LineStart,
    /// `$`: before every newline and at the end of the text.
    LineEnd,
    TextStart,
    TextEnd,
    /// `\Z`: the end of the text or before its final newline.
    TextEndOrNewline,
    WordBoundary,
    NotWordBoundary,
    AsciiWordBoundary,
    NotAsciiWordBoundary,
}

/// A quantifier and what it applies to.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub(super) body: Node,
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    pub(super) greed: Greed,
}

/// How a quantifier chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

/// A look-around.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) behind: bool,
    pub(super) negative: bool,
    pub(super) body: Node,
}

/// A back reference.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) target: Target,
    pub(super) fold: bool,
}

/// The group that a reference, call or condition means.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) group: Named,
    /// Where it stands in the pattern, for messages.
    pub(super) at: usize,
}

/// How a group is named.
#[derive(Clone, Debug)]
pub(super) enum Named {
    Number(usize),
    Name(String),
}

impl Node {
    /// Joins nodes; none is [`Node::Empty`], one stays itself.
    pub(super) fn concat(mut nodes: Vec<Node>) -> Node {
        match nodes.len() {
            0 => Node::Empty,
            1 => nodes.remove(0),
            _ => Node::Concat(nodes),
        }
    }

    /// Joins alternatives; one stays itself.
    pub(super) fn alternate(mut nodes: Vec<Node>) -> Node {
        if nodes.len() == 1 {
            nodes.remove(0)
        } else {
            Node::Alternate(nodes)
        }
    }

    /// The nodes directly below this one.
    pub(super) fn children(&self) -> Vec<&Node> {
        match self {
            Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().collect(),
            Node::Repeat(repeat) => vec![&repeat.body],
            Node::Look(look) => vec![&look.body],
            Node::Group(_, body) | Node::Atomic(body) | Node::Absent(body) => vec![body],
            Node::Condition(_, yes, no) => vec![yes, no],
            Node::Empty
            | Node::Char(_)
            | Node::Set(_)
            | Node::Assert(_)
            | Node::Reference(_)
            | Node::Call(_)
            | Node::Keep
            | Node::Grapheme => Vec::new(),
        }
    }

    /// Whether this node or one below it satisfies `test`.
    pub(super) fn any(&self, test: &impl Fn(&Node) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    /// Whether an engine without backtracking can run it.
    pub(super) fn is_linear(&self) -> bool {
        !self.any(&|node| match node {
            Node::Repeat(repeat) => repeat.greed == Greed::Possessive,
            Node::Atomic(_)
            | Node::Look(_)
            | Node::Absent(_)
            | Node::Reference(_)
            | Node::Call(_)
            | Node::Condition(..)
            | Node::Keep
            | Node::Grapheme => true,
            _ => false,
        })
    }

    /// Whether bytes that are no UTF-8 can be part of a match.
    pub(super) fn sees_bad_bytes(&self) -> bool {
        self.any(&|node| match node {
            Node::Set(set) => contains(set, STAND_IN_EXAMPLE),
            Node::Char(c) => *c >= STAND_IN_EXAMPLE,
            Node::Assert(at) => {
                matches!(
                    at,
                    Assertion::NotWordBoundary | Assertion::NotAsciiWordBoundary
                )
            }
            _ => false,
        })
    }

    /// Whether a final newline needs more care than an engine with plain multi-line anchors takes: `^` does not match
    /// after it, which shows only where nothing else is left to match, and `\Z` matches before it.
    pub(super) fn heeds_final_newline(&self) -> bool {
        self.any(&|node| matches!(node, Node::Assert(Assertion::TextEndOrNewline)))
            || self.line_start_may_be_last(true)
    }

    fn line_start_may_be_last(&self, rest_may_be_empty: bool) -> bool {
        match self {
            Node::Assert(Assertion::LineStart) => rest_may_be_empty,
            Node::Concat(nodes) => {
                let mut rest = rest_may_be_empty;
                for node in nodes.iter().rev() {
                    if node.line_start_may_be_last(rest) {
                        return true;
                    }
                    rest &= node.may_be_empty();
                }
                false
            }
            Node::Look(look) => look.body.line_start_may_be_last(true),
            other => other
                .children()
                .into_iter()
                .any(|c| c.line_start_may_be_last(rest_may_be_empty)),
        }
    }

    /// Whether it can match without consuming anything.
    pub(super) fn may_be_empty(&self) -> bool {
        match self {
            Node::Char(_) | Node::Set(_) | Node::Grapheme => false,
            Node::Concat(nodes) => nodes.iter().all(Node::may_be_empty),
            Node::Alternate(nodes) => nodes.iter().any(Node::may_be_empty),
            Node::Repeat(repeat) => repeat.min == 0 || repeat.body.may_be_empty(),
            Node::Group(_, body) | Node::Atomic(body) => body.may_be_empty(),
            Node::Condition(_, yes, no) => yes.may_be_empty() || no.may_be_empty(),
            Node::Empty
            | Node::Assert(_)
            | Node::Look(_)
            | Node::Absent(_)
            | Node::Reference(_)
            | Node::Call(_)
            | Node::Keep => true,
        }
    }

    /// Whether it can match nothing but the empty text.
    pub(super) fn is_always_empty(&self) -> bool {
        match self {
            Node::Empty | Node::Assert(_) | Node::Look(_) | Node::Keep => true,
            Node::Char(_)
            | Node::Set(_)
            | Node::Grapheme
            | Node::Absent(_)
            | Node::Reference(_)
            | Node::Call(_) => false,
            Node::Repeat(repeat) if repeat.max == Some(0) => true,
            other => other.children().into_iter().all(Node::is_always_empty),
        }
    }

    /// The number of characters it always matches, where there is one.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Node::Char(_) | Node::Set(_) => Some(1),
            Node::Empty | Node::Assert(_) | Node::Look(_) | Node::Keep => Some(0),
            Node::Concat(nodes) => nodes.iter().map(Node::width).sum(),
            Node::Alternate(nodes) => {
                let first = nodes.first()?.width()?;
                nodes
                    .iter()
                    .all(|node| node.width() == Some(first))
                    .then_some(first)
            }
            Node::Repeat(repeat) => {
                let fixed = repeat.max == Some(repeat.min);
                if fixed {
                    repeat.body.width()?.checked_mul(repeat.min as usize)
                } else {
                    None
                }
            }
            Node::Group(_, body) | Node::Atomic(body) => body.width(),
            Node::Absent(_)
            | Node::Reference(_)
            | Node::Call(_)
            | Node::Condition(..)
            | Node::Grapheme => None,
        }
    }
}

fn contains(set: &ClassUnicode, c: char) -> bool {
    set.ranges()
        .iter()
        .any(|range| range.start() <= c && c <= range.end())
}
