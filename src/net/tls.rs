//! `tls.*`: whom to trust, who we are, which versions are spoken.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `tls.verify` | on | off: any certificate is taken |
//! | `tls.verify_hostname` | on | off: the certificate may be for another name |
//! | `tls.ca_file`, `tls.ca_path` | the system's | a PEM file, or a folder of them, of authorities to trust instead |
//! | `tls.crt_file`, `tls.key_file` | | our own certificate and its key, where the server asks for one |
//! | `tls.vhost` | the host | the name asked for, and verified |
//! | `tls.min_version`, `tls.max_version` | 1.2, 1.3 | |

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::verify::{AnyCertificate, AnyName};
use crate::config::Settings;

/// More files than any folder of authorities holds.
const FILES_MAX: usize = 4096;

/// The settings of TLS towards one kind of peer.
#[derive(Debug, Clone)]
pub struct Tls {
    verify: bool,
    verify_name: bool,
    /// `None` for the system's.
    roots: Option<Arc<RootCertStore>>,
    identity: Option<Arc<CertifiedKey>>,
    vhost: Option<ServerName<'static>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    made: OnceLock<Arc<ClientConfig>>,
}

/// Whom to trust, for those whose settings have other names, or whose files may come later than the configuration and change while it
/// runs.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Off: any certificate is taken.
    pub verify: bool,
    /// Off: the certificate may be for another name.
    pub verify_name: bool,
    /// A PEM file of authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A folder of them.
    pub ca_path: Option<PathBuf>,
    /// The name asked for, and verified.
    pub vhost: Option<ServerName<'static>>,
}

impl Trust {
    /// Reads the files as they are now.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(&self) -> Result<Tls, String> {
        let mut roots = RootCertStore::empty();
        if self.verify {
            if let Some(file) = &self.ca_file {
                add_file(&mut roots, file)?;
            }
            if let Some(folder) = &self.ca_path {
                add_folder(&mut roots, folder)?;
            }
        }
        Ok(Tls {
            verify: self.verify,
            verify_name: self.verify_name,
            roots: (!roots.is_empty()).then(|| Arc::new(roots)),
            vhost: self.vhost.clone(),
            ..Tls::default()
        })
    }
}

impl Default for Tls {
    /// The system's authorities, and no identity.
    fn default() -> Self {
        Self {
            verify: true,
            verify_name: true,
            roots: None,
            identity: None,
            vhost: None,
            versions: vec![&TLS13, &TLS12],
            made: OnceLock::new(),
        }
    }
}

/// The keys under which trust is configured.
struct Keys {
    verify: &'static str,
    verify_name: &'static str,
    ca_file: &'static str,
    ca_path: &'static str,
}

const OF_SERVER: Keys = Keys {
    verify: "tls.verify",
    verify_name: "tls.verify_hostname",
    ca_file: "tls.ca_file",
    ca_path: "tls.ca_path",
};
const OF_PROXY: Keys = Keys {
    verify: "tls.proxy.verify",
    verify_name: "tls.proxy.verify_hostname",
    ca_file: "tls.proxy.ca_file",
    ca_path: "tls.proxy.ca_path",
};

impl Tls {
    /// Reads `tls.*`; the files named are read and checked.
    pub fn read(settings: &mut Settings<'_>) -> Self {
        settings.accept(&["tls.debug", "tls.ciphers", "tls.verify_client_cert"]);
        if settings.text("tls.key_passwd").is_some() {
            let message = "encrypted keys are not supported: decrypt the key, as with `openssl pkey`, and protect its file";
            settings.error("tls.key_passwd", message);
        }
        Self {
            identity: identity(settings),
            vhost: vhost(settings),
            versions: versions(settings),
            ..Self::trusting(settings, &OF_SERVER)
        }
    }

    /// Reads `tls.proxy.*`, which a proxy reached by `https://` is verified by.
    pub(super) fn of_proxy(settings: &mut Settings<'_>) -> Self {
        Self::trusting(settings, &OF_PROXY)
    }

    fn trusting(settings: &mut Settings<'_>, keys: &Keys) -> Self {
        Self {
            verify: settings.flag(keys.verify, true),
            verify_name: settings.flag(keys.verify_name, true),
            roots: roots(settings, keys),
            ..Self::default()
        }
    }

    /// The name to ask a host for, and to verify.
    ///
    /// # Errors
    /// The host, where it is neither a name nor an address.
    pub(super) fn name_of(&self, host: &str) -> Result<ServerName<'static>, String> {
        match &self.vhost {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(host.to_owned()).map_err(|_| host.to_owned()),
        }
    }

    /// The configuration, made when it is first needed.
    ///
    /// # Errors
    /// What cannot be used of it.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(made) = self.made.get() {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(self.make()?);
        Ok(Arc::clone(self.made.get_or_init(|| made)))
    }

    fn make(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)?;
        let builder = if !self.verify {
            let verifier = Arc::new(AnyCertificate(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        } else if self.verify_name {
            builder.with_root_certificates(self.roots())
        } else {
            let verifier = chain_verifier(self.roots(), provider)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName(verifier)))
        };
        Ok(match &self.identity {
            Some(identity) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        })
    }

    fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone().unwrap_or_else(roots_of_system)
    }
}

fn chain_verifier(
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    WebPkiServerVerifier::builder_with_provider(roots, provider)
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

/// The roots of the system, or those built in where an image has none. Read once: a system has more than a hundred.
fn roots_of_system() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    });
    Arc::clone(roots)
}

fn roots(settings: &mut Settings<'_>, keys: &Keys) -> Option<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    let mut given = false;
    if let Some(file) = settings.text(keys.ca_file) {
        given = true;
        if let Err(error) = add_file(&mut roots, Path::new(&file)) {
            settings.error(keys.ca_file, error);
        }
    }
    if let Some(folder) = settings.text(keys.ca_path) {
        given = true;
        if let Err(error) = add_folder(&mut roots, Path::new(&folder)) {
            settings.error(keys.ca_path, error);
        }
    }
    given.then(|| Arc::new(roots))
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", file.display());
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.len() == before {
        return Err(wrong(&"it holds no certificate in PEM form"));
    }
    Ok(())
}

/// Adds what the files of a folder hold; those that hold nothing of the kind are passed over.
fn add_folder(roots: &mut RootCertStore, folder: &Path) -> Result<(), String> {
    let wrong =
        |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(|error| wrong(&error))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .take(FILES_MAX)
        .collect();
    files.sort();
    for file in files {
        let certificates = CertificateDer::pem_file_iter(&file).into_iter().flatten();
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    }
    if roots.is_empty() {
        return Err(wrong(&"no file in it holds a certificate in PEM form"));
    }
    Ok(())
}

fn identity(settings: &mut Settings<'_>) -> Option<Arc<CertifiedKey>> {
    let files = (settings.text("tls.crt_file"), settings.text("tls.key_file"));
    let (certificate, key) = match files {
        (None, None) => return None,
        (Some(certificate), Some(key)) => (certificate, key),
        (given, _) => {
            let key = if given.is_some() {
                "tls.crt_file"
            } else {
                "tls.key_file"
            };
            settings.error(
                key,
                "tls.crt_file and tls.key_file belong together; give both",
            );
            return None;
        }
    };
    let certificates = CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
    let chain: Vec<_> = match certificates {
        Ok(chain) => chain,
        Err(error) => {
            settings.error(
                "tls.crt_file",
                format!("cannot read {certificate}: {error}"),
            );
            return None;
        }
    };
    let secret = match PrivateKeyDer::from_pem_file(&key) {
        Ok(secret) => secret,
        Err(error) => {
            settings.error("tls.key_file", format!("cannot read {key}: {error}"));
            return None;
        }
    };
    match CertifiedKey::from_der(chain, secret, &ring::default_provider()) {
        Ok(identity) => Some(Arc::new(identity)),
        Err(error) => {
            let message = format!("{key} is no key for {certificate}: {error}");
            settings.error("tls.key_file", message);
            None
        }
    }
}

/// Reads `tls.vhost`.
pub fn vhost(settings: &mut Settings<'_>) -> Option<ServerName<'static>> {
    let name = settings.text("tls.vhost")?;
    let parsed = ServerName::try_from(name.clone()).ok();
    if parsed.is_none() {
        settings.error("tls.vhost", format!("`{name}` is no host name"));
    }
    parsed
}

/// From the least to the greatest version asked for, as far as they are spoken here: 1.0 and 1.1 are broken.
fn versions(settings: &mut Settings<'_>) -> Vec<&'static SupportedProtocolVersion> {
    const NAMES: [&str; 4] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
    let mut rank = |key| {
        let name = settings.choice(key, &NAMES)?;
        NAMES.iter().position(|known| *known == name)
    };
    let least = rank("tls.min_version").unwrap_or(0);
    let greatest = rank("tls.max_version").unwrap_or(3);
    let mut versions = Vec::new();
    if greatest >= 3 {
        versions.push(&TLS13);
    }
    if (..=2).contains(&least) && greatest >= 2 {
        versions.push(&TLS12);
    }
    if versions.is_empty() {
        let message = "leaves no version: TLSv1.2 and TLSv1.3 are spoken here";
        settings.error("tls.max_version", message);
        versions.push(&TLS13);
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;

    fn problems(properties: &[(&str, &str)]) -> String {
        configured(properties, Tls::read).1.concat()
    }

    /// A folder with a certificate, its key, and another key.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let other = rcgen::KeyPair::generate().unwrap();
        let write = |name, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        write("crt", made.cert.pem());
        write("key", made.signing_key.serialize_pem());
        write("other", other.serialize_pem());
        write("notes", "nothing".to_owned());
        folder
    }

    #[test]
    fn files_are_read_at_the_start_and_what_is_wrong_with_them_is_said() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for (properties, expected) in [
            (vec![("tls.ca_file", path("crt"))], ""),
            (vec![("tls.ca_path", path(""))], ""),
            (
                vec![("tls.crt_file", path("crt")), ("tls.key_file", path("key"))],
                "",
            ),
            (vec![("tls.ca_file", path("none"))], "cannot read"),
            (vec![("tls.ca_file", path("notes"))], "holds no certificate"),
            (vec![("tls.ca_path", path("none"))], "cannot read"),
            (vec![("tls.crt_file", path("crt"))], "belong together"),
            (
                vec![
                    ("tls.crt_file", path("crt")),
                    ("tls.key_file", path("notes")),
                ],
                "cannot read",
            ),
            (
                vec![
                    ("tls.crt_file", path("crt")),
                    ("tls.key_file", path("other")),
                ],
                "is no key for",
            ),
            (
                vec![("tls.key_passwd", "hunter2".to_owned())],
                "encrypted keys",
            ),
            (vec![("tls.vhost", "a b".to_owned())], "is no host name"),
        ] {
            let properties: Vec<_> = properties
                .iter()
                .map(|(key, value)| (*key, value.as_str()))
                .collect();
            let said = problems(&properties);
            assert_eq!(
                said.is_empty(),
                expected.is_empty(),
                "{properties:?}: {said}"
            );
            assert!(
                said.contains(expected) && !said.contains("hunter2"),
                "{said}"
            );
        }
    }

    #[test]
    fn versions_lie_between_those_asked_for() {
        let versions = |properties: &[(&str, &str)]| configured(properties, Tls::read).0.versions;
        assert_eq!(versions(&[]), [&TLS13, &TLS12]);
        assert_eq!(versions(&[("tls.min_version", "tlsv1.3")]), [&TLS13]);
        assert_eq!(
            versions(&[("tls.min_version", "TLSv1.1")]),
            [&TLS13, &TLS12]
        );
        assert_eq!(versions(&[("tls.max_version", "TLSv1.2")]), [&TLS12]);
        assert!(problems(&[("tls.max_version", "TLSv1.1")]).contains("leaves no version"));
    }

    #[test]
    fn every_way_to_verify_makes_a_configuration() {
        for properties in [
            &[][..],
            &[("tls.verify", "off")],
            &[("tls.verify_hostname", "off")],
        ] {
            let (tls, _) = configured(properties, Tls::read);
            assert!(tls.config().is_ok());
        }
    }
}
