//! Medians of the repeats, as a table for people and JSON for programs.

use serde_json::{Map, Value, json};

use super::measurement::Measurement;
use crate::output::aligned;
use crate::procfs::machine;
use crate::stats::{median, round};

/// All repeats of one router in one scenario.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) scenario: &'static str,
    pub(super) router: String,
    pub(super) runs: Vec<Measurement>,
}

/// A column of the table: heading, field, factor, digits after the point.
struct Column(&'static str, &'static str, f64, usize);

const MEBI: f64 = 1.0 / (1024.0 * 1024.0);
const COLUMNS: &[Column] = &[
    Column("MB/s", "mb_per_second", 1.0, 1),
    Column("CPU-s/GB", "cpu_seconds_per_gb", 1.0, 2),
    Column("x floor", "times_floor", 1.0, 2),
    Column("rec/CPU-s", "records_per_cpu_second", 1.0, 0),
    Column("sent B/rec", "body_bytes_per_record", 1.0, 0),
    Column("idle MiB", "idle_rss_bytes", MEBI, 1),
    Column("peak MiB", "peak_rss_bytes", MEBI, 1),
    Column("start ms", "start_ms", 1.0, 1),
    Column("p50 ms", "p50_ms", 1.0, 1),
    Column("p99 ms", "p99_ms", 1.0, 1),
    Column("lost", "lost", 1.0, 0),
    Column("twice", "duplicates", 1.0, 0),
    Column("disorder", "out_of_order", 1.0, 0),
    Column("refused", "violations", 1.0, 0),
    Column("exit", "exit_code", 1.0, 0),
    Column("stop s", "stop_seconds", 1.0, 2),
    Column("OOM", "oom_kills", 1.0, 0),
];

impl Row {
    /// The median of every number over the repeats.
    fn medians(&self) -> Map<String, Value> {
        let runs: Vec<Value> = self
            .runs
            .iter()
            .filter_map(|run| serde_json::to_value(run).ok())
            .collect();
        let Some(Value::Object(first)) = runs.first() else {
            return Map::new();
        };
        let of = |name: &String| {
            let values = runs.iter().filter_map(|run| run.get(name)?.as_f64());
            Some((name.clone(), json!(round(median(values)?))))
        };
        first.keys().filter_map(of).collect()
    }
}

/// The table: one line per scenario and router.
pub(super) fn table(rows: &[Row]) -> String {
    let headings = ["scenario", "router"]
        .into_iter()
        .chain(COLUMNS.iter().map(|column| column.0));
    let mut lines = vec![headings.map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let medians = row.medians();
        let cell = |Column(_, field, factor, digits): &Column| match medians
            .get(*field)
            .and_then(Value::as_f64)
        {
            Some(value) => format!("{:.*}", *digits, value * factor),
            None => "-".to_owned(),
        };
        lines.push(
            [row.scenario.to_owned(), row.router.clone()]
                .into_iter()
                .chain(COLUMNS.iter().map(cell))
                .collect(),
        );
    }
    aligned(&lines, 2)
}

/// Everything that was measured, with the machine it was measured on.
pub(super) fn to_json(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        json!({ "scenario": row.scenario, "router": row.router, "median": row.medians(), "runs": row.runs })
    });
    json!({ "machine": machine(), "results": rows.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cpu_seconds_per_gb: f64, lost: u64) -> Measurement {
        Measurement {
            mb_per_second: Some(100.0),
            cpu_seconds_per_gb: Some(cpu_seconds_per_gb),
            times_floor: None,
            records_per_cpu_second: Some(1.0),
            body_bytes_per_record: Some(700.4),
            idle_rss_bytes: Some(5 << 20),
            peak_rss_bytes: None,
            start_ms: 3.0,
            p50_ms: None,
            p99_ms: None,
            lost,
            duplicates: 0,
            out_of_order: 0,
            violations: 0,
            records: 1,
            wire_bytes: 1,
            seconds: None,
            cpu_seconds: Some(1.0),
            exit_code: Some(0),
            stop_seconds: Some(0.5),
            oom_kills: None,
            load: Value::Null,
            sink: Value::Null,
        }
    }

    #[test]
    fn a_row_shows_medians_and_dashes_for_what_is_unknown() {
        let rows = [Row {
            scenario: "small",
            router: "sluice".to_owned(),
            runs: vec![run(3.0, 0), run(9.0, 5), run(4.0, 0)],
        }];
        let table = table(&rows);
        let cells: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "small", "sluice", "100.0", "4.00", "-", "1", "700", "5.0", "-", "3.0", "-", "-",
                "0", "0", "0", "0", "0", "0.50", "-"
            ]
        );
        assert_eq!(
            to_json(&rows)["results"][0]["median"]["cpu_seconds_per_gb"],
            4.0
        );
    }
}
