//! A source's connection over which payloads come, and answers go back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use playhouse_engine::{Attributes, Error, Event, Held, Payload, Permit, Receipt, Result};
use tokio::io::{AsyncReadExt, split};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::accept::Reception;
use super::framing::{Cutter, Piece};
use super::outgoing::{Outgoing, fail};
use super::stream::{Reader, Stream, Writer, linger, too_long_at_stop, write};
use super::wire::Input;

/// The attributes of what came.
pub(super) const PEER: &str = "tcp.peer";
pub(super) const CONNECTION: &str = "tcp.connection";

struct Connection<'a> {
    reception: &'a Reception,
    number: i64,
    attributes: Attributes,
    outgoing: Arc<Outgoing>,
    open: Arc<Open>,
    /// Cancelled when the other side takes nothing any more.
    gone: CancellationToken,
    /// Cancelled when nothing more is read.
    read: CancellationToken,
}

/// How much of what came has not ended.
#[derive(Default)]
struct Open {
    count: AtomicUsize,
    none: Notify,
}

impl Open {
    /// Makes the receipt of what came together.
    fn receipt(self: &Arc<Self>) -> Receipt {
        self.count.fetch_add(1, Ordering::Relaxed);
        let open = self.clone();
        Receipt::new(move |_| {
            if open.count.fetch_sub(1, Ordering::AcqRel) == 1 {
                open.none.notify_one();
            }
        })
    }

    fn is_none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }
}

/// Takes what comes over a connection until it ends, and gives answers back until all that came has ended.
///
/// # Errors
/// Where something came that cannot be read.
pub(super) async fn serve(reception: &Reception, stream: Stream, peer: SocketAddr) -> Result<()> {
    let (mut reader, mut writer) = split(stream);
    let outgoing = Arc::new(Outgoing::default());
    let number = reception.connections.add(outgoing.clone());
    let mut attributes = Attributes::default();
    attributes.set(PEER, peer.to_string());
    attributes.set(CONNECTION, number);
    let connection = Connection {
        reception,
        number,
        attributes,
        outgoing,
        open: Arc::default(),
        gone: CancellationToken::new(),
        read: CancellationToken::new(),
    };
    let reading = async {
        let outcome = connection.read(&mut reader).await;
        connection.read.cancel();
        outcome
    };
    let (outcome, written) = tokio::join!(reading, connection.answer(&mut writer));
    reception.connections.remove(number);
    fail(connection.outgoing.close(), number).await;
    if written {
        linger(reader, writer).await;
    }
    outcome
}

impl Connection<'_> {
    fn event(&self, payload: impl Into<Payload>, receipt: &Receipt) -> Event {
        Event::new(payload).with_attributes(self.attributes.clone()).with_receipt(receipt.clone())
    }

    async fn read(&self, reader: &mut Reader) -> Result<()> {
        let settings = &self.reception.settings;
        let mut cutter = Cutter::new(settings.framing, settings.longest(), settings.invalid_text);
        let mut input = Input::new(0);
        loop {
            let came = tokio::select! {
                biased;
                () = self.reception.stopping.cancelled() => return Ok(()),
                () = self.gone.cancelled() => return Ok(()),
                came = timeout(settings.idle_time, reader.read_buf(input.room())) => came,
            };
            // What was read enters the flow even where it begins to stop meanwhile, for nobody will send it again.
            let Ok(permit) = self.reception.emitter.permit() else { return Ok(()) };
            match came {
                Ok(Ok(1..)) => self.send_on(&permit, || cutter.next(&mut input.bytes)).await?,
                Ok(Ok(0)) => return self.send_on(&permit, || cutter.rest(&mut input.bytes)).await,
                // The last line may be half a line here, and nobody would know.
                Ok(Err(_)) => {
                    self.gone.cancel();
                    return Ok(());
                }
                // Somebody who waits for an answer is not idle.
                Err(_) if !self.open.is_none() => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// Sends on what came whole. What cannot be read fails along the error route.
    async fn send_on(&self, permit: &Permit, mut next: impl FnMut() -> Result<Option<Piece>> + Send) -> Result<()> {
        let receipt = self.open.receipt();
        loop {
            match next() {
                Ok(None) => return Ok(()),
                Ok(Some(Piece::Payload(payload))) => permit.send_from(0, self.event(payload, &receipt)).await?,
                Ok(Some(Piece::Refused(bytes, error))) => self.refuse(&self.event(bytes, &receipt), error).await,
                Err(error) => {
                    self.refuse(&self.event((), &receipt), error.clone()).await;
                    return Err(error);
                }
            }
        }
    }

    async fn refuse(&self, event: &Event, error: Error) {
        self.reception.refused.add_one();
        self.reception.emitter.hold(event).fail(error).await;
    }

    /// Writes answers. Ends when nothing more is read and all that came has ended, and says whether the other side took it all.
    async fn answer(&self, writer: &mut Writer) -> bool {
        let settings = &self.reception.settings;
        let mut deadline = None;
        loop {
            let (held, mut bytes) = self.outgoing.take();
            if !held.is_empty() {
                if self.write(writer, &mut bytes).await {
                    held.into_iter().for_each(Held::done);
                    continue;
                }
                self.gone.cancel();
                fail(held, self.number).await;
                return false;
            }
            let is_read = self.read.is_cancelled();
            if self.gone.is_cancelled() {
                return false;
            }
            if is_read {
                if self.open.is_none() {
                    return true;
                }
                deadline.get_or_insert_with(|| Instant::now() + settings.time_out);
            }
            tokio::select! {
                () = self.outgoing.news.notified() => {}
                () = self.open.none.notified() => {}
                () = self.gone.cancelled() => {}
                () = self.read.cancelled(), if !is_read => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => return true,
            }
        }
    }

    async fn write(&self, writer: &mut Writer, bytes: &mut BytesMut) -> bool {
        tokio::select! {
            written = write(writer, bytes, self.reception.settings.time_out) => written.is_ok(),
            () = self.gone.cancelled() => false,
            () = too_long_at_stop(&self.reception.stopping, self.reception.settings.time_out) => false,
        }
    }
}
