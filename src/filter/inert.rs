//! Processors that do nothing to logs in Fluent Bit either, and so nothing here.
//!
//! | processor | what it is for |
//! |---|---|
//! | `cumulative_to_delta`, `labels`, `metrics_selector`, `tda` | metrics |
//! | `sampling` | traces |
//! | `opentelemetry_envelope` | groups logs as OTLP has them; the outputs here write records, which it leaves as they are |
//!
//! A list of processors for logs may name them, so it starts; that they do nothing is a warning.

use super::{Filter, Means, Verdict, View};
use crate::config::Settings;

struct Inert;

/// Reads the section, whatever it says.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    settings.accept(&["*"]);
    settings.warning("name", "this processor has no effect on logs");
    Box::new(Inert)
}

impl Filter for Inert {
    fn apply(&self, _: &mut View<'_>) -> Verdict {
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{built, filtered};
    use super::*;

    #[test]
    fn records_pass_unchanged_and_a_warning_says_so() {
        let (filter, problems) = built(build, &[("type", "probabilistic"), ("anything", "x")]);
        assert_eq!(
            filtered(&*filter, r#"{"a":1}"#).as_deref(),
            Some(r#"{"a":1}"#)
        );
        assert!(
            problems
                .iter()
                .all(|problem| problem.starts_with("warning: ")),
            "{problems:?}"
        );
        assert!(
            problems
                .iter()
                .any(|problem| problem.contains("no effect on logs")),
            "{problems:?}"
        );
    }
}
