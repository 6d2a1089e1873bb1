//! What becomes of an event that is larger than a service takes.

use crate::config::Settings;

/// A policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Oversized {
    /// Its beginning is sent, with a mark at its end.
    #[default]
    Truncate,
    /// It is dropped, and counted.
    Drop,
}

impl Oversized {
    /// Reads `oversized_events`.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        match settings.choice("oversized_events", &["truncate", "drop"]) {
            Some("drop") => Self::Drop,
            _ => Self::Truncate,
        }
    }
}
