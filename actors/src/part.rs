//! A piece of what is too long for one event: the body of an upload, a large file, an answer that has no end yet.

use playhouse_engine::{Error, Event, Result};

/// The attribute that holds the number of a part.
const NUMBER: &str = "part.number";

/// The attribute that holds how a part ends.
const END: &str = "part.end";

/// Which piece of a whole an event is.
///
/// The parts of one whole have the id of one event, come in order, and are numbered from 0. The last one says that it is; where
/// the source cannot go on, a last one without a payload says that the whole is broken. Whatever keeps order passes them on as
/// they are: an actor with several workers does not.
///
/// ```
/// use playhouse_actors::{Part, PartEnd};
/// use playhouse_engine::{Event, EventId};
///
/// let id = EventId::unique();
/// let first = Part { number: 0, end: PartEnd::More }.mark(Event::with_id(id, "half of "));
/// let second = Part { number: 1, end: PartEnd::Last }.mark(Event::with_id(id, "it"));
/// assert_eq!(Part::of(&first).unwrap().map(|part| part.end), Some(PartEnd::More));
/// assert!(Part::of(&Event::new("whole")).unwrap().is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many parts came before.
    pub number: u64,
    /// What comes after.
    pub end: PartEnd,
}

/// What comes after a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartEnd {
    /// More parts of the same whole.
    More,
    /// Nothing: the whole is complete.
    Last,
    /// Nothing: the whole is not complete and never will be.
    Broken,
}

impl PartEnd {
    fn as_str(self) -> &'static str {
        match self {
            Self::More => "more",
            Self::Last => "last",
            Self::Broken => "broken",
        }
    }
}

impl Part {
    /// Returns which part the event is; nothing where it is whole.
    ///
    /// # Errors
    /// `Malformed` where its attributes `part.number` and `part.end` say no part.
    pub fn of(event: &Event) -> Result<Option<Self>> {
        let attributes = event.attributes();
        let Some(end) = attributes.text(END) else { return Ok(None) };
        let end = match &*end {
            "more" => PartEnd::More,
            "last" => PartEnd::Last,
            "broken" => PartEnd::Broken,
            other => {
                return Err(Error::malformed(format!("`{END}` is `{other}`; expected `more`, `last` or `broken`")));
            }
        };
        let number = attributes.integer(NUMBER).and_then(|number| u64::try_from(number).ok());
        let number = number.ok_or_else(|| Error::malformed(format!("`{NUMBER}` is missing or no number from 0 on")))?;
        Ok(Some(Self { number, end }))
    }

    /// Marks the event as this part.
    #[must_use]
    pub fn mark(self, event: Event) -> Event {
        // No number of parts that a machine lives to see is beyond it.
        let number = i64::try_from(self.number).unwrap_or(i64::MAX);
        event.with_attribute(NUMBER, number).with_attribute(END, self.end.as_str())
    }

    /// Takes the mark off the event, which then is a whole.
    #[must_use]
    pub fn unmark(event: Event) -> Event {
        event.without_attribute(NUMBER).without_attribute(END)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_read_again() {
        for end in [PartEnd::More, PartEnd::Last, PartEnd::Broken] {
            let part = Part { number: 7, end };
            let event = part.mark(Event::new("a"));
            assert_eq!(Part::of(&event).unwrap(), Some(part));
            assert_eq!(Part::of(&Part::unmark(event)).unwrap(), None);
        }
    }

    #[test]
    fn a_mark_that_says_nothing_is_refused() {
        let message = |event: Event| Part::of(&event).unwrap_err().message().to_owned();
        assert_eq!(
            message(Event::new("").with_attribute("part.number", 1_i64).with_attribute("part.end", "never")),
            "`part.end` is `never`; expected `more`, `last` or `broken`"
        );
        for event in [
            Event::new("").with_attribute("part.end", "last"),
            Event::new("").with_attribute("part.end", "last").with_attribute("part.number", -1_i64),
        ] {
            assert_eq!(message(event), "`part.number` is missing or no number from 0 on");
        }
    }
}
