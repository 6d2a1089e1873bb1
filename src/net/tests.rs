use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Dialer, Net, Tls, secure, with_causes};
use crate::config::testing::configured;

/// A certificate for `a.test` in files, and what else a peer may need.
struct Identity {
    made: CertifiedKey<KeyPair>,
    folder: tempfile::TempDir,
}

impl Identity {
    fn new() -> Self {
        let made = generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("crt"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key"), made.signing_key.serialize_pem()).unwrap();
        Self { made, folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A server with this identity, that asks clients for one it knows, or for none.
    fn acceptor(&self, client: Option<&Self>) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match client {
            Some(client) => {
                let mut roots = RootCertStore::empty();
                roots.add(client.made.cert.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::try_from(self.made.signing_key.serialize_der()).unwrap();
        let chain = vec![self.made.cert.der().clone()];
        Arc::new(builder.with_single_cert(chain, key).unwrap()).into()
    }
}

/// Speaks TLS to the server as `localhost`; what it has to say, or why there is none.
async fn heard(acceptor: &TlsAcceptor, properties: &[(&str, &str)]) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tls, problems) = configured(properties, Tls::read);
    assert_eq!(problems, [""; 0]);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    };
    let dialer = Dialer::new(Net::default());
    let connect = async {
        let stream = dialer.tcp("127.0.0.1", port).await.unwrap();
        let mut stream = secure(stream, &tls, "localhost", port)
            .await
            .map_err(|error| with_causes(&error))?;
        let mut text = String::new();
        let read = stream.read_to_string(&mut text).await;
        read.map(|_| text).map_err(|error| error.to_string())
    };
    tokio::join!(serve, connect).1
}

/// Checklist: outputs 5
#[tokio::test]
async fn a_certificate_has_to_be_trusted_and_for_the_name_unless_configured_otherwise() {
    let (server, stranger) = (Identity::new(), Identity::new());
    let acceptor = server.acceptor(None);
    let (own, other) = (server.file("crt"), stranger.file("crt"));
    for (properties, expected) in [
        (&[("tls.ca_file", &*own)][..], Err("not valid for name")),
        (
            &[("tls.ca_file", &own), ("tls.verify_hostname", "off")],
            Ok(()),
        ),
        (&[("tls.ca_file", &own), ("tls.vhost", "a.test")], Ok(())),
        (
            &[("tls.ca_file", &other), ("tls.verify_hostname", "off")],
            Err("certificate"),
        ),
        (
            &[("tls.ca_file", &other), ("tls.vhost", "a.test")],
            Err("certificate"),
        ),
        (&[("tls.verify", "off")], Ok(())),
        (
            &[("tls.verify", "off"), ("tls.max_version", "TLSv1.2")],
            Ok(()),
        ),
        (
            &[
                ("tls.ca_file", &own),
                ("tls.vhost", "a.test"),
                ("tls.max_version", "TLSv1.2"),
            ],
            Ok(()),
        ),
    ] {
        match (heard(&acceptor, properties).await, expected) {
            (Ok(text), Ok(())) => assert_eq!(text, "hello"),
            (Err(said), Err(words)) => assert!(said.contains(words), "{properties:?}: {said}"),
            (outcome, _) => panic!("{properties:?}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_asks_for_our_certificate_gets_it() {
    let (server, client) = (Identity::new(), Identity::new());
    let acceptor = server.acceptor(Some(&client));
    let (certificate, key) = (client.file("crt"), client.file("key"));
    let verify = ("tls.verify", "off");
    let with = [
        verify,
        ("tls.crt_file", &*certificate),
        ("tls.key_file", &*key),
    ];
    assert_eq!(heard(&acceptor, &with).await.as_deref(), Ok("hello"));
    assert!(heard(&acceptor, &[verify]).await.is_err());
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up() {
    let (net, _) = configured(&[("net.connect_timeout", "1")], |settings| {
        Net::read(settings, Duration::from_secs(1))
    });
    let dialer = Dialer::new(net);
    let silence = std::future::pending::<Result<(), super::DialError>>();
    let error = dialer.in_time("a.test:1", silence).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection to a.test:1 within 1 s");
}
