//! Standard output: one JSON object per line, or a help text. Everything else goes to standard error.

use std::io::Write;

use serde_json::Value;

use crate::error::{Error, Result};

/// Prints one JSON value on a line of its own and flushes it, so that a script can wait for it.
pub(crate) fn print_json(value: &Value) -> Result<()> {
    print_text(&format!("{value}\n"))
}

/// Prints a text as it is.
pub(crate) fn print_text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::io("write to standard output"))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
        .collect()
}

/// Columns of equal width; the first `left` of them stand at their left side, the others at their right.
pub(crate) fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |line: &Vec<String>| {
        let cells = (0..)
            .zip(line.iter().zip(&widths))
            .map(|(at, (cell, width)): (usize, _)| {
                if at < left {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        cells.collect::<Vec<_>>().join("  ") + "\n"
    };
    lines.iter().map(line).collect::<Vec<_>>().concat()
}
