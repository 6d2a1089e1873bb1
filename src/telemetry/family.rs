//! A metric with all its series, as the text formats show it.

use std::fmt;

/// What a metric's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many values lie below each of some bounds.
    Histogram,
}

impl Kind {
    /// The word of the `TYPE` line.
    pub fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Names and values of labels, escaped and joined: `name="x",reason="y"`; empty without labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Box<str>);

impl Labels {
    /// Joins labels in the order given. Names are ours, values may be anybody's.
    pub fn new(labels: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in labels {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            for c in value.chars() {
                // The three escapes of the text format; everything else stands for itself.
                match c {
                    '"' => text.push_str("\\\""),
                    '\\' => text.push_str("\\\\"),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        Self(text.into())
    }

    /// The labels without braces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, "{{{}}}", self.0)
        }
    }
}

/// What a histogram holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// Each bound with the number of values up to it.
    pub below: Vec<(f64, u64)>,
    /// The sum of all values.
    pub sum: f64,
    /// How many there are.
    pub count: u64,
}

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Number(f64),
    /// Of a histogram.
    Spread(Spread),
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What tells it from the others of its family.
    pub labels: Labels,
    /// Its value now.
    pub value: Value,
}

/// A metric: its name and all its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name, with the prefix.
    pub name: String,
    /// What it says, on one line.
    pub help: String,
    /// What its values mean.
    pub kind: Kind,
    /// Its series.
    pub samples: Vec<Sample>,
}

impl Family {
    /// A family without series yet.
    pub fn new(name: impl Into<String>, kind: Kind, help: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            kind,
            samples: Vec::new(),
        }
    }

    /// Adds a series.
    #[must_use]
    pub fn with(mut self, labels: &[(&str, &str)], value: Value) -> Self {
        self.add(labels, value);
        self
    }

    /// Adds a series.
    pub fn add(&mut self, labels: &[(&str, &str)], value: Value) {
        self.samples.push(Sample {
            labels: Labels::new(labels),
            value,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Labels;

    #[test]
    fn label_values_are_escaped_as_the_text_format_wants_it() {
        let labels = Labels::new(&[("a", "x\"\\\n\u{7}é"), ("b", "")]);
        assert_eq!(labels.to_string(), "{a=\"x\\\"\\\\\\n\u{7}é\",b=\"\"}");
        assert_eq!(Labels::default().to_string(), "");
    }
}
