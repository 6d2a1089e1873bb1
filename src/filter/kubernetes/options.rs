//! The settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::api::{Api, Origin, Token};
use super::merge::Merge;
use super::names::Namer;
use super::suggestions::Allowed;
use crate::config::Settings;
use crate::filter::Means;
use crate::filter::lookup::{Terms, wait};
use crate::net::{Trust, vhost};

const URL: &str = "https://kubernetes.default.svc";
const CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const KUBELET_HOST: &str = "127.0.0.1";
const KUBELET_PORT: u16 = 10250;
const TOKEN_TTL: Duration = Duration::from_mins(10);
const NAMESPACE_TTL: Duration = Duration::from_mins(15);
const ABSENT_TTL: Duration = Duration::from_mins(1);
const IO_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// An object of the API has at most 1.5 MiB.
const OBJECT_MAX: u64 = 2 << 20;
/// The pods of a node: some hundred, with some kilobytes each.
const LIST_MAX: u64 = 8 << 20;

/// Accepted, and of no effect here.
const UNUSED: &[&str] = &[
    "aws_pod_association_endpoint",
    "aws_pod_association_host",
    "aws_pod_association_host_client_cert_file",
    "aws_pod_association_host_client_key_file",
    "aws_pod_association_host_server_ca_file",
    "aws_pod_association_host_tls_debug",
    "aws_pod_association_host_tls_verify",
    "aws_pod_association_port",
    "aws_pod_service_map_refresh_interval",
    "aws_pod_service_map_ttl",
    "aws_pod_service_preload_cache_dir",
    "dns_retries",
    "dns_wait_time",
    "kube_namespace_file",
    "set_platform",
    "tls.debug",
];

/// What to do with events.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the configuration"
)]
pub(super) struct Options {
    pub(super) namer: Namer,
    pub(super) merge: Option<Merge>,
    pub(super) allowed: Allowed,
    pub(super) labels: bool,
    pub(super) annotations: bool,
    pub(super) owner_references: bool,
    pub(super) namespace_labels: bool,
    pub(super) namespace_annotations: bool,
    pub(super) namespace_exclude: bool,
    namespace_metadata_only: bool,
    pub(super) use_journal: bool,
    pub(super) use_tag_for_meta: bool,
    pub(super) dummy_meta: bool,
    pub(super) cache_use_docker_id: bool,
}

/// How to reach those who know.
pub(super) struct Access {
    pub(super) api: Api,
    /// Asked for pods in place of the API server.
    pub(super) kubelet: Option<Api>,
    /// Looked into first.
    pub(super) preload: Option<PathBuf>,
    pub(super) pod_ttl: Option<Duration>,
    pub(super) namespace_ttl: Option<Duration>,
    absent_ttl: Duration,
    deadline: Duration,
    wait: Duration,
}

impl Options {
    /// Reads the section.
    pub(super) fn read(settings: &mut Settings<'_>, means: Means<'_>) -> (Self, Access) {
        settings.accept(UNUSED);
        for key in ["use_pod_association", "aws_use_pod_association"] {
            if settings.flag(key, false) {
                settings.warning(
                    key,
                    "is not part of this version: the names of services are not added",
                );
            }
        }
        let dummy_meta = settings.flag("dummy_meta", false);
        let use_journal = settings.flag("use_journal", false);
        let parsers = settings.flag("k8s-logging.parser", false).then(|| {
            let names = means.parsers.names();
            let parsers =
                names.filter_map(|name| Some((name.to_owned(), means.parsers.get(name)?)));
            parsers.collect()
        });
        let options = Self {
            namer: Namer::read(settings, means, use_journal),
            merge: Merge::read(settings, means),
            allowed: Allowed {
                parsers,
                exclude: settings.flag("k8s-logging.exclude", false),
            },
            labels: settings.flag("labels", true),
            annotations: settings.flag("annotations", true),
            owner_references: settings.flag("owner_references", false),
            namespace_labels: settings.flag("namespace_labels", false),
            namespace_annotations: settings.flag("namespace_annotations", false),
            namespace_exclude: settings.flag("namespace_exclude", false),
            namespace_metadata_only: settings.flag("namespace_metadata_only", false),
            use_journal: use_journal && !dummy_meta,
            use_tag_for_meta: settings.flag("use_tag_for_meta", false),
            dummy_meta,
            cache_use_docker_id: settings.flag("cache_use_docker_id", false),
        };
        (options, Access::read(settings))
    }

    fn asks(&self) -> bool {
        !self.dummy_meta && !self.use_tag_for_meta
    }

    /// Whether pods are asked for.
    pub(super) fn asks_pods(&self) -> bool {
        self.asks() && !self.namespace_metadata_only
    }

    /// Whether namespaces are.
    pub(super) fn asks_namespaces(&self) -> bool {
        let wants = self.namespace_labels || self.namespace_annotations || self.namespace_exclude;
        self.asks() && wants
    }
}

impl Access {
    fn read(settings: &mut Settings<'_>) -> Self {
        let command = settings.text("kube_token_command");
        let file = settings.text("kube_token_file");
        let origin = match command {
            Some(command) => Origin::Command(command),
            None => Origin::File(file.as_deref().unwrap_or(TOKEN_FILE).into()),
        };
        let ttl = settings.duration("kube_token_ttl").unwrap_or(TOKEN_TTL);
        let token = Arc::new(Token::new(origin, ttl));
        let limit = settings.duration("kube_meta_io_timeout");
        let limit = limit.filter(|limit| !limit.is_zero()).unwrap_or(IO_TIMEOUT);
        let (trust, names_kubelet) = trust(settings);
        // A buffer of 0 is one that grows as far as it needs to.
        let buffer = settings.size("buffer_size").filter(|size| *size > 0);
        let api = |base, most: u64, trust| Api {
            base,
            trust,
            token: Arc::clone(&token),
            limit,
            most: usize::try_from(buffer.map_or(most, |buffer| buffer.min(most)))
                .unwrap_or(usize::MAX),
            client: tokio::sync::Mutex::default(),
        };
        let kubelet_url = kubelet_url(settings);
        let kubelet = settings.flag("use_kubelet", false).then(|| {
            let trust = Trust {
                verify_name: names_kubelet,
                ..trust.clone()
            };
            api(kubelet_url, LIST_MAX, trust)
        });
        let time = |time: Option<Duration>| time.filter(|time| !time.is_zero());
        let namespace_ttl = settings.duration("kube_meta_namespace_cache_ttl");
        let absent_ttl = settings.duration("kube_meta_negative_cache_ttl");
        Self {
            kubelet,
            preload: settings.text("kube_meta_preload_cache_dir").map(Into::into),
            pod_ttl: time(settings.duration("kube_meta_cache_ttl")),
            namespace_ttl: time(Some(namespace_ttl.unwrap_or(NAMESPACE_TTL))),
            absent_ttl: absent_ttl.unwrap_or(ABSENT_TTL).max(Duration::from_secs(1)),
            deadline: limit + Duration::from_secs(1),
            wait: wait(settings),
            api: api(url(settings), OBJECT_MAX, trust),
        }
    }

    /// How to ask for things that are known for `ttl`.
    pub(super) fn terms(&self, ttl: Option<Duration>) -> Terms {
        Terms {
            wait: self.wait,
            deadline: self.deadline,
            retry_max: RETRY_MAX,
            ttl,
            absent_ttl: self.absent_ttl,
            absent_max: 1,
        }
    }
}

/// Whom to trust, and whether a kubelet has to be the one of its certificate. Mostly it is reached as 127.0.0.1, for which its
/// certificate is not.
fn trust(settings: &mut Settings<'_>) -> (Trust, bool) {
    let ca_path = settings.text("kube_ca_path").map(PathBuf::from);
    let ca_file = settings.text("kube_ca_file").map(PathBuf::from);
    let default = ca_path.is_none().then(|| PathBuf::from(CA_FILE));
    let trust = Trust {
        verify: settings.flag("tls.verify", true),
        verify_name: settings.flag("tls.verify_hostname", true),
        ca_file: ca_file.or(default),
        ca_path,
        vhost: vhost(settings),
    };
    let names_kubelet = settings.flag("tls.verify_hostname", false);
    (trust, names_kubelet)
}

/// `Kube_URL`, without a slash at its end.
fn url(settings: &mut Settings<'_>) -> String {
    let text = settings.text("kube_url");
    let text = text.as_deref().unwrap_or(URL).trim_end_matches('/');
    let url: Option<http::Uri> = text.parse().ok();
    let is_url = url.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
    });
    if !is_url {
        let message = format!(
            "{} is no URL: write https://host:port",
            settings.shown("kube_url")
        );
        settings.error("kube_url", message);
    }
    text.to_owned()
}

fn kubelet_url(settings: &mut Settings<'_>) -> String {
    let host = settings.text("kubelet_host");
    let host = host.as_deref().unwrap_or(KUBELET_HOST);
    let port = settings.port("kubelet_port").unwrap_or(KUBELET_PORT);
    let url = if host.contains(':') && !host.starts_with('[') {
        format!("https://[{host}]:{port}")
    } else {
        format!("https://{host}:{port}")
    };
    if url.parse::<http::Uri>().is_err() {
        settings.error("kubelet_host", format!("`{host}` is no host"));
    }
    url
}
