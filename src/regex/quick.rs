//! The places of groups in ASCII text, for the patterns that logs are parsed with.
//!
//! The linear engine needs some hundred steps for each byte to find groups in patterns such as those of access logs. Most of
//! these begin at the start of a line and go from one separator to the next, so that trying one way after the other hardly ever
//! goes back. That is done here, within a number of steps that grows with the text; a search that needs more is begun anew by the
//! linear engine. The answers are the same: both prefer what stands first.
//!
//! Patterns are taken that begin with `^` or `\A` and repeat nothing that may be empty.

use regex_automata::util::primitives::NonMaxUsize;
use regex_syntax::hir::ClassUnicode;

use super::ast::{Assertion, Greed, Node, Repeat};
use super::engine::Slots;
use super::translate::Numbering;

/// The most steps of a pattern.
const STEPS_MAX: usize = 1000;
/// How many steps a search may take, for each byte of the text and at all; a byte of a run is one.
const PATIENCE_PER_BYTE: usize = 16;
const PATIENCE: usize = 64;
/// How many ways may be left to try.
const RETRIES_MAX: usize = 4096;

/// A pattern as steps.
#[derive(Debug)]
pub(super) struct Quick {
    steps: Vec<Step>,
    /// Whether a match can only begin where the text does.
    is_at_text_start: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Byte(u8),
    Class(Class),
    Run(Run),
    /// The first way, and if that fails the other.
    Fork(usize, usize),
    Jump(usize),
    Save(usize),
    Assert(Assertion),
    Match,
}

/// Bytes of a class, one after the other.
#[derive(Debug, Clone, Copy)]
struct Run {
    class: Class,
    min: usize,
    max: usize,
    way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As many as there are, and then fewer.
    Most,
    /// As many as there are: what follows cannot begin with one of them.
    All,
    /// As few as possible, and then more.
    Fewest,
}

/// Some ASCII characters.
#[derive(Debug, Clone, Copy)]
struct Class {
    bits: u128,
    /// The one that is missing, if it is one.
    missing: Option<u8>,
}

/// The search needs more than it may take: another engine has to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooLong;

/// What is tried when a way has failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Retry {
    /// Go on here.
    Step(usize, usize),
    /// A group was there before.
    Restore(usize, Option<NonMaxUsize>),
    /// Go on at the step, one byte earlier, down to a place.
    Fewer {
        step: usize,
        least: usize,
        at: usize,
    },
    /// Take one byte more for the run, up to a place.
    More { run: usize, at: usize, most: usize },
}

impl Class {
    fn new(set: &ClassUnicode) -> Self {
        let is_in = |c: char| {
            let mut ranges = set.ranges().iter();
            ranges.any(|range| range.start() <= c && c <= range.end())
        };
        let bits = (0..128_u8).filter(|byte| is_in(char::from(*byte)));
        Self::of_bits(bits.fold(0, |bits, byte| bits | 1 << byte))
    }

    fn of_bits(bits: u128) -> Self {
        let missing = (bits.count_zeros() == 1).then(|| bits.trailing_ones() as u8);
        Self { bits, missing }
    }

    fn has(&self, byte: u8) -> bool {
        byte < 128 && self.bits >> byte & 1 == 1
    }

    /// How many bytes of it a text begins with, at most so many.
    fn run(&self, text: &[u8], most: usize) -> usize {
        let text = text.get(..most).unwrap_or(text);
        let end = match self.missing {
            Some(byte) => memchr::memchr(byte, text),
            None => text.iter().position(|byte| !self.has(*byte)),
        };
        end.unwrap_or(text.len())
    }
}

impl Quick {
    /// The steps of a pattern; `None` where it is not for this.
    pub(super) fn new(root: &Node, numbering: &Numbering) -> Option<Self> {
        let first = match root {
            Node::Concat(nodes) => nodes.first()?,
            other => other,
        };
        let is_at_text_start = match first {
            Node::Assert(Assertion::TextStart) => true,
            Node::Assert(Assertion::LineStart) => false,
            _ => return None,
        };
        let mut writer = Writer {
            steps: Vec::new(),
            numbering,
        };
        writer.node(root)?;
        writer.push(Step::Match)?;
        let mut steps = writer.steps;
        settle_runs(&mut steps);
        Some(Self {
            steps,
            is_at_text_start,
        })
    }

    /// Finds the groups in an ASCII text.
    pub(super) fn search(
        &self,
        text: &[u8],
        slots: &mut Slots,
        retries: &mut Vec<Retry>,
    ) -> Result<bool, TooLong> {
        let mut patience = PATIENCE + PATIENCE_PER_BYTE * text.len();
        let lines = if self.is_at_text_start { &[][..] } else { text };
        let later = memchr::memchr_iter(b'\n', lines).map(|at| at + 1);
        for start in std::iter::once(0).chain(later) {
            slots.fill(None);
            retries.clear();
            if let Some(end) = self.run(text, start, slots, retries, &mut patience)? {
                set(slots, 0, start);
                set(slots, 1, end);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The end of a match that begins here.
    fn run(
        &self,
        text: &[u8],
        start: usize,
        slots: &mut Slots,
        retries: &mut Vec<Retry>,
        patience: &mut usize,
    ) -> Result<Option<usize>, TooLong> {
        let (mut step, mut at) = (0, start);
        loop {
            *patience = patience.checked_sub(1).ok_or(TooLong)?;
            if retries.len() > RETRIES_MAX {
                return Err(TooLong);
            }
            let next = match self.steps.get(step).ok_or(TooLong)? {
                Step::Byte(byte) => (text.get(at) == Some(byte)).then_some((step + 1, at + 1)),
                Step::Class(class) => {
                    let is_in = text.get(at).is_some_and(|byte| class.has(*byte));
                    is_in.then_some((step + 1, at + 1))
                }
                Step::Run(run) => {
                    let next = begin_run(run, step, text, at, retries);
                    let length = next.map_or(0, |(_, end)| end - at);
                    *patience = patience.checked_sub(length).ok_or(TooLong)?;
                    next
                }
                Step::Fork(first, second) => {
                    retries.push(Retry::Step(*second, at));
                    Some((*first, at))
                }
                Step::Jump(to) => Some((*to, at)),
                Step::Save(slot) => {
                    let place = slots.get_mut(*slot).ok_or(TooLong)?;
                    retries.push(Retry::Restore(*slot, *place));
                    *place = NonMaxUsize::new(at);
                    Some((step + 1, at))
                }
                Step::Assert(assertion) => holds(*assertion, text, at).then_some((step + 1, at)),
                Step::Match => return Ok(Some(at)),
            };
            match next.or_else(|| self.retry(text, slots, retries)) {
                Some(next) => (step, at) = next,
                None => return Ok(None),
            }
        }
    }

    /// Where to go on after a failure.
    fn retry(
        &self,
        text: &[u8],
        slots: &mut Slots,
        retries: &mut Vec<Retry>,
    ) -> Option<(usize, usize)> {
        loop {
            match retries.pop()? {
                Retry::Step(step, at) => return Some((step, at)),
                Retry::Restore(slot, place) => {
                    if let Some(slot) = slots.get_mut(slot) {
                        *slot = place;
                    }
                }
                Retry::Fewer { step, least, at } if at > least => {
                    let at = at - 1;
                    retries.push(Retry::Fewer { step, least, at });
                    return Some((step, at));
                }
                Retry::More { run, at, most } if at < most => {
                    let Some(Step::Run(Run { class, .. })) = self.steps.get(run) else {
                        continue;
                    };
                    if text.get(at).is_some_and(|byte| class.has(*byte)) {
                        let at = at + 1;
                        retries.push(Retry::More { run, at, most });
                        return Some((run + 1, at));
                    }
                }
                Retry::Fewer { .. } | Retry::More { .. } => {}
            }
        }
    }
}

fn begin_run(
    run: &Run,
    step: usize,
    text: &[u8],
    at: usize,
    retries: &mut Vec<Retry>,
) -> Option<(usize, usize)> {
    let rest = text.get(at..)?;
    let wanted = if run.way == Way::Fewest {
        run.min
    } else {
        run.max
    };
    let end = at + run.class.run(rest, wanted);
    let least = at + run.min;
    if end < least {
        return None;
    }
    match run.way {
        Way::Most => retries.push(Retry::Fewer {
            step: step + 1,
            least,
            at: end,
        }),
        Way::Fewest => retries.push(Retry::More {
            run: step,
            at: end,
            most: at.saturating_add(run.max),
        }),
        Way::All => {}
    }
    Some((step + 1, end))
}

fn set(slots: &mut Slots, slot: usize, at: usize) {
    if let Some(slot) = slots.get_mut(slot) {
        *slot = NonMaxUsize::new(at);
    }
}

fn holds(assertion: Assertion, text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| text.get(at));
    let after = text.get(at);
    let is_word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let is_boundary = is_word(before) != is_word(after);
    match assertion {
        Assertion::LineStart => before.is_none() || before == Some(&b'\n') && after.is_some(),
        Assertion::LineEnd => after.is_none() || after == Some(&b'\n'),
        Assertion::TextStart => before.is_none(),
        Assertion::TextEnd => after.is_none(),
        Assertion::TextEndOrNewline => text
            .get(at..)
            .is_some_and(|rest| matches!(rest, [] | b"\n")),
        Assertion::WordBoundary | Assertion::AsciiWordBoundary => is_boundary,
        Assertion::NotWordBoundary | Assertion::NotAsciiWordBoundary => !is_boundary,
    }
}

/// Runs that never have to give anything back need not remember that they could.
fn settle_runs(steps: &mut [Step]) {
    for place in (0..steps.len()).rev() {
        let Some((Step::Run(run), behind)) =
            steps.get_mut(place..).and_then(<[_]>::split_first_mut)
        else {
            continue;
        };
        let next = behind.iter().find(|step| !matches!(step, Step::Save(_)));
        let first = match next {
            Some(Step::Byte(byte)) => 1 << *byte,
            Some(Step::Class(class)) => class.bits,
            Some(Step::Run(next)) if next.min > 0 => next.class.bits,
            Some(Step::Match) => 0,
            _ => continue,
        };
        if run.way == Way::Most && run.class.bits & first == 0 {
            run.way = Way::All;
        }
    }
}

struct Writer<'p> {
    steps: Vec<Step>,
    numbering: &'p Numbering,
}

impl Writer<'_> {
    fn push(&mut self, step: Step) -> Option<()> {
        self.steps.push(step);
        (self.steps.len() <= STEPS_MAX).then_some(())
    }

    fn node(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Empty => Some(()),
            Node::Char(c) if c.is_ascii() => self.push(Step::Byte(u8::try_from(*c).ok()?)),
            Node::Char(_) | Node::Set(_) => self.push(Step::Class(class(node)?)),
            Node::Assert(assertion) => self.push(Step::Assert(*assertion)),
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.node(node)),
            Node::Alternate(nodes) => self.alternatives(nodes),
            Node::Repeat(repeat) => self.repeat(repeat),
            Node::Group(index, body) => {
                let Some(number) = self.numbering.number(*index) else {
                    return self.node(body);
                };
                self.push(Step::Save(2 * number))?;
                self.node(body)?;
                self.push(Step::Save(2 * number + 1))
            }
            _ => None,
        }
    }

    fn alternatives(&mut self, nodes: &[Node]) -> Option<()> {
        let (last, nodes) = nodes.split_last()?;
        let mut ends = Vec::new();
        for node in nodes {
            let fork = self.steps.len();
            self.push(Step::Fork(fork + 1, 0))?;
            self.node(node)?;
            ends.push(self.steps.len());
            self.push(Step::Jump(0))?;
            let other = self.steps.len();
            self.set(fork, Step::Fork(fork + 1, other));
        }
        self.node(last)?;
        let behind = self.steps.len();
        for end in ends {
            self.set(end, Step::Jump(behind));
        }
        Some(())
    }

    fn repeat(&mut self, repeat: &Repeat) -> Option<()> {
        let (min, max) = (repeat.min as usize, repeat.max.map(|max| max as usize));
        let way = match repeat.greed {
            Greed::Greedy => Way::Most,
            Greed::Lazy => Way::Fewest,
            Greed::Possessive => return None,
        };
        if let Some(class) = class(&repeat.body) {
            let max = max.unwrap_or(usize::MAX);
            return self.push(Step::Run(Run {
                class,
                min,
                max,
                way,
            }));
        }
        if repeat.body.may_be_empty() {
            return None;
        }
        for _ in 0..min {
            self.node(&repeat.body)?;
        }
        let mut forks = Vec::new();
        let optional = max.map_or(1, |max| max.saturating_sub(min));
        for _ in 0..optional {
            forks.push(self.steps.len());
            self.push(Step::Fork(0, 0))?;
            self.node(&repeat.body)?;
        }
        if max.is_none() {
            self.push(Step::Jump(*forks.first()?))?;
        }
        let behind = self.steps.len();
        for fork in forks {
            let step = match way {
                Way::Fewest => Step::Fork(behind, fork + 1),
                Way::Most | Way::All => Step::Fork(fork + 1, behind),
            };
            self.set(fork, step);
        }
        Some(())
    }

    fn set(&mut self, place: usize, step: Step) {
        if let Some(place) = self.steps.get_mut(place) {
            *place = step;
        }
    }
}

/// The characters that a node stands for, if it stands for one of them.
fn class(node: &Node) -> Option<Class> {
    match node {
        Node::Char(c) if c.is_ascii() => Some(Class::of_bits(1 << u8::try_from(*c).ok()?)),
        // It is in no ASCII text.
        Node::Char(_) => Some(Class::of_bits(0)),
        Node::Set(set) => Some(Class::new(set)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Engine, Regex};
    use super::*;

    /// The groups as each of the two finds them; nothing where the pattern is not for both.
    type Found = Option<Vec<Option<usize>>>;

    fn both(pattern: &str, text: &[u8]) -> Option<(Found, Found)> {
        let compiled = Regex::new(pattern).ok()?.0;
        let (Some(quick), Engine::Linear(linear)) = (&compiled.quick, &compiled.engine) else {
            return None;
        };
        let room = || vec![None; 2 * (compiled.groups + 1)];
        let shown = |slots: Vec<Option<NonMaxUsize>>| {
            let places = slots.into_iter();
            places.map(|slot| slot.map(NonMaxUsize::get)).collect()
        };
        let (mut by_quick, mut by_linear) = (room(), room());
        let quick = quick.search(text, &mut by_quick, &mut Vec::new()).ok()?;
        let linear = linear.captures(text, &mut by_linear);
        Some((
            quick.then(|| shown(by_quick)),
            linear.then(|| shown(by_linear)),
        ))
    }

    #[test]
    fn access_logs_are_for_it() {
        let pattern = r#"^(?<remote>[^ ]*) (?<host>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^\"]*?)(?: +\S*)?)?" (?<code>\d+)(?: "(?<agent>[^\"]*)")?$"#;
        for text in [
            r#"10.0.0.1 - [10/Oct/2023:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 "curl""#,
            r#"10.0.0.1 - [10/Oct/2023:13:55:36 -0700] "GET" 200"#,
            r#"10.0.0.1 - [10/Oct/2023:13:55:36 -0700] "GET /a b c HTTP" 20x"#,
        ] {
            let (quick, linear) = both(pattern, text.as_bytes()).unwrap();
            assert_eq!(quick, linear, "{text}");
        }
    }

    #[test]
    fn a_search_that_goes_back_too_often_is_left_to_the_other_engine() {
        let pattern = "^(?:a|aa)*(?:a|aa)*(?:a|aa)*(b)";
        let text = "a".repeat(60);
        assert_eq!(both(pattern, text.as_bytes()), None);
        let mut captures = super::super::Captures::default();
        let regex = Regex::new(pattern).unwrap();
        assert!(!regex.captures(text.as_bytes(), &mut captures));
        assert!(regex.captures((text + "b").as_bytes(), &mut captures));
        assert_eq!(captures.get(1), Some(60..61));
    }

    fn pattern() -> impl Strategy<Value = String> {
        let pieces = [
            "a", "b", "1", " ", ".", "\\n", "\\w", "\\d", "[^a]", "[ab]", "[^ ]", "é", "^", "$",
            "\\b", "\\B", "\\z", "(?i)a", "(", "(?:", "(?<n>", "(?<m>", ")", ")", ")", "|", "*",
            "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{,2}", "{1,}?",
        ];
        let pieces = prop::collection::vec(prop::sample::select(pieces.to_vec()), 1..12);
        (prop::sample::select(vec!["^", "\\A"]), pieces)
            .prop_map(|(start, pieces)| format!("{start}(?:{})(x?)", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn it_finds_what_the_linear_engine_finds(pattern in pattern(), text in "[ab1 \nx_]{0,12}") {
            let texts = [text.clone(), text.trim_end().to_owned()];
            for text in texts {
                if let Some((quick, linear)) = both(&pattern, text.as_bytes()) {
                    prop_assert_eq!(quick, linear, "{} on {:?}", pattern, text);
                }
            }
        }
    }
}
