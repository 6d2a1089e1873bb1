//! The classic format: no panic, an end even where a file includes itself, and a report of every mistake.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sluice::config::{Include, IncludeError, Problems, Role, Source, Variables, load_classic};

/// Whatever is included is the file itself.
struct Itself(Source);

impl Include for Itself {
    fn include(&mut self, _: &str) -> Result<Vec<Source>, IncludeError> {
        Ok(vec![self.0.clone()])
    }

    fn include_beside(&mut self, _: &str, argument: &str) -> Result<Vec<Source>, IncludeError> {
        self.include(argument)
    }

    fn value(&mut self, path: &str) -> Result<String, IncludeError> {
        Err(IncludeError::NoMatch(path.to_owned()))
    }
}

fuzz_target!(|bytes: &[u8]| {
    for role in [Role::Main, Role::Parsers] {
        let main = Source {
            name: Arc::from("main.conf"),
            bytes: bytes.into(),
        };
        let mut includes = Itself(main.clone());
        let (mut variables, mut problems) = (Variables::default(), Problems::strict());
        // A file of includes alone would double with every one of a hundred levels.
        if bytes.iter().filter(|byte| **byte == b'@').count() > 1 {
            return;
        }
        let sections = load_classic(main, role, &mut includes, &mut variables, &mut problems);
        for property in sections.iter().flat_map(|section| &section.properties) {
            assert!(!property.key.is_empty() && property.place.line > 0);
            variables.expand(&property.value);
        }
        assert!(problems.report().lines().count() >= problems.sorted().len());
    }
});
