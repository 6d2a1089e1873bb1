use super::super::Regex;

fn check(pattern: &str, hits: &[&str], misses: &[&str]) {
    let regex = Regex::new(pattern).unwrap();
    for hit in hits {
        assert!(
            regex.is_match(hit.as_bytes()),
            "{pattern} finds nothing in {hit:?}"
        );
    }
    for miss in misses {
        assert!(
            !regex.is_match(miss.as_bytes()),
            "{pattern} finds something in {miss:?}"
        );
    }
}

#[test]
fn grep_ascii_classes() {
    check(r"^\w+$", &["word", "123", "a_1"], &["naïve", "٣٣"]);
    check(r"^\d+$", &["123"], &["word", "٣٣", "a_1"]);
}

#[test]
fn grep_words_and_alternatives() {
    check("drop", &["drop 2", "drop 5"], &["keep 1"]);
    check("^b", &["b1"], &["a"]);
    check("^a", &["abc"], &["xyz"]);
    check("[Ee]rror", &["Error: disk", "an error"], &["ERROR", ""]);
    check(
        "connection reset by peer",
        &["oops: connection reset by peer!"],
        &["connection  reset"],
    );
    check("^(WARN|ERROR)$", &["WARN", "ERROR"], &["INFO"]);
    check(r"^5\d\d$", &["503", "500"], &["200"]);
    check("^y$", &["y"], &["yy"]);
    check("^web", &["web-1", "web"], &["db"]);
}

#[test]
fn grep_flags() {
    check(
        "(?i)get|post",
        &["GET /a", "post /b", "POST /c", "GET /healthcheck"],
        &["DELETE /d"],
    );
    check("/^err(or)?:/i", &["ERROR: x", "err: y"], &["warn: error:"]);
}

#[test]
fn grep_escaped_angle() {
    check(
        r"^\<\d+\>1 \{[^}]*}$",
        &["<13>1 {a}"],
        &["13>1 {a}", "<13>1 {a"],
    );
}

#[test]
fn grep_firelens_generated() {
    check(
        "^.*[aA]ccess.*$",
        &["an access log", "Access debug", "x\nAccess\n"],
        &["other", ""],
    );
    check(
        "^.*[Dd]ebug.*$",
        &["Access debug"],
        &["an access log", "other"],
    );
}

#[test]
fn grep_hex_and_possessive() {
    check(
        r"^\h{4}-\h++-x$",
        &["AbC9-ff-x", "0000-fff0-x"],
        &["AbCg-ff-x", "0000-fff0"],
    );
}

#[test]
fn grep_line_anchors() {
    check("^b.d$", &["abc\nbad\nxyz", "bad\n"], &["b\nd", "xbad"]);
    check(
        "^DEBUG",
        &["DEBUG x", "line one\nDEBUG two"],
        &["INFO DEBUG"],
    );
}

#[test]
fn grep_lookaround() {
    let pattern = r"^(?!.*(?:GET /health|kube-probe)).*(?<=status=)[45]\d\d";
    check(
        pattern,
        &["GET /a status=500", "POST /c status=404 x"],
        &[
            "GET /health status=500",
            "GET /b status=200",
            "kube-probe status=404",
        ],
    );
}

#[test]
fn grep_posix_unicode() {
    check("^[[:alpha:]]+$", &["naïve", "日本", "Ωmega"], &["abc1"]);
}

#[test]
fn modify_remove_regex() {
    let names = ["hostname", "systemd_unit", "message", "x_message"];
    check(
        r"^((?!hostname|systemd_unit|message).)*$",
        &["pid", "", "x"],
        &names,
    );
}

#[test]
fn rewrite_tag_load_test() {
    check(
        r".*(?<!NUHMVLCZCSUUHGTE)$",
        &["other"],
        &["xNUHMVLCZCSUUHGTE"],
    );
}

#[test]
fn match_regex_is_anchored_at_the_start_and_needs_a_character() {
    let starts = |pattern: &str, tag: &str| {
        Regex::new(pattern)
            .unwrap()
            .matches_at_start(tag.as_bytes())
    };
    assert!(!starts("b.log$", "app.b.log"));
    assert!(starts(".*b.log$", "app.b.log"));
    assert!(starts("app", "app.b.log"));
    assert!(!starts("(?=app)", "app.b.log"));
    assert!(!starts("x*", "app"));
    assert!(starts("(?>app)", "app"));
    assert!(!starts("(?>b)", "app.b"));
    assert!(!starts("a??", "a"));
}

#[test]
fn a_pattern_is_shared_by_threads() {
    let regex = Regex::new("^a").unwrap();
    let shared = regex.clone();
    let other = std::thread::spawn(move || shared.is_match(b"ab"));
    assert!(regex.is_match(b"ab") && other.join().unwrap());
}
