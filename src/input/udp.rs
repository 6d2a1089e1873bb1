//! `udp`: datagrams of JSON objects or lines of text.
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Listen`, `Port` | 0.0.0.0, 5170 | where to listen |
//! | `Format`, `Separator` | json, `\n` | as for `tcp` |
//! | `Buffer_Size`, `Chunk_Size` | 32 | the longest object or line, in KB |
//! | `Source_Address_Key` | | the key under which a record gets its peer, as in `udp://10.0.0.1:5060` |
//!
//! A datagram stands for itself: what it leaves open does not go on in the next one.
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/udp>

use futures_util::future::BoxFuture;

use super::datagram::Datagrams;
use super::listen::Address;
use super::tcp::framing::{Format, Framing, Tally};
use super::{Context, Input};
use crate::config::Settings;
use crate::event::{Event, EventTime};
use crate::parser::Parsers;
use crate::telemetry::log::Limiter;

const PORT: u16 = 5170;

struct Udp {
    address: Address,
    format: Format,
    limit: usize,
    source_key: Option<String>,
    socket: Option<Datagrams>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, _: &Parsers) -> Box<dyn Input> {
    if settings.text("parser").is_some() {
        settings.error(
            "parser",
            "not supported; write `format none` and parse with a filter",
        );
    }
    let host = settings.text("listen").or_else(|| settings.text("host"));
    let host = host.unwrap_or_else(|| "0.0.0.0".to_owned());
    settings.accept(&["net.*"]);
    Box::new(Udp {
        address: Address::Tcp(host, settings.port("port").unwrap_or(PORT)),
        format: super::tcp::format(settings),
        limit: super::tcp::limit(settings),
        source_key: settings.text("source_address_key"),
        socket: None,
    })
}

impl Input for Udp {
    fn bind(&mut self) -> Result<(), String> {
        self.socket = Some(Datagrams::bind(&self.address)?);
        Ok(())
    }

    fn run(mut self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Some(socket) = self.socket.take() else {
                return;
            };
            let component = context.component();
            crate::info!(&component, "listening on udp {}", self.address);
            let limiter = Limiter::default();
            let take = |session: &mut dyn super::Session, datagram: &[u8], peer: &str| {
                let source = self.source_key.as_deref().map(|key| (key, peer.to_owned()));
                let mut tally = Tally::default();
                let mut framing = Framing::new(&self.format, self.limit, source);
                framing.take(datagram, true, &mut tally, &mut |record| {
                    session.offer(Event {
                        time: EventTime::now(),
                        metadata: &[],
                        record,
                    });
                });
                let lost = tally.not_json + tally.too_long + tally.incomplete;
                if lost > 0 {
                    metrics::counter!("sluice_frames_rejected_total", "name" => context.name.to_string(), "reason" => "not_json")
                        .increment(lost);
                    if let Some(before) = limiter.admit() {
                        crate::warning!(
                            &component,
                            "invalid JSON message, skipping its line{before}"
                        );
                    }
                }
            };
            socket.serve(&context, take).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::testing::Keeper;

    #[tokio::test]
    async fn every_datagram_is_read_by_itself() {
        let mut udp = Box::new(Udp {
            address: Address::Tcp("127.0.0.1".to_owned(), 0),
            format: Format::Json,
            limit: 1024,
            source_key: None,
            socket: None,
        });
        udp.bind().unwrap();
        let address = udp.socket.as_ref().unwrap().local_address();
        let keeper = Keeper::default();
        let (context, phase) = keeper.context(1 << 20);
        let running = tokio::spawn(udp.run(context));
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in ["{\"a\":1}\n{\"b\":2}", "{\"open\":", "1}", "{\"c\":3}"] {
            peer.send_to(text.as_bytes(), address).unwrap();
        }
        let kept = keeper.wait_for(3).await;
        let records: Vec<_> = kept
            .iter()
            .map(|(_, _, record)| record.as_slice())
            .collect();
        assert_eq!(
            records,
            [b"\x81\xa1a\x01", b"\x81\xa1b\x02", b"\x81\xa1c\x03"]
        );
        phase.send_replace(crate::input::Phase::Close);
        running.await.unwrap();
    }
}
