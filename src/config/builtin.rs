//! The shared objects that a configuration may name and that are built in.

use std::path::Path;

/// AWS's Go plugins, without `.so`.
const BUILT_IN: [&str; 3] = ["cloudwatch", "firehose", "kinesis"];

/// The name of the plugin of a shared object, if that is built in. No file is opened: the image of
/// AWS always passes these paths.
pub fn built_in(path: &Path) -> Option<&'static str> {
    let file = path.file_name()?.to_str()?;
    let name = file.strip_suffix(".so")?;
    BUILT_IN.into_iter().find(|known| *known == name)
}
