//! What Sluice says about itself: its own log ([`log`]), counters ([`registry`]) and the [`Ledger`] that must add up.

mod health;
mod ledger;
pub mod log;
pub mod registry;

pub use health::{probe, serve as serve_health};
pub use ledger::{InputLedger, Ledger, RouteLedger};
