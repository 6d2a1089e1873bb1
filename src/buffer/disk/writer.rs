//! The thread that writes: all entries that have come meanwhile in one go, one `fdatasync` for them, then the marks of what is
//! settled, without one.
//!
//! When the file system refuses, the group stays in memory and is tried again every second and whenever something is settled,
//! which may free room. Nothing of it is acknowledged meanwhile, so senders wait. A file that failed is not trusted any more: the group
//! goes into a new one.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use super::frame::MAGIC;
use super::log::{Group, Log, Work};
use super::marks::Runs;
use crate::telemetry::registry::registry;

/// How long a file system that refuses is left alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the writer waits before it looks whether the open segment can go.
const IDLE: Duration = Duration::from_secs(1);

/// An open segment of which nothing is owed any more goes when it is at least so long, or when nothing has come for a while.
const WORTH_REMOVING: u64 = 256 * 1024;

/// The segment that grows.
struct Open {
    first: u64,
    file: File,
    end: u64,
}

/// The state of the thread.
pub(super) struct Writer {
    log: Arc<Log>,
    open: Option<Open>,
    is_failing: bool,
}

impl Writer {
    pub(super) fn new(log: Arc<Log>) -> Self {
        Self {
            log,
            open: None,
            is_failing: false,
        }
    }

    /// Writes until the log is closed and everything is written.
    pub(super) fn run(mut self) {
        // Nothing to look after: no need to wake up every second.
        while let Some(work) = self.log.take_work(self.open.as_ref().map(|_| IDLE)) {
            let Work {
                group,
                mut settled,
                is_closing,
            } = work;
            let is_idle = group.is_empty() && settled.is_empty();
            if !group.is_empty() && !self.write(group, &mut settled) {
                return;
            }
            self.settle(&settled);
            self.tidy_up(is_idle);
            if is_closing {
                self.seal();
            }
        }
        self.seal();
        self.log.segments.remove_done();
    }

    /// Writes a group; `false` when it cannot be and the process is ending.
    fn write(&mut self, group: Group, settled: &mut Vec<(u64, Runs)>) -> bool {
        while let Err(error) = self.try_write(&group) {
            self.abandon();
            if !self.is_failing {
                self.is_failing = true;
                registry()
                    .count("sluice_storage_write_errors_total", &[])
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                crate::error!(
                    "storage",
                    "cannot write to {}: {error}; senders wait and nothing acknowledged is lost; make room or mend the disk",
                    self.log.segments.folder().display()
                );
            }
            let (more, is_closing) = self.log.take_settled(PATIENCE);
            if is_closing {
                crate::error!(
                    "storage",
                    "{} bytes that were never acknowledged could not be written",
                    group.bytes.len()
                );
                return false;
            }
            settled.extend(more);
            // What is settled of this group waits until it is written.
            let later = settled.extract_if(.., |(_, runs)| {
                runs.iter().any(|(_, last)| last >= group.first)
            });
            let later: Vec<_> = later.collect();
            self.settle(&std::mem::replace(settled, later));
            self.log.segments.remove_done();
        }
        if self.is_failing {
            self.is_failing = false;
            crate::info!("storage", "writing again");
        }
        let Group {
            bytes,
            next,
            receipts,
            charge,
            ..
        } = group;
        self.log.give_spare(bytes);
        drop(charge);
        self.log.note_safe(next);
        // What they stand for is safe.
        drop(receipts);
        true
    }

    fn try_write(&mut self, group: &Group) -> io::Result<()> {
        let is_full = |open: &Open| open.end >= self.log.options.segment_max;
        if self.open.as_ref().is_some_and(is_full) {
            self.seal();
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open {
                first: group.first,
                file: self.log.segments.create(group.first, self.log.salt)?,
                end: MAGIC.len() as u64,
            }),
        };
        open.file.write_all(&group.bytes)?;
        if self.log.options.full_sync {
            open.file.sync_all()?;
        } else {
            open.file.sync_data()?;
        }
        open.end += group.bytes.len() as u64;
        if let Some(segment) = self.log.segments.lock().get_mut(&open.first) {
            segment.end = open.end;
            segment.owed += group.owed;
        }
        Ok(())
    }

    /// Gives up the open segment after a failure. What was written and synced stays in it, the rest is cut off.
    fn abandon(&mut self) {
        let Some(open) = self.open.take() else { return };
        // When it cannot be cut, readers pass over what stands behind the end: its sequences belong to the next segment.
        drop(open.file.set_len(open.end));
        self.close(open.first);
    }

    /// Closes the open segment: nothing is appended to it any more.
    fn seal(&mut self) {
        if let Some(open) = self.open.take() {
            self.close(open.first);
        }
    }

    fn close(&self, first: u64) {
        if let Some(segment) = self.log.segments.lock().get_mut(&first) {
            segment.is_open = false;
        }
        self.log.segments.remove_done();
    }

    fn settle(&self, settled: &[(u64, Runs)]) {
        if settled.is_empty() {
            return;
        }
        for (_, runs) in settled {
            self.log.segments.settle(runs);
        }
        // First, because what is gone needs no mark.
        self.log.segments.remove_done();
        self.log.segments.mark(settled);
    }

    /// Gives up the open segment when nothing in it is owed to anybody.
    fn tidy_up(&mut self, is_idle: bool) {
        let Some(open) = &self.open else { return };
        let list = self.log.segments.lock();
        let owed = list.get(&open.first).map_or(0, |segment| segment.owed);
        drop(list);
        let is_worth_it = open.end >= WORTH_REMOVING || is_idle;
        if owed == 0 && is_worth_it {
            self.seal();
        }
    }
}
