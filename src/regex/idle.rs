//! Parts of a pattern that only matter for where a match lies, not for whether there is one.
//!
//! `^.*[aA]ccess.*$`, a form that `FireLens` users write, matches where `[aA]ccess` does: before that there is always
//! a start of line with any characters after it, and behind it any characters up to an end of line. Without these
//! parts the engine can look for the literal, which takes a fifteenth of the time.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::ast::{Assertion, Greed, Node};

/// The pattern without such parts; `None` if it has none.
///
/// It agrees with the whole pattern on every text that ends in no newline, and on every text if
/// [`Node::heeds_final_newline`] is false.
pub(super) fn without_idle_ends(root: &Node) -> Option<Node> {
    let Node::Concat(nodes) = root else {
        return None;
    };
    let rest = match nodes.as_slice() {
        [Node::Assert(Assertion::LineStart), any, rest @ ..] if is_any_text(any) => rest,
        [any, rest @ ..] if is_any_text(any) => rest,
        all => all,
    };
    let rest = match rest {
        [rest @ .., any, Node::Assert(Assertion::LineEnd)] if is_any_text(any) => rest,
        [rest @ .., any] if is_any_text(any) => rest,
        all => all,
    };
    (rest.len() < nodes.len()).then(|| Node::concat(rest.to_vec()))
}

/// `.*` or `.*?`.
fn is_any_text(node: &Node) -> bool {
    let Node::Repeat(repeat) = node else {
        return false;
    };
    let Node::Set(set) = &repeat.body else {
        return false;
    };
    let mut missing = set.clone();
    missing.negate();
    missing.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
    missing.ranges().is_empty()
        && repeat.min == 0
        && repeat.max.is_none()
        && repeat.greed != Greed::Possessive
}

#[cfg(test)]
mod tests {
    use super::super::Regex;

    #[test]
    fn idle_ends_change_no_answer() {
        let patterns = [
            "^.*b.*$",
            ".*b",
            "b.*",
            "^.*$",
            "^.*",
            ".*$",
            "^.*?b$",
            "(?m)^.*b.*$",
            "^.*(?:b|$).*",
            "^.*\\n.*$",
        ];
        let texts = [
            "", "b", "ab", "a\n", "\n", "\nb", "a\nb\n", "ba\n\n", "a", "b\u{e9}b",
        ];
        for pattern in patterns {
            let regex = Regex::new(pattern).unwrap();
            let whole = Regex::new(&format!("(?:{pattern}|(?!))")).unwrap();
            for text in texts {
                assert_eq!(
                    regex.is_match(text.as_bytes()),
                    whole.is_match(text.as_bytes()),
                    "{pattern} on {text:?}"
                );
            }
        }
    }
}
