//! A pipeline for the tests of inputs: it keeps what was committed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};

use super::{Context, Dispatch, Pause, Phase, Session};
use crate::budget::Budget;
use crate::event::{Event, EventTime, Receipt, Tag};

/// A tag, a time and a record.
type Kept = (Vec<u8>, EventTime, Vec<u8>);

/// Keeps the events of all connections, and their receipts until it is told to settle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keeper {
    kept: Arc<Mutex<Vec<Kept>>>,
    receipts: Arc<Mutex<Vec<Receipt>>>,
    committed: Arc<Notify>,
    most_at_once: Arc<AtomicUsize>,
}

impl Keeper {
    /// What was committed since the last call.
    pub(crate) fn take(&self) -> Vec<Kept> {
        std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many events one commit stored at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::Acquire)
    }

    /// Waits until so many events were committed since the last call, and takes them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Kept> {
        let mut kept = Vec::new();
        let all = async {
            while kept.len() < count {
                let committed = self.committed.notified();
                kept.append(&mut self.take());
                if kept.len() < count {
                    committed.await;
                }
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), all).await;
        assert!(in_time.is_ok(), "{} of {count} came", kept.len());
        kept
    }

    /// Settles what was committed so far.
    pub(crate) fn settle(&self) {
        let receipts =
            std::mem::take(&mut *self.receipts.lock().unwrap_or_else(PoisonError::into_inner));
        drop(receipts);
    }

    /// The same without tags and times.
    pub(crate) fn take_records(&self) -> Vec<Vec<u8>> {
        self.take()
            .into_iter()
            .map(|(_, _, record)| record)
            .collect()
    }

    /// A context for an input with the tag `t`, and what sets its phase.
    pub(crate) fn context(&self, limit: u64) -> (Context, watch::Sender<Phase>) {
        let name = Arc::from("test.0");
        let (sender, phase) = watch::channel(Phase::Run);
        let context = Context {
            pause: Arc::new(Pause::new(Arc::clone(&name))),
            component: format!("input:{name}:{name}").into(),
            name,
            tag: Tag::new(b"t"),
            budget: Budget::new(limit),
            dispatch: Arc::new(self.clone()),
            activity: Arc::default(),
            requests: Arc::default(),
            phase,
        };
        (context, sender)
    }
}

impl Dispatch for Keeper {
    fn hurry(&self) {}

    fn session(&self) -> Box<dyn Session> {
        Box::new(KeeperSession {
            keeper: self.clone(),
            tag: Vec::new(),
            offered: Vec::new(),
            frame: 0,
            receipt: None,
        })
    }
}

struct KeeperSession {
    keeper: Keeper,
    tag: Vec<u8>,
    offered: Vec<Kept>,
    frame: usize,
    receipt: Option<Receipt>,
}

impl Session for KeeperSession {
    fn tag(&mut self, tag: &[u8]) {
        self.tag = tag.to_vec();
    }

    fn offer(&mut self, event: Event<'_>) {
        self.offered
            .push((self.tag.clone(), event.time, event.record.to_vec()));
    }

    fn open_frame(&mut self) {
        self.frame = self.offered.len();
    }

    fn refuse_frame(&mut self) {
        self.offered.truncate(self.frame);
    }

    fn receipt(&mut self, receipt: Receipt) {
        self.receipt = Some(receipt);
    }

    fn commit(&mut self) -> BoxFuture<'_, ()> {
        let mut receipts = self
            .keeper
            .receipts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        receipts.extend(self.receipt.take());
        drop(receipts);
        let count = self.offered.len();
        self.keeper.most_at_once.fetch_max(count, Ordering::AcqRel);
        self.keeper
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut self.offered);
        self.keeper.committed.notify_one();
        Box::pin(std::future::ready(()))
    }
}
