//! `sink`: a strict local stand-in for CloudWatch Logs, Data Firehose, Kinesis and S3.
//!
//! | file | what |
//! |---|---|
//! | `http.rs`, `wire.rs`, `tls.rs` | one port for TLS and plain HTTP/1.1, slow reading, resets |
//! | `sigv4.rs`, `date.rs` | the signature |
//! | `issue.rs` | credentials, and the endpoints that hand them out |
//! | `logs/`, `firehose.rs`, `kinesis.rs`, `items.rs`, `s3/` | the limits of each service |
//! | `faults.rs`, `line.rs`, `pace.rs` | what goes wrong on demand: with requests, with bytes, above a rate |
//! | `ledger.rs`, `kept.rs` | what has arrived |
//! | `control.rs` | the second port |

mod answer;
mod cloud;
mod control;
mod date;
mod faults;
mod firehose;
mod http;
mod issue;
mod items;
mod kept;
mod kinesis;
mod ledger;
mod line;
mod logs;
mod pace;
mod s3;
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
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};

use self::cloud::{Account, Cloud};
use self::sigv4::Credentials;
use crate::args;
use crate::error::{Error, Result};
use crate::output::{print_json, print_text};
use crate::signals;

const HELP: &str = "\
Play CloudWatch Logs, Data Firehose, Kinesis and S3 on one local port, strictly,
and count what arrives.

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
      --bucket N            A bucket that exists; may be repeated
      --issue TIME          Hand out credentials that live this long, as the endpoints
                            of ECS (/ecs) and EC2 do, on a port of their own, which
                            is printed as \"issue\"
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
      --expired true        Answer ExpiredTokenException to everything
      --rate N              Grant each service N requests a second, throttle the rest
      --create-rate N       The same for making groups and streams
      --page SHARE          Answer 200 with a page of HTML and store nothing
      --cut-request SHARE,OFFSET   Reset after OFFSET bytes of the request
      --cut-answer SHARE,OFFSET    Reset after OFFSET bytes of the answer (stored)
      --end-answer SHARE,OFFSET    Close in order after OFFSET bytes of the answer
      --stall-answer SHARE,OFFSET  Send OFFSET bytes of the answer, then nothing
      --slow-answer N       Send answers at N bytes per second
      --garbage SHARE       Send something else than HTTP as the answer
      --hang-connect true   Accept no connection, so that connecting hangs
      --hang-tls true       Accept connections and say nothing
      --issue-fail SHARE, --issue-hang SHARE   Answer 500, or nothing, when asked
                            for credentials
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
  POST /delete \"groups\" | \"streams\"      delete all log groups, or their streams
  POST /expire                            end the credentials handed out so far
  POST /mark                              begin to measure the time to recover
  GET /objects                            what is in the buckets
  POST /reset                             forget what has arrived
";

/// What the command line asks for.
#[derive(Debug)]
struct Options {
    listen: SocketAddr,
    control: SocketAddr,
    ca_file: Option<PathBuf>,
    keys: issue::Keys,
    issues: bool,
    account: Account,
    threads: Option<usize>,
}

/// A sink that listens.
struct Sink {
    endpoint: SocketAddr,
    control: SocketAddr,
    issue: Option<SocketAddr>,
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
        let sink = Sink::start(options)?;
        print_json(&json!({
            "endpoint": sink.endpoint.to_string(),
            "port": sink.endpoint.port(),
            "control": sink.control.to_string(),
            "control_port": sink.control.port(),
            "issue": sink.issue.map(|issue| issue.to_string()),
            "ca_file": ca_file,
        }))?;
        stop.await;
        Ok(())
    })
}

impl Sink {
    /// Binds the ports and serves them until the runtime ends.
    fn start(options: Options) -> Result<Self> {
        let tls = tls::acceptor(options.ca_file.as_deref())?;
        let read_rate = Arc::new(AtomicU64::new(options.account.faults.read_rate));
        let cloud = Arc::new(Cloud::new(options.keys, options.account));
        let clients = bind(options.listen)?;
        let control = bind(options.control)?;
        let mut sink = Self {
            endpoint: address(&clients)?,
            control: address(&control)?,
            issue: None,
        };
        if options.issues {
            let listener = bind(SocketAddr::new(options.listen.ip(), 0))?;
            sink.issue = Some(address(&listener)?);
            tokio::spawn(issue::serve(listener, Arc::clone(&cloud)));
        }
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

fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(http::BACKLOG)
    };
    listen().map_err(Error::io(format!("listen on {address}")))
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
        let mut keys = Given::default();
        let mut issue = IssueOptions::default();
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
                Long("bucket") => account.buckets.extend([args::value(parser)?]),
                Long("issue") => issue.life = Some(args::duration(&args::value(parser)?)?),
                Long(name @ ("issue-fail" | "issue-hang")) => {
                    let name = name.to_owned();
                    issue.faults.push((name, args::value(parser)?));
                }
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
            issues: issue.life.is_some(),
            keys: issue.keys(keys)?,
            account,
            threads,
        }))
    }
}

/// What the command line says of the credentials to hand out.
#[derive(Debug, Default)]
struct IssueOptions {
    life: Option<Duration>,
    faults: Vec<(String, String)>,
}

impl IssueOptions {
    /// The keys of the account; fixed ones may be left out where others are handed out.
    fn keys(self, given: Given) -> Result<issue::Keys> {
        let fixed = match given.credentials() {
            Err(_) if self.life.is_some() => None,
            given => Some(given?),
        };
        let mut keys = issue::Keys::new(fixed, self.life);
        for (name, value) in &self.faults {
            keys.set(name, value)?;
        }
        Ok(keys)
    }
}

/// Credentials as far as the command line gives them.
#[derive(Debug, Default)]
struct Given {
    access: Option<String>,
    secret: Option<String>,
    token: Option<String>,
}

impl Given {
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
