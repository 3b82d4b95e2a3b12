//! The lanes of one connection: the peers that share it.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{Route, Shared, State};
use crate::protocol::Frames;
use crate::transport::lanes;
use crate::transport::stream::Io;
use crate::transport::wire::Link;

/// A connection whose messages begin with the address of a lane.
#[derive(Debug, Default)]
pub(super) struct Trunk {
    lanes: HashSet<Bytes>,
}

impl Trunk {
    /// Lets answers go by the lanes that are new in `messages`, forgets those that are closed, and takes out what is for
    /// nobody.
    ///
    /// # Errors
    /// `InvalidData` where the peer breaks the rules and is to be cut off.
    pub(super) fn admit(&mut self, messages: &mut Vec<Frames>, link: &Arc<Link>, shared: &Shared) -> Io<()> {
        let mut outcome = Ok(());
        messages.retain_mut(|message| {
            outcome.is_ok()
                && self.admit_one(message, link, shared).unwrap_or_else(|error| {
                    outcome = Err(error);
                    false
                })
        });
        outcome
    }

    /// Returns whether anybody wants the message.
    fn admit_one(&mut self, message: &mut Frames, link: &Arc<Link>, shared: &Shared) -> Io<bool> {
        let has_more = message.len() > 1;
        let Some(address) = message.first_mut() else { return Ok(false) };
        if let Some(known) = self.lanes.get(address.as_ref()) {
            // What is kept by this address keeps no message in memory.
            *address = known.clone();
            if !has_more {
                self.lanes.remove(address);
                shared.state().peers.remove(address);
                link.set_lanes(self.lanes.len());
            }
            return Ok(true);
        }
        if !lanes::is_address(address) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message without the address of a lane"));
        }
        // It was closed before anything was sent by it.
        if !has_more {
            return Ok(false);
        }
        if self.lanes.len() >= lanes::MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many lanes"));
        }
        let mut state = shared.state();
        // That there are too many peers in all is no fault of this one's, nor that another has the address: nobody gets what is
        // meant for another.
        if state.peers.len() >= shared.settings.most_peers || state.peers.contains_key(address) {
            return Ok(false);
        }
        *address = Bytes::copy_from_slice(address);
        state.peers.insert(address.clone(), Route { link: link.clone(), is_lane: true });
        self.lanes.insert(address.clone());
        link.set_lanes(self.lanes.len());
        Ok(true)
    }

    /// Closes all lanes, and says of each that it is gone.
    pub(super) fn close(&mut self, state: &mut State) {
        for lane in self.lanes.drain() {
            state.peers.remove(&lane);
            state.inbox.push_back(vec![lane]);
        }
    }
}
