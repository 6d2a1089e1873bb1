//! The `storage.*` keys of `[SERVICE]`, read and validated.

use crate::config::Settings;

/// What the keys say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// `storage.path`: the folder of what is kept on disk; made at the start.
    pub path: Option<String>,
}

/// Keys that take a switch.
const SWITCHES: [&str; 6] = [
    "storage.checksum",
    "storage.metrics",
    "storage.backlog.flush_on_shutdown",
    "storage.delete_irrecoverable_chunks",
    "storage.trim_files",
    "storage.inherit",
];

/// Keys that take a size.
const SIZES: [&str; 1] = ["storage.backlog.mem_limit"];

impl Storage {
    /// Reads the keys. What belongs to buffering on disk is validated and marked as without effect.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let path = settings.text("storage.path");
        settings.choice("storage.sync", &["normal", "full"]);
        settings.choice("storage.type", &["memory", "filesystem", "memrb"]);
        for key in SWITCHES {
            settings.flag(key, false);
        }
        for key in SIZES {
            settings.size(key);
        }
        settings.integer_in("storage.max_chunks_up", 1..=i64::from(i32::MAX));
        settings.accept(&["storage.sync", "storage.type", "storage.max_chunks_up"]);
        settings.accept(&SWITCHES);
        settings.accept(&SIZES);
        Self { path }
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
        };
        storage.make_folder().unwrap();
        storage.make_folder().unwrap();
        assert!(path.is_dir());
        std::fs::write(folder.path().join("file"), "").unwrap();
        let inside_a_file = Storage {
            path: Some(folder.path().join("file/x").display().to_string()),
        };
        assert!(inside_a_file.make_folder().unwrap_err().contains("file/x"));
    }
}
