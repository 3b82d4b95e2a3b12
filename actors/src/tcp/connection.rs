//! The task of a sink: it keeps a connection while there is something to send, and sends.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use playhouse_engine::{Context, Error, Held, Result, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::dial::{Address, Dial};
use super::events::{SILENT, greeting};
use super::framing::Framing;
use super::sink::TcpSinkSettings;
use super::stream::{Reader, Stream, Writer, greet, write};
use super::window::Window;
use super::wire::{ANSWER, Frame, Input, Output, Side, runs};

/// A sink's way to the other side.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) settings: TcpSinkSettings,
    pub(super) addresses: Vec<Address>,
    pub(super) dial: Dial,
    pub(super) window: Window,
    pub(super) context: Context,
}

/// How a connection ended.
struct Lost {
    why: Error,
    /// Whether it was of any use: what was sent over it was taken.
    was_useful: bool,
}

impl Link {
    /// Runs the task, until the flow stops and nothing is held.
    pub(super) fn tend(self: &Arc<Self>) {
        let link = self.clone();
        self.context.spawn("connection", move || link.clone().run());
    }

    async fn run(self: Arc<Self>) -> Result<()> {
        loop {
            // What was sent by a task that died is sent again.
            self.window.disconnect(None);
            let over = CancellationToken::new();
            let watching = async {
                self.context.stopping().cancelled().await;
                while !self.window.is_empty() {
                    self.window.emptied.notified().await;
                }
                over.cancel();
            };
            tokio::join!(watching, self.stay_connected(&over), self.expire(&over), self.fail(&over));
            if self.window.leave() {
                return Ok(());
            }
        }
    }

    /// Sends events along the error route. It is not given up in the middle of one.
    async fn fail(&self, over: &CancellationToken) {
        while !over.is_cancelled() {
            self.window.fail().await;
            over.run_until_cancelled(self.window.failures.notified()).await;
        }
    }

    async fn expire(&self, over: &CancellationToken) {
        while !over.is_cancelled() {
            let next = self.window.expire();
            tokio::select! {
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                () = self.window.sooner.notified() => {}
                () = over.cancelled() => {}
            }
        }
    }

    /// Connects as long as something waits to be sent, to one address after the other.
    async fn stay_connected(&self, over: &CancellationToken) {
        let settings = &self.settings;
        let retry =
            Retry { attempts: usize::MAX, first_wait: settings.first_wait, longest_wait: settings.longest_wait };
        let mut waits = retry.waits();
        let mut failures = 0;
        while !over.is_cancelled() {
            if !self.window.has_waiting() {
                over.run_until_cancelled(self.window.work.notified()).await;
                continue;
            }
            let address = &self.addresses[failures % self.addresses.len()];
            let Some(reached) = over.run_until_cancelled(self.reach(address)).await else { return };
            let lost = match reached {
                Ok((reader, writer, input, lost)) => {
                    let lost = self.send(reader, writer, input, lost, over).await;
                    if over.is_cancelled() {
                        return;
                    }
                    lost
                }
                Err(why) => Lost { why, was_useful: false },
            };
            if lost.was_useful || failures == 0 {
                let (name, peer) = (self.context.name(), address.as_str());
                tracing::warn!(actor = name, peer, error = %lost.why, "no connection: it is tried again while events wait");
            }
            self.window.disconnect(Some(lost.why));
            if lost.was_useful {
                (failures, waits) = (0, retry.waits());
                continue;
            }
            failures += 1;
            if failures.is_multiple_of(self.addresses.len()) {
                let wait = waits.next().unwrap_or(settings.longest_wait);
                over.run_until_cancelled(sleep(wait)).await;
            }
        }
    }

    /// Connects and greets. Returns also the silence after which the other side is lost, where there is one.
    async fn reach(&self, address: &Address) -> Result<(Reader, Writer, Input, Option<Duration>)> {
        let stream: Stream = self.dial.connect(address).await?;
        let (mut reader, mut writer) = split(stream);
        let mut input = Input::new(ANSWER);
        let settings = &self.settings;
        if settings.framing != Framing::Events {
            self.window.connect(settings.largest_payload);
            return Ok((reader, writer, input, None));
        }
        let ours = greeting(Side::Sink, settings.heartbeat, ANSWER);
        let greeted = greet(&mut reader, &mut writer, &mut input.bytes, &ours, Side::Source);
        let theirs = match timeout(settings.handshake_time, greeted).await {
            Ok(greeted) => greeted.map_err(|error| {
                Error::new(error.kind(), format!("`{}` is no source of events", address.as_str())).caused_by(error)
            })?,
            Err(_) => {
                let message = format!("`{}` did not greet in {:?}", address.as_str(), settings.handshake_time);
                return Err(Error::unavailable(message));
            }
        };
        self.window.connect(usize::try_from(theirs.largest).unwrap_or(usize::MAX));
        Ok((reader, writer, input, Some(theirs.heartbeat.saturating_mul(SILENT))))
    }

    /// Sends what is there and what comes, until the connection ends, or all is sent and the flow stops.
    async fn send(
        &self,
        mut reader: Reader,
        mut writer: Writer,
        mut input: Input,
        silence: Option<Duration>,
        over: &CancellationToken,
    ) -> Lost {
        let mut was_useful = false;
        let why = match silence {
            Some(silence) => tokio::select! {
                why = self.hear(&mut reader, &mut input, silence, &mut was_useful) => why,
                why = self.say(&mut writer) => why,
                () = over.cancelled() => closing(),
            },
            None => tokio::select! {
                why = ended(&mut reader, &mut input) => why,
                why = self.say_plainly(&mut writer, &mut was_useful) => why,
                () = over.cancelled() => closing(),
            },
        };
        if over.is_cancelled() {
            // It is over either way.
            let _ = timeout(self.settings.time_out, writer.shutdown()).await;
        }
        Lost { why, was_useful }
    }

    async fn say(&self, writer: &mut Writer) -> Error {
        let mut output = BytesMut::new();
        let mut heartbeat = Instant::now() + self.settings.heartbeat;
        loop {
            self.window.take(&mut output);
            if output.is_empty() {
                tokio::select! {
                    biased;
                    () = self.window.work.notified() => continue,
                    () = sleep_until(heartbeat) => output.heartbeat(),
                }
            }
            // However long it takes: a source that has no room for more still gives signs of life.
            if let Err(error) = writer.write_all_buf(&mut output).await {
                return broken(error);
            }
            if let Err(error) = writer.flush().await {
                return broken(error);
            }
            output.clear();
            heartbeat = Instant::now() + self.settings.heartbeat;
        }
    }

    async fn hear(&self, reader: &mut Reader, input: &mut Input, silence: Duration, was_useful: &mut bool) -> Error {
        let mut ended = Vec::new();
        loop {
            loop {
                let heard = match input.next() {
                    Ok(None) => break,
                    Ok(Some(Frame::Delivered(body))) => {
                        runs(body).try_for_each(|(first, count)| self.window.delivered(first, count.into(), &mut ended))
                    }
                    Ok(Some(Frame::Failed(number, error))) => self.window.failed(number, error),
                    Ok(Some(Frame::Heartbeat)) => continue,
                    Ok(Some(Frame::Goodbye(error))) => Err(error),
                    Ok(Some(Frame::Event(_))) => Err(Error::malformed("expected answers, found an event")),
                    Err(error) => Err(error),
                };
                *was_useful |= heard.is_ok();
                self.end(&mut ended);
                if let Err(error) = heard {
                    return Error::unavailable("the connection to the source ended").caused_by(error);
                }
            }
            match timeout(silence, reader.read_buf(input.room())).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) => return Error::unavailable("the source closed the connection"),
                Ok(Err(error)) => return broken(error),
                Err(_) => return Error::unavailable(format!("the source gave no sign of life for {silence:?}")),
            }
        }
    }

    async fn say_plainly(&self, writer: &mut Writer, was_useful: &mut bool) -> Error {
        let (mut output, mut ended, mut first) = (BytesMut::new(), Vec::new(), 0);
        loop {
            let next = self.window.take(&mut output);
            if output.is_empty() {
                self.window.work.notified().await;
                continue;
            }
            if let Err(error) = write(writer, &mut output, self.settings.time_out).await {
                return broken(error);
            }
            *was_useful = true;
            // They were sent just now.
            if let Err(error) = self.window.delivered(first, next - first, &mut ended) {
                return error;
            }
            first = next;
            self.end(&mut ended);
        }
    }

    fn end(&self, ended: &mut Vec<Held>) {
        if !ended.is_empty() {
            Held::all_done(ended.drain(..));
            self.window.made_room();
        }
    }
}

/// Waits until the other side ends the connection; what it says means nothing.
async fn ended(reader: &mut Reader, input: &mut Input) -> Error {
    loop {
        input.bytes.clear();
        match reader.read_buf(input.room()).await {
            Ok(1..) => {}
            Ok(0) => return Error::unavailable("the other side closed the connection"),
            Err(error) => return broken(error),
        }
    }
}

fn broken(error: std::io::Error) -> Error {
    Error::unavailable("the connection broke").caused_by(error)
}

fn closing() -> Error {
    Error::cancelled("the flow stops")
}
