//! The server's side of the shared-key handshake.

use std::fmt;
use std::sync::Arc;

use super::reject::Reject;
use crate::config::Settings;
use crate::forward::handshake::{
    Helo, INVALID_PING, KEY_MISMATCH, Ping, Pong, USER_MISMATCH, key_digest, password_digest, token,
};

/// What a peer has to know.
#[derive(Clone)]
pub(super) struct Security {
    hostname: String,
    key: String,
    /// Names and passwords; none are asked for where there are none.
    users: Vec<(String, String)>,
}

impl fmt::Debug for Security {
    /// Shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security").finish_non_exhaustive()
    }
}

impl Security {
    /// Reads `Shared_Key`, `Empty_Shared_Key`, `Security.Users` and `Self_Hostname`; nothing when no handshake is asked for.
    pub(super) fn read(settings: &mut Settings<'_>) -> Option<Arc<Self>> {
        let key = settings.text("shared_key");
        let is_empty = settings.flag("empty_shared_key", false);
        let hostname = settings.text("self_hostname");
        let users: Vec<_> = settings
            .pairs("security.users")
            .into_iter()
            .map(|(user, _)| user)
            .collect();
        let key = match (key, is_empty) {
            (Some(_), true) => {
                settings.error(
                    "empty_shared_key",
                    "there is a `shared_key` too; take one of them out",
                );
                return None;
            }
            (None, true) => String::new(),
            (Some(key), false) => key,
            (None, false) => {
                if !users.is_empty() {
                    settings.error(
                        "security.users",
                        "needs `shared_key` or `empty_shared_key on`",
                    );
                }
                return None;
            }
        };
        Some(Arc::new(Self {
            hostname: hostname.unwrap_or_else(|| "localhost".to_owned()),
            key,
            users,
        }))
    }

    /// Whether one of the users has sent this. All are looked at, so that the time tells nothing.
    fn knows(&self, auth: &str, ping: &Ping<'_>) -> bool {
        let is_it = |(name, password): &(String, String)| {
            let digest = password_digest(auth.as_bytes(), name.as_bytes(), password.as_bytes());
            digest.is(ping.password) && name.as_bytes() == ping.user
        };
        self.users
            .iter()
            .fold(self.users.is_empty(), |known, user| is_it(user) | known)
    }
}

/// The handshake of one connection.
pub(super) struct Greeting {
    security: Arc<Security>,
    nonce: String,
    /// Empty where there are no users.
    auth: String,
}

impl Greeting {
    /// With random values of its own.
    pub(super) fn new(security: &Arc<Security>) -> Self {
        let auth = if security.users.is_empty() {
            String::new()
        } else {
            token()
        };
        Self {
            security: Arc::clone(security),
            nonce: token(),
            auth,
        }
    }

    /// Appends what the server says first.
    pub(super) fn helo(&self, out: &mut Vec<u8>) {
        let helo = Helo {
            nonce: self.nonce.as_bytes(),
            auth: self.auth.as_bytes(),
            keepalive: true,
        };
        helo.write(out);
    }

    /// Judges the first value a peer sent, and appends the answer to it.
    ///
    /// # Errors
    /// Why the peer may not send.
    pub(super) fn answer(&self, ping: &[u8], out: &mut Vec<u8>) -> Result<(), Reject> {
        let (reason, reject) = match Ping::read(ping) {
            Err(_) => (INVALID_PING, Reject::NoPing),
            Ok(ping) if !self.has_key(&ping) => (KEY_MISMATCH, Reject::Unauthorized),
            Ok(ping) if !self.security.knows(&self.auth, &ping) => {
                (USER_MISMATCH, Reject::Unauthorized)
            }
            Ok(ping) => {
                let digest = self.digest(ping.salt, self.security.hostname.as_bytes());
                let pong = Pong::Accepted {
                    hostname: self.security.hostname.as_bytes(),
                    digest: digest.as_bytes(),
                };
                pong.write(out);
                return Ok(());
            }
        };
        let reason = reason.as_bytes();
        Pong::Refused { reason }.write(out);
        Err(reject)
    }

    fn has_key(&self, ping: &Ping<'_>) -> bool {
        self.digest(ping.salt, ping.hostname).is(ping.digest)
    }

    fn digest(&self, salt: &[u8], hostname: &[u8]) -> crate::forward::handshake::Digest {
        key_digest(
            salt,
            hostname,
            self.nonce.as_bytes(),
            self.security.key.as_bytes(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    fn read(properties: &[(&str, &str)]) -> (Option<Security>, String) {
        let (security, problems) = configured(properties, Security::read);
        (security.map(|it| (*it).clone()), problems.concat())
    }

    fn security(users: &[(&str, &str)]) -> Arc<Security> {
        let own = |(name, password): &(&str, &str)| (name.to_string(), password.to_string());
        Arc::new(Security {
            hostname: "router".to_owned(),
            key: "secret".to_owned(),
            users: users.iter().map(own).collect(),
        })
    }

    #[test]
    fn without_a_key_there_is_no_handshake_and_users_are_refused() {
        assert!(matches!(read(&[]), (None, problems) if problems.is_empty()));
        let (_, problems) = read(&[("security.users", "alice pw")]);
        assert!(problems.contains("needs `shared_key`"), "{problems}");
        let (_, problems) = read(&[("shared_key", "s"), ("empty_shared_key", "on")]);
        assert!(problems.contains("take one of them out"), "{problems}");
    }

    #[test]
    fn a_password_is_all_that_follows_the_name() {
        let (found, problems) = read(&[
            ("empty_shared_key", "on"),
            ("security.users", "alice a b c"),
            ("security.users", "bob pw"),
        ]);
        assert_eq!(problems, "");
        let found = found.unwrap();
        assert_eq!((&*found.key, &*found.hostname), ("", "localhost"));
        let users = [("alice", "a b c"), ("bob", "pw")];
        assert_eq!(found.users, security(&users).users);
    }

    /// What a client answers that uses this key and user.
    fn ping(greeting: &Greeting, key: &str, user: &str, password: &str) -> Vec<u8> {
        let (hostname, salt) = (b"client", b"salt");
        let digest = key_digest(salt, hostname, greeting.nonce.as_bytes(), key.as_bytes());
        let auth = greeting.auth.as_bytes();
        let password = password_digest(auth, user.as_bytes(), password.as_bytes());
        let ping = Ping {
            hostname,
            salt,
            digest: digest.as_bytes(),
            user: user.as_bytes(),
            password: password.as_bytes(),
        };
        let mut out = Vec::new();
        ping.write(&mut out);
        out
    }

    #[test]
    fn a_peer_needs_the_key_and_one_of_the_users() {
        let security = security(&[("alice", "pw1"), ("bob", "pw2")]);
        for (key, user, password, expected) in [
            ("secret", "alice", "pw1", Ok(())),
            ("secret", "bob", "pw2", Ok(())),
            ("other", "alice", "pw1", Err(KEY_MISMATCH)),
            ("secret", "alice", "pw2", Err(USER_MISMATCH)),
            ("secret", "mallory", "pw1", Err(USER_MISMATCH)),
            ("secret", "", "", Err(USER_MISMATCH)),
        ] {
            let greeting = Greeting::new(&security);
            let mut out = Vec::new();
            let outcome = greeting.answer(&ping(&greeting, key, user, password), &mut out);
            match (expected, Pong::read(&out).unwrap()) {
                (Ok(()), Pong::Accepted { hostname, digest }) => {
                    assert_eq!((outcome, hostname), (Ok(()), &b"router"[..]));
                    assert!(greeting.digest(b"salt", b"router").is(digest));
                }
                (Err(expected), Pong::Refused { reason }) => {
                    assert_eq!(outcome, Err(Reject::Unauthorized));
                    assert_eq!(reason, expected.as_bytes());
                }
                (_, pong) => panic!("{user}: {pong:?}"),
            }
        }
    }

    #[test]
    fn a_ping_is_good_for_one_connection() {
        let security = security(&[]);
        let ping = ping(&Greeting::new(&security), "secret", "", "");
        let outcome = Greeting::new(&security).answer(&ping, &mut Vec::new());
        assert_eq!(outcome, Err(Reject::Unauthorized));
    }

    #[test]
    fn salts_are_text_and_without_users_none_is_asked_for() {
        let mut out = Vec::new();
        Greeting::new(&security(&[])).helo(&mut out);
        let helo = Helo::read(&out).unwrap();
        assert_eq!((helo.nonce.len(), helo.auth), (32, &b""[..]));
        assert!(helo.keepalive);
        out.clear();
        Greeting::new(&security(&[("a", "b")])).helo(&mut out);
        assert_eq!(Helo::read(&out).unwrap().auth.len(), 32);
    }
}
