//! What a section says about its sockets.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `net.backlog` | 128 | peers that may wait to be accepted |
//! | `net.share_port` | off | several processes may listen on the port, each gets a part of the peers |
//! | `net.io_timeout` | none | a peer that is silent for so long is closed |
//! | `net.accept_timeout` | 10 s | how long a TLS handshake may take |
//! | `net.accept_timeout_log_error` | on | off: peers that take longer are counted only |

use std::time::Duration;

use crate::config::Settings;

/// How long a handshake may take.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);
const BACKLOG: u32 = 128;

/// What a section says about its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    /// Peers that may wait to be accepted.
    pub(super) backlog: u32,
    /// Whether other processes may listen on the same port.
    pub(super) share_port: bool,
    /// How long a peer may be silent; nothing for as long as it likes.
    pub(super) io_timeout: Option<Duration>,
    /// How long a TLS handshake may take.
    pub(super) accept_timeout: Duration,
    /// Whether to log one that takes longer.
    pub(super) log_accept_timeout: bool,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            backlog: BACKLOG,
            share_port: false,
            io_timeout: None,
            accept_timeout: ACCEPT_TIMEOUT,
            log_accept_timeout: true,
        }
    }
}

impl Net {
    /// Reads the section.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let mut time = |key| settings.duration(key).filter(|time| !time.is_zero());
        let (io_timeout, accept_timeout) = (time("net.io_timeout"), time("net.accept_timeout"));
        Self {
            backlog: settings
                .integer_in("net.backlog", 1..=65_535)
                .map_or(BACKLOG, |backlog| backlog as u32),
            share_port: settings.flag("net.share_port", false),
            io_timeout,
            accept_timeout: accept_timeout.unwrap_or(ACCEPT_TIMEOUT),
            log_accept_timeout: settings.flag("net.accept_timeout_log_error", true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    #[test]
    fn the_defaults_are_those_of_fluent_bit_and_zero_is_none() {
        assert_eq!(configured(&[], Net::read).0, Net::default());
        let zeros = [("net.io_timeout", "0"), ("net.accept_timeout", "0s")];
        assert_eq!(configured(&zeros, Net::read).0, Net::default());
        let set = [
            ("net.io_timeout", "1m"),
            ("net.share_port", "on"),
            ("net.backlog", "5"),
        ];
        let expected = Net {
            io_timeout: Some(Duration::from_mins(1)),
            share_port: true,
            backlog: 5,
            ..Net::default()
        };
        assert_eq!(configured(&set, Net::read), (expected, Vec::new()));
    }
}
