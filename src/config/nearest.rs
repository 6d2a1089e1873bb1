//! "Did you mean": the known word nearest to one that is not known.

/// Longer words are no misspellings; the limit keeps the quadratic comparison small.
const LONGEST: usize = 64;

/// The candidate that `word` most likely means, if any is near: a third of its letters may be
/// wrong, four at most.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let distance = |candidate: &str| strsim::osa_distance(&word, &candidate.to_ascii_lowercase());
    let near = |candidate: &str| (candidate.chars().count() / 3).clamp(1, 4);
    let measured = candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate));
    let in_reach = measured.filter(|&(distance, candidate)| distance <= near(candidate));
    in_reach
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_their_word_and_other_words_find_none() {
        let known = [
            "INCLUDE",
            "SET",
            "FILTER",
            "OUTPUT",
            "log_group_name",
            "log_stream_name",
            "Time_Format",
            "flush",
        ];
        for (word, expected) in [
            ("INCLDE", Some("INCLUDE")),
            ("FITLER", Some("FILTER")),
            ("OUPUT", Some("OUTPUT")),
            ("lgo_group_name", Some("log_group_name")),
            ("time_fromat", Some("Time_Format")),
            ("flushh", Some("flush")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), known), None);
    }
}
