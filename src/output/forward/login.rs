//! The handshake, as the client: proves that we know the key, and has the server prove it too.
//!
//! A server that calls itself what we call ourselves could send our own proof back to us. So it is not believed then; and because
//! both are called `localhost` where nobody says otherwise, we come again under another name.

use crate::config::Settings;
use crate::forward::handshake::{self, Helo, MESSAGE_MAX, Ping, Pong};
use crate::output::net::Stream;

use super::messages::Messages;
use tokio::io::AsyncWriteExt as _;

/// What Fluent Bit calls itself.
const HOSTNAME: &str = "localhost";
/// So much of a server's reason goes into our log.
const SHOWN_MAX: usize = 200;

/// What is needed to be let in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    key: String,
    user: String,
    password: String,
    hostname: Option<String>,
}

impl std::fmt::Debug for Login {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({:?})", self.hostname)
    }
}

/// Why we are not let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwelcome {
    /// The handshake goes wrong.
    #[error("{0}")]
    Refused(String),
    /// The server has our name.
    #[error("calls itself what we call ourselves, so it need not know the key; set self_hostname")]
    SameName,
}

impl Login {
    /// Reads the settings; what is not set is as in `base`.
    pub(super) fn read(settings: &mut Settings<'_>, base: Option<&Self>) -> Option<Self> {
        let key = settings.text("shared_key");
        let is_empty = settings.flag("empty_shared_key", false);
        let user = settings.text("username");
        let password = settings.text("password");
        let hostname = settings.text("self_hostname");
        let base_key = base.map(|base| base.key.clone());
        let Some(key) = key.or_else(|| is_empty.then(String::new)).or(base_key) else {
            if user.is_some() || password.is_some() {
                let given = if user.is_some() {
                    "username"
                } else {
                    "password"
                };
                settings.error(given, "needs shared_key, or empty_shared_key on");
            }
            return None;
        };
        let inherited = |part: fn(&Self) -> String| base.map(part);
        Some(Self {
            key,
            user: user
                .or(inherited(|base| base.user.clone()))
                .unwrap_or_default(),
            password: password
                .or(inherited(|base| base.password.clone()))
                .unwrap_or_default(),
            hostname: hostname.or_else(|| base?.hostname.clone()),
        })
    }

    /// The names to come under, one after the other.
    pub(super) fn names(&self) -> Vec<String> {
        match &self.hostname {
            Some(name) => vec![name.clone()],
            None => vec![HOSTNAME.to_owned(), handshake::token()],
        }
    }

    /// Logs in over a fresh connection, under this name; whether it takes more than one frame. The caller sets the deadline.
    ///
    /// # Errors
    /// See [`Unwelcome`].
    pub(super) async fn greet(
        &self,
        name: &str,
        stream: &mut Stream,
        messages: &mut Messages,
    ) -> Result<bool, Unwelcome> {
        let refused = |why: &dyn std::fmt::Display| Unwelcome::Refused(why.to_string());
        let bytes = messages
            .next(stream, MESSAGE_MAX)
            .await
            .map_err(|silence| {
                Unwelcome::Refused(format!(
                    "does not ask for a shared key as it should: {silence}"
                ))
            })?;
        let helo = Helo::read(&bytes).map_err(|other| refused(&format!("says what is {other}")))?;
        let salt = handshake::token();
        let ping = self.ping(name, &salt, &helo);
        let written = async {
            stream.write_all(&ping).await?;
            stream.flush().await
        };
        written
            .await
            .map_err(|error| refused(&format!("does not let us in: {error}")))?;
        let pong = messages
            .next(stream, MESSAGE_MAX)
            .await
            .map_err(|silence| {
                refused(&format!(
                    "does not let us in, perhaps for another shared_key: {silence}"
                ))
            })?;
        self.verify(name, &salt, &helo, &pong)?;
        Ok(helo.keepalive)
    }

    fn ping(&self, name: &str, salt: &str, helo: &Helo<'_>) -> Vec<u8> {
        let (key, user, password) = (
            self.key.as_bytes(),
            self.user.as_bytes(),
            self.password.as_bytes(),
        );
        let digest = handshake::key_digest(salt.as_bytes(), name.as_bytes(), helo.nonce, key);
        let is_asked = !helo.auth.is_empty();
        let password = is_asked.then(|| handshake::password_digest(helo.auth, user, password));
        let mut out = Vec::new();
        Ping {
            hostname: name.as_bytes(),
            salt: salt.as_bytes(),
            digest: digest.as_bytes(),
            user: if is_asked { user } else { &[] },
            password: password.as_ref().map_or(&[], |digest| digest.as_bytes()),
        }
        .write(&mut out);
        out
    }

    fn verify(
        &self,
        name: &str,
        salt: &str,
        helo: &Helo<'_>,
        pong: &[u8],
    ) -> Result<(), Unwelcome> {
        match Pong::read(pong) {
            Err(other) => Err(Unwelcome::Refused(format!("says what is {other}"))),
            Ok(Pong::Refused { reason }) => {
                let reason = reason.get(..SHOWN_MAX).unwrap_or(reason).escape_ascii();
                Err(Unwelcome::Refused(format!("does not let us in: {reason}")))
            }
            Ok(Pong::Accepted { hostname, .. }) if hostname == name.as_bytes() => {
                Err(Unwelcome::SameName)
            }
            Ok(Pong::Accepted { hostname, digest }) => {
                let key = self.key.as_bytes();
                let expected = handshake::key_digest(salt.as_bytes(), hostname, helo.nonce, key);
                let is_right = expected.is(digest);
                let wrong = || Unwelcome::Refused("does not know the shared key".to_owned());
                is_right.then_some(()).ok_or_else(wrong)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::forward::handshake::{key_digest, password_digest};

    const HELO: Helo<'static> = Helo {
        nonce: b"nonce",
        auth: b"auth",
        keepalive: true,
    };

    fn login(properties: &[(&str, &str)]) -> (Option<Login>, String) {
        let (login, problems) = configured(properties, |settings| Login::read(settings, None));
        (login, problems.concat())
    }

    fn known() -> Login {
        let properties = [("shared_key", "k"), ("username", "u"), ("password", "p")];
        login(&properties).0.unwrap()
    }

    #[test]
    fn credentials_need_a_key_which_may_be_empty() {
        assert_eq!(login(&[]).0, None);
        for given in ["username", "password"] {
            let (_, said) = login(&[(given, "hunter2")]);
            assert!(
                said.contains("needs shared_key") && !said.contains("hunter2"),
                "{said}"
            );
        }
        let (empty, said) = login(&[("empty_shared_key", "on"), ("username", "u")]);
        assert_eq!(
            (empty.map(|login| login.key), said.as_str()),
            (Some(String::new()), "")
        );
        assert!(!format!("{:?}", known()).contains('p'));
    }

    #[test]
    fn what_a_node_does_not_say_is_as_in_its_output() {
        let base = known();
        let read = |settings: &mut Settings<'_>| Login::read(settings, Some(&base));
        let (node, _) = configured(&[("password", "other")], read);
        let expected = Login {
            password: "other".to_owned(),
            ..known()
        };
        assert_eq!(node, Some(expected));
    }

    #[test]
    fn the_password_is_proved_where_a_user_is_asked_for() {
        let ping = known().ping("me", "salt", &HELO);
        let ping = Ping::read(&ping).unwrap();
        assert!(key_digest(b"salt", b"me", b"nonce", b"k").is(ping.digest));
        assert_eq!(ping.user, b"u");
        assert!(password_digest(b"auth", b"u", b"p").is(ping.password));
        let nobody = Helo { auth: b"", ..HELO };
        let ping = known().ping("me", "salt", &nobody);
        let ping = Ping::read(&ping).unwrap();
        assert_eq!((ping.user, ping.password), (&b""[..], &b""[..]));
    }

    /// Checklist: forward 60.
    #[test]
    fn a_server_has_to_prove_the_key_under_a_name_of_its_own() {
        let verify = |hostname: &str, key: &str| {
            let digest = key_digest(b"salt", hostname.as_bytes(), b"nonce", key.as_bytes());
            let mut pong = Vec::new();
            Pong::Accepted {
                hostname: hostname.as_bytes(),
                digest: digest.as_bytes(),
            }
            .write(&mut pong);
            known().verify("me", "salt", &HELO, &pong)
        };
        assert_eq!(verify("server", "k"), Ok(()));
        assert_eq!(verify("me", "k"), Err(Unwelcome::SameName));
        let said = verify("server", "x").unwrap_err().to_string();
        assert_eq!(said, "does not know the shared key");
        let mut refused = Vec::new();
        Pong::Refused {
            reason: b"no\x1b[1m",
        }
        .write(&mut refused);
        let said = known().verify("me", "salt", &HELO, &refused).unwrap_err();
        assert_eq!(said.to_string(), "does not let us in: no\\x1b[1m");
    }
}
