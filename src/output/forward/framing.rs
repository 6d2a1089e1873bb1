//! What is configured of a frame.

use crate::config::Settings;
use crate::output::template::Template;

/// How frames are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the configuration"
)]
pub(super) struct Framing {
    /// Their tags.
    pub(super) tag: Tagging,
    /// Times are whole seconds.
    pub(super) integer_time: bool,
    /// An option says that it is logs.
    pub(super) signal: bool,
    /// The peer is asked to acknowledge.
    pub(super) ack: bool,
    /// The entries are compressed.
    pub(super) gzip: bool,
    /// Entries hold the events' metadata, which Fluentd drops together with the event.
    pub(super) metadata: bool,
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
        let framing = Self {
            tag: tagging(settings).unwrap_or_else(|| base.tag.clone()),
            integer_time: settings.flag("time_as_integer", base.integer_time),
            signal: settings.flag("send_options", base.signal),
            ack: settings.flag("require_ack_response", base.ack),
            gzip,
            metadata: settings.flag("retain_metadata_in_forward_mode", base.metadata),
            options,
        };
        if framing.gzip && framing.integer_time {
            let message = "time_as_integer and compress exclude each other; leave one out";
            settings.error("time_as_integer", message);
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
