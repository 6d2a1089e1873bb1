//! Which hosts are reached through a proxy.
//!
//! | source | meaning |
//! |---|---|
//! | `proxy` of the section | every host |
//! | `HTTP_PROXY`, else `http_proxy` | every host but those in `NO_PROXY`, else `no_proxy` |
//! | `net.proxy_env_ignore on` | the variables mean nothing |
//!
//! A proxy is `[http[s]://][user:password@]host[:port]`. `NO_PROXY` is a list with commas of hosts, `.domain` for all hosts
//! below it, and `*`. Link-local addresses, where a task finds its credentials, are never asked for through a proxy: a proxy
//! would answer for its own machine.

use std::net::IpAddr;

use http::HeaderValue;

use crate::config::{Settings, value};

/// What is asked of the environment, the first that is set.
const PROXY_VARIABLES: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const EXCEPT_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// It is reached by TLS.
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// `Proxy-Authorization`, where the URL holds a user.
    pub(super) authorization: Option<HeaderValue>,
}

/// The proxy and the hosts it is not for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    proxy: Option<Proxy>,
    except: Vec<String>,
}

impl std::fmt::Debug for Proxy {
    /// Without the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxies {
    /// Reads the section and the environment.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let ignore = settings.flag("net.proxy_env_ignore", false);
        if let Some(url) = settings.text("proxy") {
            let proxy = Proxy::parse(&url);
            if proxy.is_none() {
                settings.error("proxy", "is no proxy: write http://host:port");
            }
            return Self {
                proxy,
                except: Vec::new(),
            };
        }
        let variable = |names: [&'static str; 2]| {
            let mut set = names.into_iter().filter(|_| !ignore);
            set.find_map(|name| Some((name, settings.variable(name)?.to_owned())))
        };
        let Some((name, url)) = variable(PROXY_VARIABLES) else {
            return Self::default();
        };
        let except = variable(EXCEPT_VARIABLES).map(|(_, list)| value::comma_list(&list));
        let proxy = Proxy::parse(&url);
        if proxy.is_none() {
            let message = format!(
                "the variable {name} holds no proxy: write http://host:port, or set net.proxy_env_ignore on"
            );
            settings.error("net.proxy_env_ignore", message);
        }
        Self {
            proxy,
            except: except.unwrap_or_default(),
        }
    }

    /// The proxy for a host, written without brackets.
    pub(super) fn of(&self, host: &str) -> Option<&Proxy> {
        let excepts = |entry: &String| {
            entry == "*"
                || entry.eq_ignore_ascii_case(host)
                || entry.starts_with('.') && ends_with(host, entry)
        };
        let is_direct = is_link_local(host) || self.except.iter().any(excepts);
        self.proxy.as_ref().filter(|_| !is_direct)
    }
}

fn ends_with(host: &str, suffix: &str) -> bool {
    let start = host.len().checked_sub(suffix.len());
    start
        .and_then(|start| host.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// `169.254.170.2` and its kind, and the address of an instance's metadata in IPv6.
fn is_link_local(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_unicast_link_local() || address.segments().starts_with(&[0xfd00, 0xec2])
        }
        Err(_) => false,
    }
}

impl Proxy {
    fn parse(url: &str) -> Option<Self> {
        let (tls, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some(_) => return None,
            None => (false, url),
        };
        let rest = rest.trim_end_matches('/');
        // The password may hold an @.
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let authority: http::uri::Authority = authority.parse().ok()?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let default = if tls { 443 } else { 80 };
        let authorization = match user {
            Some(user) => Some(basic(user)?),
            None => None,
        };
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => default,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        (!host.is_empty()).then_some(Self {
            tls,
            host,
            port,
            authorization,
        })
    }
}

/// `user:password` as they stand in a URL, for a header.
fn basic(user: &str) -> Option<HeaderValue> {
    let decoded = match user.split_once(':') {
        Some((user, password)) => [&decoded(user), &b":"[..], &decoded(password)].concat(),
        None => [&decoded(user), &b":"[..]].concat(),
    };
    let text = format!("Basic {}", base64_simd::STANDARD.encode_to_string(decoded));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// `%40` becomes `@`; a `%` that starts no pair of digits stays.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digit = |place: usize| behind.get(place).and_then(|c| char::from(*c).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push((high * 16 + low) as u8);
            rest = behind.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = behind;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::configured_in;

    fn proxies(variables: &[(&str, &str)], properties: &[(&str, &str)]) -> (Proxies, String) {
        let (proxies, problems) = configured_in(variables, properties, Proxies::read);
        (proxies, problems.concat())
    }

    #[test]
    fn the_section_wins_over_the_environment_and_both_can_be_absent() {
        let host = |variables: &[(&str, &str)], properties: &[(&str, &str)]| {
            let (proxies, problems) = proxies(variables, properties);
            assert_eq!(problems, "");
            proxies.of("a.test").map(|proxy| proxy.host.clone())
        };
        let both = [
            ("HTTP_PROXY", "http://upper:1"),
            ("http_proxy", "http://lower:2"),
        ];
        assert_eq!(host(&[], &[]), None);
        assert_eq!(host(&both, &[]).as_deref(), Some("upper"));
        assert_eq!(host(&both[1..], &[]).as_deref(), Some("lower"));
        assert_eq!(
            host(&[("HTTP_PROXY", ""), both[1]], &[]).as_deref(),
            Some("lower")
        );
        assert_eq!(
            host(&both, &[("proxy", "http://own:3")]).as_deref(),
            Some("own")
        );
        assert_eq!(host(&both, &[("net.proxy_env_ignore", "on")]), None);
        assert_eq!(host(&[("HTTPS_PROXY", "http://x:1")], &[]), None);
    }

    #[test]
    fn exceptions_are_hosts_domains_or_everything() {
        let is_proxied = |list: &str, host: &str| {
            let variables = [("HTTP_PROXY", "p:1"), ("NO_PROXY", list)];
            proxies(&variables, &[]).0.of(host).is_some()
        };
        for (list, host, expected) in [
            ("", "a.test", true),
            ("a.test", "a.test", false),
            ("b.test, A.test", "a.TEST", false),
            ("a.test", "b.a.test", true),
            (".a.test", "b.a.test", false),
            (".a.test", "xa.test", true),
            ("*", "a.test", false),
            ("169.254.169.254", "127.0.0.1", true),
            ("", "169.254.170.2", false),
            ("x", "169.254.170.2", false),
            ("x", "fe80::1", false),
            ("x", "fd00:ec2::254", false),
        ] {
            assert_eq!(is_proxied(list, host), expected, "{list:?} {host}");
        }
    }

    #[test]
    fn a_proxy_is_read_with_its_parts() {
        let parsed = |url| {
            let proxy = Proxy::parse(url)?;
            let auth = proxy
                .authorization
                .map(|header| header.to_str().unwrap().to_owned());
            Some((proxy.tls, proxy.host, proxy.port, auth))
        };
        let plain = |tls, host: &str, port| Some((tls, host.to_owned(), port, None));
        assert_eq!(parsed("http://p.test:3128"), plain(false, "p.test", 3128));
        assert_eq!(parsed("p.test"), plain(false, "p.test", 80));
        assert_eq!(parsed("HTTPS://p.test/"), plain(true, "p.test", 443));
        assert_eq!(parsed("http://[::1]:8080"), plain(false, "::1", 8080));
        let with_user = |text: &str| {
            let auth = Some(format!("Basic {text}"));
            Some((false, "p".to_owned(), 1, auth))
        };
        // me:s3cret@x, me:, a@b:100%
        assert_eq!(
            parsed("http://me:s3cret@x@p:1"),
            with_user("bWU6czNjcmV0QHg=")
        );
        assert_eq!(parsed("http://me@p:1"), with_user("bWU6"));
        assert_eq!(parsed("http://a%40b:100%@p:1"), with_user("YUBiOjEwMCU="));
        for bad in [
            "",
            "http://",
            "socks5://p:1",
            "http://p:99999",
            "http://a b",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_it() {
        let (_, said) = proxies(&[("HTTP_PROXY", "ftp://me:hunter2@p")], &[]);
        assert!(
            said.contains("HTTP_PROXY") && !said.contains("hunter2"),
            "{said}"
        );
        let (_, said) = proxies(&[], &[("proxy", "ftp://me:hunter2@p")]);
        assert!(
            said.contains("is no proxy") && !said.contains("hunter2"),
            "{said}"
        );
        let (made, _) = proxies(&[], &[("proxy", "http://me:hunter2@p")]);
        assert!(!format!("{made:?}").contains("bWU6"), "{made:?}");
    }
}
