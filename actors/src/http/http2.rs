//! A connection that speaks HTTP/2: many requests at a time, by hyper, each in a task that the connection owns.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::connection::{Connection, Due, Socket};
use super::exchange::Exchange;
use super::stream::Stream;
use super::watch::Phase;

/// Serves a connection until it ends.
pub(crate) async fn serve<T: Socket>(connection: &Arc<Connection>, mut stream: Stream<T>) {
    stream.ignore_heads();
    connection.watch.enter(Phase::Idle, connection.reception.until_idle());
    let (shared, limits) = (connection.clone(), &connection.reception.limits);
    let service = service_fn(move |request: Request<Incoming>| Exchange::new(shared.clone(), None, request));
    let tasks = Tasks::default();
    let mut builder = Builder::new(tasks.clone());
    builder.max_concurrent_streams(limits.streams);
    builder.max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX));
    let mut http = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
    let (mut told, mut written) = (false, 0);
    let outcome = poll_fn(|context| {
        connection.watch.register(context.waker());
        loop {
            if let Poll::Ready(outcome) = http.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            match connection.due() {
                Some(Due::Stopping) if !told => {
                    told = true;
                    http.as_mut().graceful_shutdown();
                }
                Some(Due::TimeIsUp) if connection.watch.phase() == Phase::Busy => {
                    if !connection.takes_enough(&mut written) {
                        return Poll::Ready(Ok(()));
                    }
                    connection.watch.extend(connection.reception.until_idle());
                }
                // Idle for too long, or not a word: it is told to go, and has a while to do so.
                Some(Due::TimeIsUp) if !told => {
                    told = true;
                    http.as_mut().graceful_shutdown();
                    connection.watch.extend(connection.reception.until_head());
                }
                Some(Due::TimeIsUp) => return Poll::Ready(Ok(())),
                _ => return Poll::Pending,
            }
        }
    })
    .await;
    drop(http);
    if let Err(error) = outcome {
        tracing::debug!(peer = %connection.peer, %error, "a connection failed");
    }
    tasks.end().await;
}

/// The tasks of a connection's requests.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Ends those that are left: their client has gone.
    async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "the task of a request died");
            }
        }
        tasks.spawn(future);
    }
}
