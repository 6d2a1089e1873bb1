//! The checklists of the references, number by number: each is shown by a test that cites it, by recorded cases, or is said
//! to be open.
//!
//! A test cites numbers in a line of its own, `Checklist: forward 39, 41; engine 46`, in any comment of Rust, Python or shell.
//! What recorded cases and vectors show, and what is open, is listed in `tests/checklists/CHAPTER.txt`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The chapters, and the highest number of each.
const CHAPTERS: &[(&str, u32)] = &[
    ("forward", 60),
    ("engine", 70),
    ("filters", 76),
    ("outputs", 46),
    ("firelens", 51),
];

/// Where tests are.
const FOLDERS: &[&str] = &["src", "tests", "benches", "fuzz/fuzz_targets"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn texts() -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|name| root().join(name)).collect();
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test_text = path.extension().is_some_and(|extension| {
                ["rs", "py", "sh", "js", "go"]
                    .iter()
                    .any(|e| extension == *e)
            });
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if is_test_text && !path.ends_with("tests/checklists.rs") {
                let text = fs::read_to_string(&path).unwrap();
                texts.push((path, text));
            }
        }
    }
    texts
}

/// The numbers of a chapter that tests cite; a citation that names no number of a chapter is a mistake.
fn cited(chapter: &str, mistakes: &mut Vec<String>) -> BTreeSet<u32> {
    let mut cited = BTreeSet::new();
    for (path, text) in texts() {
        for line in text.lines() {
            let Some((_, citation)) = line.split_once("Checklist: ") else {
                continue;
            };
            for part in citation.trim().trim_end_matches('.').split("; ") {
                let (name, numbers) = part.split_once(' ').unwrap_or((part, ""));
                let parsed: Result<Vec<u32>, _> = numbers.split(", ").map(str::parse).collect();
                let is_known = CHAPTERS.iter().any(|(known, _)| *known == name);
                match parsed {
                    Ok(numbers) if name == chapter => cited.extend(numbers),
                    Ok(_) if is_known => {}
                    _ => mistakes.push(format!("{}: `{line}` cites nothing", path.display())),
                }
            }
        }
    }
    cited
}

/// The numbers that a chapter's list answers for. A line is `NUMBER vectors|cases|open TEXT`.
fn listed(chapter: &str, mistakes: &mut Vec<String>) -> BTreeSet<u32> {
    let path = root().join(format!("tests/checklists/{chapter}.txt"));
    let mut listed = BTreeSet::new();
    for line in fs::read_to_string(&path).unwrap().lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let number = words.next().and_then(|word| word.parse().ok());
        let kind = words.next().unwrap_or_default();
        let says_what = words.next().is_some();
        match number {
            Some(number) if ["vectors", "cases", "open"].contains(&kind) && says_what => {
                if !listed.insert(number) {
                    mistakes.push(format!("{}: {number} stands twice", path.display()));
                }
            }
            _ => mistakes.push(format!("{}: `{line}` is no entry", path.display())),
        }
    }
    listed
}

#[test]
fn every_number_of_the_checklists_is_cited_by_a_test_or_listed() {
    let mut mistakes = Vec::new();
    for (chapter, last) in CHAPTERS {
        let mut answered = cited(chapter, &mut mistakes);
        answered.extend(listed(chapter, &mut mistakes));
        for number in 1..=*last {
            if !answered.remove(&number) {
                mistakes.push(format!("{chapter} {number} is neither cited nor listed"));
            }
        }
        for number in answered {
            mistakes.push(format!("{chapter} has no number {number}"));
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}
