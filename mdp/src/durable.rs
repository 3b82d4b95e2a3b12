//! Durable requests from ordinary code: the client's side of RFC 9 (Titanic).

use std::time::Duration;

use bytes::Bytes;
use playhouse_engine::{Error, Result};
use tokio::time::{Instant, sleep};

use crate::caller::{Caller, deadline_in};
use crate::protocol::{Frames, Service, Ticket, read_failure};

/// How long to wait before a reply is asked for again; it doubles up to the longest.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// How long one question may take, so that one that is lost is asked again in time.
const QUESTION: Duration = Duration::from_secs(5);

impl Caller {
    /// Has the broker store a request, and returns its ticket once it is safe. It then survives the broker's death, and is
    /// done at least once. The caller must be one without envelopes.
    ///
    /// # Errors
    /// `Unavailable` where the store takes no more, `Malformed` where the request is not understood, and those of
    /// [`Caller::call`]. Where the answer did not come in time, the request may be stored all the same.
    pub async fn submit(&self, service: &str, body: Frames, time: Duration) -> Result<Ticket> {
        let service = Service::new(service.to_owned())?;
        let mut request = vec![service.as_bytes().clone()];
        request.extend(body);
        match status(&self.frames("titanic.request", request, time).await?)? {
            (200, [ticket]) => Ticket::parse(ticket)
                .ok_or_else(|| Error::malformed(format!("expected a ticket, found `{}`", ticket.escape_ascii()))),
            (status, rest) => Err(refused("titanic.request", status, rest)),
        }
    }

    /// Asks whether a durable request has been done: its reply, or nothing while it has not.
    ///
    /// # Errors
    /// What the worker answered in place of a reply, `NotFound` where no such request is stored, `Internal` where it failed
    /// for good, and those of [`Caller::call`].
    pub async fn reply_to(&self, ticket: Ticket, time: Duration) -> Result<Option<Frames>> {
        self.ask_for(ticket, time).await?.map(reply_in).transpose()
    }

    async fn ask_for(&self, ticket: Ticket, time: Duration) -> Result<Option<Frames>> {
        let reply = self.frames("titanic.reply", vec![Bytes::from(ticket.to_string())], time).await?;
        match status(&reply)? {
            (200, body) => Ok(Some(body.to_vec())),
            (300, _) => Ok(None),
            (status, rest) => Err(refused("titanic.reply", status, rest)),
        }
    }

    /// Waits until a durable request has been done, through deaths of the broker.
    ///
    /// # Errors
    /// `Timeout` when the time is up: the request stays stored. Those of [`Caller::reply_to`].
    pub async fn wait_for(&self, ticket: Ticket, time: Duration) -> Result<Frames> {
        let deadline = deadline_in(time);
        let mut wait = SHORTEST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::timeout(format!("the request `{ticket}` was not done within {time:?}")));
            }
            match self.ask_for(ticket, left.min(QUESTION)).await {
                // Its error is final, of whatever kind: it was done.
                Ok(Some(body)) => return reply_in(body),
                Ok(None) => {}
                Err(error) if error.kind().is_transient() => {}
                Err(error) => return Err(error),
            }
            sleep(wait.min(left)).await;
            wait = (wait * 2).min(LONGEST);
        }
    }

    /// Has the broker forget a durable request and its reply.
    ///
    /// # Errors
    /// Those of [`Caller::call`]; one that is not known is no error.
    pub async fn forget(&self, ticket: Ticket, time: Duration) -> Result<()> {
        match status(&self.frames("titanic.close", vec![Bytes::from(ticket.to_string())], time).await?)? {
            (200, _) => Ok(()),
            (status, rest) => Err(refused("titanic.close", status, rest)),
        }
    }
}

/// Tells the reply of a worker from its error.
fn reply_in(body: Frames) -> Result<Frames> {
    match read_failure(&body) {
        Some((error, _)) => Err(error),
        None => Ok(body),
    }
}

/// Reads the status frame: three digits, and perhaps a space and a text.
fn status(reply: &Frames) -> Result<(u16, &[Bytes])> {
    let malformed = || Error::malformed("expected a status of three digits from the durable service");
    let (status, rest) = reply.split_first().ok_or_else(malformed)?;
    let digits = status.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(malformed)?;
    Ok((digits.parse().map_err(|_| malformed())?, rest))
}

fn refused(service: &str, status: u16, rest: &[Bytes]) -> Error {
    let text = rest.first().map(|text| format!(": {}", String::from_utf8_lossy(text))).unwrap_or_default();
    match status {
        400 if service == "titanic.request" => Error::malformed(format!("the broker does not understand it{text}")),
        400 => Error::not_found(format!("no such request is stored{text}")),
        500 if service == "titanic.request" => Error::unavailable(format!("the request could not be stored{text}")),
        500 => Error::internal(format!("the request failed{text}")),
        _ => Error::malformed(format!("`{service}` answered with the status {status}, which RFC 9 does not have")),
    }
}
