//! Events that wait to be written, and the task that writes them: all that have come by then in one call on a blocking thread,
//! so that a small event costs no hop of its own.

use std::fmt;
use std::sync::{Arc, Mutex};

use playhouse_engine::{Context, Emitter, Error, Event, Held, Result};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::lock;
use crate::content::weight;

/// What an event takes in memory beside its payload, about.
const OVERHEAD: usize = 256;

/// What writes events, on a blocking thread.
pub(crate) trait Writer: Send + 'static {
    /// What is known of an event beside itself.
    type Job: Send + 'static;

    /// Writes events, and returns an outcome for each, in their order: what is to be sent on, or why it could not be written.
    fn write(&mut self, events: &[(Held, Self::Job)]) -> Vec<Result<Option<Event>>>;
}

/// A queue of events in front of a [`Writer`]; they are written in the order in which they were put there.
pub(crate) struct Lane<W: Writer> {
    context: Arc<Context>,
    emitter: Emitter,
    /// How many bytes wait at most.
    buffer: usize,
    queue: Mutex<Queue<W::Job>>,
    room: Notify,
    writer: Arc<Mutex<W>>,
}

struct Queue<J> {
    waiting: Vec<(Held, J)>,
    bytes: usize,
    /// Whether a task empties it.
    runs: bool,
}

impl<W: Writer> Lane<W> {
    pub(crate) fn new(context: &Arc<Context>, buffer: usize, writer: W) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            emitter: context.emitter()?,
            context: context.clone(),
            buffer,
            queue: Mutex::new(Queue { waiting: Vec::new(), bytes: 0, runs: false }),
            room: Notify::new(),
            writer: Arc::new(Mutex::new(writer)),
        }))
    }

    /// Puts an event into the queue, and waits while that is full. It is held until it is written.
    pub(crate) async fn put(self: &Arc<Self>, event: &Event, job: W::Job) {
        loop {
            let room = self.room.notified();
            {
                let mut queue = lock(&self.queue);
                if queue.bytes < self.buffer {
                    queue.waiting.push((self.emitter.hold(event), job));
                    queue.bytes += weight(event.payload()) + OVERHEAD;
                    if !queue.runs {
                        queue.runs = true;
                        // The flow's stop waits for the task, so it ends with the queue and is made anew for what comes later.
                        let lane = self.clone();
                        self.context.spawn("writer", move || lane.clone().run());
                    }
                    return;
                }
            }
            room.await;
        }
    }

    /// Says whether events wait or are written.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.queue).runs
    }

    /// Returns the writer, which is locked while it writes: for blocking threads alone.
    pub(crate) fn writer(&self) -> Arc<Mutex<W>> {
        self.writer.clone()
    }

    async fn run(self: Arc<Self>) -> Result<()> {
        loop {
            let batch = {
                let mut queue = lock(&self.queue);
                if queue.waiting.is_empty() {
                    queue.runs = false;
                    return Ok(());
                }
                queue.bytes = 0;
                std::mem::take(&mut queue.waiting)
            };
            self.room.notify_waiters();
            let writer = self.writer.clone();
            let written = spawn_blocking(move || {
                let outcomes = lock(&writer).write(&batch);
                batch.into_iter().zip(outcomes)
            });
            let written = written.await.map_err(|error| Error::internal("the writer died").caused_by(error))?;
            for ((held, _), outcome) in written {
                match outcome {
                    Ok(None) => held.done(),
                    Ok(Some(event)) => match held.send_from(0, event).await {
                        Ok(()) => held.done(),
                        Err(error) => held.fail(error).await,
                    },
                    Err(error) => held.fail(error).await,
                }
            }
        }
    }
}

impl<W: Writer> fmt::Debug for Lane<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Lane").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}
