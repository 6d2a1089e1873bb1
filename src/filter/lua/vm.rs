//! One interpreter with its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::{Function, HookTriggers, MultiValue, Table, Value, VmState};

use super::convert::{Reader, Writer};
use crate::event::{Block, EventTime};
use crate::filter::View;
use crate::msgpack::metadata;
use crate::msgpack::read::{self, Value as Encoded};

/// How often the instructions of a call are counted.
const COUNT_EVERY: u32 = 1000;

/// The most bytes of what one call gives. Tables that hold each other may be far larger encoded than in memory.
const RECORD_MAX: usize = 8 << 20;

/// What is there of `LuaJIT`'s extensions and Lua 5.2 that scripts use, in Lua 5.1.
const PRELUDE: &str = include_str!("prelude.lua");

/// What a script is.
pub(super) struct Script<'s> {
    /// Its name in messages.
    pub(super) name: &'s str,
    pub(super) source: &'s [u8],
    /// The name of the function.
    pub(super) call: &'s str,
}

/// How values change between msgpack and Lua.
#[derive(Debug, Default)]
pub(super) struct Types {
    /// Keys whose numbers become integers.
    pub(super) integers: Vec<Box<[u8]>>,
    /// Keys whose empty tables become arrays.
    pub(super) arrays: Vec<Box<[u8]>>,
    pub(super) has_null: bool,
    pub(super) time_as_table: bool,
}

/// What a script may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes.
    pub(super) memory: u64,
    /// Instructions of one call.
    pub(super) instructions: u64,
}

/// What the function says about an event.
#[derive(Debug)]
pub(super) enum Answer<'v> {
    /// It goes on as it was.
    Keep,
    /// It is dropped.
    Drop,
    /// These take its place.
    Events(&'v Block),
}

/// An interpreter that has run a script.
pub(super) struct Vm {
    lua: mlua::Lua,
    function: Function,
    /// The mark of tables that were arrays.
    array: Table,
    has_metadata: bool,
    types: Types,
    limits: Limits,
    used: Arc<AtomicU64>,
    events: Block,
    room: Vec<u8>,
}

impl Vm {
    /// Runs a script, which may set `FLB_ENV`'s `variables` free, and finds its function.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the script.
    pub(super) fn new<'e>(
        script: &Script<'_>,
        variables: impl Iterator<Item = (&'e str, &'e str)>,
        types: Types,
        limits: Limits,
    ) -> Result<Self, String> {
        let lua = mlua::Lua::new();
        let used = Arc::new(AtomicU64::new(0));
        let function = prepare(&lua, script, variables, limits, &used);
        let function = function.map_err(|error| error.to_string())?;
        let Value::Function(function) = function else {
            return Err(format!("the script has no function `{}`", script.call));
        };
        let array = lua.create_table().map_err(|error| error.to_string())?;
        Ok(Self {
            has_metadata: parameters(&function) >= 5,
            lua,
            function,
            array,
            types,
            limits,
            used,
            events: Block::default(),
            room: Vec::new(),
        })
    }

    /// Calls the function with an event.
    ///
    /// # Errors
    /// What the script did wrong.
    pub(super) fn call(&mut self, event: &View<'_>) -> Result<Answer<'_>, String> {
        self.used.store(0, Ordering::Relaxed);
        let outcome = self.ask(event);
        if self.used.load(Ordering::Relaxed) >= self.limits.instructions {
            // It was made to stop a script at its next step.
            count_instructions(&self.lua, COUNT_EVERY, self.limits, &self.used)
                .map_err(|error| error.to_string())?;
        }
        match outcome {
            Ok(code @ (-1 | 0)) => Ok(if code == 0 {
                Answer::Keep
            } else {
                Answer::Drop
            }),
            Ok(1 | 2) => Ok(Answer::Events(&self.events)),
            Ok(code) => Err(format!("{code} is no code: return -1, 0, 1 or 2")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Calls the function; the events of its answer are put into `events`.
    fn ask(&mut self, event: &View<'_>) -> mlua::Result<i64> {
        let reader = Reader {
            lua: &self.lua,
            array: &self.array,
            has_null: self.types.has_null,
        };
        let record = reader.map(event.len(), event.pairs())?;
        let tag = self.lua.create_string(event.tag())?;
        let time = self.time(event.time())?;
        let arguments = if self.has_metadata {
            let metadata = match event.metadata() {
                [] => Value::Table(self.lua.create_table()?),
                metadata => reader.value(metadata)?.0,
            };
            let arguments = [Value::String(tag), time, Value::Nil, metadata, record];
            arguments.into_iter().collect::<MultiValue>()
        } else {
            [Value::String(tag), time, record].into_iter().collect()
        };
        let mut answer = self.function.call::<MultiValue>(arguments)?.into_iter();
        let code = match answer.next() {
            Some(Value::Integer(code)) => code,
            Some(Value::Number(code)) => code as i64,
            // As for Lua itself, a text that is a number is one.
            Some(Value::String(code)) => code.to_string_lossy().trim().parse().unwrap_or(0),
            _ => 0,
        };
        let time = answer.next().unwrap_or(Value::Nil);
        if !matches!(code, 1 | 2) {
            return Ok(code);
        }
        let time = match code {
            1 => told_time(&time).unwrap_or(event.time()),
            _ => event.time(),
        };
        let mut own = event.metadata().to_vec();
        if self.has_metadata
            && let Some(Value::Table(told)) = answer.next()
        {
            self.write_metadata(&told, &mut own)?;
        }
        let mut carried = Vec::new();
        let (_, group) = metadata::split(event.carried());
        metadata::join(&own, group, &mut carried);
        self.write_events(&answer.next().unwrap_or(Value::Nil), time, &carried)?;
        Ok(code)
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            array: &self.array,
            types: &self.types,
            limit: RECORD_MAX,
        }
    }

    /// Encodes metadata that a function gave; none where that is empty and was empty before.
    fn write_metadata(&self, told: &Table, metadata: &mut Vec<u8>) -> mlua::Result<()> {
        let was_empty = metadata.is_empty();
        metadata.clear();
        self.writer().map(told, metadata)?;
        if was_empty && metadata == &[0x80] {
            metadata.clear();
        }
        Ok(())
    }

    /// Encodes the record that a function gave, or each record of a list.
    fn write_events(&mut self, told: &Value, time: EventTime, metadata: &[u8]) -> mlua::Result<()> {
        self.events.clear();
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        let written = self.writer().value(told, &mut room);
        let is_taken = written.is_ok() && push_records(&room, time, metadata, &mut self.events);
        self.room = room;
        written?;
        if is_taken {
            Ok(())
        } else {
            Err(mlua::Error::runtime(
                "it returned no record and no list of records",
            ))
        }
    }

    fn time(&self, time: EventTime) -> mlua::Result<Value> {
        if self.types.time_as_table {
            let table = self.lua.create_table_with_capacity(0, 2)?;
            table.raw_set("sec", time.seconds as f64)?;
            table.raw_set("nsec", f64::from(time.nanos))?;
            return Ok(Value::Table(table));
        }
        Ok(Value::Number(
            time.seconds as f64 + f64::from(time.nanos) / 1e9,
        ))
    }
}

/// Sets the limits and the globals, runs the script, and gives what has the function's name.
fn prepare<'e>(
    lua: &mlua::Lua,
    script: &Script<'_>,
    variables: impl Iterator<Item = (&'e str, &'e str)>,
    limits: Limits,
    used: &Arc<AtomicU64>,
) -> mlua::Result<Value> {
    lua.set_memory_limit(usize::try_from(limits.memory).unwrap_or(0))?;
    count_instructions(lua, COUNT_EVERY, limits, used)?;
    lua.load(PRELUDE).set_name("=prelude").exec()?;
    let environment = lua.create_table()?;
    for (name, value) in variables {
        environment.raw_set(name, value)?;
    }
    let globals = lua.globals();
    globals.raw_set("FLB_ENV", environment)?;
    globals.raw_set("flb_null", Value::NULL)?;
    used.store(0, Ordering::Relaxed);
    lua.load(script.source)
        .set_name(format!("={}", script.name))
        .exec()?;
    globals.get(script.call)
}

/// Stops a script that takes too many instructions. From then on each further one is an error too, so that a script that catches
/// errors ends all the same.
fn count_instructions(
    lua: &mlua::Lua,
    every: u32,
    limits: Limits,
    used: &Arc<AtomicU64>,
) -> mlua::Result<()> {
    let used = Arc::clone(used);
    let triggers = HookTriggers::new().every_nth_instruction(every);
    lua.set_global_hook(triggers, move |lua, _| {
        let before = used.fetch_add(u64::from(every), Ordering::Relaxed);
        if before + u64::from(every) < limits.instructions {
            return Ok(VmState::Continue);
        }
        if every > 1 {
            count_instructions(lua, 1, limits, &used)?;
        }
        Err(mlua::Error::runtime(
            "it takes too long (instruction_limit)",
        ))
    })
}

/// The time that a function gave: a number of seconds, or a table.
fn told_time(told: &Value) -> Option<EventTime> {
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    };
    let (seconds, nanos) = match told {
        Value::Table(table) => (
            number(&table.raw_get("sec").ok()?)?,
            number(&table.raw_get("nsec").ok()?)?,
        ),
        told => {
            let time = number(told)?;
            (time.trunc(), time.fract() * 1e9)
        }
    };
    let is_time = (0.0..1.8e19).contains(&seconds) && (0.0..1e9).contains(&nanos);
    is_time.then_some(EventTime {
        seconds: seconds as u64,
        nanos: nanos as u32,
    })
}

/// Pushes a record, or each record of a list. False for anything else.
fn push_records(told: &[u8], time: EventTime, metadata: &[u8], events: &mut Block) -> bool {
    let (mut rest, count) = match read::value(told) {
        Ok((_, Encoded::Map(_))) => (told, 1),
        Ok((items, Encoded::Array(count))) => (items, count),
        _ => return false,
    };
    for _ in 0..count {
        let Ok((behind, record)) = read::raw(rest) else {
            return false;
        };
        if !matches!(read::value(record), Ok((_, Encoded::Map(_)))) {
            return false;
        }
        events.push(crate::event::Event {
            time,
            metadata,
            record,
        });
        rest = behind;
    }
    count > 0
}

/// How many parameters a function has. Lua 5.1 does not say, but writes it into its compiled form: behind a header of 12 bytes stand the
/// length of the source's name, the name, two line numbers, the number of upvalues, and that of parameters.
fn parameters(function: &Function) -> u8 {
    const NAME_AT: usize = 12;
    const BEHIND_NAME: usize = 2 * size_of::<i32>() + 1;
    let ordinary = 3;
    if function.info().what != "Lua" {
        return ordinary;
    }
    let compiled = function.dump(false);
    let length = compiled.get(NAME_AT..).and_then(<[u8]>::first_chunk);
    let length = length.map(|length| usize::from_ne_bytes(*length));
    let at = length.and_then(|length| {
        let name_end = (NAME_AT + size_of::<usize>()).checked_add(length)?;
        name_end.checked_add(BEHIND_NAME)
    });
    at.and_then(|at| compiled.get(at))
        .copied()
        .unwrap_or(ordinary)
}
