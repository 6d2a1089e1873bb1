//! The two engines behind one face.

use std::sync::atomic::{AtomicU64, Ordering};

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, meta};

use super::bytes::Repaired;
use super::error::Problem;

/// The most memory a compiled pattern may take, in bytes, in either engine.
const SIZE_LIMIT: usize = 10 << 20;
/// The most instructions a compiled pattern may have in the backtracking engine.
const PROGRAM_LIMIT: usize = 100_000;
/// How often the backtracking engine may go back in one search.
const BACKTRACK_LIMIT: usize = 1_000_000;
/// The translation nests deeper than the pattern, whose nesting is limited.
const NEST_LIMIT: u32 = 10_000;

/// Where groups begin and end: two slots for each.
pub(super) type Slots = [Option<NonMaxUsize>];

/// Runs in time proportional to the text, on bytes.
#[derive(Debug)]
pub(super) struct Linear {
    regex: meta::Regex,
    /// Whether bytes that are no UTF-8 can be part of a match. If not, they need no stand-ins.
    sees_bad_bytes: bool,
}

impl Linear {
    pub(super) fn new(pattern: &str, sees_bad_bytes: bool) -> Result<Self, Problem> {
        let regex = meta::Builder::new()
            .syntax(syntax::Config::new().utf8(false).nest_limit(NEST_LIMIT))
            .configure(
                meta::Config::new()
                    .utf8_empty(false)
                    .nfa_size_limit(Some(SIZE_LIMIT)),
            )
            .build(pattern)
            .map_err(|error| Problem::TooLarge(error.to_string()))?;
        Ok(Self {
            regex,
            sees_bad_bytes,
        })
    }

    /// Stand-ins only let more match, so text that matches without them needs no look at its bytes.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
            || self.sees_bad_bytes
                && std::str::from_utf8(text).is_err()
                && self.regex.is_match(&Repaired::new(text).text)
    }

    pub(super) fn captures(&self, text: &[u8], slots: &mut Slots) -> bool {
        self.search(text, Anchored::No, slots)
    }

    pub(super) fn matches_at_start(&self, text: &[u8]) -> bool {
        let mut slots = [None; 2];
        self.search(text, Anchored::Yes, &mut slots) && slots[1].is_some_and(|end| end.get() > 0)
    }

    fn search(&self, text: &[u8], anchored: Anchored, slots: &mut Slots) -> bool {
        if !self.sees_bad_bytes || std::str::from_utf8(text).is_ok() {
            return self
                .regex
                .search_slots(&Input::new(text).anchored(anchored), slots)
                .is_some();
        }
        let repaired = Repaired::new(text);
        let found = self
            .regex
            .search_slots(&Input::new(&repaired.text).anchored(anchored), slots)
            .is_some();
        count_back(&repaired, slots);
        found
    }
}

/// Knows everything Ruby knows, and may take long, so it gives up at a limit.
#[derive(Debug)]
pub(super) struct Backtracking {
    regex: fancy_regex::Regex,
    given_up: AtomicU64,
}

impl Backtracking {
    pub(super) fn new(pattern: &str) -> Result<Self, Problem> {
        let regex = fancy_regex::RegexOptionsBuilder::new()
            .backtrack_limit(BACKTRACK_LIMIT)
            .delegate_size_limit(SIZE_LIMIT)
            .max_prog_size(PROGRAM_LIMIT)
            // In 0.20.2 it makes a greedy `X*` of the lazy `(?:X+)??`.
            .optimize(false)
            .build(pattern.to_owned())
            .map_err(problem)?;
        Ok(Self {
            regex,
            given_up: AtomicU64::new(0),
        })
    }

    /// How many searches met the limit.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match std::str::from_utf8(text) {
            Ok(text) => self.settle(self.regex.is_match(text)),
            Err(_) => self.settle(self.regex.is_match(&Repaired::new(text).text)),
        }
    }

    pub(super) fn captures(&self, text: &[u8], slots: &mut Slots) -> bool {
        if let Ok(text) = std::str::from_utf8(text) {
            return self.search(text, slots);
        }
        let repaired = Repaired::new(text);
        let found = self.search(&repaired.text, slots);
        count_back(&repaired, slots);
        found
    }

    /// The leftmost match is at the start if there is one there.
    pub(super) fn matches_at_start(&self, text: &[u8]) -> bool {
        let mut slots = [None; 2];
        self.captures(text, &mut slots)
            && matches!(slots, [Some(start), Some(end)] if start.get() == 0 && end.get() > 0)
    }

    fn search(&self, text: &str, slots: &mut Slots) -> bool {
        let Some(captures) = self.settle(self.regex.captures(text)) else {
            return false;
        };
        for (group, pair) in slots.chunks_exact_mut(2).enumerate() {
            let place = captures.get(group).map(|found| found.range());
            let places = [
                place.as_ref().map(|place| place.start),
                place.as_ref().map(|place| place.end),
            ];
            for (slot, place) in pair.iter_mut().zip(places) {
                *slot = place.and_then(NonMaxUsize::new);
            }
        }
        true
    }

    /// A search that was given up counts as one that found nothing.
    fn settle<T: Default>(&self, result: fancy_regex::Result<T>) -> T {
        result.unwrap_or_else(|_| {
            self.given_up.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("sluice_regex_given_up_total").increment(1);
            T::default()
        })
    }
}

fn count_back(repaired: &Repaired, slots: &mut Slots) {
    for slot in slots.iter_mut() {
        *slot = slot.and_then(|at| NonMaxUsize::new(repaired.place(at.get())));
    }
}

fn problem(error: fancy_regex::Error) -> Problem {
    use fancy_regex::{Error, ParseError};
    match error {
        Error::ParseError(_, ParseError::RecursionExceeded) => Problem::TooDeep,
        other => Problem::TooLarge(other.to_string()),
    }
}
