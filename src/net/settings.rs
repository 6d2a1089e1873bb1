//! `net.*`: how connections are made and how long they are kept.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `net.connect_timeout` | 10 | seconds for a connection: name, TCP, proxy, TLS |
//! | `net.io_timeout` | | seconds an answer may take to begin |
//! | `net.keepalive` | on | off: a connection for each request |
//! | `net.keepalive_idle_timeout` | 30 | seconds an unused connection is kept |
//! | `net.keepalive_max_recycle` | 2000 | requests on one connection; 0 is no limit |
//! | `net.dns.prefer_ipv4`, `net.dns.prefer_ipv6` | off | addresses of this family are tried first |
//! | `net.source_address` | | connect from this address |
//! | `net.tcp_keepalive`, `_time`, `_interval`, `_probes` | off | the system's probes on idle connections |

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::Settings;

/// As Fluent Bit's `net.connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// As Fluent Bit's `net.keepalive_idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// As Fluent Bit's `net.keepalive_max_recycle`.
const USES_MAX: i64 = 2000;
/// No deadline may be longer than an hour: a mistyped unit must not keep a connection for ever.
const LONGEST: Duration = Duration::from_hours(1);

/// How connections are made and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    /// A connection has to stand by then, with everything that belongs to it.
    pub connect_timeout: Duration,
    /// An answer has to begin by then, where it is set.
    pub io_timeout: Option<Duration>,
    /// Whether a connection serves more than one request.
    pub keepalive: bool,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How many requests a connection serves.
    pub uses_max: u32,
    pub(super) prefer: Option<Family>,
    pub(super) source: Option<IpAddr>,
    pub(super) probes: Option<Probes>,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn has(self, address: &SocketAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// The system's probes on idle connections; `None` is its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probes {
    pub(super) time: Option<Duration>,
    pub(super) interval: Option<Duration>,
    pub(super) count: Option<u32>,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            io_timeout: None,
            keepalive: true,
            idle_timeout: IDLE_TIMEOUT,
            uses_max: USES_MAX as u32,
            prefer: None,
            source: None,
            probes: None,
        }
    }
}

impl Net {
    /// Without settings of its own: a connection within this time, kept unused for that.
    pub fn within(connect_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            idle_timeout,
            ..Self::default()
        }
    }

    /// Reads the settings. `idle_timeout` is the default of that name.
    pub fn read(settings: &mut Settings<'_>, idle_timeout: Duration) -> Self {
        settings.accept(&[
            "net.dns.mode",
            "net.dns.resolver",
            "net.connect_timeout_log_error",
            "net.max_worker_connections",
        ]);
        let uses = settings
            .integer("net.keepalive_max_recycle")
            .filter(|uses| *uses >= 0);
        Self {
            connect_timeout: time(settings, "net.connect_timeout").unwrap_or(CONNECT_TIMEOUT),
            io_timeout: time(settings, "net.io_timeout"),
            keepalive: settings.flag("net.keepalive", true),
            idle_timeout: time(settings, "net.keepalive_idle_timeout").unwrap_or(idle_timeout),
            uses_max: match uses.unwrap_or(USES_MAX) {
                0 => u32::MAX,
                uses => u32::try_from(uses).unwrap_or(u32::MAX),
            },
            prefer: preferred(settings),
            source: source(settings),
            probes: probes(settings),
        }
    }
}

/// A time; 0 counts as not set.
fn time(settings: &mut Settings<'_>, key: &'static str) -> Option<Duration> {
    let time = settings.duration(key).filter(|time| !time.is_zero())?;
    Some(time.min(LONGEST))
}

fn preferred(settings: &mut Settings<'_>) -> Option<Family> {
    let v6 = settings.flag("net.dns.prefer_ipv6", false);
    if settings.flag("net.dns.prefer_ipv4", false) {
        Some(Family::V4)
    } else {
        v6.then_some(Family::V6)
    }
}

fn source(settings: &mut Settings<'_>) -> Option<IpAddr> {
    let text = settings.text("net.source_address")?;
    let source = text.parse().ok();
    if source.is_none() {
        settings.error(
            "net.source_address",
            format!("`{text}` is no address: write one of this machine's, such as 10.0.0.5"),
        );
    }
    source
}

fn probes(settings: &mut Settings<'_>) -> Option<Probes> {
    let mut number = |key| settings.integer(key).filter(|number| *number > 0);
    let seconds = |number: i64| Duration::from_secs(number.unsigned_abs());
    let probes = Probes {
        time: number("net.tcp_keepalive_time").map(seconds),
        interval: number("net.tcp_keepalive_interval").map(seconds),
        count: number("net.tcp_keepalive_probes").and_then(|count| u32::try_from(count).ok()),
    };
    settings.flag("net.tcp_keepalive", false).then_some(probes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    fn net(properties: &[(&str, &str)]) -> (Net, Vec<String>) {
        configured(properties, |settings| Net::read(settings, IDLE_TIMEOUT))
    }

    #[test]
    fn without_settings_it_is_as_in_fluent_bit() {
        assert_eq!(net(&[]), (Net::default(), Vec::new()));
    }

    #[test]
    fn every_setting_means_what_it_says() {
        let (made, problems) = net(&[
            ("net.connect_timeout", "3s"),
            ("net.io_timeout", "1m"),
            ("net.keepalive", "off"),
            ("net.keepalive_idle_timeout", "5"),
            ("net.keepalive_max_recycle", "0"),
            ("net.dns.prefer_ipv6", "on"),
            ("net.source_address", "::1"),
            ("net.tcp_keepalive", "on"),
            ("net.tcp_keepalive_time", "7"),
            ("net.tcp_keepalive_probes", "-1"),
        ]);
        assert_eq!(problems, [""; 0]);
        let expected = Net {
            connect_timeout: Duration::from_secs(3),
            io_timeout: Some(Duration::from_mins(1)),
            keepalive: false,
            idle_timeout: Duration::from_secs(5),
            uses_max: u32::MAX,
            prefer: Some(Family::V6),
            source: Some("::1".parse().unwrap()),
            probes: Some(Probes {
                time: Some(Duration::from_secs(7)),
                interval: None,
                count: None,
            }),
        };
        assert_eq!(made, expected);
    }

    #[test]
    fn a_zero_is_no_limit_of_nothing_and_an_address_has_to_be_one() {
        let (made, problems) = net(&[
            ("net.connect_timeout", "0"),
            ("net.keepalive_idle_timeout", "9999h"),
            ("net.source_address", "eth0"),
        ]);
        assert_eq!(made.connect_timeout, CONNECT_TIMEOUT);
        assert_eq!(made.idle_timeout, LONGEST);
        assert!(
            problems.concat().contains("`eth0` is no address"),
            "{problems:?}"
        );
    }
}
