//! Named sets of characters: `\w`, `[:alpha:]`, `\p{Greek}`.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// What is ASCII.
pub(super) const ASCII: (char, char) = ('\0', '\x7F');

/// The POSIX names, in the notation of `regex_syntax`, Unicode members included.
const POSIX: &[(&str, &str)] = &[
    ("alnum", r"[\p{Alphabetic}\p{Nd}]"),
    ("alpha", r"\p{Alphabetic}"),
    ("ascii", r"[\x00-\x7F]"),
    ("blank", r"[\t\p{Zs}]"),
    ("cntrl", r"\p{Cc}"),
    ("digit", r"\p{Nd}"),
    ("graph", r"[^\p{White_Space}\p{Cc}\p{Cn}]"),
    ("lower", r"\p{Lowercase}"),
    ("print", r"[^\p{Cc}\p{Cn}--\p{Zs}]"),
    ("punct", r"[\p{P}$+<=>^`|~]"),
    ("space", r"\p{White_Space}"),
    ("upper", r"\p{Uppercase}"),
    ("word", r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]"),
    ("xdigit", r"[0-9A-Fa-f]"),
];

/// A POSIX set by its lower-case name.
pub(super) fn posix(name: &str, ascii_only: bool) -> Option<ClassUnicode> {
    let (_, class) = POSIX.iter().find(|(known, _)| *known == name)?;
    let mut set = parsed(class)?;
    if ascii_only {
        set.intersect(&single_range(ASCII));
    }
    Some(set)
}

/// Whether a POSIX name stands at the start of `text`.
pub(super) fn starts_with_posix(text: &str) -> bool {
    POSIX.iter().any(|(name, _)| text.starts_with(name))
}

/// A set by its name in `\p{...}`: POSIX, category, script or another Unicode property with two values. Case, blanks,
/// `-` and `_` do not count.
pub(super) fn property(name: &str) -> Option<ClassUnicode> {
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '_'))
        .collect();
    let plain = plain.to_ascii_lowercase();
    let known = plain.chars().all(|c| c.is_ascii_alphanumeric()) && !plain.is_empty();
    if !known {
        return None;
    }
    posix(&plain, false).or_else(|| parsed(&format!(r"\p{{{plain}}}")))
}

/// A set of one range.
pub(super) fn single_range((start, end): (char, char)) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(start, end)])
}

fn parsed(class: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(class).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(set)) => Some(set),
        _ => None,
    }
}
