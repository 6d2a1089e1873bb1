//! What can be wrong with a pattern, said so that its author can mend it.

use std::fmt;

/// A pattern that cannot be used: what is wrong, where, and in which pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PatternError {
    /// What is wrong.
    pub problem: Problem,
    /// The place in `pattern`, in characters, from 0.
    pub at: usize,
    /// The pattern, without slashes and flags; long ones are cut.
    pub pattern: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            problem,
            at,
            pattern,
        } = self;
        write!(
            f,
            "regular expression {pattern:?}, character {}: {problem}",
            at + 1
        )
    }
}

/// What is wrong with a pattern and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A quantifier at the start of an alternative.
    #[error("`{0}` has nothing before it to repeat; write \\{0} for the character itself")]
    NothingToRepeat(char),
    /// `{3,2}`.
    #[error("a repeat of at least {0} and at most {1} times is impossible; swap the numbers")]
    RepeatReversed(u32, u32),
    /// `{100001}`.
    #[error("a repeat count may be at most {limit}", limit = super::parse::MAX_REPEAT)]
    RepeatTooLarge,
    /// `(a`.
    #[error("this group is never closed; add `)`, or write \\( for the character itself")]
    UnclosedGroup,
    /// `a)`.
    #[error("this `)` closes no group; write \\) for the character itself")]
    UnopenedGroup,
    /// `(?s)`, which other dialects know.
    #[error("`s` is no option of Ruby expressions; write (?m) to let the dot match a newline")]
    OptionS,
    /// `(?P<n>a)`, which other dialects know.
    #[error("(?P<name>...) is not Ruby syntax; write (?<name>...)")]
    CapitalP,
    /// `(?` and a character that means nothing there.
    #[error("{0:?} cannot follow `(?`; options are i, m and x, groups (?:...) and (?<name>...)")]
    UnknownGroup(char),
    /// A name that is empty, starts with a digit or holds other than word characters.
    #[error("{0:?} is no group name; use letters, digits and `_`, with no digit first")]
    GroupName(String),
    /// `\k<n>` or `\g<n>` without such a group.
    #[error("there is no group {0:?}; name one that the pattern has")]
    UnknownReference(String),
    /// `\1` in a pattern with named groups.
    #[error("beside named groups a group has no number; name it and write \\k<name>")]
    NumberBesideNames,
    /// `[a`.
    #[error("this class is never closed; add `]`, or write \\[ for the character itself")]
    UnclosedClass,
    /// `[]`.
    #[error("this class is empty; write \\[\\] for the two characters")]
    EmptyClass,
    /// `[z-a]`.
    #[error(
        "the range from {0:?} to {1:?} runs backwards; swap its ends, or write \\- for the character"
    )]
    RangeReversed(char, char),
    /// `[a-\d]` or `[\d-a]`.
    #[error("a class cannot be an end of a range; write \\- for the character `-`")]
    ClassInRange,
    /// `[[:foo:]]`.
    #[error(
        "there is no class {0:?} between [: and :]; there are alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit"
    )]
    UnknownBracket(String),
    /// `\p{Foo}`.
    #[error("there is no character property {0:?}; use a Unicode category, script or POSIX name")]
    UnknownProperty(String),
    /// A backslash as the last character, or half an escape.
    #[error("the pattern ends inside an escape; write \\\\ for a backslash")]
    EscapeAtEnd,
    /// `\u12`, `\x{110000}`, `\400`, `\xE9`.
    #[error("this escape is no character; write four digits after \\u, or \\x{{...}} up to 10FFFF")]
    BadCharacter,
    /// `(?<=a+)`.
    #[error("a look-behind needs a fixed width; only its outermost alternatives may differ")]
    LookBehindWidth,
    /// `(?<=(?=a))`, `(?<!(a))`.
    #[error(
        "a look-behind takes no look-ahead, \\z, atomic group or reference, a negative one no capturing group; leave it out"
    )]
    LookBehindContent,
    /// What Ruby knows and this program does not.
    #[error("{0} is not supported; {1}")]
    Unsupported(&'static str, &'static str),
    /// More text than a pattern may have.
    #[error("a pattern may have at most {limit} characters; split it", limit = super::parse::MAX_PATTERN)]
    TooLong,
    /// Groups in groups in groups.
    #[error("groups and classes are nested too deep; use fewer levels")]
    TooDeep,
    /// The compiled form needs too much memory.
    #[error("the pattern needs too much memory; use smaller repeat counts or fewer classes ({0})")]
    TooLarge(String),
}
