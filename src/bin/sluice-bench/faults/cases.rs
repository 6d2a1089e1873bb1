//! The faults: how the sink is told of them, and which outputs they are for.

use super::config::Output::{self, Firehose, Kinesis, Logs, S3};
use crate::error::{Error, Result};

/// One fault.
#[derive(Debug)]
pub(super) struct Case {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What happens, in a few words.
    pub(super) about: &'static str,
    /// The outputs it can happen to.
    pub(super) outputs: &'static [Output],
    /// What the sink is told.
    pub(super) faults: &'static [(&'static str, &'static str)],
    /// What happens beside that.
    pub(super) extra: Extra,
    /// Whether the router cannot know if a request was stored, so that it may be sent twice.
    pub(super) leaves_doubt: bool,
}

/// What the sink is not told as a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    Nothing,
    /// Twice a second all log groups, or all log streams, are deleted.
    Delete(&'static str),
    /// The fault is there from the first record to the last, and records go to many streams.
    ManyStreams,
}

const ALL: &[Output] = &[Logs, Firehose, Kinesis, S3];
const BATCHED: &[Output] = &[Firehose, Kinesis];
const BASE: Case = Case {
    name: "",
    about: "",
    outputs: ALL,
    faults: &[],
    extra: Extra::Nothing,
    leaves_doubt: false,
};

const fn case(
    name: &'static str,
    about: &'static str,
    faults: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        name,
        about,
        faults,
        ..BASE
    }
}

/// The same, for a fault after which nobody knows whether the request was stored.
const fn doubtful(
    name: &'static str,
    about: &'static str,
    faults: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        leaves_doubt: true,
        ..case(name, about, faults)
    }
}

const fn partial(
    name: &'static str,
    about: &'static str,
    faults: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        outputs: BATCHED,
        ..case(name, about, faults)
    }
}

/// Every fault.
pub(super) const CASES: &[Case] = &[
    case(
        "throttle",
        "1 request a second is granted",
        &[("rate", "1")],
    ),
    case(
        "throttle-30",
        "30 % of requests are throttled",
        &[("throttle", "30%")],
    ),
    case(
        "errors",
        "half of the requests are answered 500",
        &[("fail", "50%")],
    ),
    partial("partial-1", "1 % of records fail", &[("fail-partly", "1%")]),
    partial(
        "partial-10",
        "10 % of records fail",
        &[("fail-partly", "10%")],
    ),
    partial(
        "partial-50",
        "half of the records fail",
        &[("fail-partly", "50%")],
    ),
    partial(
        "partial-99",
        "99 % of records fail",
        &[("fail-partly", "99%")],
    ),
    case(
        "outage",
        "every request is answered 503",
        &[("fail", "100%")],
    ),
    case(
        "refuse",
        "connections are refused",
        &[("outage", "0s,60m,refuse")],
    ),
    case(
        "cut-request-1",
        "reset at the first byte of a request",
        &[("cut-request", "50%,1")],
    ),
    case(
        "cut-request-head",
        "reset within the request's headers",
        &[("cut-request", "50%,300")],
    ),
    case(
        "cut-request-body",
        "reset within the request's body",
        &[("cut-request", "50%,2000")],
    ),
    doubtful(
        "cut-answer-0",
        "reset before the answer's first byte",
        &[("cut-answer", "50%,0")],
    ),
    doubtful(
        "cut-answer-head",
        "reset within the answer's headers",
        &[("cut-answer", "50%,20")],
    ),
    doubtful(
        "cut-answer-body",
        "reset within the answer's body",
        &[("cut-answer", "50%,250")],
    ),
    case(
        "hang-connect",
        "connecting hangs",
        &[("hang-connect", "true")],
    ),
    case("hang-tls", "the handshake hangs", &[("hang-tls", "true")]),
    doubtful(
        "hang-headers",
        "no answer comes",
        &[("stall-answer", "100%,0")],
    ),
    doubtful(
        "hang-body",
        "the answer stops within its body",
        &[("stall-answer", "100%,250")],
    ),
    doubtful(
        "slow-answer",
        "answers of 1 byte a second",
        &[("slow-answer", "1")],
    ),
    doubtful(
        "garbage",
        "half of the answers are no HTTP",
        &[("garbage", "50%")],
    ),
    doubtful(
        "truncated",
        "answers end within their body",
        &[("end-answer", "50%,250")],
    ),
    case(
        "page",
        "a page and 200, and nothing is stored",
        &[("page", "50%")],
    ),
    case(
        "expired",
        "the token is refused as expired",
        &[("expired", "true")],
    ),
    Case {
        outputs: &[Logs],
        extra: Extra::Delete("groups"),
        ..case(
            "delete-groups",
            "log groups are deleted twice a second",
            &[],
        )
    },
    Case {
        outputs: &[Logs],
        extra: Extra::Delete("streams"),
        ..case(
            "delete-streams",
            "log streams are deleted twice a second",
            &[],
        )
    },
    Case {
        outputs: &[Logs],
        extra: Extra::ManyStreams,
        ..case(
            "creation",
            "many streams, of which 5 a second may be made",
            &[("create-rate", "5")],
        )
    },
];

/// Whether there is a fault of that name.
///
/// # Errors
/// When there is none; the message names them all.
pub(super) fn known(name: String) -> Result<String> {
    if CASES.iter().any(|case| case.name == name) {
        return Ok(name);
    }
    let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    Err(Error::Usage(format!(
        "there is no fault {name:?}; there are {}",
        names.join(", ")
    )))
}

/// One line per fault, for the help.
pub(super) fn describe() -> String {
    let lines = CASES
        .iter()
        .map(|case| format!("  {:<17} {}\n", case.name, case.about));
    lines.collect::<Vec<_>>().concat()
}

impl Case {
    /// What ends the fault.
    pub(super) fn cure(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.faults.iter().map(|(name, _)| {
            let off = match *name {
                "outage" => "off",
                "expired" | "hang-connect" | "hang-tls" => "false",
                _ => "0",
            };
            (*name, off)
        })
    }
}
