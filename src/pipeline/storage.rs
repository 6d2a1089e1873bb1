//! The `storage.*` keys: those of `[SERVICE]`, and `storage.type` of inputs.

use std::path::PathBuf;

use crate::buffer::Options;
use crate::config::Settings;

/// What Fluent Bit takes a chunk for; `storage.max_chunks_up` counts them.
const CHUNK: u64 = 2 << 20;

/// `storage.max_chunks_up`, unless it is set.
const CHUNKS_UP: u64 = 128;

/// `storage.backlog.mem_limit`, unless it is set.
const BACKLOG: u64 = 100 << 20;

/// The longest segment. Where an output has a limit, they are so short that several fit into it.
const SEGMENT_MAX: u64 = 16 << 20;
/// The shortest.
const SEGMENT_MIN: u64 = 64 << 10;

/// What the keys say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// `storage.path`: the folder of what is kept on disk; made at the start.
    pub path: Option<String>,
    /// `storage.sync full`.
    full_sync: bool,
    /// `storage.delete_irrecoverable_chunks`.
    delete_damaged: bool,
    /// `storage.max_chunks_up`.
    chunks_up: Option<u64>,
    /// `storage.backlog.mem_limit`.
    backlog: Option<u64>,
    /// `storage.type filesystem` with `storage.inherit`: inputs that say nothing keep events on disk.
    is_inherited: bool,
}

/// Where an input keeps events, from its `storage.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageKind {
    /// In memory.
    Memory,
    /// On disk too.
    Filesystem {
        /// `storage.pause_on_chunks_overlimit`: senders wait when memory is short, in place of events' leaving it.
        pauses: bool,
    },
}

impl StorageKind {
    /// Reads the keys of an input.
    pub(super) fn read(settings: &mut Settings<'_>, storage: &Storage) -> Self {
        let kind = settings.choice("storage.type", &["memory", "filesystem", "memrb"]);
        let pauses = settings.flag("storage.pause_on_chunks_overlimit", false);
        match kind {
            Some("filesystem") if storage.path.is_none() => settings.error(
                "storage.type",
                "filesystem needs `storage.path` in [SERVICE]",
            ),
            Some("memrb") => settings.warning(
                "storage.type",
                "memrb drops the oldest events to make room; here senders wait when memory is full",
            ),
            Some("filesystem") => return Self::Filesystem { pauses },
            None if storage.is_inherited => return Self::Filesystem { pauses },
            _ => {}
        }
        Self::Memory
    }
}

/// Keys that take a switch and mean nothing here.
const SWITCHES: [&str; 3] = [
    "storage.checksum",
    "storage.backlog.flush_on_shutdown",
    "storage.trim_files",
];

impl Storage {
    /// Reads the keys. What belongs to the dead-letter folder is validated and marked as without effect.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let path = settings.text("storage.path");
        let full_sync = settings.choice("storage.sync", &["normal", "full"]) == Some("full");
        let kind = settings.choice("storage.type", &["memory", "filesystem", "memrb"]);
        let is_inherited = settings.flag("storage.inherit", false) && kind == Some("filesystem");
        if is_inherited && path.is_none() {
            settings.error("storage.type", "filesystem needs `storage.path`");
        }
        for key in SWITCHES {
            settings.flag(key, false);
        }
        let chunks_up = settings.integer_in("storage.max_chunks_up", 1..=i64::from(i32::MAX));
        let storage = Self {
            path,
            full_sync,
            delete_damaged: settings.flag("storage.delete_irrecoverable_chunks", false),
            chunks_up: chunks_up.map(i64::cast_unsigned),
            backlog: settings.size("storage.backlog.mem_limit"),
            is_inherited,
        };
        settings.accept(&SWITCHES);
        storage
    }

    /// What the log is made from, in a process that may hold `budget` bytes, with outputs that have these limits.
    pub(super) fn options(
        &self,
        budget: u64,
        limits: impl Iterator<Item = u64>,
    ) -> Option<Options> {
        let least = limits.min().unwrap_or(u64::MAX);
        Some(Options {
            path: PathBuf::from(self.path.as_ref()?),
            full_sync: self.full_sync,
            keep_damaged: !self.delete_damaged,
            // A quarter for what is read back, half for what comes directly, and the rest for reading from inputs.
            backlog_max: self.backlog.unwrap_or(BACKLOG).min(budget / 4),
            direct_max: self.chunks_bytes().min(budget / 2),
            segment_max: (least / 8).clamp(SEGMENT_MIN, SEGMENT_MAX),
        })
    }

    /// How much memory `storage.max_chunks_up` stands for.
    pub(super) fn chunks_bytes(&self) -> u64 {
        self.chunks_up.unwrap_or(CHUNKS_UP) * CHUNK
    }

    /// Makes the folder, unless there is one.
    ///
    /// # Errors
    /// A sentence that names the folder.
    pub fn make_folder(&self) -> Result<(), String> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        std::fs::create_dir_all(path)
            .map_err(|error| format!("cannot make the folder of storage.path {path}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    #[test]
    fn wrong_values_are_named() {
        for (key, value, words) in [
            ("storage.sync", "sometimes", "`sometimes` is not known"),
            ("storage.backlog.mem_limit", "5 MB", "is no size"),
            ("storage.type", "disk", "`disk` is not known"),
            ("storage.max_chunks_up", "0", "is no whole number from 1"),
        ] {
            let (_, said) = configured(&[(key, value)], Storage::read);
            assert!(said[0].contains(words), "{said:?}");
        }
    }

    #[test]
    fn the_folder_is_made_with_those_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let storage = Storage {
            path: Some(path.display().to_string()),
            ..Storage::default()
        };
        storage.make_folder().unwrap();
        storage.make_folder().unwrap();
        assert!(path.is_dir());
        std::fs::write(folder.path().join("file"), "").unwrap();
        let inside_a_file = Storage {
            path: Some(folder.path().join("file/x").display().to_string()),
            ..Storage::default()
        };
        assert!(inside_a_file.make_folder().unwrap_err().contains("file/x"));
    }
}
