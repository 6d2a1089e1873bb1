//! Everything that starts with a backslash.

use regex_syntax::hir::ClassUnicode;

use super::ast::{Assertion, Named, Node, Reference, Target};
use super::bytes::stand_in;
use super::charset;
use super::error::Problem;
use super::parse::{Charset, Parser, Placed};

/// `\R`, beside CR LF: the other line breaks.
const LINE_BREAKS: [char; 7] = ['\n', '\x0B', '\x0C', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
/// The largest number that can be a back reference.
const MAX_REFERENCE: usize = 1000;

impl Parser {
    /// What follows a backslash at `start`, outside a class.
    pub(super) fn escape(&mut self, start: usize) -> Placed<Node> {
        let folded = self.flags.ignore_case && matches!(self.peek(), Some('p' | 'P'));
        if let Some(mut set) = self.set_escape(start)? {
            if folded {
                set.case_fold_simple();
            }
            return Ok(Node::Set(set));
        }
        let c = self.peek().ok_or((start, Problem::EscapeAtEnd))?;
        self.at += 1;
        let ascii = self.flags.charset == Charset::Ascii;
        let assertion = match c {
            // `\G` is where the search starts, and that is always the start of the text.
            'A' | 'G' => Assertion::TextStart,
            'z' => Assertion::TextEnd,
            'Z' => Assertion::TextEndOrNewline,
            'b' if ascii => Assertion::AsciiWordBoundary,
            'B' if ascii => Assertion::NotAsciiWordBoundary,
            'b' => Assertion::WordBoundary,
            'B' => Assertion::NotWordBoundary,
            'K' => return Ok(Node::Keep),
            'R' => return Ok(line_break()),
            'X' => return Ok(Node::Grapheme),
            'k' | 'g' if matches!(self.peek(), Some('<' | '\'')) => {
                return self.reference(start, c == 'g');
            }
            '1'..='9' => return self.number_escape(start),
            _ => {
                self.at -= 1;
                return self.char_escape(start).map(|c| self.literal(c));
            }
        };
        Ok(Node::Assert(assertion))
    }

    /// The escapes that stand for a set, in classes too.
    pub(super) fn set_escape(&mut self, start: usize) -> Placed<Option<ClassUnicode>> {
        let Some(c) = self.peek() else {
            return Ok(None);
        };
        let name = match c.to_ascii_lowercase() {
            'w' => "word",
            'd' => "digit",
            's' => "space",
            'h' => "xdigit",
            'p' if self.peek_at(1) == Some('{') => {
                self.at += 2;
                return self.property(start, c == 'P').map(Some);
            }
            _ => return Ok(None),
        };
        self.at += 1;
        let mut set = charset::posix(name, self.flags.charset != Charset::Unicode);
        if let Some(set) = set.as_mut().filter(|_| c.is_ascii_uppercase()) {
            set.negate();
        }
        Ok(set)
    }

    fn property(&mut self, start: usize, negated: bool) -> Placed<ClassUnicode> {
        let negated = negated != self.eat('^');
        let name = self.until('}').ok_or((start, Problem::EscapeAtEnd))?;
        let mut set = charset::property(&name).ok_or((start, Problem::UnknownProperty(name)))?;
        if negated {
            set.negate();
        }
        Ok(set)
    }

    /// The escapes that stand for one character, in classes too.
    pub(super) fn char_escape(&mut self, start: usize) -> Placed<char> {
        let c = self.next().ok_or((start, Problem::EscapeAtEnd))?;
        match c {
            't' => Ok('\t'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            'f' => Ok('\x0C'),
            'a' => Ok('\x07'),
            'v' => Ok('\x0B'),
            'e' => Ok('\x1B'),
            'c' => self.control(start),
            'C' if self.eat('-') => self.control(start),
            'C' | 'M' => Err((
                start,
                Problem::Unsupported("\\C and \\M", "write the character as \\x and its code"),
            )),
            'x' => self.hexadecimal(start),
            'u' if self.peek().is_some() => {
                let code = self.digits(16, 4).filter(|(_, length)| *length == 4);
                character(code.map(|(code, _)| code), start)
            }
            '0'..='7' => {
                self.at -= 1;
                let code = self.digits(8, 3).map(|(code, _)| code);
                self.byte(code.unwrap_or(0), 8, start)
            }
            other => Ok(other),
        }
    }

    fn control(&mut self, start: usize) -> Placed<char> {
        match self.next().ok_or((start, Problem::EscapeAtEnd))? {
            '?' => Ok('\x7F'),
            '\\' => {
                let c = self.char_escape(start)?;
                character(Some(u32::from(c) & 0x9F), start)
            }
            c => character(Some(u32::from(c) & 0x9F), start),
        }
    }

    /// `\x41` or `\x{1F600}`.
    fn hexadecimal(&mut self, start: usize) -> Placed<char> {
        let before = self.at;
        if self.eat('{') {
            if let Some((code, _)) = self.digits(16, 8)
                && self.eat('}')
            {
                return character(Some(code), start);
            }
            self.at = before;
            return Ok('x');
        }
        if self.peek().is_none() {
            return Ok('x');
        }
        let code = self.digits(16, 2).map_or(0, |(code, _)| code);
        self.byte(code, 16, start)
    }

    /// A byte, which with the bytes written after it in the same way may be one character.
    fn byte(&mut self, code: u32, radix: u32, start: usize) -> Placed<char> {
        let Ok(first) = u8::try_from(code) else {
            return Err((start, Problem::BadCharacter));
        };
        let length = match first {
            0..=0x7F => return Ok(char::from(first)),
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => return Ok(stand_in(first)),
        };
        let mut bytes = vec![first];
        while bytes.len() < length {
            let prefix = if radix == 16 { "\\x" } else { "\\" };
            if !self.looking_at(prefix) {
                return Err((start, Problem::BadCharacter));
            }
            self.at += prefix.len();
            let next = self.digits(radix, if radix == 16 { 2 } else { 3 });
            let next = next.and_then(|(code, _)| u8::try_from(code).ok());
            bytes.push(next.ok_or((start, Problem::BadCharacter))?);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| (start, Problem::BadCharacter))?;
        text.chars().next().ok_or((start, Problem::BadCharacter))
    }

    /// Up to `most` digits and their number; `None` if there are none.
    fn digits(&mut self, radix: u32, most: usize) -> Option<(u32, usize)> {
        let mut code: u32 = 0;
        let mut length = 0;
        while length < most
            && let Some(digit) = self.peek().and_then(|c| c.to_digit(radix))
        {
            code = code.saturating_mul(radix).saturating_add(digit);
            length += 1;
            self.at += 1;
        }
        (length > 0).then_some((code, length))
    }

    /// `\1`: a reference if it has one digit or there are that many groups already, else octal digits.
    fn number_escape(&mut self, start: usize) -> Placed<Node> {
        self.at -= 1;
        let digits = self.at;
        let mut number: usize = 0;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            number = number.saturating_mul(10).saturating_add(digit as usize);
            self.at += 1;
        }
        if number <= MAX_REFERENCE && (number <= 9 || number <= self.groups.len()) {
            return Ok(self.reference_to(Named::Number(number), start));
        }
        self.at = digits;
        self.char_escape(start).map(|c| self.literal(c))
    }

    /// `\k<name>`, `\k<-1>`, or the call `\g<name>`.
    fn reference(&mut self, start: usize, call: bool) -> Placed<Node> {
        let end = if self.next() == Some('<') { '>' } else { '\'' };
        let name = self.until(end).ok_or((start, Problem::EscapeAtEnd))?;
        let group = self
            .target(&name)
            .ok_or((start, Problem::UnknownReference(name)))?;
        if call {
            return Ok(Node::Call(Target { group, at: start }));
        }
        Ok(self.reference_to(group, start))
    }

    /// A name, a number, or a number counted from here.
    fn target(&self, name: &str) -> Option<Named> {
        if let Some(back) = name.strip_prefix('-') {
            let number = (self.groups.len() + 1).checked_sub(back.parse().ok()?)?;
            return Some(Named::Number(number));
        }
        if let Some(ahead) = name.strip_prefix('+') {
            return self
                .groups
                .len()
                .checked_add(ahead.parse().ok()?)
                .map(Named::Number);
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return name.parse().ok().map(Named::Number);
        }
        super::group::is_name(name).then(|| Named::Name(name.to_owned()))
    }

    fn reference_to(&self, group: Named, at: usize) -> Node {
        Node::Reference(Reference {
            target: Target { group, at },
            fold: self.flags.ignore_case,
        })
    }
}

fn character(code: Option<u32>, start: usize) -> Placed<char> {
    code.and_then(char::from_u32)
        .ok_or((start, Problem::BadCharacter))
}

fn line_break() -> Node {
    let crlf = Node::Concat(vec![Node::Char('\r'), Node::Char('\n')]);
    let mut set = ClassUnicode::empty();
    for c in LINE_BREAKS {
        set.union(&charset::single_range((c, c)));
    }
    Node::Atomic(Box::new(Node::Alternate(vec![crlf, Node::Set(set)])))
}
