//! `sluice convert`: a configuration in the other format, on standard output.
//!
//! All files that the main file includes become one; files that keys name (`Parsers_File`) stay
//! what they are, since both formats can name both. Variables stay variables. Comments are lost.
//! What the other format cannot say is an error with its place.

mod classic;
mod yaml;

use std::path::Path;

use crate::config::{self, Config, Problems, Variables};

/// Reads a file and writes it in the other format; mistakes go to `problems`, and without errors
/// there the text means the same.
pub fn convert(path: &Path, problems: &mut Problems) -> String {
    // Only what the files set is to be written, so the environment is left out.
    let config = config::load(path, Variables::default(), problems);
    if is_yaml(path) {
        classic::write(&config, problems)
    } else {
        yaml::write(&config)
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|suffix| suffix == "yaml" || suffix == "yml")
}

/// The variables that the files set, by name.
fn variables(config: &Config) -> Vec<(&str, &str)> {
    let mut pairs: Vec<(&str, &str)> = config.variables.iter().collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests;
