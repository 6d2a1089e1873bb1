//! Any text as a template, in both dialects; what it makes of a record is bounded, and never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::accessor::Accessor;
use sluice::parser::json;
use sluice::template::{Sources, Template};

fuzz_target!(|text: &str| {
    let mut record = Vec::new();
    let source = br#"{"a":{"b":[1,{"c":"x"}],"a.b":2},"b":"text","f":1.5,"n":null}"#;
    json::to_msgpack(source, &mut record).expect("it is JSON");
    let sources = Sources {
        tag: b"one.two.three",
        value: |accessor: &Accessor| accessor.find_in(&record),
        group: |number| {
            let groups = [&b"whole"[..], b"first"];
            groups.get(number).copied().unwrap_or_default()
        },
    };
    for template in [Template::of_tag(text), Template::of_name(text)] {
        let Ok(template) = template else { continue };
        let mut out = Vec::new();
        template.render(&sources, &mut out);
        // No token is shorter than two bytes, and none makes more than the record's longest value.
        assert!(out.len() <= (text.len() + 1) * 64);
        if !text.contains('$') {
            assert_eq!(out, text.as_bytes());
        }
    }
});
