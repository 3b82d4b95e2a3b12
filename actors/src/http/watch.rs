//! What a connection is doing and until when it may, written by its own task and read by the sweep: one timer for a whole
//! server instead of one for each request.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use super::clock::Ticks;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nothing has come yet.
    Fresh,
    /// The head of a request has begun to come.
    Head,
    /// A request is being handled; it watches its time itself.
    Busy,
    /// The last answer is on its way or gone.
    Idle,
    /// The last answer comes in pieces, and what makes them watches how long they take.
    Fed,
    /// The request line has grown beyond what a URI may have.
    UriTooLong,
}

impl Phase {
    fn from_u8(number: u8) -> Self {
        [Self::Fresh, Self::Head, Self::Busy, Self::Idle, Self::Fed, Self::UriTooLong]
            .into_iter()
            .find(|phase| *phase as u8 == number)
            .unwrap_or(Self::Fresh)
    }
}

// Only the connection's task writes the phase and the counts, so plain loads and stores are enough for them.
#[derive(Debug)]
pub(crate) struct Watch {
    phase: AtomicU8,
    wanted: AtomicU64,
    written: AtomicU64,
    /// How many requests of an HTTP/2 connection are not answered whole, and answers of an HTTP/1 connection that come in pieces.
    open: AtomicU32,
    /// How many of them are event streams.
    streams: AtomicU32,
    /// How many of them watch their time themselves.
    excused: AtomicU32,
    /// Whether the client does not take what is written for it.
    blocked: AtomicBool,
    /// Whether the client may have sent what nobody read.
    unread: AtomicBool,
    /// Whether the connection is to end at once.
    cut: AtomicBool,
    /// Whether the client must see that its answer is not whole.
    reset: AtomicBool,
    // Locked when a connection begins and by the sweep, never for a request.
    waker: Mutex<Option<Waker>>,
}

impl Watch {
    pub(crate) fn new(wanted: Ticks) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Fresh as u8),
            wanted: AtomicU64::new(wanted),
            written: AtomicU64::new(0),
            open: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            excused: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(Ordering::Relaxed))
    }

    pub(crate) fn enter(&self, phase: Phase, until: Ticks) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.wanted.store(until, Ordering::Relaxed);
    }

    /// Changes what the connection is doing, and leaves until when it may.
    pub(crate) fn turn(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn extend(&self, until: Ticks) {
        self.wanted.store(until, Ordering::Relaxed);
    }

    pub(crate) fn is_due(&self, now: Ticks) -> bool {
        self.wanted.load(Ordering::Relaxed) <= now
    }

    /// Returns how many bytes the client has taken.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Notes that the client took so many bytes, or that it takes none now.
    pub(crate) fn note_written(&self, count: Option<usize>) {
        self.blocked.store(count.is_none(), Ordering::Relaxed);
        if let Some(count) = count {
            self.written.store(self.written() + count as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Ends the connection, whatever it is doing.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Asks for the connection to end in a way that no client takes for an ordinary one.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    pub(crate) fn excuse(&self) {
        self.excused.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn excuse_no_more(&self) {
        self.excused.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn is_excused(&self) -> bool {
        self.excused.load(Ordering::Acquire) > 0
    }

    pub(crate) fn open_more(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// Says whether none is open any more.
    pub(crate) fn open_less(&self) -> bool {
        self.open.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn stream_more(&self) {
        self.streams.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn stream_less(&self) {
        self.streams.fetch_sub(1, Ordering::AcqRel);
    }

    /// Says whether nothing is open but event streams.
    pub(crate) fn has_only_streams(&self) -> bool {
        self.open.load(Ordering::Acquire) <= self.streams.load(Ordering::Acquire)
    }

    pub(crate) fn register(&self, waker: &Waker) {
        let mut known = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Wakes the connection where its time is up.
    pub(crate) fn sweep(&self, now: Ticks) {
        if self.is_due(now) {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waker.into_iter().for_each(Waker::wake);
    }
}
