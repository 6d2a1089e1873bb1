//! `lua`: lets a function of a script look at each event, change it, drop it, or make several of it.
//!
//! | setting | effect |
//! |---|---|
//! | `script`, `code` | a file, or the source itself |
//! | `call` | the function: `f(tag, time, record)`, or with five parameters `f(tag, time, group, metadata, record)` |
//! | `time_as_table` | the time is `{sec=, nsec=}` and not a number |
//! | `type_int_key` | keys whose numbers become integers; with blanks between them |
//! | `type_array_key` | keys whose empty tables become arrays |
//! | `enable_flb_null` | a null is the global `flb_null`; else the key is missing |
//! | `protected_mode` | without effect: a mistake of a script never ends the process |
//! | `memory_limit`, `instruction_limit` | what the interpreter may hold, and what one call may take |
//!
//! The function returns a code, a time and a record (with five parameters a code, a time, metadata and a record): `-1` drops, `0` keeps the
//! event as it was, `1` takes time and record, `2` takes the record. A list of records gives an event for each. After an error of any
//! kind the event goes on as it was.
//!
//! The interpreter is Lua 5.1, whose limits hold whatever a script does; Fluent Bit has `LuaJIT`, of whose extensions `bit` is here too.
//! <https://docs.fluentbit.io/manual/pipeline/filters/lua>

mod convert;
mod vm;

use std::sync::{Arc, Mutex, PoisonError};

use self::vm::{Answer, Limits, Script, Types, Vm};
use super::{MakeOperator, Means, Operator, Origin, Outbox, Verdict, View};
use crate::config::Settings;
use crate::telemetry::log::Limiter;

/// What an interpreter may hold, unless `memory_limit` says otherwise.
const MEMORY: u64 = 64 << 20;

/// How many instructions one call may take, unless `instruction_limit` says otherwise: some tenths of a second.
const INSTRUCTIONS: i64 = 10_000_000;

/// What all streams share. Globals of the script live here, so there is one interpreter for the filter.
struct Shared {
    vm: Mutex<Vm>,
    call: String,
    limiter: Limiter,
}

struct Lua(Option<Arc<Shared>>);

/// Reads the section, and runs the script once.
pub(super) fn build(settings: &mut Settings<'_>, means: Means<'_>) -> Box<dyn MakeOperator> {
    let words = |text: Option<String>| -> Vec<Box<[u8]>> {
        let text = text.unwrap_or_default();
        let words = text.split_ascii_whitespace();
        words.map(|word| word.as_bytes().into()).collect()
    };
    let types = Types {
        integers: words(settings.text("type_int_key")),
        arrays: words(settings.text("type_array_key")),
        has_null: settings.flag("enable_flb_null", false),
        time_as_table: settings.flag("time_as_table", false),
    };
    let limits = Limits {
        memory: settings.size("memory_limit").unwrap_or(MEMORY),
        instructions: settings
            .integer_in("instruction_limit", 1..=i64::MAX)
            .unwrap_or(INSTRUCTIONS)
            .unsigned_abs(),
    };
    if !settings.flag("protected_mode", true) {
        settings.warning(
            "protected_mode",
            "has no effect: an error in a script never ends the process",
        );
    }
    let source = source(settings, means);
    let call = settings.required("call");
    let (Some((name, source)), Some(call)) = (source, call) else {
        return Box::new(Lua(None));
    };
    let script = Script {
        name: &name,
        source: &source,
        call: &call,
    };
    let own = means.variables.own();
    match Vm::new(&script, own, types, limits) {
        Ok(vm) => Box::new(Lua(Some(Arc::new(Shared {
            vm: Mutex::new(vm),
            call,
            limiter: Limiter::default(),
        })))),
        Err(error) => {
            settings.error("call", error);
            Box::new(Lua(None))
        }
    }
}

/// The source and what to call it in messages.
fn source(settings: &mut Settings<'_>, means: Means<'_>) -> Option<(String, Vec<u8>)> {
    let (code, script) = (settings.text("code"), settings.text("script"));
    if let Some(code) = code {
        return Some(("code".to_owned(), code.into_bytes()));
    }
    let Some(script) = script else {
        settings.error("script", "lua needs a script or code");
        return None;
    };
    let path = means.file(&script);
    match std::fs::read(&path) {
        Ok(source) => Some((script, source)),
        Err(error) => {
            settings.error("script", format!("cannot read {}: {error}", path.display()));
            None
        }
    }
}

impl MakeOperator for Lua {
    fn operator(&self, _tag: &[u8]) -> Box<dyn Operator> {
        Box::new(Caller(self.0.clone()))
    }
}

/// Calls the function for the events of one stream. Without one, which no chain that runs has, events go on.
struct Caller(Option<Arc<Shared>>);

impl Operator for Caller {
    fn apply(&mut self, event: &mut View<'_>, outbox: &mut Outbox) -> Verdict {
        let Some(shared) = &self.0 else {
            return Verdict::Keep;
        };
        let mut vm = shared.vm.lock().unwrap_or_else(PoisonError::into_inner);
        match vm.call(event) {
            Ok(Answer::Keep) => Verdict::Keep,
            Ok(Answer::Drop) => Verdict::Drop,
            Ok(Answer::Events(events)) => {
                for (index, event) in events.events_from(0).enumerate() {
                    let origin = Origin {
                        parts: u64::from(index == 0),
                        ..outbox.origin()
                    };
                    outbox.next(origin, event.time, event.metadata, |out| {
                        out.extend_from_slice(event.record);
                    });
                }
                Verdict::Taken
            }
            Err(error) => {
                drop(vm);
                metrics::counter!("sluice_script_errors_total", "call" => shared.call.clone())
                    .increment(1);
                if let Some(more) = shared.limiter.admit() {
                    let call = &shared.call;
                    crate::error!(
                        "filter:lua",
                        "{call}: {error}; the event goes on as it was{more}"
                    );
                }
                Verdict::Keep
            }
        }
    }
}

#[cfg(test)]
mod tests;
