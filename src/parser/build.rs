//! A `[PARSER]` section as a [`Parser`].

use super::decode::Decoders;
use super::fields::Rules;
use super::pattern::Pattern;
use super::time::{TimeField, TimeFormat, Zone};
use super::types::Types;
use super::{Format, Parser};
use crate::config::Settings;
use crate::regex::Regex;

impl Parser {
    /// Reads the section; `None`, and a problem, where it makes no parser.
    pub(super) fn read(settings: &mut Settings<'_>) -> Option<Self> {
        let format = format(settings);
        let types = settings.text("types").unwrap_or_default();
        let rules = Rules {
            time: time(settings),
            // JSON brings its own types.
            types: match format {
                Some(Format::Json) => Types::default(),
                _ => Types::new(&types),
            },
        };
        Some(Self {
            name: settings.name().to_owned(),
            format: format?,
            rules,
            decoders: decoders(settings),
            bad_time: crate::telemetry::log::Limiter::default(),
        })
    }
}

fn format(settings: &mut Settings<'_>) -> Option<Format> {
    let format = settings
        .required("format")
        .and(settings.choice("format", &["json", "regex", "ltsv", "logfmt"]));
    let regex = settings.text("regex");
    let skip_empty = settings.flag("skip_empty_values", true);
    let no_bare_keys = settings.flag("logfmt_no_bare_keys", false);
    Some(match format? {
        "json" => Format::Json,
        "ltsv" => Format::Ltsv,
        "logfmt" => Format::Logfmt { no_bare_keys },
        _ => {
            let Some(pattern) = regex else {
                settings.required("regex");
                return None;
            };
            let name = settings.name().to_owned();
            let regex = Regex::new(&pattern)
                .map_err(|error| settings.error("regex", format!("parser `{name}`: {error}")));
            Format::Regex(Pattern {
                regex: regex.ok()?,
                skip_empty,
            })
        }
    })
}

fn time(settings: &mut Settings<'_>) -> Option<TimeField> {
    let format = settings.text("time_format");
    let key = settings.text("time_key");
    let keep = settings.flag("time_keep", false);
    let strict = settings.flag("time_strict", true);
    let zone = zone(settings, format.is_some());
    Some(TimeField {
        key: key.as_deref().unwrap_or("time").as_bytes().into(),
        format: TimeFormat::new(&format?, zone),
        keep,
        strict,
    })
}

/// Reads the three settings that say where a time without a zone lies. The offset is only looked at where it counts.
fn zone(settings: &mut Settings<'_>, has_format: bool) -> Zone {
    let name = settings.text("time_zone");
    let offset = settings.text("time_offset");
    let system = settings.flag("time_system_timezone", false);
    if name.is_some() {
        for (key, given) in [
            ("Time_Offset", offset.is_some()),
            ("Time_System_Timezone", system),
        ] {
            if given {
                settings.error(
                    "time_zone",
                    format!("Time_Zone and {key} exclude each other"),
                );
            }
        }
        if !has_format {
            settings.error("time_zone", "Time_Zone needs a Time_Format");
        }
    }
    let (key, zone) = match (name, offset) {
        (Some(name), _) => ("time_zone", Zone::named(&name)),
        _ if system => return Zone::system(),
        (None, Some(offset)) if has_format => ("time_offset", Zone::offset(&offset)),
        _ => return Zone::Fixed(0),
    };
    zone.unwrap_or_else(|error| {
        settings.error(key, error.to_string());
        Zone::Fixed(0)
    })
}

/// The decoders in the order of the section, whichever of the two keys they stand under.
fn decoders(settings: &mut Settings<'_>) -> Decoders {
    let mut rules = Vec::new();
    for (key, replaces) in [("decode_field", false), ("decode_field_as", true)] {
        let words = settings.words(key, 2..=usize::MAX);
        rules.extend(
            words
                .into_iter()
                .map(|(words, place)| (place.line, key, replaces, words)),
        );
    }
    rules.sort_by_key(|(line, ..)| *line);
    let mut decoders = Decoders::default();
    for (_, key, replaces, words) in rules {
        if !decoders.add(&words, replaces) {
            let message =
                "there is no such decoder: write json, escaped, escaped_utf8 or mysql_quoted";
            settings.lapse(key, message, "it is left out");
        }
    }
    decoders
}
