//! `rewrite_tag`: sends events through the chain again under another tag.
//!
//! | setting | effect |
//! |---|---|
//! | `Rule KEY REGEX NEW_TAG KEEP` | repeatable; the first rule decides whose regex is found in the string that KEY names |
//! | `Emitter_Name`, `Emitter_Storage.type`, `Emitter_Mem_Buf_Limit` | taken, and without effect: there is no queue in between |
//!
//! `NEW_TAG` is a template ([`crate::template`]). `KEEP` `true` sends a copy and lets the event itself go on under its tag. An event keeps its
//! tag, and an error is logged, when the new one would be empty or longer than [`TAG_MAX`], or when it has been sent around
//! [`HOPS_MAX`](super::HOPS_MAX) times: then rules feed each other.
//! <https://docs.fluentbit.io/manual/pipeline/filters/rewrite-tag>

use std::sync::Arc;

use super::{MakeOperator, Means, Operator, Outbox, Verdict, View};
use crate::accessor::Accessor;
use crate::config::{Settings, value};
use crate::msgpack::read::{self, Value};
use crate::regex::{Captures, Regex};
use crate::telemetry::log::Limiter;
use crate::template::{Sources, Template};

/// The longest tag made here, in bytes. Tags name log streams and files, and each is remembered.
const TAG_MAX: usize = 4096;

struct Rule {
    key: Accessor,
    pattern: Regex,
    tag: Template,
    keep: bool,
}

/// What all streams share.
struct Rules {
    rules: Vec<Rule>,
    limiter: Limiter,
}

struct RewriteTag(Arc<Rules>);

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn MakeOperator> {
    let mut rules = Vec::new();
    let given = settings.words("rule", 4..=4);
    if given.is_empty() {
        settings.error("rule", "rewrite_tag needs a Rule: KEY REGEX NEW_TAG KEEP");
    }
    for (words, _) in given {
        match rule(&words) {
            Ok(rule) => rules.push(rule),
            Err(message) => settings.error("rule", message),
        }
    }
    settings.accept(&[
        "emitter_name",
        "emitter_storage.type",
        "emitter_mem_buf_limit",
    ]);
    Box::new(RewriteTag(Arc::new(Rules {
        rules,
        limiter: Limiter::default(),
    })))
}

fn rule(words: &[String]) -> Result<Rule, String> {
    let [key, pattern, tag, keep] = words else {
        return Err("needs KEY REGEX NEW_TAG KEEP".to_owned());
    };
    Ok(Rule {
        key: Accessor::new(key).map_err(|error| error.to_string())?,
        pattern: Regex::new(pattern).map_err(|error| error.to_string())?,
        tag: Template::of_tag(tag).map_err(|error| error.to_string())?,
        keep: value::flag(keep) == Some(true),
    })
}

impl MakeOperator for RewriteTag {
    fn operator(&self, _tag: &[u8]) -> Box<dyn Operator> {
        Box::new(Rewriter {
            rules: Arc::clone(&self.0),
            captures: Captures::default(),
            tag: Vec::new(),
        })
    }
}

/// The rules at one stream, and room for their work.
struct Rewriter {
    rules: Arc<Rules>,
    captures: Captures,
    tag: Vec<u8>,
}

impl Operator for Rewriter {
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        if outbox.is_retagged_here() {
            return Verdict::Keep;
        }
        let Some(keep) = self.decide(event) else {
            return Verdict::Keep;
        };
        let problem = if self.tag.is_empty() {
            "the new tag would be empty"
        } else if self.tag.len() > TAG_MAX {
            "the new tag would be too long"
        } else if !outbox.may_hop() {
            "it has changed its tag too often, so the rules feed each other"
        } else {
            outbox.retag(&self.tag, event, keep);
            return if keep { Verdict::Keep } else { Verdict::Taken };
        };
        self.refuse(event, problem);
        Verdict::Keep
    }
}

impl Rewriter {
    /// Finds the rule that applies, makes its tag, and says whether it keeps the original.
    fn decide(&mut self, event: &View<'_>) -> Option<bool> {
        let rules = Arc::clone(&self.rules);
        for rule in &rules.rules {
            let value = event
                .get(rule.key.key())
                .and_then(|value| rule.key.descend(value));
            let Some(Ok((_, Value::Str(text)))) = value.map(read::value) else {
                continue;
            };
            if rule.pattern.captures(text, &mut self.captures) {
                let captures = &self.captures;
                let sources = Sources {
                    tag: event.tag(),
                    value: |accessor: &Accessor| accessor.descend(event.get(accessor.key())?),
                    group: |number| {
                        let group = captures.get(number);
                        group.and_then(|group| text.get(group)).unwrap_or_default()
                    },
                };
                self.tag.clear();
                rule.tag.render(&sources, &mut self.tag);
                return Some(rule.keep);
            }
        }
        None
    }

    fn refuse(&self, event: &View<'_>, problem: &str) {
        if let Some(more) = self.rules.limiter.admit() {
            crate::error!(
                "filter:rewrite_tag",
                "an event keeps its tag {}: {problem}{more}",
                crate::event::Tag::new(event.tag())
            );
        }
    }
}
