//! `sluice check`: whether the destinations of a configuration answer.
//!
//! Each is looked up and connected to, all at the same time, within five seconds. Nothing is sent.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::{Config, Place, Problems, Section, SectionKind, Settings, value};

/// How long looking up, and then connecting, may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where an output sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The output: its plugin and its place.
    pub output: String,
    /// Where the section stands.
    pub place: Place,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What became of a destination.
#[derive(Debug)]
pub struct Finding {
    /// Which one.
    pub destination: Destination,
    /// The address that answered, or why none did.
    pub answer: Result<SocketAddr, String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Destination {
            output,
            place,
            host,
            port,
        } = &self.destination;
        match &self.answer {
            Ok(address) => write!(
                f,
                "{place}: output {output}: {host}:{port} answers ({address})"
            ),
            Err(error) => write!(f, "{place}: output {output}: {host}:{port} {error}"),
        }
    }
}

/// The outputs that take `host` and `port`, with the port they send to unless told otherwise.
const BY_HOST: [(&str, u16); 12] = [
    ("datadog", 443),
    ("es", 9200),
    ("forward", 24224),
    ("gelf", 12201),
    ("http", 80),
    ("loki", 3100),
    ("opensearch", 9200),
    ("opentelemetry", 80),
    ("prometheus_remote_write", 80),
    ("splunk", 8088),
    ("syslog", 514),
    ("tcp", 5170),
];

/// The outputs that send to a service of AWS, with the service's part of the host name.
const BY_REGION: [(&str, &str); 7] = [
    ("cloudwatch", "logs"),
    ("cloudwatch_logs", "logs"),
    ("firehose", "firehose"),
    ("kinesis", "kinesis"),
    ("kinesis_firehose", "firehose"),
    ("kinesis_streams", "kinesis"),
    ("s3", "s3"),
];

/// The destinations of a configuration and of the sections of the command line; outputs that send
/// nowhere, such as `stdout`, have none.
pub fn destinations(config: &Config, extra: &[Section]) -> Vec<Destination> {
    let sections = config.sections.iter().chain(extra);
    let outputs = sections.filter(|section| section.kind == SectionKind::Output);
    outputs
        .filter_map(|section| destination(section, config))
        .collect()
}

fn destination(section: &Section, config: &Config) -> Option<Destination> {
    // What is wrong with the section is reported by those who read it to run it.
    let mut problems = Problems::default();
    let mut settings = Settings::new(section, &config.variables, &mut problems);
    let plugin = settings.name().to_owned();
    let active = settings.text("active");
    if active.is_some_and(|text| value::flag(&text) == Some(false) || text == "0") {
        return None;
    }
    let of_plugin = |table: &[(&'static str, u16)]| {
        let row = table.iter().find(|(name, _)| *name == plugin);
        row.map(|(_, port)| *port)
    };
    let service = BY_REGION.iter().find(|(name, _)| *name == plugin);
    let (host, port) = if let Some((_, service)) = service {
        of_service(&mut settings, service, config)?
    } else {
        let port = of_plugin(&BY_HOST)?;
        let host = settings.text("host");
        (host.unwrap_or_else(|| "127.0.0.1".to_owned()), port)
    };
    Some(Destination {
        output: plugin,
        place: section.place.clone(),
        host,
        port: settings.port("port").unwrap_or(port),
    })
}

/// The host and port of a service, or of what `endpoint` puts in its place.
fn of_service(
    settings: &mut Settings<'_>,
    service: &str,
    config: &Config,
) -> Option<(String, u16)> {
    if let Some(endpoint) = settings.text("endpoint") {
        let port = if endpoint.starts_with("http://") {
            80
        } else {
            443
        };
        let host = endpoint
            .trim_start_matches("http://")
            .trim_start_matches("https://");
        let host = host.split('/').next().unwrap_or(host);
        return Some(match host.rsplit_once(':') {
            Some((host, number)) if number.parse::<u16>().is_ok() => {
                (host.to_owned(), number.parse().unwrap_or(port))
            }
            _ => (host.to_owned(), port),
        });
    }
    let from_variable = || {
        let names = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        names
            .iter()
            .find_map(|name| config.variables.get(name))
            .map(str::to_owned)
    };
    let region = settings.text("region").or_else(from_variable)?;
    let suffix = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    Some((format!("{service}.{region}.{suffix}"), 443))
}

/// Asks all destinations at once; the findings come in the order of the destinations.
pub async fn ask(destinations: Vec<Destination>) -> Vec<Finding> {
    let mut asked = JoinSet::new();
    for (number, destination) in destinations.into_iter().enumerate() {
        asked.spawn(async move {
            let answer = connect(&destination.host, destination.port).await;
            let finding = Finding {
                destination,
                answer,
            };
            (number, finding)
        });
    }
    let mut findings = asked.join_all().await;
    findings.sort_by_key(|(number, _)| *number);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

/// The first address that accepts a connection.
async fn connect(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = timeout(DEADLINE, lookup_host((host, port)))
        .await
        .map_err(|_| format!("cannot be looked up: no answer in {} s", DEADLINE.as_secs()))?
        .map_err(|error| format!("cannot be looked up: {error}"))?;
    let mut last = "has no address".to_owned();
    let addresses: Vec<SocketAddr> = found.collect();
    // All addresses share the deadline: a host with many that are silent must not take minutes.
    let share = DEADLINE / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(error)) => format!("cannot be connected to: {error} ({address})"),
            Err(_) => format!(
                "cannot be connected to: no answer in {} s ({address})",
                share.as_secs()
            ),
        };
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;

    fn read(text: &str) -> Vec<Destination> {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.conf");
        std::fs::write(&main, text).unwrap();
        let variables = Variables::from_pairs([("AWS_REGION", "us-east-2")]);
        let config = crate::config::load(&main, variables, &mut Problems::default());
        destinations(&config, &[])
    }

    #[test]
    fn destinations_come_from_host_region_and_endpoint() {
        for (lines, expected) in [
            ("Name http\n  Host h\n  Port 81", Some(("h", 81))),
            ("Name es", Some(("127.0.0.1", 9200))),
            (
                "Name cloudwatch_logs\n  Region eu-west-1",
                Some(("logs.eu-west-1.amazonaws.com", 443)),
            ),
            (
                "Name firehose",
                Some(("firehose.us-east-2.amazonaws.com", 443)),
            ),
            (
                "Name kinesis_streams\n  Region cn-north-1",
                Some(("kinesis.cn-north-1.amazonaws.com.cn", 443)),
            ),
            (
                "Name s3\n  Endpoint http://localhost:9000/x",
                Some(("localhost", 9000)),
            ),
            (
                "Name s3\n  Endpoint minio\n  Port 9001",
                Some(("minio", 9001)),
            ),
            ("Name stdout", None),
            ("Name http\n  Active off", None),
        ] {
            let found = read(&format!("[OUTPUT]\n  {lines}\n"));
            let found = found.first().map(|found| (found.host.as_str(), found.port));
            assert_eq!(found, expected, "{lines}");
        }
    }

    #[tokio::test]
    async fn a_destination_answers_or_says_why_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap().port();
        let closed = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let destination = |host: &str, port| Destination {
            output: "http".to_owned(),
            place: Place::command_line(),
            host: host.to_owned(),
            port,
        };
        let findings = ask(vec![
            destination("127.0.0.1", open),
            destination("127.0.0.1", closed),
            destination("no.such.host.invalid", 80),
        ])
        .await;
        assert!(findings[0].answer.is_ok(), "{}", findings[0]);
        assert!(
            findings[1].to_string().contains("cannot be connected to"),
            "{}",
            findings[1]
        );
        assert!(
            findings[2].to_string().contains("cannot be looked up"),
            "{}",
            findings[2]
        );
    }
}
