//! The questions a plugin may ask, and what is said about wrong answers.

use std::sync::Arc;

use super::*;

/// A section from `key value` lines, the header on line 1.
fn section(kind: SectionKind, lines: &[&str]) -> Section {
    let place = |line| Place::new(Arc::from("main.conf"), line);
    let property = |(line, text): (u32, &&str)| {
        let (key, value) = text.split_once(' ').unwrap();
        Property {
            key: key.to_ascii_lowercase(),
            value: value.to_owned(),
            place: place(line),
        }
    };
    Section {
        kind,
        place: place(1),
        properties: (2..).zip(lines).map(property).collect(),
        nested: Vec::new(),
    }
}

/// Reads an output named `x` with these lines, asks it, and returns the answer and all that was
/// said.
fn ask<T>(lines: &[&str], question: impl FnOnce(&mut Settings<'_>) -> T) -> (T, String) {
    let mut all = vec!["Name x"];
    all.extend(lines);
    ask_kind(SectionKind::Output, &all, question)
}

fn ask_kind<T>(
    kind: SectionKind,
    lines: &[&str],
    question: impl FnOnce(&mut Settings<'_>) -> T,
) -> (T, String) {
    let section = section(kind, lines);
    let variables =
        Variables::from_pairs([("ONE", "1"), ("SPACED", "two words"), ("SECRET", "hunter2")]);
    let mut problems = Problems::default();
    let mut settings = Settings::new(&section, &variables, &mut problems);
    let answer = question(&mut settings);
    settings.finish();
    (answer, problems.to_string())
}

#[test]
fn values_are_expanded_and_typed() {
    let lines = [
        "S 1.5M",
        "I ${ONE}",
        "N 0.3",
        "D 1m",
        "F YES",
        "C Memory",
        "P 24224",
        "L a, ,b",
        "T a ${ONE} b",
    ];
    let ((), said) = ask(&lines, |settings| {
        assert_eq!(settings.name(), "x");
        assert_eq!(settings.size("s"), Some(1_500_000));
        assert_eq!(settings.integer("i"), Some(1));
        assert_eq!(settings.number("n"), Some(0.3));
        assert_eq!(settings.duration("d"), Some(Duration::from_mins(1)));
        assert!(settings.flag("f", false));
        assert_eq!(
            settings.choice("c", &["filesystem", "memory"]),
            Some("memory")
        );
        assert_eq!(settings.port("p"), Some(24224));
        assert_eq!(settings.list("l"), ["a", "b"]);
        assert_eq!(settings.text("t").as_deref(), Some("a 1 b"));
    });
    assert_eq!(said, "");
}

#[test]
fn a_missing_key_has_no_value_and_nothing_is_said() {
    let ((), said) = ask(&[], |settings| {
        assert_eq!(
            (
                settings.size("s"),
                settings.integer("i"),
                settings.duration("d")
            ),
            (None, None, None)
        );
        assert_eq!(
            (
                settings.text("t"),
                settings.port("p"),
                settings.choice("c", &["a"])
            ),
            (None, None, None)
        );
        assert!(settings.flag("f", true));
        assert!(
            settings.all("a").is_empty()
                && settings.words("w", 1..=2).is_empty()
                && settings.list("l").is_empty()
        );
    });
    assert_eq!(said, "");
}

/// Checklist: engine 21
#[test]
fn what_stops_fluent_bit_is_an_error() {
    let lines = ["S 10 MB", "F maybe", "C paper", "P abc", "G filesytem"];
    let ((), said) = ask(&lines, |settings| {
        assert_eq!(
            (
                settings.size("s"),
                settings.flag("f", true),
                settings.port("p")
            ),
            (None, true, None)
        );
        assert_eq!(
            (
                settings.choice("c", &["memory", "filesystem"]),
                settings.choice("g", &["filesystem"])
            ),
            (None, None)
        );
    });
    assert_eq!(
        said,
        "\
error: main.conf:3: key `s`: `10 MB` is no size: write a number and K, M or G, as in 25M
error: main.conf:4: key `f`: `maybe` is neither on nor off
error: main.conf:6: key `p`: `abc` is no port: write a number from 0 to 65535
error: main.conf:5: key `c`: `paper` is not known; write one of memory, filesystem
error: main.conf:7: key `g`: `filesytem` is not known; did you mean `filesystem`?
"
    );
}

#[test]
fn what_fluent_bit_overlooks_is_a_warning_and_the_default() {
    let lines = ["Samples many", "Rate 5x", "Workers 2", "Wait soon"];
    let ((), said) = ask(&lines, |settings| {
        assert_eq!(
            (settings.integer("samples"), settings.number("rate")),
            (None, None)
        );
        assert_eq!(
            (
                settings.integer_in("workers", 0..=1),
                settings.duration("wait")
            ),
            (None, None)
        );
    });
    assert_eq!(
        said,
        "\
warning: main.conf:3: key `samples`: `many` is no whole number (the default is used)
warning: main.conf:4: key `rate`: `5x` is no number (the default is used)
warning: main.conf:5: key `workers`: `2` is no whole number from 0 to 1 (the default is used)
warning: main.conf:6: key `wait`: `soon` is no time: write seconds, or a number and s, m, h or d (the default is used)
"
    );
    let (on, said) = ask_kind(SectionKind::Service, &["HTTP_Server yess"], |settings| {
        settings.flag("http_server", false)
    });
    assert!(!on);
    assert_eq!(
        said,
        "warning: main.conf:2: key `http_server`: `yess` is neither on nor off (the default is used)\n"
    );
}

#[test]
fn a_comment_after_a_switch_or_a_number_does_not_count() {
    let (answers, said) = ask(
        &["Pause Off # default", "Port 24224 # here", "Wait 3 s"],
        |settings| {
            (
                settings.flag("pause", true),
                settings.port("port"),
                settings.duration("wait"),
            )
        },
    );
    assert_eq!(answers, (false, Some(24224), Some(Duration::from_secs(3))));
    assert_eq!(
        said,
        "\
warning: main.conf:3: key `pause`: only the first word counts: a comment needs a line of its own
warning: main.conf:4: key `port`: only the first word counts: a comment needs a line of its own
"
    );
}

#[test]
fn an_unset_variable_is_named_and_an_empty_value_is_none() {
    let (region, said) = ask(&["Region ${NOT_SET}"], |settings| settings.text("region"));
    assert_eq!(region, None);
    assert_eq!(
        said,
        "warning: main.conf:3: key `region`: variable `${NOT_SET}` is used but not set\n"
    );
}

#[test]
fn a_required_key_is_missed_by_name() {
    let (_, said) = ask(&["Group ${NOT_SET}"], |settings| {
        (settings.required("stream"), settings.required("group"))
    });
    assert!(
        said.contains("error: main.conf:1: key `stream`: missing or empty; output `x` needs it\n"),
        "{said}"
    );
    assert!(
        said.contains("error: main.conf:3: key `group`: missing or empty; output `x` needs it\n"),
        "{said}"
    );
}

#[test]
fn a_plugin_without_a_name_is_an_error_and_its_name_is_lower_case() {
    let (_, said) = ask_kind(SectionKind::Output, &["Match *"], |settings| {
        settings.text("match")
    });
    assert_eq!(
        said,
        "error: main.conf:1: key `name`: this output section has no `Name`\n"
    );
    for (kind, expected) in [
        (SectionKind::Input, "dummy"),
        (SectionKind::Parser, "DUMMY"),
    ] {
        ask_kind(kind, &["Name DUMMY", "Name other"], |settings| {
            assert_eq!(settings.name(), expected);
        });
    }
}

#[test]
fn repeatable_keys_keep_all_values_in_order() {
    let (values, said) = ask(&["K b", "K ${NOT_SET:-c}", "K a"], |settings| {
        settings.all("k")
    });
    let values: Vec<(&str, u32)> = values
        .iter()
        .map(|(value, place)| (value.as_str(), place.line))
        .collect();
    assert_eq!(
        (values.as_slice(), said.as_str()),
        (&[("b", 3), ("c", 4), ("a", 5)][..], "")
    );
}

#[test]
fn a_variable_stays_one_word_unless_there_are_too_few() {
    let lines = [
        "R k ${SPACED}",
        "R \"k 2\" \"v 2\"",
        "R ${SPACED}",
        "R k ${NOT_SET:-}",
    ];
    let (lists, said) = ask(&lines, |settings| settings.words("r", 2..=2));
    let lists: Vec<Vec<String>> = lists.into_iter().map(|(words, _)| words).collect();
    assert_eq!(
        lists,
        [
            ["k", "two words"],
            ["k 2", "v 2"],
            ["two", "words"],
            ["k", ""]
        ]
    );
    assert_eq!(said, "");
}

#[test]
fn lists_of_the_wrong_length_are_errors() {
    let (lists, said) = ask(&["R one", "R 'a b' c", "R 'a b' c d"], |settings| {
        settings.quoted_words("r", 2..=2)
    });
    assert_eq!(lists.len(), 1);
    assert_eq!(
        said,
        "\
error: main.conf:3: key `r`: has 1 words, not 2; quote words that belong together
error: main.conf:5: key `r`: has 3 words, not 2; quote words that belong together
"
    );
}

#[test]
fn pairs_are_a_word_and_the_rest() {
    let (pairs, said) = ask(
        &["Regex log ^\"(a|b)  c$", "Regex ${SPACED}", "Regex log"],
        |settings| settings.pairs("regex"),
    );
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|((key, rest), _)| (key.as_str(), rest.as_str()))
        .collect();
    assert_eq!(pairs, [("log", "^\"(a|b)  c$"), ("two", "words")]);
    assert_eq!(
        said,
        "error: main.conf:5: key `regex`: needs a word, a blank and a value\n"
    );
}

/// Checklist: engine 20; firelens 17
#[test]
fn unknown_keys_are_errors_with_the_nearest_known_one_or_all() {
    let ((), said) = ask(&["Lgo_Group_Name g", "Colour blue"], |settings| {
        settings.text("log_group_name");
        settings.text("region");
    });
    assert_eq!(
        said,
        "\
error: main.conf:3: key `lgo_group_name`: unknown property of output `x`; did you mean `log_group_name`?
error: main.conf:4: key `colour`: unknown property of output `x`; known are log_group_name, region
"
    );
}

#[test]
fn unknown_keys_are_warnings_where_fluent_bit_takes_them() {
    let (_, said) = ask_kind(SectionKind::Service, &["Flushh 9"], |settings| {
        settings.number("flush")
    });
    assert_eq!(
        said,
        "warning: main.conf:2: key `flushh`: unknown property of [SERVICE]; did you mean `flush`? (it is ignored)\n"
    );
    let ((), said) = ask(&["Colour blue"], |settings| {
        settings.tolerate_unknown();
        settings.text("region");
    });
    assert!(
        said.starts_with("warning: main.conf:3: key `colour`"),
        "{said}"
    );
}

#[test]
fn keys_without_effect_are_accepted_with_a_warning() {
    let ((), said) = ask(&["_debug.http.x on", "Net.Backlog 5"], |settings| {
        settings.accept(&["_debug.http.*", "net.backlog", "other"]);
    });
    let expected = "warning: main.conf:3: key `_debug.http.x`: has no effect here\nwarning: main.conf:4: key `net.backlog`: has no effect here\n";
    assert_eq!(said, expected);
}

/// Checklist: engine 19
#[test]
fn a_repeated_key_is_an_error_except_for_the_keys_of_the_engine() {
    let (answers, said) = ask(
        &["Samples 1", "Samples 2", "Match a", "Match b", "Name y"],
        |settings| {
            settings.integer("samples");
            settings.text("match")
        },
    );
    assert_eq!(answers.as_deref(), Some("b"));
    assert_eq!(
        said,
        "\
error: main.conf:4: key `samples`: is set 2 times; output `x` takes it once
warning: main.conf:6: key `match`: is set 2 times; the last counts
warning: main.conf:7: key `name`: is set 2 times; the first counts
"
    );
    let (flush, said) = ask_kind(
        SectionKind::Service,
        &["Flush 30", "Flush 0.2"],
        |settings| settings.number("flush"),
    );
    assert_eq!((flush, said.as_str()), (Some(0.2), ""));
}

#[test]
fn no_message_shows_a_secret_or_what_a_variable_holds() {
    let ((), said) = ask(
        &[
            "http_passwd hunter2",
            "Samples ${SECRET}",
            "Auth_Mode hunter2",
        ],
        |settings| {
            settings.integer("http_passwd");
            settings.integer("samples");
            settings.choice("auth_mode", &["hunter1"]);
        },
    );
    assert_eq!(said.matches("the default is used").count(), 2, "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn upstream_finds_servers_of_the_configuration_by_their_name() {
    let of = |kind, name| Section::of_pairs(kind, &[("name", name)]);
    let neighbours = [
        of(SectionKind::Upstream, "other"),
        of(SectionKind::Node, "a"),
        of(SectionKind::Upstream, "up"),
        of(SectionKind::Node, "b"),
        of(SectionKind::Node, "c"),
        of(SectionKind::Output, "d"),
    ];
    let pairs = [("name", "forward"), ("upstream", "${UP}")];
    let section = Section::of_pairs(SectionKind::Output, &pairs);
    let variables = Variables::from_pairs([("UP", "up")]);
    let mut problems = Problems::default();
    let mut settings = Settings::new(&section, &variables, &mut problems);
    settings.look_among(&neighbours);
    let found = settings.upstream("upstream").unwrap();
    let names: Vec<_> = found.iter().map(|it| &*it.properties[0].value).collect();
    assert_eq!(names, ["up", "b", "c"]);
    assert!(!problems.has_errors(), "{problems}");
}
