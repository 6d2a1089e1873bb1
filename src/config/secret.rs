//! Which values are never shown in a message.

/// Parts of keys that name a credential or hold one inside (`http_passwd`, `apikey`, `Cloud_Auth`,
/// `Header`).
const PARTS: [&str; 13] = [
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
];

/// Whether the value of this key must not appear in a log or an error.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    PARTS.iter().any(|part| key.contains(part))
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
