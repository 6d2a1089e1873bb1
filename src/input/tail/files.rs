//! All files of a tail: which there are, which of them have something to read, which are let go of.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cursor::{Cursor, is_sound, place_at};
use super::file::{Change, Followed, is_name_of};
use super::join::Joiner;
use super::place::{FileId, Place};
use super::positions::Positions;
use super::progress::Progress;
use super::scan::Found;
use super::settings::Options;
use super::tag::TagRule;
use super::watch::Watch;
use crate::telemetry::log::Limiter;

/// New files are looked for at most so often, whatever happens in their folders.
const SCAN_LEAST: Duration = Duration::from_millis(100);

/// The files.
pub(super) struct Files {
    options: Arc<Options>,
    component: String,
    tags: TagRule,
    positions: Option<Arc<Positions>>,
    watch: Option<Watch>,
    followed: HashMap<FileId, Followed>,
    /// Those with something to read, in the order of their turns.
    ready: VecDeque<FileId>,
    /// Those that are left alone.
    resting: HashMap<FileId, Resting>,
    has_scanned: bool,
    due: Due,
    failed: Limiter,
    untagged: Limiter,
    unwatched: Limiter,
}

/// Where to go on in a file that is left alone.
#[derive(Debug)]
struct Resting {
    place: Place,
    /// What was stored of it may not be settled yet.
    progress: Option<Arc<Progress>>,
}

/// When to look.
#[derive(Debug)]
struct Due {
    scan: Instant,
    check: Instant,
    /// When the last scan was.
    scanned: Instant,
}

impl Files {
    /// None yet.
    pub(super) fn new(
        options: Arc<Options>,
        tag: &[u8],
        positions: Option<Arc<Positions>>,
        component: String,
    ) -> Self {
        let watch = options.notifies.then(Watch::new).transpose();
        let watch = watch.unwrap_or_else(|error| {
            crate::warning!(
                &component,
                "cannot be told of changes: {error}; files are looked at instead"
            );
            None
        });
        let now = Instant::now();
        Self {
            tags: TagRule::new(tag, options.tag_regex.clone()),
            positions,
            watch,
            followed: HashMap::new(),
            ready: VecDeque::new(),
            resting: HashMap::new(),
            has_scanned: false,
            due: Due {
                scan: now,
                check: now + options.check,
                scanned: now,
            },
            failed: Limiter::default(),
            untagged: Limiter::default(),
            unwatched: Limiter::default(),
            options,
            component,
        }
    }

    /// What tells of changes.
    pub(super) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Whether they have been looked for.
    pub(super) fn are_known(&self) -> bool {
        self.has_scanned
    }

    /// One of them.
    pub(super) fn get(&mut self, id: FileId) -> Option<&mut Followed> {
        self.followed.get_mut(&id)
    }

    /// All of them.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Followed> {
        self.followed.values_mut()
    }

    /// When to look again.
    pub(super) fn due(&self) -> Instant {
        self.due.scan.min(self.due.check)
    }

    /// Takes what the system tells, and looks where it is time to.
    pub(super) fn look(&mut self) {
        self.take_news();
        let now = Instant::now();
        if now >= self.due.scan {
            self.due.scanned = now;
            self.due.scan = now + self.options.refresh;
            self.scan();
        }
        if now >= self.due.check {
            self.due.check = now + self.options.check;
            self.check_all();
        }
    }

    /// Looks at all of them now.
    pub(super) fn check_all(&mut self) {
        let ids: Vec<_> = self.followed.keys().copied().collect();
        for id in ids {
            self.check(id);
        }
    }

    /// The one whose turn is next.
    pub(super) fn first_ready(&self) -> Option<&Followed> {
        self.ready.front().and_then(|id| self.followed.get(id))
    }

    /// The one whose turn it is to be read. [`Files::end_turn`] has to follow.
    pub(super) fn next_turn(&mut self) -> Option<FileId> {
        self.ready.pop_front()
    }

    /// Gives a file another turn, or lets go of one that has lost its name and is read.
    pub(super) fn end_turn(&mut self, id: FileId) {
        let Some(file) = self.followed.get(&id) else {
            return;
        };
        if file.is_ready {
            if !self.ready.contains(&id) {
                self.ready.push_back(id);
            }
            return;
        }
        let wait = self.options.rotate_wait;
        let is_over = file.rotated.is_some_and(|since| since.elapsed() >= wait);
        if is_over || self.is_too_old(file) {
            self.let_go(id);
        }
    }

    /// Gives up a file that cannot be read.
    pub(super) fn give_up(&mut self, id: FileId, error: &std::io::Error) {
        if let Some(file) = self.followed.get_mut(&id) {
            file.is_ready = false;
            file.rotated.get_or_insert_with(Instant::now);
            let path = file.path.clone();
            self.complain(&path, error);
        }
    }

    fn complain(&self, path: &Path, error: &std::io::Error) {
        if let Some(more) = self.failed.admit() {
            let path = path.display();
            crate::error!(&self.component, "cannot read {path}: {error}{more}");
        }
    }

    fn take_news(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let news = watch.news();
        for id in news.files {
            self.check(id);
        }
        if news.has_new_files || news.is_lost {
            self.scan_soon();
        }
        if news.is_lost {
            self.due.check = Instant::now();
        }
    }

    fn scan_soon(&mut self) {
        self.due.scan = self.due.scan.min(self.due.scanned + SCAN_LEAST);
    }

    fn scan(&mut self) {
        let found = self.options.scan.files();
        self.resting
            .retain(|id, _| found.iter().any(|file| file.id == *id));
        for file in &found {
            if !self.followed.contains_key(&file.id) {
                self.consider(file);
            }
        }
        if !self.has_scanned {
            self.has_scanned = true;
            self.find_renamed();
        }
        self.watch_folders();
    }

    fn watch_folders(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let paths = self.followed.values().map(|file| file.path.as_path());
        let mut has_new = false;
        for folder in self.options.scan.folders(paths) {
            match watch.add_folder(&folder) {
                Ok(is_new) => has_new |= is_new,
                Err(rustix::io::Errno::NOSPC) => {
                    if let Some(more) = self.unwatched.admit() {
                        let refresh = self.options.refresh;
                        crate::warning!(
                            &self.component,
                            "too many watches (fs.inotify.max_user_watches): new files are found every {refresh:?}{more}"
                        );
                    }
                }
                // Folders that are not there yet are found with their files.
                Err(_) => {}
            }
        }
        if has_new {
            // Files may have come before the watch.
            self.scan_soon();
        }
    }

    /// Takes up a file that nobody reads yet, unless it is too old.
    fn consider(&mut self, found: &Found) {
        let limit = self.options.ignore_older;
        if limit.is_some_and(|limit| found.age > limit) {
            // When it is written to again, it is read from where it was.
            self.resting.entry(found.id).or_insert(Resting {
                place: Place::new(found.size, b""),
                progress: None,
            });
            return;
        }
        match File::open(&found.path) {
            Ok(file) => self.take_up(file, &found.path),
            Err(error) => self.complain(&found.path, &error),
        }
    }

    /// Follows an open file from where it was left, or from the end that the settings say.
    fn take_up(&mut self, file: File, path: &Path) {
        let Ok(metadata) = file.metadata() else {
            return;
        };
        let id = FileId::of(&metadata);
        let Some(tag) = self.tags.of(path) else {
            if let Some(more) = self.untagged.admit() {
                let path = path.display();
                crate::error!(
                    &self.component,
                    "`tag_regex` does not match {path}; it is not read{more}"
                );
            }
            return;
        };
        let (place, progress) = self.start(&file, id, path, metadata.len());
        let watch = self.watch.as_mut();
        let watch = watch.and_then(|watch| watch.add_file(&file, id).ok());
        let (inode, name, offset) = (id.inode, path.display(), place.offset);
        crate::info!(
            &self.component,
            "inode={inode} following {name} from byte {offset}"
        );
        let followed = Followed {
            file,
            id,
            path: path.to_owned(),
            tag,
            watch,
            cursor: Cursor::new(place),
            progress,
            joiner: self.options.join.as_ref().map(Joiner::new),
            charge: None,
            is_ready: false,
            rotated: None,
        };
        self.followed.insert(id, followed);
        self.check(id);
    }

    fn start(
        &mut self,
        file: &File,
        id: FileId,
        path: &Path,
        size: u64,
    ) -> (Place, Option<Arc<Progress>>) {
        let (resting, progress) = match self.resting.remove(&id) {
            Some(resting) => (Some(resting.place), resting.progress),
            None => (None, None),
        };
        let kept = || self.positions.as_ref()?.find(id, path);
        let left = resting.or_else(kept);
        let place = match left {
            Some(place) if is_sound(file, place) => place,
            Some(_) => Place::default(),
            None => {
                let options = &self.options;
                let is_new = self.has_scanned;
                let from_head = if is_new {
                    options.new_from_head
                } else {
                    options.from_head
                };
                place_at(file, if from_head { 0 } else { size }).unwrap_or_default()
            }
        };
        let progress = self.positions.as_ref().map(|positions| {
            let progress = progress.unwrap_or_else(|| Progress::new(place));
            if place == Place::default() {
                progress.restart(place);
            }
            positions.follow(id, path, Arc::clone(&progress));
            progress
        });
        (place, progress)
    }

    /// Files that were renamed while nobody looked are read to their ends; places of files that are gone are forgotten.
    fn find_renamed(&mut self) {
        let Some(positions) = self.positions.clone() else {
            return;
        };
        for (id, path) in positions.unread() {
            if is_name_of(&path, id) {
                continue;
            }
            let name = renamed(&path, id);
            match name.and_then(|name| File::open(name).ok()) {
                Some(file) => {
                    self.take_up(file, &path);
                }
                None => positions.forget(id),
            }
        }
    }

    /// Looks whether there is something to read in a file, and whether it still is what it was.
    fn check(&mut self, id: FileId) {
        let Some(file) = self.followed.get_mut(&id) else {
            return;
        };
        let (inode, path) = (id.inode, file.path.display());
        match file.look() {
            Ok(Change::None) => {}
            Ok(Change::Grown) => file.is_ready = true,
            Ok(Change::Emptied) => {
                crate::info!(
                    &self.component,
                    "inode={inode} {path} was truncated, reading from its start"
                );
                file.restart();
            }
            Ok(Change::Renamed(name)) => {
                let name = name.unwrap_or_else(|| PathBuf::from("(gone)"));
                let name = name.display();
                crate::info!(
                    &self.component,
                    "inode={inode} handle rotation(): {path} => {name}"
                );
                file.rotated = Some(Instant::now());
                file.is_ready = true;
                self.scan_soon();
            }
            Err(error) => self.give_up(id, &error),
        }
        self.end_turn(id);
    }

    fn is_too_old(&self, file: &Followed) -> bool {
        let Some(limit) = self.options.ignore_older else {
            return false;
        };
        let metadata = file.file.metadata().ok();
        let written = metadata.and_then(|metadata| metadata.modified().ok());
        let age = written.and_then(|written| written.elapsed().ok());
        self.options.ignore_active && age.is_some_and(|age| age > limit)
    }

    fn let_go(&mut self, id: FileId) {
        let Some(file) = self.followed.remove(&id) else {
            return;
        };
        let (inode, path) = (id.inode, file.path.display());
        crate::debug!(&self.component, "inode={inode} no longer following {path}");
        if let (Some(watch), Some(number)) = (&mut self.watch, file.watch) {
            watch.remove_file(number);
        }
        let metadata = file.file.metadata();
        if metadata.is_ok_and(|metadata| metadata.nlink() > 0) {
            // Its new name may fit the pattern, too.
            let resting = Resting {
                place: file.stored(),
                progress: file.progress,
            };
            self.resting.insert(id, resting);
        } else if let Some(positions) = &self.positions {
            positions.forget(id);
        }
    }
}

/// What a file of the same folder is called now.
fn renamed(path: &Path, id: FileId) -> Option<PathBuf> {
    let folder = path.parent()?;
    let here = folder.as_os_str().is_empty();
    let names = std::fs::read_dir(if here { Path::new(".") } else { folder }).ok()?;
    let mut paths = names.flatten().map(|entry| entry.path());
    paths.find(|path| is_name_of(path, id))
}
