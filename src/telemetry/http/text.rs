//! Metrics as text: Prometheus's exposition format, and the lines of Fluent Bit's `/api/v2/metrics`.

use std::fmt::Write as _;

use crate::telemetry::family::{Family, Labels, Spread, Value};

/// A family with the time of its samples in milliseconds, if that is written.
#[derive(Debug)]
pub(super) struct Stamped {
    family: Family,
    millis: Option<i64>,
}

impl Stamped {
    /// Without a time.
    pub(super) fn without(family: Family) -> Self {
        Self {
            family,
            millis: None,
        }
    }

    /// Sampled then.
    pub(super) fn at(family: Family, millis: i64) -> Self {
        Self {
            family,
            millis: Some(millis),
        }
    }
}

/// Writes families in the exposition format, version 0.0.4.
pub(super) fn prometheus(families: &[Stamped]) -> String {
    let mut out = String::new();
    for Stamped { family, millis } in families {
        let Family {
            name,
            help,
            kind,
            samples,
        } = family;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let kind = kind.label();
        let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let stamp = millis
            .map(|millis| format!(" {millis}"))
            .unwrap_or_default();
        for sample in samples {
            let labels = &sample.labels;
            let _infallible = match &sample.value {
                Value::Count(count) => writeln!(out, "{name}{labels} {count}{stamp}"),
                Value::Number(number) => {
                    writeln!(out, "{name}{labels} {}{stamp}", Number(*number))
                }
                Value::Spread(spread) => {
                    histogram(&mut out, name, labels, spread, &stamp);
                    Ok(())
                }
            };
        }
    }
    out
}

fn histogram(out: &mut String, name: &str, labels: &Labels, spread: &Spread, stamp: &str) {
    let others = labels.as_str();
    let comma = if others.is_empty() { "" } else { "," };
    for (bound, count) in &spread.below {
        let _infallible = writeln!(
            out,
            "{name}_bucket{{le=\"{bound:?}\"{comma}{others}}} {count}{stamp}"
        );
    }
    let Spread { sum, count, .. } = spread;
    let _infallible = writeln!(
        out,
        "{name}_bucket{{le=\"+Inf\"{comma}{others}}} {count}{stamp}\n{name}_sum{labels} {}{stamp}\n{name}_count{labels} {count}{stamp}",
        Number(*sum)
    );
}

/// Writes a line for each series: its time, its name, its value.
pub(super) fn lines(families: &[Family], now: jiff::Timestamp) -> String {
    let mut out = String::new();
    for family in families {
        let name = &family.name;
        for sample in &family.samples {
            let labels = &sample.labels;
            let _infallible = write!(out, "{now:.9} {name}{labels} = ");
            let _infallible = match &sample.value {
                Value::Count(count) => writeln!(out, "{count}"),
                Value::Number(number) => writeln!(out, "{}", Number(*number)),
                Value::Spread(Spread { below, sum, count }) => {
                    let mut buckets = String::new();
                    for (bound, count) in below {
                        let _infallible = write!(buckets, "{bound}={count}, ");
                    }
                    writeln!(
                        out,
                        "{{ buckets = {{ {buckets}+Inf={count} }}, sum={}, count={count} }}",
                        Number(*sum)
                    )
                }
            };
        }
    }
    out
}

/// A number without a needless fraction, and as the formats spell what is none.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_nan() {
            f.write_str("NaN")
        } else if self.0.is_infinite() {
            f.write_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" })
        } else {
            write!(f, "{}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::family::Kind;

    fn latency() -> Family {
        let spread = Spread {
            below: vec![(0.5, 0), (1.0, 1)],
            sum: 6.25,
            count: 6,
        };
        let labels = [("input", "din"), ("output", "null.0")];
        Family::new("x_seconds", Kind::Histogram, "a\\b\nc").with(&labels, Value::Spread(spread))
    }

    /// Checklist: engine 55
    #[test]
    fn a_histogram_is_written_as_prometheus_wants_it() {
        assert_eq!(
            prometheus(&[Stamped::without(latency())]),
            "# HELP x_seconds a\\\\b\\nc\n# TYPE x_seconds histogram\n\
             x_seconds_bucket{le=\"0.5\",input=\"din\",output=\"null.0\"} 0\n\
             x_seconds_bucket{le=\"1.0\",input=\"din\",output=\"null.0\"} 1\n\
             x_seconds_bucket{le=\"+Inf\",input=\"din\",output=\"null.0\"} 6\n\
             x_seconds_sum{input=\"din\",output=\"null.0\"} 6.25\n\
             x_seconds_count{input=\"din\",output=\"null.0\"} 6\n"
        );
    }

    #[test]
    fn a_time_follows_the_value() {
        let family =
            Family::new("a_total", Kind::Counter, "h").with(&[("name", "x")], Value::Count(7));
        let text = prometheus(&[Stamped::at(family, 1_795_386_619_342)]);
        assert!(text.ends_with("\na_total{name=\"x\"} 7 1795386619342\n"));
    }

    #[test]
    fn lines_are_those_of_fluent_bit() {
        let now = "2026-11-22T22:30:18.914184158Z".parse().unwrap();
        let gauge = Family::new("g", Kind::Gauge, "").with(&[], Value::Number(f64::INFINITY));
        assert_eq!(
            lines(&[latency(), gauge], now),
            "2026-11-22T22:30:18.914184158Z x_seconds{input=\"din\",output=\"null.0\"} = { buckets = { 0.5=0, 1=1, +Inf=6 }, sum=6.25, count=6 }\n\
             2026-11-22T22:30:18.914184158Z g = +Inf\n"
        );
    }
}
