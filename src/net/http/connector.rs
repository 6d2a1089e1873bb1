//! Makes the connections of the pool: straight or through a proxy, plain or with TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HttpWay;
use crate::net::dial::{DialError, Dialer, peer_name, secure};
use crate::net::proxy::Proxy;
use crate::net::stream::Stream;
use crate::net::tunnel;

/// How many answers came over a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses(pub(super) Arc<AtomicU32>);

/// Makes connections for the pool.
#[derive(Debug, Clone)]
pub(super) struct Connector(Arc<Ways>);

impl Connector {
    /// A connector that does as configured.
    pub(super) fn new(way: HttpWay) -> Self {
        let dialer = Dialer::new(way.net.clone());
        Self(Arc::new(Ways { dialer, way }))
    }

    /// Connects to the server of a URL in time.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(super) async fn open(&self, uri: &Uri) -> Result<Link, DialError> {
        let peer = uri.authority().map_or("", |authority| authority.as_str());
        self.0.dialer.in_time(peer, self.0.open(uri)).await
    }

    /// The proxy that a URL is reached through.
    pub(super) fn proxy_of(&self, uri: &Uri) -> Option<&Proxy> {
        self.0.proxy_of(uri)
    }
}

#[derive(Debug)]
struct Ways {
    dialer: Dialer,
    way: HttpWay,
}

impl Ways {
    fn proxy_of(&self, uri: &Uri) -> Option<&Proxy> {
        self.way.proxies.of(bare(uri.host()?))
    }

    async fn open(&self, uri: &Uri) -> Result<Link, DialError> {
        let is_tls = uri.scheme_str() == Some("https");
        let host = bare(uri.host().unwrap_or_default());
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let proxy = self.proxy_of(uri);
        let mut stream = match proxy {
            Some(proxy) => self.reach(proxy).await?,
            None => self.dialer.tcp(host, port).await?,
        };
        if let Some(proxy) = proxy.filter(|_| is_tls) {
            let opened = tunnel::open(&mut stream, host, port, proxy.authorization.as_ref()).await;
            opened.map_err(|why| DialError::Proxy {
                proxy: peer_name(&proxy.host, proxy.port),
                peer: peer_name(host, port),
                why,
            })?;
        }
        if is_tls {
            stream = secure(stream, &self.way.tls, host, port).await?;
        }
        Ok(Link {
            stream,
            is_proxied: proxy.is_some() && !is_tls,
            uses: Uses::default(),
        })
    }

    async fn reach(&self, proxy: &Proxy) -> Result<Stream, DialError> {
        let stream = self.dialer.tcp(&proxy.host, proxy.port).await?;
        if proxy.tls {
            secure(stream, &self.way.proxy_tls, &proxy.host, proxy.port).await
        } else {
            Ok(stream)
        }
    }
}

/// A host without the brackets that an IPv6 address has in a URL.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(TokioIo::new(connector.open(&uri).await?)) })
    }
}

/// A connection in the pool.
#[derive(Debug)]
pub(in crate::net) struct Link {
    stream: Stream,
    /// The requests name the whole URL.
    is_proxied: bool,
    uses: Uses,
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
            .proxy(self.is_proxied)
            .extra(self.uses.clone())
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
