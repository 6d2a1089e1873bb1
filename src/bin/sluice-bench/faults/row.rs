//! What came of one fault: the laws it must keep to, a line of the table, JSON.

use serde_json::{Value, json};

use super::cases::{Case, Extra};
use super::config::Output;
use super::stage::End;
use crate::run::number;
use crate::stats::{approx, ratio};

/// One fault and one output.
pub(super) struct Row {
    pub(super) case: &'static Case,
    pub(super) output: Output,
    pub(super) end: End,
}

const HEADINGS: &[&str] = &[
    "fault",
    "output",
    "records",
    "lost",
    "twice",
    "wasted",
    "resumes s",
    "caught up s",
    "refused",
    "peak MiB",
];

impl Row {
    /// Which laws did not hold.
    pub(super) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let stats = &self.end.stats;
        let lost = number(stats, "missing");
        if lost > 0 || self.end.sent == 0 {
            broken.push(format!("{lost} of {} records are lost", self.end.sent));
        }
        let twice = number(stats, "duplicates");
        if twice > 0 && !self.case.leaves_doubt {
            broken.push(format!("{twice} records arrived twice"));
        }
        if let Some(violations) = stats.get("violations")
            && number(violations, "count") > 0
        {
            broken.push(format!("the services refuse requests: {violations}"));
        }
        if self.hits() == 0 {
            broken.push("the fault happened to no request, so nothing is shown".to_owned());
        }
        if self.end.exit_code != Some(0) {
            broken.push(format!("it ended with {:?}", self.end.exit_code));
        }
        broken
    }

    /// How many answers, exchanges and records the fault happened to.
    fn hits(&self) -> u64 {
        let stats = &self.end.stats;
        let answers = stats.get("answers").and_then(Value::as_object);
        let other = answers.into_iter().flatten();
        let other = other.filter(|(answer, _)| !answer.ends_with(" 200"));
        let other: u64 = other.filter_map(|(_, count)| count.as_u64()).sum();
        other + number(stats, "failed_items")
    }

    /// Requests that were for nothing, and all of them.
    fn requests(&self) -> (u64, u64) {
        let answers = self.end.stats.get("answers").and_then(Value::as_object);
        let counts = answers.into_iter().flatten();
        let (mut wasted, mut all) = (0, 0);
        for (answer, count) in counts {
            let count = count.as_u64().unwrap_or(0);
            // What the wire did to an answer is said beside the answer; one that was slow or held up may still have come.
            let is_beside =
                answer.starts_with("exchange ") && answer != "exchange cut in the request";
            let may_come =
                ["exchange answer slow", "exchange answer stalled"].contains(&answer.as_str());
            all += if is_beside { 0 } else { count };
            wasted += if answer.ends_with(" 200") || may_come {
                0
            } else {
                count
            };
        }
        (wasted, all)
    }

    fn mark(&self, name: &str) -> Option<f64> {
        self.end.stats.get("mark")?.get(name)?.as_f64()
    }

    /// Seconds until the next record, and until the last one that was sent before the fault's end.
    fn recovery(&self) -> (Option<f64>, Option<f64>) {
        if self.case.extra == Extra::ManyStreams {
            return (None, None);
        }
        // Nothing of before was left when the fault ended.
        let caught_up = self.mark("seconds_to_last_of_before").unwrap_or(0.0);
        (self.mark("seconds_to_first"), Some(caught_up))
    }

    /// Everything that is known.
    pub(super) fn to_json(&self) -> Value {
        let (wasted, requests) = self.requests();
        let (resumes, caught_up) = self.recovery();
        json!({
            "fault": self.case.name, "about": self.case.about, "output": self.output.name(),
            "records": self.end.sent, "lost": number(&self.end.stats, "missing"),
            "duplicates": number(&self.end.stats, "duplicates"),
            "hits": self.hits(), "requests": requests, "wasted_requests": wasted,
            "seconds_to_resume": resumes, "seconds_to_catch_up": caught_up,
            "peak_rss_bytes": self.end.peak_rss_bytes, "exit_code": self.end.exit_code,
            "broken": self.broken(), "sink": self.end.stats,
        })
    }

    fn cells(&self) -> Vec<String> {
        let (wasted, requests) = self.requests();
        let (resumes, caught_up) = self.recovery();
        let seconds =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let mebi = |bytes: u64| format!("{:.1}", approx(bytes) / 1_048_576.0);
        let violations = self.end.stats.get("violations");
        vec![
            self.case.about.to_owned(),
            self.output.name().to_owned(),
            self.end.sent.to_string(),
            number(&self.end.stats, "missing").to_string(),
            number(&self.end.stats, "duplicates").to_string(),
            format!(
                "{wasted} of {requests} ({:.0} %)",
                100.0 * ratio(approx(wasted), approx(requests))
            ),
            seconds(resumes),
            seconds(caught_up),
            violations
                .map_or(0, |found| number(found, "count"))
                .to_string(),
            self.end.peak_rss_bytes.map_or("-".to_owned(), mebi),
        ]
    }
}

/// The table, in Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let headings: Vec<String> = HEADINGS.iter().map(|&heading| heading.to_owned()).collect();
    let rule: Vec<String> = (0..HEADINGS.len())
        .map(|at| if at < 2 { "---" } else { "--:" }.to_owned())
        .collect();
    let rows = rows.iter().map(|row| line(&row.cells()));
    let head = [line(&headings), line(&rule)];
    head.into_iter().chain(rows).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::super::cases::CASES;
    use super::*;

    fn row(name: &str, stats: Value) -> Row {
        Row {
            case: CASES.iter().find(|case| case.name == name).unwrap(),
            output: Output::Logs,
            end: End {
                sent: 100,
                stats,
                peak_rss_bytes: Some(21 << 20),
                exit_code: Some(0),
            },
        }
    }

    #[test]
    fn a_loss_a_violation_and_a_needless_duplicate_break_the_laws() {
        let of = |name, mut stats: Value| {
            stats["answers"] = json!({ "PutLogEvents 503 ServiceUnavailableException": 1 });
            row(name, stats).broken().len()
        };
        assert_eq!(of("outage", json!({ "missing": 0, "duplicates": 0 })), 0);
        assert_eq!(of("outage", json!({ "missing": 1 })), 1);
        assert_eq!(of("outage", json!({ "duplicates": 1 })), 1);
        assert_eq!(of("cut-answer-0", json!({ "duplicates": 1 })), 0);
        assert_eq!(of("outage", json!({ "violations": { "count": 1 } })), 1);
    }

    #[test]
    fn a_fault_that_happened_to_nothing_shows_nothing() {
        let of = |stats| row("outage", stats).broken().len();
        assert_eq!(of(json!({ "answers": { "PutLogEvents 200": 5 } })), 1);
        assert_eq!(of(json!({ "failed_items": 1 })), 0);
    }

    #[test]
    fn a_line_shows_what_was_counted() {
        let stats = json!({
            "missing": 0, "duplicates": 3,
            "answers": { "PutLogEvents 200": 8, "PutLogEvents 500 InternalFailure": 1, "exchange cut in the answer": 1 },
            "mark": { "seconds_to_first": 0.25, "seconds_to_last_of_before": null },
        });
        let table = table(&[row("cut-answer-0", stats)]);
        assert!(
            table.ends_with("| reset before the answer's first byte | logs | 100 | 0 | 3 | 2 of 9 (22 %) | 0.2 | 0.0 | 0 | 21.0 |\n"),
            "{table}"
        );
    }
}
