//! Events into files: as lines of one, or each as a file of its own.

mod lines;
mod settings;
mod wholes;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use playhouse_engine::{Actor, Context, Error, Event, Format, Outbox, Ports, Result};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::lines::Lines;
pub use self::settings::{Existing, FileSinkForm, FileSinkSettings, LineBreaks};
use self::wholes::{Job, Wholes};
use crate::files::file_path::PathTemplate;
use crate::files::folder::Folder;
use crate::files::lane::Lane;
use crate::files::{lock, refused};
use crate::part::{Part, PartEnd};
use crate::upkeep::{Tended, Upkeep, not_started};

/// Writes events into files of a folder: each as a line that is appended, or each as a file of its own, which may come in parts.
///
/// The file's path is made of the event's attributes: `uploads/{http.path.name}`; `{event.id}` stands for the event's id. A value
/// may be a part of a name and nothing else, and no symbolic link below the folder is followed, so that no event writes outside
/// of it. Folders that are missing are made.
///
/// **Lines**: what waits is written in one go, and an event is delivered when it is written. A line is never torn: where a disk is
/// full in the middle of one, what there is of it is taken away again, and the lines after it are written when there is room. A
/// file that was renamed or deleted, as by logrotate, is made anew. A file has one writer; a second one is refused.
///
/// **Wholes**: a whole is written to a temporary file (`.playhouse-*.part`) beside its place, and renamed when it
/// is complete, so that nobody reads half of it. The parts of a whole (see [`Part`]) are appended in their order; a part is
/// delivered when it is written, so that whoever sends them is paced. After the last one, one event is sent on: that of the last
/// part, with nothing as its payload and the attributes `file.path` and `file.size`. It is the reply to an HTTP upload. Whatever
/// breaks a whole deletes the temporary file; only a process that is killed leaves it.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, which may stay unconnected, with the event as it came where it was a line, and
/// as told above where it was a whole. An event is held in flight until it is written.
///
/// # Settings
/// The folder and the path's template come first. Beside them:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `form` | `lines` | what an event becomes: `lines`, a line that is appended; `wholes`, a file of its own |
/// | `line-breaks` | `refuse` | a line break within a line: `refuse` fails the event; `escape` writes `\n` and `\r` as two characters, and `\` as `\\` |
/// | `existing` | `replace` | where a whole's file is there already: `replace` it, or `refuse` the whole |
/// | `sync` | `false` | whether an event is delivered only when it is on the disk, for which what has come by then is synced in one go; else when the system has it |
/// | `open` | 256 | how many wholes in parts there are at once, or how many files for lines stay open |
/// | `part-time-out` | 60 s | how long a whole waits for its next part |
/// | `buffer` | 4 MiB | how many bytes of events wait for each writer; while they are written, as many again may wait |
/// | `writers` | 4 | how many files are written at once; the events of one file keep their order |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Unprocessable` | an attribute that the path needs is missing or no part of a name, or a line has a line break in it |
/// | `Unsupported` | a part is to be a line |
/// | `Malformed` | the attributes that mark a part say none |
/// | `Conflict` | the file exists and is not to be replaced; it is no file; it is written by another actor; a part does not follow the one before it, which breaks its whole |
/// | `Gone` | a part of a whole that is not open: it was broken, or waited too long |
/// | `Overloaded` | too many wholes are open |
/// | `Forbidden` | the path leads through a symbolic link |
/// | `Unavailable` | the file cannot be written: the disk is full, the folder is read-only |
///
/// # Example
/// ```
/// use playhouse_actors::{FileSink, FileSinkForm, FileSinkSettings};
///
/// let lines = FileSink::new("/var/lib/orders", "orders.txt", FileSinkSettings::default())?;
/// let settings = FileSinkSettings { form: FileSinkForm::Wholes, sync: true, ..FileSinkSettings::default() };
/// let uploads = FileSink::new("/var/lib/orders", "uploads/{http.path.name}", settings)?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct FileSink {
    folder: Folder,
    path: PathTemplate,
    settings: FileSinkSettings,
    lanes: Option<Lanes>,
}

#[derive(Debug)]
enum Lanes {
    Lines(Vec<Arc<Lane<Lines>>>),
    Wholes { shared: Arc<OpenWholes>, upkeep: Upkeep },
}

/// The wholes of which some parts have come.
#[derive(Debug)]
struct OpenWholes {
    lanes: Vec<Arc<Lane<Wholes>>>,
    count: Arc<AtomicUsize>,
    settings: FileSinkSettings,
}

impl FileSink {
    /// Writes into files of `folder`, whose paths within it are made of `path`.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the path and the settings.
    pub fn new(folder: impl Into<PathBuf>, path: &str, settings: FileSinkSettings) -> Result<Self> {
        let mut problems = settings.problems();
        match PathTemplate::new(path) {
            Ok(path) if problems.is_empty() => {
                return Ok(Self { folder: Folder::new(folder), path, settings, lanes: None });
            }
            Ok(_) => {}
            Err(error) => problems.push(error.to_string()),
        }
        Err(Error::malformed(format!("nothing to write into: {}", problems.join("; "))))
    }
}

/// Returns which of `count` writers has what is known by `key`.
fn writer_of(key: impl Hash, count: usize) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    usize::try_from(hash % count as u64).unwrap_or_default()
}

impl Actor for FileSink {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY).with_optional_outbox("outbox", Format::ANY).emitting()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let context = Arc::new(context);
        let folder = self.folder.clone();
        // A folder that cannot be written in at all stops the flow's start.
        let opened = spawn_blocking(move || folder.open().map(|_| folder)).await;
        opened
            .map_err(|error| Error::internal("the folder was not looked at").caused_by(error))?
            .map_err(|error| refused("open", self.folder.path().display(), error))?;
        let (folder, settings) = (&self.folder, &self.settings);
        let writers = 0..settings.writers;
        self.lanes = Some(match settings.form {
            FileSinkForm::Lines => {
                let lane = |_| Lane::new(&context, settings.buffer, Lines::new(folder.clone(), settings));
                Lanes::Lines(writers.map(lane).collect::<Result<_>>()?)
            }
            FileSinkForm::Wholes => {
                let count = Arc::new(AtomicUsize::new(0));
                let writer = || Wholes::new(folder.clone(), settings, count.clone());
                let lane = |_| Lane::new(&context, settings.buffer, writer());
                let lanes = writers.map(lane).collect::<Result<_>>()?;
                let shared = Arc::new(OpenWholes { lanes, count: count.clone(), settings: settings.clone() });
                Lanes::Wholes { shared, upkeep: Upkeep::new(context) }
            }
        });
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let part = Part::of(event)?;
        match self.lanes.as_ref().ok_or_else(not_started)? {
            Lanes::Lines(lanes) => {
                if part.is_some() {
                    return Err(Error::unsupported("expected a whole event as a line, found a part of one"));
                }
                lines::check(event, self.settings.line_breaks)?;
                let path = self.path.expand(event)?;
                lanes[writer_of(path.as_str(), lanes.len())].put(event, path).await;
            }
            Lanes::Wholes { shared, upkeep } => {
                let begins = part.is_none_or(|part| part.number == 0 && part.end != PartEnd::Broken);
                let path = if begins { Some(self.path.expand(event)?) } else { None };
                shared.lanes[writer_of(event.id(), shared.lanes.len())].put(event, Job { part, path }).await;
                if part.is_some_and(|part| part.number == 0 && part.end == PartEnd::More) {
                    upkeep.wanted(shared);
                }
            }
        }
        Ok(())
    }

    async fn stop(&mut self) {
        // Of wholes that are open now nothing more comes. Their files are deleted with them, which is no work for this thread.
        let lanes = self.lanes.take();
        // The call fails where the runtime ends, and then the lanes are dropped all the same.
        let _ = spawn_blocking(move || drop(lanes)).await;
    }
}

impl Tended for OpenWholes {
    async fn tend(&self, stopped: Option<Instant>) -> Option<Instant> {
        if stopped.is_some() {
            // Those whose parts are still to come go on while anything is in flight; the rest end with the actor.
            return None;
        }
        let now = Instant::now();
        let later = now + self.settings.part_time_out;
        // Looked at before the count, which changes while a writer runs.
        let is_busy = self.lanes.iter().any(|lane| lane.is_busy());
        if self.count.load(Ordering::Acquire) == 0 {
            return is_busy.then_some(later);
        }
        let writers: Vec<_> = self.lanes.iter().map(|lane| lane.writer()).collect();
        let swept = spawn_blocking(move || writers.iter().filter_map(|writer| lock(writer).sweep(now)).min()).await;
        // Where the sweep died it is tried again.
        let next = swept.unwrap_or(Some(later));
        if is_busy { Some(next.unwrap_or(later).min(later)) } else { next }
    }
}
