use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{HttpClient, HttpError, HttpWay};
use crate::config::testing::configured;

const LIMIT: Duration = Duration::from_secs(20);

fn client(properties: &[(&str, &str)]) -> HttpClient<Full<Bytes>> {
    let read = |settings: &mut crate::config::Settings<'_>| HttpWay::read(settings, LIMIT);
    let (way, problems) = configured(properties, read);
    assert_eq!(problems, [""; 0]);
    way.client()
}

/// A server and where it is.
async fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    (listener, url)
}

fn request(url: &str) -> Request<Full<Bytes>> {
    let body = Full::from(&b"body"[..]);
    Request::post(url).body(body).unwrap()
}

async fn send(client: &HttpClient<Full<Bytes>>, url: &str) -> Result<StatusCode, HttpError> {
    let again = || Some(request(url));
    let response = client.send(LIMIT, request(url), again).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> Self {
        panic!("the body broke: {error}")
    }
}

/// Reads one request, as text.
async fn take(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\nbody") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{bytes:?}");
    }
    String::from_utf8(bytes).unwrap()
}

async fn answer(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    stream.write_all(answer).await.unwrap();
}

/// Checklist: outputs 37
#[tokio::test]
async fn a_request_that_dies_on_a_used_connection_is_sent_again_at_once() {
    let (listener, url) = server().await;
    let client = client(&[]);
    let serve = async {
        let (mut first, _) = listener.accept().await.unwrap();
        take(&mut first).await;
        answer(&mut first).await;
        // The second request arrives, and the connection goes without a word.
        take(&mut first).await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        take(&mut second).await;
        answer(&mut second).await;
    };
    let sent = async {
        let first = send(&client, &url).await.unwrap();
        (first, send(&client, &url).await.unwrap())
    };
    let ((), answers) = tokio::join!(serve, sent);
    assert_eq!(answers, (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn a_request_that_dies_on_a_new_connection_is_for_the_caller() {
    let (listener, url) = server().await;
    let client = client(&[]);
    let serve = async {
        let (mut first, _) = listener.accept().await.unwrap();
        take(&mut first).await;
    };
    let ((), outcome) = tokio::join!(serve, send(&client, &url));
    assert!(matches!(outcome, Err(HttpError::Exchange(_))));
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_not_asked_for_again() {
    let (listener, url) = server().await;
    let client = client(&[]);
    let serve = async {
        let (mut first, _) = listener.accept().await.unwrap();
        take(&mut first).await;
        answer(&mut first).await;
        take(&mut first).await;
        first.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        // Held until the client has given up.
        first
    };
    let sent = async {
        send(&client, &url).await.unwrap();
        send(&client, &url).await
    };
    let (_first, outcome) = tokio::join!(serve, sent);
    assert!(matches!(outcome, Err(HttpError::Exchange(_))));
}

/// How many of three requests, one after the other, each connection serves.
async fn served(properties: &[(&str, &str)]) -> Vec<u32> {
    let (listener, url) = server().await;
    let client = client(properties);
    let (done, mut over) = tokio::sync::oneshot::channel::<()>();
    let accept = async {
        let mut connections = Vec::new();
        loop {
            let (mut stream, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                _ = &mut over => return connections,
            };
            connections.push(tokio::spawn(async move {
                let mut count = 0;
                while stream.peek(&mut [0]).await.is_ok_and(|ready| ready > 0) {
                    take(&mut stream).await;
                    answer(&mut stream).await;
                    count += 1;
                }
                count
            }));
        }
    };
    let sent = async {
        for _ in 0..3 {
            send(&client, &url).await.unwrap();
        }
        drop((client, done));
    };
    let (connections, ()) = tokio::join!(accept, sent);
    let mut served = Vec::new();
    for connection in connections {
        served.push(connection.await.unwrap());
    }
    // The pool may have opened one for nothing, because another was free sooner.
    served.retain(|count| *count > 0);
    served
}

#[tokio::test]
async fn a_connection_serves_as_many_requests_as_it_may() {
    assert!(served(&[]).await.len() < 3);
    assert_eq!(served(&[("net.keepalive", "off")]).await, [1, 1, 1]);
    let recycled = served(&[("net.keepalive_max_recycle", "2")]).await;
    assert!(recycled.iter().all(|count| *count <= 2), "{recycled:?}");
    assert_eq!(
        served(&[("net.keepalive_max_recycle", "1")]).await,
        [1, 1, 1]
    );
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_the_server_would() {
    let (listener, url) = server().await;
    let client = client(&[("net.keepalive_idle_timeout", "1")]);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        take(&mut stream).await;
        answer(&mut stream).await;
        // The server leaves it open; that it ends is our doing.
        stream.read(&mut [0]).await.unwrap()
    };
    let (read, outcome) = tokio::join!(serve, send(&client, &url));
    assert!(outcome.is_ok());
    assert_eq!(read, 0);
}

#[tokio::test]
async fn a_server_that_has_an_ipv6_address_only_is_reached() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let client = client(&[]);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = take(&mut stream).await;
        answer(&mut stream).await;
        request
    };
    let (request, outcome) = tokio::join!(serve, send(&client, &url));
    assert_eq!(outcome.unwrap(), StatusCode::OK);
    assert!(request.contains("host: [::1]:"), "{request}");
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_given_up() {
    let (_listener, url) = server().await;
    let client = client(&[]);
    let limit = Duration::from_millis(50);
    let outcome = client.send(limit, request(&url), || None).await;
    assert!(matches!(outcome, Err(HttpError::Late(late)) if late == limit));
}

#[tokio::test]
async fn plain_http_goes_to_the_proxy_with_the_whole_url_and_the_user() {
    let (listener, url) = server().await;
    let proxy = url.replace("http://", "http://me:pw@");
    let client = client(&[("proxy", proxy.trim_end_matches("/in"))]);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = take(&mut stream).await;
        answer(&mut stream).await;
        request
    };
    let (request, outcome) = tokio::join!(serve, send(&client, "http://far.test:8080/x?y=1"));
    assert!(outcome.is_ok());
    assert!(
        request.starts_with("POST http://far.test:8080/x?y=1 HTTP/1.1\r\n"),
        "{request}"
    );
    for header in [
        "proxy-authorization: Basic bWU6cHc=\r\n",
        "host: far.test:8080\r\n",
    ] {
        assert!(request.contains(header), "{request}");
    }
}
