//! The words every stage speaks: [`Tag`], [`TagPattern`], [`EventTime`], [`Event`], [`Block`], [`Receipt`],
//! [`DropReason`].

mod block;
mod receipt;
mod tag;
mod time;

pub use block::{Block, Event, Events, Part, Parts};
pub use receipt::Receipt;
pub use tag::{Tag, TagPattern};
pub use time::EventTime;

/// Why an event was not delivered. Every dropped event is counted under one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// No output's `Match` accepts the tag.
    Unrouted,
    /// `Retry_Limit` is used up.
    RetryLimit,
    /// The service refused the event for good.
    Refused,
    /// `log_key` names a key that the record lacks.
    KeyMissing,
    /// The message is empty, which the service refuses.
    Empty,
    /// The event is larger than the service takes.
    TooLarge,
    /// The event is older than the service takes.
    TooOld,
    /// The event lies further in the future than the service takes.
    TooNew,
    /// The event is older than the log group's retention.
    Expired,
    /// More lies on disk for the output than `storage.total_limit_size` allows, and the event was among the oldest.
    StorageLimit,
    /// A processor of the output was told to drop such events.
    Filtered,
}

impl DropReason {
    /// Every reason, in the order of [`DropReason::index`].
    pub const ALL: [Self; 11] = [
        Self::Unrouted,
        Self::RetryLimit,
        Self::Refused,
        Self::KeyMissing,
        Self::Empty,
        Self::TooLarge,
        Self::TooOld,
        Self::TooNew,
        Self::Expired,
        Self::StorageLimit,
        Self::Filtered,
    ];

    /// The label a counter carries.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unrouted => "unrouted",
            Self::RetryLimit => "retry_limit",
            Self::Refused => "refused",
            Self::KeyMissing => "key_missing",
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::Expired => "expired",
            Self::StorageLimit => "storage_limit",
            Self::Filtered => "filtered",
        }
    }

    /// Its place in [`DropReason::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn every_reason_stands_at_its_index() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{}", reason.label());
        }
    }
}
