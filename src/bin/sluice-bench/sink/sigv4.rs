//! Checks AWS Signature Version 4 the way the services do.
//!
//! Rules: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. Beyond the
//! signature itself the host and every `x-amz-*` header must be signed, the date must be within five
//! minutes, the scope must name the service of the operation, and the hash is of the bytes as they came.

use hmac::{Hmac, KeyInit, Mac};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

use super::answer::ApiError;
use super::date::seconds_of;
use crate::output::hex;
use crate::stats::now_nanos;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const MAX_SKEW_SECONDS: u64 = 300;

/// The one identity the sink knows.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    /// When set, every request must carry it.
    pub(crate) session_token: Option<String>,
}

/// The key that a request is signed with.
pub(super) fn access_key(request: &Parts) -> Option<&str> {
    Some(Authorization::parse(text_header(request, "authorization")?)?.access_key)
}

/// Whether the signature is for this service.
pub(super) fn is_for(request: &Parts, service: &str) -> bool {
    let scope = || Authorization::parse(text_header(request, "authorization")?);
    scope().is_some_and(|scope| scope.service == service)
}

/// The parts of an `Authorization` header.
struct Authorization<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// Checks a request whose body has the hash `body_hash` (64 lower-case digits) for `service`.
///
/// # Errors
/// The answer that the service would give.
pub(super) fn verify(
    request: &Parts,
    body_hash: &str,
    service: &str,
    keys: &Credentials,
) -> Result<(), ApiError> {
    verify_at(
        request,
        body_hash,
        service,
        keys,
        now_nanos() / 1_000_000_000,
    )
}

fn verify_at(
    request: &Parts,
    body_hash: &str,
    service: &str,
    keys: &Credentials,
    now: u64,
) -> Result<(), ApiError> {
    let header = request
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| {
            ApiError::violation(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            )
        })?;
    let authorization = Authorization::parse(header).ok_or_else(|| {
        ApiError::violation(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature'",
        )
    })?;
    check_identity(request, &authorization, keys)?;
    if authorization.service != service {
        return Err(bad_signature(format!(
            "Credential should be scoped to correct service: '{service}'."
        )));
    }
    let date =
        text_header(request, "x-amz-date").ok_or_else(|| bad_signature("X-Amz-Date is missing"))?;
    check_date(date, authorization.date, now)?;
    check_signed_headers(request, &authorization)?;
    if text_header(request, "x-amz-content-sha256").is_some_and(|hash| hash != body_hash) {
        return Err(bad_signature(
            "X-Amz-Content-Sha256 is not the hash of the body",
        ));
    }
    let path = if service == "s3" {
        // S3 alone takes the path as it is on the wire.
        request.uri.path().to_owned()
    } else {
        encoded(request.uri.path())
    };
    let canonical = canonical_request(request, &path, authorization.signed_headers, body_hash);
    if signature(&canonical, date, &authorization, &keys.secret_key) == authorization.signature {
        return Ok(());
    }
    Err(bad_signature(format!(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.\n\nThe Canonical String for this request should have been\n'{canonical}'"
    )))
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix(ALGORITHM)?.trim_start();
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
        };
        // An access key holds no slash, so the scope is always the last four parts.
        let mut scope = field("Credential")?.split('/');
        let authorization = Self {
            access_key: scope.next()?,
            date: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            signed_headers: field("SignedHeaders")?,
            signature: field("Signature")?,
        };
        (scope.next()? == "aws4_request" && scope.next().is_none()).then_some(authorization)
    }
}

fn check_identity(
    request: &Parts,
    authorization: &Authorization<'_>,
    keys: &Credentials,
) -> Result<(), ApiError> {
    let token = text_header(request, "x-amz-security-token");
    if authorization.access_key == keys.access_key && token == keys.session_token.as_deref() {
        return Ok(());
    }
    Err(unknown_client())
}

/// The answer to a key that nobody has.
pub(super) fn unknown_client() -> ApiError {
    ApiError::violation(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )
}

fn check_date(date: &str, scope_date: &str, now: u64) -> Result<(), ApiError> {
    let signed_at = seconds_of(date).ok_or_else(|| {
        bad_signature(format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'."
        ))
    })?;
    if !date.starts_with(scope_date) || scope_date.len() != 8 {
        return Err(bad_signature(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP",
        ));
    }
    if signed_at.abs_diff(now) <= MAX_SKEW_SECONDS {
        return Ok(());
    }
    let word = if signed_at < now {
        "Signature expired"
    } else {
        "Signature not yet current"
    };
    Err(bad_signature(format!(
        "{word}: {date} is more than 5 min. from the server's time"
    )))
}

fn check_signed_headers(
    request: &Parts,
    authorization: &Authorization<'_>,
) -> Result<(), ApiError> {
    let signed = |name: &str| {
        authorization
            .signed_headers
            .split(';')
            .any(|signed| signed == name)
    };
    let required = request
        .headers
        .keys()
        .map(hyper::header::HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-"));
    match required.chain(["host"]).find(|name| !signed(name)) {
        Some(name) => Err(bad_signature(format!(
            "'{name}' must be a 'SignedHeader' in the AWS Authorization."
        ))),
        None => Ok(()),
    }
}

fn canonical_request(request: &Parts, path: &str, signed_headers: &str, body_hash: &str) -> String {
    let mut query: Vec<&str> = request
        .uri
        .query()
        .unwrap_or("")
        .split('&')
        .filter(|pair| !pair.is_empty())
        .collect();
    query.sort_unstable();
    let mut canonical = format!("{}\n{}\n{}\n", request.method, path, query.join("&"));
    for name in signed_headers.split(';') {
        let values = request
            .headers
            .get_all(name)
            .iter()
            .map(|value| collapse(&String::from_utf8_lossy(value.as_bytes())));
        let value = values.collect::<Vec<_>>().join(",");
        canonical.extend([name, ":", &value, "\n"]);
    }
    canonical.extend(["\n", signed_headers, "\n", body_hash]);
    canonical
}

/// Encodes a path that is encoded already once more, as all services but S3 want it.
fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn collapse(value: &str) -> String {
    value
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn signature(
    canonical: &str,
    date: &str,
    authorization: &Authorization<'_>,
    secret: &str,
) -> String {
    let Authorization {
        date: day,
        region,
        service,
        ..
    } = authorization;
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    let to_sign = format!("{ALGORITHM}\n{date}\n{day}/{region}/{service}/aws4_request\n{hash}");
    let mut key = hmac(format!("AWS4{secret}").as_bytes(), day);
    for part in [*region, *service, "aws4_request"] {
        key = hmac(&key, part);
    }
    hex(&hmac(&key, &to_sign))
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    // HMAC takes keys of any length, so the constructor's error cannot occur.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn text_header<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

fn bad_signature(message: impl Into<String>) -> ApiError {
    ApiError::violation("InvalidSignatureException", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_440_938_160;
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn keys() -> Credentials {
        Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        }
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = hyper::Request::builder().uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn vanilla(signature: &str) -> Parts {
        request(
            "/",
            &[
                ("host", "example.amazonaws.com"),
                ("x-amz-date", "20150830T123600Z"),
                (
                    "authorization",
                    &format!(
                        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
                    ),
                ),
            ],
        )
    }

    const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

    fn code(request: &Parts, service: &str, keys: &Credentials, now: u64) -> &'static str {
        verify_at(request, EMPTY, service, keys, now).map_or_else(|error| error.code, |()| "ok")
    }

    #[test]
    fn the_published_get_vanilla_vector_is_accepted() {
        assert_eq!(
            verify_at(&vanilla(VANILLA), EMPTY, "service", &keys(), NOW),
            Ok(())
        );
    }

    #[test]
    fn the_published_list_users_example_is_accepted() {
        let request = request(
            "/?Action=ListUsers&Version=2010-05-08",
            &[
                ("host", "iam.amazonaws.com"),
                (
                    "content-type",
                    "application/x-www-form-urlencoded; charset=utf-8",
                ),
                ("x-amz-date", "20150830T123600Z"),
                (
                    "authorization",
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
                ),
            ],
        );
        assert_eq!(verify_at(&request, EMPTY, "iam", &keys(), NOW), Ok(()));
    }

    #[test]
    fn anything_changed_is_refused_with_the_services_code() {
        let wrong = Credentials {
            secret_key: "other".to_owned(),
            ..keys()
        };
        let stranger = Credentials {
            access_key: "AKIDOTHER".to_owned(),
            ..keys()
        };
        let temporary = Credentials {
            session_token: Some("token".to_owned()),
            ..keys()
        };
        let good = vanilla(VANILLA);
        assert_eq!(
            code(&good, "service", &wrong, NOW),
            "InvalidSignatureException"
        );
        assert_eq!(
            code(&good, "service", &stranger, NOW),
            "UnrecognizedClientException"
        );
        assert_eq!(
            code(&good, "service", &temporary, NOW),
            "UnrecognizedClientException"
        );
        assert_eq!(
            code(&good, "logs", &keys(), NOW),
            "InvalidSignatureException"
        );
        assert_eq!(code(&good, "service", &keys(), NOW + 300), "ok");
        assert_eq!(
            code(&good, "service", &keys(), NOW + 301),
            "InvalidSignatureException"
        );
        assert_eq!(
            code(&good, "service", &keys(), NOW - 301),
            "InvalidSignatureException"
        );
        assert_eq!(
            code(&request("/", &[("host", "x")]), "service", &keys(), NOW),
            "MissingAuthenticationTokenException"
        );
        assert_eq!(
            code(
                &request("/", &[("authorization", "Basic x")]),
                "service",
                &keys(),
                NOW
            ),
            "IncompleteSignatureException"
        );
        let body = verify_at(&good, &"0".repeat(64), "service", &keys(), NOW);
        assert_eq!(body.unwrap_err().code, "InvalidSignatureException");
    }

    #[test]
    fn an_unsigned_amz_header_is_refused() {
        let mut request = vanilla(VANILLA);
        request.headers.insert(
            "x-amz-target",
            "Logs_20140328.PutLogEvents".parse().unwrap(),
        );
        let error = verify_at(&request, EMPTY, "service", &keys(), NOW).unwrap_err();
        assert!(
            error
                .message
                .contains("'x-amz-target' must be a 'SignedHeader'")
        );
    }
}
