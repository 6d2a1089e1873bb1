//! `sluice explain`: what a configuration means.
//!
//! ```text
//! input forward.0                               main.conf:5:1
//!     port             24224                    main.conf:7:5
//!     threaded         on                       main.conf:8:5   has no effect
//!     at their defaults: buffer_max_size, ..
//!     tags: as its senders say
//!     to filter grep.0 (app*)
//!     to output null.0 (*)           or: to output null.0 (by its routes)
//! ```

use std::fmt::Write as _;

use crate::config::{
    Config, Effect, Node, Problems, Reading, Section, SectionKind, Settings, value,
};
use crate::event::TagPattern;
use crate::pipeline::{Named, chosen};
use crate::router::Matcher;

/// Inputs whose senders say the tag, unless `Tag` does.
const TAGGED_BY_SENDERS: [&str; 2] = ["forward", "http"];

/// Tells what the sections of a configuration without mistakes and of the command line mean,
/// `readings` being how they were read: in their order, one for each.
pub fn explain(config: &Config, extra: &[Section], readings: &[Reading]) -> String {
    let sections: Vec<&Section> = config.sections.iter().chain(extra).collect();
    let instances = |kind| instances(config, &sections, kind);
    let (inputs, filters, outputs) = (
        instances(SectionKind::Input),
        instances(SectionKind::Filter),
        instances(SectionKind::Output),
    );
    let lonely = inputs.len() == 1 && outputs.len() == 1;
    let inputs: Vec<_> = inputs.into_iter().map(|it| it.routed(&outputs)).collect();
    let mut text = String::new();
    let mut all = [inputs.iter(), filters.iter(), outputs.iter()];
    for reading in readings {
        let [of_inputs, of_filters, of_outputs] = &mut all;
        let instance = match reading.kind {
            SectionKind::Input => of_inputs.next(),
            SectionKind::Filter => of_filters.next(),
            SectionKind::Output => of_outputs.next(),
            _ => None,
        };
        section(&mut text, reading, instance);
        if let Some(input) = instance.filter(|_| reading.kind == SectionKind::Input) {
            routes(&mut text, input, &filters, &outputs, lonely);
        }
        text.push('\n');
    }
    unwanted(&mut text, &inputs, &outputs, lonely);
    text
}

/// An input, filter or output.
struct Instance<'c> {
    /// The alias, or `PLUGIN.N`.
    name: String,
    /// `PLUGIN.N`.
    numbered: String,
    plugin: String,
    /// The value of `routes`.
    routes: Option<&'c Node>,
    /// The names of the outputs that its routes lead to; if there are some, no other gets its records.
    chosen: Option<Vec<String>>,
    is_on: bool,
    /// Unless its senders say the tag.
    tag: Option<String>,
    matcher: Matcher,
    /// The patterns as text.
    patterns: String,
}

/// What is known about the tags of an input.
enum Tags {
    Fixed(String),
    /// A pattern that stands for the rest of a file's name.
    Pattern(String),
    OfSenders,
}

fn instances<'c>(
    config: &Config,
    sections: &[&'c Section],
    kind: SectionKind,
) -> Vec<Instance<'c>> {
    let of_kind = sections.iter().filter(|section| section.kind == kind);
    let read = of_kind.enumerate().map(|(number, section)| {
        // What is wrong with the section is reported by those who read it to run it.
        let mut problems = Problems::default();
        let mut settings = Settings::new(section, &config.variables, &mut problems);
        let plugin = settings.name().to_owned();
        let active = settings.text("active");
        let instance = format!("{plugin}.{number}");
        let patterns = ["match", "match_regex"].map(|key| settings.text(key));
        let tag = settings.text("tag");
        Instance {
            is_on: active.is_none_or(|text| value::flag(&text) != Some(false) && text != "0"),
            name: settings.text("alias").unwrap_or_else(|| instance.clone()),
            routes: section.map_of("routes"),
            chosen: None,
            tag: tag.or_else(|| {
                let is_own = !TAGGED_BY_SENDERS.contains(&plugin.as_str());
                is_own.then(|| instance.clone())
            }),
            numbered: instance,
            plugin,
            matcher: Matcher::read(&mut settings),
            patterns: patterns
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" or "),
        }
    });
    read.collect()
}

impl Instance<'_> {
    /// With the outputs that its routes lead to.
    fn routed(mut self, outputs: &[Instance<'_>]) -> Self {
        let active: Vec<_> = outputs.iter().filter(|output| output.is_on).collect();
        let named: Vec<_> = active.iter().map(|output| output.named()).collect();
        let chosen = self.routes.and_then(|routes| chosen(routes, &named));
        let names = |place: usize| active.get(place).map(|output| output.name.clone());
        self.chosen = chosen.map(|places| places.into_iter().filter_map(names).collect());
        self
    }

    fn named(&self) -> Named<'_> {
        Named {
            alias: (self.name != self.numbered).then_some(&self.name),
            instance: &self.numbered,
            plugin: &self.plugin,
        }
    }

    fn tags(&self) -> Tags {
        match &self.tag {
            None => Tags::OfSenders,
            Some(tag) if tag.contains('*') => Tags::Pattern(tag.clone()),
            Some(tag) => Tags::Fixed(tag.clone()),
        }
    }

    /// Whether records with these tags come here; of tags that are not known before, they may.
    fn may_take(&self, tags: &Tags, lonely: bool) -> bool {
        if self.matcher.is_empty() || !self.is_on {
            return lonely && self.is_on;
        }
        match tags {
            Tags::Fixed(tag) => self.matcher.matches(tag.as_bytes()),
            // The start before the `*` and the pattern's start must not contradict each other.
            Tags::Pattern(tag) => {
                let start = tag.split('*').next().unwrap_or_default();
                let pattern = self.patterns.split('*').next().unwrap_or_default();
                self.patterns.contains(" or ")
                    || start.starts_with(pattern)
                    || pattern.starts_with(start)
                    || TagPattern::new(&self.patterns).matches(tag.as_bytes())
            }
            Tags::OfSenders => true,
        }
    }
}

fn section(text: &mut String, reading: &Reading, instance: Option<&Instance<'_>>) {
    let name = instance.map_or("", |instance| &instance.name);
    let off = match instance {
        Some(instance) if !instance.is_on => " (switched off)",
        _ => "",
    };
    let head = format!("{} {name}{off}", reading.kind);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:<56} {}", head.trim_ascii_end(), reading.place);
    for given in &reading.given {
        let remark = match given.effect {
            Effect::Used => "",
            Effect::Overridden => "   another one counts",
            Effect::Nothing => "   has no effect",
            Effect::Unknown => "   unknown",
        };
        let line = format!("    {:<20} {}", given.key, given.value);
        let _ = writeln!(text, "{line:<56} {}{remark}", given.place);
    }
    if !reading.unset.is_empty() {
        let _ = writeln!(text, "    at their defaults: {}", reading.unset.join(", "));
    }
}

fn routes(
    text: &mut String,
    input: &Instance<'_>,
    filters: &[Instance<'_>],
    outputs: &[Instance<'_>],
    lonely: bool,
) {
    let tags = input.tags();
    let said = match &tags {
        Tags::Fixed(tag) => format!("tag: {tag}"),
        Tags::Pattern(tag) => format!("tags: {tag}, the `*` being the file"),
        Tags::OfSenders => "tags: as its senders say".to_owned(),
    };
    let _ = writeln!(text, "    {said}");
    for output in input.chosen.iter().flatten() {
        let _ = writeln!(text, "    to output {output} (by its routes)");
    }
    let outputs = if input.chosen.is_some() { &[] } else { outputs };
    for (kind, instances) in [("filter", filters), ("output", outputs)] {
        let lonely = lonely && kind == "output";
        for instance in instances
            .iter()
            .filter(|instance| instance.may_take(&tags, lonely))
        {
            let patterns = if instance.patterns.is_empty() {
                "the only output takes all"
            } else {
                &instance.patterns
            };
            let _ = writeln!(text, "    to {kind} {} ({patterns})", instance.name);
        }
    }
}

/// Says which tags no output takes, and which outputs take nothing.
fn unwanted(text: &mut String, inputs: &[Instance<'_>], outputs: &[Instance<'_>], lonely: bool) {
    let takes_all = outputs.iter().any(|output| {
        output
            .patterns
            .split(" or ")
            .any(|pattern| pattern.trim_matches('*').is_empty() && !pattern.is_empty())
    });
    let inputs = || inputs.iter().filter(|input| input.is_on);
    for input in inputs().filter(|input| input.chosen.is_none()) {
        let tags = input.tags();
        if !outputs.iter().any(|output| output.may_take(&tags, lonely)) {
            let _ = writeln!(text, "no output takes the records of {}", input.name);
        } else if matches!(tags, Tags::OfSenders) && !takes_all && !lonely {
            let patterns: Vec<&str> = outputs
                .iter()
                .map(|output| output.patterns.as_str())
                .filter(|patterns| !patterns.is_empty())
                .collect();
            let _ = writeln!(
                text,
                "no output takes records of {} whose tags fit none of {}",
                input.name,
                patterns.join(", ")
            );
        }
    }
    for output in outputs
        .iter()
        .filter(|output| output.matcher.is_empty() && !lonely)
        .filter(|output| {
            !inputs().any(|input| input.chosen.iter().flatten().any(|it| *it == output.name))
        })
    {
        let _ = writeln!(
            text,
            "output {} takes nothing: it has no Match",
            output.name
        );
    }
}
