//! Sluice, a log router for Amazon ECS `FireLens`.
//!
//! The path of a record: [`input`] reads it off a socket and decodes it in place; the chain of [`filter`]s looks at it and
//! may change it; [`router`] says which outputs want its tag; [`buffer`] keeps it, within the [`budget`], until
//! [`pipeline`] has an [`output`] encode it into a request, sends that, and settles what the service has taken. The
//! modules below the stages are formats ([`forward`], [`msgpack`], [`parser`], [`regex`]), the way to a peer ([`net`]) and the words all stages share ([`event`],
//! [`config`], [`telemetry`]).

pub mod pipeline;

pub mod input;

pub mod filter;

pub mod router;

pub mod buffer;

pub mod output;

pub mod accessor;
pub mod forward;
pub mod msgpack;
pub mod net;
pub mod parser;
pub mod regex;
pub mod template;

pub mod budget;
pub mod cli;
pub mod config;
pub mod event;
pub mod telemetry;
