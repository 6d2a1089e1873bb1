use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{Captures, Regex};

/// Far above what the step limit allows for a short text on a busy machine, far below a hang.
const PATIENCE: Duration = Duration::from_mins(1);

fn pattern() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "é",
        ".",
        "^",
        "$",
        "\\A",
        "\\Z",
        "\\z",
        "\\b",
        "\\B",
        "\\w",
        "\\D",
        "\\h",
        "\\R",
        "\\X",
        "\\K",
        "\\1",
        "\\k<n>",
        "\\g<n>",
        "\\g<1>",
        "(",
        "(?:",
        "(?i)",
        "(?m:",
        "(?x)",
        "(?=",
        "(?!",
        "(?<=",
        "(?<!",
        "(?>",
        "(?~",
        "(?(1)",
        "(?<n>",
        "(?#",
        ")",
        ")",
        ")",
        "|",
        "*",
        "+",
        "?",
        "{2}",
        "{1,3}",
        "{,2}",
        "{",
        "}",
        "[",
        "[^",
        "]",
        "]",
        "-",
        "&&",
        "[:alpha:]",
        "\\p{L}",
        "\\x{e9}",
        "\\xff",
        "\\",
        "\\c",
        "\n",
        "#",
        " ",
        "/",
        "1",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24)
        .prop_map(|pieces| pieces.concat())
}

fn try_all(pattern: &str, text: &[u8]) {
    let start = Instant::now();
    if let Ok(regex) = Regex::new(pattern) {
        let mut captures = Captures::default();
        let found = regex.captures(text, &mut captures);
        if regex.given_up() == 0 {
            assert_eq!(regex.is_match(text), found, "{pattern:?} on {text:?}");
        }
        assert_eq!(captures.get(0).is_some(), found);
        for group in 0..20 {
            assert!(
                captures
                    .get(group)
                    .is_none_or(|place| text.get(place).is_some()),
                "{pattern:?} on {text:?}"
            );
        }
        let _ = regex.matches_at_start(text);
    }
    assert!(
        start.elapsed() < PATIENCE,
        "{pattern:?} on {text:?} took {:?}",
        start.elapsed()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_likely_pattern_harms(pattern in pattern(), text in "[ab1é \n]{0,40}") {
        try_all(&pattern, text.as_bytes());
    }

    #[test]
    fn no_pattern_and_no_bytes_harm(pattern in any::<String>(), text in prop::collection::vec(any::<u8>(), 0..64)) {
        try_all(&pattern, &text);
    }

    #[test]
    fn no_likely_pattern_harms_on_bytes(pattern in pattern(), text in prop::collection::vec(any::<u8>(), 0..64)) {
        try_all(&pattern, &text);
    }
}

#[test]
fn a_search_that_takes_too_many_steps_is_given_up_and_counted() {
    let regex = Regex::new(r"(?<!z)(x*x*x*)*y(?!a)").unwrap();
    assert!(!regex.is_match(&[b'x'; 2000]));
    assert_eq!(regex.given_up(), 1);
}
