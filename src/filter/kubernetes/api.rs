//! One question to the API server or to a kubelet.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Empty;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::filter::lookup::Client;
use crate::net::{Tls, Trust};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A command that gives a token has to be done by then.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// Tokens have one or two kilobytes.
const TOKEN_MAX: u64 = 64 * 1024;
/// The files of a folder with prepared answers.
const FILE_MAX: u64 = 8 << 20;

/// Why there is no answer.
pub(super) enum Trouble {
    /// The server is there and does not tell.
    Absent(String),
    /// It does not answer.
    Failed(String),
}

/// A server, its certificate, our token.
pub(super) struct Api {
    /// `https://host:port`
    pub(super) base: String,
    pub(super) trust: Trust,
    pub(super) token: Arc<Token>,
    /// One question.
    pub(super) limit: Duration,
    /// The longest answer.
    pub(super) most: usize,
    /// Made anew after a failure: authorities change their certificates.
    pub(super) client: Mutex<Option<Client>>,
}

impl Api {
    /// The answer at a path.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, Trouble> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::get(&url).header(USER_AGENT, "Fluent-Bit");
        let token = self.token.header().await.map_err(Trouble::Failed)?;
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| Trouble::Absent(format!("{url}: {error}")))?;
        let client = self.client().await.map_err(Trouble::Failed)?;
        let answer = match client.ask(request, self.limit, self.most).await {
            Ok(answer) => answer,
            Err(why) => {
                *self.client.lock().await = None;
                return Err(Trouble::Failed(why));
            }
        };
        let status = answer.status;
        match status {
            StatusCode::OK => Ok(answer.body),
            StatusCode::UNAUTHORIZED => {
                self.token.forget().await;
                let hint = "the token is not accepted: check Kube_Token_File";
                Err(Trouble::Failed(format!("{url}: status {status}: {hint}")))
            }
            StatusCode::FORBIDDEN => {
                let hint = "the service account needs a role that may get pods, and namespaces where their labels are asked for (for a kubelet: nodes/proxy)";
                Err(Trouble::Absent(format!("{url}: status {status}: {hint}")))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(Trouble::Failed(format!("{url}: status {status}")))
            }
            status if status.is_client_error() => {
                Err(Trouble::Absent(format!("{url}: status {status}")))
            }
            status => Err(Trouble::Failed(format!("{url}: status {status}"))),
        }
    }

    async fn client(&self) -> Result<Client, String> {
        let mut made = self.client.lock().await;
        if let Some(client) = &*made {
            return Ok(client.clone());
        }
        let tls = if self.base.starts_with("https:") {
            let trust = self.trust.clone();
            let tls = tokio::task::spawn_blocking(move || trust.load()).await;
            tls.map_err(|error| error.to_string())??
        } else {
            Tls::default()
        };
        Ok(made.insert(Client::new(CONNECT_TIMEOUT, tls)).clone())
    }
}

/// Where tokens come from.
#[derive(Debug)]
pub(super) enum Origin {
    File(PathBuf),
    Command(String),
}

/// The token, read again after a time.
#[derive(Debug)]
pub(super) struct Token {
    origin: Origin,
    ttl: Duration,
    held: Mutex<Option<(Option<HeaderValue>, Instant)>>,
}

impl Token {
    /// A token that is not read yet.
    pub(super) fn new(origin: Origin, ttl: Duration) -> Self {
        let held = Mutex::default();
        Self { origin, ttl, held }
    }

    /// The value of `Authorization`; `None` where there is no token, as behind a proxy that adds one.
    async fn header(&self) -> Result<Option<HeaderValue>, String> {
        let mut held = self.held.lock().await;
        if let Some((header, read)) = &*held
            && read.elapsed() < self.ttl
        {
            return Ok(header.clone());
        }
        let token = match &self.origin {
            Origin::File(file) => read_file(file.clone(), TOKEN_MAX)
                .await
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?,
            Origin::Command(command) => Some(run(command).await?),
        };
        let header = token.map(|token| bearer(&token)).transpose()?;
        Ok(held.insert((header, Instant::now())).0.clone())
    }

    async fn forget(&self) {
        *self.held.lock().await = None;
    }
}

fn bearer(token: &[u8]) -> Result<HeaderValue, String> {
    let header = [b"Bearer ", token.trim_ascii()].concat();
    // Without its bytes: it is a secret.
    let mut header = HeaderValue::from_bytes(&header)
        .map_err(|_| "the token is no text that a request can hold".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

async fn run(command: &str) -> Result<Vec<u8>, String> {
    let wrong = |why: String| format!("Kube_Token_Command: {why}");
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| wrong(error.to_string()))?;
    let mut token = Vec::new();
    let work = async {
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = stdout.take(TOKEN_MAX);
            stdout.read_to_end(&mut token).await?;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(COMMAND_LIMIT, work).await;
    let ended =
        ended.map_err(|_| wrong(format!("not done within {} s", COMMAND_LIMIT.as_secs())))?;
    let status = ended.map_err(|error| wrong(error.to_string()))?;
    if !status.success() || token.is_empty() {
        return Err(wrong(format!("no token, {status}")));
    }
    Ok(token)
}

/// A file prepared to stand in for an answer; `None` if there is none.
pub(super) async fn prepared(file: PathBuf) -> Option<Vec<u8>> {
    read_file(file, FILE_MAX).await.ok().flatten()
}

/// A file of at most `most` bytes; `None` if there is none.
async fn read_file(file: PathBuf, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let read = move || {
        let file = match std::fs::File::open(file) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    tokio::task::spawn_blocking(read).await?
}
