//! The end of events that nobody wants.

use playhouse_engine::{Event, Format, Light, Outbox, Ports, Result};

/// Takes every event and does nothing with it: each counts as delivered.
///
/// # Ports
/// Inbox: `inbox`, for any format. No outbox.
///
/// # Settings
/// None.
///
/// # Errors
/// None.
///
/// # Example
/// ```
/// use playhouse_actors::Null;
/// use playhouse_engine::{Director, Event, map};
///
/// let mut director = Director::new("quiet");
/// let noise = director.register("noise", map(Event::clone));
/// let null = director.register("null", Null);
/// director.connect(noise, null);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl Light for Null {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY).concurrent()
    }

    fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::testing;

    use super::*;

    #[tokio::test]
    async fn nothing_comes_of_an_event() {
        assert!(testing::feed(&Null, Event::new("a")).await.unwrap().is_empty());
    }
}
