//! Everything that starts with `(`.

use super::ast::{Assertion, Look, Named, Node, Target};
use super::error::Problem;
use super::parse::{Charset, Parser, Placed};

impl Parser {
    /// What follows a `(` at `start`.
    pub(super) fn group(&mut self, start: usize) -> Placed<Node> {
        if !self.eat('?') {
            return self.capture(start, None);
        }
        match self.next() {
            Some(':') => self.body(start),
            Some('=') => self.look(start, false, false),
            Some('!') => self.look(start, false, true),
            Some('>') => Ok(Node::Atomic(Box::new(self.body(start)?))),
            Some('~') => Ok(Node::Absent(Box::new(self.body(start)?))),
            Some('<') if self.eat('=') => self.look(start, true, false),
            Some('<') if self.eat('!') => self.look(start, true, true),
            Some('<') => self.named(start, '>'),
            Some('\'') => self.named(start, '\''),
            Some('(') => self.condition(start),
            Some('P') if self.peek() == Some('<') => Err((start, Problem::CapitalP)),
            Some(c) => self.options(start, c),
            None => Err((start, Problem::UnclosedGroup)),
        }
    }

    fn body(&mut self, start: usize) -> Placed<Node> {
        let body = self.alternatives()?;
        if self.eat(')') {
            Ok(body)
        } else {
            Err((start, Problem::UnclosedGroup))
        }
    }

    fn look(&mut self, start: usize, behind: bool, negative: bool) -> Placed<Node> {
        let body = self.body(start)?;
        if behind {
            check_look_behind(&body, negative).map_err(|problem| (start, problem))?;
        }
        Ok(Node::Look(Box::new(Look {
            behind,
            negative,
            body,
        })))
    }

    fn named(&mut self, start: usize, end: char) -> Placed<Node> {
        let name = self.until(end).ok_or((start, Problem::UnclosedGroup))?;
        if is_name(&name) {
            self.capture(start, Some(name))
        } else {
            Err((start, Problem::GroupName(name)))
        }
    }

    fn capture(&mut self, start: usize, name: Option<String>) -> Placed<Node> {
        let index = self.groups.len();
        self.groups.push(name);
        Ok(Node::Group(index, Box::new(self.body(start)?)))
    }

    /// `(?imx-imx)`, which holds to the end of the group it stands in, alternatives included, or `(?imx-imx:...)`.
    fn options(&mut self, start: usize, first: char) -> Placed<Node> {
        let before = self.flags;
        let (mut c, mut on) = (first, true);
        loop {
            match c {
                ')' => {
                    let rest = self.alternatives();
                    self.flags = before;
                    return rest;
                }
                ':' => {
                    let body = self.body(start);
                    self.flags = before;
                    return body;
                }
                '-' => on = false,
                'i' => self.flags.ignore_case = on,
                'm' => self.flags.dot_newline = on,
                'x' => self.flags.extended = on,
                'a' if on => self.flags.charset = Charset::Ascii,
                'd' if on => self.flags.charset = Charset::Ruby,
                'u' if on => self.flags.charset = Charset::Unicode,
                's' => return Err((start, Problem::OptionS)),
                other => return Err((start, Problem::UnknownGroup(other))),
            }
            c = self.next().ok_or((start, Problem::UnclosedGroup))?;
        }
    }

    /// `(?(1)yes|no)` or `(?(<name>)yes|no)`.
    fn condition(&mut self, start: usize) -> Placed<Node> {
        let at = self.at;
        let text = self.until(')').ok_or((start, Problem::UnclosedGroup))?;
        let target = Target {
            group: condition_group(&text).ok_or((at, Problem::UnknownReference(text)))?,
            at,
        };
        let (yes, no) = match self.body(start)? {
            Node::Alternate(branches) => <[Node; 2]>::try_from(branches)
                .map(|[yes, no]| (yes, no))
                .map_err(|_| {
                    (
                        start,
                        Problem::Unsupported(
                            "a condition with more than two branches",
                            "group them",
                        ),
                    )
                })?,
            yes => (yes, Node::Empty),
        };
        Ok(Node::Condition(target, Box::new(yes), Box::new(no)))
    }
}

/// `1`, `<name>` or `'name'`.
fn condition_group(text: &str) -> Option<Named> {
    let bracketed = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    let quoted = text
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    match bracketed.or(quoted) {
        Some(name) => Some(Named::Name(name.to_owned())),
        None => text.parse().ok().map(Named::Number),
    }
}

/// Word characters, with no digit first.
pub(super) fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    name.chars().all(word)
        && name
            .chars()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
}

/// A look-behind has a fixed width, but for its outermost alternatives, and holds only what can be matched backwards.
fn check_look_behind(body: &Node, negative: bool) -> Result<(), Problem> {
    let unfit = body.any(&|node| match node {
        Node::Look(look) => !look.behind,
        Node::Group(..) => negative,
        Node::Assert(at) => matches!(at, Assertion::TextEnd | Assertion::TextEndOrNewline),
        Node::Atomic(_)
        | Node::Absent(_)
        | Node::Reference(_)
        | Node::Condition(..)
        | Node::Grapheme => true,
        _ => false,
    });
    if unfit {
        return Err(Problem::LookBehindContent);
    }
    let fixed = match body {
        Node::Alternate(branches) => branches.iter().all(|branch| branch.width().is_some()),
        other => other.width().is_some(),
    };
    if fixed {
        Ok(())
    } else {
        Err(Problem::LookBehindWidth)
    }
}
