//! What became of each document of a bulk request.

use serde::Deserialize;
use serde_json::Value;

use crate::event::DropReason;
use crate::output::Answer;

#[derive(Debug, Deserialize)]
struct Bulk {
    errors: bool,
    #[serde(default)]
    items: Vec<Value>,
}

/// What of a document's fate there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    /// Not now.
    Later,
    /// Not as it is.
    Never,
}

/// Sorts an answer.
///
/// Documents that may be taken later go again. While there are some of those, so do the ones that never will, as an answer tells either
/// what failed or what is rejected; when only they are left, they are rejected.
pub(super) fn answer(body: &[u8]) -> Answer {
    let Ok(bulk) = serde_json::from_slice::<Bulk>(body) else {
        return Answer::again("the answer is none of the bulk API");
    };
    if !bulk.errors {
        return Answer::done();
    }
    let fates: Vec<_> = bulk.items.iter().map(fate).collect();
    let positions = || fates.iter().enumerate();
    if fates.contains(&Fate::Later) {
        let failed = positions().filter(|(_, fate)| **fate != Fate::Stored);
        return Answer::Partly {
            failed: failed.map(|(position, _)| position).collect(),
            throttled: bulk.items.iter().any(|item| status(item) == 429),
            why: first_error(&bulk, &fates, Fate::Later),
        };
    }
    let rejected: Vec<_> = positions()
        .filter(|(_, fate)| **fate == Fate::Never)
        .map(|(position, _)| (position..position + 1, DropReason::Refused))
        .collect();
    if !rejected.is_empty() {
        let why = first_error(&bulk, &fates, Fate::Never);
        crate::debug!("output:opensearch", "documents are refused: {why}");
    }
    Answer::Done { rejected }
}

fn fate(item: &Value) -> Fate {
    match status(item) {
        // 409: a document with this id is there already; it was sent before, and its answer lost.
        200..300 | 409 => Fate::Stored,
        // 403: the index is blocked, for want of disk space as a rule. 404: a deployment may still make it.
        401 | 403 | 404 | 429 | 500.. | 0 => Fate::Later,
        _ => Fate::Never,
    }
}

/// What stands below the name of the operation.
fn result(item: &Value) -> Option<&Value> {
    item.as_object()?.values().next()
}

fn status(item: &Value) -> u64 {
    result(item)
        .and_then(|result| result.get("status")?.as_u64())
        .unwrap_or_default()
}

fn first_error(bulk: &Bulk, fates: &[Fate], wanted: Fate) -> String {
    let at = fates.iter().position(|fate| *fate == wanted);
    let item = at.and_then(|position| bulk.items.get(position));
    let error = item.and_then(|item| result(item)?.get("error"));
    let error = error.map(Value::to_string).unwrap_or_default();
    let status = item.map(status).unwrap_or_default();
    format!("{status}: {}", error.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(statuses: &[u64]) -> Answer {
        let items: Vec<_> = statuses
            .iter()
            .map(|status| serde_json::json!({"create": {"status": status, "error": {"type": "t"}}}))
            .collect();
        answer(
            serde_json::json!({"errors": true, "items": items})
                .to_string()
                .as_bytes(),
        )
    }

    #[test]
    fn documents_that_may_be_taken_later_go_again() {
        let expected = Answer::Partly {
            failed: vec![1, 3],
            throttled: true,
            why: r#"429: {"type":"t"}"#.to_owned(),
        };
        assert_eq!(answered(&[201, 429, 409, 400]), expected);
        assert!(matches!(
            answered(&[503]),
            Answer::Partly {
                throttled: false,
                ..
            }
        ));
    }

    #[test]
    fn documents_that_never_will_be_taken_are_rejected() {
        let expected = Answer::Done {
            rejected: vec![(1..2, DropReason::Refused)],
        };
        assert_eq!(answered(&[200, 400, 201]), expected);
        assert_eq!(answered(&[409]), Answer::done());
    }

    #[test]
    fn an_answer_of_somebody_else_proves_nothing() {
        assert_eq!(answer(br#"{"errors":false}"#), Answer::done());
        assert!(matches!(answer(b"<html>"), Answer::Again { .. }));
        assert!(matches!(answer(b"{}"), Answer::Again { .. }));
    }
}
