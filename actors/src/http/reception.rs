//! What all connections of a server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use http::HeaderValue;
use playhouse_engine::Emitter;

use super::clock::{Clock, Ticks, ticks};
#[cfg(feature = "compression")]
use super::compression::Compressor;
use super::limits::HttpLimits;
use super::parting::Partings;
use super::pending::Pending;
use super::routes::Routes;
#[cfg(feature = "tls")]
use super::tls::Tls;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) name: String,
    pub(crate) routes: Routes,
    pub(crate) limits: HttpLimits,
    pub(crate) challenge: HeaderValue,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
    #[cfg(feature = "compression")]
    pub(crate) compressor: Option<Compressor>,
    pub(crate) emitter: Emitter,
    pub(crate) clock: Clock,
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

    /// Returns how many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.counters.open.load(Ordering::Relaxed)
    }
}
