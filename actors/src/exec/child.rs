//! A program that runs, in a process group of its own.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use playhouse_engine::{Error, Event, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::Plan;

/// How much is read at a time.
const READ: usize = 16 * 1024;

/// How often it is looked whether a program that was told to end has.
const LOOK: Duration = Duration::from_millis(10);

/// A program that runs. Dropped before its end, it is killed with all that it started.
#[derive(Debug)]
pub(super) struct Child {
    child: tokio::process::Child,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// What a program has left.
pub(super) struct Ended {
    pub(super) output: Vec<u8>,
    pub(super) errors: Vec<u8>,
    pub(super) status: ExitStatus,
}

impl Child {
    /// Starts a program, for an event if it is for one.
    ///
    /// # Errors
    /// `Malformed` where its arguments cannot be made, `TooLarge` where they are too long; `Unavailable` where it does not start.
    pub(super) fn start(plan: &Plan, event: Option<&Event>) -> Result<Self> {
        let settings = &plan.settings;
        let mut command = Command::new(&plan.path);
        command.arg0(&plan.name).env_clear();
        for argument in &plan.arguments {
            command.arg(argument.word(event)?);
        }
        command.envs(settings.inherit.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(&settings.environment);
        if let Some(folder) = &settings.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that what the program has started can be ended with it.
        let spawned = command.process_group(0).kill_on_drop(true).spawn();
        let failed = || Error::unavailable(format!("`{}` cannot be started", plan.name));
        let mut child = spawned.map_err(|error| {
            let is_too_long = Errno::from_io_error(&error) == Some(Errno::TOOBIG);
            let too_long = || Error::too_large(format!("the arguments of `{}` are too long", plan.name));
            if is_too_long { too_long() } else { failed() }.caused_by(error)
        })?;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (stdin, Some(stdout), Some(stderr)) => Ok(Self { child, stdin, stdout, stderr }),
            _ => Err(failed()),
        }
    }

    /// Gives `input` to the program, and waits for its end. Returns nothing where it printed more than the first of `limits`.
    pub(super) async fn converse(&mut self, input: &[u8], limits: (usize, usize)) -> io::Result<Option<Ended>> {
        let (largest, kept) = limits;
        let (stdin, stdout, stderr) = (self.stdin.take(), &mut self.stdout, &mut self.stderr);
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program need not read its input.
                let _ = stdin.write_all(input).await;
            }
        };
        let print = async {
            let mut output = Vec::new();
            let most = u64::try_from(largest).unwrap_or(u64::MAX).saturating_add(1);
            stdout.take(most).read_to_end(&mut output).await?;
            if output.len() > largest { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(output) }
        };
        let talked = async { tokio::try_join!(print, last_of(stderr, kept)) };
        let child = &mut self.child;
        let talked = async {
            let mut write = std::pin::pin!(write);
            let mut talked = std::pin::pin!(talked);
            tokio::select! {
                () = &mut write => talked.await,
                outcome = &mut talked => {
                    if outcome.is_ok() {
                        // It has sent its output elsewhere and may read on; once it has ended, nobody does.
                        tokio::select! {
                            () = &mut write => {}
                            _ = child.wait() => {}
                        }
                    }
                    outcome
                }
            }
        };
        match talked.await {
            Ok((output, errors)) => Ok(Some(Ended { output, errors, status: self.child.wait().await? })),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells the program and all that it started to end, waits until they have closed their output, and kills what is left.
    pub(super) async fn end(mut self, grace: Duration) {
        self.signal(Signal::TERM);
        let id = self.id();
        let closed = async {
            // One that has sent its output elsewhere has its time too.
            let _ = tokio::join!(last_of(&mut self.stdout, 0), last_of(&mut self.stderr, 0), ended(id));
        };
        // Whether they have or not, nothing of the group is left when this is dropped.
        let _ = timeout(grace, closed).await;
    }

    /// Waits for the end of a program that was told by the end of its input.
    pub(super) async fn retire(mut self, grace: Duration) {
        drop(self.stdin.take());
        let id = self.id();
        let closed = async {
            let _ = tokio::join!(last_of(&mut self.stdout, 0), last_of(&mut self.stderr, 0), ended(id));
        };
        if timeout(grace, closed).await.is_err() {
            self.end(grace).await;
        }
    }

    /// Returns the id of the program; nothing once it was waited for: until then it is nobody else's.
    fn id(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.id() {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Waits until a program has ended, and leaves it to be waited for: till then its id is that of its group too, in which others may
/// be left.
async fn ended(id: Option<Pid>) {
    let Some(id) = id else { return };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while let Ok(None) = waitid(WaitId::Pid(id), options) {
        sleep(LOOK).await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Reads to the end, and returns the last of it.
pub(super) async fn last_of(from: &mut (impl AsyncRead + Unpin), kept: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while read_last(from, &mut bytes, kept).await? {}
    Ok(bytes)
}

/// Reads once, and keeps the last of it all. Says whether there is more to come.
pub(super) async fn read_last(
    from: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    kept: usize,
) -> io::Result<bool> {
    bytes.reserve(READ);
    let read = from.read_buf(bytes).await?;
    bytes.drain(..bytes.len().saturating_sub(kept));
    Ok(read > 0)
}
