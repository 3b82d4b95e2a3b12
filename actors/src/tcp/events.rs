//! A source's connection over which whole events come, each of which is acknowledged.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use playhouse_engine::{Envelope, EnvelopeLimits, Error, Event, Result, Settle};
use tokio::io::{AsyncReadExt, split};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::accept::Reception;
use super::acknowledgements::Acknowledgements;
use super::stream::{Reader, Stream, Writer, greet, linger, too_long_at_stop, write};
use super::wire::{Frame, Greeting, HEAD, Input, Output, Side};

/// After how many intervals without a sign of life a peer is lost.
pub(super) const SILENT: u32 = 3;

/// Why no more is read.
enum Over {
    /// The other side is gone.
    Gone,
    Stopping,
    /// It has sent what cannot be read.
    Broken(Error),
}

struct Connection<'a> {
    reception: &'a Reception,
    acknowledgements: Arc<Acknowledgements>,
    /// After what silence the other side is lost.
    lost: Duration,
    /// Cancelled when the other side takes nothing any more.
    gone: CancellationToken,
    /// Cancelled when nothing more is read.
    read: CancellationToken,
}

/// Returns how many bytes a frame may have.
pub(super) fn largest(limits: &EnvelopeLimits) -> usize {
    limits.head.saturating_add(limits.payload).saturating_add(HEAD)
}

pub(super) fn greeting(side: Side, heartbeat: Duration, largest: usize) -> Greeting {
    Greeting { side, heartbeat, largest: u32::try_from(largest).unwrap_or(u32::MAX) }
}

/// Takes the events of a connection until it ends.
///
/// # Errors
/// Where the other side is no sink, or sends what cannot be read.
pub(super) async fn serve(reception: &Reception, stream: Stream) -> Result<()> {
    let settings = &reception.settings;
    let (mut reader, mut writer) = split(stream);
    let mut input = Input::new(largest(&settings.envelope));
    let ours = greeting(Side::Source, settings.heartbeat, largest(&settings.envelope));
    let shaken = greet(&mut reader, &mut writer, &mut input.bytes, &ours, Side::Sink);
    let theirs = tokio::select! {
        () = reception.stopping.cancelled() => return Ok(()),
        shaken = timeout(settings.handshake_time, shaken) => match shaken {
            Ok(shaken) => shaken?,
            Err(_) => return Err(Error::timeout("the other side did not greet in time")),
        },
    };
    let connection = Connection {
        reception,
        acknowledgements: Arc::new(Acknowledgements::new(reception.stopping.clone())),
        lost: theirs.heartbeat.saturating_mul(SILENT),
        gone: CancellationToken::new(),
        read: CancellationToken::new(),
    };
    let reading = async {
        let over = connection.read(&mut reader, &mut input).await;
        if let Over::Gone = over {
            connection.gone.cancel();
        }
        connection.read.cancel();
        over
    };
    let (over, written) = tokio::join!(reading, connection.answer(&mut writer));
    let goodbye = match over {
        Over::Gone => return Ok(()),
        Over::Stopping => Error::unavailable("the source stops"),
        Over::Broken(error) => error,
    };
    if written {
        let mut output = BytesMut::new();
        output.goodbye(&goodbye);
        if write(&mut writer, &mut output, settings.time_out).await.is_ok() {
            linger(reader, writer).await;
        }
    }
    match reception.stopping.is_cancelled() {
        true => Ok(()),
        false => Err(goodbye),
    }
}

impl Connection<'_> {
    async fn read(&self, reader: &mut Reader, input: &mut Input) -> Over {
        loop {
            if let Err(over) = self.send_on(input).await {
                return over;
            }
            while self.acknowledgements.untold() >= self.reception.settings.window.max(1) as u64 {
                tokio::select! {
                    () = self.acknowledgements.room.notified() => {}
                    () = self.gone.cancelled() => return Over::Gone,
                    () = self.reception.stopping.cancelled() => return Over::Stopping,
                }
            }
            let came = tokio::select! {
                biased;
                () = self.reception.stopping.cancelled() => return Over::Stopping,
                () = self.gone.cancelled() => return Over::Gone,
                came = timeout(self.lost, reader.read_buf(input.room())) => came,
            };
            match came {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Over::Gone,
                Err(_) => {
                    tracing::warn!(actor = self.reception.name, "a sink gave no sign of life and is cut off");
                    return Over::Gone;
                }
            }
        }
    }

    /// Sends on what came whole. What the flow does not ask for, because it stops, is forgotten and never acknowledged.
    async fn send_on(&self, input: &mut Input) -> Result<(), Over> {
        let mut broken = None;
        let limits = &self.reception.settings.envelope;
        let events = iter::from_fn(|| {
            loop {
                let body = match input.next() {
                    Ok(Some(Frame::Event(body))) => body,
                    Ok(Some(Frame::Heartbeat)) => continue,
                    Ok(None) => return None,
                    Ok(Some(_)) => {
                        broken = Some(Error::malformed("expected events and heartbeats, found an answer"));
                        return None;
                    }
                    Err(error) => {
                        broken = Some(error);
                        return None;
                    }
                };
                let number = self.acknowledgements.number();
                match open(body, limits) {
                    Ok(event) => return Some(event.with_receipt(self.acknowledgements.receipt(number))),
                    // It alone is bad: whoever sent it is told, and may send others.
                    Err(error) => self.acknowledgements.settle(number, Err(error)),
                }
            }
        });
        if self.reception.emitter.send_all(events.fuse()).await.is_err() {
            return Err(Over::Stopping);
        }
        if let Some(error) = broken {
            return Err(Over::Broken(error));
        }
        if self.acknowledgements.has_news() {
            // What is acknowledged makes room at the other side, so it is told before more is read.
            yield_now().await;
        }
        Ok(())
    }

    /// Tells how events ended, and gives signs of life. Ends when nothing more is read and all of it is told, and says whether the
    /// other side took it.
    async fn answer(&self, writer: &mut Writer) -> bool {
        let settings = &self.reception.settings;
        let mut output = BytesMut::new();
        let mut heartbeat = Instant::now() + settings.heartbeat;
        loop {
            self.acknowledgements.tell(&mut output);
            if !output.is_empty() {
                let written = tokio::select! {
                    written = write(writer, &mut output, settings.time_out) => written.is_ok(),
                    () = self.gone.cancelled() => false,
                    () = too_long_at_stop(&self.reception.stopping, settings.time_out) => false,
                };
                if !written {
                    self.gone.cancel();
                    return false;
                }
                heartbeat = Instant::now() + settings.heartbeat;
                continue;
            }
            let is_read = self.read.is_cancelled();
            if is_read && (!self.reception.stopping.is_cancelled() || self.acknowledgements.open() == 0) {
                return true;
            }
            tokio::select! {
                () = self.acknowledgements.news.notified() => {}
                () = self.read.cancelled(), if !is_read => {}
                () = sleep_until(heartbeat) => output.heartbeat(),
            }
        }
    }
}

fn open(body: Bytes, limits: &EnvelopeLimits) -> Result<Event> {
    Envelope::from_bytes(body, limits)?.open(limits)
}
