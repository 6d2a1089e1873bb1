//! `tail`: the lines of files as they are written.
//!
//! | file | purpose |
//! |---|---|
//! | [`settings`] | the section as meant |
//! | [`scan`], [`watch`] | which files there are; that they change |
//! | [`mod@file`], [`cursor`], [`place`] | one file; the lines of it; a place in it that can be told from a look-alike |
//! | [`join`], [`docker`] | lines that belong together; those that Docker cut |
//! | [`tag`] | the tag of a file |
//! | [`progress`], [`positions`] | how far a file is settled; the same on disk |
//! | [`files`], [`follow`] | all files; the loop that reads them |
//!
//! | setting | default | effect |
//! |---|---|---|
//! | `Path` | required | which files: patterns with commas between them |
//! | `Exclude_Path` | | which of them not |
//! | `Read_from_Head` | off | files that are there at the start are read from their first line, not from their end |
//! | `Read_Newly_Discovered_Files_from_Head` | on | the same for those that appear later |
//! | `DB` | | a file for places, so that a restart goes on where it was |
//! | `Parser` | | makes records of the lines; one that it does not take stays a line |
//! | `Key`, `Path_Key`, `Offset_Key` | log | keys of the line, the file's name, the line's offset |
//! | `Tag_Regex` | | its named groups stand in `Tag` as `<name>`, matched on the file's name |
//! | `Buffer_Max_Size` | 32768 | the longest line; a longer one is skipped |
//! | `Truncate_Long_Lines` | off | or becomes its start |
//! | `Skip_Empty_Lines` | off | lines without text are none |
//! | `Refresh_Interval` | 60 | seconds between two looks for files |
//! | `Watcher_Interval`, `Progress_Check_Interval` | 2 | seconds between two looks at the files, the lesser of the two |
//! | `Inotify_Watcher` | on | let the system tell what changes; off looks every 0.25 s |
//! | `Rotate_Wait` | 5 | seconds that a file is read on after it lost its name |
//! | `Ignore_Older` | | leave files out that were not written to for so long |
//! | `Ignore_Active_Older_Files` | off | also those being read |
//! | `Exit_On_Eof` | off | the end of all files is the end of the process |
//! | `Docker_Mode`, `Docker_Mode_Flush` | off, 4 | join the JSON lines that Docker cut; seconds to wait for the next part |
//! | `multiline.parser` | | join the lines of a message by these parsers; `Parser` is not used then |
//!
//! A `*` in `Tag` stands for the file's name with dots for slashes. A line is taken when its newline has come.
//!
//! A tail runs on a thread of its own, since reading files blocks. It reads only with a permit; while it has none it still
//! opens new files and holds those that lose their names, so that nothing is missed for being late.
//!
//! <https://docs.fluentbit.io/manual/pipeline/inputs/tail>

mod cursor;
mod docker;
mod file;
mod files;
mod follow;
mod join;
mod place;
mod positions;
mod progress;
mod scan;
mod settings;
mod tag;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::follow::Follower;
use self::positions::Positions;
use self::settings::Options;
use super::thread::on_own_thread;
use super::{Context, Input};
use crate::config::Settings;
use crate::parser::Parsers;

struct Tail {
    options: Options,
    positions: Option<Arc<Positions>>,
}

/// Reads the section.
pub(super) fn build(settings: &mut Settings<'_>, parsers: &Parsers) -> Box<dyn Input> {
    Box::new(Tail {
        options: settings::read(settings, parsers),
        positions: None,
    })
}

impl Input for Tail {
    fn bind(&mut self) -> Result<(), String> {
        let db = self.options.db.as_deref();
        self.positions = db.map(Positions::open).transpose()?;
        Ok(())
    }

    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(positions) = self.positions.clone() {
                context.requests.at_last(move || positions.close());
            }
            on_own_thread(Follower::new(self.options, self.positions, context).run()).await;
        })
    }
}
