//! Lists of words parted by blanks, as in `Record key "two words"`.
//!
//! A list is split before its variables are expanded, so that a secret with a blank or a quote
//! inside stays one word. For the same reason `${NAME:-a default}` is not split at its blank.

/// What groups words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// `"…"`, in which `\"` is a quote.
    Double,
    /// `"…"` or `'…'`, in which a backslash escapes that quote and itself.
    Either,
}

/// The words of a list. A quote without its partner is an ordinary character.
pub(super) fn split(text: &str, quotes: Quotes) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_ascii_start();
    let mut references = true;
    while !rest.is_empty() {
        let (word, after) = quoted(rest, quotes).unwrap_or_else(|| {
            let (word, after) = bare(rest, &mut references);
            (word.to_owned(), after)
        });
        words.push(word);
        rest = after.trim_ascii_start();
    }
    words
}

/// The first word and, trimmed, everything after it; quotes mean nothing.
pub(super) fn key_and_rest(text: &str) -> Option<(&str, &str)> {
    let (key, rest) = bare(text.trim_ascii(), &mut true);
    let rest = rest.trim_ascii_start();
    (!key.is_empty() && !rest.is_empty()).then_some((key, rest))
}

/// The word in quotes with which `text` starts, and what follows.
fn quoted(text: &str, quotes: Quotes) -> Option<(String, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|&quote| quote == '"' || (quote == '\'' && quotes == Quotes::Either))?;
    let escapable =
        |character: char| character == quote || (character == '\\' && quotes == Quotes::Either);
    let mut word = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((index, character)) = characters.next() {
        if character == quote {
            return text.get(index + 1..).map(|after| (word, after));
        }
        let escaped = characters.next_if(|&(_, next)| character == '\\' && escapable(next));
        word.push(escaped.map_or(character, |(_, next)| next));
    }
    None
}

/// The text up to the first blank outside `${…}`, and what follows. `references` turns false at the
/// first `${` without its brace: none that follows has one either, and searching again for each
/// would take quadratic time.
fn bare<'a>(text: &'a str, references: &mut bool) -> (&'a str, &'a str) {
    let mut end = 0;
    while let Some(rest) = text.get(end..) {
        let stop = rest
            .find(|character: char| character.is_ascii_whitespace() || character == '$')
            .unwrap_or(rest.len());
        end += stop;
        let Some(reference) = text.get(end..).filter(|rest| rest.starts_with('$')) else {
            break;
        };
        let closing = if *references && reference.starts_with("${") {
            reference.find('}')
        } else {
            None
        };
        *references &= closing.is_some() || !reference.starts_with("${");
        end += closing.map_or(1, |brace| brace + 1);
    }
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_by_blanks_and_joined_by_quotes() {
        for (text, quotes, expected) in [
            ("k1 plain", Quotes::Double, &["k1", "plain"][..]),
            (r#"k2  "two words" "#, Quotes::Double, &["k2", "two words"]),
            (
                r#"k3 "with \"quotes\" inside""#,
                Quotes::Double,
                &["k3", r#"with "quotes" inside"#],
            ),
            (
                r#"a "/^\d\\ x/" b"#,
                Quotes::Double,
                &["a", r"/^\d\\ x/", "b"],
            ),
            (r"k 'a b'", Quotes::Double, &["k", "'a", "b'"]),
            (r"'key one' 'v 1'", Quotes::Either, &["key one", "v 1"]),
            (
                r#"q "say \"hi\" \\ \n" "#,
                Quotes::Either,
                &["q", r#"say "hi" \ \n"#],
            ),
            (r#"empty """#, Quotes::Either, &["empty", ""]),
            (r"it's 'open end", Quotes::Either, &["it's", "'open", "end"]),
            (r#"a"b c" "d"e"#, Quotes::Double, &["a\"b", "c\"", "d", "e"]),
            (
                "k ${X:-a b}c $ ${d e",
                Quotes::Double,
                &["k", "${X:-a b}c", "$", "${d", "e"],
            ),
            ("a\tb", Quotes::Double, &["a", "b"]),
            ("  ", Quotes::Double, &[]),
        ] {
            assert_eq!(split(text, quotes), expected, "{text}");
        }
    }

    #[test]
    fn a_key_and_the_rest_keep_quotes_and_blanks() {
        assert_eq!(
            key_and_rest("log  ^(\"a  b\") "),
            Some(("log", "^(\"a  b\")"))
        );
        assert_eq!(key_and_rest("${K:-a b} c"), Some(("${K:-a b}", "c")));
        assert_eq!(key_and_rest("log "), None);
    }

    #[test]
    fn hostile_lists_take_linear_time() {
        for unit in ["${ ", "\" \\", "' ", "$", "${}", "\"\\\" "] {
            split(&unit.repeat(1 << 20), Quotes::Either);
        }
    }
}
