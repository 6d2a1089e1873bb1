use super::build;
use crate::filter::stand::{Stand, built};
use crate::filter::testing::encoded;

/// A stand with this source, whose function is `f`.
fn stand(code: &str, more: &[(&str, &str)]) -> Stand {
    let properties = [&[("call", "f"), ("code", code)], more].concat();
    let (maker, problems) = built(build, &properties);
    assert!(problems.is_empty(), "{problems:?}");
    Stand::new(maker.as_ref())
}

/// What comes out for `{"a":1}` when the function has this body.
#[track_caller]
fn check(body: &str, more: &[(&str, &str)], expected: &[&str]) {
    let code = format!("function f(tag, ts, r) {body} end");
    assert_eq!(stand(&code, more).send(r#"{"a":1}"#), expected, "{body}");
}

const SAME: &str = r#"{"a":1}"#;
const NOW: &str = "next 1700000000.500000000 ";

/// Checklist: filters 66
#[test]
fn the_code_says_what_becomes_of_the_event() {
    check("r.b = 2 return 0, 5, r", &[], &[SAME]);
    check("return -1, ts, r", &[], &["dropped"]);
    check("return '-1', ts, r", &[], &["dropped"]);
    check("return 'x', ts, {}", &[], &[SAME]);
    check("r.a = nil return 2, 5, r", &[], &[&format!("{NOW}{{}}")]);
    check("return 1, 5.25, r", &[], &[r#"next 5.250000000 {"a":1}"#]);
    check(
        "return 1, {sec = 7, nsec = 8}, r",
        &[("time_as_table", "on")],
        &[r#"next 7.000000008 {"a":1}"#],
    );
    for wrong in [
        "return 1, -1, r",
        "return 1, nil, r",
        "return 1, 0/0, r",
        "return 2, ts, r",
    ] {
        check(wrong, &[], &[&format!("{NOW}{SAME}")]);
    }
}

/// Checklist: filters 66
#[test]
fn a_list_makes_several_events() {
    check(
        "return 2, ts, {{x = 1}, {}, {y = {2}}}",
        &[],
        &[
            &format!("{NOW}{{\"x\":1}}"),
            &format!("{NOW}{{}}"),
            &format!("{NOW}{{\"y\":[2]}}"),
        ],
    );
}

/// Checklist: filters 66
#[test]
fn after_a_mistake_the_event_goes_on_as_it_was() {
    for body in [
        "error('no') return 2, ts, r",
        "return 7, ts, r",
        "return 2, ts, 'text'",
        "return 2, ts",
        "return 2, ts, {{x = 1}, 5}",
        "local t = {} t.t = t return 2, ts, t",
        "local t = {('x'):rep(2 ^ 20)} for _ = 1, 60 do t = {t, t} end return 2, ts, {t = t}",
        "return 2, ts, {[2 ^ 40] = 1}",
    ] {
        check(body, &[("memory_limit", "8M")], &[SAME]);
    }
}

#[test]
fn a_script_is_stopped_at_its_limits_and_works_on() {
    let stuck = "while true do end";
    let stubborn = "while true do pcall(function() while true do end end) end";
    let hidden = "coroutine.wrap(function() while true do end end)()";
    let greedy = "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end";
    let leap = "local s = ('x'):rep(2 ^ 30)";
    for bad in [stuck, stubborn, hidden, greedy, leap] {
        let code = format!(
            "function f(tag, ts, r) if r.bad then {bad} end r.ok = true return 2, ts, r end"
        );
        let limits = [("instruction_limit", "100000"), ("memory_limit", "8M")];
        let mut stand = stand(&code, &limits);
        assert_eq!(stand.send(r#"{"bad":1}"#), [r#"{"bad":1}"#], "{bad}");
        assert_eq!(stand.send("{}"), [format!("{NOW}{{\"ok\":true}}")], "{bad}");
    }
}

/// Checklist: filters 67
#[test]
fn values_keep_their_kind_where_lua_has_it() {
    let record = r#"{"i":-5,"w":2.0,"f":1.5,"n":null,"e":[],"m":{},"l":[1,null,"x"],"big":9007199254740993}"#;
    let mut stand = stand("function f(tag, ts, r) return 2, ts, {r = r} end", &[]);
    let sent = stand.send(record);
    for part in [
        r#""i":-5"#,
        r#""w":2"#,
        r#""f":1.5"#,
        r#""e":[]"#,
        r#""m":{}"#,
        r#""l":[1,null,"x"]"#,
        r#""big":9007199254740992"#,
    ] {
        assert!(sent[0].contains(part), "{part}: {sent:?}");
    }
    assert!(!sent[0].contains("\"n\""), "{sent:?}");
}

/// Checklist: filters 67
#[test]
fn hints_say_what_empty_tables_and_numbers_are() {
    let hints = [("type_array_key", "x z"), ("type_int_key", "n z")];
    check(
        "return 2, ts, {x = {}}",
        &hints,
        &[&format!("{NOW}{{\"x\":[]}}")],
    );
    check(
        "return 2, ts, {y = {}}",
        &hints,
        &[&format!("{NOW}{{\"y\":{{}}}}")],
    );
    check(
        "return 2, ts, {n = -3.9}",
        &hints,
        &[&format!("{NOW}{{\"n\":-3}}")],
    );
    check(
        "return 2, ts, {m = 1e300}",
        &hints,
        &[&format!("{NOW}{{\"m\":1e+300}}")],
    );
    check(
        "return 2, ts, {m = {[3] = 1}}",
        &[],
        &[&format!("{NOW}{{\"m\":[null,null,1]}}")],
    );
}

/// Checklist: filters 68
#[test]
fn a_function_with_five_parameters_has_metadata() {
    let code = "function f(tag, ts, group, metadata, r) r.seen = metadata.m metadata.m = 2 return 2, ts, metadata, r end";
    let mut stand = stand(code, &[]);
    assert_eq!(stand.send("{}"), [format!("{NOW}{{\"m\":2}}{{}}")]);
    stand.metadata = encoded(r#"{"m":1}"#);
    assert_eq!(
        stand.send("{}"),
        [format!("{NOW}{{\"m\":2}}{{\"seen\":1}}")]
    );
    let untouched = "function f(tag, ts, group, metadata, r) return 2, ts, metadata, r end";
    assert_eq!(
        self::stand(untouched, &[]).send("{}"),
        [format!("{NOW}{{}}")]
    );
}

/// Checklist: filters 68
#[test]
fn globals_live_on_and_the_surroundings_are_there() {
    let code = "n = 0 function f(tag, ts, r) n = n + 1 return 2, ts, {n = n, tag = tag, stage = FLB_ENV.STAGE, outside = FLB_ENV.OUTSIDE} end";
    let (maker, _) = built(build, &[("call", "f"), ("code", code)]);
    let (mut one, mut other) = (Stand::new(maker.as_ref()), Stand::new(maker.as_ref()));
    for (stand, count) in [(&mut one, "1"), (&mut other, "2")] {
        let sent = stand.send("{}");
        for part in [
            &format!("\"n\":{count}"),
            "\"tag\":\"tag.of.it\"",
            "\"stage\":\"prod\"",
        ] {
            assert!(sent[0].contains(part), "{part}: {sent:?}");
        }
        assert!(!sent[0].contains("outside"));
    }
}

#[test]
fn what_scripts_for_luajit_use_is_there() {
    for (expression, value) in [
        ("bit.band(0xff0f, 0x0ff0, -1)", "3840"),
        ("bit.bor(1, 2, 8)", "11"),
        ("bit.bxor(0xffffffff, 1)", "-2"),
        ("bit.bnot(0)", "-1"),
        ("bit.lshift(1, 31)", "-2147483648"),
        ("bit.rshift(-1, 28)", "15"),
        ("bit.arshift(-16, 2)", "-4"),
        ("bit.rol(0x12345678, 12)", "1164411171"),
        ("bit.ror(0x12345678, 12)", "1736516421"),
        ("bit.rol(5, 0)", "5"),
        ("bit.tohex(255, 4)", "\"00ff\""),
        ("bit.bswap(0x12345678)", "2018915346"),
        ("require('bit').tobit(2 ^ 32 + 3)", "3"),
        ("load('return 5')()", "5"),
        (
            "select(2, xpcall(function(a, b) return a + b end, error, 1, 2))",
            "3",
        ),
    ] {
        let body = format!("return 2, ts, {{v = {expression}}}");
        check(&body, &[], &[&format!("{NOW}{{\"v\":{value}}}")]);
    }
}

/// Checklist: filters 69
#[test]
fn a_script_that_cannot_work_is_refused() {
    for (properties, part) in [
        (
            &[("call", "g"), ("code", "function f() end")][..],
            "no function `g`",
        ),
        (&[("call", "f"), ("code", "function f(")], "code:1:"),
        (&[("call", "f"), ("code", "error('at once')")], "at once"),
        (
            &[
                ("call", "f"),
                ("code", "while true do end"),
                ("instruction_limit", "1000"),
            ],
            "too long",
        ),
        (&[("code", "function f() end")], "`call`"),
        (&[("call", "f")], "script or code"),
        (&[("call", "f"), ("script", "no/such.lua")], "no/such.lua"),
    ] {
        let problems = built(build, properties).1.join("\n");
        assert!(
            problems.contains("error: ") && problems.contains(part),
            "{properties:?}: {problems}"
        );
    }
}
