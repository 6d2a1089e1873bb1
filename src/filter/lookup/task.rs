//! The task that asks: what is due, one question for a key at a time, and what becomes of the answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::{Answer, BYTES_MAX, Entry, Found as _, RETRY_BASE, Shared, Source};

/// Keys and what became of the question for each.
type Answered<S> = (Vec<<S as Source>::Key>, Vec<Answer<<S as Source>::Found>>);

/// Asks what is due and settles what is answered, for ever.
pub(super) async fn run<S: Source>(shared: &Arc<Shared<S>>) {
    let mut calls: FuturesUnordered<BoxFuture<'static, Answered<S>>> = FuturesUnordered::new();
    loop {
        let next = shared.begin(&mut calls);
        let sleep = async {
            match next {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((keys, answers)) = calls.next() => shared.settle(&keys, answers),
            () = shared.added.notified() => {}
            () = sleep => {}
        }
    }
}

impl<S: Source> Shared<S> {
    /// Begins the questions that are due, as far as there may be more; when to come again.
    fn begin(
        self: &Arc<Self>,
        calls: &mut FuturesUnordered<BoxFuture<'static, Answered<S>>>,
    ) -> Option<Instant> {
        // While nobody answers, one question now and then is enough to find out when somebody does.
        let calls_max = if self.is_down.load(Ordering::Relaxed) {
            1
        } else {
            self.source.calls_max()
        };
        loop {
            if calls.len() >= calls_max {
                return None;
            }
            let rest = self.lock().rest.filter(|rest| *rest > Instant::now());
            if rest.is_some() {
                return rest;
            }
            let (keys, next) = self.take_due(Instant::now(), self.source.keys_max());
            if keys.is_empty() {
                return next;
            }
            let shared = Arc::clone(self);
            calls.push(Box::pin(async move {
                let answers = shared.ask(&keys).await;
                (keys, answers)
            }));
        }
    }

    /// Takes keys that are due out of the queue, the longest due first; else when the next one is.
    fn take_due(&self, now: Instant, keys_max: usize) -> (Vec<S::Key>, Option<Instant>) {
        let mut table = self.lock();
        let is_due = |entry: &Entry<S::Found>| entry.due.is_some_and(|due| due <= now);
        // Nobody looks at it any more, and what is known of it has become old.
        let entries = table.entries.iter();
        let gone = entries.filter(|(_, entry)| is_due(entry) && !entry.is_watched());
        let gone: Vec<S::Key> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            if let Some(entry) = table.entries.remove(&key) {
                table.bytes -= entry.size;
            }
        }
        let mut due: Vec<_> = table
            .entries
            .iter()
            .filter(|(_, entry)| is_due(entry))
            .map(|(key, entry)| (entry.due, key.clone()))
            .collect();
        due.sort_by_key(|(due, _)| *due);
        due.truncate(keys_max);
        let keys: Vec<S::Key> = due.into_iter().map(|(_, key)| key).collect();
        for key in &keys {
            if let Some(entry) = table.entries.get_mut(key) {
                entry.due = None;
            }
        }
        let next = table.entries.values().filter_map(|entry| entry.due).min();
        (keys, next)
    }

    async fn ask(&self, keys: &[S::Key]) -> Vec<Answer<S::Found>> {
        let limit = self.terms.deadline;
        let answers = tokio::time::timeout(limit, self.source.fetch(keys)).await;
        answers.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", limit.as_secs_f32());
            keys.iter().map(|_| Answer::Failed(why.clone())).collect()
        })
    }

    /// Enters the answers into the table.
    fn settle(&self, keys: &[S::Key], answers: Vec<Answer<S::Found>>) {
        let failure = answers.iter().find_map(|answer| match answer {
            Answer::Failed(why) | Answer::Partly(_, why) => Some(why),
            Answer::Found(_) | Answer::Absent(_) => None,
        });
        match failure {
            Some(why) => self.note_down(why),
            None => self.note_up(),
        }
        for (key, answer) in keys.iter().zip(answers) {
            self.enter(key, answer);
        }
    }

    fn enter(&self, key: &S::Key, answer: Answer<S::Found>) {
        let now = Instant::now();
        let mut table = self.lock();
        if let Answer::Found(found) | Answer::Partly(found, _) = &answer
            && table.bytes + found.size() > BYTES_MAX
        {
            table.forget_unwatched();
        }
        let bytes = table.bytes;
        // Forgotten while it was asked for.
        let Some(entry) = table.entries.get_mut(key) else {
            return;
        };
        let (found, is_settled, pause) = match answer {
            Answer::Found(found) => {
                (entry.failures, entry.absences) = (0, 0);
                (Some(found), true, self.terms.ttl)
            }
            Answer::Partly(found, _) => {
                entry.failures += 1;
                let is_late = now >= entry.patience;
                (Some(found), is_late, Some(self.pause(entry.failures)))
            }
            Answer::Absent(why) => {
                entry.absences += 1;
                let is_absent = entry.absences >= self.terms.absent_max;
                if is_absent {
                    entry.absences = 0;
                    self.say_absent(&why);
                }
                let pause = if is_absent {
                    self.terms.absent_ttl
                } else {
                    self.pause(1)
                };
                (None, is_absent, Some(pause))
            }
            Answer::Failed(_) => {
                entry.failures += 1;
                (None, false, Some(self.pause(entry.failures)))
            }
        };
        entry.due = pause.map(|pause| now + pause);
        let size = found.as_ref().map(super::Found::size);
        let fits = size.is_none_or(|size| bytes - entry.size + size <= BYTES_MAX);
        let grown = if fits { size } else { None };
        let before = entry.size;
        if let Some(size) = grown {
            entry.size = size;
        }
        let after = entry.size;
        entry.state.send_modify(|state| {
            // What was known once stays: a pod that is gone has still written what it wrote.
            if let Some(found) = found.filter(|_| fits) {
                state.found = Some(Arc::new(found));
            }
            state.is_settled |= is_settled || !fits;
        });
        table.bytes = table.bytes - before + after;
        drop(table);
        if !fits && let Some(more) = self.full.admit() {
            crate::warning!(
                &self.component,
                "metadata takes {BYTES_MAX} bytes already; some records pass without it{more}"
            );
        }
    }

    /// At random below a bound that doubles.
    fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let bound = (RETRY_BASE * 2_u32.pow(doublings)).min(self.terms.retry_max);
        bound.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    fn note_down(&self, why: &str) {
        let mut table = self.lock();
        table.failures += 1;
        table.rest = Some(Instant::now() + self.pause(table.failures));
        drop(table);
        if !self.is_down.swap(true, Ordering::Relaxed) {
            crate::warning!(
                &self.component,
                "no metadata: {why}; it is asked for again, and until then records pass without it"
            );
        }
    }

    fn note_up(&self) {
        let mut table = self.lock();
        (table.failures, table.rest) = (0, None);
        drop(table);
        if self.is_down.swap(false, Ordering::Relaxed) {
            crate::info!(&self.component, "metadata is there again");
        }
    }

    fn say_absent(&self, why: &str) {
        if let Some(more) = self.absent.admit() {
            crate::warning!(
                &self.component,
                "no metadata for some records, which pass without it: {why}{more}"
            );
        }
    }
}
