//! The task that sends what was read, and knows what became of it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use playhouse_engine::{Attributes, Emitter, Error, Event, EventId, Payload, Permit, Result, Text};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::reader::{Next, Reader};
use super::watched::{Line, Lines};
use super::window::Sent;
use super::{Shared, ended};
use crate::part::{Part, PartEnd};

/// How many lines are sent at a time.
const CHUNK: usize = 256;

/// The source's task, and what it has.
pub(super) struct Run {
    shared: Arc<Shared>,
    emitter: Emitter,
    stopping: CancellationToken,
    /// The file of which some parts were sent.
    whole: Option<OpenWhole>,
}

struct OpenWhole {
    /// Lets its end be told while the flow stops.
    permit: Permit,
    id: EventId,
    attributes: Attributes,
    /// How many parts were sent.
    sent: u64,
}

impl Run {
    pub(super) fn new(shared: Arc<Shared>, emitter: Emitter, stopping: CancellationToken) -> Self {
        Self { shared, emitter, stopping, whole: None }
    }

    /// Reads until the flow stops, or there is no more.
    pub(super) async fn run(mut self) -> Result<()> {
        let outcome = self.read().await;
        if let Some(OpenWhole { permit, id, attributes, sent }) = self.whole.take() {
            let part = Part { number: sent, end: PartEnd::Broken };
            permit.send_from(0, part.mark(Event::with_id(id, ()).with_attributes(attributes))).await?;
        }
        outcome
    }

    async fn read(&mut self) -> Result<()> {
        let Shared { pattern, settings, window } = &*self.shared.clone();
        let positions = window.restart();
        let read = |mut reader: Reader| spawn_blocking(move || reader.next().map(|next| (reader, next)));
        let mut reading = read(Reader::new(pattern.clone(), settings.clone(), window.clone(), positions));
        loop {
            let (reader, next) = ended(reading.await)?;
            if self.stopping.is_cancelled() {
                return Ok(());
            }
            match next {
                Next::End => return self.until_stopped(window.empty()).await,
                Next::Nothing => {
                    let failed = tokio::time::timeout(settings.interval, window.failure());
                    match self.stopping.run_until_cancelled(failed).await {
                        None => return Ok(()),
                        Some(Ok(error)) => return Err(error),
                        Some(Err(_)) => {}
                    }
                    reading = read(reader);
                }
                something => {
                    // What comes next is read meanwhile.
                    reading = read(reader);
                    self.send(something).await?;
                }
            }
        }
    }

    async fn send(&mut self, next: Next) -> Result<()> {
        let window = &self.shared.window;
        match next {
            Next::Lines { file, attributes, lines } => self.send_lines(file, &attributes, &lines).await,
            Next::Whole { file, attributes, whole, end } => {
                let event = Event::new(()).with_attributes(attributes);
                let sent = Sent { end: Some(end), size: whole.as_ref().map_or(0, Bytes::len) };
                let payload = whole.map_err(|error| (Payload::Empty, error)).and_then(|bytes| self.payload(bytes));
                self.send_one(file, sent, event, payload).await
            }
            Next::Part { file, attributes, part, bytes, end } => {
                self.send_part(file, attributes, part, bytes, end).await
            }
            Next::Refused { attributes, error } => {
                self.emitter.fail(Event::new(()).with_attributes(attributes), error).await
            }
            Next::Over { file } => {
                window.retire(file);
                Ok(())
            }
            Next::Cut { file } => {
                window.forget(file);
                Ok(())
            }
            Next::Nothing | Next::End => Ok(()),
        }
    }

    async fn send_lines(&self, file: usize, attributes: &Attributes, lines: &Lines) -> Result<()> {
        let window = &self.shared.window;
        // Looked at once where all is well, as it is most often.
        let end = lines.lines.last().map_or(0, |line| line.end);
        let is_text = !self.shared.settings.text || std::str::from_utf8(&lines.bytes[..end]).is_ok();
        let fault = |line: &Line| line.overlong || !(is_text || std::str::from_utf8(line.of(&lines.bytes)).is_ok());
        let mut rest = &lines.lines[..];
        while let Some(first) = rest.first() {
            self.until_stopped(window.room()).await?;
            if fault(first) {
                let bytes = lines.bytes.slice(first.begin..first.end);
                let payload = if first.overlong {
                    let most = self.shared.settings.line_size;
                    let message = format!("a line is longer than the {most} bytes of `line-size`");
                    Err((Payload::Bytes(bytes), Error::too_large(message)))
                } else {
                    self.payload(bytes)
                };
                let event = Event::new(()).with_attributes(attributes.clone());
                self.send_one(file, first.sent(), event, payload).await?;
                rest = &rest[1..];
                continue;
            }
            let good = rest.iter().take(CHUNK).take_while(|line| !fault(line));
            let (count, ticket) = window.begin(file, good.map(Line::sent));
            let events = (0..count).map(|number| {
                let line = rest[number];
                let bytes = lines.bytes.slice(line.begin..line.end);
                let event = Event::new(self.good_payload(bytes)).with_attributes(attributes.clone());
                event.with_receipt(ticket.after(number).receipt(window))
            });
            self.emitter.send_all(events).await?;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Sends an event with a payload, or fails it with what there is of one.
    async fn send_one(
        &self,
        file: usize,
        sent: Sent,
        event: Event,
        payload: Result<Payload, (Payload, Error)>,
    ) -> Result<()> {
        let window = &self.shared.window;
        self.until_stopped(window.room()).await?;
        let (_, ticket) = window.begin(file, [sent]);
        let event = event.with_receipt(ticket.receipt(window));
        match payload {
            Ok(payload) => self.emitter.send(event.with_payload(payload)).await,
            Err((payload, error)) => self.emitter.fail(event.with_payload(payload), error).await,
        }
    }

    async fn send_part(
        &mut self,
        file: usize,
        attributes: Attributes,
        part: Part,
        bytes: Bytes,
        end: Option<u64>,
    ) -> Result<()> {
        let window = self.shared.window.clone();
        if part.number == 0 {
            let permit = self.emitter.permit()?;
            self.whole = Some(OpenWhole { permit, id: EventId::unique(), attributes, sent: 0 });
        }
        self.until_stopped(window.room()).await?;
        let Some(whole) = &mut self.whole else { return Ok(()) };
        let (_, ticket) = window.begin(file, [Sent { end, size: bytes.len() }]);
        let payload = if part.end == PartEnd::Broken { Payload::Empty } else { Payload::Bytes(bytes) };
        let event = Event::with_id(whole.id, payload).with_attributes(whole.attributes.clone());
        whole.permit.send_from(0, part.mark(event).with_receipt(ticket.receipt(&window))).await?;
        whole.sent += 1;
        if part.end != PartEnd::More {
            self.whole = None;
        }
        Ok(())
    }

    /// Makes a payload of a line that was looked at.
    fn good_payload(&self, bytes: Bytes) -> Payload {
        if !self.shared.settings.text {
            return Payload::Bytes(bytes);
        }
        Payload::Text(Text::from_utf8(bytes).expect("a line that is no text was sorted out"))
    }

    fn payload(&self, bytes: Bytes) -> Result<Payload, (Payload, Error)> {
        if !self.shared.settings.text {
            return Ok(Payload::Bytes(bytes));
        }
        Text::from_utf8(bytes.clone()).map(Payload::Text).map_err(|error| (Payload::Bytes(bytes), error))
    }

    /// Waits for what need not be waited for when the flow stops.
    async fn until_stopped(&self, wait: impl Future<Output = Result<()>>) -> Result<()> {
        match self.stopping.run_until_cancelled(wait).await {
            Some(outcome) => outcome,
            None => Err(Error::cancelled("the flow is stopping")),
        }
    }
}

impl Line {
    fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.begin..self.end]
    }

    fn sent(&self) -> Sent {
        Sent { end: Some(self.until), size: self.end - self.begin }
    }
}
