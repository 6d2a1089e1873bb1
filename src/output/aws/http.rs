//! HTTP/1.1 with keep-alive over rustls: one connection pool for each output.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector as SmithyConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::Settings;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Services close idle connections after 20 to 60 seconds; leaving first avoids a request on a dead one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How to reach a service.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    verify: bool,
    ca_file: Option<String>,
}

impl Transport {
    /// Reads `tls.verify` and `tls.ca_file`.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let ca_file = settings.text("tls.ca_file");
        if let Some(file) = &ca_file
            && let Err(error) = std::fs::File::open(file)
        {
            settings.error("tls.ca_file", format!("cannot read {file}: {error}"));
        }
        for key in ["tls.crt_file", "tls.key_file", "tls.ca_path"] {
            if settings.text(key).is_some() {
                settings.warning(
                    key,
                    "has no effect yet: the services of AWS ask for no client certificate",
                );
            }
        }
        Self {
            verify: settings.flag("tls.verify", true),
            ca_file,
        }
    }

    /// Makes the client.
    ///
    /// # Errors
    /// What is wrong with the CA file.
    pub(super) fn client(&self) -> Result<SharedHttpClient, String> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build::<_, SdkBody>(https);
        let connector = SharedHttpConnector::new(Connector(client));
        Ok(http_client_fn(move |_, _| connector.clone()))
    }

    fn tls(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        if !self.verify {
            let verifier = Arc::new(Unverified(provider));
            return Ok(builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth());
        }
        let roots = match &self.ca_file {
            Some(file) => roots_of(Path::new(file))?,
            None => roots_of_system(),
        };
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

fn roots_of(file: &Path) -> Result<RootCertStore, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("tls.ca_file {}: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        Err(wrong(&"holds no certificate in PEM form"))
    } else {
        Ok(roots)
    }
}

/// The roots of the system, or those built in where an image has none.
fn roots_of_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// `tls.verify off`: takes any certificate, but only with a valid signature by it.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Between the SDK's request type and the HTTP client's.
#[derive(Debug)]
struct Connector(Client<HttpsConnector<HttpConnector>, SdkBody>);

impl SmithyConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?;
            let response = client
                .request(request)
                .await
                .map_err(|error| ConnectorError::io(error.into()))?;
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}
