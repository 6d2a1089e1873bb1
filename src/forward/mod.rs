//! The words of the forward protocol that both ends of a connection speak. No I/O.

pub mod handshake;
