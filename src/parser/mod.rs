//! Texts that become records.
//!
//! | file | from |
//! |---|---|
//! | [`json`] | JSON |

pub mod json;
