//! Lines that belong together: the multiline parsers of Fluent Bit, as state machines.
//!
//! | file | holds |
//! |---|---|
//! | `definition.rs`, `builtin.rs` | a parser as a `[MULTILINE_PARSER]` section, or the program, defines it |
//! | `machine.rs` | [`Machine`]: what several parsers make of one source's lines |
//! | `group.rs` | the message that is open, and [`Message`], one that has ended |
//!
//! A machine is told the time and keeps no clock. It holds a message while more may belong to it: until a line begins the next one, no
//! parser takes a line, the message is long enough, or the owner says that it has waited long enough. What it holds is
//! bounded by [`MESSAGE_MAX`] (or what the owner sets) and `GROUPS_MAX`, and the owner can ask for its size.
//!
//! <https://docs.fluentbit.io/manual/data-pipeline/parsers/multiline-parsing>

mod builtin;
mod definition;
mod group;
mod machine;

pub(super) use builtin::find;
pub use definition::Definition;
pub use group::Message;
pub use machine::{Fields, Machine};

/// The most text of a message, unless `multiline_buffer_limit` says otherwise. A message that would become longer ends before.
pub const MESSAGE_MAX: usize = 2 << 20;

/// The most groups (values of `key_group`) of one source that are remembered.
const GROUPS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
