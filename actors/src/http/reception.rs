//! What all connections of a server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use playhouse_engine::Emitter;
#[cfg(feature = "websocket")]
use tokio_util::sync::CancellationToken;

use super::access::AccessRules;
use super::clock::{Clock, Ticks, ticks};
#[cfg(feature = "compression")]
use super::compression::Compressor;
use super::cors::CorsRules;
use super::forwarded::Trusted;
use super::limits::HttpLimits;
use super::live::Lives;
use super::parting::Partings;
use super::pending::Pending;
use super::routes::Routes;
#[cfg(feature = "websocket")]
use super::web_socket::WebSocketSettings;
#[cfg(feature = "tls")]
use crate::tls::Acceptor;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) name: String,
    pub(crate) routes: Routes,
    pub(crate) limits: HttpLimits,
    pub(crate) challenge: HeaderValue,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Acceptor>,
    #[cfg(feature = "compression")]
    pub(crate) compressor: Option<Compressor>,
    pub(crate) emitter: Emitter,
    pub(crate) lives: Lives,
    pub(crate) cors: Option<CorsRules>,
    pub(crate) access: Option<AccessRules>,
    pub(crate) trusted: Trusted,
    #[cfg(feature = "websocket")]
    pub(crate) web_sockets: WebSocketSettings,
    /// Cancelled when the flow begins to stop.
    #[cfg(feature = "websocket")]
    pub(crate) stop: CancellationToken,
    pub(crate) clock: Clock,
    /// How often the clock is set right.
    pub(crate) tick: Duration,
    pub(crate) pending: Arc<Pending>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stopping: AtomicBool,
    pub(crate) partings: Partings,
}

impl Reception {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Returns the scheme that clients use who come without a proxy.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.has_tls() { "https" } else { "http" }
    }

    pub(crate) fn until_head(&self) -> Ticks {
        self.clock.after(ticks(self.limits.head_time))
    }

    pub(crate) fn until_idle(&self) -> Ticks {
        self.clock.after(ticks(self.limits.idle_time))
    }

    /// Until an answer that an HTTP/2 client does not take is given up: every request that was open before it has had its
    /// deadline by then.
    pub(crate) fn until_stalled(&self) -> Ticks {
        self.clock.after(ticks(self.limits.idle_time).saturating_add(ticks(self.limits.deadline)))
    }

    pub(crate) fn until_deadline(&self) -> Ticks {
        self.clock.after(ticks(self.limits.deadline))
    }

    pub(crate) fn until_measured(&self) -> Ticks {
        self.clock.after(ticks(self.limits.rate_window))
    }

    /// Returns how many bytes a client must send or take in `time`.
    pub(crate) fn least_in(&self, time: Ticks) -> u64 {
        (u64::from(self.limits.slowest_rate) * time) / 1000
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) refused: AtomicU64,
    pub(crate) open: AtomicUsize,
    /// How many clients of event streams and WebSockets were closed because they did not keep up.
    pub(crate) slow: AtomicU64,
    /// How many answers the access log says nothing of, because the flow had no room.
    pub(crate) unlogged: AtomicU64,
    /// How many event streams are open.
    pub(crate) streams: AtomicUsize,
    #[cfg(feature = "websocket")]
    pub(crate) web_sockets: AtomicUsize,
}

/// What an [`HttpServer`](super::HttpServer) counts. A clone shows the same server.
#[derive(Clone, Debug)]
pub struct HttpStatistics {
    pub(crate) pending: Arc<Pending>,
    pub(crate) counters: Arc<Counters>,
}

impl HttpStatistics {
    /// Returns how many replies were dropped: for a request that had been answered or given up, or for none at all.
    #[must_use]
    pub fn late_replies(&self) -> u64 {
        self.pending.late()
    }

    /// Returns how many connections were refused because as many as may be were open.
    #[must_use]
    pub fn refused_connections(&self) -> u64 {
        self.counters.refused.load(Ordering::Relaxed)
    }

    /// Returns how many clients of event streams and WebSockets were closed because they did not keep up.
    #[must_use]
    pub fn slow_clients(&self) -> u64 {
        self.counters.slow.load(Ordering::Relaxed)
    }

    /// Returns how many answers the access log says nothing of, because the flow had no room for its record or was stopping.
    #[must_use]
    pub fn unlogged_answers(&self) -> u64 {
        self.counters.unlogged.load(Ordering::Relaxed)
    }

    /// Returns how many event streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.counters.streams.load(Ordering::Relaxed)
    }

    /// Returns how many WebSockets are open.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn open_web_sockets(&self) -> usize {
        self.counters.web_sockets.load(Ordering::Relaxed)
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.counters.open.load(Ordering::Relaxed)
    }
}
