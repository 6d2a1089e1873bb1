//! Any text as an accessor; what it names in a record is a part of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::accessor::Accessor;
use sluice::msgpack::scan::value_len;
use sluice::parser::json;

fuzz_target!(|text: &str| {
    let mut record = Vec::new();
    let source = br#"{"a":{"b":[1,{"c":"x"}],"a.b":2},"b":"text","":[[0]]}"#;
    json::to_msgpack(source, &mut record).expect("it is JSON");
    let Ok((accessor, rest)) = Accessor::prefix(text) else {
        return;
    };
    assert!(text.ends_with(rest));
    if let Some(value) = accessor.find_in(&record) {
        assert_eq!(value_len(value), Ok(Some(value.len())));
    }
});
