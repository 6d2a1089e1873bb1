use super::found;

#[track_caller]
fn check(pattern: &str, text: impl AsRef<[u8]>, expected: &str) {
    assert_eq!(
        found(pattern, text.as_ref()),
        expected,
        "{pattern} on {:?}",
        text.as_ref().escape_ascii().to_string()
    );
}

/// Checklist: filters 13, 76
#[test]
fn anchors_work_per_line() {
    check("^b", "a\nb", "2-3");
    check("^", "\n", "0-0");
    check("^$", "a\n", "none");
    check("^$", "\n", "0-0");
    check("^$", "a\n\nb", "2-2");
    check("a$", "a\nb", "0-1");
    check("$", "a\n", "1-1");
    check(r"\n$", "a\n", "1-2");
    check(r"\n^", "a\n", "none");
    check(r"\n^", "a\nb", "1-2");
    check(r"\Ab", "a\nb", "none");
    check(r"a\z", "a\n", "none");
    check(r"a\Z", "a\n", "0-1");
    check(r"a\Z", "a\nb", "none");
    check(r"a\Z", "a", "0-1");
    check(r"\Z", "\n", "0-0");
    check("^*a", "ba", "1-2");
    check(r"(?:x|^)\z", "x\n", "none");
    check(r"^.*(?m:\H+)??.*$", "a<é\n", "0-4");
}

/// Checklist: filters 76
#[test]
fn the_dot_and_m() {
    check(".", "\n", "none");
    check("a.b", "a\nb", "none");
    check("(?m)a.b", "a\nb", "0-3");
    check("/a.b/m", "a\nb", "0-3");
    check("(?m:a.)b.", "a\nb\n", "none");
    check(".", "日", "0-3");
}

/// Checklist: filters 76
#[test]
fn options_reach_to_the_end_of_their_group() {
    check("a(?i)b|c", "aB", "0-2");
    check("a(?i)b|c", "C", "none");
    check("a(?i)b|c", "aC", "0-2");
    check("(a(?i)b)c", "aBC", "none");
    check("(a(?i)b)c", "aBc", "0-3 0-2");
    check("(?i)a(?-i)b", "Ab", "0-2");
    check("(?i)a(?-i)b", "AB", "none");
    check("(?i:a)b", "AB", "none");
    check("(?x)a b # c", "ab", "0-2");
    check(r"(?x: a\ b )c", "a bc", "0-4");
    check("/a b/x", "ab", "0-2");
    check("(?mi-x:A.)b", "a\nb", "0-3");
    check("(?i)é", "É", "0-2");
    check("(?i)k", "\u{212a}", "0-3");
    check("(?i)[k]", "\u{212a}", "0-3");
    check(r"(?i)\w", "\u{212a}", "none");
    check(r"(?i)[\w]", "\u{212a}", "none");
    check("(?i)[^a]b", "Ab", "none");
    check(r"(?i)\p{Lu}", "a", "0-1");
    check("(?i)[[:upper:]]", "λ", "0-2");
}

/// Checklist: filters 15, 76
#[test]
fn letters_after_a_backslash_are_ascii() {
    check(r"\w", "é", "none");
    check(r"\W", "é", "0-2");
    check(r"\d", "٣", "none");
    check(r"\D", "٣", "0-2");
    check(r"\s", "\u{a0}", "none");
    check(r"\s", "\u{b}", "0-1");
    check(r"\S", "\u{2003}", "0-3");
    check(r"[\w]", "é", "none");
    check(r"(?u)\w", "é", "0-2");
    check(r"(?u)\d", "٣", "0-2");
    check("(?a)[[:alpha:]]", "é", "none");
    check(r"(?d)\w", "é", "none");
    check(r"(?a)\bé", "é", "none");
}

/// Checklist: filters 15, 76
#[test]
fn brackets_properties_and_word_boundaries_are_unicode() {
    check("[[:alpha:]]", "é", "0-2");
    check("[[:digit:]]", "٣", "0-2");
    check("[[:space:]]", "\u{2003}", "0-3");
    check("[[:upper:]]", "É", "0-2");
    check("[[:^alpha:]]", "é1", "2-3");
    check("[[:punct:]]", "$", "0-1");
    check("[[:punct:]]", "a", "none");
    check("[[:word:]]", "日", "0-3");
    check("[[:blank:]]", "\t", "0-1");
    check("[[:cntrl:]]", "\u{1}", "0-1");
    check("[[:graph:]]", " !", "1-2");
    check("[[:print:]]", "\n ", "1-2");
    check("[[:xdigit:]]", "gF", "1-2");
    check("[[:alnum:]]", "-٣", "1-3");
    check("[[:lower:]]", "Éé", "2-4");
    check("[[:ascii:]]", "éa", "2-3");
    check(r"\p{Alpha}", "é", "0-2");
    check(r"\p{^Alpha}", "é1", "2-3");
    check(r"\P{Alpha}", "é1", "2-3");
    check(r"\p{Greek}", "aα", "1-3");
    check(r"\p{Lu}", "aÉ", "1-3");
    check(r"\pL", "pL", "0-2");
    check(r"é\b", "é ", "0-2");
    check(r"\bn", "én", "none");
    check(r"\Bn", "én", "2-3");
}

/// Checklist: filters 15, 76
#[test]
fn hexadecimal_digits_line_breaks_graphemes_keep() {
    check(r"\h+", "xyF9g", "2-4");
    check(r"\H+", "F9g", "2-3");
    check(r"[\h]", "gf", "1-2");
    check(r"\R", "\r\n", "0-2");
    check(r"\R", "a\u{2028}", "1-4");
    check(r"\R\n", "\r\n", "none");
    check(r"\X", "e\u{301}x", "0-3");
    check(r"\X", "\r\n", "0-2");
    check(r"a\Kb", "ab", "1-2");
    check(r"\Gb", "ab", "none");
    check(r"\Ga", "ab", "0-1");
}

/// Checklist: filters 76
#[test]
fn escapes() {
    check(r"\e", "\u{1b}", "0-1");
    check(r"\a", "\u{7}", "0-1");
    check(r"\v", "\u{b}", "0-1");
    check(r"\f", "\u{c}", "0-1");
    check(r"\t\n\r", "\t\n\r", "0-3");
    check(r"\cA", "\u{1}", "0-1");
    check(r"\C-a", "\u{1}", "0-1");
    check(r"\c?", "\u{7f}", "0-1");
    check(r"\101", "A", "0-1");
    check(r"\x41", "A", "0-1");
    check(r"\x{41}", "A", "0-1");
    check(r"\x{1F600}", "😀", "0-4");
    check(r"\u0041", "A", "0-1");
    check(r"\u00e9", "é", "0-2");
    check(r"\xc3\xa9", "é", "0-2");
    check(r"[\xc3\xa9]", "é", "0-2");
    check(r"\0", "\u{0}", "0-1");
    check(r"\x", "x", "0-1");
    check(r"\x{", "x{", "0-2");
    check(r"[\b]", "\u{8}", "0-1");
    check(r"\<a\>", "<a>", "0-3");
    check(r"\j\y\Q\O\N", "jyQON", "0-5");
    check(r#"\/\-\"\@\ \#"#, r#"/-"@ #"#, "0-6");
}

/// Checklist: filters 76
#[test]
fn groups_and_their_numbers() {
    check("(a)(b)", "ab", "0-2 0-1 1-2");
    check("(a)(?<x>b)(c)", "abc", "0-3 1-2");
    check("(?<x>a)|(?<x>b)", "b", "0-1 ? 0-1");
    check("(?'n'a)", "a", "0-1 0-1");
    check("(?<é>a)", "a", "0-1 0-1");
    check("(?:a)(b)", "ab", "0-2 1-2");
    check("(a)|(b)", "b", "0-1 ? 0-1");
    check("(?:(a)|b)*", "ab", "0-2 0-1");
    check("()", "x", "0-0 0-0");
    check("(?<x>a)(?<y>b)?", "a", "0-1 0-1 ?");
}

/// Checklist: filters 76
#[test]
fn references_calls_conditions() {
    check(r"(a)\1", "aa", "0-2 0-1");
    check(r"(a)\1", "ab", "none");
    check(r"(?<n>a)\k<n>", "aa", "0-2 0-1");
    check(r"(?<n>a)\k'n'", "aa", "0-2 0-1");
    check(r"(a)(b)\k<-1>", "abb", "0-3 0-1 1-2");
    check(r"(?<n>a)|(?<n>b)\k<n>", "bb", "0-2 ? 0-1");
    check(r"(?i)(a)\1", "aA", "0-2 0-1");
    check(r"(?<n>a|b)\g<n>", "ab", "0-2 1-2");
    check(r"(a|b)\g<1>", "ab", "0-2 1-2");
    check(r"(?<n>\((?:[^()]|\g<n>)*\))", "x(a(b)c)", "1-8 1-8");
    check("(a)?(?(1)b|c)", "ab", "0-2 0-1");
    check("(a)?(?(1)b|c)", "c", "0-1 ?");
    check("(?<n>a)?(?(<n>)b|c)", "ab", "0-2 0-1");
    check(r"(a)\10", "a\u{8}", "0-2 0-1");
}

/// Checklist: filters 15, 76
#[test]
fn look_around() {
    check("a(?=b)", "ab", "0-1");
    check("a(?!b)", "abac", "2-3");
    check("(?<=a)b", "ab", "1-2");
    check("(?<!a)b", "abb", "2-3");
    check("(?<=a|bc)d", "bcd", "2-3");
    check("(?<!a|bc)d", "bcd", "none");
    check("(?<!a|bc)d", "xd", "1-2");
    check("(?<=^)a", "a", "0-1");
    check("(?<=(a))b", "ab", "1-2 0-1");
    check("(?<=a{2})b", "aab", "2-3");
    check("(?<=é)b", "éb", "2-3");
}

/// Checklist: filters 15, 76
#[test]
fn atomic_and_possessive() {
    check("(?>a*)a", "aaa", "none");
    check("(?>a*)b", "aaab", "0-4");
    check("a*+a", "aaa", "none");
    check("a++b", "aab", "0-3");
    check("a?+a", "a", "none");
    check("a{2,3}+", "aaaaaa", "0-6");
    check("a{2}+", "aaaaa", "0-4");
    check("(?>ab|a)c", "ac", "0-2");
}

/// Checklist: filters 76
#[test]
fn intervals() {
    check("a{2}", "aaa", "0-2");
    check("a{2,}", "aaa", "0-3");
    check("a{,2}", "aaa", "0-2");
    check("a{2,3}?", "aaa", "0-2");
    check("a{2}?", "aaa", "0-2");
    check("a{x}", "a{x}", "0-4");
    check("{", "{", "0-1");
    check("a{", "a{", "0-2");
    check("a{}", "a{}", "0-3");
    check("a{,}", "a{,}", "0-4");
    check("a{2", "a{2", "0-3");
    check("{x}", "{x}", "0-3");
    check("a+?", "aa", "0-1");
    check("a??", "a", "0-0");
    check("a**", "aa", "0-2");
    check("a{2}{2}", "aaaaa", "0-4");
}

/// Checklist: filters 76
#[test]
fn lone_brackets_are_literal() {
    check("]", "]", "0-1");
    check("}", "}", "0-1");
    check("a]b}", "a]b}", "0-4");
    check("[]a]", "]", "0-1");
    check("[^]a]", "]b", "1-2");
}

/// Checklist: filters 76
#[test]
fn classes() {
    check("[a[b]]", "b", "0-1");
    check("[a-c&&b-d]", "ab", "1-2");
    check("[a-z&&[^aeiou]]", "ab", "1-2");
    check("[+--]", "-", "0-1");
    check("[+--]", "a", "none");
    check("[a-c-e]", "-", "0-1");
    check("[a-]", "-", "0-1");
    check("[-a]", "-", "0-1");
    check("[^-a]", "-b", "1-2");
    check("[a~~b]", "~", "0-1");
    check("[a&&]", "a", "none");
    check(r"[\]]", "]", "0-1");
    check(r"[a\-c]", "b-", "1-2");
    check("[a^]", "^", "0-1");
    check("[^a]", "\n", "0-1");
    check("[[:alpha:]1]", "1", "0-1");
    check(r"[.\/\dHTFSP]+", "HTTP/1.1", "0-8");
    check("[a-zA-Z0-9-_]+", "a-_", "0-3");
    check("[a-z-:0-9]+", "a:-", "0-3");
    check("[a:]", ":", "0-1");
    check("[:a]", ":", "0-1");
    check(r#"['"\s]*"#, r#"'" "#, "0-3");
    check(r"[.-_\w]+", ".-A_", "0-1");
    check(r"[-._?=%&\/[:alnum:]]*", "/v2?a=b", "0-7");
}

/// Checklist: filters 76
#[test]
fn comments_and_absence() {
    check("a(?#x)b", "ab", "0-2");
    check("a(?#x)+", "aa", "0-2");
    check(r"a(?#\))b", "ab", "0-2");
    check(r"/\*(?~\*/)\*/", "x/* a */ b */", "2-7");
    check("(?~ab)", "xabx", "0-2");
    check("(?~ab)", "b", "0-1");
}

#[test]
fn empty_patterns_match() {
    check("", "x", "0-0");
    check("()", "", "0-0 0-0");
    check("a|", "b", "0-0");
    check("|a", "a", "0-0");
    check("(?:)", "x", "0-0");
    check("//", "x", "0-0");
    check("//i", "x", "0-0");
}

/// Checklist: filters 15, 76
#[test]
fn slashes_and_flags() {
    check("/a/", "a", "0-1");
    check("/A/i", "a", "0-1");
    check("/a", "/a", "0-2");
    check("a/", "a/", "0-2");
    check("/a/q", "/a/q", "0-4");
    check("/a/q", "a", "none");
    check("/a/b/", "a/b", "0-3");
    check("/", "/", "0-1");
    check("/a b/xo", "ab", "0-2");
}

/// Checklist: filters 76
#[test]
fn a_byte_that_is_no_character_is_one() {
    check("^.$", b"\x80", "0-1");
    check("^[^a]$", b"\xff", "0-1");
    check("^..$", b"\xc0\x80", "0-2");
    check("^.+$", b"a\xe2\x82b", "0-4");
    check("^a.b$", b"a\xffb", "0-3");
    check("b", b"\xffb", "1-2");
    check(r"\x80", b"\x80", "0-1");
    check("(.)b", b"a\xffb", "1-3 1-2");
    check("^a[^c]+b$", b"a\xe2\x82b", "0-4");
    check("^...$", b"\xed\xa0\x80", "0-3");
    check("a(?=.b)", b"a\xffb", "0-1");
    check(r"^\W+$", b"\xff\xfe", "0-2");
    check("(b)(?!c)", b"\xff\xfeb", "2-3 2-3");
}
