//! Sets the status of a reply.

use playhouse_engine::{Error, Event, Light, Outbox, Result};

use super::view::HttpReply;

/// Sets the status of the reply that an event becomes.
///
/// # Ports
/// The inbox `inbox` and the outbox `outbox`, for any format.
///
/// # Settings
/// The status, a number from 200 to 599: the attribute `http.status`.
///
/// # Errors
/// None at run time.
///
/// # Example
/// ```
/// let accepted = playhouse_actors::SetStatus::to(202)?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetStatus(u16);

impl SetStatus {
    /// Makes an actor that sets `status`.
    ///
    /// # Errors
    /// `Malformed` where that is no status of a reply.
    pub fn to(status: u16) -> Result<Self> {
        if (200..=599).contains(&status) {
            return Ok(Self(status));
        }
        Err(Error::malformed(format!("`{status}` is no status of a reply; expected 200 to 599")))
    }
}

impl Light for SetStatus {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        out.push(event.clone().with_status(self.0));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::testing;

    use super::*;

    #[tokio::test]
    async fn the_status_is_set_in_place_of_what_it_was() {
        let event = Event::new("a").with_status(200);
        let outputs = testing::feed(&SetStatus::to(404).unwrap(), event).await.unwrap();
        assert_eq!((outputs[0].event.status(), outputs[0].event.payload().to_string()), (Some(404), "a".to_owned()));
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for status in [0, 99, 100, 199, 600, u16::MAX] {
            assert!(SetStatus::to(status).is_err(), "{status}");
        }
    }
}
