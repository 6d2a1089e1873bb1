//! What an earlier run has left: looks through each of its segments once, before anybody reads it, to see what is owed to whom.
//!
//! | what it finds | what it does |
//! |---|---|
//! | an entry | owes it to each output of today that wants the tag and has not let go of it in an earlier run |
//! | an entry that no output wants | leaves it where it is and says so: it may be wanted after the next start |
//! | a damaged entry | puts a copy into the folder `damaged` and goes on behind it |
//! | an end that is cut off | cuts it: it was never acknowledged |
//! | a file of a form that it does not know | leaves it alone |

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Wants;
use super::cursor::Walk;
use super::frame::Entry;
use super::log::{Log, State};
use super::marks::Marks;
use super::segments::{Segment, private};
use crate::telemetry::registry::registry;

/// Whether the entry is owed to the route with this key that wants these tags.
pub(super) fn is_owed(entry: &Entry<'_>, marks: &Marks, key: u64, wants: &Wants) -> bool {
    !is_done(entry, marks) && wants(entry.tag) && !marks.has(key, entry.sequence)
}

/// Whether every route that it was stored for has let go of it.
fn is_done(entry: &Entry<'_>, marks: &Marks) -> bool {
    let mut keys = entry.keys().peekable();
    keys.peek().is_some() && keys.all(|key| marks.has(key, entry.sequence))
}

/// Looks through segments.
pub(super) struct Recovery {
    log: Arc<Log>,
    /// There may be segments that nobody has looked into.
    has_work: bool,
    /// The segment that could not be read.
    stuck: Option<u64>,
    found: Found,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    segments: u64,
    owed: u64,
    unrouted: u64,
    damaged: u64,
    damaged_bytes: u64,
    torn: u64,
}

/// What is owed of one segment.
#[derive(Default)]
struct Debts {
    entries: u64,
    /// Events and bytes for each slot.
    slots: Vec<(u64, u64)>,
    events: u64,
    unrouted: u64,
}

impl Recovery {
    pub(super) fn new(log: Arc<Log>) -> Self {
        let has_work = log.segments.strange().is_some();
        Self {
            log,
            has_work,
            stuck: None,
            found: Found::default(),
        }
    }

    /// Whether something is left to look into.
    pub(super) fn has_work(&self) -> bool {
        self.has_work
    }

    /// Whether it was here that reading failed.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Looks into the first segment that nobody has looked into.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn look_into_one(&mut self) -> io::Result<()> {
        let Some((first, ..)) = self.log.segments.strange() else {
            self.has_work = false;
            self.report();
            return Ok(());
        };
        self.look_into(first)
    }

    /// Looks into the segment that begins with this sequence.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn look_into(&mut self, first: u64) -> io::Result<()> {
        self.stuck = Some(first);
        let Some((found, mut segment, behind)) = self.log.segments.find(first) else {
            return Ok(());
        };
        if found != first || !segment.is_strange {
            self.stuck = None;
            return Ok(());
        }
        let marks = fs::metadata(segment.path.with_extension("settled"));
        segment.marks = Some(marks.map_or(0, |file| file.len()));
        let marks = segment.read_marks();
        let mut walk = Walk::open(&segment)?;
        let mut debts = Debts::default();
        let mut any = false;
        let mut from = first;
        while walk.next()?.is_some() {
            let Some((entry, length)) = walk.current() else {
                continue;
            };
            any = true;
            if entry.sequence < from || entry.sequence >= behind {
                continue;
            }
            from = entry.sequence + 1;
            let state = self.log.lock();
            debts.add(&state, &entry, length as u64, &marks);
        }
        if !any && !is_ours(&segment)? {
            self.leave_alone(first, &segment);
            self.stuck = None;
            return Ok(());
        }
        self.cut(&walk, &mut segment);
        let is_kept = self.quarantine(&walk, &segment, first);
        // A damaged part of which there is no copy stays.
        let pins = u64::from(!is_kept);
        self.book(&debts);
        if let Some(known) = self.log.segments.lock().get_mut(&first) {
            known.owed = debts.entries + pins;
            known.marks = segment.marks;
            known.end = segment.end;
            known.is_strange = false;
        }
        self.found.segments += 1;
        self.stuck = None;
        self.log.segments.remove_done();
        Ok(())
    }

    /// Passes over the segment that cannot be read.
    pub(super) fn give_up(&mut self) {
        if let Some(first) = self.stuck.take()
            && let Some(segment) = self.log.segments.lock().get_mut(&first)
        {
            // Nobody can settle this, so the file stays.
            (segment.is_strange, segment.end, segment.owed) = (false, 0, u64::MAX);
            segment.marks = Some(0);
        }
    }

    fn leave_alone(&self, first: u64, segment: &Segment) {
        crate::warning!(
            "storage",
            "{} is no file that this version can read; it is left alone",
            segment.path.display()
        );
        if let Some(segment) = self.log.segments.lock().get_mut(&first) {
            (segment.is_strange, segment.end, segment.owed) = (false, 0, u64::MAX);
            segment.marks = Some(0);
        }
    }

    /// Cuts an end off that holds no whole entry.
    fn cut(&mut self, walk: &Walk, segment: &mut Segment) {
        let (end, torn) = walk.tail();
        if torn == 0 {
            return;
        }
        self.found.torn += torn;
        segment.end = end;
        let path = segment.path.display();
        crate::warning!(
            "storage",
            "{path} ends with {torn} bytes of an entry that was never finished, and never acknowledged; they are cut off"
        );
        let cut = File::options().write(true).open(&segment.path);
        // It is passed over in any case.
        drop(cut.and_then(|file| file.set_len(end)));
    }

    /// Copies damaged parts to where somebody may look at them; whether that is done, or not wanted.
    fn quarantine(&mut self, walk: &Walk, segment: &Segment, first: u64) -> bool {
        let mut is_kept = true;
        for (place, length) in &walk.damage {
            self.found.damaged += 1;
            self.found.damaged_bytes += length;
            let count = |name| registry().count(name, &[]);
            count("sluice_storage_damaged_total").fetch_add(1, Ordering::Relaxed);
            count("sluice_storage_damaged_bytes_total").fetch_add(*length, Ordering::Relaxed);
            let path = segment.path.display();
            if !self.log.options.keep_damaged {
                crate::error!(
                    "storage",
                    "{length} bytes at {place} of {path} are damaged and lost, as storage.delete_irrecoverable_chunks wants it"
                );
                continue;
            }
            match self.copy(segment, first, *place, *length) {
                Ok(copy) => crate::error!(
                    "storage",
                    "{length} bytes at {place} of {path} are damaged and not delivered; they are kept as {copy}"
                ),
                Err(error) => {
                    is_kept = false;
                    crate::error!(
                        "storage",
                        "{length} bytes at {place} of {path} are damaged and not delivered; the file stays, for they cannot be copied: {error}"
                    );
                }
            }
        }
        is_kept
    }

    fn copy(&self, segment: &Segment, first: u64, place: u64, length: u64) -> io::Result<String> {
        let folder = self.log.segments.folder().join("damaged");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder)?;
        let copy = folder.join(format!("{first:016x}-{place}.bin"));
        let mut from = File::open(&segment.path)?;
        from.seek(SeekFrom::Start(place))?;
        io::copy(&mut from.take(length), &mut private(&copy, true)?)?;
        Ok(copy.display().to_string())
    }

    fn book(&mut self, debts: &Debts) {
        self.found.owed += debts.events;
        self.found.unrouted += debts.unrouted;
        let count = |name| registry().count(name, &[]);
        count("sluice_storage_recovered_records_total").fetch_add(debts.events, Ordering::Relaxed);
        count("sluice_storage_unrouted_records_total").fetch_add(debts.unrouted, Ordering::Relaxed);
        self.log.recovered.fetch_add(
            debts.slots.iter().map(|debt| debt.0).sum(),
            Ordering::Relaxed,
        );
        let mut state = self.log.lock();
        for (slot, (events, bytes)) in state.slots.iter_mut().zip(&debts.slots) {
            slot.ledger.route(*events);
            slot.owed += bytes;
            slot.owed_events += events;
        }
    }

    fn report(&self) {
        let Found {
            segments,
            owed,
            unrouted,
            damaged,
            damaged_bytes,
            torn,
        } = &self.found;
        crate::info!(
            "storage",
            "backlog: {owed} events in {segments} segments are delivered now; {damaged} damaged parts ({damaged_bytes} bytes), {torn} bytes cut off"
        );
        if *unrouted > 0 {
            crate::warning!(
                "storage",
                "backlog: no output's Match accepts the tags of {unrouted} events; they stay on disk for a start with outputs that do"
            );
        }
    }
}

impl Debts {
    fn add(&mut self, state: &State, entry: &Entry<'_>, length: u64, marks: &Marks) {
        self.slots.resize(state.slots.len(), (0, 0));
        let mut is_wanted = false;
        let before = self.entries;
        for (slot, debt) in state.slots.iter().zip(&mut self.slots) {
            let Some(wants) = &slot.wants else { continue };
            is_wanted |= wants(entry.tag);
            if is_owed(entry, marks, slot.key, wants) {
                self.entries += 1;
                debt.0 += u64::from(entry.count);
                debt.1 += length;
            }
        }
        if self.entries > before {
            self.events += u64::from(entry.count);
        }
        if !is_wanted && !is_done(entry, marks) {
            // Nobody can settle this, so the file stays.
            self.entries += 1;
            self.unrouted += u64::from(entry.count);
        }
    }
}

/// Whether the file begins as a segment of this version does.
fn is_ours(segment: &Segment) -> io::Result<bool> {
    let mut magic = Vec::new();
    let mut file = File::open(&segment.path)?.take(super::frame::MAGIC.len() as u64);
    file.read_to_end(&mut magic)?;
    Ok(super::frame::MAGIC.starts_with(&magic))
}
