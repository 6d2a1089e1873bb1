//! Inputs that speak TLS, from plain certificates to those of clients.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::support::{Frame, PATIENCE, Router, Running, ack, eventually};

/// Who signs the certificates of a test.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A certificate and its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn issue(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let certificate = certificate.der().clone();
        Identity { certificate, key }
    }

    fn path(&self, file: &str) -> String {
        let path: PathBuf = self.folder.path().join(file);
        path.to_str().unwrap().to_owned()
    }

    /// Writes what the server uses; each file is replaced at once.
    fn install(&self, identity: &Identity) {
        let pem = pem(&identity.certificate);
        for (file, text) in [("crt.pem", pem), ("key.pem", identity.key.serialize_pem())] {
            fs::write(self.path("new"), text).unwrap();
            fs::rename(self.path("new"), self.path(file)).unwrap();
        }
    }

    /// The settings of an input that uses what is installed.
    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("tls", "on".to_owned()),
            ("tls.crt_file", self.path("crt.pem")),
            ("tls.key_file", self.path("key.pem")),
        ]
    }

    /// A router with such an input.
    fn router(&self, more: &[(&'static str, String)]) -> Router {
        let all = [self.settings(), more.to_vec()].concat();
        let all: Vec<_> = all.iter().map(|(key, value)| (*key, &**value)).collect();
        Router::new().forward(&all).file("all.txt", &[])
    }

    fn start(&self, more: &[(&'static str, String)]) -> Running {
        self.install(&self.issue());
        self.router(more).start()
    }

    /// A client that trusts the authority.
    fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        own: Option<&Identity>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::try_from(own.key.serialize_der()).unwrap();
                let chain = vec![own.certificate.clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = base64_simd::STANDARD.encode_to_string(certificate);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let text = lines.join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(to: SocketAddr, config: ClientConfig) -> Tls {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = "localhost".try_into().unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(tls, stream)
}

/// Sends a frame and waits for its acknowledgement.
fn exchange(client: &mut Tls, id: &str) -> std::io::Result<()> {
    client.write_all(&Frame::new("app").log(id).chunk(id).bytes())?;
    let mut answer = vec![0; ack(id).len()];
    client.read_exact(&mut answer)?;
    assert_eq!(answer, ack(id));
    Ok(())
}

/// Checklist: forward 4.
#[test]
fn frames_and_acknowledgements_go_through_tls_of_either_version() {
    let authority = Authority::new();
    let router = authority.start(&[]);
    let long = "x".repeat(3_000_000);
    for version in [&TLS12, &TLS13] {
        let mut client = connect(router.forward(), authority.client(version, None));
        exchange(&mut client, "small").unwrap();
        let frames =
            (0..200).map(|number| Frame::new("app").log("x").chunk(&format!("{number:03}")));
        let bytes: Vec<_> = frames.flat_map(|frame| frame.bytes()).collect();
        client.write_all(&bytes).unwrap();
        for number in 0..200 {
            let expected = ack(&format!("{number:03}"));
            let mut answer = vec![0; expected.len()];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, expected);
        }
        client
            .write_all(&Frame::new("app").log(&long).chunk("long").bytes())
            .unwrap();
        let mut answer = vec![0; ack("long").len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ack("long"));
    }
    let taken = router.counter("sluice_input_records_total", "name=\"forward.0\"");
    assert_eq!(taken, 2 * 202);
}

/// Checklist: forward 4.
#[test]
fn a_peer_without_tls_is_closed_and_the_others_are_served() {
    let authority = Authority::new();
    let router = authority.start(&[]);
    let mut plain = router.connect();
    plain.send(&Frame::new("app").log("plain").chunk("plain"));
    let received = plain.read_to_end(Duration::from_secs(5)).unwrap();
    assert!(!received.windows(3).any(|bytes| bytes == b"ack"));
    router.process.says("a TLS handshake failed");
    let mut client = connect(router.forward(), authority.client(&TLS13, None));
    exchange(&mut client, "tls").unwrap();
    let rejected = "name=\"forward.0\",reason=\"tls\"";
    assert_eq!(router.counter("sluice_frames_rejected_total", rejected), 1);
}

/// Checklist: forward 5.
#[test]
fn a_certificate_of_the_client_is_needed_only_when_it_is_asked_for() {
    let authority = Authority::new();
    let ca = ("tls.ca_file", authority.path("ca.pem"));
    let open = authority.start(std::slice::from_ref(&ca));
    exchange(
        &mut connect(open.forward(), authority.client(&TLS13, None)),
        "open",
    )
    .unwrap();

    let asked = ("tls.verify_client_cert", "on".to_owned());
    let router = authority.start(&[ca, asked]);
    let (own, stranger) = (authority.issue(), Authority::new().issue());
    for version in [&TLS12, &TLS13] {
        let mut known = connect(router.forward(), authority.client(version, Some(&own)));
        exchange(&mut known, "known").unwrap();
        for other in [None, Some(&stranger)] {
            let mut client = connect(router.forward(), authority.client(version, other));
            assert!(exchange(&mut client, "unknown").is_err());
        }
    }
    let taken = router.counter("sluice_input_records_total", "name=\"forward.0\"");
    assert_eq!(taken, 2);
}

#[test]
fn a_changed_certificate_is_used_for_new_connections_and_old_ones_go_on() {
    let authority = Authority::new();
    let router = authority.start(&[]);
    let mut old = connect(router.forward(), authority.client(&TLS13, None));
    exchange(&mut old, "old").unwrap();
    let next = authority.issue();
    authority.install(&next);
    eventually(
        "the new certificate is used",
        || router.process.text(),
        || {
            let mut client = connect(router.forward(), authority.client(&TLS13, None));
            exchange(&mut client, "new").unwrap();
            let shown = client.conn.peer_certificates().unwrap();
            (shown[0] == next.certificate).then_some(())
        },
    );
    exchange(&mut old, "still").unwrap();

    fs::write(authority.path("key.pem"), "no key").unwrap();
    eventually(
        "the mistake is reported",
        || router.process.text(),
        || {
            let mut client = connect(router.forward(), authority.client(&TLS13, None));
            exchange(&mut client, "as before").unwrap();
            let text = router.process.text();
            text.contains("the certificate read before stays in use")
                .then_some(())
        },
    );
}

#[test]
fn the_authority_of_clients_can_be_changed_while_it_runs() {
    let authority = Authority::new();
    let [old, new] = [(); 2].map(|()| Authority::new());
    let install = |whose: &Authority| {
        fs::copy(whose.path("ca.pem"), authority.path("new")).unwrap();
        fs::rename(authority.path("new"), authority.path("clients.pem")).unwrap();
    };
    install(&old);
    let router = authority.start(&[
        ("tls.ca_file", authority.path("clients.pem")),
        ("tls.verify_client_cert", "on".to_owned()),
    ]);
    let comes_in = |own: &Identity| {
        let mut client = connect(router.forward(), authority.client(&TLS13, Some(own)));
        exchange(&mut client, "in").is_ok()
    };
    let (of_old, of_new) = (old.issue(), new.issue());
    let mut open = connect(router.forward(), authority.client(&TLS13, Some(&of_old)));
    exchange(&mut open, "open").unwrap();
    assert!(!comes_in(&of_new));
    install(&new);
    eventually(
        "the new authority counts",
        || router.process.text(),
        || comes_in(&of_new).then_some(()),
    );
    assert!(!comes_in(&of_old));
    exchange(&mut open, "still").unwrap();
}

#[test]
fn an_old_version_is_refused_where_a_newer_one_is_the_least() {
    let authority = Authority::new();
    let router = authority.start(&[("tls.min_version", "TLSv1.3".to_owned())]);
    let mut old = connect(router.forward(), authority.client(&TLS12, None));
    assert!(exchange(&mut old, "old").is_err());
    let mut new = connect(router.forward(), authority.client(&TLS13, None));
    exchange(&mut new, "new").unwrap();
}

#[test]
fn files_that_are_not_what_they_should_be_stop_the_start() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    fs::write(
        authority.path("key.pem"),
        authority.issue().key.serialize_pem(),
    )
    .unwrap();
    let cases = [
        (vec![], "tls.crt_file"),
        (
            vec![("tls.key_file", authority.path("crt.pem"))],
            "tls.key_file",
        ),
        (
            vec![("tls.verify_client_cert", "on".to_owned())],
            "needs `tls.ca_file`",
        ),
        (
            vec![("tls.max_version", "TLSv1.1".to_owned())],
            "nothing older",
        ),
        (
            vec![("tls.ciphers", "RC4".to_owned())],
            "ECDHE-RSA-AES128-GCM-SHA256",
        ),
    ];
    for (more, expected) in cases {
        let mut router = authority.router(&more).launch();
        assert_eq!(router.process.end().code(), Some(1), "{expected}");
        let text = router.process.text();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn lines_go_through_tls_too() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let settings = authority.settings();
    let mut all = vec![("Listen", "127.0.0.1"), ("Port", "0"), ("Format", "none")];
    all.extend(settings.iter().map(|(key, value)| (*key, &**value)));
    let router = Router::new()
        .section("INPUT", "tcp", &all)
        .file("all.txt", &[])
        .launch();
    let mut client = connect(router.address("tcp.0"), authority.client(&TLS13, None));
    client.write_all(b"a line\n").unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    eventually(
        "the line is written",
        || router.process.text(),
        || {
            let text = fs::read_to_string(router.path("all.txt")).ok()?;
            text.contains("a line").then_some(())
        },
    );
}
