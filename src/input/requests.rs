//! What inputs ask of the process, and what it shows them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::telemetry::RouteLedger;

/// What to do when nothing more will be delivered.
type LastAct = Box<dyn FnOnce() + Send>;

/// The process as inputs see it.
pub struct Requests {
    end: watch::Sender<Option<u8>>,
    last_acts: Mutex<Vec<LastAct>>,
    outputs: Mutex<Vec<Arc<RouteLedger>>>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            end: watch::Sender::new(None),
            last_acts: Mutex::default(),
            outputs: Mutex::default(),
        }
    }
}

impl Requests {
    /// Asks for the end of the process with this exit code, as `stdin` does at the end of its input. The first one wins.
    pub fn end(&self, code: u8) {
        self.end.send_if_modified(|end| {
            let is_first = end.is_none();
            end.get_or_insert(code);
            is_first
        });
    }

    /// Waits until an input asks for the end; its exit code.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(&self) -> u8 {
        let mut end = self.end.subscribe();
        let code = end.wait_for(Option::is_some).await;
        code.ok().and_then(|code| *code).unwrap_or_default()
    }

    /// Shows the books of the outputs that run from now on.
    pub fn show(&self, outputs: Vec<Arc<RouteLedger>>) {
        *self.outputs.lock().unwrap_or_else(PoisonError::into_inner) = outputs;
    }

    /// The books of the outputs that run.
    pub fn outputs(&self) -> Vec<Arc<RouteLedger>> {
        self.outputs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Has `act` called once nothing more will be delivered, before what is left is let go of.
    pub fn at_last(&self, act: impl FnOnce() + Send + 'static) {
        self.lock().push(Box::new(act));
    }

    /// Does what [`Requests::at_last`] was told.
    pub fn act_at_last(&self) {
        let acts = std::mem::take(&mut *self.lock());
        for act in acts {
            act();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<LastAct>> {
        self.last_acts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_exit_code_counts() {
        let requests = Requests::default();
        requests.end(3);
        requests.end(0);
        assert_eq!(requests.ended().await, 3);
    }
}
