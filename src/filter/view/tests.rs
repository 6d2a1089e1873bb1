use super::super::testing::{encoded, shown};
use super::*;
use proptest::prelude::*;

/// `{"a":1,"b":"x","a":2}`
const RECORD: &[u8] = &[0x83, 0xa1, b'a', 1, 0xa1, b'b', 0xa1, b'x', 0xa1, b'a', 2];

fn event(record: &[u8]) -> Event<'_> {
    Event {
        time: EventTime::default(),
        metadata: &[],
        record,
    }
}

/// What `change` makes of a record written as JSON.
fn changed(record: &str, change: impl FnOnce(&mut View<'_>)) -> String {
    let record = encoded(record);
    let mut scratch = Scratch::default();
    let mut view = View::open(b"tag", event(&record), &mut scratch);
    change(&mut view);
    let mut out = Vec::new();
    view.write(&mut out);
    assert_eq!(view.changed(), out != record);
    shown(&out)
}

/// Checklist: filters 5
#[test]
fn a_repeated_key_is_seen_as_its_last_occurrence() {
    let mut scratch = Scratch::default();
    let view = View::open(b"tag", event(RECORD), &mut scratch);
    assert_eq!(view.get(b"a"), Some(&[2][..]));
    assert_eq!(view.get(b"c"), None);
    assert_eq!((view.count(b"a"), view.count(b"c")), (2, 0));
    assert!(!view.changed());
}

#[test]
fn pairs_are_kept_in_order_and_new_ones_go_to_the_end() {
    let mut scratch = Scratch::default();
    let mut view = View::open(b"tag", event(RECORD), &mut scratch);
    view.retain_keys(true, |key| key != b"a");
    view.push_encoded(&[0xa1, b'n'], &[0xc3]);
    let mut out = Vec::new();
    view.write(&mut out);
    assert!(view.changed());
    assert_eq!(out, [0x82, 0xa1, b'b', 0xa1, b'x', 0xa1, b'n', 0xc3]);
}

const KEY_N: &[u8] = &[0xa1, b'n'];

#[test]
fn pairs_are_renamed_copied_and_removed_where_they_stand() {
    let record = r#"{"a":1,"b":{"k":2},"a":3}"#;
    for (expected, change) in [
        (
            r#"{"n":1,"b":{"k":2},"n":3}"#,
            (|view| view.rename(b"a", KEY_N)) as fn(&mut View<'_>),
        ),
        (r#"{"n":1,"b":{"k":2},"a":3}"#, |view| {
            view.rename_first(b"a", KEY_N);
        }),
        (r#"{"a":1,"b":{"k":2},"n":{"k":2},"a":3}"#, |view| {
            view.copy(b"b", KEY_N);
        }),
        (r#"{"b":{"k":2}}"#, |view| view.remove(b"a")),
        (r#"{"b":{"k":2},"a":3}"#, |view| view.remove_first(b"a")),
        (r#"{"n":true,"a":1,"b":{"k":2},"a":3}"#, |view| {
            view.push_front(KEY_N, &[0xc3]);
        }),
        (r#"{"b":{"k":2},"a":1,"a":3}"#, |view| {
            view.move_keys(End::Front, |key| key == b"b");
        }),
        (r#"{"b":{"k":2},"a":1,"a":3}"#, |view| {
            view.move_keys(End::Back, |key| key == b"a");
        }),
        (r#"{"a":false,"b":{"k":2},"a":3}"#, |view| {
            view.replace_first(b"a", |old, out| {
                assert_eq!(old, [1]);
                out.push(0xc2);
                Some(())
            });
        }),
    ] {
        assert_eq!(changed(record, change), expected);
    }
}

#[test]
fn a_change_that_finds_nothing_is_none() {
    let record = r#"{"a":1}"#;
    for change in [
        (|view| view.rename(b"x", KEY_N)) as fn(&mut View<'_>),
        |view| view.rename_first(b"x", KEY_N),
        |view| view.copy(b"x", KEY_N),
        |view| view.remove(b"x"),
        |view| view.remove_first(b"x"),
        |view| view.move_keys(End::Front, |key| key == b"x"),
        |view| view.replace_first(b"a", |_, _| None),
        |view| assert!(view.nest(KEY_N, |key| key == b"x", |_, _| false)),
        |view| assert!(view.lift(b"x", |_, _| false)),
        |view| assert!(!view.lift(b"a", |_, _| false)),
    ] {
        assert_eq!(changed(record, change), record);
    }
}

#[test]
fn what_was_added_can_be_changed_again() {
    let prefixed = |key: &[u8], out: &mut Vec<u8>| {
        write::str(out, &[b"p_", key].concat());
        true
    };
    let all = changed(r#"{"a":1,"b":"x"}"#, |view| {
        view.push_encoded(&[0xa1, b'c'], &[0xa1, b'y']);
        assert!(view.nest(KEY_N, |key| key != b"a", prefixed));
        view.copy(b"n", &[0xa1, b'm']);
        assert!(view.lift(b"n", prefixed));
        view.push_made(
            &[0xa1, b'z'],
            (view.len(), &Accessor::new("$m['p_c']").unwrap()),
            |old, out| {
                out.extend_from_slice(old);
                Some(())
            },
        );
    });
    assert_eq!(
        all,
        r#"{"a":1,"m":{"p_b":"x","p_c":"y"},"p_p_b":"x","p_p_c":"y","z":"y"}"#
    );
}

#[test]
fn metadata_and_time_can_be_changed() {
    let mut scratch = Scratch::default();
    let mut view = View::open(b"tag", event(RECORD), &mut scratch);
    view.set_metadata(&[0x81, 0xa1, b'm', 1]);
    view.push_encoded(KEY_N, &[0xc0]);
    assert_eq!(view.metadata(), [0x81, 0xa1, b'm', 1]);
    let time = EventTime {
        seconds: 5,
        nanos: 0,
    };
    view.set_time(time);
    assert_eq!((view.time(), view.changed()), (time, true));
}

#[test]
fn nesting_ends_where_nobody_could_read_it() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(61), "]".repeat(61));
    let record = encoded(&deep);
    let mut scratch = Scratch::default();
    let mut view = View::open(b"tag", event(&record), &mut scratch);
    let mut levels = 0;
    while view.nest(&[0xa1, b'a'], |_| true, |_, _| false) {
        levels += 1;
        assert!(levels < 10);
    }
    let mut out = Vec::new();
    view.write(&mut out);
    assert_eq!(crate::msgpack::scan::value_len(&out), Ok(Some(out.len())));
    assert!(levels >= 1);
}

/// A record with repeated keys, keys that are no strings, and a few levels.
fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just(vec![0xc0]),
        any::<u8>().prop_map(|byte| vec![0xcc, byte]),
        "[a-z\u{e9}]{0,40}".prop_map(|text| {
            let mut out = Vec::new();
            write::str(&mut out, text.as_bytes());
            out
        }),
    ];
    let key = prop_oneof![
        4 => "[abn]{0,2}".prop_map(|text| {
            let mut out = Vec::new();
            write::str(&mut out, text.as_bytes());
            out
        }),
        1 => Just(vec![7]),
    ];
    let map = |value: BoxedStrategy<Vec<u8>>, key: BoxedStrategy<Vec<u8>>| {
        proptest::collection::vec((key, value), 0..20).prop_map(|pairs| {
            let mut out = Vec::new();
            write::map_header(&mut out, pairs.len() as u32);
            for (key, value) in pairs {
                out.extend(key);
                out.extend(value);
            }
            out
        })
    };
    let key = key.boxed();
    let inner = map(value.clone().boxed(), key.clone());
    map(prop_oneof![value, inner].boxed(), key)
}

proptest! {
    #[test]
    fn any_changes_leave_a_whole_map_and_what_they_do_not_concern(record in any_record(), steps in proptest::collection::vec((0..10_usize, "[abn]{0,2}"), 0..8)) {
        let mut scratch = Scratch::default();
        let mut view = View::open(b"tag", event(&record), &mut scratch);
        for (step, name) in &steps {
            let name = name.as_bytes();
            let mut key = Vec::new();
            write::str(&mut key, name);
            match step {
                0 => view.rename(b"a", &key),
                1 => view.copy(name, KEY_N),
                2 => view.remove(name),
                3 => view.push_encoded(&key, &[0xc3]),
                4 => { view.nest(&key, |key| key.starts_with(b"a"), |_, _| false); }
                5 => { view.lift(name, |key, out| { write::str(out, key); true }); }
                6 => view.move_keys(End::Front, |key| key.starts_with(name)),
                7 => view.move_keys(End::Back, |key| key == name),
                8 => view.rename_first(name, KEY_N),
                _ => view.push_front(&key, &[0xc2]),
            }
        }
        let mut out = Vec::new();
        view.write(&mut out);
        prop_assert_eq!(crate::msgpack::scan::value_len(&out), Ok(Some(out.len())));
        prop_assert_eq!(Pairs::of(&out).count(), view.len());
        if !view.changed() {
            prop_assert_eq!(&out, &record);
        }
        // Keys that are no strings are never touched, so they keep their values and their order.
        let others = |map: &[u8]| -> Vec<Vec<u8>> {
            Pairs::of(map).filter(|(key, _)| *key == [7]).map(|(_, value)| value.to_vec()).collect()
        };
        let lifts = steps.iter().any(|(step, _)| *step == 5);
        prop_assert!(lifts || others(&out) == others(&record));
    }
}
