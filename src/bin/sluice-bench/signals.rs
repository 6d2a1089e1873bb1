//! SIGTERM and SIGINT as a flag, so that every command stops cleanly and still reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, Result};

/// A flag that turns true at the first SIGTERM or SIGINT.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Error::io("start the signal listener"))?;
    // The handlers must be in place before this returns: a signal in between would kill the process.
    let wait = runtime.block_on(async { stop_signal() })?;
    thread::spawn(move || {
        runtime.block_on(wait);
        raised.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}

/// Installs the handlers and returns a future that ends at the first SIGTERM or SIGINT.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("listen for SIGINT"))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
