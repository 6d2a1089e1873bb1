//! HTTP/1.1 with keep-alive: a pool of connections for each output, through a proxy where there is one.
//!
//! A request that dies on a connection that has served others, before any answer, is sent again at once: a server closes idle
//! connections whenever it likes, and mostly it was that.

mod connector;
#[cfg(test)]
mod tests;

use std::error;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::PROXY_AUTHORIZATION;
use http::{Extensions, Request, Response, Uri};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use self::connector::{Connector, Uses};
use super::dial::DialError;
use super::proxy::Proxies;
use super::settings::Net;
use super::tls::Tls;
use crate::config::Settings;

/// How often a request is sent again because the connection it met was dead. More are not in the pool at once.
const RESENDS_MAX: u32 = 4;

/// Everything that is configured about reaching HTTP servers.
#[derive(Debug, Clone)]
pub struct HttpWay {
    net: Net,
    tls: Tls,
    proxies: Proxies,
    proxy_tls: Tls,
}

impl HttpWay {
    /// Reads `net.*`, `tls.*`, `proxy` and the environment. `idle_timeout` is the default of `net.keepalive_idle_timeout`.
    pub fn read(settings: &mut Settings<'_>, idle_timeout: Duration) -> Self {
        Self {
            net: Net::read(settings, idle_timeout),
            tls: Tls::read(settings),
            proxies: Proxies::read(settings),
            proxy_tls: Tls::of_proxy(settings),
        }
    }

    /// The way to a host that is never behind a proxy.
    pub fn direct(net: Net, tls: Tls) -> Self {
        Self {
            net,
            proxy_tls: tls.clone(),
            tls,
            proxies: Proxies::default(),
        }
    }

    /// `net.io_timeout`.
    pub fn io_timeout(&self) -> Option<Duration> {
        self.net.io_timeout
    }

    /// Makes a client. Nothing is asked of the network yet.
    pub fn client<B>(&self) -> HttpClient<B>
    where
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn error::Error + Send + Sync>>,
    {
        let net = &self.net;
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(net.idle_timeout)
            .pool_timer(TokioTimer::new());
        if !net.keepalive {
            builder.pool_max_idle_per_host(0);
        }
        let uses_max = net.uses_max;
        let connector = Connector::new(self.clone());
        HttpClient {
            client: builder.build(connector.clone()),
            connector,
            uses_max,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or one that broke.
    #[error(transparent)]
    Exchange(#[from] legacy::Error),
    /// The answer has not begun in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Late(Duration),
}

/// A client with its pool.
#[derive(Debug)]
pub struct HttpClient<B> {
    client: Client<Connector, B>,
    connector: Connector,
    uses_max: u32,
}

impl<B> HttpClient<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn error::Error + Send + Sync>>,
{
    /// Sends a request, and what `again` gives each time it met a dead connection: the same once more, or nothing where that
    /// cannot be. `limit` is how long an answer may take to begin; how long its body may take is for the caller to say.
    ///
    /// # Errors
    /// See [`HttpError`].
    ///
    /// # Cancel safety
    /// When dropped, nobody knows whether the server has the request; its connection is closed.
    pub async fn send(
        &self,
        limit: Duration,
        mut request: Request<B>,
        mut again: impl FnMut() -> Option<Request<B>>,
    ) -> Result<Response<Incoming>, HttpError> {
        let mut resends = 0;
        loop {
            self.authorize(&mut request);
            let connection = capture_connection(&mut request);
            let answer = tokio::time::timeout(limit, self.client.request(request)).await;
            match answer.map_err(|_| HttpError::Late(limit))? {
                Ok(response) => {
                    self.count(&connection);
                    return Ok(response);
                }
                Err(error) => {
                    let is_dead = uses(&connection).is_some_and(|uses| uses > 0) && is_cut(&error);
                    let may_resend = is_dead && resends < RESENDS_MAX;
                    request = may_resend.then(&mut again).flatten().ok_or(error)?;
                    resends += 1;
                }
            }
        }
    }

    /// Connects to the server of a URL, through a proxy where there is one, with TLS where it is asked for, and sends nothing.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn reach(&self, uri: &Uri) -> Result<(), DialError> {
        self.connector.open(uri).await.map(drop)
    }

    /// A proxy that carries plain HTTP reads its credentials from each request.
    fn authorize(&self, request: &mut Request<B>) {
        let uri = request.uri();
        let is_plain = uri.scheme_str() == Some("http");
        let proxy = self.connector.proxy_of(uri).filter(|_| is_plain);
        if let Some(header) = proxy.and_then(|proxy| proxy.authorization.clone()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, header);
        }
    }

    /// Counts an answer on its connection, which is not used again when it has served enough.
    fn count(&self, connection: &CaptureConnection) {
        let metadata = connection.connection_metadata();
        let Some(connected) = metadata.as_ref() else {
            return;
        };
        if let Some(Uses(uses)) = extra(connected)
            && uses.fetch_add(1, Ordering::Relaxed) + 1 >= self.uses_max
        {
            connected.poison();
        }
    }
}

fn extra(connected: &Connected) -> Option<Uses> {
    let mut extensions = Extensions::new();
    connected.get_extras(&mut extensions);
    extensions.remove()
}

fn uses(connection: &CaptureConnection) -> Option<u32> {
    let metadata = connection.connection_metadata();
    let Uses(uses) = extra(metadata.as_ref()?)?;
    Some(uses.load(Ordering::Relaxed))
}

/// Whether the connection ended, rather than that something nobody understands came over it.
fn is_cut(error: &legacy::Error) -> bool {
    let cause = error::Error::source(error).and_then(|cause| cause.downcast_ref::<hyper::Error>());
    cause.is_some_and(|cause| !cause.is_parse() && !cause.is_user() && !cause.is_timeout())
}
