//! Runs a program for each event, or gives each event to one that goes on running.

mod argument;
mod child;
mod resident;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use playhouse_engine::{Actor, Error, Event, Format, Outbox, Payload, Ports, Result, Text};
use rustix::fs::Access;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::span;
use argument::Argument;
use child::{Child, Ended};
use resident::Residents;

/// Gives each event to a program: its payload as standard input, and what the program prints as the payload of what comes of it.
///
/// The program is run with a list of arguments, and never by a shell. How many run at once is the number of the actor's workers. Each
/// runs in a process group of its own: what takes longer than `time-out` is told to end (SIGTERM) with all that it started,
/// and killed after `grace`; where the flow is aborted or the event is given up, all of it is killed at once.
///
/// With `mode = "each-event"` a program is started for each event, and prints its answer until it and what it started have closed
/// their output. With `mode = "lines"` it goes on running: it gets each payload as a line, and answers each by one. Where it ends, the
/// event that it had fails as `Unavailable`, which a [`Retry`](playhouse_engine::Retry) of the policy tries again, and another is
/// started, after a wait that grows while they end at once.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, which gives text, or bytes where what was printed is not UTF-8. With
/// `each-event` the attribute `exec.status` is the exit status, and `exec.stderr` the end of what was printed on standard error, if
/// anything was.
///
/// # Settings
/// The program and its arguments, and:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `mode` | `each-event` | `each-event` or `lines` |
/// | `time-out` | 30 s | how long the program may take for an event; the event's own deadline counts where it is nearer, and the policy's must be later by `grace`, or the handler is given up and all of it killed |
/// | `grace` | 1 s | how long it has to end once it is told to |
/// | `largest-output` | 1 MiB | how many bytes it may print for an event; beyond, it is killed |
/// | `kept-errors` | 64 KiB | how much of the end of its standard error is kept |
/// | `success` | `[0]` | the exit statuses that are no failure |
/// | `inherit` | `PATH`, `HOME`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR` | the variables of the environment that it sees, of those that there are |
/// | `environment` | none | variables that it sees beside them |
/// | `folder` | this process's | the folder that it runs in |
/// | `placeholders` | `false` | with `each-event`: whether `{name}` in an argument stands for the attribute `name`. What comes from a stranger can look like an option: put `--` before it where the program knows that |
/// | `first-wait` | 100 ms | with `lines`: how long to wait before another is started where one has ended; twice as long each time |
/// | `longest-wait` | 10 s | with `lines`: the longest wait |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `NotFound`, `Forbidden` | there is no such program, or it may not be run: no actor is made |
/// | `Internal` | it ended with another status than those of `success`; with the last line of its standard error |
/// | `Timeout` | it took too long and was killed |
/// | `TooLarge` | it printed too much and was killed |
/// | `Malformed` | the event has not the attribute of a placeholder |
/// | `Unprocessable` | with `lines`, the payload would be several lines, or the answer was |
/// | `Unavailable` | the program cannot be started, or ended with `lines` before it had answered |
///
/// # Example
/// ```
/// use playhouse_actors::{Exec, ExecMode, ExecSettings};
///
/// let shout = Exec::run(["tr", "a-z", "A-Z"], ExecSettings::default())?;
/// let echo = Exec::run(["cat", "-u"], ExecSettings { mode: ExecMode::Lines, ..ExecSettings::default() })?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct Exec {
    plan: Plan,
    residents: Option<Residents>,
}

/// How an [`Exec`] runs its program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExecSettings {
    /// Whether a program is started for each event; it is by default.
    pub mode: ExecMode,
    /// How long the program may take for an event; 30 s by default.
    #[serde(with = "humantime_serde")]
    pub time_out: Duration,
    /// How long it has to end once it is told to; 1 s by default.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How many bytes it may print for an event; 1 MiB by default.
    pub largest_output: usize,
    /// How much of the end of its standard error is kept; 64 KiB by default.
    pub kept_errors: usize,
    /// The exit statuses that are no failure; 0 alone by default.
    pub success: Vec<i32>,
    /// The variables of the environment that it sees; by default those that say where programs, a home and temporary files are,
    /// and what language and time zone are spoken.
    pub inherit: Vec<String>,
    /// Variables that it sees beside them; none by default.
    pub environment: BTreeMap<String, String>,
    /// The folder that it runs in; by default that of this process.
    pub folder: Option<PathBuf>,
    /// Whether `{name}` in an argument stands for an attribute; not by default.
    pub placeholders: bool,
    /// How long to wait before another is started where one has ended; 100 ms by default.
    #[serde(with = "humantime_serde")]
    pub first_wait: Duration,
    /// The longest wait; 10 s by default.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
}

/// Whether a program is started for each event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecMode {
    /// It is, and ends with it.
    #[default]
    EachEvent,
    /// It goes on running, gets a line and answers by one.
    Lines,
}

impl Default for ExecSettings {
    fn default() -> Self {
        Self {
            mode: ExecMode::default(),
            time_out: Duration::from_secs(30),
            grace: Duration::from_secs(1),
            largest_output: 1 << 20,
            kept_errors: 64 * 1024,
            success: vec![0],
            inherit: ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"].map(str::to_owned).into(),
            environment: BTreeMap::new(),
            folder: None,
            placeholders: false,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(10),
        }
    }
}

/// A program, how it is called, and what it may do.
#[derive(Debug)]
struct Plan {
    name: String,
    path: PathBuf,
    arguments: Vec<Argument>,
    settings: ExecSettings,
}

impl Exec {
    /// Runs the program that `command` names first, with the arguments behind it.
    ///
    /// # Errors
    /// `NotFound` where there is no such program, `Forbidden` where it may not be run; `Malformed` with all that is wrong with the
    /// settings.
    pub fn run<W: Into<String>>(command: impl IntoIterator<Item = W>, settings: ExecSettings) -> Result<Self> {
        let mut words = command.into_iter().map(Into::into);
        let name = words.next().unwrap_or_default();
        let arguments = words.map(|word| Argument::new(word, settings.placeholders)).collect();
        let problems = problems(&settings);
        if !problems.is_empty() {
            return Err(Error::malformed(format!("`{name}` is not run: {}", problems.join("; "))));
        }
        let path = find(&name)?;
        let residents = (settings.mode == ExecMode::Lines).then(|| Residents::new(&settings));
        Ok(Self { plan: Plan { name, path, arguments, settings }, residents })
    }
}

fn problems(settings: &ExecSettings) -> Vec<String> {
    let times = [
        ("time-out", settings.time_out),
        ("grace", settings.grace),
        ("first-wait", settings.first_wait),
        ("longest-wait", settings.longest_wait),
    ];
    let mut problems: Vec<_> = times.into_iter().filter_map(|(name, time)| span::problem(name, time)).collect();
    if settings.largest_output == 0 {
        problems.push("`largest-output`: expected more than none".to_owned());
    }
    if settings.placeholders && settings.mode == ExecMode::Lines {
        problems
            .push("`placeholders`: a program that goes on running has the same arguments for all events".to_owned());
    }
    problems
}

/// Finds the file of a program.
fn find(name: &str) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = match name.contains('/') {
        true => vec![PathBuf::from(name)],
        false => std::env::split_paths(&paths).map(|folder| folder.join(name)).collect(),
    };
    let files: Vec<&Path> = places.iter().map(PathBuf::as_path).filter(|place| place.is_file()).collect();
    if files.is_empty() {
        return Err(Error::not_found(format!("expected a program, found none of the name `{name}`")));
    }
    let file = files.into_iter().find(|file| rustix::fs::access(*file, Access::EXEC_OK).is_ok());
    let file = file.and_then(|file| std::path::absolute(file).ok());
    file.ok_or_else(|| Error::forbidden(format!("expected a program, and `{name}` may not be executed")))
}

impl Plan {
    fn deadline(&self, event: &Event) -> Instant {
        let deadline = Instant::now() + self.settings.time_out;
        event.deadline().map_or(deadline, |earlier| earlier.min(deadline))
    }

    fn took_too_long(&self) -> Error {
        Error::timeout(format!("`{}` took too long and was killed", self.name))
    }

    fn printed_too_much(&self) -> Error {
        Error::too_large(format!("`{}` printed more than {} bytes", self.name, self.settings.largest_output))
    }

    /// Starts a program for an event, and waits for its end.
    async fn run(&self, event: &Event) -> Result<Event> {
        let mut child = Child::start(self, Some(event))?;
        let input = event.payload().to_bytes();
        let limits = (self.settings.largest_output, self.settings.kept_errors);
        let outcome = tokio::time::timeout_at(self.deadline(event), child.converse(&input, limits)).await;
        let Ended { output, errors, status } = match outcome {
            Ok(Ok(Some(ended))) => ended,
            Ok(Ok(None)) => return Err(self.printed_too_much()),
            Ok(Err(error)) => {
                return Err(Error::internal(format!("`{}` cannot be talked to", self.name)).caused_by(error));
            }
            Err(_) => {
                child.end(self.settings.grace).await;
                return Err(self.took_too_long());
            }
        };
        let errors = String::from_utf8_lossy(&errors);
        let code = status.code().filter(|code| self.settings.success.contains(code));
        let Some(code) = code else {
            let error = Error::internal(format!("`{}` failed ({status})", self.name));
            return Err(match last_line(&errors) {
                Some(line) => error.caused_by(line),
                None => error,
            });
        };
        let mut answer = event.derive(payload(output)).with_attribute("exec.status", i64::from(code));
        if !errors.is_empty() {
            answer = answer.with_attribute("exec.stderr", errors.into_owned());
        }
        Ok(answer)
    }
}

fn payload(output: Vec<u8>) -> Payload {
    match String::from_utf8(output) {
        Ok(text) => Payload::Text(Text::from(text)),
        Err(error) => Payload::from(error.into_bytes()),
    }
}

fn last_line(errors: &str) -> Option<&str> {
    errors.lines().rev().map(str::trim).find(|line| !line.is_empty())
}

impl Actor for Exec {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::ANY)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let answer = match &self.residents {
            Some(residents) => residents.ask(&self.plan, event).await,
            None => self.plan.run(event).await,
        };
        out.push(answer?);
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(residents) = &self.residents {
            residents.end().await;
        }
    }
}

impl fmt::Debug for Exec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exec").field("plan", &self.plan).finish_non_exhaustive()
    }
}
