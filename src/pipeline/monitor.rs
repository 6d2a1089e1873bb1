//! The HTTP server beside the pipeline: bound with the inputs, and told what runs.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::engine::{Engine, LiveInput};
use super::storage::StorageKind;
use crate::buffer::BATCH_MAX;
use crate::filter;
use crate::input;
use crate::output;
use crate::telemetry::http::Server;
use crate::telemetry::{Board, Holding, InputView, OnDisk, Plugins, Reload, Reloaded, Stage, View};

/// The server, the board it shows, and the questions it passes on.
pub(super) struct Monitor {
    board: Arc<Board>,
    asked: mpsc::Receiver<oneshot::Sender<Reloaded>>,
    address: Option<(String, u16)>,
    /// Bound for the plan that is being applied.
    bound: Bound,
    /// Ends the server that runs.
    stop: Option<watch::Sender<bool>>,
}

/// What becomes of the server with the plan.
enum Bound {
    AsBefore,
    Off,
    On(Server),
}

impl Monitor {
    /// A board for what will run, and no server yet.
    pub(super) fn new(engine: &Engine) -> Self {
        let (reload, asked) = Reload::new();
        let board = Board::new(engine.service.hostname.clone(), reload, view(engine));
        Self {
            board: Arc::new(board),
            asked,
            address: None,
            bound: Bound::AsBefore,
            stop: None,
        }
    }

    /// The board.
    pub(super) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Waits for somebody who asks for a reload over HTTP.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn asked(&mut self) -> Option<oneshot::Sender<Reloaded>> {
        self.asked.recv().await
    }

    /// Binds the server of a plan, if it is to listen elsewhere than the one that runs.
    ///
    /// # Errors
    /// A sentence that names the address and what to do.
    pub(super) fn bind(&mut self, address: Option<&(String, u16)>) -> Result<(), String> {
        self.bound = match address {
            same if same == self.address.as_ref() => Bound::AsBefore,
            None => Bound::Off,
            Some((host, port)) => Bound::On(Server::bind(host, *port)?),
        };
        Ok(())
    }

    /// Shows what runs now, through the server bound before.
    pub(super) fn show(&mut self, engine: &Engine) {
        self.board.reload().enable(engine.service.hot_reload);
        self.board.show(view(engine));
        let server = match std::mem::replace(&mut self.bound, Bound::AsBefore) {
            Bound::AsBefore => return,
            Bound::Off => None,
            Bound::On(server) => Some(server),
        };
        self.address.clone_from(&engine.service.http);
        if let Some(stop) = self.stop.take() {
            stop.send_replace(true);
        }
        self.stop = server.map(|server| {
            let (stop, stopped) = watch::channel(false);
            tokio::spawn(server.run(Arc::clone(&self.board), stopped));
            stop
        });
        self.board.enter(Stage::Running);
    }
}

/// What runs, as it is shown.
pub(super) fn view(engine: &Engine) -> View {
    let budget = Arc::clone(&engine.budget);
    View {
        inputs: engine.inputs.iter().map(input_view).collect(),
        filters: engine.filters.clone(),
        outputs: engine.outputs.views(),
        plugins: Plugins {
            inputs: input::names().collect(),
            filters: filter::names().collect(),
            outputs: output::names().collect(),
        },
        memory_limit: engine.budget.limit(),
        memory_used: Arc::new(move || budget.used()),
        health: engine.service.health,
        storage_metrics: engine.service.storage_metrics,
        on_disk: engine
            .disk
            .clone()
            .map(|disk| -> Arc<dyn Fn() -> OnDisk + Send + Sync> {
                Arc::new(move || {
                    let figures = disk.figures();
                    OnDisk {
                        segments: figures.segments,
                        bytes: figures.bytes,
                        behind_bytes: figures.behind_bytes,
                        batches: figures.behind_bytes.div_ceil(BATCH_MAX as u64),
                    }
                })
            }),
    }
}

fn input_view(live: &LiveInput) -> InputView {
    let (source, budget) = (Arc::clone(&live.source), Arc::clone(&live.budget));
    let (pause, limit) = (Arc::clone(&live.pause), live.limit);
    let on_disk = live.kind != StorageKind::Memory;
    InputView {
        plugin: live.plugin.clone(),
        ledger: Arc::clone(&live.ledger),
        holding: Arc::new(move || {
            let held = source.held();
            Holding {
                batches: held.batches,
                sealed: (held.sealed, held.sealed_bytes),
                // Without a limit of its own an input shares the process's budget, of which nobody knows its part.
                bytes: if limit > 0 {
                    budget.used()
                } else {
                    held.sealed_bytes
                },
                limit,
                paused: pause.is_waiting(),
                on_disk,
            }
        }),
    }
}
