//! The WebSockets that one inbox feeds, by the names of their connections.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use playhouse_engine::{Error, Event, Payload, Result, Text};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::error_body::error_body;
use super::media::ErrorForm;
use super::reception::Counters;
use crate::web_socket::{Outgoing, PARTY, close_of, message_of};

/// The WebSockets that one inbox feeds.
#[derive(Debug)]
pub(crate) struct Room {
    counters: Arc<Counters>,
    members: Mutex<HashMap<Box<str>, Member>>,
}

#[derive(Debug)]
struct Member {
    queue: Sender<Outgoing>,
    /// Closes the connection.
    cut: CancellationToken,
}

impl Room {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { counters, members: Mutex::default() }
    }

    /// Lets a connection in, until what is returned goes.
    pub(crate) fn enter(self: &Arc<Self>, id: Box<str>, queue: Sender<Outgoing>, cut: CancellationToken) -> Membership {
        self.members().insert(id.clone(), Member { queue, cut });
        self.counters.web_sockets.fetch_add(1, Ordering::Relaxed);
        Membership { room: self.clone(), id }
    }

    /// Sends an event to the connection that it names; to all where it names none.
    ///
    /// # Errors
    /// `Gone` where the connection has closed, `Overloaded` where it does not keep up; the error of an event that has one and
    /// names no connection: it is nobody's business.
    pub(crate) fn send(&self, event: &Event) -> Result<()> {
        let party = event.attribute(PARTY).map(|party| party.to_string());
        let outgoing = match (event.error(), close_of(event)?) {
            (Some(error), _) if party.is_none() => return Err(error.clone()),
            (Some(error), _) => {
                let body = Text::from_utf8(error_body(error, ErrorForm::Json, Some(event.id())))?;
                Outgoing::Message(message_of(&Payload::Text(body)), None)
            }
            (None, Some(leave)) => Outgoing::Leave(leave),
            (None, None) => Outgoing::Message(message_of(event.payload()), None),
        };
        match party {
            Some(party) => self.send_to(&party, outgoing),
            None => {
                self.send_to_all(&outgoing);
                Ok(())
            }
        }
    }

    fn send_to(&self, id: &str, outgoing: Outgoing) -> Result<()> {
        let mut members = self.members();
        match members.get(id).map(|member| member.queue.try_send(outgoing)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => {
                self.cut(members.remove(id));
                Err(Error::overloaded(format!("the WebSocket `{id}` does not keep up; it is closed")))
            }
            Some(Err(TrySendError::Closed(_))) | None => Err(Error::gone(format!("the WebSocket `{id}` has closed"))),
        }
    }

    fn send_to_all(&self, outgoing: &Outgoing) {
        let mut members = self.members();
        let slow = members.extract_if(|_, member| {
            let copy = match outgoing {
                Outgoing::Message(message, _) => Outgoing::Message(message.clone(), None),
                Outgoing::Leave(leave) => Outgoing::Leave(leave.clone()),
            };
            matches!(member.queue.try_send(copy), Err(TrySendError::Full(_)))
        });
        slow.for_each(|(_, member)| self.cut(Some(member)));
    }

    fn cut(&self, member: Option<Member>) {
        if let Some(member) = member {
            self.counters.slow.fetch_add(1, Ordering::Relaxed);
            member.cut.cancel();
        }
    }

    fn members(&self) -> MutexGuard<'_, HashMap<Box<str>, Member>> {
        // A panic cannot happen while it is held, for nothing of anybody else's runs then.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be in a room.
#[derive(Debug)]
pub(crate) struct Membership {
    room: Arc<Room>,
    id: Box<str>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.room.members().remove(&self.id);
        self.room.counters.web_sockets.fetch_sub(1, Ordering::Relaxed);
    }
}
