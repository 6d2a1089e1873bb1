//! An HTTP server that answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request that has come.
#[derive(Clone)]
pub(crate) struct Request {
    /// Which connection it came over, counted from 0.
    pub(crate) connection: usize,
    /// Request line and headers, in lower case.
    pub(crate) head: String,
    /// The body; what is no text in it is replaced.
    pub(crate) body: String,
}

/// A server that runs until the process ends.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Vec<Request>>>,
}

/// Gives the status, and more headers.
type Script = dyn Fn(&Request) -> (u16, &'static str) + Send + Sync;

impl Server {
    /// Starts a server.
    pub(crate) fn start(
        script: impl Fn(&Request) -> (u16, &'static str) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::default();
        let (shared, script): (_, Arc<Script>) = (Arc::clone(&taken), Arc::new(script));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (taken, script) = (Arc::clone(&shared), Arc::clone(&script));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(&stream, connection, &taken, &*script));
            }
        });
        Self { address, taken }
    }

    /// The requests so far that were answered by 200.
    pub(crate) fn taken(&self) -> Vec<Request> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(mut stream: &TcpStream, connection: usize, taken: &Mutex<Vec<Request>>, script: &Script) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        head.make_ascii_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.lines().next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = Request {
            connection,
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let (status, headers) = script(&request);
        if status == 200 {
            taken.lock().unwrap().push(request);
        }
        let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: 4\r\n\r\nsaid");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
