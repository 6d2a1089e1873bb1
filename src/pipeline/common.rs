//! The options that every instance takes, whatever its plugin.

use crate::config::{SectionKind, Settings, value};
use crate::telemetry::log::Level;

/// Options of inputs that mean nothing here: nothing is dropped to make room, and sockets are served
/// by tasks, not by threads.
const INPUT: &[&str] = &[
    "storage.pause_on_chunks_overlimit",
    "routable",
    "threaded",
    "thread.ring_buffer.capacity",
    "thread.ring_buffer.window",
    "net.share_port",
    "net.backlog",
    "net.io_timeout",
    "net.accept_timeout",
    "net.accept_timeout_log_error",
    "net.keepalive",
    "rate_window",
    "rate_gate",
    "rate_gate.max_bytes",
    "rate_gate.max_records",
    "rate_gate.backpressure",
    "rate_gate.resume_ratio",
    "workers",
];

/// Options of outputs that mean nothing to those that do not ask for them.
const OUTPUT: &[&str] = &[
    "host",
    "port",
    "ipv6",
    "net.dns.mode",
    "net.dns.resolver",
    "net.dns.prefer_ipv4",
    "net.dns.prefer_ipv6",
    "net.keepalive",
    "net.keepalive_idle_timeout",
    "net.keepalive_max_recycle",
    "net.tcp_keepalive",
    "net.tcp_keepalive_time",
    "net.tcp_keepalive_interval",
    "net.tcp_keepalive_probes",
    "net.connect_timeout",
    "net.connect_timeout_log_error",
    "net.io_timeout",
    "net.source_address",
    "net.max_worker_connections",
    "net.proxy_env_ignore",
];

/// Accepts what any instance of the kind may be given. To be called before the plugin asks: what it
/// asks for has an effect.
pub(super) fn accept(settings: &mut Settings<'_>, kind: SectionKind) {
    settings.accept(&["log_suppress_interval"]);
    match kind {
        SectionKind::Input => settings.accept(INPUT),
        SectionKind::Output => settings.accept(OUTPUT),
        _ => {}
    }
}

/// `tls` and what belongs to it, of an output that does not ask for them. To be called after the output has asked.
pub(super) fn accept_tls(settings: &mut Settings<'_>) {
    if settings.knows("tls") {
        return;
    }
    if settings.flag("tls", false) {
        let message = format!("{} does not support TLS", settings.subject());
        settings.error("tls", message);
    }
    settings.accept(&["tls.*"]);
}

/// `Log_Level` of an instance. A word that is none stops Fluent Bit too.
pub(super) fn log_level(settings: &mut Settings<'_>) -> Option<Level> {
    let text = settings.text("log_level")?;
    let level = Level::parse(&text);
    if level.is_none() {
        let value = settings.shown("log_level");
        let message = format!("{value} is no level: write off, error, warn, info, debug or trace");
        settings.error("log_level", message);
    }
    level
}

/// Whether an instance is switched on: `active` may be a switch or 0.
pub(super) fn active(settings: &mut Settings<'_>) -> bool {
    let text = settings.text("active");
    text.is_none_or(|text| value::flag(&text) != Some(false) && text != "0")
}

/// Reads `Retry_Limit`: how many retries, `None` for as many as it takes, which is the default here.
pub(super) fn retry_limit(settings: &mut Settings<'_>) -> Option<u32> {
    let text = settings.text("retry_limit")?.to_ascii_lowercase();
    match text.as_str() {
        "no_limits" | "false" | "off" => None,
        "no_retries" => Some(0),
        _ => {
            let limit = text.parse().ok().filter(|limit| *limit > 0);
            if limit.is_none() {
                let value = settings.shown("retry_limit");
                let message =
                    format!("{value} is no limit; write a number above 0, no_limits or no_retries");
                settings.lapse(
                    "retry_limit",
                    message,
                    "events are retried while there is room",
                );
            }
            limit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    /// Checklist: firelens 34
    #[test]
    fn retry_limits_are_numbers_and_words() {
        for (text, expected) in [
            ("3", Some(3)),
            ("no_limits", None),
            ("False", None),
            ("off", None),
            ("no_retries", Some(0)),
        ] {
            let (limit, said) = configured(&[("retry_limit", text)], retry_limit);
            assert_eq!((limit, said.len()), (expected, 0), "{text}");
        }
        for text in ["0", "-1", "many", "1.5"] {
            let (limit, said) = configured(&[("retry_limit", text)], retry_limit);
            assert_eq!(limit, None);
            assert!(said[0].starts_with("warning: "), "{said:?}");
        }
    }

    #[test]
    fn an_instance_may_be_switched_off_and_have_a_level() {
        for (text, expected) in [("off", false), ("0", false), ("on", true), ("x", true)] {
            let (is_active, _) = configured(&[("active", text)], active);
            assert_eq!(is_active, expected, "{text}");
        }
        let (level, said) = configured(&[("log_level", "Debug")], log_level);
        assert_eq!((level, said.len()), (Some(Level::Debug), 0));
        let (level, said) = configured(&[("log_level", "loud")], log_level);
        assert_eq!(level, None);
        assert!(said[0].starts_with("error: "), "{said:?}");
    }

    #[test]
    fn an_output_without_tls_has_it_switched_off_and_not_on() {
        for (value, is_refused) in [("off", false), ("on", true)] {
            let pairs = [("tls", value), ("tls.verify", "off"), ("host", "a")];
            let ((), said) = configured(&pairs, |settings| {
                accept(settings, SectionKind::Output);
                accept_tls(settings);
            });
            let errors = said.iter().filter(|said| said.starts_with("error: "));
            assert_eq!(errors.count() > 0, is_refused, "{said:?}");
        }
        let ((), said) = configured(&[("tls", "on")], |settings| {
            settings.flag("tls", false);
            accept_tls(settings);
        });
        assert_eq!(said.len(), 0, "{said:?}");
    }

    #[test]
    fn a_misspelt_option_of_the_engine_is_found() {
        let ((), said) = configured(&[("net.conect_timeout", "5")], |settings| {
            accept(settings, SectionKind::Output);
        });
        assert!(
            said[0].contains("did you mean `net.connect_timeout`?"),
            "{said:?}"
        );
    }
}
