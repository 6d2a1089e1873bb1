//! `routes` of an input: which of its records go to which outputs, whatever their tag.
//!
//! ```text
//! routes:
//!   logs:                                             or any; metrics and traces have no effect
//!     - name: errors
//!       condition: {op: and, rules: [{field: $level, op: eq, value: error}]}
//!       to: {outputs: [alarm, {name: archive, fallback: disk}]}
//!     - name: rest
//!       condition: {default: true}                    what no condition has taken
//!       to: {outputs: [disk]}
//! ```
//!
//! An input with routes has nothing else: no `Match` of an output brings it records. Each record is asked by itself, and goes to
//! every route whose condition holds; a route without a condition takes all. Names of outputs are an alias, else an instance
//! (`file.0`), else a plugin.
//!
//! <https://docs.fluentbit.io/manual/data-pipeline/router>

use crate::config::{Entry, Node, Place, Problems, nearest, value};
use crate::filter::{Condition, View};

/// The most routes of one input; each is a bit of a [`Taken`].
const ROUTES_MAX: usize = Taken::BITS as usize;

/// A set of routes, a bit each.
pub(super) type Taken = u64;

/// Routes as written: outputs are names.
pub(super) struct Written {
    routes: Vec<WrittenRoute>,
    place: Place,
}

struct WrittenRoute {
    name: String,
    condition: Option<Condition>,
    is_default: bool,
    outputs: Vec<Target>,
}

/// The name of an output, and of the one that takes its place when there is none of that name.
struct Target {
    name: String,
    fallback: Option<String>,
    place: Place,
}

/// An output as routes may name it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'n> {
    /// Its `Alias`.
    pub alias: Option<&'n str>,
    /// `PLUGIN.N`.
    pub instance: &'n str,
    /// Its plugin.
    pub plugin: &'n str,
}

/// Routes that lead somewhere.
pub(super) struct Routes {
    rules: Vec<Rule>,
    /// The outputs by their place, with the routes that lead there.
    outputs: Vec<(usize, Taken)>,
}

struct Rule {
    condition: Option<Condition>,
    is_default: bool,
}

/// The places of the outputs that the value of `routes` leads to; nothing if it leads nowhere. What is wrong with it is reported by
/// [`plan`](super::plan).
pub fn chosen(routes: &Node, outputs: &[Named<'_>]) -> Option<Vec<usize>> {
    let mut problems = Problems::default();
    let routes = Written::read(routes, &mut problems)?.resolve(outputs, &mut problems)?;
    Some(routes.outputs.iter().map(|(place, _)| *place).collect())
}

impl Routes {
    /// The routes that take a record. The default takes what no condition has.
    pub(super) fn take(&self, record: &View<'_>) -> Taken {
        let (mut taken, mut defaults, mut is_met) = (0, 0, false);
        for (number, rule) in self.rules.iter().enumerate() {
            let holds = rule.condition.as_ref().map(|it| it.holds(record));
            let bit = 1 << number;
            match (holds, rule.is_default) {
                (Some(false), _) => {}
                (_, true) => defaults |= bit,
                (None, false) => taken |= bit,
                (Some(true), false) => (taken, is_met) = (taken | bit, true),
            }
        }
        if is_met { taken } else { taken | defaults }
    }

    /// The outputs by their place, with the routes that lead there.
    pub(super) fn outputs(&self) -> &[(usize, Taken)] {
        &self.outputs
    }
}

impl Written {
    /// Reads the key; mistakes go to `problems`.
    pub(super) fn read(written: &Node, problems: &mut Problems) -> Option<Self> {
        let mut reader = Reader {
            routes: Vec::new(),
            problems,
        };
        if !matches!(written, Node::Map(..)) {
            let message = format!("needs a map such as `logs: [..]`, not {}", written.shape());
            reader.refuse(written.place(), "routes", message);
            return None;
        }
        for entry in written.entries() {
            reader.signal(entry);
        }
        if reader.routes.len() > ROUTES_MAX {
            let message = format!("has more than {ROUTES_MAX} routes");
            reader.refuse(written.place(), "routes", message);
        }
        let routes = reader.routes;
        (!routes.is_empty()).then(|| Self {
            routes,
            place: written.place().clone(),
        })
    }

    /// Whether a route leads to this output.
    pub(super) fn name(&self, output: &Named<'_>) -> bool {
        let targets = self.routes.iter().flat_map(|route| &route.outputs);
        let mut names = targets.flat_map(|it| [Some(it.name.as_str()), it.fallback.as_deref()]);
        names.any(|name| name.is_some_and(|name| output.is(name)))
    }

    /// Finds the outputs. A route that leads nowhere is left out, so that the default takes its records, and an input whose routes
    /// all lead nowhere has none.
    pub(super) fn resolve(self, outputs: &[Named<'_>], problems: &mut Problems) -> Option<Routes> {
        let mut found = Routes {
            rules: Vec::new(),
            outputs: Vec::new(),
        };
        for route in self.routes.into_iter().take(ROUTES_MAX) {
            let bit: Taken = 1 << found.rules.len();
            let mut leads = false;
            for target in &route.outputs {
                let place = target.resolve(&route.name, outputs, problems);
                leads |= place.is_some();
                let Some(place) = place else { continue };
                match found.outputs.iter_mut().find(|(known, _)| *known == place) {
                    Some((_, taken)) => *taken |= bit,
                    None => found.outputs.push((place, bit)),
                }
            }
            if leads {
                found.rules.push(Rule {
                    condition: route.condition,
                    is_default: route.is_default,
                });
            }
        }
        if found.rules.is_empty() {
            let message = "no route leads to an output";
            let instead = "the records of this input go where their tag does";
            problems.lapse(&self.place, Some("routes"), message, instead);
            return None;
        }
        Some(found)
    }
}

impl Target {
    fn resolve(
        &self,
        route: &str,
        outputs: &[Named<'_>],
        problems: &mut Problems,
    ) -> Option<usize> {
        let key = Some("outputs");
        if let Some(place) = find(&self.name, outputs) {
            return Some(place);
        }
        let missing = format!("route {route}: there is no output `{}`", self.name);
        if let Some(fallback) = &self.fallback
            && let Some(place) = find(fallback, outputs)
        {
            let instead = format!("its fallback `{fallback}` takes its place");
            problems.lapse(&self.place, key, missing, &instead);
            return Some(place);
        }
        let names = outputs.iter();
        let names = names.flat_map(|output| [output.alias, Some(output.instance)]);
        let message = match nearest(&self.name, names.flatten()) {
            Some(near) => format!("{missing}; did you mean `{near}`?"),
            None => missing,
        };
        let instead = "records are routed as if it were not named";
        problems.lapse(&self.place, key, message, instead);
        None
    }
}

impl Named<'_> {
    fn is(&self, name: &str) -> bool {
        self.alias == Some(name) || self.instance == name || self.plugin == name
    }
}

/// The first output of this alias, else of this instance, else of this plugin.
fn find(name: &str, outputs: &[Named<'_>]) -> Option<usize> {
    let by =
        |fits: fn(&Named<'_>, &str) -> bool| outputs.iter().position(|output| fits(output, name));
    by(|output, name| output.alias == Some(name))
        .or_else(|| by(|output, name| output.instance == name))
        .or_else(|| by(|output, name| output.plugin == name))
}

struct Reader<'p> {
    routes: Vec<WrittenRoute>,
    problems: &'p mut Problems,
}

impl Reader<'_> {
    fn refuse(&mut self, place: &Place, key: &str, message: impl Into<String>) {
        self.problems.error(place, Some(key), message);
    }

    /// `logs`, `logs,metrics`, `any`: their routes, or the switch that stands beside them.
    fn signal(&mut self, entry: &Entry) {
        let (key, place) = (entry.key.as_str(), &entry.place);
        if key == "per_record_routing" {
            // Every record is asked by itself, whatever this says.
            let switch = entry.value.text().and_then(value::flag);
            if switch.is_none() {
                self.refuse(place, key, "needs true or false");
            }
            return;
        }
        let words = || {
            let words = key.split(|it: char| it.is_whitespace() || ",|+".contains(it));
            words.filter(|word| !word.is_empty())
        };
        let known = ["logs", "metrics", "traces", "profiles", "any"];
        if words().count() == 0 || !words().all(|word| known.contains(&word)) {
            let message = match nearest(key, known) {
                Some(near) => format!("is no kind of record; did you mean `{near}`?"),
                None => format!("is no kind of record; known are {}", known.join(", ")),
            };
            self.refuse(place, key, message);
            return;
        }
        if !words().any(|word| matches!(word, "logs" | "any")) {
            let message = "has no effect: only logs pass through here";
            self.problems.warning(place, Some(key), message);
            return;
        }
        let items = entry.value.items();
        if items.is_empty() {
            self.refuse(place, key, "needs routes, at least one");
        }
        for item in items {
            match item {
                Node::Map(..) => self.route(item),
                other => {
                    let message = format!("needs maps in its list, not {}", other.shape());
                    self.refuse(other.place(), key, message);
                }
            }
        }
    }

    fn route(&mut self, node: &Node) {
        let name = node.get("name").and_then(Node::text).unwrap_or_default();
        if name.is_empty() {
            self.refuse(node.place(), "name", "a route has no `name`");
        } else if self.routes.iter().any(|route| route.name == name) {
            let message = format!("there are two routes `{name}`");
            self.refuse(node.place(), "name", message);
        }
        for entry in node.entries() {
            let message = match entry.key.as_str() {
                "name" | "condition" | "to" => continue,
                "processors" => {
                    "processors of a route are not run; put them below the input, or the output that the route leads to"
                }
                _ => "unknown in a route; known are name, condition, to",
            };
            let key = Some(entry.key.as_str());
            self.problems
                .lapse(&entry.place, key, message, "it is ignored");
        }
        let (condition, is_default) = self.condition(node);
        let outputs = self.outputs(node);
        self.routes.push(WrittenRoute {
            name: name.to_owned(),
            condition,
            is_default,
            outputs,
        });
    }

    /// The rules, and whether the route takes the rest. `default` may have rules too.
    fn condition(&mut self, route: &Node) -> (Option<Condition>, bool) {
        let Some(node) = route.get("condition") else {
            return (None, false);
        };
        let default = node.get("default");
        let is_default = default.map(|default| default.text().and_then(value::flag));
        if is_default == Some(None) {
            self.refuse(node.place(), "default", "needs true or false");
        }
        let is_default = is_default.flatten() == Some(true);
        if is_default && node.get("rules").is_none() {
            return (None, true);
        }
        let problems = &mut *self.problems;
        let mut refuse = |place: &Place, key: &str, message: String| {
            problems.error(place, Some(key), message);
        };
        (Some(Condition::of(node, &mut refuse)), is_default)
    }

    /// `to: {outputs: [..]}`, or the outputs themselves, or one.
    fn outputs(&mut self, route: &Node) -> Vec<Target> {
        let to = route.get("to");
        let outputs = match to {
            Some(to @ Node::Map(..)) => to.get("outputs"),
            to => to,
        };
        let items = outputs.map(Node::items).unwrap_or_default();
        let mut targets = Vec::new();
        for item in items {
            let text = |key| item.get(key).and_then(Node::text);
            match item.text().or_else(|| text("name")) {
                Some(name) if !name.is_empty() => targets.push(Target {
                    name: name.to_owned(),
                    fallback: text("fallback").map(str::to_owned),
                    place: item.place().clone(),
                }),
                _ => self.refuse(
                    item.place(),
                    "outputs",
                    "needs names of outputs, or maps of `name` and `fallback`",
                ),
            }
        }
        if items.is_empty() {
            let place = to.unwrap_or(route).place();
            self.refuse(place, "to", "a route needs `to: {outputs: [..]}`");
        }
        targets
    }
}

#[cfg(test)]
mod tests;
