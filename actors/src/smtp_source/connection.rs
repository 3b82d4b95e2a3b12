//! One connection: what goes between a session and its socket, each wait with a deadline.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use playhouse_engine::{Emitter, Error, Permit, Receipt, Result, Text};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::mail;
use super::reply::{self, Reply};
use super::session::{Mail, Rules, Session, Step};
use super::users::Users;
#[cfg(feature = "tls")]
use crate::tls::Acceptor;

/// How long a client has, when it was refused, to stop sending and read why.
const LINGER: Duration = Duration::from_secs(2);

/// How long it has where the flow stops.
const LINGER_AT_STOP: Duration = Duration::from_millis(100);

/// How much is read at a time.
const READ: usize = 16 * 1024;

/// What all connections of a source share.
pub(crate) struct Reception {
    pub(crate) rules: Arc<Rules>,
    pub(crate) emitter: Emitter,
    pub(crate) stopping: CancellationToken,
    pub(crate) users: Users,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Acceptor>,
}

/// Why a conversation came to an end.
enum End {
    /// It goes on over TLS.
    StartTls,
    Closed,
}

/// When what is being waited for must have come.
struct Patience {
    until: Instant,
    /// When the rate is looked at next, and how much had come the last time.
    measured: Instant,
    came: u64,
    measured_came: u64,
    stopped: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(reception: Arc<Reception>, socket: TcpStream, peer: IpAddr) {
    let mut session = Session::new(reception.rules.clone());
    let mut talk = Talk { reception: &reception, session: &mut session, peer };
    let mut socket = socket;
    match talk.converse(&mut socket).await {
        Ok(End::StartTls) => {
            #[cfg(feature = "tls")]
            talk.secure(socket).await;
        }
        Ok(End::Closed) => linger(socket, &reception.stopping).await,
        Err(error) => tracing::debug!(%peer, %error, "a connection broke off"),
    }
}

struct Talk<'a> {
    reception: &'a Reception,
    session: &'a mut Session,
    peer: IpAddr,
}

impl Talk<'_> {
    /// Goes on over TLS.
    #[cfg(feature = "tls")]
    async fn secure(&mut self, socket: TcpStream) {
        let Some(tls) = &self.reception.tls else { return };
        let handshake = timeout(self.reception.rules.settings.handshake_time, tls.accept(socket));
        let mut socket = match self.reception.stopping.run_until_cancelled(handshake).await {
            Some(Ok(Ok(socket))) => socket,
            Some(Ok(Err(error))) => return tracing::debug!(peer = %self.peer, %error, "a TLS handshake failed"),
            Some(Err(_)) => return tracing::debug!(peer = %self.peer, "a TLS handshake took too long"),
            None => return,
        };
        self.session.secured();
        match self.converse(&mut socket).await {
            Ok(_) => linger(socket, &self.reception.stopping).await,
            Err(error) => tracing::debug!(peer = %self.peer, %error, "a connection broke off"),
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, socket: &mut S) -> io::Result<End> {
        let mut permit = None;
        let mut patience = self.patience();
        loop {
            match self.session.step() {
                Step::More => {
                    if !self.session.output.is_empty() {
                        self.send(socket).await?;
                        patience = self.patience();
                    }
                    if !self.read(socket, &mut patience).await? {
                        return Ok(End::Closed);
                    }
                }
                Step::StartTls => {
                    self.send(socket).await?;
                    return Ok(End::StartTls);
                }
                Step::Check { user, password } => {
                    let outcome = self.reception.users.check(&user, &password);
                    let limit = self.reception.rules.settings.command_time;
                    let late = |_| Err(Error::timeout("the password was not checked in time"));
                    let outcome: Result<Text> = timeout(limit, outcome).await.unwrap_or_else(late);
                    self.session.checked(outcome);
                }
                Step::Begin => {
                    let (given, refusal) = match self.reception.emitter.permit() {
                        Ok(given) => (Some(given), None),
                        Err(_) => (None, Some(reply::STOPPING)),
                    };
                    permit = given;
                    self.session.begin(refusal);
                }
                Step::Mail(mail) => {
                    let reply = match permit.take() {
                        Some(permit) => self.hand_over(mail, permit).await,
                        None => reply::STOPPING,
                    };
                    self.session.taken(&reply);
                }
                Step::Close => {
                    self.send(socket).await?;
                    return Ok(End::Closed);
                }
            }
            if !self.session.in_data() {
                permit = None;
            }
        }
    }

    fn patience(&self) -> Patience {
        let settings = &self.reception.rules.settings;
        let now = Instant::now();
        let time = if self.session.in_data() { settings.data_time } else { settings.command_time };
        Patience { until: now + time, measured: now + settings.rate_window, came: 0, measured_came: 0, stopped: false }
    }

    /// Reads more, or says the last word; tells whether the client is still there.
    async fn read<S: AsyncRead + Unpin>(&mut self, socket: &mut S, patience: &mut Patience) -> io::Result<bool> {
        let settings = &self.reception.rules.settings;
        let stopping = &self.reception.stopping;
        if stopping.is_cancelled() && !patience.stopped {
            patience.stopped = true;
            if !self.session.in_data() {
                self.session.close(&reply::STOPPING);
                return Ok(true);
            }
            patience.until = patience.until.min(Instant::now() + settings.stop_time);
        }
        let in_data = self.session.in_data();
        let due = if in_data { patience.until.min(patience.measured) } else { patience.until };
        self.session.input.reserve(READ);
        tokio::select! {
            read = timeout_at(due, socket.read_buf(&mut self.session.input)) => match read {
                Ok(Ok(0)) => return Ok(false),
                Ok(Ok(count)) => patience.came += count as u64,
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let now = Instant::now();
                    let least = (u128::from(settings.slowest_rate) * settings.rate_window.as_millis()) / 1000;
                    let came = u128::from(patience.came - patience.measured_came);
                    if now >= patience.until || came < least {
                        let last = if patience.stopped { reply::STOPPING } else { reply::TOO_SLOW };
                        self.session.close(&last);
                    }
                    patience.measured = now + settings.rate_window;
                    patience.measured_came = patience.came;
                }
            },
            () = stopping.cancelled(), if !patience.stopped => {}
        }
        Ok(true)
    }

    async fn send<S: AsyncWrite + Unpin>(&mut self, socket: &mut S) -> io::Result<()> {
        let output = std::mem::take(&mut self.session.output);
        let settings = &self.reception.rules.settings;
        let sent = async {
            socket.write_all(&output).await?;
            socket.flush().await
        };
        let given_up = async {
            self.reception.stopping.cancelled().await;
            sleep(settings.stop_time).await;
        };
        tokio::select! {
            sent = timeout(settings.command_time, sent) => sent?,
            () = given_up => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Gives a mail to the flow, and waits for what becomes of it.
    async fn hand_over(&self, mail: Mail, permit: Permit) -> Reply {
        let settings = &self.reception.rules.settings;
        let until = Instant::now() + settings.deadline;
        let envelope = mail::Envelope {
            from: mail.from,
            to: mail.to,
            helo: mail.helo,
            user: mail.user,
            tls: mail.tls,
            peer: self.peer,
        };
        let (event, share) = match timeout_at(until, mail::event(envelope, mail.bytes, mail.share, settings)).await {
            Ok(Ok(event)) => event,
            Ok(Err(error)) => {
                tracing::debug!(peer = %self.peer, %error, "a mail was refused");
                return Reply::of(&error);
            }
            Err(_) => return reply::LATE,
        };
        let (sender, settled) = oneshot::channel();
        // The client may be told that it is late while the mail is still in the flow, where it takes its room until the end.
        let receipt = Receipt::new(move |outcome| {
            drop(share);
            // Who was told that it is late does not wait any more.
            let _ = sender.send(outcome);
        });
        if permit.offer_from(0, event.with_deadline(until).with_receipt(receipt)).is_err() {
            return reply::NO_ROOM;
        }
        // The event itself is in flight from here on.
        drop(permit);
        match timeout_at(until, settled).await {
            Ok(Ok(Ok(()))) => reply::TAKEN,
            Ok(Ok(Err(error))) => Reply::of(&error),
            Ok(Err(_)) => Reply::of(&Error::cancelled("the receipt was lost")),
            Err(_) => reply::LATE,
        }
    }
}

/// Closes a connection whose client may still be sending: it is told that nothing more comes, and what it sends is thrown
/// away for a while, because a reset could take from it the answer that says why.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, stopping: &CancellationToken) {
    let thrown_away = async {
        socket.shutdown().await?;
        let mut space = vec![0; READ];
        while socket.read(&mut space).await? > 0 {}
        io::Result::Ok(())
    };
    let at_stop = async {
        stopping.cancelled().await;
        sleep(LINGER_AT_STOP).await;
    };
    // Whatever happens, the connection is over.
    tokio::select! {
        _ = timeout(LINGER, thrown_away) => {}
        () = at_stop => {}
    }
}
