//! What is finally given up, kept in a folder for people to look at: a line of JSON for each event.
//!
//! ```text
//! {"time":"2023-11-14T22:13:20.000000007Z","tag":"app","output":"cloudwatch_logs.0","destination":"g:s",
//!  "reason":"retry_limit","why":"ThrottlingException: slow down","record":{"log":"text"}}
//! ```
//!
//! | setting of `[SERVICE]` | default | effect |
//! |---|---|---|
//! | `storage.keep.rejected` | off | keep what is given up |
//! | `storage.rejected.path` | `rejected` | the folder, below `storage.path` |
//! | `storage.rejected.limit` | 100M | the most bytes of the folder; what comes then is counted, and not kept |
//!
//! Each process writes a file of its own, which it only appends to; nothing is ever deleted or read back. A line that cannot be
//! written whole is taken back. A folder that is full, or cannot be written to, costs the letters and nothing else: they are in the
//! ledger anyway. Writing happens on threads that may block, and what is being written stays in the budget until it is.
//!
//! Names: <https://docs.fluentbit.io/manual/administration/buffering-and-storage>

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use super::queue::Piece;
use crate::config::Settings;
use crate::event::{DropReason, EventTime};
use crate::msgpack::json::{self, Json};

/// The default of `storage.rejected.limit`.
const LIMIT: u64 = 100_000_000;
/// So many bytes are written at once.
const BLOCK: usize = 256 << 10;

/// The folder.
#[derive(Debug)]
pub struct DeadLetters {
    folder: PathBuf,
    limit: u64,
    json: Json,
    /// One writes at a time.
    open: Mutex<Option<Open>>,
    failing: Mutex<bool>,
}

/// The file of this process.
#[derive(Debug)]
struct Open {
    file: File,
    /// Whole lines in it.
    length: u64,
    /// Bytes that the folder may still take.
    left: u64,
}

/// What is said of events that are given up together.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) output: String,
    pub(super) destination: String,
    pub(super) reason: DropReason,
    /// What the service said, or nothing.
    pub(super) why: String,
}

impl DeadLetters {
    /// Reads the settings; `None` where nothing is kept.
    pub(super) fn read(
        settings: &mut Settings<'_>,
        root: Option<&str>,
        json: Json,
    ) -> Option<Arc<Self>> {
        let path = settings.text("storage.rejected.path");
        let limit = settings.size("storage.rejected.limit");
        if !settings.flag("storage.keep.rejected", false) {
            return None;
        }
        let path = path.unwrap_or_else(|| "rejected".to_owned());
        let folder = match root {
            Some(root) => Path::new(root).join(path),
            None if Path::new(&path).is_absolute() => PathBuf::from(path),
            None => {
                settings.error(
                    "storage.keep.rejected",
                    "needs `storage.path`, or a `storage.rejected.path` that begins with /",
                );
                return None;
            }
        };
        Some(Arc::new(Self::new(folder, limit.unwrap_or(LIMIT), json)))
    }

    fn new(folder: PathBuf, limit: u64, json: Json) -> Self {
        Self {
            folder,
            limit,
            json,
            open: Mutex::default(),
            failing: Mutex::default(),
        }
    }

    /// What makes it the same as another.
    pub(super) fn place(&self) -> (&Path, u64) {
        (&self.folder, self.limit)
    }

    /// Keeps events. It may block.
    pub(super) fn keep(&self, verdict: &Verdict, pieces: &[Piece]) {
        let (kept, outcome) = self.write(verdict, pieces);
        let events: usize = pieces.iter().map(Piece::count).sum();
        count("sluice_dead_letters_total", verdict, kept);
        count("sluice_dead_letters_failed_total", verdict, events - kept);
        self.tell(&outcome);
    }

    /// Writes events and gives how many are there.
    fn write(&self, verdict: &Verdict, pieces: &[Piece]) -> (usize, io::Result<()>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            match self.make() {
                Ok(made) => *open = Some(made),
                Err(error) => return (0, Err(error)),
            }
        }
        let Some(file) = open.as_mut() else {
            return (0, Ok(()));
        };
        let (mut block, mut in_block, mut kept) = (Vec::new(), 0, 0);
        for piece in pieces {
            for (_, event) in piece.events() {
                let before = block.len();
                self.line(verdict, piece, event, &mut block);
                if block.len() as u64 > file.left {
                    block.truncate(before);
                    let kept = kept + file.append(&block).map_or(0, |()| in_block);
                    let full = format!("it has reached storage.rejected.limit ({})", self.limit);
                    return (kept, Err(io::Error::other(full)));
                }
                in_block += 1;
                if block.len() >= BLOCK {
                    if let Err(error) = file.append(&block) {
                        return (kept, Err(error));
                    }
                    kept += in_block;
                    (in_block, block) = (0, Vec::new());
                }
            }
        }
        match file.append(&block) {
            Ok(()) => (kept + in_block, Ok(())),
            Err(error) => (kept, Err(error)),
        }
    }

    fn line(
        &self,
        verdict: &Verdict,
        piece: &Piece,
        event: crate::event::Event<'_>,
        line: &mut Vec<u8>,
    ) {
        line.extend_from_slice(b"{\"time\":\"");
        line.extend_from_slice(moment(event.time).as_bytes());
        for (key, text) in [
            ("\",\"tag\":\"", piece.tag().as_bytes()),
            ("\",\"output\":\"", verdict.output.as_bytes()),
            ("\",\"destination\":\"", verdict.destination.as_bytes()),
            ("\",\"reason\":\"", verdict.reason.label().as_bytes()),
            ("\",\"why\":\"", verdict.why.as_bytes()),
        ] {
            line.extend_from_slice(key.as_bytes());
            json::escape(text, line);
        }
        line.extend_from_slice(b"\",\"record\":");
        self.json.value(event.record, line);
        line.extend_from_slice(b"}\n");
    }

    /// Makes the folder and the file of this process.
    fn make(&self) -> io::Result<Open> {
        let mut maker = fs::DirBuilder::new();
        maker.recursive(true).mode(0o700).create(&self.folder)?;
        let mut used = 0;
        for entry in fs::read_dir(&self.folder)? {
            used += entry?.metadata()?.len();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = now.unwrap_or_default().as_nanos();
        let name = format!("{nanos}-{}.ndjson", std::process::id());
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        Ok(Open {
            file: options.open(self.folder.join(name))?,
            length: 0,
            left: self.limit.saturating_sub(used),
        })
    }

    /// Says once that letters are not kept, and once that they are again.
    fn tell(&self, outcome: &io::Result<()>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder.display();
        match outcome {
            Err(error) if !*failing => crate::error!(
                "dead_letters",
                "cannot keep what is given up in {folder}: {error}; it is counted, and delivery goes on"
            ),
            Ok(()) if *failing => {
                crate::info!("dead_letters", "what is given up is kept in {folder} again");
            }
            _ => {}
        }
        *failing = outcome.is_err();
    }
}

impl Open {
    /// Appends whole lines, or nothing.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(lines) {
            // A disk that is full takes a part of it.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.left -= lines.len() as u64;
        Ok(())
    }
}

/// Whether events dropped for this reason are kept. The settings say that the others are not wanted.
pub(super) fn is_kept(reason: DropReason) -> bool {
    !matches!(
        reason,
        DropReason::Unrouted | DropReason::KeyMissing | DropReason::Empty
    )
}

fn moment(time: EventTime) -> String {
    let seconds = i64::try_from(time.seconds).unwrap_or(i64::MAX);
    let nanos = i32::try_from(time.nanos).unwrap_or_default();
    Timestamp::new(seconds, nanos).map_or_else(
        |_| format!("{}.{:09}", time.seconds, time.nanos),
        |moment| moment.to_string(),
    )
}

fn count(metric: &'static str, verdict: &Verdict, events: usize) {
    if events > 0 {
        let labels = [
            ("name", verdict.output.clone()),
            ("reason", verdict.reason.label().to_owned()),
        ];
        metrics::counter!(metric, &labels).increment(events as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::testing::batch;
    use super::*;
    use crate::config::testing::configured;

    fn verdict() -> Verdict {
        Verdict {
            output: "out.0".to_owned(),
            destination: "g:\"s\"".to_owned(),
            reason: DropReason::RetryLimit,
            why: "slow\ndown".to_owned(),
        }
    }

    fn pieces(seconds: std::ops::Range<u64>) -> Vec<Piece> {
        vec![Piece::whole(batch(seconds), None)]
    }

    fn letters(folder: &Path, limit: u64) -> DeadLetters {
        DeadLetters::new(folder.join("a/rejected"), limit, Json::default())
    }

    fn lines(letters: &DeadLetters) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(&letters.folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
        }
        lines
    }

    #[test]
    fn a_letter_tells_what_when_where_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let letters = letters(folder.path(), LIMIT);
        letters.keep(&verdict(), &pieces(1_700_000_000..1_700_000_002));
        let kept = lines(&letters);
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20Z", "tag": "t", "output": "out.0", "destination": "g:\"s\"",
            "reason": "retry_limit", "why": "slow\ndown", "record": {},
        });
        assert_eq!((kept.len(), &kept[0]), (2, &expected));
    }

    #[test]
    fn the_folder_stays_within_its_limit_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let size = |letters: &DeadLetters| -> u64 {
            let files = fs::read_dir(&letters.folder).unwrap();
            files
                .map(|file| file.unwrap().metadata().unwrap().len())
                .sum()
        };
        for _ in 0..3 {
            let letters = letters(folder.path(), 1000);
            letters.keep(&verdict(), &pieces(0..100));
            assert!(size(&letters) <= 1000 && lines(&letters).len() >= 5);
            assert!(*letters.failing.lock().unwrap());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_costs_the_letters_only() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        let letters = letters(folder.path(), LIMIT);
        letters.keep(&verdict(), &pieces(0..1));
        fs::remove_file(folder.path().join("a")).unwrap();
        letters.keep(&verdict(), &pieces(0..1));
        assert_eq!(lines(&letters).len(), 1);
    }

    #[test]
    fn a_full_disk_leaves_no_torn_line() {
        // The device takes nothing, as a full disk does.
        let mut open = Open {
            file: OpenOptions::new().append(true).open("/dev/full").unwrap(),
            length: 0,
            left: 100,
        };
        assert!(open.append(b"line\n").is_err());
        assert_eq!((open.length, open.left), (0, 100));
    }

    #[test]
    fn the_folder_is_off_unless_it_is_asked_for_and_has_a_place() {
        let read = |properties: &[(&str, &str)], root| {
            let (letters, said) = configured(properties, |settings| {
                DeadLetters::read(settings, root, Json::default())
            });
            let folder = letters.map(|letters| letters.folder.display().to_string());
            (folder.unwrap_or_default(), said.len())
        };
        let on = ("storage.keep.rejected", "on");
        assert_eq!(read(&[], Some("/s")), (String::new(), 0));
        assert_eq!(read(&[on], Some("/s")), ("/s/rejected".to_owned(), 0));
        assert_eq!(read(&[on], None), (String::new(), 1));
        let path = ("storage.rejected.path", "/d");
        assert_eq!(read(&[on, path], None), ("/d".to_owned(), 0));
    }
}
