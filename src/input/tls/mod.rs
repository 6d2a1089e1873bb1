//! TLS on inputs.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `tls` | off | the port speaks TLS from the first byte |
//! | `tls.crt_file`, `tls.key_file` | | certificate chain and key, PEM; read again when they change |
//! | `tls.verify_client_cert` | off | peers need a certificate that one of the CAs has signed |
//! | `tls.ca_file`, `tls.ca_path` | | the CAs of peers: a file, a folder of files |
//! | `tls.verify` | on | off: certificates of peers are not asked for |
//! | `tls.min_version`, `tls.max_version` | `TLSv1.2`, `TLSv1.3` | the versions spoken |
//! | `tls.ciphers` | all | those of TLS 1.2, as OpenSSL calls them |

mod files;
mod session;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::time::Instant;

pub(super) use self::session::Session;

use self::files::{Files, Stamp};
use super::listen::{Socket, Stream};
use super::net::Net;
use super::{Context, Phase, reached};
use crate::config::Settings;
use crate::telemetry::log::Limiter;

/// The least time between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// Makes a stream of a socket, through TLS where that is configured; nothing when the handshake fails.
pub(super) async fn accept(tls: Option<&Tls>, socket: Socket, context: &Context) -> Option<Stream> {
    match tls {
        None => Some(Stream::Plain(socket)),
        // Boxed, so that a connection without TLS does not keep room for a handshake.
        Some(tls) => Box::pin(tls.accept(socket, context)).await,
    }
}

/// What an input needs to speak TLS.
pub(super) struct Tls {
    files: Files,
    net: Net,
    state: Mutex<State>,
    failed: Limiter,
}

/// What was last read.
struct State {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    looked: Instant,
}

impl Tls {
    /// Reads the settings and the files; nothing when TLS is off or something is wrong, which is reported.
    pub(super) fn read(settings: &mut Settings<'_>, net: Net) -> Option<Arc<Self>> {
        let is_on = settings.flag("tls", false);
        let files = Files::read(settings, is_on);
        if !is_on {
            return None;
        }
        let files = files?;
        let stamp = files.stamp();
        match files.load() {
            Ok(config) => Some(Arc::new(Self {
                files,
                net,
                state: Mutex::new(State {
                    config,
                    stamp,
                    looked: Instant::now(),
                }),
                failed: Limiter::default(),
            })),
            Err(error) => {
                settings.error(error.key, error.message);
                None
            }
        }
    }

    /// Does the handshake with a peer; nothing when that fails, which is logged and counted, or when the process ends.
    async fn accept(&self, socket: Socket, context: &Context) -> Option<Stream> {
        let component = context.component();
        let mut phase = context.phase.clone();
        let open = async {
            // No memory, no handshake: the peer waits as others do.
            let permit = context.budget.reader().permit(session::ROOM).await;
            let opened = Session::open(socket, self.config(&component), permit);
            tokio::time::timeout(self.net.accept_timeout, opened).await
        };
        let opened = tokio::select! {
            opened = open => opened,
            () = reached(&mut phase, Phase::Close) => return None,
        };
        let error = match opened {
            Ok(Ok(session)) => return Some(Stream::Tls(Box::new(session))),
            Ok(Err(error)) => error,
            Err(_) => io::Error::other("it took too long"),
        };
        if error.kind() == io::ErrorKind::UnexpectedEof {
            // A health check, most likely.
            crate::debug!(
                &component,
                "a peer closed before its TLS handshake was over"
            );
            return None;
        }
        if let Some(before) = self.failed.admit() {
            crate::warning!(&component, "a TLS handshake failed: {error}{before}");
        }
        metrics::counter!("sluice_frames_rejected_total", "name" => context.name.to_string(), "reason" => "tls")
            .increment(1);
        None
    }

    /// The configuration for a new connection, read again where the files have changed. What cannot be read leaves the one
    /// before in use.
    fn config(&self, component: &str) -> Arc<ServerConfig> {
        let mut state = self.state();
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            let stamp = self.files.stamp();
            if stamp != state.stamp {
                state.stamp = stamp;
                match self.files.load() {
                    Ok(config) => {
                        state.config = config;
                        crate::info!(component, "read the changed certificate");
                    }
                    Err(error) => {
                        let (key, message) = (error.key, error.message);
                        crate::error!(
                            component,
                            "{key}: {message}; the certificate read before stays in use"
                        );
                    }
                }
            }
        }
        Arc::clone(&state.config)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::testing::Keeper;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_go_on_with_its_handshake_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (crt, key) = (folder.path().join("crt"), folder.path().join("key"));
        std::fs::write(&crt, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let properties = [
            ("tls", "on"),
            ("tls.crt_file", crt.to_str().unwrap()),
            ("tls.key_file", key.to_str().unwrap()),
        ];
        let (tls, problems) =
            configured(&properties, |settings| Tls::read(settings, Net::default()));
        assert_eq!(problems, [""; 0]);
        let (context, _phase) = Keeper::default().context(1 << 20);
        let (mut peer, socket) = UnixStream::pair().unwrap();
        let begun = Instant::now();
        let accepted = accept(tls.as_deref(), Socket::unix(socket, None), &context).await;
        assert!(accepted.is_none());
        assert_eq!(begun.elapsed().as_secs(), 10);
        let mut farewell = Vec::new();
        peer.read_to_end(&mut farewell).await.unwrap();
        assert_eq!(farewell.first(), Some(&21), "an alert and nothing else");
        assert_eq!(context.budget.used(), 0);
    }
}
