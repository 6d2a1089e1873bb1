//! Any text as a query of the processor `sql`; what it keeps of a record is a whole map.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sluice::config::{Problems, Section, SectionKind, Settings, Variables};
use sluice::event::{Event, EventTime};
use sluice::filter::{self, Halt, Link, Means, Scratch, Verdict, View};
use sluice::msgpack::scan::value_len;
use sluice::parser::{Parsers, json};

fuzz_target!(|text: &str| {
    let section = Section::of_pairs(SectionKind::Processor, &[("name", "sql"), ("query", text)]);
    let (variables, mut problems) = (Variables::default(), Problems::default());
    let (parsers, halt) = (Parsers::default(), Halt::default());
    let means = Means {
        parsers: &parsers,
        variables: &variables,
        directory: Path::new(""),
        halt: &halt,
    };
    let mut settings = Settings::new(&section, &variables, &mut problems);
    let builder = filter::find_processor("sql").expect("there is one");
    let link = builder.build(&mut settings, means);
    settings.finish();
    let Link::Filter(filter) = link else {
        unreachable!("it is a filter");
    };
    let mut record = Vec::new();
    json::to_msgpack(br#"{"a":1,"b":"2.5","c":null,"a":true}"#, &mut record).expect("it is JSON");
    let event = Event {
        time: EventTime::default(),
        metadata: &[],
        record: &record,
    };
    let mut scratch = Scratch::default();
    let mut view = View::open(b"tag", event, &mut scratch);
    if filter.apply(&mut view) == Verdict::Keep {
        let mut out = Vec::new();
        view.write(&mut out);
        assert_eq!(value_len(&out), Ok(Some(out.len())));
        assert!(view.changed() || out == record);
    }
});
