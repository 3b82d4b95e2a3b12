//! Answers that come in parts, found by the id of their request's event.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use playhouse_engine::{Error, Event, EventId, Result};

use super::{Outcome, Pending};
use crate::http::answer::Answer;
use crate::http::reception::Reception;
use crate::http::reply::Reply;
use crate::{Part, PartEnd};

impl Pending {
    /// Ends what is under way for the request whose event was `id` with an error: the request, or its answer that comes in parts.
    pub(crate) fn fail(&self, id: EventId, error: &Error) {
        if !self.break_off(id, error) {
            self.end(id, Outcome::Ended(Err(error.clone())));
        }
    }

    /// Breaks the answer off that comes in parts to the request whose event was `id`; says whether there is one.
    pub(crate) fn break_off(&self, id: EventId, error: &Error) -> bool {
        let answer = self.slot_of(id).and_then(|(slot, generation)| slot.answer(generation));
        answer.is_some_and(|answer| {
            answer.break_off(error);
            true
        })
    }

    /// Takes a part of an answer: the first begins it.
    ///
    /// # Errors
    /// `Gone` where nobody waits for it; `Malformed` where it is not the first and none came before; as [`Answer::push`].
    pub(crate) fn part(&self, reception: &Arc<Reception>, part: Part, event: &Event) -> Result<()> {
        let gone = || match part.end {
            PartEnd::Broken => Ok(()),
            PartEnd::More | PartEnd::Last => {
                self.late.fetch_add(1, Ordering::Relaxed);
                Err(Error::gone("nobody waits for this part of an answer"))
            }
        };
        let Some((slot, generation)) = self.slot_of(event.id()) else { return gone() };
        if let Some(answer) = slot.answer(generation) {
            return answer.push(part, event);
        }
        if slot.waiting.load(Ordering::Acquire) != generation {
            return gone();
        }
        let reply = Reply::of(event);
        let outcome = match part.end {
            // The only part, or what was made of the last part of the request.
            PartEnd::Last => Outcome::Reply(reply),
            PartEnd::Broken => {
                let error = event.error().cloned();
                Outcome::Ended(Err(error.unwrap_or_else(|| Error::unavailable("the source of the answer broke off"))))
            }
            PartEnd::More if part.number > 0 => {
                let number = part.number;
                return Err(Error::malformed(format!("part {number} of an answer came; expected part 0")));
            }
            PartEnd::More => {
                let answer = Answer::begin(reception, event);
                let mut state = slot.lock();
                if slot.waiting.load(Ordering::Relaxed) != generation {
                    drop(state);
                    answer.break_off(&Error::gone("the client has gone"));
                    return Ok(());
                }
                state.answer = Some(answer.clone());
                slot.has_answer.store(true, Ordering::Release);
                let waker = state.settle(slot, Outcome::Begun(reply, answer));
                drop(state);
                waker.into_iter().for_each(Waker::wake);
                return Ok(());
            }
        };
        self.end(event.id(), outcome);
        Ok(())
    }
}
