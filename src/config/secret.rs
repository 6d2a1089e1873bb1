//! Which values are never shown in a message.

/// Parts of keys that name a credential or hold one inside (`http_passwd`, `apikey`, `Cloud_Auth`,
/// `Header`).
const PARTS: [&str; 14] = [
    "apikey",
    "api_key",
    "passw",
    "secret",
    "token",
    "shared_key",
    "license",
    "credential",
    "auth",
    "header",
    "access_key",
    "private_key",
    "account_key",
    "security.users",
];

/// Whether the value of this key must not appear in a log or an error.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    PARTS.iter().any(|part| key.contains(part))
}

/// A line of a file up to where a credential may begin: behind a key that names one, or behind the
/// `://` of an address with a user.
pub(super) fn public_part(line: &str) -> std::borrow::Cow<'_, str> {
    let lower = line.to_ascii_lowercase();
    let is_of_key =
        |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    let behind_key = PARTS
        .iter()
        .filter_map(|part| lower.find(part))
        .filter_map(|start| {
            let rest = lower.get(start..)?;
            Some(start + rest.find(|c: char| !is_of_key(c)).unwrap_or(rest.len()))
        });
    let user = lower
        .find("://")
        .map(|start| start + 3)
        .filter(|&start| lower.get(start..).is_some_and(|rest| rest.contains('@')));
    // Lower case changes no byte but ASCII letters, so the positions are those of the line.
    let end = behind_key.chain(user).min();
    match end.and_then(|end| line.split_at_checked(end)) {
        Some((public, secret)) if !secret.trim_ascii().is_empty() => format!("{public} …").into(),
        _ => line.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_credentials_are_secret_and_others_are_not() {
        for key in [
            "apikey",
            "Api_Key",
            "http_passwd",
            "tls.key_passwd",
            "splunk_token",
            "Shared_Key",
            "licenseKey",
            "Cloud_Auth",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in [
            "log_key",
            "samples",
            "partition_key",
            "retry_limit",
            "match",
        ] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
