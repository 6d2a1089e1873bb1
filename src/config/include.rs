//! Finds and reads the files of a configuration.
//!
//! A relative name counts from the working folder, and where that has no such file, from the folder
//! of the main file, never from the file that includes. A name with `*` is a pattern, counted from
//! the main file's folder; its files come in alphabetical order. No file is read twice, so that
//! includes cannot run in a circle.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many files a configuration may consist of; the same number as in Fluent Bit.
pub const MAX_FILES: usize = 1000;

/// How many bytes all files of a configuration may have together, and so the longest line.
pub const MAX_BYTES: u64 = 32 << 20;

/// How many bytes the file may have that holds the value of a variable.
const MAX_VALUE: u64 = 1 << 20;

/// The content of a file and the name by which messages call it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's name.
    pub name: Arc<str>,
    /// Its bytes; shared with the report, which shows lines of them.
    pub bytes: Arc<[u8]>,
}

/// Where the files come from that `@INCLUDE` names: the disk, or a test's own.
pub trait Include {
    /// The files that the argument of `@INCLUDE` stands for, at least one, in the order in which
    /// they are to be read.
    fn include(&mut self, argument: &str) -> Result<Vec<Source>, IncludeError>;

    /// As [`include`](Self::include) for YAML: a relative argument counts from the folder of the
    /// file that includes.
    fn include_beside(&mut self, file: &str, argument: &str) -> Result<Vec<Source>, IncludeError>;

    /// What a file holds that a variable's `file://` names, without the newline at its end.
    fn value(&mut self, path: &str) -> Result<String, IncludeError>;
}

/// Why a file cannot be part of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum IncludeError {
    /// It does not exist or may not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder was named.
    #[error("`{}` is a folder: name a file", .0.display())]
    Folder(PathBuf),
    /// The file was read already.
    #[error("`{}` is included for the second time: include each file once", .0.display())]
    Twice(PathBuf),
    /// No file fits the pattern.
    #[error("no file fits `{0}`")]
    NoMatch(String),
    /// The pattern cannot be understood.
    #[error("`{pattern}` is no pattern for file names: {source}")]
    Pattern {
        /// The pattern as written.
        pattern: String,
        /// Where it is wrong.
        source: glob::PatternError,
    },
    /// A file that holds a variable is empty, or too large.
    #[error("`{}` has to hold a text of 1 to {MAX_VALUE} bytes", .0.display())]
    Value(PathBuf),
    /// [`MAX_FILES`] is exceeded.
    #[error("`{}` is one file too many: a configuration has {MAX_FILES} at most", .0.display())]
    TooMany(PathBuf),
    /// [`MAX_BYTES`] is exceeded.
    #[error("with `{}` the configuration is larger than {} MiB", .0.display(), MAX_BYTES >> 20)]
    TooLarge(PathBuf),
}

/// The files on disk, as seen from one main file.
pub(super) struct Files<'a> {
    /// The main file's folder.
    directory: &'a Path,
    /// Device and inode of all files read: a link must not hide that two names are one file.
    read: HashSet<(u64, u64)>,
    /// How many more bytes may be read.
    room: u64,
}

impl<'a> Files<'a> {
    /// No file read yet.
    pub(super) fn new(directory: &'a Path) -> Self {
        Self {
            directory,
            read: HashSet::new(),
            room: MAX_BYTES,
        }
    }

    /// Reads the file of exactly this path.
    pub(super) fn open(&mut self, path: &Path) -> Result<Source, IncludeError> {
        let failed = |source| IncludeError::Read {
            path: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(IncludeError::Folder(path.to_path_buf()));
        }
        if !self.read.insert((metadata.dev(), metadata.ino())) {
            return Err(IncludeError::Twice(path.to_path_buf()));
        }
        if self.read.len() > MAX_FILES {
            return Err(IncludeError::TooMany(path.to_path_buf()));
        }
        let mut bytes = Vec::new();
        let size = file
            .take(self.room + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        self.room = self
            .room
            .checked_sub(size as u64)
            .ok_or_else(|| IncludeError::TooLarge(path.to_path_buf()))?;
        Ok(Source {
            name: Arc::from(path.to_string_lossy()),
            bytes: bytes.into(),
        })
    }

    /// Reads the file of this name, in the working folder or in the main file's.
    pub(super) fn open_named(&mut self, name: &str) -> Result<Source, IncludeError> {
        let here = Path::new(name);
        if here.exists() {
            self.open(here)
        } else {
            self.open(&self.directory.join(here))
        }
    }

    /// The files that fit a pattern that counts from `folder`, folders left out.
    fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, IncludeError> {
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let folder = PathBuf::from(glob::Pattern::escape(&folder.to_string_lossy()));
        let full = folder.join(single_stars(pattern));
        let found = glob::glob_with(&full.to_string_lossy(), options).map_err(|source| {
            IncludeError::Pattern {
                pattern: pattern.to_owned(),
                source,
            }
        })?;
        let files = found.filter_map(Result::ok).filter(|path| !path.is_dir());
        let paths: Vec<PathBuf> = files.take(MAX_FILES + 1).collect();
        if paths.is_empty() {
            return Err(IncludeError::NoMatch(pattern.to_owned()));
        }
        Ok(paths)
    }

    fn open_all(&mut self, paths: &[PathBuf]) -> Result<Vec<Source>, IncludeError> {
        paths.iter().map(|path| self.open(path)).collect()
    }
}

impl Include for Files<'_> {
    fn include(&mut self, argument: &str) -> Result<Vec<Source>, IncludeError> {
        if !argument.contains('*') {
            return Ok(vec![self.open_named(argument)?]);
        }
        let paths = Self::matching(self.directory, argument)?;
        self.open_all(&paths)
    }

    fn include_beside(&mut self, file: &str, argument: &str) -> Result<Vec<Source>, IncludeError> {
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        if argument.contains('*') {
            let paths = Self::matching(folder, argument)?;
            self.open_all(&paths)
        } else {
            Ok(vec![self.open(&folder.join(argument))?])
        }
    }

    fn value(&mut self, path: &str) -> Result<String, IncludeError> {
        let path = Path::new(path);
        let failed = |source| IncludeError::Read {
            path: path.to_path_buf(),
            source,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        let size = file
            .take(MAX_VALUE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if text.is_empty() || size as u64 > MAX_VALUE {
            return Err(IncludeError::Value(path.to_path_buf()));
        }
        Ok(text.to_owned())
    }
}

/// Two stars are one star to Fluent Bit, but all folders below to the glob library.
fn single_stars(pattern: &str) -> String {
    let mut single = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        if character != '*' || !single.ends_with('*') {
            single.push(character);
        }
    }
    single
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder with these files, each holding its own name.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    fn texts(sources: &[Source]) -> Vec<String> {
        sources
            .iter()
            .map(|source| String::from_utf8(source.bytes.to_vec()).unwrap())
            .collect()
    }

    /// Checklist: engine 12; firelens 13
    #[test]
    fn a_relative_name_counts_from_the_main_files_folder() {
        let folder = folder(&["sub/one.conf"]);
        let mut files = Files::new(folder.path());
        let sources = files.include("sub/one.conf").unwrap();
        assert_eq!(texts(&sources), ["sub/one.conf"]);
        assert!(sources[0].name.ends_with("sub/one.conf"));
    }

    /// Checklist: engine 12
    #[test]
    fn the_working_folder_comes_first() {
        let folder = folder(&["Cargo.toml"]);
        let sources = Files::new(folder.path()).include("Cargo.toml").unwrap();
        assert_ne!(texts(&sources), ["Cargo.toml"]);
    }

    /// Checklist: firelens 13
    #[test]
    fn a_pattern_takes_fitting_files_in_alphabetical_order() {
        let folder = folder(&[
            "p[1]/f-2.conf",
            "p[1]/f-1.conf",
            "p[1]/g.conf",
            "p[1]/.f-0.conf",
            "p[1]/f-3.conf/x",
        ]);
        let main = folder.path().join("p[1]");
        for pattern in ["f-*.conf", "**f-*"] {
            assert_eq!(
                texts(&Files::new(&main).include(pattern).unwrap()),
                ["p[1]/f-1.conf", "p[1]/f-2.conf"]
            );
        }
    }

    /// Checklist: engine 13, 14, 15
    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = folder(&["d/x", "a.conf"]);
        std::os::unix::fs::symlink(folder.path().join("a.conf"), folder.path().join("b.conf"))
            .unwrap();
        let mut files = Files::new(folder.path());
        files.include("a.conf").unwrap();
        for (name, words) in [
            ("absent.conf", "absent.conf`: No such file"),
            ("nothing-*.conf", "no file fits `nothing-*.conf`"),
            ("d", "d` is a folder"),
            ("a.conf", "a.conf` is included for the second time"),
            ("b.conf", "b.conf` is included for the second time"),
            ("[*", "`[*` is no pattern"),
            ("${HOME}/a.conf", "${HOME}/a.conf`: No such file"),
            ("nul\0", "cannot read"),
        ] {
            let message = files.include(name).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn files_are_limited_in_number_and_size() {
        let folder = folder(&["big"]);
        let big = fs::File::options()
            .write(true)
            .open(folder.path().join("big"))
            .unwrap();
        big.set_len(MAX_BYTES + 1).unwrap();
        let too_large = Files::new(folder.path()).include("big").unwrap_err();
        assert!(
            matches!(too_large, IncludeError::TooLarge(_)),
            "{too_large}"
        );

        for number in 0..=MAX_FILES {
            fs::write(folder.path().join(format!("f{number}")), "").unwrap();
        }
        let too_many = Files::new(folder.path()).include("f*").unwrap_err();
        assert!(matches!(too_many, IncludeError::TooMany(_)), "{too_many}");
    }
}
