//! An output that fills bodies and posts them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use http_body_util::Full;

use super::body::Room;
use super::target::Target;
use super::{Exchange, Reply};
use crate::event::Tag;
use crate::output::compression::Compression;
use crate::output::{Answer, Destination, Encoded, Item, Limits, Output};

/// What is in the bodies.
pub(in crate::output) trait Content: Send + Sync + 'static {
    /// How much a body holds.
    fn room(&self) -> Room;

    /// Writes events until the body is full.
    fn write(&self, items: &mut dyn Iterator<Item = Item<'_>>, body: &mut Vec<u8>) -> Encoded;

    /// Whether events have destinations of their own at the server.
    fn divides(&self) -> bool {
        false
    }

    /// What keeps an event apart from others at the server.
    fn division_of(&self, _: Item<'_>) -> Box<str> {
        Box::default()
    }

    /// Adds what a request of one division needs.
    fn address(&self, _division: &str, _request: &mut Request<Full<Bytes>>) {}

    /// What is worth saying about an answer by which events were taken.
    fn remark(&self, _: &Reply) -> Option<String> {
        None
    }
}

/// Posts bodies to one server.
pub(in crate::output) struct Poster<C> {
    /// The server.
    pub(in crate::output) target: Target,
    /// How it is spoken to.
    pub(in crate::output) exchange: Exchange,
    /// How bodies are packed; the target's headers say it.
    pub(in crate::output) compress: Option<Compression>,
    /// What is in them.
    pub(in crate::output) content: C,
}

impl<C: Content> Poster<C> {
    /// As an output.
    pub(in crate::output) fn output(self) -> Arc<dyn Output> {
        Arc::new(self)
    }

    fn server(&self) -> Destination {
        Destination {
            group: Box::default(),
            name: self.target.peer.as_str().into(),
        }
    }

    async fn post(&self, destination: &Destination, body: Bytes) -> Answer {
        let make = || {
            let mut request = self.target.request(body.clone());
            if self.content.divides() {
                self.content.address(&destination.name, &mut request);
            }
            request
        };
        let peer = &self.target.peer;
        let reply = match self.exchange.ask(peer, make).await {
            Ok(reply) => reply,
            Err(answer) => return answer,
        };
        let answer = self.exchange.judge(peer, &reply);
        if answer == Answer::done()
            && let Some(remark) = self.content.remark(&reply)
        {
            self.exchange.remark(peer, &remark);
        }
        answer
    }
}

impl<C: Content> Output for Poster<C> {
    fn limits(&self) -> Limits {
        self.content.room().limits()
    }

    fn destination(&self, _: &Tag) -> Option<Destination> {
        (!self.content.divides()).then(|| self.server())
    }

    fn destination_of(&self, item: Item<'_>) -> Destination {
        if !self.content.divides() {
            return self.server();
        }
        Destination {
            group: self.target.peer.as_str().into(),
            name: self.content.division_of(item),
        }
    }

    fn encode(
        &self,
        _: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        mut body: Vec<u8>,
    ) -> Encoded {
        let mut encoded = self.content.write(items, &mut body);
        if encoded.taken() == 0 {
            return encoded;
        }
        encoded.body = match self.compress {
            Some(compression) => compression.pack(&body),
            None => body,
        }
        .into();
        encoded
    }

    fn send<'a>(&'a self, destination: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        Box::pin(self.post(destination, body))
    }

    /// Only connects: none of these services has a request that stores nothing and says whether another would be taken.
    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { Some(self.exchange.reach(&self.target).await) })
    }
}
