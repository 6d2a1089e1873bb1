//! The words of a query.

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A key or a word of the language, which has no case.
    Word(String),
    Text(String),
    Integer(i64),
    Float(f64),
    /// `*` `,` `=` `(` `)` `;` `:` `!=` `<>` `<` `<=` `>` `>=`
    Sign(&'static str),
}

/// The signs, the longer ones first.
const SIGNS: [&str; 13] = [
    "!=", "<>", "<=", ">=", "*", ",", "=", "(", ")", ";", ":", "<", ">",
];

/// Why a text has no words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// A quote without its partner.
    #[error("it holds a text that does not end: a quote in a text is written twice")]
    OpenText,
    /// A character that begins no word.
    #[error("`{0}` means nothing in a query")]
    Unknown(char),
    /// A number beyond 64 bits.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// The words of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, TokenError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' => quoted(rest)?,
            '_' | 'A'..='Z' | 'a'..='z' => {
                let word = leading(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                (Token::Word(word.to_owned()), word.len())
            }
            '-' | '0'..='9' => number(rest)?,
            other => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or(TokenError::Unknown(other))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

fn leading(text: &str, wanted: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// A text in quotes; two of them within it are one.
fn quoted(text: &str) -> Result<(Token, usize), TokenError> {
    let mut content = String::new();
    let mut at = 1;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let (part, behind) = rest.split_once('\'').ok_or(TokenError::OpenText)?;
        content.push_str(part);
        at += part.len() + 1;
        if !behind.starts_with('\'') {
            return Ok((Token::Text(content), at));
        }
        content.push('\'');
        at += 1;
    }
}

fn number(text: &str) -> Result<(Token, usize), TokenError> {
    let signs = usize::from(text.starts_with('-'));
    let digits = leading(text.get(signs..).unwrap_or_default(), |c| {
        c.is_ascii_digit()
    });
    if digits.is_empty() {
        return Err(TokenError::Unknown('-'));
    }
    let whole = signs + digits.len();
    let fraction = text.get(whole..).and_then(|rest| rest.strip_prefix('.'));
    let fraction = leading(fraction.unwrap_or_default(), |c| c.is_ascii_digit());
    let length = if fraction.is_empty() {
        whole
    } else {
        whole + 1 + fraction.len()
    };
    let written = text.get(..length).unwrap_or_default();
    let token = if fraction.is_empty() {
        written.parse().map(Token::Integer).ok()
    } else {
        written.parse().map(Token::Float).ok()
    };
    let token = token.ok_or_else(|| TokenError::TooLarge(written.to_owned()))?;
    Ok((token, length))
}
