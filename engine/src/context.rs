//! What an actor is given at its start: its name, its way into the flow, the stop signal, and tasks of its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::emitter::Emitter;
use crate::error::{Error, Kind, Result};
use crate::log::{Level, Log};
use crate::node::caught;
use crate::policy::Retry;
use crate::progress::Progress;
use crate::station::{Station, add};
use crate::worker::poll_caught;

/// A task that has run for so long has recovered: when it fails again, the waits begin anew.
const RECOVERED: Duration = Duration::from_secs(60);

/// What an actor is given at its start.
#[derive(Debug)]
pub struct Context {
    pub(crate) station: Arc<Station>,
    pub(crate) emitter: Option<Emitter>,
    pub(crate) tasks: TaskTracker,
    pub(crate) progress: Arc<Progress>,
    pub(crate) log: Arc<Log>,
}

impl Context {
    /// Returns the name under which the actor was registered.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.station.name
    }

    /// Returns the way to send events from tasks of the actor's own.
    ///
    /// # Errors
    /// `Internal` where the actor's ports do not say that it emits: see [`Ports::source`](crate::Ports::source),
    /// [`Ports::endpoint`](crate::Ports::endpoint) and [`Ports::emitting`](crate::Ports::emitting).
    pub fn emitter(&self) -> Result<Emitter> {
        self.emitter.clone().ok_or_else(|| {
            Error::internal(
                "the actor's ports do not say that it emits: expected `Ports::source`, `endpoint` or `emitting`",
            )
        })
    }

    /// Returns the token that is cancelled when the flow begins to stop: a source then takes in no more and ends its
    /// tasks. An endpoint goes on to answer what it took in.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.progress.stop.clone()
    }

    /// Runs a task of the actor's own. It begins when every actor of the flow has started, and the flow's stop waits for
    /// it to end. Where it fails or panics it is made anew by `make`, after a wait that grows from 100 ms to 10 s, and
    /// counted; where it returns `Ok` it has ended.
    pub fn spawn<M, F>(&self, name: &'static str, mut make: M)
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (station, progress, log) = (self.station.clone(), self.progress.clone(), self.log.clone());
        self.tasks.spawn(async move {
            let abort = progress.abort.clone();
            let kept_running = async {
                progress.running.cancelled().await;
                let retry = Retry::attempts(usize::MAX);
                let mut waits = retry.waits();
                loop {
                    let began = Instant::now();
                    let Err(error) = run_caught(&mut make).await else {
                        return;
                    };
                    if error.kind() == Kind::Cancelled && progress.stop.is_cancelled() {
                        // It was told that the flow stops, and stopped.
                        return;
                    }
                    log.record(Level::Warn, Some(&station.name), format_args!("task `{name}` failed: {error}"));
                    if began.elapsed() > RECOVERED {
                        waits = retry.waits();
                    }
                    let wait = waits.next().unwrap_or(retry.longest_wait);
                    if progress.stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                        return;
                    }
                    add(&station.counters.restarts, 1);
                }
            };
            // Aborted or ended: either way it is over.
            abort.run_until_cancelled(kept_running).await;
        });
    }
}

async fn run_caught<M, F>(make: &mut M) -> Result<()>
where
    M: FnMut() -> F,
    F: Future<Output = Result<()>>,
{
    let mut future = pin!(caught(make)?);
    poll_fn(|context| poll_caught(future.as_mut(), context)).await
}
