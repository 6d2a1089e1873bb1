//! `sysinfo`: appends what the system says about itself.
//!
//! `fluentbit_version_key`, `os_name_key`, `hostname_key`, `os_version_key` and `kernel_version_key` each name a key, which
//! is appended with the value, in this order. <https://docs.fluentbit.io/manual/pipeline/filters/sysinfo>

use super::pattern::encoded;
use super::{Filter, Means, Verdict, View};
use crate::config::{FLUENT_BIT_VERSION, Settings};

struct Sysinfo {
    /// Pairs to append, encoded once.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Means<'_>) -> Box<dyn Filter> {
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let values = [
        ("fluentbit_version_key", FLUENT_BIT_VERSION.to_owned()),
        ("os_name_key", "linux".to_owned()),
        ("hostname_key", text(system.nodename())),
        ("os_version_key", text(system.version())),
        ("kernel_version_key", text(system.release())),
    ];
    let mut pairs = Vec::new();
    for (setting, value) in values {
        if let Some(key) = settings.text(setting) {
            pairs.push((encoded(&key), encoded(&value)));
        }
    }
    Box::new(Sysinfo { pairs })
}

impl Filter for Sysinfo {
    fn apply(&self, record: &mut View<'_>) -> Verdict {
        for (key, value) in &self.pairs {
            record.push_encoded(key, value);
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{built, check, filtered};
    use super::build;

    #[test]
    fn values_are_appended_in_their_order() {
        check(
            build,
            &[("os_name_key", "os"), ("fluentbit_version_key", "v")],
            &[(
                r#"{"a":1,"os":"old"}"#,
                r#"{"a":1,"os":"old","v":"5.1.1","os":"linux"}"#,
            )],
        );
        check(build, &[], &[(r#"{"a":1}"#, "=")]);
        let (filter, _) = built(
            build,
            &[
                ("kernel_version_key", "k"),
                ("hostname_key", "h"),
                ("os_version_key", "o"),
            ],
        );
        let record = filtered(&*filter, "{}").unwrap();
        let system = rustix::system::uname();
        assert!(
            record.starts_with(&format!(
                "{{\"h\":{:?},\"o\":",
                system.nodename().to_str().unwrap()
            )),
            "{record}"
        );
        assert!(
            record.ends_with(&format!("\"k\":{:?}}}", system.release().to_str().unwrap())),
            "{record}"
        );
    }
}
