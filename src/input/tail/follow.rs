//! The loop of a tail: notices changes, reads, stores, keeps places.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cursor::Fill;
use super::files::Files;
use super::join::{Joined, Joiner};
use super::place::FileId;
use super::positions::Positions;
use super::settings::Options;
use super::watch::Watch;
use crate::event::{Event, EventTime};
use crate::input::text::{Pairs, TextRecords};
use crate::input::thread::{Bell, Woken};
use crate::input::{Context, Ingest, Phase, reached};
use crate::telemetry::log::Limiter;

/// So much of a file is read before it is the next one's turn.
const READ: usize = 64 * 1024;
/// What a byte of text takes: itself, and 3 at most of the record it becomes.
const ROOM: usize = 4;
/// How often places are written down.
const SAVE: Duration = Duration::from_millis(250);
/// So much of each file is still read when the process closes.
const LAST: usize = 1 << 20;

/// A tail at work.
pub(super) struct Follower {
    options: Arc<Options>,
    context: Context,
    component: String,
    ingest: Ingest,
    files: Files,
    records: Records,
    positions: Option<Arc<Positions>>,
    /// What was read last; from one read to the next it holds nothing.
    text: Vec<u8>,
    save_due: Instant,
    long: Limiter,
}

/// Makes records.
struct Records {
    texts: TextRecords,
    pairs: Pairs,
}

impl Follower {
    /// A tail that has looked at nothing yet.
    pub(super) fn new(
        options: Options,
        positions: Option<Arc<Positions>>,
        context: Context,
    ) -> Self {
        let (options, component) = (Arc::new(options), context.component());
        let files = Files::new(
            Arc::clone(&options),
            context.tag.as_bytes(),
            positions.clone(),
            component.clone(),
        );
        Self {
            records: Records {
                texts: TextRecords::new(&options.key, options.parser.clone()),
                pairs: Pairs::default(),
            },
            ingest: Ingest::open_source(&context),
            files,
            positions,
            text: Vec::new(),
            save_due: Instant::now() + SAVE,
            long: Limiter::default(),
            options,
            context,
            component,
        }
    }

    /// Follows files until the process closes.
    pub(super) async fn run(mut self) {
        let mut phase = self.context.phase.clone();
        let bell = match Bell::new(phase.clone(), Phase::Close) {
            Ok(bell) => bell,
            Err(error) => return crate::error!(&self.component, "cannot follow files: {error}"),
        };
        loop {
            self.do_chores().await;
            let next = self.next_chore();
            if let Some(room) = self.room() {
                tokio::select! {
                    permit = self.ingest.permit(room) => {
                        self.take_turn().await;
                        drop(permit);
                    }
                    () = tokio::time::sleep_until(next.into()) => {}
                    () = reached(&mut phase, Phase::Close) => break,
                }
                continue;
            }
            if self.options.exit_on_eof && self.files.are_known() {
                crate::info!(&self.component, "all files are read, terminating sluice");
                self.context.requests.end(0);
                break;
            }
            let wait = next.saturating_duration_since(Instant::now());
            let fd = self.files.watch().map(Watch::fd);
            if bell.wait(fd, Some(wait)) == Woken::Rung {
                break;
            }
        }
        self.finish().await;
    }

    /// Reads what has arrived and hands over what is joined by halves.
    async fn finish(&mut self) {
        self.files.check_all();
        let mut left = LAST;
        while left > 0
            && let Some(room) = self.room()
        {
            let permit = self.ingest.permit(room).await;
            self.take_turn().await;
            drop(permit);
            left = left.saturating_sub(READ);
        }
        self.flush_joined(None).await;
    }

    /// What the next turn takes, if there is something to read.
    fn room(&self) -> Option<usize> {
        let file = self.files.first_ready()?;
        Some(file.cursor.room(READ) * ROOM)
    }

    async fn do_chores(&mut self) {
        self.files.look();
        let now = Instant::now();
        self.flush_joined(Some(now)).await;
        if now >= self.save_due {
            if let Some(positions) = &self.positions {
                positions.save();
            }
            self.save_due = now + SAVE;
        }
    }

    fn next_chore(&mut self) -> Instant {
        let mut next = self.files.due();
        for file in self.files.all() {
            if file.is_unsaved() {
                next = next.min(self.save_due);
            }
            let joining = file.joiner.as_ref().and_then(Joiner::due);
            next = joining.map_or(next, |due| next.min(due));
        }
        next
    }

    /// Reads a part of the file whose turn it is.
    async fn take_turn(&mut self) {
        let Some(id) = self.files.next_turn() else {
            return;
        };
        let Some(file) = self.files.get(id) else {
            return;
        };
        let rules = self.options.rules;
        match file.cursor.fill(&file.file, rules, READ, &mut self.text) {
            Ok(Fill::Text(has_more)) => {
                file.is_ready = has_more;
                self.store(id).await;
            }
            Ok(Fill::Nothing(has_more)) => file.is_ready = has_more,
            Ok(Fill::Changed) => {
                let (inode, path) = (id.inode, file.path.display());
                crate::info!(
                    &self.component,
                    "inode={inode} {path} was written anew, reading from its start"
                );
                file.restart();
            }
            Err(error) => self.files.give_up(id, &error),
        }
        self.files.end_turn(id);
        if self.files.first_ready().is_none() || self.text.capacity() > 2 * READ {
            self.text = Vec::new();
        }
    }

    /// Stores the whole lines of what was read.
    async fn store(&mut self, id: FileId) {
        let Some(file) = self.files.get(id) else {
            return;
        };
        self.ingest.note_read(self.text.len());
        let (start, time, now) = (file.cursor.place(), EventTime::now(), Instant::now());
        let session = self.ingest.session();
        session.tag(&file.tag);
        let (options, records) = (&self.options, &mut self.records);
        let (path, text, joiner) = (&file.path, &self.text, &mut file.joiner);
        let mut offer = |offset: u64, joined: Joined<'_>| {
            let (time, record) = records.make(options, path, offset, joined, time);
            session.offer(Event {
                time,
                metadata: &[],
                record,
            });
        };
        let too_long = file
            .cursor
            .take(text, options.rules, |at, line| match joiner {
                None => offer(start.offset + at as u64, Joined::Line(line)),
                Some(joiner) => {
                    let place = || start.after(text.get(..at).unwrap_or_default());
                    joiner.take(line, place, time, now, &mut |place, joined| {
                        offer(place.offset, joined);
                    });
                }
            });
        file.charge(&self.context.budget);
        if let Some(progress) = &file.progress {
            session.receipt(progress.store(file.stored()));
        }
        session.commit().await;
        if too_long > 0 {
            let path = file.path.clone();
            self.report_long(&path, too_long);
        }
    }

    fn report_long(&self, path: &Path, count: u64) {
        let (reason, what) = if self.options.rules.truncates {
            ("truncated", "cut them there")
        } else {
            ("too_long", "skipping them")
        };
        metrics::counter!("sluice_frames_rejected_total", "name" => self.context.name.to_string(), "reason" => reason)
            .increment(count);
        if let Some(more) = self.long.admit() {
            let (path, limit) = (path.display(), self.options.rules.limit);
            crate::warning!(
                &self.component,
                "file={path} has lines above {limit} bytes, {what}{more}; raise `buffer_max_size`"
            );
        }
    }

    /// Stores lines whose next part has not come by `now`, or all of them.
    async fn flush_joined(&mut self, now: Option<Instant>) {
        for file in self.files.all() {
            let Some(joiner) = &mut file.joiner else {
                continue;
            };
            let Some(due) = joiner.due() else { continue };
            if now.is_some_and(|now| now < due) {
                continue;
            }
            let session = self.ingest.session();
            session.tag(&file.tag);
            let (options, records, path) = (&self.options, &mut self.records, &file.path);
            joiner.flush(now, &mut |place, joined| {
                let time = EventTime::now();
                let (time, record) = records.make(options, path, place.offset, joined, time);
                session.offer(Event {
                    time,
                    metadata: &[],
                    record,
                });
            });
            file.charge(&self.context.budget);
            if let Some(progress) = &file.progress {
                session.receipt(progress.store(file.stored()));
            }
            session.commit().await;
        }
    }
}

impl Records {
    /// The time and the record of what starts at `offset`.
    fn make(
        &mut self,
        options: &Options,
        path: &Path,
        offset: u64,
        joined: Joined<'_>,
        now: EventTime,
    ) -> (EventTime, &[u8]) {
        self.pairs.clear();
        if let Some(key) = &options.path_key {
            self.pairs.text(key, path.as_os_str().as_encoded_bytes());
        }
        if let Some(key) = &options.offset_key {
            self.pairs.unsigned(key, offset);
        }
        match joined {
            Joined::Line(line) => self.texts.make(line, &self.pairs, now),
            Joined::Text(text, time) => (time, self.texts.plain(text, &self.pairs)),
            Joined::Record(record, time) => (time, self.texts.beside(record, &self.pairs)),
        }
    }
}
