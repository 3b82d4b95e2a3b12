//! Where the messages of a connection go: into the flow, one after another.

use playhouse_engine::{Attributes, Emitter, Event, Payload, Receipt, Result};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a message needs to become an event.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) emitter: Emitter,
    /// By which outbox messages leave; nothing where nobody wants them.
    pub(crate) outbox: Option<usize>,
    /// What every message says beside its payload.
    pub(crate) attributes: Attributes,
    /// When this is cancelled, nothing more is read.
    pub(crate) stopping: CancellationToken,
    /// Follows what came of the messages, where somebody waits for that.
    pub(crate) under_way: Option<TaskTracker>,
}

impl Intake {
    /// Sends a message into the flow, and waits until it has room.
    ///
    /// # Errors
    /// `Cancelled` when the flow stops: the message counts as not read.
    pub(crate) async fn take(&self, payload: Payload) -> Result<()> {
        let Some(outbox) = self.outbox else { return Ok(()) };
        let mut event = Event::new(payload).with_attributes(self.attributes.clone());
        if let Some(under_way) = &self.under_way {
            let token = under_way.token();
            event = event.with_receipt(Receipt::new(move |_| drop(token)));
        }
        self.emitter.send_from(outbox, event).await
    }

    /// Tells the flow what happened to the connection.
    ///
    /// # Errors
    /// As [`Intake::take`].
    pub(crate) async fn tell(&self, attributes: Attributes) -> Result<()> {
        let Some(outbox) = self.outbox else { return Ok(()) };
        self.emitter.send_from(outbox, Event::new(()).with_attributes(attributes)).await
    }
}
