//! A connection that speaks HTTP/1.1 or 1.0: one request after another, by hyper.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use playhouse_engine::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use super::access::Entry;
#[cfg(feature = "websocket")]
use super::clock::NEVER;
use super::connection::{Connection, Due, Socket, close, linger, refuse_by_hand, reset};
use super::exchange::Exchange;
use super::limits::HttpLimits;
use super::stream::Stream;
use super::watch::Phase;

/// How much of a body is read, or of an answer held back, at a time.
const BUFFER: usize = 64 * 1024;

/// What hyper allows at least.
const LEAST_BUFFER: usize = 8 * 1024;

/// Serves a connection until it ends.
pub(crate) async fn serve<T: Socket>(connection: &Arc<Connection>, stream: Stream<T>) {
    let (shared, lease) = (connection.clone(), connection.reception.pending.lend().map(Arc::new));
    let service = service_fn(move |request: Request<Incoming>| Exchange::new(shared.clone(), lease.clone(), request));
    let mut http = builder(&connection.reception.limits).serve_connection(TokioIo::new(stream), service);
    let (mut told, mut written, mut known) = (false, 0, None::<Waker>);
    let is_whole = poll_fn(|context| {
        // A task has one waker as long as it lives, so this happens once.
        if known.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            connection.watch.register(context.waker());
            known = Some(context.waker().clone());
        }
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut http).poll(context) {
                if let Err(error) = &outcome {
                    connection.watch.set_unread(true);
                    tracing::debug!(peer = %connection.peer, %error, "a connection failed");
                }
                return Poll::Ready(outcome.is_ok());
            }
            match connection.due() {
                Some(Due::Stopping) if !told => {
                    told = true;
                    Pin::new(&mut http).graceful_shutdown();
                }
                Some(Due::TimeIsUp) if !goes_on(connection, &mut written) => return Poll::Ready(false),
                // It has more time now, and may have been asked to stop as well.
                Some(Due::TimeIsUp) => {}
                _ => return Poll::Pending,
            }
        }
    })
    .await;
    // An answer that has not gone whole: its client must not take it for such. This is asked now, because what is left of the answer
    // goes with hyper, and then it looks as if it had ended.
    let watch = &connection.watch;
    let is_cut_off = watch.is_reset() || watch.phase() == Phase::Fed || !is_whole && watch.is_blocked();
    let parts = http.into_parts();
    let socket = parts.io.into_inner().into_inner();
    #[cfg(feature = "websocket")]
    if let Some(entrance) = connection.take_entrance().filter(|_| is_whole) {
        connection.watch.enter(Phase::Busy, NEVER);
        // Boxed, for most connections never become one.
        return Box::pin(entrance.serve(&connection.reception, socket, parts.read_buf)).await;
    }
    if is_cut_off {
        return reset(&socket);
    }
    end(connection, socket).await;
}

/// Ends a connection on which nothing is under way, with the answer that is still owed.
pub(crate) async fn end<T: AsyncRead + AsyncWrite + Unpin>(connection: &Arc<Connection>, mut socket: T) {
    let limits = &connection.reception.limits;
    let owed = match connection.watch.phase() {
        Phase::Head if connection.watch.is_due(connection.reception.clock.now()) => {
            let message = format!("the head of the request did not come whole within {:?}", limits.head_time);
            Some((StatusCode::REQUEST_TIMEOUT, Error::timeout(message)))
        }
        Phase::UriTooLong => {
            let message = format!("the URI is too long; expected at most {} bytes", limits.uri_size);
            Some((StatusCode::URI_TOO_LONG, Error::too_large(message)))
        }
        _ => None,
    };
    if let Some((status, error)) = &owed {
        if let Some(mut entry) = Entry::begin(connection) {
            entry.answered(*status, None);
        }
        // A client that does not take it has gone.
        let _ = refuse_by_hand(&mut socket, *status, error).await;
    }
    if owed.is_some() || connection.watch.has_unread() {
        linger(socket).await;
    } else {
        close(socket).await;
    }
}

/// Says whether a connection whose time is up may go on all the same, because its client is still taking the answer, and
/// fast enough.
fn goes_on(connection: &Connection, written: &mut u64) -> bool {
    let watch = &connection.watch;
    // Asked each time, so that it is asked about the same time in which it is to take so much.
    let takes_enough = connection.takes_enough(written);
    let goes_on = match watch.phase() {
        Phase::Idle => watch.is_blocked() && takes_enough,
        // Where nothing is held up, what the answer waits for is not the client.
        Phase::Fed => !watch.is_cut() && (takes_enough || !watch.is_blocked()),
        _ => false,
    };
    if goes_on {
        watch.extend(connection.reception.until_idle());
    }
    goes_on
}

fn builder(limits: &HttpLimits) -> Builder {
    let mut builder = Builder::new();
    // A client that has sent its request may close its side and still wait for the answer.
    builder.half_close(true);
    // The watch does the same without a timer for each request, and answers.
    builder.header_read_timeout(None);
    builder.max_header_size(limits.head_size);
    builder.max_buf_size(BUFFER.max(limits.head_size).max(LEAST_BUFFER));
    if limits.head_fields != HttpLimits::default().head_fields {
        // Only where it must be: any number but hyper's own default costs an allocation for each request.
        builder.max_headers(limits.head_fields);
    }
    builder
}
