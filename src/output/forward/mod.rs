//! `forward`: frames of the forward protocol, to an aggregator such as Fluentd, Fluent Bit or another Sluice.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `host`, `port` | 127.0.0.1, 24224 | where it listens |
//! | `unix_path` | | a socket file instead |
//! | `upstream` | | a file of several nodes instead, see `nodes.rs` |
//! | `tag` | the event's | another tag, which may hold `$key` and `$TAG[n]` |
//! | `require_ack_response` | off | events count as delivered when they are acknowledged, else when they are written |
//! | `compress` | text | `gzip` |
//! | `time_as_integer` | off | whole seconds; not with `compress` |
//! | `retain_metadata_in_forward_mode` | off | send the events' metadata |
//! | `send_options`, `add_option KEY VALUE` | | more options in each frame |
//! | `shared_key`, `empty_shared_key`, `username`, `password`, `self_hostname` | | the handshake, see `login.rs` |
//! | `tls`, `tls.*`, `net.*` | off | how to reach it |
//!
//! | file | purpose |
//! |---|---|
//! | `frame.rs`, `framing.rs` | events to the bytes of a frame; what is configured of that |
//! | `nodes.rs`, `node.rs` | which node is next, and whether it fares well; one node and its connections |
//! | `link.rs`, `login.rs`, `messages.rs`, `pool.rs` | a connection: frame and acknowledgement, handshake, what the peer says, those that are idle |
//!
//! <https://docs.fluentbit.io/manual/pipeline/outputs/forward>

mod frame;
mod framing;
mod link;
mod login;
mod messages;
mod node;
mod nodes;
mod pool;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::frame::Ids;
use self::framing::{Framing, Tagging};
use self::nodes::Nodes;
use super::{Answer, Destination, Encoded, Item, Limits, Options, Output};
use crate::config::Settings;
use crate::event::Tag;

struct Forward {
    framing: Framing,
    ids: Ids,
    nodes: Nodes,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: Options) -> Arc<dyn Output> {
    settings.accept(&["fluentd_compat"]);
    let (nodes, framing) = nodes::read(settings);
    Arc::new(Forward {
        framing,
        ids: Ids::default(),
        nodes,
    })
}

impl Output for Forward {
    fn limits(&self) -> Limits {
        frame::LIMITS
    }

    /// A frame holds events of one tag, so each tag is a destination.
    fn destination(&self, tag: &Tag) -> Option<Destination> {
        let name = match &self.framing.tag {
            Tagging::Own => tag.to_text().into(),
            Tagging::Fixed(name) => name.as_str().into(),
            Tagging::Made(_) => return None,
        };
        Some(Destination {
            name,
            ..Destination::default()
        })
    }

    fn destination_of(&self, item: Item<'_>) -> Destination {
        let mut made = Vec::new();
        if let Tagging::Made(template) = &self.framing.tag {
            // What is missing is left out.
            template.render_into(item, &mut made);
        }
        Destination {
            name: if made.is_empty() {
                item.tag.to_text().into()
            } else {
                String::from_utf8_lossy(&made).into()
            },
            ..Destination::default()
        }
    }

    fn encode(
        &self,
        destination: &Destination,
        items: &mut dyn Iterator<Item = Item<'_>>,
        body: Vec<u8>,
    ) -> Encoded {
        frame::encode(&self.framing, &self.ids, destination, items, body)
    }

    fn send<'a>(&'a self, _: &'a Destination, body: Bytes) -> BoxFuture<'a, Answer> {
        let id = self.framing.ack.then(|| frame::id_of(&body)).flatten();
        Box::pin(self.nodes.send(body, id))
    }

    fn check(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
        Box::pin(async { Some(self.nodes.check().await) })
    }
}
