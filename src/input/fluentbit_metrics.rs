//! `fluentbit_metrics`: Fluent Bit's own metrics as events for outputs that take metrics.
//!
//! No output here does, so there is nothing to make: the same figures are at the HTTP server's `/api/v2/metrics/prometheus`. The
//! section is read, so that a configuration that has one runs.
//!
//! | setting | effect |
//! |---|---|
//! | `Scrape_Interval`, `Scrape_On_Start` | none |
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/fluentbit-metrics>

use futures_util::future::BoxFuture;

use super::{Context, Input};
use crate::config::Settings;
use crate::parser::Parsers;

struct FluentbitMetrics;

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    settings.integer("scrape_interval");
    settings.flag("scrape_on_start", false);
    settings.accept(&["scrape_interval", "scrape_on_start"]);
    settings.warning(
        "name",
        "no output here takes metrics; set HTTP_Server on and read /api/v2/metrics/prometheus",
    );
    Box::new(FluentbitMetrics)
}

impl Input for FluentbitMetrics {
    fn bind(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn run(self: Box<Self>, _: Context) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    #[test]
    fn it_says_where_the_metrics_are() {
        let properties = [("scrape_interval", "5"), ("scrape_on_start", "on")];
        let (_, said) = configured(&properties, |settings| build(settings, &Parsers::default()));
        assert!(
            said.iter().all(|said| said.starts_with("warning: ")),
            "{said:?}"
        );
        assert!(
            said.concat().contains("/api/v2/metrics/prometheus"),
            "{said:?}"
        );
    }
}
