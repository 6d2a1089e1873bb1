//! A certificate authority made for one run, and a server certificate for this machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Result};

/// Makes both certificates and writes the authority's as PEM to `ca_file`.
pub(super) fn acceptor(ca_file: Option<&Path>) -> Result<TlsAcceptor> {
    let (authority, chain, key) =
        certificates().map_err(|error| Error::Certificate(error.to_string()))?;
    if let Some(path) = ca_file {
        fs::write(path, authority).map_err(Error::io(format!("write {}", path.display())))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key).map_err(|error| Error::Certificate(error.to_owned()))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(rustls::ConfigBuilder::<ServerConfig, _>::with_no_client_auth)
        .and_then(|builder| builder.with_single_cert(vec![chain.into()], key))
        .map_err(|error| Error::Certificate(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The authority as PEM, the server's certificate and its key as DER.
fn certificates() -> std::result::Result<(String, Vec<u8>, Vec<u8>), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "sluice-bench authority");
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ])?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;
    Ok((
        authority_pem,
        certificate.der().to_vec(),
        server_key.serialize_der(),
    ))
}
