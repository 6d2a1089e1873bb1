//! What becomes of the events of one tag: the filters and outputs that want it.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;

use super::{ChainLink, Dispatcher};
use crate::buffer::{Kept, Stream};
use crate::event::{Block, Tag};
use crate::pipeline::chain::Operators;
use crate::pipeline::fork::{Branch, Fork, Processors};
use crate::pipeline::routes::{Routes, Taken};
use crate::router::Matcher;

/// What becomes of the events of one tag.
pub(in crate::pipeline) struct Lane {
    pub(in crate::pipeline) tag: Tag,
    /// The places in the chain of the filters that want it, the input's processors first.
    pub(in crate::pipeline) filters: Vec<usize>,
    /// How many of them are processors.
    pub(in crate::pipeline) processors: usize,
    /// The operators among them; with some, the events run through the chain at the commit.
    pub(in crate::pipeline) operators: Option<Operators>,
    /// The places of the outputs that want it.
    pub(super) routes: Vec<usize>,
    pub(super) stream: Option<Arc<Stream>>,
    /// In place of the stream, where not all events go to the same outputs as they are.
    pub(super) fork: Option<Fork>,
}

impl Lane {
    /// Whether an output wants the tag.
    pub(in crate::pipeline) fn is_routed(&self) -> bool {
        self.stream.is_some() || self.fork.is_some()
    }

    /// When an operator wants to let something go.
    pub(in crate::pipeline) fn due(&self) -> Option<Instant> {
        self.operators.as_ref().and_then(Operators::due)
    }

    /// What its operators wait for before they let go of what they hold.
    pub(in crate::pipeline) fn waits(&self) -> Vec<BoxFuture<'static, ()>> {
        let operators = self.operators.as_ref();
        operators.map_or_else(Vec::new, |operators| operators.ready(&Block::default()))
    }

    /// Whether nothing of the tag waits here.
    pub(super) fn is_idle(&self) -> bool {
        self.operators.as_ref().is_none_or(Operators::is_idle)
            && self.stream.as_ref().is_none_or(Stream::is_idle)
            && self.fork.as_ref().is_none_or(Fork::is_idle)
    }
}

impl Dispatcher {
    /// What becomes of the events of a tag, by the routes of the input where it has some.
    pub(super) fn new_lane(&self, tag: &Tag, chosen: Option<&Arc<Routes>>) -> Lane {
        let wants = |matcher: &Matcher| matcher.matches(tag.as_bytes());
        let has = |link: &ChainLink| match link.processor_of {
            Some(input) => Some(input) == self.input,
            None => wants(&link.matcher) && (link.only_of.is_none() || link.only_of == self.input),
        };
        let chain = self.stages.chain.iter().enumerate();
        let (mut filters, mut processors) = (Vec::new(), 0);
        for (place, link) in chain.filter(|(_, link)| has(link)) {
            filters.push(place);
            processors += usize::from(link.processor_of.is_some());
        }
        let wanted = || {
            let routes = self.stages.routes.iter().enumerate();
            let wanted = routes.filter(|(_, route)| wants(&route.matcher));
            wanted.map(|(place, _)| (place, Taken::MAX)).collect()
        };
        let routes = chosen.map_or_else(wanted, |chosen| chosen.outputs().to_vec());
        let mut branches = self.branches(tag, routes);
        // Everything goes everywhere as it is.
        let is_plain = chosen.is_none() && branches.iter().all(|it| it.processors.is_none());
        let whole = if is_plain { branches.pop() } else { None };
        let (routes, stream) = whole.map(|whole| (whole.outputs, whole.stream)).unzip();
        let fork = (!branches.is_empty()).then(|| Fork {
            routes: chosen.cloned(),
            branches,
        });
        let operators = Operators::of(&self.stages.chain, &filters, tag.as_bytes());
        // What reaches no output under its tag may reach one under another.
        if stream.is_none() && fork.is_none() && operators.is_none() {
            self.warn_of_unrouted(tag.as_bytes(), "no output's Match accepts");
        }
        Lane {
            tag: tag.clone(),
            filters,
            processors,
            operators,
            routes: routes.unwrap_or_default(),
            stream,
            fork,
        }
    }

    /// A way for each group of outputs that get the same events of a tag.
    fn branches(&self, tag: &Tag, routes: Vec<(usize, Taken)>) -> Vec<Branch> {
        let mut groups: Vec<(Vec<usize>, Taken, Option<Processors>)> = Vec::new();
        for (place, taken_by) in routes {
            let Some(route) = self.stages.routes.get(place) else {
                continue;
            };
            let same = groups.iter_mut().find(|(_, known, processors)| {
                *known == taken_by && processors.is_none() && route.processors.is_none()
            });
            match same {
                Some((outputs, ..)) => outputs.push(place),
                None => groups.push((vec![place], taken_by, route.processors.clone())),
            }
        }
        let branch = |(outputs, taken_by, processors): (Vec<usize>, _, _)| Branch {
            stream: self.stream(tag, &outputs),
            outputs,
            taken_by,
            processors,
        };
        groups.into_iter().map(branch).collect()
    }

    fn stream(&self, tag: &Tag, outputs: &[usize]) -> Arc<Stream> {
        let inboxes: Vec<_> = outputs
            .iter()
            .filter_map(|&place| self.stages.routes.get(place))
            .map(|route| Arc::clone(&route.inbox))
            .collect();
        let kept = self.keeping.as_ref().map(|keeping| {
            let may_fall_behind = keeping.may_fall_behind;
            Kept::new(&keeping.disk, &self.source, tag, &inboxes, may_fall_behind)
        });
        Stream::new(
            tag.clone(),
            Arc::clone(&self.source),
            inboxes,
            Arc::clone(&self.budget),
            Arc::clone(&self.stages.pool),
            self.stages.linger,
            kept,
        )
    }
}
