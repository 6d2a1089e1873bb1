//! What an answer to a question that stores nothing says about our permissions.
//!
//! Services look at who asks before they look at what is asked. So a request that cannot be carried out (a stream that does not
//! exist, no records, an unknown upload) is refused for that reason only where the right one would be allowed, and else with the
//! action that is missing. This is how services behave, not what they promise.

use super::Answer;

/// A request that stores nothing.
#[derive(Debug, Clone, Copy)]
pub(in crate::output) struct Question<'q> {
    /// What it is about, such as `log group /app`.
    pub(in crate::output) target: &'q str,
    /// The action of IAM that it needs, which delivery needs too.
    pub(in crate::output) action: &'static str,
}

impl Question<'_> {
    /// What the answer means: what is allowed, or what stands against it.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(in crate::output) fn sort(&self, answer: &Answer) -> Result<String, String> {
        let Self { target, action } = self;
        match answer {
            // The service has found fault with what it was asked, so it would have let us.
            Answer::Done { .. } | Answer::Partly { .. } | Answer::Unacceptable { .. } => {
                Ok(format!("{target} answers, and {action} is allowed"))
            }
            Answer::Again {
                throttled: true, ..
            } => Ok(format!(
                "{target} answers, and is asked too much to say more"
            )),
            Answer::Again { why, .. } | Answer::Missing { why } => Err(self.explain(why)),
        }
    }

    /// What a service says that did not let us, as a sentence.
    fn explain(&self, why: &str) -> String {
        let Self { target, action } = self;
        let is_denied = ["AccessDenied", "not authorized to perform", "NotAuthorized"];
        if !is_denied.iter().any(|words| why.contains(words)) {
            return format!("{target}: {why}");
        }
        let missing = word_behind(why, "not authorized to perform: ").unwrap_or(action);
        let who = word_behind(why, "User: ").map_or(String::new(), |who| format!(" to {who}"));
        let on = word_behind(why, " on resource: ");
        let on = on.map_or(String::new(), |resource| format!(" on {resource}"));
        format!("{target}: not allowed; grant {missing}{on}{who}: {why}")
    }
}

/// The word that follows `mark`.
fn word_behind<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let (_, behind) = text.split_once(mark)?;
    let word = behind.split_whitespace().next()?;
    Some(word.trim_end_matches(['.', ',', ';']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DropReason;

    const QUESTION: Question<'_> = Question {
        target: "stream s",
        action: "firehose:PutRecordBatch",
    };

    fn sorted(why: &str) -> String {
        QUESTION.sort(&Answer::again(why)).unwrap_err()
    }

    #[test]
    fn a_denial_names_the_action_the_resource_and_who_asked() {
        let why = "AccessDeniedException: User: arn:aws:sts::1:assumed-role/task/x is not authorized to perform: \
                   firehose:PutRecordBatch on resource: arn:aws:firehose:eu-west-1:1:deliverystream/s because no \
                   identity-based policy allows the firehose:PutRecordBatch action";
        assert_eq!(
            sorted(why),
            format!(
                "stream s: not allowed; grant firehose:PutRecordBatch on \
                 arn:aws:firehose:eu-west-1:1:deliverystream/s to arn:aws:sts::1:assumed-role/task/x: {why}"
            )
        );
        // A role that cannot be assumed is another action than that of the request.
        let role =
            "cannot sign: User: u is not authorized to perform: sts:AssumeRole on resource: r";
        assert!(sorted(role).contains("grant sts:AssumeRole on r to u"));
    }

    #[test]
    fn a_denial_without_words_names_the_action_that_was_asked_for() {
        let said = sorted("AccessDenied: Access Denied");
        assert!(said.contains("grant firehose:PutRecordBatch: "), "{said}");
    }

    #[test]
    fn a_fault_found_with_the_question_means_that_it_was_allowed() {
        let answer = Answer::Unacceptable {
            why: "ValidationException: records is empty".to_owned(),
            reason: DropReason::Refused,
        };
        assert_eq!(
            QUESTION.sort(&answer).unwrap(),
            "stream s answers, and firehose:PutRecordBatch is allowed"
        );
        assert_eq!(sorted("cannot find h"), "stream s: cannot find h");
    }
}
