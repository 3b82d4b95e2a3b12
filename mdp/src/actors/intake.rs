//! How messages come from a socket into a flow.

use std::sync::Arc;
use std::time::Duration;

use playhouse_engine::{Context, Emitter, Error, Event, Permit, Result};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::protocol::Frames;
use crate::transport::Socket;

/// How many messages are taken from the socket at a time. Each batch is handed over before the next is taken, so this is
/// what may be on its way beside the socket's own queue.
const BATCH: usize = 64;

/// What makes an event of a message, or says why there is none.
pub(super) type Read = dyn Fn(Frames) -> Result<Event, (Event, Error)> + Send + Sync;

/// Hands over what comes, in a task of the actor's.
pub(super) fn spawn(context: &Context, socket: Arc<Socket>, queue: usize, read: Arc<Read>) -> Result<()> {
    let (emitter, stopping, name) = (context.emitter()?, context.stopping(), Arc::<str>::from(context.name()));
    context.spawn("messages", move || {
        let intake = Intake { socket: socket.clone(), queue, read: read.clone(), name: name.clone() };
        intake.run(emitter.clone(), stopping.clone())
    });
    Ok(())
}

struct Intake {
    socket: Arc<Socket>,
    queue: usize,
    read: Arc<Read>,
    name: Arc<str>,
}

impl Intake {
    async fn run(self, emitter: Emitter, stopping: CancellationToken) -> Result<()> {
        // Nobody sends again what a socket has taken in. So the flow is not drained before that is handed over.
        let permit = emitter.permit()?;
        let mut messages = Vec::new();
        while let Some(received) = stopping.run_until_cancelled(self.socket.receive(&mut messages, BATCH)).await {
            received?;
            self.hand_over(&mut messages, &permit, &emitter).await?;
        }
        // The peers may go on sending: no more is taken than the socket can have held when the stop began.
        let mut left = self.queue;
        while left > 0 {
            let ready = self.socket.receive(&mut messages, BATCH.min(left));
            if !matches!(timeout(Duration::ZERO, ready).await, Ok(Ok(()))) {
                break;
            }
            left = left.saturating_sub(messages.len());
            self.hand_over(&mut messages, &permit, &emitter).await?;
        }
        Ok(())
    }

    async fn hand_over(&self, messages: &mut Vec<Frames>, permit: &Permit, emitter: &Emitter) -> Result<()> {
        for message in messages.drain(..) {
            match (self.read)(message) {
                // It waits for room, and meanwhile nothing is read.
                Ok(event) => permit.send_from(0, event).await?,
                Err((event, error)) => self.refuse(emitter, event, error).await,
            }
        }
        Ok(())
    }

    /// Sends along the error route what is no event.
    async fn refuse(&self, emitter: &Emitter, event: Event, error: Error) {
        if let Err(stopped) = emitter.fail(event, error.clone()).await {
            warn!(actor = %self.name, %error, %stopped, "a message that cannot be read was dropped");
        }
    }
}
