//! The shared-key handshake: what server and client say to each other before the first frame.
//!
//! ```text
//! server  ["HELO", {"nonce": N, "auth": A, "keepalive": bool}]
//! client  ["PING", client hostname, salt, digest, user, password digest]
//! server  ["PONG", true, "", server hostname, digest]     or ["PONG", false, reason, "", ""]
//! ```
//! Digests are SHA-512 in lower-case hex, over bytes one behind the other:
//!
//! | digest | over |
//! |---|---|
//! | of PING | salt, client hostname, N, shared key |
//! | of the password | A, user, password |
//! | of PONG | salt, server hostname, N, shared key |
//!
//! An empty A asks for no user; user and password digest are empty then. Everything that others send as text may come as bytes
//! instead, and the other way round; elements and options that are not named here are ignored. The messages are read from a
//! whole value, whose end [`Scanner`](crate::msgpack::scan::Scanner) finds; a caller bounds how long it may be
//! ([`MESSAGE_MAX`]).
//!
//! Specification: <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1.5#handshake-messages>

use std::fmt;

use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

use crate::msgpack::read::{self, Pairs, Value};
use crate::msgpack::write;

/// The longest message worth waiting for, in bytes; a PING has some hundred.
pub const MESSAGE_MAX: usize = 64 * 1024;

/// Why Fluentd refuses a PING that is none; others look for these words.
pub const INVALID_PING: &str = "invalid ping message";
/// Why Fluentd refuses another shared key.
pub const KEY_MISMATCH: &str = "shared_key mismatch";
/// Why Fluentd refuses a user or a password.
pub const USER_MISMATCH: &str = "username/password mismatch";

/// The name of the message that was expected and is not what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {0} message of the forward protocol")]
pub struct Malformed(&'static str);

/// The first message: what the client needs for its digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Helo<'a> {
    /// Random bytes of this connection, which every digest covers.
    pub nonce: &'a [u8],
    /// The salt of the password's digest; empty where no user is asked for.
    pub auth: &'a [u8],
    /// Whether more than one frame may follow on this connection.
    pub keepalive: bool,
}

impl<'a> Helo<'a> {
    /// Appends the message. Nonce and salt go as text, so they should be: some clients read text as UTF-8 and would compute
    /// another digest (see [`token`]).
    pub fn write(&self, out: &mut Vec<u8>) {
        write::array_header(out, 2);
        write::str(out, b"HELO");
        write::map_header(out, 3);
        write::str(out, b"nonce");
        write::str(out, self.nonce);
        write::str(out, b"auth");
        write::str(out, self.auth);
        write::str(out, b"keepalive");
        write::bool(out, self.keepalive);
    }

    /// Reads the message; no `auth` is an empty one, no `keepalive` is true.
    ///
    /// # Errors
    /// [`Malformed`] when it is another one, or has no nonce.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(bytes).ok_or(Malformed("HELO"))
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut elements = Elements::of(bytes, b"HELO", 2)?;
        let options = elements.raw()?;
        let (_, Value::Map(_)) = read::value(options).ok()? else {
            return None;
        };
        let (mut nonce, mut auth, mut keepalive) = (None, &[][..], true);
        for (key, value) in Pairs::of(options) {
            match read::text(key) {
                Some(b"nonce") => nonce = read::text(value),
                Some(b"auth") => auth = read::text(value)?,
                Some(b"keepalive") => {
                    keepalive = !matches!(read::value(value), Ok((_, Value::Bool(false))));
                }
                _ => {}
            }
        }
        nonce.map(|nonce| Self {
            nonce,
            auth,
            keepalive,
        })
    }
}

/// The second message: who the client is and that it knows the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping<'a> {
    /// What the client calls itself.
    pub hostname: &'a [u8],
    /// Random bytes that both digests of the key cover.
    pub salt: &'a [u8],
    /// See [`key_digest`].
    pub digest: &'a [u8],
    /// The user, or nothing.
    pub user: &'a [u8],
    /// See [`password_digest`]; nothing where no user is asked for.
    pub password: &'a [u8],
}

impl<'a> Ping<'a> {
    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::array_header(out, 6);
        write::str(out, b"PING");
        for text in [
            self.hostname,
            self.salt,
            self.digest,
            self.user,
            self.password,
        ] {
            write::str(out, text);
        }
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`Malformed`] when it is another one, or an element is missing or no text.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(bytes).ok_or(Malformed("PING"))
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut elements = Elements::of(bytes, b"PING", 6)?;
        Some(Self {
            hostname: elements.text()?,
            salt: elements.text()?,
            digest: elements.text()?,
            user: elements.text()?,
            password: elements.text()?,
        })
    }
}

/// The third message: whether the client may send, and that the server knows the key too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pong<'a> {
    /// Frames may follow.
    Accepted {
        /// What the server calls itself.
        hostname: &'a [u8],
        /// See [`key_digest`].
        digest: &'a [u8],
    },
    /// The server closes.
    Refused {
        /// Why, in its words.
        reason: &'a [u8],
    },
}

impl<'a> Pong<'a> {
    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (accepted, reason, hostname, digest) = match *self {
            Self::Accepted { hostname, digest } => (true, &[][..], hostname, digest),
            Self::Refused { reason } => (false, reason, &[][..], &[][..]),
        };
        write::array_header(out, 5);
        write::str(out, b"PONG");
        write::bool(out, accepted);
        for text in [reason, hostname, digest] {
            write::str(out, text);
        }
    }

    /// Reads the message.
    ///
    /// # Errors
    /// [`Malformed`] when it is another one, or an element is missing or of another type.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(bytes).ok_or(Malformed("PONG"))
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut elements = Elements::of(bytes, b"PONG", 5)?;
        let (_, Value::Bool(accepted)) = read::value(elements.raw()?).ok()? else {
            return None;
        };
        let reason = elements.text()?;
        let (hostname, digest) = (elements.text()?, elements.text()?);
        Some(if accepted {
            Self::Accepted { hostname, digest }
        } else {
            Self::Refused { reason }
        })
    }
}

/// The elements of a message behind its name.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Opens the message called `name`, which has at least so many elements, itself among them.
    fn of(bytes: &'a [u8], name: &[u8], least: u32) -> Option<Self> {
        let (rest, Value::Array(count)) = read::value(bytes).ok()? else {
            return None;
        };
        let mut elements = Self(rest);
        (count >= least && elements.text()? == name).then_some(elements)
    }

    fn raw(&mut self) -> Option<&'a [u8]> {
        let (rest, value) = read::raw(self.0).ok()?;
        self.0 = rest;
        Some(value)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        read::text(self.raw()?)
    }
}

/// A SHA-512 in lower-case hex: 128 bytes.
#[derive(Clone)]
pub struct Digest(String);

impl Digest {
    fn over(parts: &[&[u8]]) -> Self {
        const DIGITS: [char; 16] = [
            '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
        ];
        let mut hash = Sha512::new();
        for part in parts {
            hash.update(part);
        }
        let nibbles = hash
            .finalize()
            .into_iter()
            .flat_map(|byte| [byte >> 4, byte & 15]);
        Self(
            nibbles
                .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
                .collect(),
        )
    }

    /// As it goes over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether a peer sent the same. Takes the same time wherever the first difference is, so that nobody can feel their way.
    pub fn is(&self, other: &[u8]) -> bool {
        self.as_bytes().ct_eq(other).into()
    }
}

impl fmt::Debug for Digest {
    /// Shows nothing: with a digest a key can be guessed offline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// Proves that the one called `hostname`, server or client, knows the key.
pub fn key_digest(salt: &[u8], hostname: &[u8], nonce: &[u8], key: &[u8]) -> Digest {
    Digest::over(&[salt, hostname, nonce, key])
}

/// Proves that a client knows the password of a user.
pub fn password_digest(auth: &[u8], user: &[u8], password: &[u8]) -> Digest {
    Digest::over(&[auth, user, password])
}

/// A new nonce or salt: 32 hex characters, 122 random bits of the system's generator. Text, so that every decoder hands over the
/// same bytes.
pub fn token() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &[u8] = b"0123456789abcdef";
    const SALT: &[u8] = b"saltsaltsaltsalt";

    /// The worked example of the protocol's reference.
    ///
    /// Checklist: forward 43.
    #[test]
    fn digests_cover_their_parts_in_the_order_others_do() {
        let cases = [
            (
                key_digest(SALT, b"client.local", NONCE, b"secret"),
                "75cf078333fda5437588ea6c0bcaa1d8e6dda672107cfbf7a11c1519732e8a1f5ad8181a7ca4dbb2e7a18160ee9ea7802ba2a8b089f41bd92e8b768948188a01",
            ),
            (
                password_digest(b"fedcba9876543210", b"alice", b"pw1"),
                "f5d20160a0220f1c21f29f3260e607bdcc5d4d5e26b9bf74249e9f6670c52e0c633d3f91dcb3de90ef9b280506e2b3cd94ea3b0768270878bc596858b81b64f7",
            ),
            (
                key_digest(SALT, b"router.local", NONCE, b"secret"),
                "298a94761f4583a4c586333747e6eda3d1b8f1a60f1030b4c4ca3d75dfe27f4ccae982833b5e0b132a1d7d0034ba77a314484f38463524184f7563f7e0c10ae0",
            ),
        ];
        for (digest, expected) in cases {
            assert_eq!(digest.as_bytes(), expected.as_bytes());
            assert!(digest.is(expected.as_bytes()));
            assert!(!digest.is(&expected.as_bytes()[..127]));
            assert!(!digest.is(expected.to_uppercase().as_bytes()));
        }
    }

    #[test]
    fn messages_read_back_as_written() {
        let mut out = Vec::new();
        let helo = Helo {
            nonce: NONCE,
            auth: b"",
            keepalive: false,
        };
        helo.write(&mut out);
        assert_eq!(Helo::read(&out), Ok(helo));
        let ping = Ping {
            hostname: b"client",
            salt: SALT,
            digest: b"d",
            user: b"alice",
            password: b"p",
        };
        out.clear();
        ping.write(&mut out);
        assert_eq!(Ping::read(&out), Ok(ping));
        for pong in [
            Pong::Accepted {
                hostname: b"router",
                digest: b"d",
            },
            Pong::Refused {
                reason: KEY_MISMATCH.as_bytes(),
            },
        ] {
            out.clear();
            pong.write(&mut out);
            assert_eq!(Pong::read(&out), Ok(pong));
        }
    }

    /// Checklist: forward 60.
    #[test]
    fn a_helo_may_have_bytes_for_text_more_options_and_no_keepalive() {
        let helo = b"\x93\xc4\x04HELO\x83\xa5nonce\xc4\x01\xff\xa4auth\xc4\x01\xfe\xa1x\x90\xc0";
        let expected = Helo {
            nonce: &[0xff],
            auth: &[0xfe],
            keepalive: true,
        };
        assert_eq!(Helo::read(helo), Ok(expected));
        for bad in [
            &b"\x92\xa4HELO\x80"[..],
            b"\x92\xa4HELO\xc0",
            b"\x91\xa4HELO",
            b"\x92\xa4HOLA\x81\xa5nonce\xa1x",
            b"\x92\xa4HELO\x81\xa5nonce\x05",
        ] {
            assert_eq!(Helo::read(bad), Err(Malformed("HELO")));
        }
    }

    #[test]
    fn a_ping_with_too_few_elements_or_of_other_types_is_none() {
        for bad in [
            &b"\x95\xa4PING\xa1h\xa1s\xa1d\xa0"[..],
            b"\x96\xa4PING\x01\x02\x03\x04\x05",
            b"\x96\xa4PONG\xa1h\xa1s\xa1d\xa0\xa0",
            b"\x96\xa4PING\xa1h\xa1s\xa1d\xa0\xc0",
            b"\x96\xa4PING\xa1h\xa1s",
            b"",
        ] {
            assert_eq!(Ping::read(bad), Err(Malformed("PING")));
        }
    }

    #[test]
    fn tokens_are_text_and_differ() {
        let (one, other) = (token(), token());
        assert_ne!(one, other);
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _outcome = (Helo::read(&bytes), Ping::read(&bytes), Pong::read(&bytes));
        }
    }
}
