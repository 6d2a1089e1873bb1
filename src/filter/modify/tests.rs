use super::super::testing::{check, refused};
use super::build;

#[test]
fn pairs_are_set_and_added() {
    check(
        build,
        &[
            ("add", "env prod"),
            ("add", "log no"),
            ("set", "level INFO"),
        ],
        &[
            (
                r#"{"log":"x","level":"DEBUG","n":1}"#,
                r#"{"log":"x","n":1,"env":"prod","level":"INFO"}"#,
            ),
            (
                r#"{"level":1,"level":2}"#,
                r#"{"env":"prod","log":"no","level":"INFO"}"#,
            ),
        ],
    );
}

#[test]
fn pairs_are_renamed_where_they_stand() {
    check(
        build,
        &[
            ("rename", "container_name ecs_container"),
            ("rename", "a b"),
        ],
        &[
            (
                r#"{"container_name":"/web","a":1}"#,
                r#"{"ecs_container":"/web","b":1}"#,
            ),
            (r#"{"a":1,"b":2}"#, "="),
            (r#"{"a":1,"c":0,"a":2}"#, r#"{"b":1,"c":0,"b":2}"#),
            ("{}", "="),
        ],
    );
    check(
        build,
        &[("hard_rename", "a b")],
        &[
            (r#"{"a":1,"b":2,"c":3}"#, r#"{"b":1,"c":3}"#),
            (r#"{"b":2}"#, "="),
        ],
    );
    check(
        build,
        &[("rename", "a.b c")],
        &[(r#"{"a.b":1,"a":{"b":2}}"#, r#"{"c":1,"a":{"b":2}}"#)],
    );
}

#[test]
fn copies_stand_behind_the_original() {
    check(
        build,
        &[("copy", "a b"), ("hard_copy", "c d")],
        &[
            (
                r#"{"a":{"k":1},"c":1,"d":2}"#,
                r#"{"a":{"k":1},"b":{"k":1},"c":1,"d":1}"#,
            ),
            (r#"{"a":1,"b":2,"z":0}"#, "="),
            (r#"{"a":1,"a":2,"c":1,"c":2}"#, "="),
            (r#"{"c":1,"d":2,"d":3}"#, "="),
            (r#"{"d":1}"#, "="),
        ],
    );
}

/// Checklist: filters 23
#[test]
fn rules_run_in_their_order() {
    check(
        build,
        &[
            ("add", "a 1"),
            ("rename", "a b"),
            ("copy", "b c"),
            ("remove", "b"),
            ("add", "a 2"),
            ("set", "c 3"),
        ],
        &[(r#"{"x":0}"#, r#"{"x":0,"a":"2","c":"3"}"#)],
    );
}

#[test]
fn keys_are_removed_by_name_prefix_and_pattern() {
    check(
        build,
        &[("remove", "a")],
        &[(r#"{"a":1}"#, "{}"), (r#"{"A":1}"#, "=")],
    );
    check(
        build,
        &[("remove_wildcard", "ab")],
        &[
            (r#"{"abc":1,"ab":2,"AB":3,"a":4}"#, r#"{"AB":3,"a":4}"#),
            (r#"{"a":"bc"}"#, "="),
        ],
    );
    check(
        build,
        &[("remove_wildcard", "a*")],
        &[(r#"{"a*b":1,"ab":2}"#, r#"{"ab":2}"#)],
    );
    check(
        build,
        &[("remove_regex", "^((?!hostname|systemd_unit|message).)*$")],
        &[(
            r#"{"hostname":"h","message":"m","pid":1,"x_message":2}"#,
            r#"{"hostname":"h","message":"m","x_message":2}"#,
        )],
    );
}

#[test]
fn pairs_are_moved_in_their_order() {
    check(
        build,
        &[("move_to_start", "z"), ("move_to_end", "a")],
        &[(
            r#"{"a":1,"b":2,"ab":3,"z":4,"c":5,"zz":6}"#,
            r#"{"z":4,"zz":6,"b":2,"c":5,"a":1,"ab":3}"#,
        )],
    );
}

/// Checklist: filters 25, 27
#[test]
fn words_are_plain_text() {
    check(
        build,
        &[
            ("set", "a [x"),
            ("add", "b *"),
            ("rename", "c(d e"),
            ("set", r#"'k 1' "say \"hi\"""#),
            ("set", "n \"\""),
        ],
        &[(
            r#"{"c(d":1}"#,
            r#"{"e":1,"a":"[x","b":"*","k 1":"say \"hi\"","n":""}"#,
        )],
    );
}

/// Checklist: filters 23
#[test]
fn conditions_are_looked_at_first_and_must_all_hold() {
    check(
        build,
        &[
            ("remove", "a"),
            ("condition", "Key_value_matches b ^y"),
            ("set", "hit 1"),
            ("condition", "key_exists a"),
        ],
        &[
            (r#"{"a":1,"b":"yes"}"#, r#"{"b":"yes","hit":"1"}"#),
            (r#"{"a":1,"b":"no"}"#, "="),
            (r#"{"a":1}"#, "="),
            (r#"{"b":"y"}"#, "="),
        ],
    );
}

/// Which of these records a condition lets pass.
fn holds(condition: &str) -> Vec<usize> {
    const RECORDS: [&str; 9] = [
        r#"{"k":"text"}"#,
        r#"{"k":5}"#,
        r#"{"k":true}"#,
        r#"{"k":null}"#,
        r#"{"k":{"s":"text"}}"#,
        r#"{"k":["text"]}"#,
        r#"{"other":"text"}"#,
        r#"{"k":"no","kk":"text"}"#,
        r#"{"k":false}"#,
    ];
    let (filter, problems) =
        super::super::testing::built(build, &[("condition", condition), ("add", "hit 1")]);
    assert!(problems.is_empty(), "{problems:?}");
    let hit = |record: &&str| {
        super::super::testing::filtered(&*filter, record).is_some_and(|json| json.contains("hit"))
    };
    (0..RECORDS.len())
        .filter(|index| hit(&RECORDS[*index]))
        .collect()
}

/// Checklist: filters 24
#[test]
fn every_condition_has_its_opposite() {
    for (condition, expected) in [
        ("key_exists k", &[0, 1, 2, 3, 4, 5, 7, 8][..]),
        ("KEY_DOES_NOT_EXIST k", &[6]),
        ("key_exists $k['s']", &[0, 1, 2, 3, 4, 7, 8]),
        ("a_key_matches ^kk$", &[7]),
        ("no_key_matches ^kk$", &[0, 1, 2, 3, 4, 5, 6, 8]),
        ("key_value_equals k text", &[0]),
        ("key_value_equals k 5", &[]),
        ("key_value_equals $k['s'] text", &[0, 4]),
        ("key_value_equals k", &[]),
        ("key_value_does_not_equal k text", &[1, 2, 3, 4, 5, 7, 8]),
        ("key_value_matches k ex|rue|al", &[0, 2, 8]),
        ("key_value_does_not_match k ex|rue", &[1, 3, 4, 5, 7, 8]),
        ("matching_keys_have_matching_values k ex", &[0, 6]),
        (
            "matching_keys_do_not_have_matching_values k ex",
            &[1, 2, 3, 4, 5, 7, 8],
        ),
    ] {
        assert_eq!(holds(condition), expected, "{condition}");
    }
}

/// Checklist: filters 27
#[test]
fn what_cannot_be_meant_is_refused() {
    for (key, value, words) in [
        ("add", "key some value", "3 words, not 2"),
        ("set", "key", "1 words, not 2"),
        ("remove", "a b", "2 words, not 1"),
        ("remove_regex", "(a", "remove_regex"),
        ("condition", "key_exists $a[", "bracket"),
        ("condition", "key_is_nice a", "no condition"),
        ("condition", "key_value_matches a", "second word"),
        ("condition", "a_key_matches \"\"", "empty"),
        ("condition", "key_exists", "1 words, not 2 to 3"),
        ("condition", "key_value_equals a two words", "4 words"),
        ("frobnicate", "a", "unknown"),
    ] {
        refused(build, &[(key, value)], words);
    }
}

/// Checklist: filters 22
#[test]
fn every_rule_says_what_becomes_of_its_source_and_its_target() {
    // Neither, the source, the target, both.
    let records = [
        r#"{"x":0}"#,
        r#"{"a":1,"x":0}"#,
        r#"{"b":2,"x":0}"#,
        r#"{"a":1,"b":2,"x":0}"#,
    ];
    for (rule, arguments, expected) in [
        ("rename", "a b", ["=", r#"{"b":1,"x":0}"#, "=", "="]),
        (
            "hard_rename",
            "a b",
            ["=", r#"{"b":1,"x":0}"#, "=", r#"{"b":1,"x":0}"#],
        ),
        ("copy", "a b", ["=", r#"{"a":1,"b":1,"x":0}"#, "=", "="]),
        (
            "hard_copy",
            "a b",
            ["=", r#"{"a":1,"b":1,"x":0}"#, "=", r#"{"a":1,"b":1,"x":0}"#],
        ),
        (
            "add",
            "b n",
            [r#"{"x":0,"b":"n"}"#, r#"{"a":1,"x":0,"b":"n"}"#, "=", "="],
        ),
        (
            "set",
            "b n",
            [
                r#"{"x":0,"b":"n"}"#,
                r#"{"a":1,"x":0,"b":"n"}"#,
                r#"{"x":0,"b":"n"}"#,
                r#"{"a":1,"x":0,"b":"n"}"#,
            ],
        ),
        ("remove", "a", ["=", r#"{"x":0}"#, "=", r#"{"b":2,"x":0}"#]),
        (
            "remove_wildcard",
            "a",
            ["=", r#"{"x":0}"#, "=", r#"{"b":2,"x":0}"#],
        ),
        (
            "remove_regex",
            "a|b",
            ["=", r#"{"x":0}"#, r#"{"x":0}"#, r#"{"x":0}"#],
        ),
        (
            "move_to_start",
            "x",
            [
                "=",
                r#"{"x":0,"a":1}"#,
                r#"{"x":0,"b":2}"#,
                r#"{"x":0,"a":1,"b":2}"#,
            ],
        ),
        (
            "move_to_end",
            "a",
            ["=", r#"{"x":0,"a":1}"#, "=", r#"{"b":2,"x":0,"a":1}"#],
        ),
    ] {
        for (record, expected) in records.into_iter().zip(expected) {
            check(build, &[(rule, arguments)], &[(record, expected)]);
        }
    }
}

/// Checklist: filters 24
#[test]
fn patterns_look_at_texts_and_switches_and_not_at_bytes() {
    let (filter, problems) = super::super::testing::built(
        build,
        &[("condition", "key_value_matches k x"), ("add", "hit 1")],
    );
    assert!(problems.is_empty(), "{problems:?}");
    let record = [0x81, 0xa1, b'k', 0xc4, 1, b'x'];
    let event = crate::event::Event {
        time: super::super::testing::TIME,
        metadata: &[],
        record: &record,
    };
    let mut scratch = super::super::Scratch::default();
    let mut view = super::super::View::open(b"t", event, &mut scratch);
    filter.apply(&mut view);
    assert!(!view.changed());
}
