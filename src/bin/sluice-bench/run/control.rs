//! A client for the sink's control port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result};

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends one request, for example `GET /stats`, and returns the JSON of the answer.
pub(crate) fn call(control: SocketAddr, request: &str, body: &Value) -> Result<Value> {
    let text = exchange(control, request, body)
        .map_err(Error::io(format!("ask the sink for {request}")))?;
    let answer = text.split_once("\r\n\r\n").and_then(|(head, body)| {
        let json = serde_json::from_str(body).ok()?;
        head.starts_with("HTTP/1.1 200").then_some(json)
    });
    answer.ok_or_else(|| Error::Answer {
        who: "the sink".to_owned(),
        what: text.chars().take(200).collect(),
    })
}

fn exchange(control: SocketAddr, request: &str, body: &Value) -> std::io::Result<String> {
    let body = body.to_string();
    let length = body.len();
    let mut stream = TcpStream::connect_timeout(&control, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{request} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
