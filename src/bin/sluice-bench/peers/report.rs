//! What was measured, beside what it should be.

use serde_json::{Map, Value, json};

use crate::output::aligned;
use crate::stats::{Histogram, approx, round};

/// What a number should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// Anything.
    Any,
    /// Less than this.
    Below(f64),
    /// This or more.
    AtLeast(f64),
}

/// One number.
#[derive(Debug)]
struct Row {
    what: &'static str,
    unit: &'static str,
    value: f64,
    goal: Goal,
}

/// What one router did in one scenario.
#[derive(Debug)]
pub(super) struct Report {
    scenario: String,
    router: String,
    rows: Vec<Row>,
}

pub(super) const MEBI: f64 = 1024.0 * 1024.0;

impl Report {
    /// Nothing measured yet.
    pub(super) fn new(scenario: &str, router: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            router: router.to_owned(),
            rows: Vec::new(),
        }
    }

    /// Adds a number; `what` with its unit is its name in JSON.
    pub(super) fn add(&mut self, what: &'static str, unit: &'static str, value: f64, goal: Goal) {
        eprintln!("peers:   {what}: {} {unit}", round(value));
        self.rows.push(Row {
            what,
            unit,
            value,
            goal,
        });
    }

    /// Adds a count.
    pub(super) fn count(&mut self, what: &'static str, count: u64, goal: Goal) {
        self.add(what, "", approx(count), goal);
    }

    /// Adds memory, in MiB.
    pub(super) fn memory(&mut self, what: &'static str, bytes: u64, goal: Goal) {
        self.add(what, "MiB", approx(bytes) / MEBI, goal);
    }

    /// Adds the quantiles of a latency, in milliseconds; the goal is for the 99th percentile.
    pub(super) fn latency(&mut self, names: [&'static str; 3], latency: &Histogram, goal: Goal) {
        let quantiles = [0.5, 0.99, 1.0];
        for ((name, share), goal) in
            names
                .into_iter()
                .zip(quantiles)
                .zip([Goal::Any, goal, Goal::Any])
        {
            let nanos = latency.quantile(share).unwrap_or(u64::MAX);
            self.add(name, "ms", approx(nanos) / 1e6, goal);
        }
    }

    /// `{"scenario", "router", "measured": {what: number}, "missed": [what]}`.
    pub(super) fn to_json(&self) -> Value {
        let measured: Map<String, Value> = self
            .rows
            .iter()
            .map(|row| (row.name(), json!(round(row.value))))
            .collect();
        let missed = self.rows.iter().filter(|row| row.is_met() == Some(false));
        let missed: Vec<String> = missed.map(Row::name).collect();
        json!({ "scenario": self.scenario, "router": self.router, "measured": measured, "missed": missed })
    }
}

impl Row {
    fn name(&self) -> String {
        format!("{} {}", self.what, self.unit).trim_end().to_owned()
    }

    fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::Any => None,
            Goal::Below(most) => Some(self.value < most),
            Goal::AtLeast(least) => Some(self.value >= least),
        }
    }
}

/// A line for each number.
pub(super) fn table(reports: &[Report]) -> String {
    let headings = ["scenario", "router", "measured", "", "", "goal", ""];
    let mut lines = vec![headings.map(str::to_owned).to_vec()];
    for report in reports {
        lines.extend(report.rows.iter().map(|row| {
            let goal = match row.goal {
                Goal::Any => String::new(),
                Goal::Below(most) => format!("< {most}"),
                Goal::AtLeast(least) => format!(">= {least}"),
            };
            let verdict = match row.is_met() {
                None => "",
                Some(true) => "met",
                Some(false) => "missed",
            };
            vec![
                report.scenario.clone(),
                report.router.clone(),
                row.what.to_owned(),
                round(row.value).to_string(),
                row.unit.to_owned(),
                goal,
                verdict.to_owned(),
            ]
        }));
    }
    aligned(&lines, 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_beside_its_goal() {
        let mut report = Report::new("idle", "sluice");
        report.memory("RSS", 3 << 20, Goal::Below(64.0));
        report.count("lost", 2, Goal::Below(1.0));
        report.add("ratio", "", 0.97, Goal::AtLeast(0.95));
        report.count("peers", 7, Goal::Any);
        let table = table(std::slice::from_ref(&report));
        let last: Vec<_> = table
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert_eq!(last, ["goal", "met", "missed", "met", "7"]);
        let json = report.to_json();
        assert_eq!(json["measured"]["RSS MiB"], 3.0);
        assert_eq!(json["missed"], json!(["lost"]));
    }
}
