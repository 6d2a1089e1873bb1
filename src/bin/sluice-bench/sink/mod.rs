//! `sink`: a strict local stand-in for CloudWatch Logs, Data Firehose and Kinesis.
//!
//! | file | what |
//! |---|---|
//! | `http.rs`, `wire.rs`, `tls.rs` | one port for TLS and plain HTTP/1.1, slow reading, resets |
//! | `sigv4.rs`, `date.rs` | the signature |
//! | `logs/`, `firehose.rs`, `kinesis.rs`, `items.rs` | the limits of each service |
//! | `faults.rs` | what goes wrong on demand |
//! | `ledger.rs`, `kept.rs` | what has arrived |
//! | `control.rs` | the second port |

mod answer;
mod cloud;
mod control;
mod date;
mod faults;
mod firehose;
mod http;
mod items;
mod kept;
mod kinesis;
mod ledger;
mod logs;
mod sigv4;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::json;
use tokio::net::TcpListener;

use self::cloud::{Account, Cloud};
use self::sigv4::Credentials;
use crate::args;
use crate::error::{Error, Result};
use crate::output::{print_json, print_text};
use crate::signals;

const HELP: &str = "\
Play CloudWatch Logs, Data Firehose and Kinesis on one local port, strictly, and
count what arrives.

Usage: sluice-bench sink [options]

It checks signatures, JSON, and every documented limit, and answers as the services
do. It prints one JSON line when it listens: endpoint, control, ca_file.

Options:
      --listen ADDR         For the clients; TLS or plain HTTP [default: 127.0.0.1:0]
      --control ADDR        For looking and changing, plain HTTP [default: 127.0.0.1:0]
      --ca-file PATH        Write the certificate to trust here (PEM)
      --access-key ID       The key that requests must be signed with
      --secret-key KEY        [default: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
      --session-token TOKEN    AWS_SESSION_TOKEN of the environment]
      --auto-groups         Groups and streams exist as soon as they are named
      --delivery-stream N   A Firehose stream that exists; may be repeated
      --kinesis-stream N    A Kinesis stream that exists; may be repeated
      --keep SIZE           Keep this much of the requests for reading back [default: 0]
      --threads N           Threads [default: one per CPU]

Faults; shares are of all requests, e.g. 30%:
      --throttle SHARE      Answer with a throttling error
      --fail SHARE          Answer 500
      --fail-partly SHARE   Fail this share of records (CloudWatch Logs: answer 500)
      --reset SHARE         Cut the connection; half of them after storing
      --hang SHARE          Never answer; half of them after storing
      --delay TIME          Wait before each answer
      --outage FROM,FOR[,refuse]  Answer 503, or refuse, from FROM after the first
                            request on, for FOR; e.g. 5s,10s
      --read-rate SIZE      Read at most this many bytes per second and connection
      --deny                Answer AccessDeniedException to everything
      --seed N              The same seed gives the same faults [default: 1]

Control port:
  GET /ready  GET /stats  GET /groups
  GET /events?group=G&stream=S  GET /records?stream=S   what --keep has kept, as sent;
                                          complete is false when it had no room
  POST /faults {\"throttle\": \"30%\", ...}   names as above; others stay as they are;
                                          an outage counts from the next request,
                                          \"off\" ends it
  POST /expect {\"records\": [N, ...]}      sent per connection, so that /stats can
                                          count missing ones
  POST /reset                             forget what has arrived
";

/// What the command line asks for.
#[derive(Debug)]
struct Options {
    listen: SocketAddr,
    control: SocketAddr,
    ca_file: Option<PathBuf>,
    credentials: Credentials,
    account: Account,
    threads: Option<usize>,
}

/// A sink that listens.
struct Sink {
    endpoint: SocketAddr,
    control: SocketAddr,
}

/// Runs the command.
pub(crate) fn main(parser: &mut lexopt::Parser) -> Result<()> {
    let Some(options) = Options::parse(parser)? else {
        return print_text(HELP);
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = options.threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(Error::io("start the runtime"))?;
    runtime.block_on(async {
        let stop = signals::stop_signal()?;
        let ca_file = options.ca_file.clone();
        let sink = Sink::start(options).await?;
        print_json(&json!({
            "endpoint": sink.endpoint.to_string(),
            "port": sink.endpoint.port(),
            "control": sink.control.to_string(),
            "control_port": sink.control.port(),
            "ca_file": ca_file,
        }))?;
        stop.await;
        Ok(())
    })
}

impl Sink {
    /// Binds both ports and serves them until the runtime ends.
    async fn start(options: Options) -> Result<Self> {
        let tls = tls::acceptor(options.ca_file.as_deref())?;
        let read_rate = Arc::new(AtomicU64::new(options.account.faults.read_rate));
        let cloud = Arc::new(Cloud::new(options.credentials, options.account));
        let clients = bind(options.listen).await?;
        let control = bind(options.control).await?;
        let sink = Self {
            endpoint: address(&clients)?,
            control: address(&control)?,
        };
        tokio::spawn(http::serve(
            clients,
            tls,
            Arc::clone(&cloud),
            Arc::clone(&read_rate),
        ));
        tokio::spawn(control::serve(control, cloud, read_rate));
        Ok(sink)
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(Error::io(format!("listen on {address}")))
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener
        .local_addr()
        .map_err(Error::io("read the port that was bound"))
}

impl Options {
    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>> {
        use lexopt::Arg::{Long, Short};
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let (mut listen, mut control, mut ca_file, mut threads) = (local, local, None, None);
        let mut keys = Keys::default();
        let mut account = Account::default();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("listen") => listen = args::address(&args::value(parser)?)?,
                Long("control") => control = args::address(&args::value(parser)?)?,
                Long("ca-file") => ca_file = Some(args::path(parser)?),
                Long("access-key") => keys.access = Some(args::value(parser)?),
                Long("secret-key") => keys.secret = Some(args::value(parser)?),
                Long("session-token") => keys.token = Some(args::value(parser)?),
                Long("auto-groups") => account.any = true,
                Long("delivery-stream") => account.delivery_streams.extend([args::value(parser)?]),
                Long("kinesis-stream") => account.streams.extend([args::value(parser)?]),
                Long("keep") => account.keep = args::size(&args::value(parser)?)? as usize,
                Long("threads") => {
                    threads = Some(args::count(&args::value(parser)?)?.max(1) as usize);
                }
                Long("deny") => account.faults.set("deny", "true")?,
                Long("help") | Short('h') => return Ok(None),
                Long(name) => {
                    let Some(name) = faults::NAMES.iter().find(|known| **known == name) else {
                        return Err(arg.unexpected().into());
                    };
                    account.faults.set(name, &args::value(parser)?)?;
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Some(Self {
            listen,
            control,
            ca_file,
            credentials: keys.credentials()?,
            account,
            threads,
        }))
    }
}

/// Credentials as far as the command line gives them.
#[derive(Debug, Default)]
struct Keys {
    access: Option<String>,
    secret: Option<String>,
    token: Option<String>,
}

impl Keys {
    fn credentials(self) -> Result<Credentials> {
        let required = |given: Option<String>, name: &str| {
            let missing = || Error::Usage(format!("give the key by option or in {name}"));
            given.or_else(|| env::var(name).ok()).ok_or_else(missing)
        };
        Ok(Credentials {
            access_key: required(self.access, "AWS_ACCESS_KEY_ID")?,
            secret_key: required(self.secret, "AWS_SECRET_ACCESS_KEY")?,
            session_token: self.token.or_else(|| env::var("AWS_SESSION_TOKEN").ok()),
        })
    }
}
