//! `CONNECT`: through an HTTP proxy to whom we want to speak TLS with.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#name-connect>

use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::peer_name;
use super::stream::Stream;

/// The longest head of an answer.
const HEAD_MAX: usize = 16 * 1024;
/// So much of a status line goes into our log.
const SHOWN_MAX: usize = 100;

/// Asks the proxy at the other end of the stream to connect it to a host. The caller sets the deadline.
///
/// # Errors
/// Why not, in a few words.
pub(super) async fn open(
    stream: &mut Stream,
    host: &str,
    port: u16,
    authorization: Option<&HeaderValue>,
) -> Result<(), String> {
    let peer = peer_name(host, port);
    let mut request = format!("CONNECT {peer} HTTP/1.1\r\nHost: {peer}\r\n").into_bytes();
    if let Some(authorization) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let failed = |error: std::io::Error| error.to_string();
    stream.write_all(&request).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let head = read_head(stream).await?;
    verdict(&head)
}

/// Reads up to the empty line that ends a head. Whoever is behind the proxy waits for us, so nothing may follow.
async fn read_head(stream: &mut Stream) -> Result<Vec<u8>, String> {
    let mut head = Vec::new();
    loop {
        if stream
            .read_buf(&mut head)
            .await
            .map_err(|error| error.to_string())?
            == 0
        {
            return Err("it closed the connection".to_owned());
        }
        match memchr::memmem::find(&head, b"\r\n\r\n") {
            Some(end) if end + 4 < head.len() && is_success(&head) => {
                return Err("its answer goes on after its end".to_owned());
            }
            Some(_) => return Ok(head),
            None if head.len() > HEAD_MAX => return Err("its answer has no end".to_owned()),
            None => {}
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(line.get(2..5)?).ok()?.parse().ok()
}

fn is_success(head: &[u8]) -> bool {
    status(head).is_some_and(|status| (200..300).contains(&status))
}

fn verdict(head: &[u8]) -> Result<(), String> {
    if is_success(head) {
        return Ok(());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = line.get(..SHOWN_MAX).unwrap_or(line).escape_ascii();
    Err(match status(head) {
        Some(407) => "it asks for a user: write http://user:password@host:port".to_owned(),
        Some(_) => format!("it says `{line}`"),
        None => format!("it speaks no HTTP: `{line}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    /// Asks a proxy that answers `pieces`; what it was asked, and what came of it.
    async fn asked(pieces: &[&[u8]]) -> (String, Result<(), String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut ours = Stream::Tcp(ours);
        let (mut proxy, _) = listener.accept().await.unwrap();
        let auth = HeaderValue::from_static("Basic bWU6");
        let serve = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                proxy.read_buf(&mut request).await.unwrap();
            }
            for piece in pieces {
                proxy.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(proxy);
            String::from_utf8(request).unwrap()
        };
        let (request, outcome) = tokio::join!(serve, open(&mut ours, "::1", 443, Some(&auth)));
        (request, outcome)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_and_opened() {
        let (request, outcome) = asked(&[
            b"HTTP/1.0 200 Connection",
            b" established\r\nVia: x\r\n",
            b"\r\n",
        ])
        .await;
        assert_eq!(outcome, Ok(()));
        assert_eq!(
            request,
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic bWU6\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do_or_what_the_proxy_said() {
        let long = vec![b'x'; 2 * HEAD_MAX];
        for (answer, expected) in [
            (
                &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
                "user:password",
            ),
            (
                b"HTTP/1.1 403 Forbidden\r\nX: y\r\n\r\nno",
                "`HTTP/1.1 403 Forbidden`",
            ),
            (b"SSH-2.0-x\r\n\r\n", "speaks no HTTP: `SSH-2.0-x`"),
            (b"HTTP/1.1 200 OK\r\n", "closed the connection"),
            (b"HTTP/1.1 200 OK\r\n\r\nx", "after its end"),
            (b"", "closed the connection"),
            (&long, "no end"),
        ] {
            let (_, outcome) = asked(&[answer]).await;
            let said = outcome.unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }
}
