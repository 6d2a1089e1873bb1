//! The instance's metadata service.
//!
//! A question needs a token, which another question gives (version 2). Where no token is to be had, such as behind one hop too many, it
//! is asked without one (version 1); where that is switched off as well, there is nothing.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Empty;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::config::{Settings, Variables};
use crate::filter::lookup::{Answer, Asked, Client, Found, Source};
use crate::filter::pattern::encoded;
use crate::msgpack::write;
use crate::net::Tls;

/// Where the service is, unless a variable says otherwise.
const ENDPOINT: &str = "http://169.254.169.254";
/// It is on the same host: a connection stands at once, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One question.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest answer, an identity document, has about 500 bytes.
const ANSWER_MAX: usize = 64 * 1024;
/// An instance has at most 50 tags.
const TAGS_MAX: usize = 64;
/// As long as a token may live: six hours.
const TOKEN_SECONDS: &str = "21600";

/// What the instance knows, encoded.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Instance {
    /// Keys and values.
    pub(super) pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Found for Instance {
    fn size(&self) -> usize {
        self.pairs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }
}

/// One thing to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// A text at a path below `meta-data/`.
    Text(&'static str),
    /// The network that the first interface is in.
    Vpc,
    /// Of the account, from the identity document.
    Account,
}

/// What users can ask for: the setting, which is the key as well, its default, and where it is. In the order of the keys.
const ITEMS: [(&str, bool, Item); 8] = [
    ("az", true, Item::Text("placement/availability-zone")),
    ("ec2_instance_id", true, Item::Text("instance-id")),
    ("ec2_instance_type", false, Item::Text("instance-type")),
    ("private_ip", false, Item::Text("local-ipv4")),
    ("vpc_id", false, Item::Vpc),
    ("ami_id", false, Item::Text("ami-id")),
    ("account_id", false, Item::Account),
    ("hostname", false, Item::Text("hostname")),
];

/// What the user asks for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Before and behind the tags.
    before: Vec<(&'static str, Item)>,
    behind: Vec<(&'static str, Item)>,
    tags: Option<Tags>,
}

/// Which tags.
#[derive(Debug)]
enum Tags {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

impl Tags {
    fn wants(&self, key: &str) -> bool {
        match self {
            Self::Only(keys) => keys.iter().any(|wanted| wanted == key),
            Self::AllBut(keys) => !keys.iter().any(|unwanted| unwanted == key),
        }
    }
}

impl Wanted {
    /// Reads the section.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let before = ITEMS
            .into_iter()
            .filter_map(|(key, default, item)| settings.flag(key, default).then_some((key, item)));
        let before = before.collect();
        let behind = if settings.flag("enable_entity", false) {
            vec![
                ("aws_entity_ec2_instance_id", Item::Text("instance-id")),
                ("aws_entity_account_id", Item::Account),
            ]
        } else {
            Vec::new()
        };
        let (only, but) = (settings.list("tags_include"), settings.list("tags_exclude"));
        if !only.is_empty() && !but.is_empty() {
            let message = "tags_include and tags_exclude cannot stand together; give one of them";
            settings.error("tags_exclude", message);
        }
        let tags = if only.is_empty() {
            Tags::AllBut(but)
        } else {
            Tags::Only(only)
        };
        Self {
            before,
            behind,
            tags: settings.flag("tags_enabled", false).then_some(tags),
        }
    }
}

impl Wanted {
    /// What is known of all this.
    fn instance(&self, memory: &Memory) -> Instance {
        let mut instance = Instance::default();
        let add = |items: &[(&str, Item)], instance: &mut Instance| {
            for (key, item) in items {
                if let Some(text) = memory.text(*item) {
                    instance.push(key, text);
                }
            }
        };
        add(&self.before, &mut instance);
        if let Some(wanted) = &self.tags {
            let tags = memory.tags.iter().flatten();
            for (key, value) in tags.filter(|(key, _)| wanted.wants(key)) {
                instance.push(key, value);
            }
        }
        add(&self.behind, &mut instance);
        instance
    }
}

impl Memory {
    /// Whether an item was asked for and answered.
    fn knows(&self, item: Item) -> bool {
        self.texts.iter().any(|(known, _)| *known == item)
    }

    /// The text of an item.
    fn text(&self, item: Item) -> Option<&str> {
        let mut texts = self.texts.iter();
        let (_, text) = texts.find(|(known, _)| *known == item)?;
        text.as_deref()
    }
}

/// The service, and what it has said.
pub(super) struct Imds {
    endpoint: String,
    client: Client,
    with_token: bool,
    wanted: Wanted,
    memory: Mutex<Memory>,
}

/// Why something is not known.
enum Trouble {
    /// The service does not answer, so nothing else is asked for now.
    Gone(String),
    /// This one thing is not to be had.
    Odd(String),
}

/// What has been answered is not asked again.
#[derive(Debug, Default)]
struct Memory {
    token: Option<HeaderValue>,
    /// A token was asked for during this attempt, and there was none.
    is_tokenless: bool,
    /// `None` for what the instance does not have.
    texts: Vec<(Item, Option<String>)>,
    tags: Option<Vec<(String, String)>>,
}

impl Imds {
    /// The service at the place that the environment says, with tokens or without.
    pub(super) fn new(variables: &Variables, with_token: bool, wanted: Wanted) -> Self {
        let endpoint = variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty());
        Self {
            endpoint: endpoint
                .unwrap_or(ENDPOINT)
                .trim_end_matches('/')
                .to_owned(),
            client: Client::new(CONNECT_TIMEOUT, Tls::default()),
            with_token,
            wanted,
            memory: Mutex::default(),
        }
    }

    async fn instance(&self) -> Answer<Instance> {
        let mut memory = self.memory.lock().await;
        memory.is_tokenless = false;
        let trouble = self.ask(&mut memory).await;
        let instance = self.wanted.instance(&memory);
        match trouble {
            None => Answer::Found(instance),
            Some(Trouble::Gone(why) | Trouble::Odd(why)) if instance.pairs.is_empty() => {
                Answer::Failed(why)
            }
            Some(Trouble::Gone(why) | Trouble::Odd(why)) => Answer::Partly(instance, why),
        }
    }

    /// Asks for what is wanted and not known; the last trouble with it.
    async fn ask(&self, memory: &mut Memory) -> Option<Trouble> {
        let mut last = None;
        for (_, item) in self.wanted.before.iter().chain(&self.wanted.behind) {
            if memory.knows(*item) {
                continue;
            }
            match self.item(*item, memory).await {
                Ok(text) => memory.texts.push((*item, text)),
                Err(trouble @ Trouble::Gone(_)) => return Some(trouble),
                Err(trouble) => last = Some(trouble),
            }
        }
        if self.wanted.tags.is_some() && memory.tags.is_none() {
            match self.tags(memory).await {
                Ok(tags) => memory.tags = Some(tags),
                Err(trouble) => last = Some(trouble),
            }
        }
        last
    }

    async fn item(&self, item: Item, memory: &mut Memory) -> Result<Option<String>, Trouble> {
        match item {
            Item::Text(path) => self.text(&format!("meta-data/{path}"), memory).await,
            Item::Vpc => {
                let Some(mac) = self.text("meta-data/mac", memory).await? else {
                    return Ok(None);
                };
                if !mac
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b':')
                {
                    let why = format!("`{}` is no MAC address", mac.escape_debug());
                    return Err(Trouble::Odd(why));
                }
                let path = format!("meta-data/network/interfaces/macs/{mac}/vpc-id");
                self.text(&path, memory).await
            }
            Item::Account => {
                let document = self.text("dynamic/instance-identity/document", memory);
                let Some(document) = document.await? else {
                    return Ok(None);
                };
                let document: Document = serde_json::from_str(&document)
                    .map_err(|error| Trouble::Odd(format!("the identity document: {error}")))?;
                Ok(Some(document.account_id).filter(|id| !id.is_empty()))
            }
        }
    }

    /// All tags; none where they are not told.
    async fn tags(&self, memory: &mut Memory) -> Result<Vec<(String, String)>, Trouble> {
        let list = self.text("meta-data/tags/instance", memory).await?;
        let list = list.unwrap_or_default();
        let mut tags = Vec::new();
        for key in list.lines().filter(|key| !key.is_empty()).take(TAGS_MAX) {
            let path = format!("meta-data/tags/instance/{}", in_path(key));
            if let Some(value) = self.text(&path, memory).await? {
                tags.push((key.to_owned(), value));
            }
        }
        Ok(tags)
    }

    /// What stands at a path; `None` if nothing does.
    async fn text(&self, path: &str, memory: &mut Memory) -> Result<Option<String>, Trouble> {
        if self.with_token && memory.token.is_none() && !memory.is_tokenless {
            self.renew(memory).await;
        }
        let mut answer = self.get(path, memory).await?;
        if answer.status == StatusCode::UNAUTHORIZED && memory.token.is_some() {
            // It has died.
            self.renew(memory).await;
            answer = self.get(path, memory).await?;
        }
        match answer.status {
            StatusCode::OK => {
                let text = String::from_utf8_lossy(&answer.body);
                Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
            }
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED if memory.token.is_none() => {
                let hint = if self.with_token {
                    "a token is needed and none was given; an instance whose hop limit is 1 gives none to containers"
                } else {
                    "a token is needed; write imds_version v2"
                };
                Err(Trouble::Gone(format!("{}: {hint}", self.endpoint)))
            }
            status => {
                let why = format!("{}: status {status} for {path}", self.endpoint);
                Err(Trouble::Odd(why))
            }
        }
    }

    async fn renew(&self, memory: &mut Memory) {
        memory.token = self.token().await;
        memory.is_tokenless = memory.token.is_none();
    }

    /// A token; `None` where there is none to be had.
    async fn token(&self) -> Option<HeaderValue> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{}/latest/api/token", self.endpoint))
            .header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS)
            .body(Empty::<Bytes>::new())
            .ok()?;
        let answer = self.client.ask(request, LIMIT, ANSWER_MAX).await.ok()?;
        let token = (answer.status == StatusCode::OK).then_some(answer.body)?;
        let mut token = HeaderValue::from_bytes(&token).ok()?;
        token.set_sensitive(true);
        Some(token)
    }

    async fn get(&self, path: &str, memory: &Memory) -> Result<Asked, Trouble> {
        let mut request = Request::get(format!("{}/latest/{path}", self.endpoint));
        if let Some(token) = &memory.token {
            request = request.header("x-aws-ec2-metadata-token", token);
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| Trouble::Gone(format!("{}: {error}", self.endpoint)))?;
        let answer = self.client.ask(request, LIMIT, ANSWER_MAX).await;
        answer.map_err(Trouble::Gone)
    }
}

impl Source for Imds {
    type Key = ();
    type Found = Instance;

    fn fetch<'a>(&'a self, keys: &'a [()]) -> BoxFuture<'a, Vec<Answer<Instance>>> {
        Box::pin(async move {
            let answer = self.instance().await;
            keys.iter().map(|()| answer.clone()).collect()
        })
    }
}

impl Instance {
    fn push(&mut self, key: &str, value: &str) {
        let mut text = Vec::new();
        write::str(&mut text, value.as_bytes());
        self.pairs.push((encoded(key), text));
    }
}

/// What of the identity document counts.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "accountId", default)]
    account_id: String,
}

/// A text as a part of a path.
fn in_path(text: &str) -> String {
    use std::fmt::Write as _;
    let mut path = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(byte.into());
        } else {
            let _infallible = write!(path, "%{byte:02X}");
        }
    }
    path
}
