//! From sections to stages.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::common;
use super::dead_letters::DeadLetters;
use super::foreign::is_known_elsewhere;
use super::fork::Processors;
use super::identity::Identity;
use super::retry::Policy;
use super::routes::{Named, Routes, Written};
use super::service::Service;
use super::storage::StorageKind;
use super::streams::{self, PlannedTask};
use crate::config::{
    Config, Node, Place, Problems, Property, Section, SectionKind, Settings, Variables, nearest,
};
use crate::event::Tag;
use crate::filter::{self, Halt, Link, Means};
use crate::input::{self, Input};
use crate::output;
use crate::parser::Parsers;
use crate::router::Matcher;
use crate::telemetry::log::Level;

/// Everything a run needs, made and not started.
pub struct Plan {
    /// What `[SERVICE]` says.
    pub service: Service,
    /// The inputs.
    pub(super) inputs: Vec<PlannedInput>,
    /// The filters.
    pub(super) filters: Vec<PlannedFilter>,
    /// The tasks of the stream processor.
    pub(super) tasks: Vec<PlannedTask>,
    /// The outputs.
    pub(super) outputs: Vec<PlannedOutput>,
    /// Whether a filter wants the end.
    pub(super) halt: Halt,
    /// The components that log at a level of their own.
    pub(super) levels: Vec<(String, Level)>,
}

impl Plan {
    /// The outputs, each with the place of its section and its name.
    pub fn outputs(&self) -> impl Iterator<Item = (&Place, &str, &Arc<dyn output::Output>)> {
        let outputs = self.outputs.iter();
        outputs.map(|planned| (&planned.place, &*planned.name, &planned.output))
    }
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
    let (mut inputs_read, routes): (Vec<_>, Vec<_>) = of(SectionKind::Input)
        .filter_map(|section| builder.input(section))
        .unzip();
    let filters: Vec<_> = of(SectionKind::Filter)
        .filter_map(|section| builder.filter(section))
        .collect();
    let lonely = inputs == 1 && outputs == 1;
    let outputs: Vec<_> = of(SectionKind::Output)
        .filter_map(|section| builder.output(section, lonely, &routes))
        .collect();
    let levels = builder.levels;
    let names: Vec<_> = inputs_read.iter().map(PlannedInput::named).collect();
    let tasks = service.streams.iter().chain(of(SectionKind::StreamTask));
    let tasks = streams::plan(tasks, &names, &config.variables, problems);
    let named: Vec<_> = outputs.iter().map(PlannedOutput::named).collect();
    for (input, routes) in inputs_read.iter_mut().zip(routes) {
        input.routes = routes.and_then(|routes| routes.resolve(&named, problems));
    }
    Plan {
        levels,
        inputs: inputs_read,
        filters,
        tasks,
        outputs,
        service,
        halt,
    }
}

/// An input as its section says.
pub(super) struct PlannedInput {
    pub(super) identity: Identity,
    pub(super) plugin: String,
    pub(super) name: Arc<str>,
    /// `PLUGIN.N`, whatever its alias.
    pub(super) instance: String,
    pub(super) component: Arc<str>,
    pub(super) tag: Tag,
    pub(super) mem_buf_limit: Option<u64>,
    pub(super) kind: StorageKind,
    pub(super) processors: Vec<Link>,
    /// What chooses its outputs, if not their `Match`.
    pub(super) routes: Option<Routes>,
    pub(super) input: Box<dyn Input>,
}

impl PlannedInput {
    fn named(&self) -> streams::Named<'_> {
        streams::Named {
            name: &self.name,
            instance: &self.instance,
        }
    }
}

/// A filter as its section says.
pub(super) struct PlannedFilter {
    pub(super) plugin: String,
    pub(super) name: String,
    pub(super) matcher: Matcher,
    pub(super) matching: String,
    pub(super) link: Link,
}

/// An output as its section says.
pub(super) struct PlannedOutput {
    pub(super) identity: Identity,
    /// Where its section stands.
    pub(super) place: Place,
    pub(super) plugin: String,
    pub(super) name: String,
    /// `PLUGIN.N`, whatever its alias.
    pub(super) instance: String,
    /// The name is an `Alias`, so the user means the same output when it stands in another configuration.
    pub(super) is_alias: bool,
    pub(super) component: String,
    pub(super) matcher: Matcher,
    pub(super) matching: String,
    pub(super) policy: Policy,
    pub(super) workers: Option<usize>,
    pub(super) dead_letters: Option<Arc<DeadLetters>>,
    /// `storage.total_limit_size`.
    pub(super) storage_limit: Option<u64>,
    /// What its events pass before they are stored for it.
    pub(super) processors: Option<Processors>,
    pub(super) output: Arc<dyn output::Output>,
}

impl PlannedOutput {
    fn named(&self) -> Named<'_> {
        Named {
            alias: self.is_alias.then_some(&self.name),
            instance: &self.instance,
            plugin: &self.plugin,
        }
    }
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
        settings.look_among(&config.sections);
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

    fn input(&mut self, section: &Section) -> Option<(PlannedInput, Option<Written>)> {
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
        let tag = settings.text("tag").unwrap_or_else(|| instance.clone());
        let mem_buf_limit = settings.size("mem_buf_limit").filter(|limit| *limit > 0);
        let kind = StorageKind::read(&mut settings, &service.storage);
        if !input::speaks_tls(settings.name()) {
            if settings.flag("tls", false) {
                settings.error(
                    "tls",
                    format!("{} does not support TLS", settings.subject()),
                );
            }
            settings.accept(&["tls.*"]);
        }
        let plugin = settings.name().to_owned();
        let input = build(&mut settings, parsers);
        let component = format!("input:{plugin}:{name}");
        settings.nested("processors");
        settings.nested("routes");
        settings.finish();
        let listed = section.map_of("processors");
        let processors = listed.map_or_else(Vec::new, |listed| self.processors(listed));
        let routes = section.map_of("routes");
        let routes = routes.and_then(|routes| Written::read(routes, self.problems));
        let processors = processors.into_iter().map(|(link, _)| link).collect();
        let planned = active.then(|| PlannedInput {
            identity: Identity::of_input(section, self.config),
            plugin,
            processors,
            name: name.into(),
            instance,
            component: component.into(),
            tag: Tag::new(tag.as_bytes()),
            mem_buf_limit,
            kind,
            routes: None,
            input,
        });
        planned.map(|planned| (planned, routes))
    }

    /// What filters may use.
    fn means(&self) -> Means<'a> {
        Means {
            parsers: self.parsers,
            variables: &self.config.variables,
            directory: &self.config.directory,
            halt: self.halt,
        }
    }

    /// The processors that an input or an output lists, each with its place.
    fn processors(&mut self, value: &Node) -> Vec<(Link, Place)> {
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
            links.extend(active.then(|| (link, section.place.clone())));
        }
        links
    }

    /// The processors of an output, which may look at one event each only: an event that is held back, or put out under another
    /// tag, would be no longer what was routed.
    fn processors_of_output(&mut self, value: &Node) -> Option<Processors> {
        let mut filters = Vec::new();
        for (link, place) in self.processors(value) {
            match link {
                Link::Filter(filter) => filters.push(filter),
                Link::Operator(_) => {
                    let message = "looks at more than one record, which a processor of an output cannot: put it below the input, or write a filter";
                    self.problems.error(&place, Some("name"), message);
                }
            }
        }
        (!filters.is_empty()).then(|| filters.into())
    }

    fn filter(&mut self, section: &Section) -> Option<PlannedFilter> {
        let means = self.means();
        let is_shown = self.service.http.is_some();
        let Opened {
            mut settings,
            name,
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
        let plugin = settings.name().to_owned();
        let link = builder.build(&mut settings, means);
        if plugin == "log_to_metrics" && !is_shown {
            let message = "its metrics can only be seen with `HTTP_Server On` in [SERVICE]";
            settings.warning("name", message);
        }
        settings.finish();
        active.then(|| PlannedFilter {
            plugin,
            name,
            matcher,
            matching: matching(section, &self.config.variables),
            link,
        })
    }

    fn output(
        &mut self,
        section: &Section,
        lonely: bool,
        routes: &[Option<Written>],
    ) -> Option<PlannedOutput> {
        let service = self.service;
        let variables = &self.config.variables;
        let Opened {
            mut settings,
            name,
            instance,
            active,
        } = self.open(section);
        let Some(build) = output::find(settings.name()) else {
            unknown(&mut settings, output::names());
            return None;
        };
        let component = format!("output:{}:{name}", settings.name());
        let mut matcher = Matcher::read(&mut settings);
        let mut matching = matching(section, variables);
        let plugin = settings.name().to_owned();
        let is_alias = settings.text("alias").is_some();
        let named = Named {
            alias: is_alias.then_some(&name),
            instance: &instance,
            plugin: &plugin,
        };
        let is_chosen = routes.iter().flatten().any(|routes| routes.name(&named));
        if matcher.is_empty() && lonely {
            "*".clone_into(&mut matching);
            matcher = Matcher::all();
        } else if matcher.is_empty() && is_chosen {
            "routes of inputs".clone_into(&mut matching);
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
        let storage_limit = settings.size("storage.total_limit_size");
        settings.nested("processors");
        let output = build(
            &mut settings,
            output::Options {
                json: service.json,
                keeps_rejected: service.dead_letters.is_some(),
            },
        );
        common::accept_tls(&mut settings);
        settings.finish();
        if !output.takes_records() {
            matcher = Matcher::default();
            "no records".clone_into(&mut matching);
        }
        let listed = section.map_of("processors");
        let processors = listed.and_then(|listed| self.processors_of_output(listed));
        let dead_letters = service.dead_letters.clone();
        let letters = service.dead_letters.as_deref();
        let letters = letters.map(DeadLetters::place);
        let service = (service.retry, service.json, letters);
        active.then(|| PlannedOutput {
            identity: Identity::of_output(section, self.config, service),
            place: section.place.clone(),
            plugin,
            is_alias,
            name,
            instance,
            processors,
            component,
            matcher,
            matching,
            policy,
            workers,
            dead_letters,
            storage_limit: storage_limit.filter(|limit| *limit > 0),
            output,
        })
    }
}

/// The tags a section takes, for people.
fn matching(section: &Section, variables: &Variables) -> String {
    let patterns = section.properties.iter().filter_map(|property| {
        let text = || variables.expand(&property.value).text;
        match property.key.as_str() {
            "match" => Some(text()),
            "match_regex" => Some(format!("/{}/", text())),
            _ => None,
        }
    });
    patterns.collect::<Vec<_>>().join(" or ")
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
            let means = Means {
                parsers: &Parsers::default(),
                variables: &Variables::default(),
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
