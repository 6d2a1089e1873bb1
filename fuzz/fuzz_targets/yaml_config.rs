//! YAML: no panic, an end even where a file includes itself, and a report of every mistake.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sluice::config::{
    Include, IncludeError, Problems, Role, Section, Source, Variables, load_yaml,
};

/// What is included has an input and includes nothing.
struct Leaf;

impl Include for Leaf {
    fn include(&mut self, argument: &str) -> Result<Vec<Source>, IncludeError> {
        self.include_beside("", argument)
    }

    fn include_beside(&mut self, _: &str, _: &str) -> Result<Vec<Source>, IncludeError> {
        Ok(vec![Source {
            name: Arc::from("leaf.yaml"),
            bytes: (*b"pipeline: {inputs: [{name: dummy}]}").into(),
        }])
    }

    fn value(&mut self, path: &str) -> Result<String, IncludeError> {
        Ok(path.to_owned())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let main = Source {
        name: Arc::from("main.yaml"),
        bytes: bytes.into(),
    };
    let (mut variables, mut problems) = (Variables::default(), Problems::strict());
    let sections = load_yaml(&main, Role::Main, &mut Leaf, &mut variables, &mut problems);
    for section in &sections {
        for entry in &section.nested {
            Section::processors(&entry.value, &mut problems);
        }
        for property in &section.properties {
            variables.expand(&property.value);
        }
    }
    assert!(problems.report().lines().count() >= problems.sorted().len());
});
