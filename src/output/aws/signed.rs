//! Services without a crate of the SDK: its signer signs, the rest is plain HTTP.
//!
//! A crate for each service would bring its client, its types and its serializers, none of which a body that is already written
//! needs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HOST};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::Frame;

use super::answer::{Failure, retry_after, sort};
use super::endpoint::{Variant, regional_url};
use super::{ATTEMPT_TIMEOUT, Answer, Aws, Destination, Lazy, Session};
use crate::config::Variables;
use crate::output::net::with_causes;

/// The longest answer that is read.
const ANSWER_MAX: usize = 32 << 20;
/// A body gets more time the larger it is: a second for so many bytes.
const SLOWEST: u64 = 100_000;
/// A file is read in pieces of so many bytes.
const PIECE: usize = 128 << 10;
/// A clock that differs by less is not the reason why a signature is refused.
const SKEW_MIN: Duration = Duration::from_mins(2);

/// A service, its name in signatures being also the first part of its hosts.
#[derive(Debug)]
pub(in crate::output) struct Signed {
    session: Lazy<Session>,
    service: &'static str,
    /// What the environment says instead of a host in the region.
    endpoint: Option<String>,
    /// Requests carry a signature.
    signs: bool,
    /// Seconds by which the service's clock is ahead of ours.
    skew: AtomicI64,
}

/// One request.
#[derive(Debug, Clone, Default)]
pub(in crate::output) struct Call {
    pub(in crate::output) method: &'static str,
    /// Path and query, encoded.
    pub(in crate::output) path: String,
    pub(in crate::output) headers: Vec<(&'static str, String)>,
    pub(in crate::output) body: Payload,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub(in crate::output) enum Payload {
    Bytes(Bytes),
    /// A file, which is read while it is sent.
    File(Arc<FileBody>),
}

/// A file that does not change, and what has to be said of it before its bytes.
#[derive(Debug)]
pub(in crate::output) struct FileBody {
    pub(in crate::output) path: PathBuf,
    pub(in crate::output) length: u64,
    /// In hexadecimal digits.
    pub(in crate::output) sha256: String,
}

impl Default for Payload {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl Payload {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.length,
        }
    }

    fn to_sign(&self) -> SignableBody<'_> {
        match self {
            Self::Bytes(bytes) => SignableBody::Bytes(bytes),
            Self::File(file) => SignableBody::Precomputed(file.sha256.clone()),
        }
    }

    fn to_send(&self) -> SdkBody {
        match self {
            Self::Bytes(bytes) => SdkBody::from(bytes.clone()),
            Self::File(file) => SdkBody::from_body_1_x(StreamBody::new(pieces(file.path.clone()))),
        }
    }
}

/// The pieces of a file, read one after the other where that holds up nothing else.
fn pieces(path: PathBuf) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    stream::try_unfold(None, move |file: Option<File>| {
        let path = path.clone();
        async move {
            let read = move || {
                let mut file = match file {
                    Some(file) => file,
                    None => File::open(path)?,
                };
                let mut piece = vec![0; PIECE];
                let length = file.read(&mut piece)?;
                piece.truncate(length);
                Ok::<_, io::Error>((piece, file))
            };
            let (piece, file) = tokio::task::spawn_blocking(read)
                .await
                .map_err(io::Error::other)??;
            let frame = Frame::data(Bytes::from(piece));
            Ok(frame
                .data_ref()
                .is_some_and(|piece| !piece.is_empty())
                .then_some((frame, Some(file))))
        }
    })
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub(in crate::output) struct Reply {
    pub(in crate::output) status: u16,
    pub(in crate::output) headers: HeaderMap,
    pub(in crate::output) body: Bytes,
}

impl Reply {
    /// A header's text.
    pub(in crate::output) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(name).and_then(|text| text.to_str().ok())
    }

    /// Sorts an error with this code.
    pub(in crate::output) fn failure(
        &self,
        code: &str,
        message: &str,
        missing_is_repairable: bool,
    ) -> Failure {
        let after = retry_after(|name| self.header(name));
        sort(code, message, self.status, after, missing_is_repairable)
    }
}

impl Signed {
    /// A service; `variable` names its endpoint in the environment.
    pub(in crate::output) fn new(aws: Aws, service: &'static str, variable: &str) -> Self {
        let variables = Variables::from_process();
        let mut urls = [variable, "AWS_ENDPOINT_URL"]
            .into_iter()
            .filter_map(|name| variables.get(name));
        let url = urls.find(|url| !url.is_empty());
        Self {
            session: Lazy::new(aws, Session::clone),
            service,
            endpoint: url.map(|url| url.trim_end_matches('/').to_owned()),
            signs: true,
            skew: AtomicI64::new(0),
        }
    }

    /// A service that is asked without a signature.
    pub(in crate::output) fn unsigned(aws: Aws, service: &'static str) -> Self {
        Self {
            signs: false,
            ..Self::new(aws, service, "")
        }
    }

    /// What is asked for under this name, whoever asks.
    pub(in crate::output) fn name_of(&self, destination: &Destination) -> String {
        self.session.aws().name(self.service, destination)
    }

    /// Asks; `read` tells failures from what was asked for. Asked once more where the credentials or the clock were the
    /// fault and are better now.
    ///
    /// # Errors
    /// What becomes of the request.
    pub(in crate::output) async fn ask<T>(
        &self,
        call: &Call,
        read: impl Fn(&Reply) -> Result<T, Failure>,
    ) -> Result<T, Answer> {
        let ready = self.session.get().await.map_err(Answer::again)?;
        let attempt = || async {
            let reply = self.exchange(&ready.api, call).await?;
            let result = read(&reply);
            match result {
                Err(failure) if failure.renew && self.correct_clock(&reply) => {
                    read(&self.exchange(&ready.api, call).await?)
                }
                result => result,
            }
        };
        ready.ask(attempt).await.map_err(|failure| failure.answer)
    }

    /// Takes over the service's clock where it is far from ours; whether it was.
    fn correct_clock(&self, reply: &Reply) -> bool {
        let theirs = reply
            .header("date")
            .and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let Some(theirs) = theirs else { return false };
        let ahead = theirs.timestamp().as_second() - jiff::Timestamp::now().as_second();
        let before = self.skew.swap(ahead, Ordering::Relaxed);
        ahead.abs_diff(before) >= SKEW_MIN.as_secs()
    }

    async fn exchange(&self, session: &Session, call: &Call) -> Result<Reply, Failure> {
        let again = |why: String| Failure {
            answer: Answer::again(why),
            renew: false,
            code: String::new(),
        };
        let credentials = if self.signs {
            let credentials = session.vault.get().await;
            Some(credentials.map_err(|error| again(with_causes(&error)))?)
        } else {
            None
        };
        let request = self.request(session, call, credentials).map_err(again)?;
        let patience = ATTEMPT_TIMEOUT + Duration::from_secs(call.body.length() / SLOWEST);
        tokio::time::timeout(patience, receive(session, request))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} seconds", patience.as_secs())))
            .map_err(again)
    }

    /// The request, signed.
    fn request(
        &self,
        session: &Session,
        call: &Call,
        credentials: Option<Credentials>,
    ) -> Result<HttpRequest, String> {
        let wrong = |error: &dyn std::error::Error| format!("cannot make a request: {error}");
        let url = format!("{}{}", self.url(session), call.path);
        let uri: http::Uri = url.parse().map_err(|error| wrong(&error))?;
        let host = uri.authority().map(|host| host.as_str().to_owned());
        let mut builder = http::Request::builder().method(call.method).uri(uri);
        builder = builder.header(HOST, host.unwrap_or_default());
        for (name, value) in &call.headers {
            builder = builder.header(*name, value);
        }
        let request = builder.body(()).map_err(|error| wrong(&error))?;
        let signed = match credentials {
            Some(credentials) => self.sign(session, &url, &request, call, credentials)?,
            None => Vec::new(),
        };
        let mut request = request.map(|()| call.body.to_send());
        for (name, value) in signed {
            let value = http::HeaderValue::from_str(&value).map_err(|error| wrong(&error))?;
            request.headers_mut().insert(name, value);
        }
        let length = call.body.length().into();
        request.headers_mut().insert(CONTENT_LENGTH, length);
        HttpRequest::try_from(request).map_err(|error| wrong(&error))
    }

    /// The headers that sign a request.
    fn sign(
        &self,
        session: &Session,
        url: &str,
        request: &http::Request<()>,
        call: &Call,
        credentials: Credentials,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let wrong = |error: &dyn std::error::Error| format!("cannot sign: {error}");
        let skew = self.skew.load(Ordering::Relaxed);
        let now = SystemTime::now();
        let ahead = Duration::from_secs(skew.unsigned_abs());
        let time = if skew < 0 { now - ahead } else { now + ahead };
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&session.region)
            .name(self.service)
            .time(time)
            .settings(self.signing_settings())
            .build()
            .map_err(|error| wrong(&error))?
            .into();
        let headers = request.headers().iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(call.method, url, headers, call.body.to_sign())
            .map_err(|error| wrong(&error))?;
        let (signed, _) = sign(signable, &params)
            .map_err(|error| wrong(&error))?
            .into_parts();
        let (headers, _) = signed.into_parts();
        Ok(headers
            .into_iter()
            .map(|header| (header.name(), header.value().to_owned()))
            .collect())
    }

    fn signing_settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.service == "s3" {
            // A key is signed as it stands on the wire.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        if self.service != "kinesis" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }

    fn url(&self, session: &Session) -> String {
        let variant = Variant {
            fips: session.config.use_fips().unwrap_or_default(),
            dual_stack: session.config.use_dual_stack().unwrap_or_default(),
        };
        session
            .endpoint
            .clone()
            .or_else(|| self.endpoint.clone())
            .unwrap_or_else(|| regional_url(self.service, &session.region, variant))
    }
}

async fn receive(session: &Session, request: HttpRequest) -> Result<Reply, String> {
    let response = session.connector.call(request).await;
    let response = response.map_err(|error| with_causes(&error))?;
    let response = response
        .try_into_http1x()
        .map_err(|error| with_causes(&error))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await;
    let body = body
        .map_err(|error| with_causes(error.as_ref()))?
        .to_bytes();
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}
