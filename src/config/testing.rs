//! Sections for the tests of plugins.

use super::{Problems, Section, SectionKind, Settings, Variables};

/// What `read` makes of a section with these properties, and the problems that it and unknown keys give, a line each.
pub(crate) fn configured<T>(
    properties: &[(&str, &str)],
    read: impl FnOnce(&mut Settings<'_>) -> T,
) -> (T, Vec<String>) {
    configured_in(&[], properties, read)
}

/// As [`configured`], in an environment of these variables.
pub(crate) fn configured_in<T>(
    variables: &[(&str, &str)],
    properties: &[(&str, &str)],
    read: impl FnOnce(&mut Settings<'_>) -> T,
) -> (T, Vec<String>) {
    let properties = [&[("name", "plugin")], properties].concat();
    let section = Section::of_pairs(SectionKind::Output, &properties);
    let variables = Variables::from_pairs(variables.iter().copied());
    let mut problems = Problems::default();
    let mut settings = Settings::new(&section, &variables, &mut problems);
    let made = read(&mut settings);
    settings.finish();
    let errors = problems.errors().map(|problem| format!("error: {problem}"));
    let warnings = problems
        .warnings()
        .map(|problem| format!("warning: {problem}"));
    (made, errors.chain(warnings).collect())
}
