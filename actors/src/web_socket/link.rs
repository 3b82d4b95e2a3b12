//! One connection of a WebSocket, on whichever side: messages come and go, silence is noticed, and it is closed as it should be.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Sink, StreamExt};
use playhouse_engine::{Payload, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::intake::Intake;
use super::limits::WebSocketLimits;
use super::message::payload_of;
use crate::http::{close, linger};

/// The attribute that names a connection.
pub(crate) const PARTY: &str = "websocket.connection";

/// With what words this side closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leave {
    pub(crate) code: CloseCode,
    pub(crate) reason: Utf8Bytes,
}

impl Leave {
    pub(crate) fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason: Utf8Bytes::from_static(reason) }
    }
}

/// What is to be sent.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A message, and who waits to be told whether it was written, or whether nobody knows. It is not sent where nobody waits any
    /// more, and who waits for one that was not begun is told nothing.
    Message(Message, Option<oneshot::Sender<bool>>),
    Leave(Leave),
}

/// One connection.
pub(crate) struct Link<T> {
    socket: WebSocketStream<T>,
    queue: mpsc::Receiver<Outgoing>,
    limits: WebSocketLimits,
    /// Who waits until what the socket has taken is written.
    unwritten: Vec<oneshot::Sender<bool>>,
    /// Whether the socket has taken what is not written.
    is_dirty: bool,
    /// Since when the other side takes nothing.
    blocked: Option<Instant>,
    /// When something came last.
    heard: Instant,
    /// Whether the other side was asked whether it is there, and has not said anything since.
    has_asked: bool,
}

/// What came of a look at the socket.
enum Step {
    Came(Payload),
    Over(Over),
}

/// Why a connection is over.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    /// This side wants it so.
    Leave(Leave),
    /// The other side does not keep to the protocol, or to the limits.
    Broken(Leave),
    /// The other side has closed, with this code.
    Closed(u16),
    /// The other side is gone.
    Gone,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Link<T> {
    pub(crate) fn new(socket: WebSocketStream<T>, queue: mpsc::Receiver<Outgoing>, limits: WebSocketLimits) -> Self {
        Self {
            socket,
            queue,
            limits,
            unwritten: Vec::new(),
            is_dirty: false,
            blocked: None,
            heard: Instant::now(),
            has_asked: false,
        }
    }

    /// Carries messages both ways until the connection is over, and returns the code with which it was closed: 1005 where
    /// none was said, 1006 where it broke off. What comes goes to `intake`, and nothing more is read while that waits.
    pub(crate) async fn run(mut self, intake: &Intake, leave: impl Future<Output = Leave> + Send) -> u16 {
        let mut leave = pin!(leave);
        let mut taking = pin!(None);
        let mut is_stopping = false;
        let mut ticks = interval(self.limits.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let over = loop {
            let reads = taking.is_none() && !is_stopping;
            tokio::select! {
                biased;
                // Before the leave: what answers the last messages is sent first.
                step = poll_fn(|context| self.poll(context, reads)) => match step {
                    Step::Came(payload) => taking.set(Some(intake.take(payload))),
                    Step::Over(over) => break over,
                },
                leave = &mut leave => break Over::Leave(leave),
                outcome = taken(taking.as_mut()), if !taking.is_none() => {
                    taking.set(None);
                    is_stopping |= outcome.is_err();
                    self.heard = Instant::now();
                }
                () = intake.stopping.cancelled(), if !is_stopping => is_stopping = true,
                now = ticks.tick() => if let Some(over) = self.check(now, reads) {
                    break over;
                },
            }
        };
        // What was read is not lost because the connection is.
        let rest = async {
            if taking.is_some() {
                let _ = taken(taking.as_mut()).await;
            }
        };
        tokio::join!(self.close(over), rest).0
    }

    fn poll(&mut self, context: &mut Context<'_>, reads: bool) -> Poll<Step> {
        loop {
            if let Err(over) = self.poll_write(context) {
                return Poll::Ready(Step::Over(over));
            }
            // Who does not take what is sent is not read either: answers would pile up.
            if self.blocked.is_some() || !reads {
                return Poll::Pending;
            }
            let over = match ready!(self.socket.poll_next_unpin(context)) {
                Some(Ok(Message::Close(frame))) => Over::Closed(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(message)) => {
                    self.heard = Instant::now();
                    self.has_asked = false;
                    // The library has its answer ready.
                    self.is_dirty |= message.is_ping();
                    match payload_of(message) {
                        Some(payload) => return Poll::Ready(Step::Came(payload)),
                        None => continue,
                    }
                }
                Some(Err(error)) => Over::of(&error),
                None => Over::Gone,
            };
            return Poll::Ready(Step::Over(over));
        }
    }

    /// Writes what waits, as far as the other side takes it.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), Over> {
        loop {
            match Pin::new(&mut self.socket).poll_ready(context) {
                Poll::Ready(outcome) => outcome.map_err(|error| Over::of(&error))?,
                Poll::Pending => {
                    self.blocked.get_or_insert_with(Instant::now);
                    return Ok(());
                }
            }
            match self.queue.poll_recv(context) {
                Poll::Ready(Some(Outgoing::Message(_, Some(written)))) if written.is_closed() => {}
                Poll::Ready(Some(Outgoing::Message(message, written))) => {
                    Pin::new(&mut self.socket).start_send(message).map_err(|error| Over::of(&error))?;
                    self.is_dirty = true;
                    self.unwritten.extend(written);
                }
                Poll::Ready(Some(Outgoing::Leave(leave))) => return Err(Over::Leave(leave)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if !self.is_dirty && self.blocked.is_none() {
            return Ok(());
        }
        match Pin::new(&mut self.socket).poll_flush(context) {
            Poll::Ready(outcome) => {
                outcome.map_err(|error| Over::of(&error))?;
                (self.is_dirty, self.blocked) = (false, None);
                self.settle(true);
            }
            Poll::Pending => {
                self.blocked.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    }

    /// Looks whether the other side is still there.
    fn check(&mut self, now: Instant, reads: bool) -> Option<Over> {
        if let Some(since) = self.blocked {
            let is_late = now.duration_since(since) >= self.limits.patience;
            return is_late.then(|| Over::Leave(Leave::new(CloseCode::Policy, "what is sent is not taken")));
        }
        if !reads {
            // Its answers are not looked at.
            self.heard = now;
            return None;
        }
        let silence = now.duration_since(self.heard);
        if self.has_asked {
            return (silence >= self.limits.heartbeat + self.limits.patience).then_some(Over::Gone);
        }
        if silence >= self.limits.heartbeat {
            self.has_asked = true;
            self.is_dirty = true;
            if let Err(error) = Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new())) {
                return Some(Over::of(&error));
            }
        }
        None
    }

    /// Tells those who wait whether what the socket has taken was written.
    fn settle(&mut self, is_written: bool) {
        for written in self.unwritten.drain(..) {
            // Who has given up waiting does not want to know.
            let _ = written.send(is_written);
        }
    }

    async fn close(mut self, over: Over) -> u16 {
        let is_broken = matches!(over, Over::Broken(_));
        let (said, code) = match over {
            Over::Leave(leave) | Over::Broken(leave) => {
                let code = leave.code.into();
                (Some(leave), code)
            }
            Over::Closed(code) => (None, code),
            Over::Gone => {
                self.settle(false);
                return 1006;
            }
        };
        let closed = async {
            if let Some(Leave { code, reason }) = said {
                self.socket.close(Some(CloseFrame { code, reason })).await?;
            }
            // What comes now is not read any more, but for the other side's word that it closes too.
            while let Some(message) = self.socket.next().await {
                message?;
            }
            Ok::<_, SocketError>(())
        };
        let is_agreed = matches!(timeout(self.limits.close_time, closed).await, Ok(Ok(())));
        self.settle(is_agreed);
        let socket = self.socket.into_inner();
        // Who does not keep to the protocol may still be sending.
        if is_broken {
            linger(socket).await;
        } else {
            close(socket).await;
        }
        code
    }
}

/// Waits for what is under way.
async fn taken<F: Future>(mut taking: Pin<&mut Option<F>>) -> F::Output {
    poll_fn(|context| match taking.as_mut().as_pin_mut() {
        Some(future) => future.poll(context),
        None => Poll::Pending,
    })
    .await
}

impl Over {
    fn of(error: &SocketError) -> Self {
        match error {
            SocketError::Capacity(_) => Self::Broken(Leave::new(CloseCode::Size, "the message is too large")),
            SocketError::Utf8(_) => Self::Broken(Leave::new(CloseCode::Invalid, "the text is not UTF-8")),
            SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            SocketError::Protocol(_) => Self::Broken(Leave::new(CloseCode::Protocol, "the protocol is not kept")),
            _ => Self::Gone,
        }
    }
}

impl<T> fmt::Debug for Link<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").field("limits", &self.limits).finish_non_exhaustive()
    }
}
