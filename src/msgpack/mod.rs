//! `MessagePack` as bytes: where a value ends, what it is, and how to write one.
//!
//! Records stay in this form from the socket to the request body, so nothing here builds a tree. Format:
//! <https://github.com/msgpack/msgpack/blob/master/spec.md>

pub mod read;
pub mod scan;
pub mod write;
