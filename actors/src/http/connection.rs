//! One connection: which version of HTTP it speaks, and what all its parts share.

#[cfg(feature = "tls")]
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
#[cfg(feature = "websocket")]
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use playhouse_engine::Error;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::clock::{NEVER, ticks};
use super::error_body::error_body;
#[cfg(feature = "websocket")]
use super::handshake::Entrance;
use super::media::ErrorForm;
use super::reception::Reception;
use super::reply::retry_after;
use super::stream::Stream;
use super::watch::{Phase, Watch};
use super::{http1, http2};

/// How long a client has, when it was refused, to stop sending and read why.
const LINGER: Duration = Duration::from_secs(2);

/// The names of the versions of HTTP within TLS.
#[cfg(feature = "tls")]
pub(crate) const HTTP2: &[u8] = b"h2";
#[cfg(feature = "tls")]
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// What the parts of one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) reception: Arc<Reception>,
    pub(crate) peer: SocketAddr,
    pub(crate) watch: Watch,
    /// What the connection becomes when the answer that is on its way has gone.
    #[cfg(feature = "websocket")]
    entrance: Mutex<Option<Entrance>>,
}

/// Why the wait for something on a connection ended.
pub(crate) enum Due {
    /// Its time was up.
    TimeIsUp,
    Stopping,
}

impl Connection {
    pub(crate) fn new(reception: Arc<Reception>, peer: SocketAddr) -> Self {
        let watch = Watch::new(NEVER);
        Self {
            reception,
            peer,
            watch,
            #[cfg(feature = "websocket")]
            entrance: Mutex::default(),
        }
    }

    /// Makes it something else when the answer that is on its way has gone.
    #[cfg(feature = "websocket")]
    pub(crate) fn enter(&self, entrance: Entrance) {
        *self.entrance.lock().unwrap_or_else(PoisonError::into_inner) = Some(entrance);
    }

    #[cfg(feature = "websocket")]
    pub(crate) fn take_entrance(&self) -> Option<Entrance> {
        self.entrance.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Says whether the connection is to end by itself. It is woken when that changes.
    pub(crate) fn due(&self) -> Option<Due> {
        if self.watch.is_cut() || self.watch.is_due(self.reception.clock.now()) {
            return Some(Due::TimeIsUp);
        }
        self.reception.is_stopping().then_some(Due::Stopping)
    }

    /// Says whether the client has taken enough of its answers since `written`, which is set to what it has taken now.
    pub(crate) fn takes_enough(&self, written: &mut u64) -> bool {
        let now = self.watch.written();
        let taken = now - std::mem::replace(written, now);
        if self.watch.is_cut() {
            return false;
        }
        if self.watch.is_excused() {
            // Heartbeats are all that it may have to say.
            return taken > 0 || !self.watch.is_blocked();
        }
        taken >= self.reception.least_in(ticks(self.reception.limits.idle_time)).max(1)
    }
}

/// One request of an HTTP/2 connection that has not been answered whole.
#[derive(Debug)]
pub(crate) struct Open(Arc<Connection>);

impl Open {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        connection.watch.open_more();
        Self(connection)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.watch.open_less() {
            self.0.watch.enter(Phase::Idle, self.0.reception.until_idle());
        }
    }
}

/// Something that moves on a connection at its own pace and watches its time itself: while there is such, an HTTP/2 connection is
/// not ended for being quiet.
#[derive(Debug)]
pub(crate) struct Excuse(Arc<Connection>);

impl Excuse {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        connection.watch.excuse();
        Self(connection)
    }
}

impl Drop for Excuse {
    fn drop(&mut self) {
        self.0.watch.excuse_no_more();
    }
}

/// What a connection runs over.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Returns the socket under it.
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

#[cfg(feature = "tls")]
impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(connection: Arc<Connection>, socket: TcpStream) {
    let _counted = Counted::new(&connection.reception);
    #[cfg(feature = "tls")]
    if let Some(tls) = &connection.reception.tls {
        // Boxed, for a connection without TLS should not have the room of one with it.
        let handshake = Box::pin(timeout(connection.reception.limits.handshake_time, tls.accept(socket)));
        match unless_stopping(&connection, handshake).await {
            Some(Ok(Ok(socket))) => {
                let is_http2 = socket.get_ref().1.alpn_protocol() == Some(HTTP2);
                connection.watch.extend(connection.reception.until_head());
                let stream = Stream::new(socket, connection.clone());
                Box::pin(speak(&connection, stream, is_http2)).await;
            }
            Some(Ok(Err(error))) => tracing::debug!(peer = %connection.peer, %error, "a TLS handshake failed"),
            Some(Err(_)) => tracing::debug!(peer = %connection.peer, "a TLS handshake took too long"),
            None => {}
        }
        return;
    }
    connection.watch.extend(connection.reception.until_head());
    let mut stream = Stream::new(socket, connection.clone());
    match tell_version(&connection, &mut stream).await {
        Some(is_http2) => speak(&connection, stream, is_http2).await,
        None => http1::end(&connection, stream.into_inner()).await,
    }
}

/// Waits for `future` until the flow stops.
#[cfg(feature = "tls")]
async fn unless_stopping<F: Future + Unpin>(connection: &Connection, mut future: F) -> Option<F::Output> {
    poll_fn(|context| {
        connection.watch.register(context.waker());
        match Pin::new(&mut future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if connection.reception.is_stopping() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Tells by its first bytes which version of HTTP a client speaks; nothing where it does not say in time.
async fn tell_version(connection: &Connection, stream: &mut Stream<TcpStream>) -> Option<bool> {
    poll_fn(|context| {
        connection.watch.register(context.waker());
        match stream.poll_is_http2(context) {
            Poll::Ready(told) => Poll::Ready(told.ok()),
            Poll::Pending => match connection.due() {
                Some(Due::Stopping) if connection.watch.phase() != Phase::Fresh => Poll::Pending,
                Some(_) => Poll::Ready(None),
                None => Poll::Pending,
            },
        }
    })
    .await
}

async fn speak<T: Socket>(connection: &Arc<Connection>, stream: Stream<T>, is_http2: bool) {
    if is_http2 {
        // Boxed, for most connections speak the other one and are many.
        Box::pin(http2::serve(connection, stream)).await;
    } else {
        http1::serve(connection, stream).await;
    }
}

/// Refuses a connection that is one too many.
pub(crate) async fn refuse(mut socket: TcpStream, limit: usize) {
    let error = Error::overloaded(format!("{limit} connections are open already"));
    let _ = refuse_by_hand(&mut socket, StatusCode::SERVICE_UNAVAILABLE, &error).await;
    linger(socket).await;
}

/// Writes an answer where hyper cannot, because it has not read a request.
pub(crate) async fn refuse_by_hand<T>(socket: &mut T, status: StatusCode, error: &Error) -> io::Result<()>
where
    T: AsyncWrite + Unpin,
{
    let body = error_body(error, ErrorForm::Json, None);
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\ndate: {}\r\n",
        body.len(),
        httpdate::fmt_http_date(std::time::SystemTime::now()),
    )
    .into_bytes();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.extend_from_slice(b"retry-after: ");
        answer.extend_from_slice(retry_after(error).as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    timeout(LINGER, socket.write_all(&answer)).await?
}

/// Closes a connection on which nothing is left to come, and says so where TLS wants it said.
pub(crate) async fn close<T: AsyncWrite + Unpin>(mut socket: T) {
    // Whatever happens, the connection is over.
    let _ = timeout(LINGER, socket.shutdown()).await;
}

/// Closes a connection whose client must not take what it has for the whole answer.
pub(crate) fn reset<T: Socket>(socket: &T) {
    // Where it cannot be set, the connection has ended already.
    let _ = SockRef::from(socket.tcp()).set_linger(Some(Duration::ZERO));
}

/// Closes a connection whose client may still be sending: it is told that nothing more comes, and what it sends is thrown
/// away for a while, because a reset could take from it the answer that says why.
pub(crate) async fn linger<T: AsyncRead + AsyncWrite + Unpin>(mut socket: T) {
    let thrown_away = async {
        socket.shutdown().await?;
        let mut space = vec![0; 16 * 1024];
        while socket.read(&mut space).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever happens, the connection is over.
    let _ = timeout(LINGER, thrown_away).await;
}

/// Counts a connection while it is open.
struct Counted<'a>(&'a Reception);

impl<'a> Counted<'a> {
    fn new(reception: &'a Reception) -> Self {
        reception.counters.open.fetch_add(1, Ordering::Relaxed);
        Self(reception)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}
