//! The page for people: the pipeline, its rates and ages, and the last errors.
//!
//! One document with its style and its script inside. It is whole without the script, which only replaces the content every two
//! seconds. Names and messages come from anywhere, so everything is escaped, and the policy lets nothing run but this script.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Instant;

use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::own::{DELIVERING_WITHIN, age, stage_name};
use crate::telemetry::board::{Board, OutputView, Rate, Rates, Stage, View};
use crate::telemetry::log::{self, Level};
use crate::telemetry::route_ledger::OutputState;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What the page may do: show its own style, run its own script, ask its own server.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| {
        let digest = Sha256::digest(text.as_bytes());
        base64_simd::STANDARD.encode_to_string(digest)
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    // Letters, digits and punctuation: a header in any case.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// Text between tags or in an attribute.
struct Escaped<'t>(&'t str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// What the page says of the whole.
struct State {
    class: &'static str,
    word: String,
    detail: String,
}

/// Everything of one moment.
struct Moment {
    now: Instant,
    rates: Rates,
    /// How the outputs fare, in their order.
    outputs: Vec<OutputState>,
}

/// Writes the page.
pub(super) fn render(board: &Board) -> String {
    let view = board.view();
    let moment = Moment {
        now: Instant::now(),
        rates: board.rates(),
        outputs: view
            .outputs
            .iter()
            .map(|output| output.ledger.state())
            .collect(),
    };
    let mut out = String::with_capacity(16 * 1024);
    let state = state(board.stage(), &view, &moment);
    head(&mut out, board);
    let State {
        class,
        word,
        detail,
    } = &state;
    put(
        &mut out,
        format_args!(
            "<main>\n<div class=\"state {class}\"><strong>{}</strong>{}</div>\n",
            Escaped(word),
            Escaped(detail)
        ),
    );
    facts(&mut out, board, &view, &moment);
    inputs(&mut out, &view, &moment);
    filters(&mut out, &view);
    outputs(&mut out, &view, &moment);
    destinations(&mut out, &view, &moment);
    trouble(&mut out);
    put(
        &mut out,
        format_args!("</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"),
    );
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _infallible = out.write_fmt(text);
}

fn head(out: &mut String, board: &Board) {
    let seconds = board.uptime().as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let uptime = match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    };
    put(
        out,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Sluice on {host}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n\
             <noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n</head>\n<body>\n\
             <header>\n<h1>Sluice</h1>\n<p>version {version} on {host}, up {uptime}</p>\n\
             <span role=\"status\" class=\"heard\"></span>\n<button type=\"button\" hidden>Pause updates</button>\n</header>\n",
            host = Escaped(board.hostname()),
            version = env!("CARGO_PKG_VERSION"),
        ),
    );
}

fn state(stage: Stage, view: &View, moment: &Moment) -> State {
    let oldest = |state: &OutputState| age(state.oldest, moment.now).as_secs();
    let named = view.outputs.iter().zip(&moment.outputs);
    let worst = named.max_by_key(|(_, state)| oldest(state));
    let waits = worst.map_or(0, |(_, state)| oldest(state));
    let name = worst.map_or("", |(output, _)| output.ledger.name());
    let is_failing = |state: &OutputState| state.destinations.iter().any(|it| it.failures > 0);
    if stage != Stage::Running {
        return State {
            class: "warn",
            word: match stage {
                Stage::Ending => "Ending".to_owned(),
                other => stage_name(other).to_owned(),
            },
            detail: "What is held is delivered, then the process ends.".to_owned(),
        };
    }
    if waits > u64::from(DELIVERING_WITHIN) {
        return State {
            class: "bad",
            word: "Behind".to_owned(),
            detail: format!(
                "The oldest event of {name} has waited for {waits} s. Nothing is lost while memory lasts; then senders wait."
            ),
        };
    }
    if moment.outputs.iter().any(is_failing) {
        return State {
            class: "warn",
            word: "Retrying".to_owned(),
            detail: "A destination does not take events. They are held and sent again.".to_owned(),
        };
    }
    State {
        class: "good",
        word: "Delivering".to_owned(),
        detail: "Every output takes what it is given.".to_owned(),
    }
}

fn facts(out: &mut String, board: &Board, view: &View, moment: &Moment) {
    let sum = |rates: &[Rate]| rates.iter().map(|rate| rate.records).sum::<f64>();
    let held: u64 = view.outputs.iter().map(|output| output.ledger.held()).sum();
    let dropped: u64 = view.outputs.iter().map(dropped_by).sum();
    let (used, limit) = ((view.memory_used)(), view.memory_limit);
    let facts = [
        ("Taken in", format!("{:.1} /s", sum(&moment.rates.inputs))),
        ("Delivered", format!("{:.1} /s", sum(&moment.rates.outputs))),
        ("Held", number(held)),
        ("Dropped", number(dropped)),
        ("Reloads", number(board.reload().count())),
    ];
    put(out, format_args!("<dl>\n"));
    for (name, value) in facts {
        put(
            out,
            format_args!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"),
        );
    }
    put(
        out,
        format_args!(
            "<div><dt id=\"memory\">Memory</dt><dd>{} of {}<br><meter aria-labelledby=\"memory\" min=\"0\" max=\"{limit}\" high=\"{}\" value=\"{used}\"></meter></dd></div>\n</dl>\n",
            bytes(used as f64),
            bytes(limit as f64),
            limit / 10 * 9,
        ),
    );
}

fn dropped_by(output: &OutputView) -> u64 {
    output.ledger.dropped().map(|(_, count)| count).sum()
}

/// A column: its heading, and whether it holds numbers.
type Column = (&'static str, bool);

/// A cell: its text, and how it is marked.
struct Cell {
    text: String,
    class: &'static str,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, class: "" }
    }
}

/// Writes a table; the first cell of each row names it.
fn table(out: &mut String, title: &str, columns: &[Column], rows: Vec<Vec<Cell>>, none: &str) {
    let id = title.to_lowercase().replace(' ', "-");
    put(out, format_args!("<h2 id=\"{id}\">{title}</h2>\n"));
    if rows.is_empty() {
        put(out, format_args!("<p class=\"wide none\">{none}</p>\n"));
        return;
    }
    put(
        out,
        format_args!(
            "<div class=\"wide\" role=\"region\" aria-labelledby=\"{id}\" tabindex=\"0\"><table>\n<thead><tr>"
        ),
    );
    for (heading, is_number) in columns {
        let class = if *is_number { " class=\"number\"" } else { "" };
        put(out, format_args!("<th scope=\"col\"{class}>{heading}</th>"));
    }
    put(out, format_args!("</tr></thead>\n<tbody>\n"));
    for row in rows {
        put(out, format_args!("<tr>"));
        for (place, (cell, (_, is_number))) in row.iter().zip(columns).enumerate() {
            let text = Escaped(&cell.text);
            if place == 0 {
                put(out, format_args!("<th scope=\"row\">{text}</th>"));
            } else {
                let number = if *is_number { "number " } else { "" };
                put(
                    out,
                    format_args!("<td class=\"{number}{}\">{text}</td>", cell.class),
                );
            }
        }
        put(out, format_args!("</tr>\n"));
    }
    put(out, format_args!("</tbody></table></div>\n"));
}

fn inputs(out: &mut String, view: &View, moment: &Moment) {
    const COLUMNS: &[Column] = &[
        ("Name", false),
        ("Plugin", false),
        ("Records/s", true),
        ("Bytes/s", true),
        ("Records", true),
        ("Unrouted", true),
        ("State", false),
    ];
    let rows = view.inputs.iter().enumerate().map(|(place, input)| {
        let rate = moment.rates.inputs.get(place).copied().unwrap_or_default();
        let paused = (input.holding)().paused;
        let unrouted = input.ledger.unrouted().0;
        vec![
            input.ledger.name().to_owned().into(),
            input.plugin.clone().into(),
            format!("{:.1}", rate.records).into(),
            bytes(rate.bytes).into(),
            number(input.ledger.accepted().0).into(),
            marked(number(unrouted), if unrouted > 0 { "warn" } else { "" }),
            if paused {
                marked("senders wait for memory".to_owned(), "warn")
            } else {
                "reading".to_owned().into()
            },
        ]
    });
    table(out, "Inputs", COLUMNS, rows.collect(), "No inputs.");
}

fn marked(text: String, class: &'static str) -> Cell {
    Cell { text, class }
}

fn filters(out: &mut String, view: &View) {
    const COLUMNS: &[Column] = &[
        ("Name", false),
        ("Plugin", false),
        ("Match", false),
        ("Records", true),
        ("Dropped", true),
        ("Added", true),
    ];
    let rows = view.filters.iter().map(|filter| {
        let done = filter.ledger.done();
        vec![
            filter.ledger.name().to_owned().into(),
            filter.plugin.clone().into(),
            filter.matching.clone().into(),
            number(done.records).into(),
            number(done.drop_records).into(),
            number(done.add_records).into(),
        ]
    });
    table(out, "Filters", COLUMNS, rows.collect(), "No filters.");
}

fn outputs(out: &mut String, view: &View, moment: &Moment) {
    const COLUMNS: &[Column] = &[
        ("Name", false),
        ("Plugin", false),
        ("Match", false),
        ("Records/s", true),
        ("Records", true),
        ("Held", true),
        ("Oldest", true),
        ("Retried", true),
        ("Dropped", false),
        ("Last error", false),
    ];
    let rows = view.outputs.iter().zip(&moment.outputs).enumerate();
    let rows = rows.map(|(place, (output, state))| {
        let ledger = &output.ledger;
        let rate = moment.rates.outputs.get(place).copied().unwrap_or_default();
        let oldest = age(state.oldest, moment.now).as_secs();
        let late = oldest > u64::from(DELIVERING_WITHIN);
        let dropped: Vec<_> = ledger
            .dropped()
            .map(|(reason, count)| format!("{} {}", number(count), reason.label()))
            .collect();
        let error = ledger.last_error().map(|error| {
            let at = jiff::Timestamp::try_from(error.at).unwrap_or_default();
            format!("{at:.0}: {}", error.text)
        });
        vec![
            ledger.name().to_owned().into(),
            output.plugin.clone().into(),
            output.matching.clone().into(),
            format!("{:.1}", rate.records).into(),
            number(ledger.delivered().0).into(),
            number(ledger.held()).into(),
            marked(format!("{oldest} s"), if late { "bad" } else { "" }),
            number(ledger.failures().retried_records).into(),
            if dropped.is_empty() {
                "0".to_owned().into()
            } else {
                marked(dropped.join(", "), "bad")
            },
            marked(error.unwrap_or_else(|| "none".to_owned()), "text"),
        ]
    });
    table(out, "Outputs", COLUMNS, rows.collect(), "No outputs.");
}

fn destinations(out: &mut String, view: &View, moment: &Moment) {
    const COLUMNS: &[Column] = &[
        ("Destination", false),
        ("Output", false),
        ("Held", true),
        ("Oldest", true),
        ("Failures in a row", true),
        ("Next try", true),
        ("Throttled to", true),
    ];
    let mut rows = Vec::new();
    for (output, state) in view.outputs.iter().zip(&moment.outputs) {
        for destination in &state.destinations {
            let opens = destination.opens;
            let wait = opens.map(|at| at.saturating_duration_since(moment.now).as_secs_f64());
            let spacing = destination.spacing.as_secs_f64();
            let failures = destination.failures;
            rows.push(vec![
                destination.name.clone().into(),
                output.ledger.name().to_owned().into(),
                number(destination.held).into(),
                format!("{} s", age(destination.oldest, moment.now).as_secs()).into(),
                marked(failures.to_string(), if failures > 0 { "warn" } else { "" }),
                wait.map_or_else(|| "now".to_owned(), |wait| format!("in {wait:.1} s"))
                    .into(),
                if spacing > 0.0 {
                    marked(format!("{:.1} requests/s", 1.0 / spacing), "warn")
                } else {
                    "no".to_owned().into()
                },
            ]);
        }
    }
    let none = "No destination holds events.";
    table(out, "Destinations", COLUMNS, rows, none);
}

fn trouble(out: &mut String) {
    const COLUMNS: &[Column] = &[
        ("Time", false),
        ("Level", false),
        ("Component", false),
        ("Message", false),
    ];
    let rows = log::trouble().into_iter().map(|line| {
        let class = if line.level == Level::Error {
            "bad"
        } else {
            "warn"
        };
        vec![
            line.at.into(),
            marked(line.level.name().to_owned(), class),
            line.component.into(),
            marked(line.text, "text"),
        ]
    });
    let none = "None since the start.";
    table(
        out,
        "Last warnings and errors",
        COLUMNS,
        rows.collect(),
        none,
    );
}

/// A number with its thousands apart.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut number = number;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if number < 1024.0 {
            break;
        }
        number /= 1024.0;
        unit = next;
    }
    format!("{number:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_it_stays_text() {
        let mut out = String::new();
        let cell = "<img src=x onerror='alert(\"1\")'>&".to_owned().into();
        table(&mut out, "T", &[("A", false)], vec![vec![cell]], "");
        assert!(
            out.contains("&lt;img src=x onerror=&#39;alert(&quot;1&quot;)&#39;&gt;&amp;</th>"),
            "{out}"
        );
    }

    #[test]
    fn the_policy_names_the_style_and_the_script() {
        let policy = POLICY.to_str().unwrap();
        assert_eq!(policy.matches("sha256-").count(), 2, "{policy}");
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(12), "12");
        assert_eq!(bytes(1536.0), "1.5 KiB");
    }
}
