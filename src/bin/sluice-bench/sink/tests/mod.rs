//! The sink as a client sees it: signed requests over a socket, by an independent signer.

mod faults;
mod laws;
mod objects;
mod services;
mod wire;

use std::time::SystemTime;

use aws_credential_types::Credentials as Signer;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::issue::Keys;
use super::{Account, Credentials, Options, Sink};
use crate::stats::now_nanos;

struct Client {
    sink: Sink,
    secret: &'static str,
}

impl Client {
    fn new(account: Account) -> Self {
        let credentials = Credentials {
            access_key: "AKID".to_owned(),
            secret_key: "secret".to_owned(),
            session_token: Some("token".to_owned()),
        };
        let local = ([127, 0, 0, 1], 0).into();
        let options = Options {
            listen: local,
            control: local,
            ca_file: None,
            keys: Keys::new(Some(credentials), None),
            issues: false,
            account,
            threads: None,
        };
        Self {
            sink: Sink::start(options).unwrap(),
            secret: "secret",
        }
    }

    /// Sends one signed request and returns status and body; `None` when the connection was cut.
    async fn call(&self, service: &str, target: &str, body: &[u8]) -> Option<(u16, Value)> {
        self.call_with(service, target, body, &[]).await
    }

    /// Sends one signed request to S3 and returns status and the answer as text.
    async fn s3(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        more: &[(&str, &str)],
    ) -> Option<(u16, String)> {
        let host = self.sink.endpoint.to_string();
        let hash = crate::output::hex(&Sha256::digest(body));
        let mut headers = vec![
            ("host".to_owned(), host.clone()),
            ("x-amz-content-sha256".to_owned(), hash),
        ];
        let more = more.iter();
        headers.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        headers.extend(self.signed(("s3", method, path), settings, &headers, body));
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = lines.collect::<Vec<_>>().concat();
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{head}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        text_exchange(&host, &[head.as_bytes(), body].concat()).await
    }

    async fn call_with(
        &self,
        service: &str,
        target: &str,
        body: &[u8],
        more: &[(&str, &str)],
    ) -> Option<(u16, Value)> {
        let host = self.sink.endpoint.to_string();
        let mut headers = vec![
            ("host".to_owned(), host.clone()),
            (
                "content-type".to_owned(),
                "application/x-amz-json-1.1".to_owned(),
            ),
            ("x-amz-target".to_owned(), target.to_owned()),
        ];
        headers.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        headers.extend(self.signature(service, &headers, body));
        let lines = headers.iter().map(|(name, value)| {
            format!(
                "{name}: {value}
"
            )
        });
        let head = lines.collect::<Vec<_>>().concat();
        let head = format!(
            "POST / HTTP/1.1\r\n{head}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        exchange(&host, &[head.as_bytes(), body].concat()).await
    }

    fn signature(
        &self,
        service: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Vec<(String, String)> {
        let settings = SigningSettings::default();
        self.signed((service, "POST", "/"), settings, headers, body)
    }

    fn signed(
        &self,
        (service, method, path): (&str, &str, &str),
        settings: SigningSettings,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Vec<(String, String)> {
        let identity =
            Signer::new("AKID", self.secret, Some("token".to_owned()), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let uri = format!("http://{}{path}", self.sink.endpoint);
        let request = SignableRequest::new(method, &uri, pairs, SignableBody::Bytes(body)).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    async fn logs(&self, operation: &str, body: Value) -> (u16, Value) {
        self.call(
            "logs",
            &format!("Logs_20140328.{operation}"),
            body.to_string().as_bytes(),
        )
        .await
        .unwrap()
    }

    async fn put(&self, messages: &[&str]) -> (u16, Value) {
        self.logs("PutLogEvents", put(messages)).await
    }

    async fn control(&self, request: &str, body: Value) -> Value {
        let body = body.to_string();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        exchange(
            &self.sink.control.to_string(),
            &[head.as_bytes(), body.as_bytes()].concat(),
        )
        .await
        .unwrap()
        .1
    }

    async fn stats(&self) -> Value {
        self.control("GET /stats", Value::Null).await
    }
}

fn put(messages: &[&str]) -> Value {
    let now_ms = now_nanos() / 1_000_000;
    let events: Vec<Value> = messages
        .iter()
        .map(|message| json!({ "timestamp": now_ms, "message": message }))
        .collect();
    json!({ "logGroupName": "g", "logStreamName": "s/1", "logEvents": events })
}

async fn exchange(address: &str, request: &[u8]) -> Option<(u16, Value)> {
    let (status, body) = text_exchange(address, request).await?;
    Some((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

async fn text_exchange(address: &str, request: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

fn everything() -> Account {
    Account {
        any: true,
        keep: 1 << 20,
        ..Account::default()
    }
}
