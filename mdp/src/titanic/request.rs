//! What clients ask: to store a request, to read its reply, to close it.

use std::time::Instant;

use bytes::Bytes;
use playhouse_engine::{Error, Result};

use super::entry::{Entry, Load, Purpose, State};
use super::machine::{Titanic, TitanicOutput};
use super::order::{self, Content, Order};
use super::record;
use super::settings::TitanicSettings;
use crate::protocol::{Frames, Requester, Service, Ticket};

/// Returns a status as a frame of its own.
pub(super) fn status(number: u16) -> Bytes {
    Bytes::from_static(match number {
        200 => b"200",
        300 => b"300",
        400 => b"400",
        _ => b"500",
    })
}

impl Titanic {
    /// Takes what a client asked of a service `titanic.`: `service` is the one asked, `body` what came with it.
    pub fn request(
        &mut self,
        requester: Requester,
        service: &Service,
        body: Frames,
        now: Instant,
        outputs: &mut Vec<TitanicOutput>,
    ) {
        match service.as_str() {
            "titanic.request" => self.store(requester, service, body, now, outputs),
            "titanic.reply" => match ticket_of(&body) {
                Some(ticket) => self.read(requester, service, ticket, outputs),
                None => self.invalid(requester, service, None, outputs),
            },
            "titanic.close" => match ticket_of(&body) {
                Some(ticket) => self.close(requester, service, ticket, outputs),
                None => self.invalid(requester, service, None, outputs),
            },
            other => {
                let message =
                    format!("expected `titanic.request`, `titanic.reply` or `titanic.close`, found `{other}`");
                self.invalid(requester, service, Some(&Error::not_found(message)), outputs);
            }
        }
    }

    fn store(
        &mut self,
        requester: Requester,
        service: &Service,
        body: Frames,
        now: Instant,
        outputs: &mut Vec<TitanicOutput>,
    ) {
        let (target, body) = match self.checked(body) {
            Ok(checked) => checked,
            Err(error) => return self.invalid(requester, service, Some(&error), outputs),
        };
        let content = Content::Request { service: target.clone(), body };
        let size = record::size(&content);
        if let Some(limit) = self.limit(&target, size) {
            return self.refuse(requester, service.clone(), limit, outputs);
        }
        let mut ticket = Ticket::unique();
        while self.entries.contains_key(&ticket) {
            ticket = Ticket::unique();
        }
        let entry = Entry {
            changed: self.seconds(now),
            service: self.queues.hold(&target),
            size: size as u32,
            attempts: 0,
            state: State::Storing,
            is_closing: false,
        };
        self.insert(ticket, entry);
        self.append(ticket, content, Purpose::Request(requester, service.clone()), outputs);
    }

    fn read(&mut self, requester: Requester, service: &Service, ticket: Ticket, outputs: &mut Vec<TitanicOutput>) {
        match self.entries.get(&ticket).copied() {
            None | Some(Entry { state: State::Dropped, .. }) => self.invalid(requester, service, None, outputs),
            Some(Entry { state: State::Done, size, .. }) => {
                let size = size as usize;
                let is_full = self.reading >= TitanicSettings::READING
                    || (self.reading > 0 && self.reading_size + size > TitanicSettings::READING_SIZE);
                if is_full {
                    self.refuse(requester, service.clone(), "too many replies are being read", outputs);
                    return;
                }
                self.reading += 1;
                self.reading_size += size;
                self.loads.push_back(Load { ticket, size, asked_by: Some((requester, service.clone())) });
                outputs.push(TitanicOutput::Store(Order::Load(ticket)));
            }
            Some(_) => answer(requester, service, vec![status(300)], outputs),
        }
    }

    fn close(&mut self, requester: Requester, service: &Service, ticket: Ticket, outputs: &mut Vec<TitanicOutput>) {
        let is_full = self.unsynced.len() >= self.settings.unsynced;
        match self.entries.get_mut(&ticket).filter(|entry| !matches!(entry.state, State::Dropped | State::Storing)) {
            None => answer(requester, service, vec![status(200)], outputs),
            Some(_) if is_full => self.refuse(requester, service.clone(), "too much waits for the disk", outputs),
            Some(entry) => {
                entry.is_closing = true;
                self.append(ticket, Content::Close, Purpose::Close(requester, service.clone()), outputs);
            }
        }
    }

    /// Takes the body of a request apart.
    fn checked(&self, mut body: Frames) -> Result<(Service, Frames)> {
        if body.len() < 2 {
            let found = body.len();
            return Err(Error::malformed(format!(
                "expected a service and a body of at least 1 frame, found {found} frames"
            )));
        }
        let (most, found) = (self.settings.message_size, order::size(&body));
        if found > most {
            return Err(Error::too_large(format!("expected a request of at most {most} bytes, found {found}")));
        }
        let service = Service::new(body.remove(0))?;
        if service.is_titanic() || service.is_management() {
            let message = format!("expected a service that workers offer, found `{service}`, which the broker answers");
            return Err(Error::not_allowed(message));
        }
        Ok((service, body))
    }

    /// Says which limit keeps a request from being stored, if one does.
    fn limit(&self, target: &Service, size: usize) -> Option<&'static str> {
        let settings = &self.settings;
        let disk_size = self.disk_size + (self.unsynced_size + size) as u64;
        if self.entries.len() >= settings.requests {
            Some("too many requests are stored")
        } else if disk_size > settings.disk_size / 4 * 3 {
            Some("the store is full")
        } else if self.unsynced.len() >= settings.unsynced
            || (!self.unsynced.is_empty() && self.unsynced_size + size > settings.unsynced_size)
        {
            Some("too much waits for the disk")
        } else if self.queues.len() >= settings.services && !self.queues.contains(target) {
            Some("requests wait for too many services")
        } else {
            None
        }
    }

    fn invalid(
        &mut self,
        requester: Requester,
        service: &Service,
        reason: Option<&Error>,
        outputs: &mut Vec<TitanicOutput>,
    ) {
        self.statistics.invalid += 1;
        let reason = reason.map(|error| Bytes::from(error.to_string()));
        answer(requester, service, std::iter::once(status(400)).chain(reason).collect(), outputs);
    }

    pub(super) fn refuse(
        &mut self,
        requester: Requester,
        service: Service,
        reason: &'static str,
        outputs: &mut Vec<TitanicOutput>,
    ) {
        self.statistics.refused += 1;
        let body = vec![status(500), Bytes::from_static(reason.as_bytes())];
        outputs.push(TitanicOutput::Answer { requester, service, body });
    }
}

fn answer(requester: Requester, service: &Service, body: Frames, outputs: &mut Vec<TitanicOutput>) {
    outputs.push(TitanicOutput::Answer { requester, service: service.clone(), body });
}

fn ticket_of(body: &Frames) -> Option<Ticket> {
    let [text] = body.as_slice() else { return None };
    Ticket::parse(text)
}
