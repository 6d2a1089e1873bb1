use super::super::Regex;

#[track_caller]
fn check(pattern: &str, message: &str) {
    let error = Regex::new(pattern).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn the_message_names_pattern_place_and_remedy() {
    let error = Regex::new("ab(?P<n>c)").unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"regular expression "ab(?P<n>c)", character 3: (?P<name>...) is not Ruby syntax; write (?<name>...)"#
    );
}

/// Checklist: filters 16, 76
#[test]
fn what_onigmo_refuses_is_refused() {
    for (pattern, message) in [
        ("(a", "never closed"),
        ("a)", "closes no group"),
        ("*", "nothing before it"),
        ("a|+", "nothing before it"),
        ("{2}", "nothing before it"),
        ("(?i)*", "nothing before it"),
        ("[a", "class is never closed"),
        ("[a[]", "class is empty"),
        ("[]", "class is empty"),
        ("[^]", "class is empty"),
        ("[z-a]", "runs backwards"),
        (r"[a-\d]", "end of a range"),
        (r"[\d-a]", "end of a range"),
        ("[[:alpha:]-z]", "end of a range"),
        ("[[:foo:]]", "no class \"foo\""),
        (r"\p{Foo}", "no character property \"Foo\""),
        ("(?P<n>a)", "write (?<name>"),
        ("(?s)a", "write (?m)"),
        ("(?s:a)", "write (?m)"),
        ("(?-a)b", "cannot follow"),
        ("(?z)", "cannot follow"),
        ("(?", "never closed"),
        ("(?#a", "never closed"),
        ("(?<a-b>a)", "no group name"),
        ("(?<1>a)", "no group name"),
        ("(?<>a)", "no group name"),
        (r"\1", "no group \"1\""),
        (r"(a)\2", "no group \"2\""),
        (r"\k<x>", "no group \"x\""),
        (r"(?<x>a)\1", "has no number"),
        (r"(?<=a+)b", "fixed width"),
        (r"(?<=(?:a|bc)d)e", "fixed width"),
        (r"(?<=(?=a))b", "takes no look-ahead"),
        (r"(?<!(a))b", "no capturing group"),
        ("a{2,1}", "swap the numbers"),
        ("a{100001}", "at most 100000"),
        ("a\\", "inside an escape"),
        (r"\c", "inside an escape"),
        (r"\u12", "four digits"),
        (r"\x{110000}", "up to 10FFFF"),
        (r"\400", "no character"),
        (r"\xE9", "no character"),
    ] {
        check(pattern, message);
    }
}

#[test]
fn limits_are_kept() {
    check(&"a".repeat(16_385), "at most 16384 characters");
    check(&"(".repeat(60), "nested too deep");
    check(&"[".repeat(60), "nested too deep");
    check(&"(?i)".repeat(60), "nested too deep");
    check(&format!("a{}", "{2}".repeat(60)), "nested too deep");
    check(r"(?:[[:alpha:]]{1000}){1000}", "too much memory");
    check(
        r"(?=[[:alpha:]]{1000}){1000}(?:[[:alpha:]]{1000}){1000}",
        "too much memory",
    );
    check(r"(?~a|bc)", "not supported");
}
