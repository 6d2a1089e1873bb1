//! From sections to stages.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::common;
use super::deliver::Delivery;
use super::dispatch::{ChainLink, Dispatcher, Route, Stages};
use super::foreign::is_known_elsewhere;
use super::release::Releaser;
use super::retry::Policy;
use super::service::Service;
use crate::budget::Budget;
use crate::buffer::{BATCH_MAX, Inbox, Pool};
use crate::config::{
    Config, Node, Place, Problems, Property, Section, SectionKind, Settings, Variables, nearest,
};
use crate::event::Tag;
use crate::filter::{self, Halt, Means};
use crate::input::{self, Activity, Context, Input, Pause, Phase, Requests};
use crate::output;
use crate::parser::Parsers;
use crate::router::Matcher;
use crate::telemetry::log::Level;
use crate::telemetry::{InputLedger, Ledger, RouteLedger};

/// Everything a run needs, made and not started.
pub struct Plan {
    /// What `[SERVICE]` says.
    pub service: Service,
    /// The inputs, each with what it needs.
    pub(super) inputs: Vec<PlannedInput>,
    /// What lets go of held events, for each input; none where no filter holds any.
    pub(super) releasers: Vec<Releaser>,
    /// The outputs' deliveries.
    pub(super) deliveries: Vec<Delivery>,
    /// The books.
    pub ledger: Ledger,
    /// Whether a filter wants the end.
    pub(super) halt: Halt,
    /// The components that log at a level of their own.
    pub(super) levels: Vec<(String, Level)>,
}

/// An input and its context.
pub(super) struct PlannedInput {
    pub(super) input: Box<dyn Input>,
    pub(super) context: Context,
}

/// Makes a plan from a configuration and the sections of the command line; mistakes go to `problems`, and only without errors
/// there the plan is worth running.
pub fn plan(config: &Config, extra: &[Section], service: Service, problems: &mut Problems) -> Plan {
    let halt = Halt::default();
    let parsers = Parsers::read(
        config.sections.iter().chain(&service.parsers),
        &config.variables,
        problems,
    )
    .with_message_max(service.message_max);
    let mut builder = Builder {
        config,
        service: &service,
        parsers: &parsers,
        halt: &halt,
        problems,
        counts: HashMap::new(),
        levels: Vec::new(),
    };
    let sections = || config.sections.iter().chain(extra);
    let of = |kind| sections().filter(move |section| section.kind == kind);
    let (inputs, outputs) = (
        of(SectionKind::Input).count(),
        of(SectionKind::Output).count(),
    );
    let read_inputs: Vec<_> = of(SectionKind::Input)
        .filter_map(|section| builder.input(section))
        .collect();
    let chain: Vec<_> = of(SectionKind::Filter)
        .filter_map(|section| builder.filter(section))
        .collect();
    let lonely = inputs == 1 && outputs == 1;
    let outputs: Vec<_> = of(SectionKind::Output)
        .filter_map(|section| builder.output(section, lonely))
        .collect();
    let levels = builder.levels;
    Plan {
        levels,
        ..assemble(service, read_inputs, chain, outputs, halt)
    }
}

/// An input as its section says.
struct ReadInput {
    name: Arc<str>,
    component: Arc<str>,
    tag: Tag,
    mem_buf_limit: Option<u64>,
    processors: Vec<filter::Link>,
    input: Box<dyn Input>,
}

/// An output as its section says.
struct ReadOutput {
    name: String,
    component: String,
    matcher: Matcher,
    policy: Policy,
    workers: Option<usize>,
    output: Arc<dyn output::Output>,
}

/// A section as it is opened.
struct Opened<'s> {
    settings: Settings<'s>,
    /// Its name in logs and counters: the alias, or the name of the instance.
    name: String,
    /// `PLUGIN.N`, whatever its alias; the tag of events without one.
    instance: String,
    /// Whether it is switched on.
    active: bool,
}

struct Builder<'a> {
    config: &'a Config,
    service: &'a Service,
    parsers: &'a Parsers,
    halt: &'a Halt,
    problems: &'a mut Problems,
    /// How many instances of each kind there are.
    counts: HashMap<&'static str, usize>,
    /// The instances that have a `Log_Level`, by component.
    levels: Vec<(String, Level)>,
}

impl<'a> Builder<'a> {
    /// Opens a section and reads what every instance has.
    fn open<'s>(&'s mut self, section: &'s Section) -> Opened<'s> {
        let Self {
            config,
            problems,
            counts,
            levels,
            ..
        } = self;
        let mut settings = Settings::new(section, &config.variables, problems);
        settings.look_in(&config.directory);
        let plugin = settings.name().to_owned();
        let count = counts.entry(section.kind.name()).or_default();
        let instance = format!("{plugin}.{count}");
        *count += 1;
        let name = settings.text("alias").unwrap_or_else(|| instance.clone());
        let active = common::active(&mut settings);
        if let Some(level) = common::log_level(&mut settings) {
            levels.push((format!("{}:{plugin}:{name}", section.kind), level));
        }
        common::accept(&mut settings, section.kind);
        Opened {
            settings,
            name,
            instance,
            active,
        }
    }

    fn input(&mut self, section: &Section) -> Option<ReadInput> {
        let (service, parsers) = (self.service, self.parsers);
        let Opened {
            mut settings,
            name,
            instance,
            active,
        } = self.open(section);
        let Some(build) = input::find(settings.name()) else {
            unknown(&mut settings, input::names());
            return None;
        };
        let tag = settings.text("tag").unwrap_or(instance);
        let mem_buf_limit = settings.size("mem_buf_limit").filter(|limit| *limit > 0);
        storage_type(&mut settings, service);
        if !input::speaks_tls(settings.name()) {
            if settings.flag("tls", false) {
                settings.error(
                    "tls",
                    format!("{} does not support TLS", settings.subject()),
                );
            }
            settings.accept(&["tls.*"]);
        }
        let input = build(&mut settings, parsers);
        let component = format!("input:{}:{name}", settings.name());
        settings.nested("processors");
        if let Some(routes) = settings.nested("routes") {
            let message = "routes are not part of this version: give the outputs Match, and records other tags by rewrite_tag";
            settings.error_at(routes.place(), "routes", message);
        }
        settings.finish();
        let entry = section
            .nested
            .iter()
            .find(|entry| entry.key == "processors");
        let processors = entry.map_or_else(Vec::new, |entry| self.processors(&entry.value));
        active.then(|| ReadInput {
            processors,
            name: name.into(),
            component: component.into(),
            tag: Tag::new(tag.as_bytes()),
            mem_buf_limit,
            input,
        })
    }

    /// What filters may use.
    fn means(&self) -> Means<'a> {
        Means {
            parsers: self.parsers,
            directory: &self.config.directory,
            halt: self.halt,
        }
    }

    /// The processors that an input lists.
    fn processors(&mut self, value: &Node) -> Vec<filter::Link> {
        let means = self.means();
        let mut links = Vec::new();
        for section in Section::processors(value, self.problems) {
            let mut settings = Settings::new(&section, &self.config.variables, self.problems);
            let Some(builder) = filter::find_processor(settings.name()) else {
                unknown(
                    &mut settings,
                    filter::processor_names().chain(filter::names()),
                );
                continue;
            };
            let active = common::active(&mut settings);
            let link = builder.build_processor(&mut settings, means);
            settings.finish();
            links.extend(active.then_some(link));
        }
        links
    }

    fn filter(&mut self, section: &Section) -> Option<ChainLink> {
        let means = self.means();
        let Opened {
            mut settings,
            active,
            ..
        } = self.open(section);
        let Some(builder) = filter::find(settings.name()) else {
            unknown(&mut settings, filter::names());
            return None;
        };
        let matcher = Matcher::read(&mut settings);
        if matcher.is_empty() {
            settings.error(
                "match",
                format!(
                    "{} needs Match or Match_Regex; `Match *` takes every tag",
                    settings.subject()
                ),
            );
        }
        let link = builder.build(&mut settings, means);
        settings.finish();
        active.then_some(ChainLink {
            matcher,
            processor_of: None,
            link,
        })
    }

    fn output(&mut self, section: &Section, lonely: bool) -> Option<ReadOutput> {
        let service = self.service;
        let Opened {
            mut settings,
            name,
            active,
            ..
        } = self.open(section);
        let Some(build) = output::find(settings.name()) else {
            unknown(&mut settings, output::names());
            return None;
        };
        let component = format!("output:{}:{name}", settings.name());
        let mut matcher = Matcher::read(&mut settings);
        if matcher.is_empty() && lonely {
            matcher = Matcher::all();
        } else if matcher.is_empty() {
            settings.warning(
                "match",
                format!("NO match for {name} output instance, nothing will be routed to it"),
            );
        }
        let policy = Policy {
            limit: common::retry_limit(&mut settings),
            ..service.retry
        };
        let workers = settings
            .integer("workers")
            .and_then(|workers| usize::try_from(workers).ok())
            .filter(|workers| *workers > 0);
        settings.size("storage.total_limit_size");
        settings.accept(&["storage.total_limit_size"]);
        if let Some(processors) = settings.nested("processors") {
            let message = "processors of an output are not part of this version: put them below an input, or write filters";
            settings.error_at(processors.place(), "processors", message);
        }
        let output = build(&mut settings, output::Options { json: service.json });
        settings.finish();
        active.then_some(ReadOutput {
            name,
            component,
            matcher,
            policy,
            workers,
            output,
        })
    }
}

/// Names the plugin that does not exist and the one that was perhaps meant.
fn unknown<'n>(settings: &mut Settings<'_>, names: impl Iterator<Item = &'n str>) {
    let known: Vec<_> = names.collect();
    let name = settings.name().to_owned();
    if name.is_empty() {
        return;
    }
    let kind = settings.kind();
    if is_known_elsewhere(kind, &name) {
        let message = format!(
            "Fluent Bit's {kind} `{name}` is not part of this version; `sluice --help` lists those that are"
        );
        settings.error("name", message);
        return;
    }
    let hint = match nearest(&name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    settings.error("name", format!("no plugin `{name}`; {hint}"));
}

/// Checks `storage.type`. Buffering on disk comes in a later version; until then events are kept in memory, and the user is told.
fn storage_type(settings: &mut Settings<'_>, service: &Service) {
    match settings.choice("storage.type", &["memory", "filesystem", "memrb"]) {
        Some("filesystem") if service.storage.path.is_none() => {
            settings.error(
                "storage.type",
                "filesystem needs `storage.path` in [SERVICE]",
            );
        }
        Some(kind @ ("filesystem" | "memrb")) => {
            settings.warning("storage.type", format!("{kind} is not supported yet; events are kept in memory, and senders wait when it is full"));
        }
        _ => {}
    }
}

/// Joins the stages.
fn assemble(
    service: Service,
    mut inputs: Vec<ReadInput>,
    filters: Vec<ChainLink>,
    outputs: Vec<ReadOutput>,
    halt: Halt,
) -> Plan {
    let mut chain = Vec::new();
    for (place, input) in inputs.iter_mut().enumerate() {
        let links = std::mem::take(&mut input.processors).into_iter();
        chain.extend(links.map(|link| ChainLink {
            matcher: Matcher::all(),
            processor_of: Some(place),
            link,
        }));
    }
    chain.extend(filters);
    let process = Budget::of_process();
    let mut ledger = Ledger::default();
    let mut routes = Vec::new();
    let mut deliveries = Vec::new();
    for output in outputs {
        let inbox = Arc::new(Inbox::default());
        let book = Arc::new(RouteLedger::new(&output.name));
        routes.push(Route {
            matcher: output.matcher,
            inbox: Arc::clone(&inbox),
            ledger: Arc::clone(&book),
        });
        ledger.routes.push(Arc::clone(&book));
        deliveries.push(Delivery {
            component: output.component,
            output: output.output,
            inbox,
            ledger: book,
            policy: output.policy,
            workers: output.workers,
        });
    }
    let holds = chain
        .iter()
        .any(|link| matches!(link.link, filter::Link::Operator(_)));
    let mut releasers = Vec::new();
    let stages = Arc::new(Stages {
        chain,
        routes,
        pool: Arc::new(Pool::new(BATCH_MAX)),
        linger: service.flush,
    });
    let (activity, requests) = (Arc::<Activity>::default(), Arc::<Requests>::default());
    // The channel of the real run takes this one's place before an input sees it.
    let (_, phase) = watch::channel(Phase::Run);
    let mut planned = Vec::new();
    for (place, read) in inputs.into_iter().enumerate() {
        let budget = match read.mem_buf_limit {
            Some(limit) => Budget::inside(&process, limit),
            None => Arc::clone(&process),
        };
        let book = Arc::new(InputLedger::new(&read.name));
        ledger.inputs.push(Arc::clone(&book));
        let dispatcher = Dispatcher::new(
            Arc::clone(&stages),
            Arc::clone(&budget),
            book,
            read.component.to_string(),
            place,
        );
        if holds {
            releasers.push(Releaser::new(dispatcher.clone()));
        }
        let context = Context {
            pause: Arc::new(Pause::new(Arc::clone(&read.name))),
            name: read.name,
            component: read.component,
            tag: read.tag,
            budget,
            dispatch: Arc::new(dispatcher),
            activity: Arc::clone(&activity),
            requests: Arc::clone(&requests),
            phase: phase.clone(),
        };
        planned.push(PlannedInput {
            input: read.input,
            context,
        });
    }
    Plan {
        service,
        inputs: planned,
        releasers,
        deliveries,
        ledger,
        halt,
        levels: Vec::new(),
    }
}

/// The settings of a plugin; `None` when there is no such plugin. Found out by letting it read an empty section.
pub fn settings_of(kind: SectionKind, plugin: &str) -> Option<Vec<&'static str>> {
    let place = Place::command_line();
    let name = Property {
        key: "name".to_owned(),
        value: plugin.to_owned(),
        place: place.clone(),
    };
    let mut section = Section::new(kind, place);
    section.properties.push(name);
    let (variables, mut problems) = (Variables::default(), Problems::default());
    let mut settings = Settings::new(&section, &variables, &mut problems);
    let common: &[&str] = match kind {
        SectionKind::Input => {
            input::find(plugin)?(&mut settings, &Parsers::default());
            &["tag", "alias", "mem_buf_limit"]
        }
        SectionKind::Filter => {
            let parsers = Parsers::default();
            let means = Means {
                parsers: &parsers,
                directory: Path::new(""),
                halt: &Halt::default(),
            };
            filter::find(plugin)?.build(&mut settings, means);
            &["match", "match_regex", "alias"]
        }
        _ => {
            output::find(plugin)?(&mut settings, output::Options::default());
            &["match", "match_regex", "alias", "retry_limit", "workers"]
        }
    };
    let mut keys = settings.keys();
    keys.extend(common);
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}
