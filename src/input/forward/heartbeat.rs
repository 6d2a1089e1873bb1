//! Fluentd's heartbeat over UDP: whatever comes is answered by one byte.

use tokio::net::UdpSocket;

use crate::input::listen::Address;

/// The longest heartbeat; clients send one byte.
const LONGEST: usize = 128;

/// A socket beside the listener.
#[derive(Debug)]
pub(super) struct Heartbeat(UdpSocket);

impl Heartbeat {
    /// Binds where the listener has been bound.
    ///
    /// # Errors
    /// A sentence that names the address.
    pub(super) fn bind(address: &Address) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("cannot listen on {address} over UDP: {error}");
        let Address::Tcp(host, port) = address else {
            return Err(wrong(std::io::ErrorKind::Unsupported.into()));
        };
        let socket = std::net::UdpSocket::bind((host.as_str(), *port)).map_err(wrong)?;
        socket.set_nonblocking(true).map_err(wrong)?;
        UdpSocket::from_std(socket).map(Self).map_err(wrong)
    }

    /// Answers for ever. An answer is shorter than what it answers, so nobody gains by sending in another's name.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn answer(&self) {
        let mut room = [0; LONGEST];
        loop {
            // Errors are those of peers that are gone.
            if let Ok((1.., peer)) = self.0.recv_from(&mut room).await {
                drop(self.0.send_to(&[0], peer).await);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_datagram_is_answered_by_one_byte() {
        let heartbeat = Heartbeat::bind(&Address::Tcp("127.0.0.1".to_owned(), 0)).unwrap();
        let to = heartbeat.0.local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut room = [9; 16];
        let talk = async {
            for sent in [&b"\0"[..], b"anything", &[1; 500]] {
                client.send_to(sent, to).await.unwrap();
                let (length, _) = client.recv_from(&mut room).await.unwrap();
                assert_eq!(&room[..length], [0]);
            }
        };
        tokio::select! { () = talk => {} () = heartbeat.answer() => {} }
    }
}
