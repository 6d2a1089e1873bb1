//! A query from its words, and a task of the stream processor, which is a query with two ends.
//!
//! ```text
//! query      SELECT keys FROM STREAM [name] [WHERE any] [;]
//! task       CREATE STREAM name [WITH (name = 'text' [, name = 'text']..)] AS
//!            SELECT keys FROM source [WHERE any] [;]
//! source     STREAM:name | TAG:'pattern'
//! keys       key [, key]..        key   * | name [AS name]
//! any        all [OR all]..       all   one [AND one]..
//! one        NOT one | ( any ) | value | name | name IS [NOT] NULL | name sign value
//! value      number | 'text' | TRUE | FALSE
//! ```

use super::condition::{Comparison, Condition, Constant};
use super::task::{Source, Task};
use super::token::{Token, TokenError, tokens};
use super::{Query, Selected};

/// Parentheses and `NOT` that may stand within each other.
const DEPTH_MAX: usize = 64;

/// Words of the language that are no names.
const RESERVED: [&str; 11] = [
    "SELECT", "AS", "FROM", "STREAM", "WHERE", "AND", "OR", "NOT", "IS", "NULL", "TRUE",
];

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    /// It has no words.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A word in the wrong place.
    #[error("`{found}` stands where {wanted} belongs")]
    Unexpected {
        /// The word.
        found: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// It ends too soon.
    #[error("it ends where {0} belongs")]
    End(&'static str),
    /// Nobody writes this.
    #[error("conditions are nested more than {DEPTH_MAX} deep")]
    Depth,
}

/// Reads a query.
pub(super) fn query(text: &str) -> Result<Query, QueryError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    parser.expect("SELECT")?;
    let keys = parser.keys()?;
    parser.expect("FROM")?;
    parser.expect("STREAM")?;
    if parser.name().is_some() {
        // The name of a stream is for later versions of Fluent Bit.
        parser.at += 1;
    }
    let condition = parser.condition()?;
    Ok(Query { keys, condition })
}

/// Reads a task.
pub(super) fn task(text: &str) -> Result<Task, QueryError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    parser.expect("CREATE")?;
    parser.expect("STREAM")?;
    let name = parser.take_name("the name of the stream")?;
    let properties = parser.properties()?;
    parser.expect("AS")?;
    parser.expect("SELECT")?;
    let keys = parser.keys()?;
    parser.expect("FROM")?;
    let source = parser.source()?;
    let condition = parser.condition()?;
    Ok(Task {
        name,
        properties,
        source,
        query: Query { keys, condition },
    })
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Whether a word of the language or a sign comes next.
    fn is_next(&self, word: &str) -> bool {
        match self.peek() {
            Some(Token::Word(next)) => next.eq_ignore_ascii_case(word),
            Some(Token::Sign(next)) => *next == word,
            _ => false,
        }
    }

    /// Takes it if it does.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.is_next(word);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, word: &'static str) -> Result<(), QueryError> {
        if self.takes(word) {
            Ok(())
        } else {
            Err(self.wrong(word))
        }
    }

    /// The name that comes next.
    fn name(&self) -> Option<&str> {
        let is_reserved = |word: &str| {
            let mut reserved = RESERVED.iter().chain(&["FALSE"]);
            reserved.any(|known| word.eq_ignore_ascii_case(known))
        };
        match self.peek() {
            Some(Token::Word(word)) if !is_reserved(word) => Some(word),
            _ => None,
        }
    }

    fn take_name(&mut self, wanted: &'static str) -> Result<String, QueryError> {
        let name = self.name().map(str::to_owned);
        let name = name.ok_or_else(|| self.wrong(wanted))?;
        self.at += 1;
        Ok(name)
    }

    /// The mistake that something else than `wanted` comes next.
    fn wrong(&self, wanted: &'static str) -> QueryError {
        let found = match self.peek() {
            None => return QueryError::End(wanted),
            Some(Token::Word(text)) => text.clone(),
            Some(Token::Text(text)) => format!("'{text}'"),
            Some(Token::Integer(number)) => number.to_string(),
            Some(Token::Float(number)) => number.to_string(),
            Some(Token::Sign(sign)) => (*sign).to_owned(),
        };
        QueryError::Unexpected { found, wanted }
    }

    /// The keys selected; `None` where a star is among them.
    fn keys(&mut self) -> Result<Option<Vec<Selected>>, QueryError> {
        let mut keys = Vec::new();
        let mut is_all = false;
        loop {
            if self.takes("*") {
                is_all = true;
            } else {
                let key = self.take_name("a key or *")?;
                let name = if self.takes("AS") {
                    Some(self.take_name("a name")?)
                } else {
                    None
                };
                keys.push((key, name));
            }
            if !self.takes(",") {
                return Ok((!is_all).then_some(keys));
            }
        }
    }

    /// What stands behind `WITH`.
    fn properties(&mut self) -> Result<Vec<(String, String)>, QueryError> {
        let mut properties = Vec::new();
        if !self.takes("WITH") {
            return Ok(properties);
        }
        self.expect("(")?;
        loop {
            let name = self.take_name("the name of a property")?;
            self.expect("=")?;
            properties.push((
                name.to_ascii_lowercase(),
                self.take_text("a text in quotes")?,
            ));
            if !self.takes(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(properties)
    }

    fn source(&mut self) -> Result<Source, QueryError> {
        let is_stream = self.takes("STREAM");
        if !is_stream {
            self.expect("TAG")?;
        }
        self.expect(":")?;
        if is_stream {
            Ok(Source::Stream(self.take_name("the name of a stream")?))
        } else {
            Ok(Source::Tag(self.take_text("a pattern in quotes")?))
        }
    }

    fn take_text(&mut self, wanted: &'static str) -> Result<String, QueryError> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.wrong(wanted)),
        }
    }

    /// What stands behind `WHERE`, and the end.
    fn condition(&mut self) -> Result<Option<Condition>, QueryError> {
        let condition = if self.takes("WHERE") {
            Some(self.any()?)
        } else {
            None
        };
        self.takes(";");
        match self.peek() {
            None => Ok(condition),
            Some(_) => Err(self.wrong("the end")),
        }
    }

    fn any(&mut self) -> Result<Condition, QueryError> {
        let mut all = vec![self.all()?];
        while self.takes("OR") {
            all.push(self.all()?);
        }
        Ok(match all.pop() {
            Some(one) if all.is_empty() => one,
            last => Condition::Any(all.into_iter().chain(last).collect()),
        })
    }

    fn all(&mut self) -> Result<Condition, QueryError> {
        let mut all = vec![self.one()?];
        while self.takes("AND") {
            all.push(self.one()?);
        }
        Ok(match all.pop() {
            Some(one) if all.is_empty() => one,
            last => Condition::All(all.into_iter().chain(last).collect()),
        })
    }

    fn one(&mut self) -> Result<Condition, QueryError> {
        if self.depth > DEPTH_MAX {
            return Err(QueryError::Depth);
        }
        self.depth += 1;
        let condition = if self.takes("NOT") {
            Condition::Not(Box::new(self.one()?))
        } else if self.takes("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else if let Some(constant) = self.constant() {
            Condition::Constant(constant)
        } else {
            self.about_key()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    /// A condition that begins with a key.
    fn about_key(&mut self) -> Result<Condition, QueryError> {
        let key = self.take_name("a condition")?;
        if self.takes("IS") {
            let is_not = self.takes("NOT");
            self.expect("NULL")?;
            let null = Condition::Compares(key, Comparison::Equal, Constant::Null);
            return Ok(if is_not {
                Condition::Not(Box::new(null))
            } else {
                null
            });
        }
        let sign = match self.peek() {
            Some(Token::Sign(sign)) => Comparison::of(sign),
            _ => None,
        };
        let Some((comparison, is_negated)) = sign else {
            return Ok(Condition::Key(key));
        };
        self.at += 1;
        let constant = self.constant();
        let constant = constant.ok_or_else(|| self.wrong("a number, a text, true or false"))?;
        let condition = Condition::Compares(key, comparison, constant);
        Ok(if is_negated {
            Condition::Not(Box::new(condition))
        } else {
            condition
        })
    }

    fn constant(&mut self) -> Option<Constant> {
        let constant = match self.peek()? {
            Token::Text(text) => Constant::Text(text.clone()),
            Token::Integer(number) => Constant::Integer(*number),
            Token::Float(number) => Constant::Float(*number),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Constant::Bool(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Constant::Bool(false),
            _ => return None,
        };
        self.at += 1;
        Some(constant)
    }
}
