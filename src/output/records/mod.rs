//! What Firehose and Kinesis share: events become records of bytes, packed, joined and counted within a call's limits.
//!
//! | file | purpose |
//! |---|---|
//! | `line.rs` | from an event to its bytes |
//! | `time_key.rs` | the time as a member of the record |
//! | `partition_key.rs` | which shard a record goes to |
//! | `request.rs` | records into the body of one call |
//! | `kpl.rs` | many records in one, in the format of the Kinesis Producer Library |

mod kpl;
mod line;
mod partition_key;
mod request;
mod time_key;

pub(super) use self::line::{Content, Line};
pub(super) use self::partition_key::PartitionKey;
pub(super) use self::request::{Api, Format, Joining, encode, encode_part};
pub(super) use self::time_key::TimeKey;

use super::Answer;
use super::compression::Compression;

/// The ways in which the C plugins pack records.
pub(super) const COMPRESSIONS: &[Compression] =
    &[Compression::Gzip, Compression::Zstd, Compression::Snappy];

/// Sorts an answer in which records may have failed one by one: `count` of them, as it says, and the code and the message of each
/// that did, by its position.
pub(super) fn answer<'r>(
    count: usize,
    failures: impl Iterator<Item = (usize, &'r str, &'r str)>,
) -> Answer {
    if count == 0 {
        return Answer::done();
    }
    let failures: Vec<_> = failures.collect();
    let Some((_, code, message)) = failures.first() else {
        return Answer::again("the service reports failed records and does not say which");
    };
    let is_throttling = |code: &str| {
        matches!(
            code,
            "ServiceUnavailableException" | "ProvisionedThroughputExceededException"
        )
    };
    Answer::Partly {
        failed: failures.iter().map(|(position, ..)| *position).collect(),
        throttled: failures.iter().any(|(_, code, _)| is_throttling(code)),
        why: format!("{code}: {message}"),
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_failed_records_are_told() {
        let failures = [
            (1, "InternalFailure", "a"),
            (4, "ServiceUnavailableException", "b"),
        ];
        let told = answer(2, failures.into_iter());
        let expected = Answer::Partly {
            failed: vec![1, 4],
            throttled: true,
            why: "InternalFailure: a".to_owned(),
        };
        assert_eq!(told, expected);
        assert_eq!(answer(0, [].into_iter()), Answer::done());
        assert!(matches!(answer(1, [].into_iter()), Answer::Again { .. }));
    }
}
