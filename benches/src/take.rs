//! The sink of our flows.

use playhouse::{Event, Format, Light, Outbox, Payload, Ports, Result};

use crate::finish::Finish;

/// A light actor that takes what comes.
#[derive(Debug)]
pub(crate) struct Take(pub(crate) Finish);

impl Light for Take {
    fn ports(&self) -> Ports {
        Ports::sink(Format::BYTES)
    }

    fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        if let Payload::Bytes(bytes) = event.payload() {
            self.0.take(bytes);
        }
        Ok(())
    }
}
