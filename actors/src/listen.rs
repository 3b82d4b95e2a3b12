//! Where a server listens, and what it accepts there.

use std::io::{Error as IoError, ErrorKind};
use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use playhouse_engine::{Error, Result};
use socket2::SockRef;
use tokio::net::TcpListener;

/// How many connections wait to be accepted at most.
const BACKLOG: i32 = 1024;

/// How long to wait when the system has no socket left, as when too many files are open.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Where a server listens once it starts.
#[derive(Debug)]
pub(crate) enum Listen {
    Address(String),
    Listener(StdListener),
    /// It has been started.
    Nowhere,
}

impl Listen {
    /// Begins to listen.
    pub(crate) async fn open(&mut self) -> Result<TcpListener> {
        match std::mem::replace(self, Self::Nowhere) {
            Self::Address(address) => TcpListener::bind(&address)
                .await
                .map_err(|error| Error::unavailable(format!("cannot listen on `{address}`")).caused_by(error)),
            Self::Listener(listener) => listener
                .set_nonblocking(true)
                // The standard library lets 128 wait to be accepted, which a burst outruns.
                .and_then(|()| SockRef::from(&listener).listen(BACKLOG))
                .and_then(|()| TcpListener::from_std(listener))
                .map_err(|error| Error::unavailable("cannot listen on the listener that was given").caused_by(error)),
            Self::Nowhere => Err(Error::internal("the server has been started before")),
        }
    }
}

/// A listener that closes when nobody accepts from it any more.
#[derive(Clone, Debug)]
pub(crate) struct Listener(Arc<Mutex<Option<Arc<TcpListener>>>>);

impl Listener {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self(Arc::new(Mutex::new(Some(Arc::new(listener)))))
    }

    pub(crate) fn get(&self) -> Option<Arc<TcpListener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Says whether a client gave up before it was accepted, which tells nothing of the next one.
pub(crate) fn is_of_the_client(error: &IoError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}
