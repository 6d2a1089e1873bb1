//! `health`: whether a TCP port accepts connections, now and then.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Host`, `Port` | 127.0.0.1, required | where to connect |
//! | `Interval_Sec`, `Interval_NSec` | 1, 0 | the time between two tries |
//! | `Alert` | off | an event only when the try failed |
//! | `Add_Host`, `Add_Port` | off | add `hostname` and `port` |
//!
//! ```text
//! {"alive": true, "hostname": "127.0.0.1", "port": 80}
//! ```
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/health>

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;

use super::{Context, Ingest, Input, Phase, reached};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::msgpack::write;
use crate::parser::Parsers;

/// A try that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

struct Health {
    host: String,
    port: u16,
    interval: Duration,
    alert: bool,
    add_host: bool,
    add_port: bool,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    Box::new(read(settings))
}

fn read(settings: &mut Settings<'_>) -> Health {
    let host = settings.text("host").or_else(|| settings.text("listen"));
    let port = settings.port("port");
    if settings.text("port").is_none() {
        settings.required("port");
    }
    Health {
        host: host.unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: port.unwrap_or_default(),
        interval: super::interval(settings),
        alert: settings.flag("alert", false),
        add_host: settings.flag("add_host", false),
        add_port: settings.flag("add_port", false),
    }
}

impl Input for Health {
    fn bind(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.watch(&context).await })
    }
}

impl Health {
    async fn watch(&self, context: &Context) {
        let mut ingest = Ingest::open_source(context);
        let mut phase = context.phase.clone();
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let tried = async {
                ticks.tick().await;
                let is_alive = self.is_alive().await;
                (is_alive, ingest.permit(self.host.len() + 64).await)
            };
            let (is_alive, permit) = tokio::select! {
                tried = tried => tried,
                () = reached(&mut phase, Phase::Drain) => return,
            };
            if is_alive && self.alert {
                continue;
            }
            let session = ingest.session();
            session.tag(context.tag.as_bytes());
            session.offer(Event {
                time: EventTime::now(),
                metadata: &[],
                record: &self.record(is_alive),
            });
            session.commit().await;
            drop(permit);
        }
    }

    async fn is_alive(&self) -> bool {
        let connected = TcpStream::connect((self.host.as_str(), self.port));
        let connected = tokio::time::timeout(PATIENCE, connected).await;
        connected.is_ok_and(|connected| connected.is_ok())
    }

    fn record(&self, is_alive: bool) -> Vec<u8> {
        let mut record = Vec::new();
        let pairs = 1 + u32::from(self.add_host) + u32::from(self.add_port);
        write::map_header(&mut record, pairs);
        write::str(&mut record, b"alive");
        write::bool(&mut record, is_alive);
        if self.add_host {
            write::str(&mut record, b"hostname");
            write::str(&mut record, self.host.as_bytes());
        }
        if self.add_port {
            write::str(&mut record, b"port");
            write::unsigned(&mut record, self.port.into());
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured;
    use crate::input::testing::Keeper;

    /// The record of the first try of this port.
    async fn first(port: u16, more: &[(&str, &str)]) -> Vec<u8> {
        let text = port.to_string();
        let properties = [&[("port", &*text)], more].concat();
        let (health, said) = configured(&properties, read);
        assert_eq!(said, [""; 0]);
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        let running = tokio::spawn(Box::new(health).run(context));
        let kept = keeper.wait_for(1).await;
        phase.send_replace(Phase::Drain);
        running.await.unwrap();
        kept[0].2.clone()
    }

    #[tokio::test]
    async fn a_port_is_alive_while_somebody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(first(port, &[]).await, b"\x81\xa5alive\xc3");
        drop(listener);
        let dead = first(
            port,
            &[("alert", "on"), ("add_host", "on"), ("add_port", "on")],
        )
        .await;
        let mut expected = b"\x83\xa5alive\xc2\xa8hostname\xa9127.0.0.1\xa4port\xcd".to_vec();
        expected.extend(port.to_be_bytes());
        assert_eq!(dead, expected);
    }

    #[test]
    fn a_port_is_required() {
        let (_, said) = configured(&[], |settings| build(settings, &Parsers::default()));
        assert!(said.concat().contains("key `port`: missing"), "{said:?}");
    }
}
