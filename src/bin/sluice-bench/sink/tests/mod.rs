//! The sink as a client sees it: signed requests over a socket, by an independent signer.

mod faults;
mod services;

use std::time::SystemTime;

use aws_credential_types::Credentials as Signer;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Account, Credentials, Options, Sink};
use crate::stats::now_nanos;

struct Client {
    sink: Sink,
    secret: &'static str,
}

impl Client {
    async fn new(account: Account) -> Self {
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
            credentials,
            account,
            threads: None,
        };
        Self {
            sink: Sink::start(options).await.unwrap(),
            secret: "secret",
        }
    }

    /// Sends one signed request and returns status and body; `None` when the connection was cut.
    async fn call(&self, service: &str, target: &str, body: &[u8]) -> Option<(u16, Value)> {
        self.call_with(service, target, body, &[]).await
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
        let identity =
            Signer::new("AKID", self.secret, Some("token".to_owned()), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let uri = format!("http://{}/", self.sink.endpoint);
        let request = SignableRequest::new("POST", &uri, pairs, SignableBody::Bytes(body)).unwrap();
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
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

fn everything() -> Account {
    Account {
        any: true,
        keep: 1 << 20,
        ..Account::default()
    }
}
