//! A thread of its own for an input that reads files, and how it waits there.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{Phase, reached};

/// Runs `work` on a thread of its own, where it may wait for a disk and holds up nobody else. Timers and channels in it work
/// as ever.
///
/// Dropping the future leaves the thread to its work.
pub(super) async fn on_own_thread(work: impl Future<Output = ()> + Send + 'static) {
    let runtime = Handle::current();
    let thread = tokio::task::spawn_blocking(move || runtime.block_on(work));
    drop(thread.await);
}

/// Why a thread waits no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// A read of the descriptor finds something; its end is something, too.
    Readable,
    /// The process has come to its phase.
    Rung,
    /// Time is up.
    TimedOut,
}

/// Wakes a thread that waits for a descriptor when the process comes to a phase.
#[derive(Debug)]
pub(super) struct Bell(PipeReader);

impl Bell {
    /// Rings at `wanted` and from then on.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub(super) fn new(mut phase: watch::Receiver<Phase>, wanted: Phase) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        tokio::spawn(async move {
            reached(&mut phase, wanted).await;
            drop(writer);
        });
        Ok(Self(reader))
    }

    /// Waits for `fd`, the bell, or the time; the bell comes first. Blocks the thread.
    pub(super) fn wait(&self, fd: Option<BorrowedFd<'_>>, most: Option<Duration>) -> Woken {
        let timeout = most.and_then(|most| Timespec::try_from(most).ok());
        let mut fds = vec![PollFd::new(&self.0, PollFlags::IN)];
        fds.extend(fd.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        // A wait that a signal ends early is one that was short.
        let _interrupted = poll(&mut fds, timeout.as_ref());
        let mut woken = fds.iter().map(|fd| !fd.revents().is_empty());
        match (woken.next(), woken.next()) {
            (Some(true), _) => Woken::Rung,
            (_, Some(true)) => Woken::Readable,
            _ => Woken::TimedOut,
        }
    }
}

/// Whether a read would find something now, or the end.
pub(super) fn has_arrived(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[tokio::test]
    async fn a_thread_is_woken_by_what_comes_first() {
        let (sender, phase) = watch::channel(Phase::Run);
        let bell = Bell::new(phase, Phase::Close).unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let short = Some(Duration::from_millis(1));
        assert_eq!(bell.wait(Some(reader.as_fd()), short), Woken::TimedOut);
        assert!(!has_arrived(&reader));
        writer.write_all(b"x").unwrap();
        assert_eq!(bell.wait(Some(reader.as_fd()), None), Woken::Readable);
        assert!(has_arrived(&reader));
        sender.send_replace(Phase::Close);
        let rung = tokio::task::spawn_blocking(move || bell.wait(None, None));
        assert_eq!(rung.await.unwrap(), Woken::Rung);
    }
}
