//! Where the shared vectors of the forward protocol lie, and how they are written.

use std::path::PathBuf;

use serde_json::Value;

/// The folder: beside the repository, or where `VECTORS` says.
pub(crate) fn folder() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    let folder = std::env::var_os("VECTORS").map_or_else(beside, PathBuf::from);
    folder.join("forward")
}

/// A file of JSON in the folder.
pub(crate) fn json(path: &str) -> Value {
    let path = folder().join(path);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// The vectors of a kind: its index, or all its files where it has none.
pub(crate) fn all(kind: &str) -> Vec<Value> {
    if folder().join(kind).join("index.json").exists() {
        return json(&format!("{kind}/index.json"))
            .as_array()
            .unwrap()
            .clone();
    }
    let files = std::fs::read_dir(folder().join(kind)).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    names
        .iter()
        .map(|name| json(&format!("{kind}/{name}")))
        .collect()
}

/// Bytes from hexadecimal digits.
pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}
