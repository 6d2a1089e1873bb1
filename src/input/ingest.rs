//! Handing events over: one [`Ingest`] for each connection.
//!
//! A reader owns a permit before it reads, offers what it decoded, and commits. Only when the commit has returned are the
//! events where `storage.type` promises them to be, so only then may they be acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::budget::{Budget, Permit, Reader};
use crate::event::{Event, Receipt};
use crate::telemetry::log::Limiter;

/// The stages behind the inputs, as seen from here.
pub trait Dispatch: Send + Sync {
    /// A session for one connection of one input.
    fn session(&self) -> Box<dyn Session>;

    /// Says that readers wait for memory: what is held should be delivered before it is due.
    fn hurry(&self);

    /// Changes when the stages behind are replaced: sessions from before still work, and should be given up for new ones.
    fn generation(&self) -> u64 {
        0
    }
}

/// Takes the events of one connection, in order.
pub trait Session: Send + Sync {
    /// The events that follow have this tag.
    fn tag(&mut self, tag: &[u8]);

    /// Takes one event through the filters.
    fn offer(&mut self, event: Event<'_>);

    /// Opens a frame; [`Session::refuse_frame`] takes back what was offered since.
    fn open_frame(&mut self);

    /// Forgets the events of the frame opened last.
    fn refuse_frame(&mut self);

    /// Gives a receipt for what the next commit stores.
    fn receipt(&mut self, receipt: Receipt);

    /// Stores what was offered.
    ///
    /// # Cancel safety
    /// Not cancel safe: events may be stored or forgotten.
    fn commit(&mut self) -> BoxFuture<'_, ()>;

    /// Whether nothing would be lost with it: no tag was given since the last commit. One that does not know is kept.
    fn is_clean(&self) -> bool {
        false
    }

    /// Gives back room, between two commits of a connection that has fallen idle.
    fn rest(&mut self) {}

    /// Called before it is given up for another: what it has stored has to go ahead of what the other will store.
    fn leave(&mut self) {}
}

/// What the inputs have done, for the decision when a shutdown may end.
#[derive(Debug, Default)]
pub struct Activity {
    bytes: AtomicU64,
    connections: AtomicUsize,
    /// The last connection has ended.
    idle: Notify,
}

impl Activity {
    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Waits until no connection is open.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.connections() == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Says when the readers of an input have to wait, and when they no longer have to.
#[derive(Debug)]
pub struct Pause {
    name: Arc<str>,
    waiting: AtomicUsize,
    limiter: Limiter,
    said: AtomicBool,
}

impl Pause {
    /// For the input of this name.
    pub fn new(name: Arc<str>) -> Self {
        Self {
            name,
            waiting: AtomicUsize::new(0),
            limiter: Limiter::default(),
            said: AtomicBool::new(false),
        }
    }

    /// Whether readers wait now.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    fn enter(self: &Arc<Self>, budget: &Budget, dispatch: &dyn Dispatch) -> Waiting {
        dispatch.hurry();
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0
            && let Some(more) = self.limiter.admit()
        {
            let (used, limit) = (budget.used(), budget.limit());
            self.said.store(true, Ordering::Release);
            crate::warning!(
                "input",
                "{} paused (mem buf overlimit): {used} of {limit} bytes are held{more}; nothing is lost, senders wait",
                self.name
            );
        }
        Waiting(Arc::clone(self))
    }
}

/// One reader waits.
struct Waiting(Arc<Pause>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let pause = &self.0;
        if pause.waiting.fetch_sub(1, Ordering::AcqRel) == 1
            && pause.said.swap(false, Ordering::AcqRel)
        {
            crate::info!("input", "{} resume (mem buf overlimit)", pause.name);
        }
    }
}

/// One connection's way into the pipeline.
pub struct Ingest {
    session: Box<dyn Session>,
    dispatch: Arc<dyn Dispatch>,
    generation: u64,
    reader: Reader,
    activity: Arc<Activity>,
    pause: Arc<Pause>,
    is_connection: bool,
}

impl Ingest {
    /// Opens the way for a peer, whose leaving the end of the process waits for.
    pub fn open(context: &super::Context) -> Self {
        context.activity.connections.fetch_add(1, Ordering::Relaxed);
        Self::new(context, true)
    }

    /// Opens the way for something that does not leave, such as a file.
    pub fn open_source(context: &super::Context) -> Self {
        Self::new(context, false)
    }

    fn new(context: &super::Context, is_connection: bool) -> Self {
        Self {
            // Before the session, which must not be older than this says.
            generation: context.dispatch.generation(),
            session: context.dispatch.session(),
            dispatch: Arc::clone(&context.dispatch),
            reader: context.budget.reader(),
            activity: Arc::clone(&context.activity),
            pause: Arc::clone(&context.pause),
            is_connection,
        }
    }

    /// Waits for the right to read `bytes`. This waiting is the backpressure.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping it takes nothing.
    pub async fn permit(&self, bytes: usize) -> Permit {
        let bytes = bytes as u64;
        if let Some(permit) = self.reader.try_permit(bytes) {
            return permit;
        }
        let _waiting = self
            .pause
            .enter(self.reader.budget(), self.dispatch.as_ref());
        // Boxed, so that those who need not wait take no room for it.
        Box::pin(self.reader.permit(bytes)).await
    }

    /// Whether readers of this input wait for memory.
    pub fn is_memory_short(&self) -> bool {
        self.pause.waiting.load(Ordering::Acquire) > 0
    }

    /// Notes bytes taken off a socket.
    pub fn note_read(&self, bytes: usize) {
        self.activity
            .bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Gives back room, of a connection that has fallen idle.
    pub fn rest(&mut self) {
        self.session.rest();
    }

    /// Where decoded events go. Between two commits it stays the same, after one it may lead to a new configuration's stages.
    pub fn session(&mut self) -> &mut dyn Session {
        let generation = self.dispatch.generation();
        if generation != self.generation && self.session.is_clean() {
            self.generation = generation;
            self.session.leave();
            self.session = self.dispatch.session();
        }
        self.session.as_mut()
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if self.is_connection {
            let before = self.activity.connections.fetch_sub(1, Ordering::AcqRel);
            if before == 1 {
                self.activity.idle.notify_waiters();
            }
        }
    }
}
