//! What outlives one exchange: by inbox, the clients that its events go to.

use std::sync::Arc;

use playhouse_engine::{Error, Event, Result};

use super::audience::Audience;
use super::clock::Ticks;
use super::event_stream::EventStreamSettings;
use super::reception::Counters;
#[cfg(feature = "websocket")]
use super::room::Room;
use super::route::{OpensKind, Route};

/// The clients that one inbox feeds.
#[derive(Clone, Debug)]
pub(crate) enum Live {
    EventStream(Arc<Audience>),
    #[cfg(feature = "websocket")]
    WebSocket(Arc<Room>),
}

/// All inboxes of a server that feed clients.
#[derive(Debug, Default)]
pub(crate) struct Lives(Vec<(String, Live)>);

impl Lives {
    /// # Errors
    /// `Malformed` where one inbox feeds both event streams and WebSockets, or is the one for replies.
    pub(crate) fn new(routes: &[Route], settings: &EventStreamSettings, counters: &Arc<Counters>) -> Result<Self> {
        let mut lives: Vec<(String, Live)> = Vec::new();
        for opens in routes.iter().filter_map(|route| route.opens.as_ref()) {
            let inbox = &opens.inbox;
            if inbox == "inbox" {
                return Err(Error::malformed(
                    "the inbox `inbox` takes replies; expected another one for what a route opens",
                ));
            }
            let known = lives.iter().find(|(name, _)| name == inbox);
            match (known, opens.kind) {
                (None, OpensKind::EventStream) => {
                    let audience = Audience::new(settings.clone(), counters.clone());
                    lives.push((inbox.clone(), Live::EventStream(Arc::new(audience))));
                }
                #[cfg(feature = "websocket")]
                (None, OpensKind::WebSocket) => {
                    lives.push((inbox.clone(), Live::WebSocket(Arc::new(Room::new(counters.clone())))));
                }
                (Some((_, Live::EventStream(_))), OpensKind::EventStream) => {}
                #[cfg(feature = "websocket")]
                (Some((_, Live::WebSocket(_))), OpensKind::WebSocket) => {}
                #[cfg(feature = "websocket")]
                _ => {
                    let message =
                        format!("the inbox `{inbox}` feeds event streams and WebSockets; expected one of them");
                    return Err(Error::malformed(message));
                }
            }
        }
        Ok(Self(lives))
    }

    pub(crate) fn get(&self, inbox: &str) -> Option<&Live> {
        self.0.iter().find(|(name, _)| name == inbox).map(|(_, live)| live)
    }

    pub(crate) fn sweep(&self, now: Ticks) {
        for (_, live) in &self.0 {
            match live {
                Live::EventStream(audience) => audience.sweep(now),
                #[cfg(feature = "websocket")]
                Live::WebSocket(_) => {}
            }
        }
    }

    /// Ends what ends with the flow; WebSockets see to it themselves.
    pub(crate) fn close(&self, now: Ticks) {
        for (_, live) in &self.0 {
            match live {
                Live::EventStream(audience) => audience.close(now),
                #[cfg(feature = "websocket")]
                Live::WebSocket(_) => {}
            }
        }
    }
}

impl Live {
    /// Sends an event to the clients whom it is for.
    pub(crate) fn send(&self, event: &Event, now: Ticks) -> Result<()> {
        match self {
            Self::EventStream(audience) => audience.publish(event, now),
            #[cfg(feature = "websocket")]
            Self::WebSocket(room) => room.send(event),
        }
    }
}
