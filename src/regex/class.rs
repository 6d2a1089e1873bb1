//! Bracketed classes: `[a-z&&[^q]]`.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::charset;
use super::error::Problem;
use super::parse::{Charset, Parser, Placed};

/// A class while it is read. Under `i` everything takes on its other cases, but only what is in `foldable` those that
/// are ASCII for a character that is not, or the other way round: `[k]` matches the Kelvin sign, `[\w]` does not.
#[derive(Clone)]
struct Members {
    all: ClassUnicode,
    foldable: ClassUnicode,
}

/// What has been read but not yet added.
#[derive(Clone, Copy, PartialEq)]
enum Pending {
    Nothing,
    Char(char),
    Set,
    /// A character and `-`.
    RangeFrom(char),
    /// A range; what follows may not be a range's `-`.
    Range,
}

/// One piece of a class.
enum Token {
    Char(char),
    Dash,
    Set { set: ClassUnicode, foldable: bool },
    Open,
    And,
    Close,
}

impl Parser {
    /// What follows a `[` at `start`, outside a class.
    pub(super) fn class(&mut self, start: usize) -> Placed<ClassUnicode> {
        let (mut members, negated) = self.members(start)?;
        if self.flags.ignore_case {
            members.fold();
        }
        if negated {
            members.all.negate();
        }
        Ok(members.all)
    }

    /// A class without its folding and negation.
    fn members(&mut self, start: usize) -> Placed<(Members, bool)> {
        self.enter()?;
        let negated = self.eat('^');
        let mut class = Builder::new();
        if self.peek() == Some(']') {
            if !self.closes_later() {
                return Err((start, Problem::EmptyClass));
            }
            self.at += 1;
            class.char(']', start)?;
        }
        loop {
            let at = self.at;
            match self.token(start)? {
                Token::Close => break,
                Token::Char(c) => class.char(c, at)?,
                Token::Set { set, foldable } => class.set(&set, foldable, at)?,
                Token::And => class.and(),
                Token::Dash => self.dash(&mut class, start, at)?,
                Token::Open => {
                    let (mut inner, negated) = self.members(at)?;
                    if negated {
                        inner.all.negate();
                        inner.foldable.negate();
                    }
                    class.join(&inner);
                }
            }
        }
        self.leave();
        Ok((class.finish(), negated))
    }

    /// A `-` makes a range after a character, and is itself at the start, at the end and after a range.
    fn dash(&mut self, class: &mut Builder, start: usize, at: usize) -> Placed<()> {
        let last = self.peek() == Some(']') || self.looking_at("&&");
        match class.pending {
            Pending::Char(c) if !last => {
                class.pending = Pending::RangeFrom(c);
                Ok(())
            }
            Pending::Set if !last => {
                if self.peek().is_none() {
                    return Err((start, Problem::UnclosedClass));
                }
                Err((at, Problem::ClassInRange))
            }
            _ => class.char('-', at),
        }
    }

    fn token(&mut self, start: usize) -> Placed<Token> {
        let at = self.at;
        let c = self.next().ok_or((start, Problem::UnclosedClass))?;
        match c {
            ']' => Ok(Token::Close),
            '-' => Ok(Token::Dash),
            '&' if self.eat('&') => Ok(Token::And),
            '[' if self.peek() == Some(':') && self.bracket_closes() => match self.bracket()? {
                Some(set) => Ok(Token::Set {
                    set,
                    foldable: true,
                }),
                None => Ok(Token::Char('[')),
            },
            '[' => Ok(Token::Open),
            '\\' => {
                let foldable = !matches!(self.peek(), Some('w' | 'W'));
                if let Some(set) = self.set_escape(at)? {
                    return Ok(Token::Set { set, foldable });
                }
                if self.eat('b') {
                    return Ok(Token::Char('\x08'));
                }
                self.char_escape(at).map(Token::Char)
            }
            c => Ok(Token::Char(c)),
        }
    }

    /// Whether `:]` comes before the next `]`. If not, `[:` opens a class that holds a colon.
    fn bracket_closes(&self) -> bool {
        let mut ahead = 1;
        while let Some(c) = self.peek_at(ahead) {
            match c {
                ':' if self.peek_at(ahead + 1) == Some(']') => return true,
                ']' => return false,
                '\\' => ahead += 2,
                _ => ahead += 1,
            }
        }
        false
    }

    /// `[:alpha:]` or `[:^alpha:]`, of which `[` has been read; `None` if the colons are members, and so is the `[`.
    fn bracket(&mut self) -> Placed<Option<ClassUnicode>> {
        let before = self.at;
        self.at += 1;
        let negated = self.eat('^');
        let name = self.until(':').unwrap_or_default();
        if self.peek() != Some(']') || name.contains(']') {
            self.at = before;
            return if charset::starts_with_posix(&name) {
                Err((before, Problem::UnknownBracket(name)))
            } else {
                Ok(None)
            };
        }
        self.at += 1;
        let mut set = charset::posix(&name, self.flags.charset == Charset::Ascii)
            .ok_or((before, Problem::UnknownBracket(name)))?;
        if negated {
            set.negate();
        }
        Ok(Some(set))
    }

    /// Whether the `]` here may be a member because another one closes the class.
    fn closes_later(&self) -> bool {
        let mut ahead = 1;
        while let Some(c) = self.peek_at(ahead) {
            match c {
                ']' => return true,
                '\\' => ahead += 2,
                _ => ahead += 1,
            }
        }
        false
    }
}

/// Puts a class together.
struct Builder {
    members: Members,
    /// What stood before the last `&&`.
    before_and: Option<Members>,
    pending: Pending,
}

impl Builder {
    fn new() -> Self {
        Self {
            members: Members::empty(),
            before_and: None,
            pending: Pending::Nothing,
        }
    }

    fn char(&mut self, c: char, at: usize) -> Placed<()> {
        self.pending = match self.pending {
            Pending::RangeFrom(from) => {
                if from > c {
                    return Err((at, Problem::RangeReversed(from, c)));
                }
                self.members
                    .add(&ClassUnicode::new([ClassUnicodeRange::new(from, c)]), true);
                Pending::Range
            }
            Pending::Range => Pending::Char(c),
            _ => {
                self.flush();
                Pending::Char(c)
            }
        };
        Ok(())
    }

    fn set(&mut self, set: &ClassUnicode, foldable: bool, at: usize) -> Placed<()> {
        if matches!(self.pending, Pending::RangeFrom(_)) {
            return Err((at, Problem::ClassInRange));
        }
        self.flush();
        self.members.add(set, foldable);
        self.pending = Pending::Set;
        Ok(())
    }

    fn join(&mut self, inner: &Members) {
        self.members.all.union(&inner.all);
        self.members.foldable.union(&inner.foldable);
    }

    fn and(&mut self) {
        self.flush();
        self.pending = Pending::Nothing;
        let right = std::mem::replace(&mut self.members, Members::empty());
        self.before_and = Some(match self.before_and.take() {
            Some(left) => left.intersect(&right),
            None => right,
        });
    }

    fn finish(mut self) -> Members {
        self.flush();
        match self.before_and {
            Some(left) => left.intersect(&self.members),
            None => self.members,
        }
    }

    /// Adds a character that turned out to start no range.
    fn flush(&mut self) {
        if let Pending::Char(c) = self.pending {
            self.members.add(&charset::single_range((c, c)), true);
        }
    }
}

impl Members {
    fn empty() -> Self {
        Self {
            all: ClassUnicode::empty(),
            foldable: ClassUnicode::empty(),
        }
    }

    fn add(&mut self, set: &ClassUnicode, foldable: bool) {
        self.all.union(set);
        if foldable {
            self.foldable.union(set);
        }
    }

    fn fold(&mut self) {
        let ascii = charset::single_range(charset::ASCII);
        let mut beyond = ascii.clone();
        beyond.negate();
        let folded = |within: &ClassUnicode, all: &ClassUnicode| {
            let mut set = all.clone();
            set.intersect(within);
            set.case_fold_simple();
            set
        };
        let anywhere = folded(&self.foldable, &self.all);
        for half in [ascii, beyond] {
            let mut set = folded(&half, &self.all);
            set.intersect(&half);
            self.all.union(&set);
        }
        self.all.union(&anywhere);
    }

    fn intersect(mut self, other: &Self) -> Self {
        self.all.intersect(&other.all);
        self.foldable.intersect(&other.foldable);
        self
    }
}
