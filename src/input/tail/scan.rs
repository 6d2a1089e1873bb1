//! Finds the files that `Path` names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use glob::{MatchOptions, Pattern, PatternError};

use super::place::FileId;

/// As the shell globs: a star stops at a slash and leaves hidden files out.
const PATH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// As `fnmatch` without flags: a star is anything.
const EXCLUDE: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    patterns: Vec<Pattern>,
    excluded: Vec<Pattern>,
}

/// A file that is there.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its name as the pattern gives it.
    pub(super) path: PathBuf,
    /// Which file that is.
    pub(super) id: FileId,
    /// Its length in bytes.
    pub(super) size: u64,
    /// How long ago it was written to.
    pub(super) age: Duration,
}

impl Scan {
    /// Reads the patterns.
    ///
    /// # Errors
    /// Which one is no pattern.
    pub(super) fn new(paths: &[String], excluded: &[String]) -> Result<Self, PatternError> {
        Ok(Self {
            patterns: patterns(paths)?,
            excluded: patterns(excluded)?,
        })
    }

    /// Every regular file that fits, in order of the patterns and then of the names.
    pub(super) fn files(&self) -> Vec<Found> {
        let now = SystemTime::now();
        let mut files: Vec<Found> = Vec::new();
        for pattern in &self.patterns {
            let Ok(paths) = glob::glob_with(pattern.as_str(), PATH) else {
                continue;
            };
            files.extend(paths.flatten().filter_map(|path| self.look(path, now)));
        }
        files
    }

    fn look(&self, path: PathBuf, now: SystemTime) -> Option<Found> {
        let name = path.to_string_lossy();
        let is_excluded = |pattern: &Pattern| pattern.matches_with(&name, EXCLUDE);
        if self.excluded.iter().any(is_excluded) {
            return None;
        }
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let age = metadata.modified().ok();
        let age = age.and_then(|written| now.duration_since(written).ok());
        Some(Found {
            id: FileId::of(&metadata),
            size: metadata.len(),
            age: age.unwrap_or_default(),
            path,
        })
    }

    /// The folders in which files may appear: those of the files, and where each pattern begins to vary.
    pub(super) fn folders<'p>(&self, files: impl Iterator<Item = &'p Path>) -> BTreeSet<PathBuf> {
        let bases = self.patterns.iter().map(|pattern| base(pattern.as_str()));
        let folders = files.map(|file| file.parent().map_or_else(PathBuf::new, Path::to_path_buf));
        let or_here = |folder: PathBuf| {
            if folder.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                folder
            }
        };
        bases.chain(folders).map(or_here).collect()
    }
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, PatternError> {
    texts.iter().map(|text| pattern(text)).collect()
}

/// A pattern; two stars are one star, as everywhere but in the library, and a bracket that nothing closes is a bracket.
fn pattern(text: &str) -> Result<Pattern, PatternError> {
    let mut single = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '*' || !single.ends_with('*') {
            single.push(character);
        }
    }
    Pattern::new(&single).or_else(|_| Pattern::new(&single.replace('[', "[[]")))
}

/// The folder above the first part of a pattern that varies.
fn base(pattern: &str) -> PathBuf {
    let varies = |part: &std::path::Component<'_>| {
        let part = part.as_os_str().to_string_lossy();
        part.contains(['*', '?', '['])
    };
    let path = Path::new(pattern);
    let fixed = path.components().take_while(|part| !varies(part));
    let fixed: PathBuf = fixed.collect();
    if fixed == path {
        fixed.parent().map_or_else(PathBuf::new, Path::to_path_buf)
    } else {
        fixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn patterns_find_files_and_others_take_them_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "a.log",
            "ab.log",
            "b.log",
            ".hidden.log",
            "c.txt",
            "d/e.log",
            "x[1.log",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::create_dir(folder.path().join("folder.log")).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let found = |paths: &[&str], excluded: &[&str]| -> Vec<String> {
            let paths: Vec<_> = paths.iter().map(|path| at(path)).collect();
            let scan = Scan::new(&paths, &texts(excluded)).unwrap();
            let name = |file: &Found| {
                let name = file.path.strip_prefix(folder.path()).unwrap();
                name.display().to_string()
            };
            scan.files().iter().map(name).collect()
        };
        assert_eq!(
            found(&["*.log"], &[]),
            ["a.log", "ab.log", "b.log", "x[1.log"]
        );
        assert_eq!(found(&["*.log"], &["*b.log", "*/x*"]), ["a.log"]);
        assert_eq!(found(&["c.txt", "*/*.log"], &[]), ["c.txt", "d/e.log"]);
        assert_eq!(found(&["**.txt"], &[]), ["c.txt"]);
        assert_eq!(found(&["x[1.log"], &[]), ["x[1.log"]);
        assert_eq!(found(&["nothing"], &[]), [""; 0]);
    }

    #[test]
    fn folders_are_watched_where_files_may_appear() {
        let paths = texts(&["/var/log/*.log", "logs/a.log", "/pods/*/x/*.log", "b.log"]);
        let scan = Scan::new(&paths, &[]).unwrap();
        let known = [Path::new("/pods/one/x/y.log")];
        let folders: Vec<_> = scan.folders(known.into_iter()).into_iter().collect();
        let expected = ["/pods", "/pods/one/x", "/var/log", ".", "logs"];
        assert_eq!(folders, expected.map(PathBuf::from));
    }
}
