//! The labels of a metric: where their values come from.

use std::io::Write as _;

use crate::accessor::Accessor;
use crate::config::Settings;
use crate::filter::View;
use crate::msgpack::read::{self, Value};

/// The most labels of a metric, as in Fluent Bit.
const LABELS_MAX: usize = 32;
/// The longest value of a label in bytes, as in Fluent Bit; what is longer is cut.
const VALUE_MAX: usize = 251;
/// What `kubernetes_mode` takes from the map that the filter `kubernetes` has added.
const KUBERNETES: [&str; 5] = [
    "namespace_name",
    "pod_name",
    "container_name",
    "docker_id",
    "pod_id",
];

/// A label.
struct Label {
    name: String,
    field: Accessor,
}

/// The labels of a metric, those of Kubernetes first.
pub(super) struct Labels(Vec<Label>);

impl Labels {
    /// Reads `kubernetes_mode`, `label_field` and `add_label`; mistakes go to the section's problems.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let mut labels = Self(Vec::new());
        if settings.flag("kubernetes_mode", false) {
            for name in KUBERNETES {
                labels.add(
                    settings,
                    "kubernetes_mode",
                    name,
                    &format!("$kubernetes['{name}']"),
                );
            }
        }
        for (field, _) in settings.all("label_field") {
            labels.add(settings, "label_field", &field, &field);
        }
        for ((name, field), _) in settings.pairs("add_label") {
            labels.add(settings, "add_label", &name, &field);
        }
        if labels.0.len() > LABELS_MAX {
            let message = format!("a metric has at most {LABELS_MAX} labels");
            settings.error("label_field", message);
        }
        labels
    }

    fn add(&mut self, settings: &mut Settings<'_>, key: &'static str, name: &str, field: &str) {
        let field = match Accessor::new(field) {
            Ok(field) => field,
            Err(error) => return settings.error(key, error.to_string()),
        };
        let name = label_name(name);
        if name == "le" || name.starts_with("__") {
            let message = format!(
                "`{name}` is a label of Prometheus's own; write add_label with another name"
            );
            return settings.error(key, message);
        }
        if self.names().any(|known| known == name) {
            let message =
                format!("there are two labels `{name}`; write add_label with another name");
            return settings.error(key, message);
        }
        self.0.push(Label { name, field });
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|label| label.name.as_str())
    }

    /// Appends the values that a record gives them: of each its length in one byte, and the bytes.
    pub(super) fn write(&self, record: &View<'_>, out: &mut Vec<u8>) {
        for label in &self.0 {
            let start = out.len();
            out.push(0);
            if let Some(value) = record.find(&label.field) {
                push_value(value, out);
            }
            let length = cut(out.get(start + 1..).unwrap_or_default());
            out.truncate(start + 1 + length);
            if let Some(first) = out.get_mut(start) {
                *first = length as u8;
            }
        }
    }

    /// Pairs of a name and a value, out of what [`Labels::write`] has written.
    pub(super) fn pairs(&self, written: &[u8]) -> Vec<(String, String)> {
        let mut rest = written;
        let mut next = || {
            let (length, behind) = rest.split_first()?;
            let (value, behind) = behind.split_at_checked(usize::from(*length))?;
            rest = behind;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        self.names()
            .map(|name| (name.to_owned(), next().unwrap_or_default()))
            .collect()
    }
}

/// A value as text. Fluent Bit knows texts and numbers; everything else is empty.
fn push_value(value: &[u8], out: &mut Vec<u8>) {
    match read::value(value) {
        Ok((_, Value::Str(text) | Value::Bin(text))) => {
            // No more than can be kept, so that a long text costs nothing.
            out.extend_from_slice(
                text.get(..text.len().min(VALUE_MAX + 4))
                    .unwrap_or_default(),
            );
        }
        Ok((_, Value::Unsigned(number))) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        Ok((_, Value::Signed(number))) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        Ok((_, Value::Float(number))) => {
            let _infallible = write!(out, "{number:.6}");
        }
        _ => {}
    }
}

/// How many bytes of a value are kept: no part of a character.
fn cut(value: &[u8]) -> usize {
    if value.len() <= VALUE_MAX {
        return value.len();
    }
    let is_middle = |at: &usize| value.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // A character has at most three bytes behind its first; where there are more it is none.
    let back = (VALUE_MAX - 3..=VALUE_MAX).rev().find(|at| !is_middle(at));
    back.unwrap_or(VALUE_MAX)
}

/// A field's name as Prometheus takes it for a label: `$a['b-c']` becomes `a_b_c`.
fn label_name(text: &str) -> String {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let parts = text.split(is_other).filter(|part| !part.is_empty());
    let name = parts.collect::<Vec<_>>().join("_");
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_such_as_prometheus_takes() {
        for (field, name) in [
            ("color", "color"),
            ("$a['b-c']", "a_b_c"),
            ("$k[0]['x']", "k_0_x"),
            ("9lives", "_9lives"),
            ("__name__", "__name__"),
            ("a__b", "a__b"),
            ("--", "_"),
        ] {
            assert_eq!(label_name(field), name, "{field}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut(&[b'x'; 251]), 251);
        assert_eq!(cut(&[b'x'; 252]), 251);
        let text = format!("{}\u{20ac}{}", "x".repeat(249), "y".repeat(9));
        assert_eq!(cut(text.as_bytes()), 249);
        assert_eq!(cut(&[0x80; 300]), 251);
    }
}
