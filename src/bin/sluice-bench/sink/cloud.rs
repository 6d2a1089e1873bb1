//! The account that the sink plays: what exists, what has arrived, what shall go wrong.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use hyper::http::request::Parts;

use super::answer::{ApiError, Reply};
use super::faults::{Faults, ItemFaults, Verdict};
use super::firehose::{self, DeliveryStreams, PutRecordBatch};
use super::issue::Keys;
use super::kept::Kept;
use super::kinesis::{self, PutRecords, Streams};
use super::ledger::Ledger;
use super::line::WireFault;
use super::logs::{self, Groups};
use super::s3::{self, Buckets};
use super::sigv4;
use crate::stats::now_nanos;

/// Everything that requests share.
#[derive(Debug)]
pub(super) struct Cloud {
    state: Mutex<State>,
    /// Counts the changes of the faults, so that what hangs sees that it is over.
    generation: AtomicU64,
}

/// What the lock protects; requests are parsed and checked outside of it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) kept: Kept,
    pub(super) faults: Faults,
    pub(super) groups: Groups,
    pub(super) keys: Keys,
    pub(super) buckets: Buckets,
    delivery_streams: DeliveryStreams,
    streams: Streams,
}

/// Where the services put what they accept.
pub(super) struct Storage<'a> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) kept: &'a mut Kept,
    /// Nanoseconds since 1970.
    pub(super) now: u64,
}

/// What exists from the start.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Everything that is named exists.
    pub(super) any: bool,
    pub(super) delivery_streams: HashSet<String>,
    pub(super) streams: HashSet<String>,
    pub(super) buckets: HashSet<String>,
    /// Bytes of texts to keep for reading back.
    pub(super) keep: usize,
    pub(super) faults: Faults,
}

/// Which operation a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation<'a> {
    /// The name in signatures: `logs`, `firehose`, `kinesis` or `s3`.
    pub(super) service: &'static str,
    /// For example `PutLogEvents`.
    pub(super) name: &'a str,
}

/// A request that passed every check which needs no knowledge of the account.
#[derive(Debug)]
pub(super) enum Call {
    Logs(logs::Call),
    Firehose(PutRecordBatch),
    Kinesis(PutRecords),
    S3(s3::Call),
}

impl Cloud {
    pub(super) fn new(keys: Keys, account: Account) -> Self {
        let state = State {
            keys,
            buckets: Buckets::new(account.buckets, account.any, account.keep),
            kept: Kept::new(account.keep),
            faults: account.faults,
            groups: Groups::new(account.any),
            delivery_streams: DeliveryStreams {
                names: account.delivery_streams,
                any: account.any,
            },
            streams: Streams {
                names: account.streams,
                any: account.any,
            },
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            generation: AtomicU64::new(0),
        }
    }

    /// The shared state; a panic elsewhere does not make the counters useless.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides what shall go wrong with the next request.
    pub(super) fn judge(&self, operation: Operation<'_>) -> Verdict {
        self.state().faults.judge(operation.service, operation.name)
    }

    /// Decides what shall go wrong with the bytes of the next exchange, and says which faults are in force.
    pub(super) fn draw_wire_fault(&self) -> (Option<WireFault>, u64) {
        let generation = self.fault_generation();
        (self.state().faults.draw_wire_fault(), generation)
    }

    /// Which faults are in force: another number after every change.
    pub(super) fn fault_generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts other faults in force.
    pub(super) fn change_faults(&self, faults: Faults) {
        self.state().faults = faults;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Checks signature, body and limits.
    pub(super) fn check(
        &self,
        operation: Operation<'_>,
        request: &Parts,
        hash: &str,
        body: &[u8],
        fault: Option<&ApiError>,
    ) -> Result<Call, ApiError> {
        let access_key = sigv4::access_key(request);
        let credentials = self.state().keys.of(access_key);
        let credentials = credentials.ok_or_else(sigv4::unknown_client)?;
        sigv4::verify(request, hash, operation.service, &credentials)?;
        self.state().keys.check_end(access_key, now_nanos())?;
        // Services look at who asks before they look at what is asked.
        if let Some(denied) = fault.filter(|fault| fault.code == "AccessDeniedException") {
            return Err(denied.clone());
        }
        match operation.service {
            "logs" => logs::parse(operation.name, body).map(Call::Logs),
            "firehose" => firehose::parse(operation.name, body).map(Call::Firehose),
            "s3" => s3::parse(operation.name, request, body).map(Call::S3),
            _ => kinesis::parse(operation.name, body).map(Call::Kinesis),
        }
    }

    /// Does what a checked request asks for, and returns the body of the answer.
    pub(super) fn apply(
        &self,
        call: Call,
        body: &[u8],
        mut faults: ItemFaults,
    ) -> Result<Reply, ApiError> {
        let state = &mut *self.state();
        let mut storage = Storage {
            ledger: &mut state.ledger,
            kept: &mut state.kept,
            now: now_nanos(),
        };
        let answer = match call {
            Call::Logs(call) => state.groups.apply(call, body, &mut storage),
            Call::Firehose(batch) => {
                state
                    .delivery_streams
                    .apply(&batch, body, &mut faults, &mut storage)
            }
            Call::Kinesis(batch) => state.streams.apply(&batch, body, &mut faults, &mut storage),
            Call::S3(call) => return state.buckets.apply(call, body, &mut storage),
        };
        answer.map(Reply::json)
    }
}

impl Operation<'static> {
    /// A request that names none.
    pub(super) const UNKNOWN: Self = Self {
        service: "",
        name: "request",
    };
}

impl<'a> Operation<'a> {
    /// Reads the `X-Amz-Target` header, or what stands for it at S3.
    pub(super) fn of(request: &'a Parts) -> Result<Self, ApiError> {
        if sigv4::is_for(request, "s3") {
            return Ok(Self {
                service: "s3",
                name: s3::name_of(request),
            });
        }
        let target = request
            .headers
            .get("x-amz-target")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        let (service, name) = match target.split_once('.') {
            Some(("Logs_20140328", name)) => ("logs", name),
            Some(("Firehose_20150804", name)) => ("firehose", name),
            Some(("Kinesis_20131202", name)) => ("kinesis", name),
            _ => {
                return Err(ApiError::violation(
                    "UnknownOperationException",
                    format!("X-Amz-Target is {target:?}"),
                ));
            }
        };
        let content_type = request
            .headers
            .get("content-type")
            .map(hyper::header::HeaderValue::as_bytes);
        if content_type != Some(b"application/x-amz-json-1.1") {
            let message = "Content-Type must be application/x-amz-json-1.1";
            return Err(ApiError::violation("UnknownOperationException", message));
        }
        Ok(Self { service, name })
    }
}

/// The answer to a body above the size that the sink reads at all.
pub(super) fn too_large(limit: usize) -> ApiError {
    let message = format!("Request size exceeded {limit} bytes");
    ApiError {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        ..ApiError::violation("RequestEntityTooLargeException", message)
    }
}
