//! Which requests wait for a reply, found by the id of their event: the id's bits say where to look, so that finding one
//! costs no hash and no lock on a table.

mod parts;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use playhouse_engine::{Error, EventId, Result};

use super::answer::Answer;
use super::clock::{NEVER, Ticks};
use super::reply::Reply;

/// How many bits of an id say which slot it has; the 40 above them count the slot's requests.
const INDEX_BITS: u32 = 24;
const MOST: usize = 1 << INDEX_BITS;
const GENERATIONS: u64 = u64::MAX >> INDEX_BITS;
/// A generation that is never reached.
const NOBODY: u64 = u64::MAX;
/// The slots of the first segment; each further one has twice as many, and none is ever moved.
const FIRST: usize = 64;
const SEGMENTS: usize = INDEX_BITS as usize - FIRST.trailing_zeros() as usize;

/// What ends a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An event came back for it.
    Reply(Reply),
    /// The first part of an answer came back for it, and others follow.
    Begun(Reply, Arc<Answer>),
    /// All that came of its event has ended.
    Ended(Result<()>),
}

/// The requests of one server that wait for a reply.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The upper half of the ids, which tells this server's from all others.
    server: u64,
    segments: [OnceLock<Box<[Slot]>>; SEGMENTS],
    /// How many slots were ever lent.
    lent: AtomicUsize,
    free: Mutex<Vec<usize>>,
    late: AtomicU64,
}

/// A place for one request at a time. Aligned, so that two requests do not share a cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Slot {
    /// When its request wants to be woken though nothing came.
    wanted: AtomicU64,
    /// The generation that waits and has no outcome yet, or none: what comes for another needs no lock to know it.
    waiting: AtomicU64,
    /// Whether there is an answer that comes in parts, so that the sweep needs no lock to know that there is none.
    has_answer: AtomicBool,
    // Held only to move a value in or out, by the request and by what ends it; so it is nearly always free.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    /// Whether the request has looked for its outcome in vain: only then must the outcome wake it. One that comes before,
    /// as from a flow that ran within the offer, is found without.
    has_looked: bool,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    /// The answer of this generation, where it comes in parts.
    answer: Option<Arc<Answer>>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            wanted: AtomicU64::new(NEVER),
            waiting: AtomicU64::new(NOBODY),
            has_answer: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }
}

impl Slot {
    /// Returns the answer of the generation, where it comes in parts.
    fn answer(&self, generation: u64) -> Option<Arc<Answer>> {
        if !self.has_answer.load(Ordering::Acquire) {
            return None;
        }
        let state = self.lock();
        if state.generation == generation { state.answer.clone() } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot happen while it is held, for nothing of anybody else's runs then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts the outcome where it is looked for, and returns whom to wake.
    fn settle(&mut self, slot: &Slot, outcome: Outcome) -> Option<Waker> {
        slot.waiting.store(NOBODY, Ordering::Relaxed);
        self.outcome = Some(outcome);
        if self.has_looked { self.waker.clone() } else { None }
    }

    fn watch(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) if known.will_wake(waker) => {}
            known => *known = Some(waker.clone()),
        }
    }
}

impl Pending {
    pub(crate) fn new() -> Self {
        Self {
            server: fastrand::u64(..),
            segments: [const { OnceLock::new() }; SEGMENTS],
            lent: AtomicUsize::new(0),
            free: Mutex::default(),
            late: AtomicU64::new(0),
        }
    }

    /// Lends a slot; nothing where there are 16 million requests already.
    pub(crate) fn lend(self: &Arc<Self>) -> Option<Lease> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match free.pop() {
            Some(index) => index,
            None => {
                let index = self.lent.load(Ordering::Relaxed);
                if index >= MOST - FIRST {
                    return None;
                }
                let (segment, _) = place(index);
                self.segments[segment].get_or_init(|| (0..FIRST << segment).map(|_| Slot::default()).collect());
                self.lent.store(index + 1, Ordering::Release);
                index
            }
        };
        drop(free);
        Some(Lease { pending: self.clone(), index })
    }

    /// Ends the request whose event was `id`. Where it has ended already, or was never ours, the outcome is dropped, and
    /// counted where it was a reply.
    pub(crate) fn end(&self, id: EventId, outcome: Outcome) {
        let is_reply = matches!(outcome, Outcome::Reply(_));
        let waker = self.slot_of(id).and_then(|(slot, generation)| {
            if slot.waiting.load(Ordering::Acquire) != generation {
                return None;
            }
            let mut state = slot.lock();
            // Looked at again, for somebody else may have been faster.
            if slot.waiting.load(Ordering::Relaxed) != generation {
                return None;
            }
            Some(state.settle(slot, outcome))
        });
        match waker {
            Some(waker) => waker.into_iter().for_each(Waker::wake),
            None if is_reply => {
                self.late.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%id, "a reply came for a request that has ended or is not known; it is dropped");
            }
            None => {}
        }
    }

    /// Returns how many replies came late, twice, or for nobody.
    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Wakes every request that wanted to be woken by now.
    pub(crate) fn sweep(&self, now: Ticks) {
        let lent = self.lent.load(Ordering::Acquire);
        let slots = self.segments.iter().filter_map(OnceLock::get).flat_map(|segment| segment.iter());
        for slot in slots.take(lent) {
            if slot.has_answer.load(Ordering::Relaxed) {
                let answer = slot.lock().answer.clone();
                answer.into_iter().for_each(|answer| answer.sweep(now));
            }
            if slot.wanted.load(Ordering::Relaxed) <= now {
                slot.wanted.store(NEVER, Ordering::Relaxed);
                let waker = slot.lock().waker.clone();
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }

    fn slot_of(&self, id: EventId) -> Option<(&Slot, u64)> {
        let number = id.as_u128();
        if (number >> 64) as u64 != self.server {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
        let lower = number as u64;
        let (segment, offset) = place((lower & (MOST as u64 - 1)) as usize);
        let slot = self.segments.get(segment)?.get()?.get(offset)?;
        Some((slot, lower >> INDEX_BITS))
    }
}

fn place(index: usize) -> (usize, usize) {
    let number = index + FIRST;
    let segment = (number / FIRST).ilog2() as usize;
    (segment, number - (FIRST << segment))
}

/// The loan of a slot, for one request after another.
#[derive(Debug)]
pub(crate) struct Lease {
    pending: Arc<Pending>,
    index: usize,
}

impl Lease {
    /// Begins to wait for the outcome of a new request, and returns the id that its event must have. Whoever has looked for
    /// the outcome by [`Lease::poll`] is woken when it is there, and at `wanted`.
    pub(crate) fn open(&self, wanted: Ticks) -> EventId {
        let slot = self.slot();
        slot.wanted.store(wanted, Ordering::Relaxed);
        let mut state = slot.lock();
        state.generation = (state.generation + 1) & GENERATIONS;
        state.has_looked = false;
        debug_assert!(state.answer.is_none(), "an answer ends before the next request of its slot begins");
        slot.waiting.store(state.generation, Ordering::Release);
        let lower = (state.generation << INDEX_BITS) | self.index as u64;
        EventId::from_u128((u128::from(self.pending.server) << 64) | u128::from(lower))
    }

    /// Asks to be woken at `wanted`, while nothing is waited for yet.
    pub(crate) fn wake_at(&self, waker: &Waker, wanted: Ticks) {
        let slot = self.slot();
        slot.lock().watch(waker);
        slot.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Takes the outcome, where it is there.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Outcome> {
        let slot = self.slot();
        let mut state = slot.lock();
        match state.outcome.take() {
            Some(outcome) => {
                slot.wanted.store(NEVER, Ordering::Relaxed);
                Poll::Ready(outcome)
            }
            None => {
                state.has_looked = true;
                state.watch(context.waker());
                Poll::Pending
            }
        }
    }

    /// Ends the request whose event was `id`, if it is the one that is waited for. Where its answer has begun, an error breaks
    /// it off.
    pub(crate) fn end(&self, id: EventId, outcome: Outcome) {
        match outcome {
            Outcome::Ended(Err(error)) => self.pending.fail(id, &error),
            outcome => self.pending.end(id, outcome),
        }
    }

    /// Waits no longer: what comes now is late.
    pub(crate) fn close(&self) {
        let slot = self.slot();
        slot.wanted.store(NEVER, Ordering::Relaxed);
        let mut state = slot.lock();
        slot.waiting.store(NOBODY, Ordering::Relaxed);
        let (outcome, answer) = (state.outcome.take(), state.answer.take());
        // What it holds may take a while to drop.
        drop(state);
        drop(outcome);
        if let Some(answer) = answer {
            slot.has_answer.store(false, Ordering::Relaxed);
            answer.break_off(&Error::gone("the client has gone"));
        }
    }

    fn slot(&self) -> &Slot {
        let (segment, offset) = place(self.index);
        let segment = self.pending.segments[segment].get().expect("a slot that was lent exists");
        &segment[offset]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.close();
        self.slot().lock().waker = None;
        self.pending.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use playhouse_engine::{Attributes, Payload};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn reply(text: &'static str) -> Outcome {
        Outcome::Reply(Reply { payload: Payload::from(text), attributes: Attributes::default(), error: None })
    }

    #[track_caller]
    fn text_of(lease: &Lease) -> Option<String> {
        match lease.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Outcome::Reply(reply)) => Some(reply.payload.to_string()),
            Poll::Ready(other) => Some(format!("{other:?}")),
            Poll::Pending => None,
        }
    }

    /// Opens a request that has looked for its outcome.
    fn opened(lease: &Lease, count: &Arc<Count>, wanted: Ticks) -> EventId {
        let id = lease.open(wanted);
        assert!(lease.poll(&Context::from_waker(&count.clone().into())).is_pending());
        id
    }

    #[test]
    fn a_reply_that_is_there_at_the_first_look_wakes_nobody() {
        let pending = Arc::new(Pending::new());
        let lease = pending.lend().unwrap();
        let count = Arc::new(Count::default());
        lease.wake_at(&count.clone().into(), NEVER);
        let id = lease.open(NEVER);
        pending.end(id, reply("at once"));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert_eq!(text_of(&lease).as_deref(), Some("at once"));
    }

    #[test]
    fn a_reply_finds_its_request_and_wakes_it() {
        let pending = Arc::new(Pending::new());
        let leases: Vec<_> = (0..1000).map(|_| pending.lend().unwrap()).collect();
        let count = Arc::new(Count::default());
        let ids: Vec<_> = leases.iter().map(|lease| opened(lease, &count, NEVER)).collect();
        pending.end(ids[777], reply("for 777"));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(text_of(&leases[776]), None);
        assert_eq!(text_of(&leases[777]).as_deref(), Some("for 777"));
        assert_eq!(pending.late(), 0);
    }

    #[test]
    fn late_and_second_replies_are_counted_and_dropped() {
        let pending = Arc::new(Pending::new());
        let lease = pending.lend().unwrap();
        let first = lease.open(NEVER);
        pending.end(first, reply("first"));
        pending.end(first, reply("second"));
        assert_eq!(text_of(&lease).as_deref(), Some("first"));
        pending.end(first, reply("third"));
        let next = lease.open(NEVER);
        assert_ne!(next, first);
        pending.end(first, reply("fourth"));
        assert_eq!(text_of(&lease), None);
        lease.close();
        pending.end(next, reply("after the deadline"));
        pending.end(EventId::unique(), reply("for somebody else"));
        assert_eq!(pending.late(), 5);
    }

    #[test]
    fn an_end_without_a_reply_counts_only_where_none_came() {
        let pending = Arc::new(Pending::new());
        let lease = pending.lend().unwrap();
        let id = lease.open(NEVER);
        pending.end(id, reply("a"));
        pending.end(id, Outcome::Ended(Ok(())));
        assert_eq!(text_of(&lease).as_deref(), Some("a"));
        let id = lease.open(NEVER);
        pending.end(id, Outcome::Ended(Ok(())));
        assert_eq!(text_of(&lease).as_deref(), Some("Ended(Ok(()))"));
        assert_eq!(pending.late(), 0);
    }

    #[test]
    fn a_slot_is_lent_again_when_it_is_given_back() {
        let pending = Arc::new(Pending::new());
        let lease = pending.lend().unwrap();
        let (index, id) = (lease.index, lease.open(NEVER));
        drop(lease);
        let again = pending.lend().unwrap();
        assert_eq!(again.index, index);
        assert_ne!(again.open(NEVER), id);
    }

    #[test]
    fn the_sweep_wakes_whoever_wanted_to_be_woken() {
        let pending = Arc::new(Pending::new());
        let (early, late) = (pending.lend().unwrap(), pending.lend().unwrap());
        let count = Arc::new(Count::default());
        opened(&early, &count, 100);
        opened(&late, &count, 200);
        pending.sweep(99);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        pending.sweep(150);
        pending.sweep(151);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
