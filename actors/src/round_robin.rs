//! Shares events out.

use std::sync::atomic::{AtomicUsize, Ordering};

use playhouse_engine::{Error, Event, Format, Light, Outbox, Ports, Result, Text};

/// Sends each event to one of its outboxes, in turn.
///
/// Where a receiver has no room, its turn is waited for like that of any other: none is passed over. For workers of one
/// kind, that take what they can, give one actor several workers in its policy.
///
/// # Ports
/// The inbox `inbox`, for any format. The outboxes that are given, each of which must be connected.
///
/// # Settings
/// The names of the outboxes, in the order of their turns.
///
/// # Errors
/// None at run time.
///
/// # Example
/// ```
/// let shares = playhouse_actors::RoundRobin::over(["first", "second", "third"])?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct RoundRobin {
    outboxes: Vec<Text>,
    turn: AtomicUsize,
}

impl RoundRobin {
    /// Makes an actor that shares out over `outboxes`.
    ///
    /// # Errors
    /// `Malformed` where there is no outbox, or one has no name or is named twice.
    pub fn over<N: Into<String>>(outboxes: impl IntoIterator<Item = N>) -> Result<Self> {
        let names: Vec<String> = outboxes.into_iter().map(Into::into).collect();
        let mut problems = Vec::new();
        for (number, name) in names.iter().enumerate() {
            if name.is_empty() {
                problems.push("an outbox has no name".to_owned());
            } else if names[..number].contains(name) {
                problems.push(format!("the outbox `{name}` is there twice"));
            }
        }
        if names.is_empty() {
            problems.push("there is no outbox".to_owned());
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("nothing to share out over: {}", problems.join("; "))));
        }
        Ok(Self { outboxes: names.into_iter().map(Text::from).collect(), turn: AtomicUsize::new(0) })
    }
}

impl Light for RoundRobin {
    fn ports(&self) -> Ports {
        self.outboxes.iter().fold(Ports::sink(Format::ANY), |ports, name| ports.with_outbox(name.clone(), Format::ANY))
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        out.push_at(turn % self.outboxes.len(), event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::testing;

    use super::*;

    #[tokio::test]
    async fn each_outbox_gets_its_turn() {
        let shares = RoundRobin::over(["a", "b", "c"]).unwrap();
        let mut turns = Vec::new();
        for _ in 0..7 {
            turns.push(testing::feed(&shares, Event::new("x")).await.unwrap().remove(0).outbox);
        }
        assert_eq!(turns, ["a", "b", "c", "a", "b", "c", "a"]);
    }

    #[test]
    fn outboxes_have_names_of_their_own() {
        let error = RoundRobin::over(["a", "", "a"]).unwrap_err();
        assert_eq!(error.message(), "nothing to share out over: an outbox has no name; the outbox `a` is there twice");
        assert!(RoundRobin::over([] as [&str; 0]).is_err());
    }
}
