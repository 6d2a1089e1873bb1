//! What Sluice says about itself: its own log ([`log`]), counters ([`registry`]), the [`Ledger`] that must add up, and the
//! server of both ([`http`]).

mod board;
mod family;
mod health;
mod histogram;
pub mod http;
mod ledger;
pub mod log;
pub mod registry;
mod route_ledger;

pub use board::{
    Board, Busy, FilterView, HealthRule, Holding, InputView, NoReload, OnDisk, OutputView, Plugins,
    Rate, Rates, Reload, Reloaded, Stage, View,
};
pub use family::{Family, Kind, Labels, Sample, Spread, Value};
pub use health::{probe, serve as serve_health};
pub use histogram::Buckets;
pub use ledger::{FilterLedger, Filtered, InputLedger, Ledger};
pub use route_ledger::{DestinationState, Failures, LastError, OutputState, RouteLedger, Routing};
