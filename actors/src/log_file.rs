//! Events as lines of log files that are rotated.

mod entry;
#[cfg(feature = "redact")]
mod redaction;
mod rotation;
mod settings;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use playhouse_engine::{Actor, Context, Error, Event, Format, Outbox, Ports, Result};
use tokio::task::spawn_blocking;

use self::entry::Entry;
pub use self::settings::{LogFileSettings, LogPeriod};
use self::writer::Logs;
use crate::files::file_path::FilePath;
use crate::files::folder::Folder;
use crate::files::lane::Lane;
use crate::files::lock;
use crate::log_level::LogLevel;
use crate::upkeep::not_started;

/// Writes events as lines of log files in a folder: those of the flow's own log (see
/// [`Director::connect_log`](playhouse_engine::Director::connect_log)) and any others.
///
/// A line is `2026-02-13 16:56:35,850 WARN actor=orders, id=0123.. :: what happened`, with the time in UTC at which the event entered
/// the flow. Its level is that of the attribute `log.level`, else `ERROR` where the event has an error, else `INFO`. The actor is
/// that of the attribute `log.actor` or of the error; the id is that of the attribute `log.event`, or the event's own where it is no
/// record of the flow's log. What there is not is left out. The message is the error where there is one, else the payload, on one
/// line: characters that control a terminal are escaped.
///
/// A file that grows beyond `size`, or whose `period` has ended, is renamed to `name.1`, that to `name.2` and so on, and the oldest
/// is deleted. A file that others rename or delete is made anew. Folders that are missing are made, and no name leads out of the
/// folder. A file has one writer; a second one, in this process or another, is refused when it starts.
///
/// An event is delivered when it is written. What cannot be written goes along the error route, with the reason; where there is
/// none, the engine tells of it through `tracing`, and never by a record that would come back here.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, with the event as it came; it may stay unconnected. An event is held in flight
/// until it is written.
///
/// # Settings
/// The folder comes first. Beside it:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `file-name` | `playhouse.log` | the file that events go to |
/// | `file-attribute` | `logger_filename` | the attribute that names another file of the folder for an event |
/// | `level` | `info` | events that matter less are passed on and not written |
/// | `size` | 20 MB | how large a file becomes before it is rotated |
/// | `period` | `never` | how often it is rotated, too: `hourly`, `daily` (at midnight in UTC) or `never` |
/// | `keep` | 10 | how many old files are kept |
/// | `largest-message` | 64 KiB | how many bytes of a message are written |
/// | `redact` | nothing | with the feature `redact`: patterns; of each match, group 1, or the whole where it has none, becomes `REDACTED` |
/// | `sync` | `false` | whether a line is delivered only when it is on the disk |
/// | `open` | 64 | how many files stay open |
/// | `buffer` | 4 MiB | how many bytes of events wait to be written; while they are written, as many again may wait |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Unprocessable` | the attribute that names the file is no name of a file |
/// | `Conflict` | the file is written by another actor or process, or is no file |
/// | `Forbidden` | the name is that of a symbolic link |
/// | `Unavailable` | the file cannot be written or rotated: the disk is full, the folder is read-only |
///
/// # Example
/// ```
/// use playhouse_actors::{LogFile, LogFileSettings, LogPeriod};
/// use playhouse_engine::Director;
///
/// let settings = LogFileSettings { period: LogPeriod::Daily, keep: 30, ..LogFileSettings::default() };
/// let mut director = Director::new("orders");
/// let log = director.register("log", LogFile::new("/var/log/orders", settings)?);
/// director.connect_log(log);
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct LogFile {
    folder: Folder,
    file_name: FilePath,
    settings: LogFileSettings,
    entry: Entry,
    lane: Option<Arc<Lane<Logs>>>,
}

impl LogFile {
    /// Writes logs into `folder`.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn new(folder: impl Into<PathBuf>, settings: LogFileSettings) -> Result<Self> {
        let mut problems = settings.problems();
        let file_name = FilePath::new(&settings.file_name);
        let entry = Entry::new(&settings);
        problems.extend(file_name.as_ref().err().map(ToString::to_string));
        problems.extend(entry.as_ref().err().into_iter().flatten().cloned());
        match (file_name, entry) {
            (Ok(file_name), Ok(entry)) if problems.is_empty() => {
                Ok(Self { folder: Folder::new(folder), file_name, settings, entry, lane: None })
            }
            _ => Err(Error::malformed(format!("no log: {}", problems.join("; ")))),
        }
    }
}

impl Actor for LogFile {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY).with_optional_outbox("outbox", Format::ANY).emitting()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let logs = Logs::new(self.folder.clone(), &self.settings, self.entry.clone());
        let lane = Lane::new(&Arc::new(context), self.settings.buffer, logs)?;
        let (writer, file_name) = (lane.writer(), self.file_name.clone());
        let opened = spawn_blocking(move || lock(&writer).open(&file_name)).await;
        opened.map_err(|error| Error::internal("the log was not opened").caused_by(error))??;
        self.lane = Some(lane);
        Ok(())
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let lane = self.lane.as_ref().ok_or_else(not_started)?;
        let level = LogLevel::of(event);
        if level < self.settings.level {
            out.push(event);
            return Ok(());
        }
        let attribute = &self.settings.file_attribute;
        let file = match event.attributes().text(attribute) {
            Some(name) => FilePath::of_value(attribute, &name)?,
            None => self.file_name.clone(),
        };
        lane.put(event, (file, level)).await;
        Ok(())
    }

    async fn stop(&mut self) {
        let lane = self.lane.take();
        // Files are closed, which is no work for this thread. Where the runtime ends they are closed all the same.
        let _ = spawn_blocking(move || drop(lane)).await;
    }
}
