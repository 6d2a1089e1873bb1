//! Walks the entries of all segments, in order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::frame::{Entry, MAGIC, Step, parse, step};
use super::log::Log;
use super::marks::Marks;
use super::segments::Segment;

/// So much is read at once, unless an entry is longer.
const READ: usize = 256 * 1024;

/// How far somebody has come.
pub(super) struct Cursor {
    log: Arc<Log>,
    sequence: u64,
    open: Option<Open>,
}

/// Which run wrote an entry.
#[derive(Clone)]
pub(super) enum Place {
    /// This one.
    Own,
    /// One before, in which this was settled.
    Earlier(Arc<Marks>),
}

/// What comes next.
pub(super) enum Found<'c> {
    /// An entry, and how many bytes it takes.
    Entry(Entry<'c>, usize, Place),
    /// The segment that begins with this sequence, into which nobody has looked yet.
    Strange(u64),
    /// Nothing, as yet.
    End,
}

/// A segment that is being read.
struct Open {
    first: u64,
    /// What the next segment begins with.
    behind: u64,
    place: Place,
    walk: Walk,
}

impl Cursor {
    /// Stands before the entry with this sequence.
    pub(super) fn new(log: Arc<Log>, sequence: u64) -> Self {
        Self {
            log,
            sequence,
            open: None,
        }
    }

    /// The sequence of the next entry, or one below it.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Goes on to the next entry.
    ///
    /// # Errors
    /// When a file cannot be read; the cursor stands where it stood.
    pub(super) fn next(&mut self) -> io::Result<Found<'_>> {
        loop {
            // First, so that everything below it is found in what is looked at after it.
            let safe = self.log.safe_to();
            let Some(open) = &mut self.open else {
                let Some(found) = self.log.segments.find(self.sequence) else {
                    return Ok(self.end_at(safe));
                };
                if let Some(strange) = self.enter(found)? {
                    return Ok(Found::Strange(strange));
                }
                continue;
            };
            let list = self.log.segments.lock();
            let now = list.get(&open.first);
            // It may have gone, being owed to nobody; what is open of it can still be read.
            let (end, grows) = now.map_or((open.walk.end, false), |it| (it.end, it.is_open));
            drop(list);
            open.walk.end = end;
            match open.walk.next()? {
                Some(at) => {
                    let sequence = at.sequence;
                    if sequence < self.sequence || sequence >= open.behind {
                        continue;
                    }
                    self.sequence = sequence + 1;
                    break;
                }
                None if grows => return Ok(self.end_at(safe)),
                None => {
                    let Some(found) = self.log.segments.after(open.first) else {
                        return Ok(self.end_at(safe));
                    };
                    if let Some(strange) = self.enter(found)? {
                        return Ok(Found::Strange(strange));
                    }
                }
            }
        }
        let Some(open) = &self.open else {
            return Ok(Found::End);
        };
        Ok(match open.walk.current() {
            Some((entry, length)) => Found::Entry(entry, length, open.place.clone()),
            None => Found::End,
        })
    }

    /// Everything that is left below this sequence has been read.
    fn end_at(&mut self, safe: u64) -> Found<'_> {
        self.sequence = self.sequence.max(safe);
        Found::End
    }

    /// Passes over the rest of the segment it stands in, which stays where it is.
    pub(super) fn skip_segment(&mut self) {
        let first = self.open.as_ref().map(|open| open.first);
        let first = first.or_else(|| Some(self.log.segments.find(self.sequence)?.0));
        let after = first.and_then(|first| self.log.segments.after(first));
        self.sequence = after.map_or_else(|| self.log.safe_to(), |(first, ..)| first);
        self.open = None;
    }

    /// Opens a segment; if nobody has looked into it yet, gives the sequence it begins with.
    fn enter(&mut self, (first, segment, behind): (u64, Segment, u64)) -> io::Result<Option<u64>> {
        if segment.is_strange {
            return Ok(Some(first));
        }
        let walk = match Walk::open(&segment) {
            // It went in the meantime, being owed to nobody: whoever asks again finds what is behind it.
            Err(_) if !self.log.segments.lock().contains_key(&first) => return Ok(None),
            walk => walk?,
        };
        let place = match segment.marks {
            None => Place::Own,
            Some(_) => Place::Earlier(Arc::new(segment.read_marks())),
        };
        self.sequence = self.sequence.max(first);
        self.open = Some(Open {
            first,
            behind,
            place,
            walk,
        });
        Ok(None)
    }
}

/// Walks the entries of one segment.
pub(super) struct Walk {
    file: File,
    salt: u32,
    pub(super) end: u64,
    /// Where in the file `bytes` begins.
    offset: u64,
    bytes: Vec<u8>,
    /// The place in `bytes` behind the current entry.
    at: usize,
    current: Option<(usize, usize)>,
    /// Where damaged parts begin and how long they are.
    pub(super) damage: Vec<(u64, u64)>,
}

/// The entry at which a walk stands.
pub(super) struct At {
    sequence: u64,
}

impl Walk {
    pub(super) fn open(segment: &Segment) -> io::Result<Self> {
        let file = File::open(&segment.path)?;
        let mut magic = [0; MAGIC.len()];
        let mut walk = Self {
            file,
            salt: segment.salt,
            end: segment.end,
            offset: 0,
            bytes: Vec::new(),
            at: 0,
            current: None,
            damage: Vec::new(),
        };
        if walk.end < MAGIC.len() as u64 {
            // It was made and never written to.
            walk.offset = walk.end;
            return Ok(walk);
        }
        walk.file.read_exact_at(&mut magic, 0)?;
        // A beginning that is damaged is passed over like everything else.
        if &magic == MAGIC {
            walk.offset = MAGIC.len() as u64;
        }
        Ok(walk)
    }

    /// Goes on to the next entry; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<At>> {
        self.current = None;
        let mut needed = 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if rest.len() < needed && !self.fill(needed)? {
                return Ok(None);
            }
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let place = self.offset + self.at as u64;
            let left = self.end.saturating_sub(place);
            needed = match step(rest, self.salt) {
                Step::Entry(entry, length) => {
                    let sequence = entry.sequence;
                    self.current = Some((self.at, self.at + length));
                    self.at += length;
                    return Ok(Some(At { sequence }));
                }
                Step::Short(length) if length as u64 <= left => length,
                // The end cuts it off.
                Step::Short(_) => {
                    return Ok(None);
                }
                Step::Damaged(length) => {
                    self.note_damage(place, length as u64);
                    self.at += length;
                    1
                }
            };
        }
    }

    fn note_damage(&mut self, place: u64, length: u64) {
        match self.damage.last_mut() {
            Some((start, before)) if *start + *before == place => *before += length,
            _ => self.damage.push((place, length)),
        }
    }

    /// Where the last entry ends, and how many bytes are behind it.
    pub(super) fn tail(&self) -> (u64, u64) {
        let place = self.offset + self.at as u64;
        (place, self.end.saturating_sub(place))
    }

    /// The entry it stands at, and how many bytes it takes.
    pub(super) fn current(&self) -> Option<(Entry<'_>, usize)> {
        let (start, end) = self.current?;
        Some((parse(self.bytes.get(start..end)?)?, end - start))
    }

    /// Reads on until `needed` bytes are there; whether there are.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        self.bytes.drain(..self.at.min(self.bytes.len()));
        self.offset += self.at as u64;
        self.at = 0;
        let have = self.bytes.len();
        let left = self.end.saturating_sub(self.offset + have as u64);
        if have as u64 + left < needed as u64 {
            return Ok(false);
        }
        let more = left.min(READ.max(needed) as u64) as usize;
        self.bytes.resize(have + more, 0);
        let space = self.bytes.get_mut(have..).unwrap_or_default();
        let read = self.file.read_exact_at(space, self.offset + have as u64);
        if read.is_err() {
            self.bytes.truncate(have);
        }
        read?;
        Ok(true)
    }
}
