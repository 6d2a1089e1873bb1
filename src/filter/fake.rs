//! A service with metadata for tests: a real socket, and answers as the test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is answered.
pub(super) enum Reply {
    /// A status and a body.
    Status(u16, String),
    /// These bytes, which are no HTTP.
    Raw(Vec<u8>),
    /// Nothing, for ever.
    Silence,
}

/// An answer of 200.
pub(super) fn ok(body: &str) -> Reply {
    Reply::Status(200, body.to_owned())
}

/// An answer without a body.
pub(super) fn status(status: u16) -> Reply {
    Reply::Status(status, String::new())
}

type Script = dyn Fn(&str) -> Reply + Send + Sync;

/// A service that runs until the test ends.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Answers each request, of which the script gets the head: request line and headers.
    pub(super) async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, script).await
    }

    /// The same by TLS.
    pub(super) async fn secure(
        acceptor: TlsAcceptor,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(acceptor), script).await
    }

    async fn serve(
        acceptor: Option<TlsAcceptor>,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::default();
        let (shared, script): (_, Arc<Script>) = (Arc::clone(&heads), Arc::new(script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (heads, script) = (Arc::clone(&shared), Arc::clone(&script));
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => answer(stream, &heads, &*script).await,
                        // A client that does not trust us goes.
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => answer(stream, &heads, &*script).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, heads }
    }

    /// The heads of all requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Their request lines without the version.
    pub(super) fn asked(&self) -> Vec<String> {
        let heads = self.heads();
        let lines = heads.iter().filter_map(|head| head.lines().next());
        lines
            .map(|line| line.trim_end_matches(" HTTP/1.1").to_owned())
            .collect()
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    heads: &Mutex<Vec<String>>,
    script: &Script,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        heads.lock().unwrap().push(head.clone());
        match script(&head) {
            Reply::Status(status, body) => {
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.ok()?;
            }
            Reply::Raw(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                return None;
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}
