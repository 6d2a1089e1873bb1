//! Where a service is reached: endpoints as users write them, and the hosts of regions.

/// The suffixes of a partition's hosts: of ordinary and of dual-stack ones.
const PARTITIONS: &[(&str, &str, &str)] = &[
    ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("", "amazonaws.com", "api.aws"),
];

/// What is asked of a host beside its region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Variant {
    /// `AWS_USE_FIPS_ENDPOINT`
    pub(super) fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`
    pub(super) dual_stack: bool,
}

/// The URL of a service in a region.
///
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
pub(super) fn regional_url(service: &str, region: &str, variant: Variant) -> String {
    let (_, plain, dual) = PARTITIONS
        .iter()
        .find(|(prefix, ..)| region.starts_with(prefix))
        .copied()
        .unwrap_or(("", "amazonaws.com", "api.aws"));
    // In GovCloud the ordinary host of Kinesis is the one with FIPS.
    let is_fips_anyway = service == "kinesis" && region.starts_with("us-gov-");
    let fips = if variant.fips && !is_fips_anyway {
        "-fips"
    } else {
        ""
    };
    match (service, variant.dual_stack) {
        ("s3", true) => format!("https://s3{fips}.dualstack.{region}.{plain}"),
        (_, true) => format!("https://{service}{fips}.{region}.{dual}"),
        (_, false) => format!("https://{service}{fips}.{region}.{plain}"),
    }
}

/// `[scheme://]host[:port][/]` as a URL; an explicit port setting wins over the one written here.
pub(super) fn endpoint_url(endpoint: &str, scheme: &str, port: Option<u16>) -> Option<String> {
    let (scheme, host) = match endpoint.split_once("://") {
        Some((given @ ("http" | "https"), host)) => (given, host),
        Some(_) => return None,
        None => (scheme, endpoint),
    };
    let host = host.trim_end_matches('/');
    let url = match port {
        Some(port) => format!("{scheme}://{}:{port}", without_port(host)),
        None => format!("{scheme}://{host}"),
    };
    let parsed: ::http::Uri = url.parse().ok()?;
    (!parsed.host()?.is_empty() && parsed.path() == "/").then_some(url)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: outputs 5
    #[test]
    fn every_way_to_write_an_endpoint_is_understood() {
        let cases = [
            ("logs.example", "https", None, Some("https://logs.example")),
            (
                "logs.example",
                "https",
                Some(8443),
                Some("https://logs.example:8443"),
            ),
            (
                "http://127.0.0.1:5000",
                "https",
                None,
                Some("http://127.0.0.1:5000"),
            ),
            (
                "http://127.0.0.1:5000/",
                "https",
                Some(6000),
                Some("http://127.0.0.1:6000"),
            ),
            (
                "https://logs.example",
                "http",
                None,
                Some("https://logs.example"),
            ),
            (
                "127.0.0.1:5000",
                "http",
                None,
                Some("http://127.0.0.1:5000"),
            ),
            ("[::1]:5000", "http", Some(1), Some("http://[::1]:1")),
            ("ftp://logs.example", "https", None, None),
            ("logs.example/path", "https", None, None),
        ];
        for (endpoint, scheme, port, expected) in cases {
            assert_eq!(
                endpoint_url(endpoint, scheme, port).as_deref(),
                expected,
                "{endpoint}"
            );
        }
    }

    /// Checklist: outputs 40
    #[test]
    fn every_partition_has_its_hosts() {
        let url = |service, region, fips, dual_stack| {
            regional_url(service, region, Variant { fips, dual_stack })
        };
        for (made, expected) in [
            (
                url("kinesis", "eu-west-1", false, false),
                "kinesis.eu-west-1.amazonaws.com",
            ),
            (
                url("kinesis", "us-east-1", true, false),
                "kinesis-fips.us-east-1.amazonaws.com",
            ),
            (
                url("kinesis", "us-east-1", false, true),
                "kinesis.us-east-1.api.aws",
            ),
            (
                url("kinesis", "us-gov-west-1", true, false),
                "kinesis.us-gov-west-1.amazonaws.com",
            ),
            (
                url("kinesis", "cn-north-1", false, false),
                "kinesis.cn-north-1.amazonaws.com.cn",
            ),
            (
                url("s3", "us-iso-east-1", false, false),
                "s3.us-iso-east-1.c2s.ic.gov",
            ),
            (
                url("s3", "us-isob-east-1", false, false),
                "s3.us-isob-east-1.sc2s.sgov.gov",
            ),
            (
                url("s3", "us-east-1", true, true),
                "s3-fips.dualstack.us-east-1.amazonaws.com",
            ),
        ] {
            assert_eq!(made, format!("https://{expected}"));
        }
    }
}
