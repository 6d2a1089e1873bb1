//! Labeled tab-separated values: `host:10.0.0.1<TAB>status:200`, <http://ltsv.org>.
//!
//! The first line counts, up to the first label that is none. A value may be empty.

use super::Parsed;
use super::fields::{Fields, Rules};

/// Appends the record of `text`; `None`, and nothing appended, where it has no field or a time that cannot be read.
pub(super) fn parse(text: &[u8], rules: &Rules, out: &mut Vec<u8>) -> Option<Parsed> {
    let mut fields = Fields::begin(rules, out);
    let mut rest = text;
    while let Some((label, value, behind)) = field(rest) {
        // An empty value is no time, whatever its label.
        if !label.is_empty() && value.is_empty() {
            fields.add_empty(label, out);
        } else if !label.is_empty() && fields.add(label, value, out).is_err() {
            fields.abandon(out);
            return None;
        }
        rest = behind.strip_prefix(b"\t").unwrap_or(behind);
        if matches!(rest.first(), None | Some(b'\r' | b'\n')) {
            break;
        }
    }
    if fields.is_empty() {
        fields.abandon(out);
        return None;
    }
    let time = fields.end(out);
    Some(Parsed { time })
}

/// The field at the start of `text`, and what follows it; `None` where no label ends in a colon.
fn field(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let is_value = |byte: &u8| !matches!(byte, 0 | b'\t' | b'\n' | b'\r');
    let length = text.iter().take_while(|byte| is_label(byte)).count();
    let (label, rest) = text.split_at_checked(length)?;
    let rest = rest.strip_prefix(b":")?;
    let length = rest.iter().take_while(|byte| is_value(byte)).count();
    let (value, behind) = rest.split_at_checked(length)?;
    Some((label, value, behind))
}
