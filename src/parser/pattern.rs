//! The format `regex`: each named group of a pattern is a field.

use super::Parsed;
use super::fields::{Fields, Rules};
use crate::regex::{Captures, Regex};

/// A pattern and what is done with groups without text.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// `Skip_Empty_Values`: groups that are empty, or took no part, give no field.
    pub(super) skip_empty: bool,
}

impl Pattern {
    /// Appends the record of `text`; `None`, and nothing appended, where the pattern is not found or has no named group.
    ///
    /// A name that several groups have gives a field for each. A field whose time cannot be read is left out.
    pub(super) fn parse(
        &self,
        text: &[u8],
        rules: &Rules,
        captures: &mut Captures,
        out: &mut Vec<u8>,
    ) -> Option<Parsed> {
        if self.regex.names().is_empty() || !self.regex.captures(text, captures) {
            return None;
        }
        let mut fields = Fields::begin(rules, out);
        for name in self.regex.names() {
            for group in &name.groups {
                let place = captures.get(*group).unwrap_or(0..0);
                let value = text.get(place).unwrap_or_default();
                if !value.is_empty() || !self.skip_empty {
                    // As in Fluent Bit, the text of a time that cannot be read is lost.
                    let _left_out = fields.add(name.name.as_bytes(), value, out);
                }
            }
        }
        let time = fields.end(out);
        Some(Parsed { time })
    }
}
