//! Services that hang: wherever they do, the request ends and is sent again.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::config::testing::configured;
use crate::output::{Answer, Destination, Options, find};

/// Larger than what the system takes of a connection that nobody reads.
const LARGE: usize = 64 << 20;

/// What is said of a request to a service at this address.
async fn said(address: SocketAddr, tls: &str, length: usize) -> String {
    let port = address.port().to_string();
    let properties = [("host", "127.0.0.1"), ("port", &*port), ("tls", tls)];
    let build = find("opensearch").unwrap();
    let (output, problems) =
        configured(&properties, |settings| build(settings, Options::default()));
    assert_eq!(problems, [""; 0]);
    let (destination, body) = (Destination::default(), Bytes::from(vec![b' '; length]));
    let sent = output.send(&destination, body);
    let answer = tokio::time::timeout(Duration::from_hours(1), sent).await;
    match answer.expect("the request ends") {
        Answer::Again {
            throttled: false,
            why,
            ..
        } => why.replace(&port, "PORT"),
        other => panic!("{other:?}"),
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What is said of a service that does this with its first connection, which then stays as it is.
async fn served<F>(tls: &str, length: usize, serve: impl Fn(TcpStream) -> F) -> String
where
    F: Future<Output = TcpStream>,
{
    let (listener, address) = listener().await;
    let hang = async {
        let (stream, _) = listener.accept().await.unwrap();
        let _held = serve(stream).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = hang => unreachable!("it hangs"),
        said = said(address, tls, length) => said,
    }
}

async fn request_of(mut stream: TcpStream) -> TcpStream {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n    ") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{bytes:?}");
    }
    stream
}

#[tokio::test(start_paused = true)]
async fn connecting_has_a_deadline() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // A queue of one, which is full: the system leaves the next one without an answer.
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let _queued = std::net::TcpStream::connect(address).unwrap();
    let said = said(address, "off", 4).await;
    assert!(
        said.ends_with("cannot connect to 127.0.0.1:PORT: timed out"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_a_deadline() {
    let said = served("on", 4, std::future::ready).await;
    assert!(
        said.ends_with("no connection to 127.0.0.1:PORT within 10 s"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_reads_has_a_deadline() {
    let said = served("off", LARGE, std::future::ready).await;
    assert!(said.contains("no answer within"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_first_byte_of_an_answer_has_a_deadline() {
    let said = served("off", 4, request_of).await;
    assert!(said.contains("no answer within"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_body_of_an_answer_has_a_deadline() {
    let said = served("off", 4, |stream| async {
        let mut stream = request_of(stream).await;
        let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"";
        stream.write_all(begun).await.unwrap();
        stream
    })
    .await;
    assert!(said.contains("no answer within"), "{said}");
}
