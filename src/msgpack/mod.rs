//! `MessagePack` as bytes: where a value ends, what it is, how to write one, and how it looks as JSON or
//! printed for people.
//!
//! Records stay in this form from the socket to the request body, so nothing here builds a tree. Format:
//! <https://github.com/msgpack/msgpack/blob/master/spec.md>

pub mod json;
pub mod metadata;
pub mod print;
pub mod read;
pub mod scan;
pub mod write;
