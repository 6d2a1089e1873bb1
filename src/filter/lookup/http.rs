//! One question by HTTP, with a limit for everything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};

use crate::net::{HttpClient, HttpWay, Net, Tls, with_causes};

/// A connection that is not used is closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A client of one service, never through a proxy.
#[derive(Debug, Clone)]
pub(in crate::filter) struct Client(Arc<HttpClient<Empty<Bytes>>>);

/// A whole answer.
#[derive(Debug)]
pub(in crate::filter) struct Asked {
    /// Its status.
    pub(in crate::filter) status: StatusCode,
    /// Its body.
    pub(in crate::filter) body: Bytes,
}

impl Client {
    /// A client that connects within this time.
    pub(in crate::filter) fn new(connect_timeout: Duration, tls: Tls) -> Self {
        let net = Net::within(connect_timeout, IDLE_TIMEOUT);
        Self(Arc::new(HttpWay::direct(net, tls).client()))
    }

    /// Asks, and reads at most `most` bytes of body, all within `limit`.
    ///
    /// # Errors
    /// Why there is no whole answer, with the name of the host.
    pub(in crate::filter) async fn ask(
        &self,
        request: Request<Empty<Bytes>>,
        limit: Duration,
        most: usize,
    ) -> Result<Asked, String> {
        let host = request.uri().authority().map(ToString::to_string);
        let host = host.unwrap_or_default();
        let whole = async {
            let copy = request.clone();
            let answer = self.0.send(limit, request, || Some(copy.clone())).await;
            let (head, body) = answer.map_err(|error| with_causes(&error))?.into_parts();
            let body = Limited::new(body, most).collect().await;
            let body = body.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    format!("an answer of more than {most} bytes")
                } else {
                    with_causes(&*error)
                }
            })?;
            Ok(Asked {
                status: head.status,
                body: body.to_bytes(),
            })
        };
        let late = || Err(format!("no answer within {} s", limit.as_secs_f32()));
        tokio::time::timeout(limit, whole)
            .await
            .unwrap_or_else(|_| late())
            .map_err(|why| format!("{host}: {why}"))
    }
}
