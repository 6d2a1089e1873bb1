//! The operations of S3, by method, path and query, and the limits that need no knowledge of the account.
//!
//! Limits: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::md5_of;
use crate::sink::answer::ApiError;

const MAX_KEY: usize = 1024;
const MAX_PARTS: u32 = 10_000;
const CLASSES: &[&str] = &[
    "DEEP_ARCHIVE",
    "GLACIER",
    "GLACIER_IR",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "REDUCED_REDUNDANCY",
    "STANDARD",
    "STANDARD_IA",
];

/// A request that passed every check which needs no knowledge of the account.
#[derive(Debug)]
pub(in crate::sink) enum Call {
    Put {
        bucket: String,
        key: String,
        content: Content,
    },
    Create {
        bucket: String,
        key: String,
        content: Content,
    },
    Part {
        bucket: String,
        upload: String,
        number: u32,
    },
    Complete {
        bucket: String,
        upload: String,
        parts: Vec<Completion>,
    },
    Abort {
        bucket: String,
        upload: String,
    },
    Get {
        bucket: String,
        key: String,
    },
    List {
        bucket: String,
        prefix: String,
    },
}

/// What the headers say of an object.
#[derive(Debug, Clone, Default)]
pub(in crate::sink) struct Content {
    pub(super) kind: Option<String>,
    pub(super) encoding: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) acl: Option<String>,
}

/// A part as the end of an upload names it.
#[derive(Debug)]
pub(in crate::sink) struct Completion {
    pub(super) number: u32,
    pub(super) tag: String,
}

impl Call {
    pub(super) fn bucket(&self) -> &str {
        match self {
            Self::Put { bucket, .. }
            | Self::Create { bucket, .. }
            | Self::Part { bucket, .. }
            | Self::Complete { bucket, .. }
            | Self::Abort { bucket, .. }
            | Self::Get { bucket, .. }
            | Self::List { bucket, .. } => bucket,
        }
    }
}

/// The name of the operation that a request asks for.
pub(in crate::sink) fn name_of(request: &Parts) -> &'static str {
    let query = Query(request.uri.query().unwrap_or(""));
    let has_key = path(request).1.is_some();
    match (&request.method, has_key) {
        (&Method::PUT, true) if query.has("partNumber") => "UploadPart",
        (&Method::PUT, true) => "PutObject",
        (&Method::POST, true) if query.has("uploads") => "CreateMultipartUpload",
        (&Method::POST, true) if query.has("uploadId") => "CompleteMultipartUpload",
        (&Method::DELETE, true) if query.has("uploadId") => "AbortMultipartUpload",
        (&Method::GET, true) => "GetObject",
        (&Method::GET, false) if query.has("list-type") => "ListObjectsV2",
        _ => "an operation that is not known here",
    }
}

/// Reads and checks a request.
pub(in crate::sink) fn parse(
    operation: &str,
    request: &Parts,
    body: &[u8],
) -> Result<Call, ApiError> {
    let query = Query(request.uri.query().unwrap_or(""));
    let (bucket, key) = path(request);
    check_md5(request, body)?;
    let key = key.unwrap_or_default();
    if key.len() > MAX_KEY {
        let message = "Your key is too long";
        return Err(ApiError::violation("KeyTooLongError", message));
    }
    let upload = || query.value("uploadId");
    Ok(match operation {
        "PutObject" => Call::Put {
            bucket,
            key,
            content: Content::of(request)?,
        },
        "CreateMultipartUpload" => Call::Create {
            bucket,
            key,
            content: Content::of(request)?,
        },
        "UploadPart" => Call::Part {
            bucket,
            upload: upload(),
            number: part_number(&query.value("partNumber"))?,
        },
        "CompleteMultipartUpload" => Call::Complete {
            bucket,
            upload: upload(),
            parts: completions(body)?,
        },
        "AbortMultipartUpload" => Call::Abort {
            bucket,
            upload: upload(),
        },
        "GetObject" => Call::Get { bucket, key },
        "ListObjectsV2" => Call::List {
            bucket,
            prefix: query.value("prefix"),
        },
        _ => {
            let message = format!("{} {} is not known here", request.method, request.uri);
            return Err(ApiError {
                status: StatusCode::NOT_IMPLEMENTED,
                ..ApiError::violation("NotImplemented", message)
            });
        }
    })
}

impl Content {
    fn of(request: &Parts) -> Result<Self, ApiError> {
        let text = |name: &str| {
            let value = request.headers.get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        let class = text("x-amz-storage-class");
        if class
            .as_deref()
            .is_some_and(|class| !CLASSES.contains(&class))
        {
            let message = "The storage class you specified is not valid";
            return Err(ApiError::violation("InvalidStorageClass", message));
        }
        Ok(Self {
            kind: text("content-type"),
            encoding: text("content-encoding"),
            storage_class: class,
            acl: text("x-amz-acl"),
        })
    }
}

fn check_md5(request: &Parts, body: &[u8]) -> Result<(), ApiError> {
    let Some(given) = request.headers.get("content-md5") else {
        return Ok(());
    };
    if given.as_bytes()
        == base64_simd::STANDARD
            .encode_to_string(md5_of(body))
            .as_bytes()
    {
        return Ok(());
    }
    let message = "The Content-MD5 you specified did not match what we received.";
    Err(ApiError::violation("BadDigest", message))
}

fn part_number(text: &str) -> Result<u32, ApiError> {
    let number = text.parse().ok();
    let message = "Part number must be an integer between 1 and 10000, inclusive";
    number
        .filter(|number| (1..=MAX_PARTS).contains(number))
        .ok_or_else(|| ApiError::violation("InvalidArgument", message))
}

/// Reads `<Part><PartNumber>1</PartNumber><ETag>"..."</ETag></Part>...`.
fn completions(body: &[u8]) -> Result<Vec<Completion>, ApiError> {
    let malformed = || {
        let message = "The XML you provided was not well-formed";
        ApiError::violation("MalformedXML", message)
    };
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let mut parts = Vec::new();
    for part in text.split("<Part>").skip(1) {
        let number = element(part, "PartNumber").and_then(|number| number.parse().ok());
        let tag = element(part, "ETag").map(|tag| tag.replace("&quot;", "\""));
        let (Some(number), Some(tag)) = (number, tag) else {
            return Err(malformed());
        };
        parts.push(Completion { number, tag });
    }
    if parts.is_empty() {
        return Err(malformed());
    }
    Ok(parts)
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// Bucket and key, decoded.
fn path(request: &Parts) -> (String, Option<String>) {
    let path = request.uri.path().trim_start_matches('/');
    match path.split_once('/') {
        Some((bucket, key)) if !key.is_empty() => (decoded(bucket), Some(decoded(key))),
        Some((bucket, _)) => (decoded(bucket), None),
        None => (decoded(path), None),
    }
}

/// The parameters behind the question mark.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn has(&self, name: &str) -> bool {
        let mut names = self.0.split('&').map(|pair| pair.split('=').next());
        names.any(|found| found == Some(name))
    }

    fn value(&self, name: &str) -> String {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name);
        values
            .next()
            .map_or_else(String::new, |(_, value)| decoded(value))
    }
}

use crate::sink::control::decoded;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = hyper::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn operations_are_told_apart_by_method_path_and_query() {
        for (method, uri, expected) in [
            ("PUT", "/b/k", "PutObject"),
            ("PUT", "/b/k?partNumber=1&uploadId=x", "UploadPart"),
            ("POST", "/b/k?uploads=", "CreateMultipartUpload"),
            ("POST", "/b/k?uploadId=x", "CompleteMultipartUpload"),
            ("DELETE", "/b/k?uploadId=x", "AbortMultipartUpload"),
            ("GET", "/b/k", "GetObject"),
            ("GET", "/b?list-type=2", "ListObjectsV2"),
            ("PUT", "/b", "an operation that is not known here"),
        ] {
            assert_eq!(
                name_of(&request(method, uri, &[])),
                expected,
                "{method} {uri}"
            );
        }
    }

    #[test]
    fn what_an_object_may_not_be_is_refused() {
        let long = format!("/b/{}", "k".repeat(1025));
        for (uri, headers, body, expected) in [
            (long.as_str(), &[][..], "", "KeyTooLongError"),
            ("/b/k", &[("content-md5", "x")][..], "a", "BadDigest"),
            (
                "/b/k",
                &[("x-amz-storage-class", "NOPE")][..],
                "",
                "InvalidStorageClass",
            ),
            (
                "/b/k?partNumber=10001&uploadId=x",
                &[][..],
                "",
                "InvalidArgument",
            ),
        ] {
            let request = request("PUT", uri, headers);
            let error = parse(name_of(&request), &request, body.as_bytes()).unwrap_err();
            assert_eq!(error.code, expected);
        }
    }
}
