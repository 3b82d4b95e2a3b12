//! Events from files: lines, wholes or parts, read once or as they are written.

mod pattern;
mod position;
mod reader;
mod run;
mod settings;
mod watched;
mod window;

use std::path::PathBuf;
use std::sync::Arc;

use playhouse_engine::{Actor, Context, Error, Event, Format, Outbox, Ports, Result};
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;

use self::pattern::Pattern;
use self::run::Run;
pub use self::settings::{FileSourceForm, FileSourceSettings, OnFailure};
use self::watched::Watched;
use self::window::Window;
use crate::files::refused;

/// Reads a file, the files of a folder, or those whose names match (`*` and `?` in the last name of the path), and sends what is in
/// them: each line, each file, or each file in parts (see [`Part`](crate::Part)). Hidden files of a folder are left out.
///
/// **Followed**, a file is read as it is written, and a file that is not there yet is waited for. One that is renamed, as by
/// logrotate, is read to its end before the one that took its place, and for a while (`linger`) after that, for those who still
/// write to it. One that is cut, or cut and written anew with other first bytes, is read from its beginning. A path is looked at
/// once in an `interval`: a file that came and went within one is not seen, unless the path matches its later name too, as
/// `app.log*` does. What a line without its line break says is sent when that comes; where nothing more can come, at once.
///
/// **Resumed**, a source begins where all before was handled: an event counts when its receipt has settled, in order. A process that
/// is killed loses nothing, and the next one sends some events again, those of about one `resume-interval` at most beside those
/// that were under way. A file that was renamed within its folder meanwhile is read to its end first.
///
/// A whole or a file in parts is sent again where the file has changed; put new ones into place by renaming them.
///
/// # Ports
/// Outbox: `outbox`, with text or bytes, and the attribute `file.path`.
///
/// # Settings
/// The path comes first. Beside it:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `form` | `lines` | what becomes an event: a line of `lines`, a file of `wholes`, a piece of a file in `parts` |
/// | `text` | `true` | whether payloads are text, else bytes; parts are always bytes |
/// | `follow` | `false` | whether what is written later is read too |
/// | `interval` | 250 ms | how often a followed file and its path are looked at |
/// | `linger` | 5 s | how long a followed file that has lost its path is read still |
/// | `resume` | nothing | the file that keeps how far was read and handled |
/// | `resume-interval` | 1 s | how often that file is written; it is at the flow's stop, too |
/// | `sync` | `true` | whether that file is synced to the disk each time |
/// | `on-failure` | `go-on` | what happens where an event failed, and nobody took it from an error route: `go-on` with those after it; or send `again` what failed and all after it, after a wait that grows from 100 ms to 10 s; what was given up (`Cancelled`) is always sent again |
/// | `line-size` | 1 MiB | the longest line |
/// | `whole-size` | 16 MiB | the largest file that is one event |
/// | `part-size` | 256 KiB | how large a part is |
/// | `window` | 16 MiB | how many bytes of events are under way at once |
/// | `files` | 256 | how many files are read at once at most; the others wait for their turn |
///
/// # Errors
/// They go along the error route, with an event of their own whose attribute `file.path` names the file.
///
/// | kind | when |
/// |---|---|
/// | `TooLarge` | a line is longer than `line-size`, and its event has its first 1,024 bytes; a file is larger than `whole-size`, and its event has nothing |
/// | `Malformed` | a line or a file that is to be text is not UTF-8; its event has the bytes |
/// | `Unavailable` | a file that is found cannot be opened |
///
/// The flow does not start with `NotFound` where the one file is not there and not followed, nor where the positions cannot be read. A
/// file that cannot be read on makes the source begin again, after a wait.
///
/// # Example
/// ```
/// use playhouse_actors::{FileSource, FileSourceForm, FileSourceSettings};
///
/// let once = FileSource::new("orders.csv", FileSourceSettings::default())?;
/// let resume = Some("/var/lib/orders/position".into());
/// let settings = FileSourceSettings { follow: true, resume, ..FileSourceSettings::default() };
/// let log = FileSource::new("/var/log/orders.log", settings)?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct FileSource {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pattern: Pattern,
    settings: Arc<FileSourceSettings>,
    window: Arc<Window>,
}

impl FileSource {
    /// Reads what is at `path`: a file, the files of a folder, or those whose names match.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn new(path: impl Into<PathBuf>, settings: FileSourceSettings) -> Result<Self> {
        let mut problems = settings.problems();
        let path = path.into();
        if path.as_os_str().is_empty() {
            problems.push("the path: expected one, found nothing".to_owned());
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("nothing to read: {}", problems.join("; "))));
        }
        let window = Arc::new(Window::new(settings.window, settings.on_failure));
        let (pattern, settings) = (Pattern::new(path), Arc::new(settings));
        Ok(Self { shared: Arc::new(Shared { pattern, settings, window }) })
    }
}

impl Shared {
    /// Reads the positions that were kept, and looks whether there is something to read.
    fn prepare(&self) -> Result<()> {
        if let Some(resume) = &self.settings.resume {
            for position in position::read(resume)? {
                self.window.add(position);
            }
        }
        if !self.settings.follow && self.pattern.is_one() {
            let path = self.pattern.path();
            Watched::open(path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Error::not_found(format!("`{}` is not there", path.display())),
                _ => refused("open", path.display(), error),
            })?;
        }
        Ok(())
    }

    /// Keeps the positions, where they have changed.
    async fn keep(self: &Arc<Self>) -> Result<()> {
        let shared = self.clone();
        blocking(move || {
            let Some(resume) = &shared.settings.resume else { return Ok(()) };
            let Some(positions) = shared.window.changed_positions() else { return Ok(()) };
            position::write(resume, positions, shared.settings.sync).inspect_err(|_| shared.window.not_kept())
        })
        .await
    }
}

/// Calls what blocks on a thread for that.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    ended(spawn_blocking(call).await)
}

/// Returns the outcome of a call on a blocking thread.
fn ended<T>(outcome: Result<Result<T>, JoinError>) -> Result<T> {
    outcome.unwrap_or_else(|error| Err(Error::internal("what reads files died").caused_by(error)))
}

impl Actor for FileSource {
    fn ports(&self) -> Ports {
        let settings = &self.shared.settings;
        let is_text = settings.text && settings.form != FileSourceForm::Parts;
        Ports::source(if is_text { Format::TEXT } else { Format::BYTES })
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let (shared, emitter, stopping) = (self.shared.clone(), context.emitter()?, context.stopping());
        let prepared = shared.clone();
        blocking(move || prepared.prepare()).await?;
        if shared.settings.resume.is_some() {
            let (shared, stopping) = (shared.clone(), stopping.clone());
            context.spawn("resume", move || keep_often(shared.clone(), stopping.clone()));
        }
        context.spawn("reader", move || {
            let (shared, emitter, stopping) = (shared.clone(), emitter.clone(), stopping.clone());
            Run::new(shared, emitter, stopping).run()
        });
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        // It has no inbox, so nothing comes.
        Ok(())
    }

    async fn stop(&mut self) {
        if let Err(error) = self.shared.keep().await {
            tracing::error!(%error, "the positions were not kept: some events will be sent again");
        }
    }
}

/// Keeps the positions until the flow stops.
async fn keep_often(shared: Arc<Shared>, stopping: CancellationToken) -> Result<()> {
    let interval = shared.settings.resume_interval;
    while stopping.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        shared.keep().await?;
    }
    Ok(())
}
