//! From files and settings to a configuration of rustls.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::config::Settings;

/// The versions as OpenSSL calls them, oldest first. Those before 1.2 are not spoken any more.
const VERSIONS: [&str; 6] = ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
const FIRST_SPOKEN: usize = 4;

/// What OpenSSL calls the cipher suites of TLS 1.2 that we have, and their numbers.
const CIPHERS: [(&str, u16); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9),
    ("ECDHE-RSA-AES256-GCM-SHA384", 0xc030),
    ("ECDHE-RSA-AES128-GCM-SHA256", 0xc02f),
    ("ECDHE-RSA-CHACHA20-POLY1305", 0xcca8),
];

/// What a section says about TLS.
#[derive(Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// The CAs of clients; nothing where no certificate is asked for.
    authorities: Option<Authorities>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// The numbers of suites; nothing for all.
    ciphers: Option<Vec<u16>>,
}

/// Where the CAs of clients are.
#[derive(Debug)]
struct Authorities {
    file: Option<PathBuf>,
    folder: Option<PathBuf>,
}

/// What is wrong with which setting.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The setting.
    pub(super) key: &'static str,
    /// What is wrong.
    pub(super) message: String,
}

fn wrong(key: &'static str, path: &Path, error: &dyn std::fmt::Display) -> Wrong {
    let message = format!("{}: {error}", path.display());
    Wrong { key, message }
}

/// By which a change of the files is known: of each its time, size and number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(Option<SystemTime>, u64, u64)>>);

impl Files {
    /// Reads the settings. Mistakes are reported whether or not TLS is on; without certificate or key there is nothing.
    pub(super) fn read(settings: &mut Settings<'_>, is_on: bool) -> Option<Self> {
        let certificate = path(settings, "tls.crt_file");
        let key = path(settings, "tls.key_file");
        if settings.text("tls.key_passwd").is_some() {
            settings.error(
                "tls.key_passwd",
                "keys with a password are not supported; write the key without one: openssl pkey -in KEY -out NEW",
            );
        }
        let authorities = Authorities::read(settings);
        let versions = versions(settings);
        let ciphers = ciphers(settings);
        settings.accept(&["tls.debug", "tls.vhost", "tls.verify_hostname"]);
        if is_on {
            for (key, path) in [("tls.crt_file", &certificate), ("tls.key_file", &key)] {
                if path.is_none() {
                    settings.error(key, "missing or empty; TLS on an input needs it");
                }
            }
        }
        Some(Self {
            certificate: certificate?,
            key: key?,
            authorities,
            versions,
            ciphers,
        })
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Which setting names a file that is not what it should be.
    pub(super) fn load(&self) -> Result<Arc<ServerConfig>, Wrong> {
        let mut chain = Vec::new();
        certificates("tls.crt_file", &self.certificate, |certificate| {
            chain.push(certificate);
            Ok(())
        })?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| wrong("tls.key_file", &self.key, &error))?;
        let mut provider = ring::default_provider();
        if let Some(ciphers) = &self.ciphers {
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || ciphers.contains(&suite.suite().into()));
        }
        let provider = Arc::new(provider);
        let other = |error: rustls::Error| wrong("tls.crt_file", &self.certificate, &error);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .map_err(other)?
            .with_client_cert_verifier(self.verifier(provider)?)
            .with_single_cert(chain, key)
            .map_err(other)?;
        if self.authorities.is_some() {
            // A resumed session would let a peer in whose certificate is no longer good.
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, Wrong> {
        let Some(authorities) = &self.authorities else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let (key, path) = authorities.place();
        let roots = Arc::new(authorities.load()?);
        WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| wrong(key, path, &error))
    }

    /// What the files look like now.
    pub(super) fn stamp(&self) -> Stamp {
        use std::os::unix::fs::MetadataExt as _;
        let authorities = self.authorities.iter();
        let more = authorities.flat_map(|them| them.file.iter().chain(&them.folder));
        let files = [&self.certificate, &self.key].into_iter().chain(more);
        let of = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok(), metadata.len(), metadata.ino()))
        };
        Stamp(files.map(of).collect())
    }
}

impl Authorities {
    /// Nothing where peers need no certificate.
    fn read(settings: &mut Settings<'_>) -> Option<Self> {
        let verify = settings.flag("tls.verify", true);
        let is_asked = settings.flag("tls.verify_client_cert", false);
        let file = path(settings, "tls.ca_file");
        let folder = path(settings, "tls.ca_path");
        if !is_asked {
            return None;
        }
        if !verify {
            settings.warning(
                "tls.verify_client_cert",
                "has no effect beside `tls.verify off`: peers need no certificate",
            );
            return None;
        }
        if file.is_none() && folder.is_none() {
            settings.error(
                "tls.verify_client_cert",
                "needs `tls.ca_file` or `tls.ca_path`: whose certificates shall be good?",
            );
            return None;
        }
        Some(Self { file, folder })
    }

    /// The setting to blame, and what it names.
    fn place(&self) -> (&'static str, &Path) {
        match (&self.file, &self.folder) {
            (Some(file), _) => ("tls.ca_file", file),
            (None, Some(folder)) => ("tls.ca_path", folder),
            (None, None) => ("tls.ca_file", Path::new("")),
        }
    }

    fn load(&self) -> Result<RootCertStore, Wrong> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.file {
            certificates("tls.ca_file", file, |certificate| roots.add(certificate))?;
        }
        if let Some(folder) = &self.folder {
            let entries =
                fs::read_dir(folder).map_err(|error| wrong("tls.ca_path", folder, &error))?;
            for entry in entries.filter_map(Result::ok) {
                // A folder of OpenSSL's holds other things too.
                let found = CertificateDer::pem_file_iter(entry.path());
                let found = found.into_iter().flatten().filter_map(Result::ok);
                roots.add_parsable_certificates(found);
            }
        }
        if roots.is_empty() {
            let (key, path) = self.place();
            return Err(wrong(key, path, &"no certificate in PEM form there"));
        }
        Ok(roots)
    }
}

/// Takes every certificate of a file, of which there has to be one.
fn certificates(
    key: &'static str,
    file: &Path,
    mut take: impl FnMut(CertificateDer<'static>) -> Result<(), rustls::Error>,
) -> Result<(), Wrong> {
    let mut count = 0;
    let found = CertificateDer::pem_file_iter(file).map_err(|error| wrong(key, file, &error))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| wrong(key, file, &error))?;
        take(certificate).map_err(|error| wrong(key, file, &error))?;
        count += 1;
    }
    if count == 0 {
        return Err(wrong(key, file, &"holds no certificate in PEM form"));
    }
    Ok(())
}

/// A file or folder that can be read.
fn path(settings: &mut Settings<'_>, key: &'static str) -> Option<PathBuf> {
    let path = settings.text(key)?;
    if let Err(error) = fs::File::open(&path) {
        settings.error(key, format!("cannot read {path}: {error}"));
        return None;
    }
    Some(path.into())
}

fn versions(settings: &mut Settings<'_>) -> Vec<&'static SupportedProtocolVersion> {
    let mut place = |key| {
        let version = settings.choice(key, &VERSIONS)?;
        VERSIONS.iter().position(|known| *known == version)
    };
    let least = place("tls.min_version").unwrap_or_default();
    let most = place("tls.max_version").unwrap_or(VERSIONS.len() - 1);
    let spoken: Vec<_> = [(4, &TLS12), (5, &TLS13)]
        .into_iter()
        .filter(|(place, _)| (least..=most).contains(place))
        .map(|(_, version)| version)
        .collect();
    if most < FIRST_SPOKEN {
        settings.error(
            "tls.max_version",
            "TLSv1.2 and TLSv1.3 are spoken, nothing older",
        );
    } else if spoken.is_empty() {
        settings.error("tls.min_version", "is above `tls.max_version`");
    }
    spoken
}

fn ciphers(settings: &mut Settings<'_>) -> Option<Vec<u16>> {
    let text = settings.text("tls.ciphers")?;
    let names = text.split([':', ',', ' ']).filter(|name| !name.is_empty());
    let number = |name: &str| {
        let known = CIPHERS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(known.1)
    };
    let numbers: Vec<u16> = names.filter_map(number).collect();
    if numbers.is_empty() {
        let known = CIPHERS.map(|(name, _)| name).join(", ");
        settings.error("tls.ciphers", format!("names none of {known}"));
    }
    Some(numbers)
}
