//! What is configured of a frame.

use crate::config::Settings;
use crate::output::entry::Entries;
use crate::output::template::Template;

/// How frames are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Framing {
    /// Their tags.
    pub(super) tag: Tagging,
    /// Its entries. Fluentd drops events that come with their metadata.
    pub(super) entries: Entries,
    /// An option says that it is logs.
    pub(super) signal: bool,
    /// The peer is asked to acknowledge.
    pub(super) ack: bool,
    /// The entries are compressed.
    pub(super) gzip: bool,
    /// More options.
    pub(super) options: Vec<(String, String)>,
}

/// Which tag a frame has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Tagging {
    /// That of its events.
    #[default]
    Own,
    /// Always this one.
    Fixed(String),
    /// One made from each record.
    Made(Template),
}

impl Framing {
    /// Reads the settings; what is not set is as in `base`.
    pub(super) fn read(settings: &mut Settings<'_>, base: &Self) -> Self {
        let mut options = base.options.clone();
        options.extend(
            settings
                .pairs("add_option")
                .into_iter()
                .map(|(pair, _)| pair),
        );
        let gzip = match settings.choice("compress", &["gzip", "text"]) {
            Some(compression) => compression == "gzip",
            None => base.gzip,
        };
        let entries = Entries {
            integer_time: settings.flag("time_as_integer", base.entries.integer_time),
            metadata: settings.flag("retain_metadata_in_forward_mode", base.entries.metadata),
        };
        let framing = Self {
            tag: tagging(settings).unwrap_or_else(|| base.tag.clone()),
            entries,
            signal: settings.flag("send_options", base.signal),
            ack: settings.flag("require_ack_response", base.ack),
            gzip,
            options,
        };
        if framing.gzip && framing.entries.integer_time {
            let message = "time_as_integer and compress exclude each other; leave one out";
            settings.error("time_as_integer", message);
        }
        if framing.gzip && matches!(framing.tag, Tagging::Made(_)) {
            let message = "a tag out of records and compress exclude each other; leave one out";
            settings.error("compress", message);
        }
        framing
    }
}

fn tagging(settings: &mut Settings<'_>) -> Option<Tagging> {
    let text = settings.text("tag")?;
    if !text.contains('$') {
        return Some(Tagging::Fixed(text));
    }
    match Template::new(&text) {
        Ok(template) => Some(Tagging::Made(template)),
        Err(error) => {
            settings.error("tag", error.to_string());
            None
        }
    }
}
