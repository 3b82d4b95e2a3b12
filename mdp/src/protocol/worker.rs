//! One worker's registration at one broker, without I/O.
//!
//! The broker gives it one request at a time. It beats while the request is worked on, too, for the work is done elsewhere. When
//! the broker is silent or says so, the socket is closed and a new one opened, under a new identity: then nothing that was
//! meant for the old registration can reach the new one.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Address, Frames, Service, ToWorker, Version, decode_at_worker, encode};

/// How a worker keeps in touch with its broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorkerSettings {
    /// The version of the protocol.
    pub version: Version,
    /// How often both sides say that they live; the same at the broker.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// After how many such intervals of silence the broker is given up.
    pub liveness: u32,
    /// How long to wait before the first attempt to register anew; it doubles with each.
    #[serde(with = "humantime_serde")]
    pub shortest_wait: Duration,
    /// The longest wait between two attempts to register.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            version: Version::default(),
            heartbeat: Duration::from_millis(2_500),
            liveness: 3,
            shortest_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
        }
    }
}

/// What the one who runs a [`Worker`] must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerOutput {
    /// Send to the broker.
    Send(Frames),
    /// Work on a request, and answer it under its number.
    Request {
        /// What [`Worker::reply`] wants back.
        number: u64,
        /// Who asked, as the broker names it.
        client: Address,
        /// The frames that the client sent.
        body: Frames,
    },
    /// Close the socket, wait until then, open a new one and call [`Worker::opened`].
    Reopen {
        /// Not before this time.
        at: Instant,
    },
    /// Close the socket: the registration has ended.
    Close,
}

/// A registration of a worker at a broker.
#[derive(Debug)]
pub struct Worker {
    settings: WorkerSettings,
    service: Service,
    state: State,
    /// The request under way, and who asked.
    request: Option<(u64, Address)>,
    numbers: u64,
    heard: Instant,
    next_beat: Instant,
    wait: Duration,
    /// Whether the broker has said anything since the socket was opened.
    is_known: bool,
    is_stopping: bool,
    malformed: u64,
    unwanted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no socket: one is to be opened.
    Closed,
    Registered,
    Ended,
}

impl Worker {
    /// Makes a registration that begins with [`Worker::opened`].
    #[must_use]
    pub fn new(service: Service, settings: WorkerSettings, now: Instant) -> Self {
        let wait = settings.shortest_wait;
        Self {
            settings,
            service,
            state: State::Closed,
            request: None,
            numbers: 0,
            heard: now,
            next_beat: now,
            wait,
            is_known: false,
            is_stopping: false,
            malformed: 0,
            unwanted: 0,
        }
    }

    /// A new socket is there: registers.
    pub fn opened(&mut self, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.state != State::Closed || self.is_stopping {
            return;
        }
        self.state = State::Registered;
        self.heard = now;
        self.is_known = false;
        self.send(encode::ready(self.settings.version, &self.service), now, outputs);
    }

    /// The socket lost its connection. What was sent may be gone, so the registration begins anew.
    pub fn lost(&mut self, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.state == State::Registered {
            self.reopen(now, outputs);
        }
    }

    /// Takes what the broker sent.
    pub fn receive(&mut self, frames: Frames, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.state != State::Registered {
            return;
        }
        let Ok(message) = decode_at_worker(self.settings.version, frames) else {
            self.malformed += 1;
            return;
        };
        self.heard = now;
        if !self.is_known {
            self.is_known = true;
            self.wait = self.settings.shortest_wait;
        }
        match message {
            ToWorker::Heartbeat => {}
            ToWorker::Disconnect => self.reopen(now, outputs),
            // A broker that gives a second request has forgotten the first, or is none: it gets no answer to that.
            ToWorker::Request { .. } if self.request.is_some() => self.unwanted += 1,
            // It crossed our DISCONNECT: the broker gives it to somebody else.
            ToWorker::Request { .. } if self.is_stopping => {}
            ToWorker::Request { client, body } => {
                self.numbers += 1;
                self.request = Some((self.numbers, client.clone()));
                outputs.push(WorkerOutput::Request { number: self.numbers, client, body });
            }
        }
    }

    /// Sends a partial reply to the request under way. Returns whether it was sent: not where the request was of an earlier
    /// registration, which another worker has by now, and not in version 0.1, which has none.
    pub fn reply_partially(
        &mut self,
        number: u64,
        body: Frames,
        now: Instant,
        outputs: &mut Vec<WorkerOutput>,
    ) -> bool {
        let Some(client) = self.client_of(number).filter(|_| self.settings.version == Version::V2) else {
            return false;
        };
        self.send(encode::partial_answer(&client, body), now, outputs);
        true
    }

    /// Sends the reply that ends the request under way. Returns whether it was sent, as [`Worker::reply_partially`] does.
    pub fn reply(&mut self, number: u64, body: Frames, now: Instant, outputs: &mut Vec<WorkerOutput>) -> bool {
        let Some(client) = self.client_of(number) else { return false };
        self.request = None;
        self.send(encode::final_answer(self.settings.version, &client, body), now, outputs);
        if self.is_stopping {
            self.end(outputs);
        }
        true
    }

    /// Leaves the broker without an answer to the request under way, which then goes to another worker, and begins anew
    /// unless it stops.
    pub fn give_back(&mut self, number: u64, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.client_of(number).is_some() {
            outputs.push(WorkerOutput::Send(encode::disconnect(self.settings.version)));
            self.reopen(now, outputs);
        }
    }

    /// Beats, and gives up a broker that is silent.
    pub fn tick(&mut self, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        if self.state != State::Registered {
            return;
        }
        if now >= self.silent_at() {
            self.reopen(now, outputs);
        } else if now >= self.next_beat {
            self.send(encode::heartbeat(self.settings.version), now, outputs);
        }
    }

    /// Returns when [`Worker::tick`] has something to do next; nothing while there is no socket.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        (self.state == State::Registered).then(|| self.next_beat.min(self.silent_at()))
    }

    /// Begins to stop: leaves the broker at once where it is idle, else after its reply.
    pub fn stop(&mut self, outputs: &mut Vec<WorkerOutput>) {
        self.is_stopping = true;
        if self.request.is_none() && self.state != State::Ended {
            self.end(outputs);
        }
    }

    /// Returns how many messages of the broker were not understood.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Returns how many requests came while another was under way.
    #[must_use]
    pub fn unwanted(&self) -> u64 {
        self.unwanted
    }

    fn client_of(&self, number: u64) -> Option<Address> {
        match &self.request {
            Some((under_way, client)) if *under_way == number && self.state == State::Registered => {
                Some(client.clone())
            }
            _ => None,
        }
    }

    fn silent_at(&self) -> Instant {
        self.heard + self.settings.heartbeat * self.settings.liveness
    }

    fn send(&mut self, frames: Frames, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        // Any command says that we live.
        self.next_beat = now + self.settings.heartbeat;
        outputs.push(WorkerOutput::Send(frames));
    }

    fn reopen(&mut self, now: Instant, outputs: &mut Vec<WorkerOutput>) {
        // The broker gives the request to another worker; what comes of it here is not sent.
        self.request = None;
        if self.is_stopping {
            self.state = State::Ended;
            return outputs.push(WorkerOutput::Close);
        }
        self.state = State::Closed;
        outputs.push(WorkerOutput::Reopen { at: now + self.wait });
        self.wait = (self.wait * 2).min(self.settings.longest_wait);
    }

    fn end(&mut self, outputs: &mut Vec<WorkerOutput>) {
        if self.state == State::Registered {
            outputs.push(WorkerOutput::Send(encode::disconnect(self.settings.version)));
        }
        self.state = State::Ended;
        outputs.push(WorkerOutput::Close);
    }
}

#[cfg(test)]
mod tests;
