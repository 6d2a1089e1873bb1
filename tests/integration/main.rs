//! The program as its users meet it: real sockets, real processes, and a fake AWS that is strict.
//!
//! Ports are chosen by the system, files lie in temporary folders, and every wait is for an event, with a deadline.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod support;

// When a chunk is acknowledged, and with which bytes.
mod acks;
// What the sections of AWS outputs may hold, and must.
mod aws_settings;
// What happens while a destination takes nothing.
mod backpressure;
// Whether destinations would take events, asked before a run.
mod check;
// What a user with mistakes in the configuration is told.
mod config_errors;
// Groups, streams and retention made on demand.
mod create;
// Where credentials come from.
mod credentials;
// A filter that ends the process.
mod expect;
// Peers that have to know a key.
mod handshake;
// Its settings, its socket files, and very many peers.
mod forward_input;
// To an aggregator of the forward protocol.
mod forward_output;
// `sluice --health`.
mod health;
// The HTTP server: what it answers, and to whom.
mod http;
// To any HTTP server.
mod http_output;
// What no service may be sent.
mod limits;
// What the filter counts, as the HTTP server shows it.
mod log_to_metrics;
// What filters ask of services on the network.
mod metadata;
// What our own log never shows.
mod own_log;
// Parsers that look at what is around the process.
mod parsers;
// Lines that Docker cut.
mod partial;
// Requests of which a part is taken.
mod partial_failure;
// Services reached through an HTTP proxy.
mod proxy;
// Another configuration while records flow.
mod reload;
// Faults that pass, and faults that do not.
mod retry;
// The configurations of the FireLens examples.
mod firelens;
// Routes of an input, and processors of an output.
mod routes;
// Several inputs, several outputs.
mod routing;
// Objects in a bucket.
mod s3;
// To services that take logs: Datadog, Loki, OpenTelemetry, Splunk; and over TCP.
mod services;
// The end of the process.
mod shutdown;
// What is kept on disk, and what survives.
mod storage;
// Copies under another tag, by queries.
mod streams;
// Files that are read while they are written.
mod tail;
// Inputs that speak TLS.
mod tls;
// A router that sends to another.
mod two_routers;
// Every recorded frame, good and bad, against one running process.
mod vectors;
// `sluice explain`, `check` and `convert`.
mod verbs;
// What a user with a wrong file reads, word for word.
mod wrong_files;
