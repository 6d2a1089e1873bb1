//! Which file is uploaded when, and how; again, later, or never.
//!
//! The store is a buffer of its own, behind the requests, so its uploads have their own retries: chunks go in the order in which they
//! were closed, and one that fails is tried again later.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, Notify};

use super::call::{Bucket, CallError, Content};
use super::key::{Ingredients, KeyFormat};
use super::store::{Chunk, Store, Upload};

/// The smallest part, but for the last one.
const PART_MIN: u64 = 5 << 20;
/// The most parts of an upload.
const PARTS_MAX: usize = 10_000;
/// A failed upload waits so long, times its attempts.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest wait.
const PATIENCE_MAX: Duration = Duration::from_mins(1);
/// How often files are looked at, at least and at most.
const TICK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// When and how files are uploaded.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) key: KeyFormat,
    /// Always whole objects.
    pub(super) use_put_object: bool,
    /// A chunk larger than this is uploaded.
    pub(super) chunk_size: u64,
    /// An object of this size is complete.
    pub(super) total_size: u64,
    /// So is one of this age.
    pub(super) timeout: Duration,
    /// Chunks wait for those before them.
    pub(super) ordered: bool,
    /// How many retries a chunk has; `None` for as many as it takes.
    pub(super) retries: Option<u32>,
    /// What is given up is kept beside, else deleted.
    pub(super) quarantine: bool,
}

/// Uploads what the store holds.
#[derive(Debug)]
pub(super) struct Worker {
    bucket: Bucket,
    rules: Rules,
    store: Arc<Store>,
    closed: StdMutex<VecDeque<Job>>,
    work: Notify,
    progress: Mutex<Progress>,
}

/// What only one uploads at a time.
#[derive(Debug, Default)]
struct Progress {
    /// Those that take more parts, by their tags.
    uploads: HashMap<String, Upload>,
    /// Those that take none and wait for their completion.
    full: Vec<Upload>,
    /// Failures since the last success, for uploads that only wait for their completion.
    failures: u32,
}

/// A chunk to be uploaded.
#[derive(Debug, Clone)]
struct Job {
    chunk: Chunk,
    /// No more will come for its object.
    is_last: bool,
    attempts: u32,
}

impl Rules {
    /// Whether an object takes no more parts.
    fn is_full(&self, upload: &Upload) -> bool {
        upload.bytes >= self.total_size || upload.parts.len() >= PARTS_MAX
    }
}

impl Progress {
    fn keep(&mut self, upload: Upload, rules: &Rules) {
        if rules.is_full(&upload) {
            self.full.push(upload);
        } else {
            self.uploads.insert(upload.tag.clone(), upload);
        }
    }

    fn forget(&mut self, id: u64) {
        self.full.retain(|upload| upload.id != id);
        self.uploads.retain(|_, upload| upload.id != id);
    }
}

impl Worker {
    /// A worker with nothing to do yet.
    pub(super) fn new(bucket: Bucket, rules: Rules, store: Arc<Store>) -> Self {
        Self {
            bucket,
            rules,
            store,
            closed: StdMutex::default(),
            work: Notify::new(),
            progress: Mutex::default(),
        }
    }

    /// Asks whether an object as they are made here would be taken.
    ///
    /// # Errors
    /// A sentence that says what stands against it.
    pub(super) async fn check(&self) -> Result<String, String> {
        let random = super::key::random();
        let key = self.rules.key.render(Ingredients {
            tag: "sluice-check",
            created: SystemTime::now(),
            index: 0,
            random: &random,
            whole: self.rules.use_put_object,
        });
        self.bucket.check(&key).await
    }

    /// Takes on a chunk that is full.
    pub(super) fn upload(&self, chunk: Chunk) {
        self.enqueue(vec![chunk], false);
        self.work.notify_one();
    }

    fn enqueue(&self, chunks: Vec<Chunk>, is_last: bool) {
        self.jobs().extend(chunks.into_iter().map(|chunk| Job {
            chunk,
            is_last,
            attempts: 0,
        }));
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, VecDeque<Job>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds what an earlier process has left, once.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub(super) async fn open(&self) -> io::Result<()> {
        let mut progress = self.progress.lock().await;
        let store = Arc::clone(&self.store);
        let found = blocking(move || store.open()).await?;
        if !found.chunks.is_empty() || !found.uploads.is_empty() {
            crate::info!(
                "output:s3",
                "found {} files and {} uploads that are not finished, in {}",
                found.chunks.len(),
                found.uploads.len(),
                self.store.folder().display()
            );
        }
        self.enqueue(found.chunks, true);
        for upload in found.uploads {
            progress.keep(upload, &self.rules);
        }
        Ok(())
    }

    /// Uploads what is full or old, for ever.
    pub(super) async fn run(&self) {
        let tick = (self.rules.timeout / 6).clamp(TICK.0, TICK.1);
        loop {
            let wait = match self.open().await {
                Ok(()) => {
                    self.enqueue(self.store.take_older(self.rules.timeout), true);
                    self.work_off(false).await.unwrap_or(tick)
                }
                Err(error) => {
                    let folder = self.store.folder().display();
                    crate::error!("output:s3", "cannot use {folder}: {error}; events are held");
                    tick
                }
            };
            tokio::select! {
                // After a failure, a chunk more is no reason to try sooner.
                () = self.work.notified(), if wait == tick => {}
                () = tokio::time::sleep(wait.min(tick)) => {}
            }
        }
    }

    /// Uploads everything.
    pub(super) async fn finish(&self) {
        if self.open().await.is_err() {
            return;
        }
        self.enqueue(self.store.take_older(Duration::ZERO), true);
        while let Some(wait) = self.work_off(true).await {
            tokio::time::sleep(wait.min(PATIENCE)).await;
        }
    }

    /// Uploads until nothing is left, or until a failure, which says how long to wait. `all` completes every object.
    async fn work_off(&self, all: bool) -> Option<Duration> {
        let mut progress = self.progress.lock().await;
        let mut wait = None;
        // Without order, a failed chunk goes behind the others, and each is tried once.
        let mut tries = self.jobs().len();
        while tries > 0 {
            tries -= 1;
            let front = self.jobs().front().cloned();
            let Some(mut job) = front else { break };
            let result = self.try_chunk(&job, &mut progress).await;
            // Not before: this future may be dropped at every await, and what it was at is then still to be done.
            self.jobs().pop_front();
            let Err(why) = result else { continue };
            job.attempts += 1;
            if self.rules.retries.is_some_and(|most| job.attempts > most) {
                self.give_up(&job, &why).await;
                continue;
            }
            let patience = (PATIENCE * job.attempts).min(PATIENCE_MAX);
            let seconds = patience.as_secs();
            let bucket = &self.bucket.name;
            crate::warning!(
                "output:s3",
                "failed to upload a file of tag {} to {bucket}, retry in {seconds} seconds: {why}; it is kept",
                job.chunk.tag
            );
            wait = Some(wait.map_or(patience, |wait: Duration| wait.min(patience)));
            if self.rules.ordered {
                self.jobs().push_front(job);
                break;
            }
            self.jobs().push_back(job);
        }
        if wait.is_some() {
            return wait;
        }
        self.complete_due(all, &mut progress).await
    }

    /// Uploads a chunk and forgets it.
    async fn try_chunk(&self, job: &Job, progress: &mut Progress) -> Result<(), String> {
        let content = self.content(&job.chunk).await?;
        match progress.uploads.get(&job.chunk.tag).cloned() {
            Some(upload) => self.add_part(upload, job, &content, progress).await?,
            None if self.is_whole(job, &content) => self.put(job, &content).await?,
            None => {
                let upload = self.create(job).await?;
                self.add_part(upload, job, &content, progress).await?;
            }
        }
        let (store, chunk) = (Arc::clone(&self.store), job.chunk.clone());
        on_disk(move || store.forget(&chunk)).await
    }

    fn is_whole(&self, job: &Job, content: &Content) -> bool {
        self.rules.use_put_object
            || job.is_last
            || content.length() <= PART_MIN
            || content.length() >= self.rules.total_size
    }

    /// What is sent of a chunk.
    async fn content(&self, chunk: &Chunk) -> Result<Content, String> {
        let (data, packed) = (self.store.data(chunk), self.store.packed(chunk));
        let options = self.bucket.options.clone();
        let read = move |data: PathBuf, packed: PathBuf| match options.compression {
            None => Content::of(data, options.send_md5),
            Some(compression) => Content::packed(&data, packed, compression, options.send_md5),
        };
        on_disk(move || read(data, packed)).await
    }

    fn key(&self, chunk: &Chunk, whole: bool) -> String {
        self.rules.key.render(Ingredients {
            tag: &chunk.tag,
            created: chunk.created,
            index: self.store.index(),
            random: &chunk.random,
            whole,
        })
    }

    async fn count_object(&self) -> Result<(), String> {
        if !self.rules.key.has_index() {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        on_disk(move || store.advance_index()).await
    }

    async fn put(&self, job: &Job, content: &Content) -> Result<(), String> {
        let key = self.key(&job.chunk, true);
        self.bucket.put(&key, content).await.map_err(words)?;
        crate::debug!("output:s3", "stored {key}");
        self.count_object().await
    }

    async fn create(&self, job: &Job) -> Result<Upload, String> {
        let key = self.key(&job.chunk, false);
        let token = self.bucket.create(&key).await.map_err(words)?;
        self.count_object().await?;
        Ok(Upload {
            id: self.store.next_id(),
            tag: job.chunk.tag.clone(),
            key,
            token,
            created: job.chunk.created,
            parts: Vec::new(),
            bytes: 0,
        })
    }

    /// Uploads the next part.
    async fn add_part(
        &self,
        mut upload: Upload,
        job: &Job,
        content: &Content,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let added = self.bucket.part(&upload, content).await;
        match added {
            Ok(tag) => upload.parts.push(tag),
            Err(CallError::NoSuchUpload) => {
                crate::error!(
                    "output:s3",
                    "S3 knows the upload of {} no more; what it held so far is lost, the next part begins another",
                    upload.key
                );
                progress.uploads.remove(&upload.tag);
                self.forget_upload(upload).await;
                return Err("the upload is begun anew".to_owned());
            }
            Err(CallError::Other(why)) => {
                // A new one, for the attempts to come.
                progress.uploads.insert(upload.tag.clone(), upload);
                return Err(why);
            }
        }
        upload.bytes += content.length();
        if content.length() < PART_MIN || job.is_last {
            // No part may follow a small one, nor one that was the last.
            upload.bytes = u64::MAX;
        }
        let (store, kept) = (Arc::clone(&self.store), upload.clone());
        progress.uploads.remove(&upload.tag);
        progress.keep(upload, &self.rules);
        on_disk(move || store.keep_upload(&kept)).await
    }

    async fn forget_upload(&self, upload: Upload) {
        let store = Arc::clone(&self.store);
        // It may never have been kept.
        drop(on_disk(move || store.forget_upload(&upload)).await);
    }

    /// Completes the objects that are large or old enough; how long to wait if one fails.
    async fn complete_due(&self, all: bool, progress: &mut Progress) -> Option<Duration> {
        let now = SystemTime::now();
        let is_due = |upload: &Upload| {
            let age = now.duration_since(upload.created).unwrap_or_default();
            all || age >= self.rules.timeout
        };
        let growing = progress.uploads.values().filter(|upload| is_due(upload));
        let due: Vec<_> = progress.full.iter().chain(growing).cloned().collect();
        let mut is_failing = false;
        for upload in due {
            match self.bucket.complete(&upload).await {
                Ok(()) => crate::debug!("output:s3", "completed {}", upload.key),
                // Completed before a process was killed, or an answer lost.
                Err(CallError::NoSuchUpload) => {}
                Err(CallError::Other(why)) => {
                    crate::warning!("output:s3", "failed to complete {}: {why}", upload.key);
                    is_failing = true;
                    continue;
                }
            }
            progress.forget(upload.id);
            self.forget_upload(upload).await;
        }
        progress.failures = if is_failing {
            progress.failures.saturating_add(1)
        } else {
            0
        };
        is_failing.then(|| (PATIENCE * progress.failures).min(PATIENCE_MAX))
    }

    async fn give_up(&self, job: &Job, why: &str) {
        let (store, chunk) = (Arc::clone(&self.store), job.chunk.clone());
        let keep = self.rules.quarantine;
        let fate = match on_disk(move || store.give_up(&chunk, keep)).await {
            Ok(true) => "it is kept in the quarantine folder".to_owned(),
            Ok(false) => {
                metrics::counter!("sluice_s3_deleted_bytes_total").increment(job.chunk.size);
                "it is deleted".to_owned()
            }
            Err(error) => format!("it stays where it is: {error}"),
        };
        let (tag, size) = (&job.chunk.tag, job.chunk.size);
        crate::error!(
            "output:s3",
            "{size} bytes of tag {tag} cannot be uploaded, retry_limit is used up: {why}; {fate}"
        );
    }
}

fn words(error: CallError) -> String {
    match error {
        CallError::NoSuchUpload => "NoSuchUpload".to_owned(),
        CallError::Other(why) => why,
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    blocking(work).await.map_err(|error| error.to_string())
}

/// Runs what may block where it holds up nothing else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|ended| Err(io::Error::other(ended)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: outputs 43
    #[test]
    fn an_object_of_ten_thousand_parts_or_of_its_size_takes_no_more() {
        let rules = Rules {
            key: KeyFormat::new("/k", ".", true).unwrap(),
            use_put_object: false,
            chunk_size: 5 << 20,
            total_size: 100 << 30,
            timeout: Duration::from_mins(10),
            ordered: true,
            retries: None,
            quarantine: false,
        };
        let upload = |parts: usize, bytes: u64| Upload {
            id: bytes,
            tag: "t".to_owned(),
            key: "k".to_owned(),
            token: "u".to_owned(),
            created: SystemTime::now(),
            parts: vec!["e".to_owned(); parts],
            bytes,
        };
        let mut progress = Progress::default();
        for (upload, full) in [
            (upload(9_999, 1), 0),
            (upload(10_000, 2), 1),
            (upload(1, 100 << 30), 2),
        ] {
            progress.keep(upload, &rules);
            assert_eq!(progress.full.len(), full);
        }
        assert_eq!(progress.uploads["t"].id, 1);
        progress.forget(2);
        assert_eq!(progress.full.len(), 1);
    }
}
