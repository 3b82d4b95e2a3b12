//! Runs a program for each event: the payload is its standard input, its standard output the payload of what comes of it.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use playhouse::{Actor, Error, Event, Outbox, Result};
use rustix::fs::Access;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};

/// How many bytes a program may print.
const LONGEST_OUTPUT: u64 = 8 * 1024 * 1024;

/// How many bytes of its errors are kept.
const LONGEST_ERRORS: u64 = 64 * 1024;

/// An actor that runs a program for each event.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    arguments: Vec<String>,
    time: Duration,
}

impl Program {
    /// Finds the program `command[0]`, which is run with the arguments after it and has `time` for an event.
    ///
    /// # Errors
    /// `NotFound` where there is no such program, `Forbidden` where it may not be run.
    pub(crate) fn find(mut command: Vec<String>, time: Duration) -> Result<Self> {
        let name = if command.is_empty() { String::new() } else { command.remove(0) };
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let places: Vec<PathBuf> = match name.contains('/') {
            true => vec![PathBuf::from(&name)],
            false => std::env::split_paths(&paths).map(|folder| folder.join(&name)).collect(),
        };
        let mut files = places.iter().filter(|place| place.is_file()).peekable();
        if files.peek().is_none() {
            return Err(Error::not_found(format!("expected a program, found none of the name `{name}`")));
        }
        if !files.any(|file| rustix::fs::access(file, Access::EXEC_OK).is_ok()) {
            return Err(Error::forbidden(format!("expected a program, and `{name}` may not be executed")));
        }
        Ok(Self { name, arguments: command, time })
    }

    async fn run(&self, child: &mut Group, input: &[u8]) -> Result<Vec<u8>> {
        let failed = |error| Error::internal(format!("`{}` cannot be talked to", self.name)).caused_by(error);
        let (stdin, stdout, stderr) = (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program need not read its input.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), output, errors) = tokio::join!(write, read(stdout, LONGEST_OUTPUT), read(stderr, LONGEST_ERRORS));
        let (output, errors) = (output.map_err(failed)?, errors.map_err(failed)?);
        if output.len() as u64 > LONGEST_OUTPUT {
            return Err(Error::too_large(format!("`{}` printed more than {LONGEST_OUTPUT} bytes", self.name)));
        }
        let status = child.0.wait().await.map_err(failed)?;
        if status.success() { Ok(output) } else { Err(self.failure(status, &errors)) }
    }

    fn failure(&self, status: ExitStatus, errors: &[u8]) -> Error {
        let errors = String::from_utf8_lossy(errors);
        let last = errors.lines().rev().find(|line| !line.trim().is_empty());
        let error = Error::internal(format!("`{}` failed ({status})", self.name));
        match last {
            Some(line) => error.caused_by(line.trim()),
            None => error,
        }
    }
}

impl Actor for Program {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let mut command = Command::new(&self.name);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that a time-out ends what the program has started, too.
        let child = command.process_group(0).kill_on_drop(true).spawn();
        let mut child = Group(
            child.map_err(|error| Error::unavailable(format!("`{}` cannot be started", self.name)).caused_by(error))?,
        );
        let deadline = Instant::now() + self.time;
        let deadline = event.deadline().map_or(deadline, |earlier| earlier.min(deadline));
        let outcome = timeout_at(deadline, self.run(&mut child, &event.payload().to_bytes())).await;
        let too_long = || Error::timeout(format!("`{}` took too long and was killed", self.name));
        match outcome.unwrap_or_else(|_| Err(too_long())) {
            Ok(output) => out.push(event.derive(output)),
            Err(error) => {
                // Whoever asks is told; whoever runs this worker wants to know, too.
                tracing::warn!(%error, "a request failed");
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A child process that takes its whole group with it when it is dropped before its end.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Nothing once it has ended and was waited for.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(group) = id {
            // It may have ended by itself just now.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Reads to the end, or a byte more than `longest`.
async fn read(from: Option<impl AsyncRead + Unpin>, longest: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(longest + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}
