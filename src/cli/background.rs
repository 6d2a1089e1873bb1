//! `-d` and `Daemon On`: the process starts itself once more, in a session of its own, and ends.
//!
//! The second process is told by a flag that the help text leaves out. Nothing forks: a fork without
//! an exec would leave threads behind.

use std::ffi::OsString;
use std::process::{Command, Stdio};

/// The flag of the process in the background.
const FLAG: &str = "--in-background";

/// Starts the process in the background with the arguments of this one, its first being the
/// program. The log goes to where `-l` says, or nowhere.
///
/// # Errors
/// When the program cannot be started.
pub fn start(arguments: impl IntoIterator<Item = OsString>) -> std::io::Result<u32> {
    let program = std::env::current_exe()?;
    let child = Command::new(program)
        .args(arguments.into_iter().skip(1))
        .arg(FLAG)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(child.id())
}

/// Leaves the session of the process that started this one, so that its end is not ours.
///
/// # Errors
/// When the system refuses.
pub fn detach() -> std::io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}
