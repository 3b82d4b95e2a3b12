//! What is under way: how far each file was handled, in order, and how much more may be sent.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use playhouse_engine::{Error, Kind, Receipt, Result};
use tokio::sync::Notify;

use super::position::Position;
use super::settings::OnFailure;
use crate::files::lock;

/// What an event takes in memory beside its payload, about.
const OVERHEAD: usize = 256;

pub(super) struct Window {
    limit: usize,
    on_failure: OnFailure,
    state: Mutex<State>,
    /// Told when something has ended.
    moved: Notify,
}

#[derive(Default)]
struct State {
    /// What was sent before the source began again does not count any more.
    run: u64,
    files: BTreeMap<usize, Tracked>,
    /// How many files there were.
    numbered: usize,
    bytes: usize,
    failure: Option<Error>,
    /// Whether positions have changed since they were last taken.
    changed: bool,
    /// Positions from before, whose files were not found yet.
    unclaimed: Vec<Position>,
}

/// A file, and the events of it that are under way, in their order.
struct Tracked {
    position: Position,
    open: VecDeque<Open>,
    /// How many ended before the first that is open.
    ended: u64,
    kept: Kept,
}

/// For how long a file's position is worth keeping.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Always,
    /// Until all that is under way of it has ended.
    UntilHandled,
    Never,
}

struct Open {
    /// How far the file is handled when this has ended; nothing within a whole.
    end: Option<u64>,
    size: usize,
    has_ended: bool,
}

/// What is known of an event when it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) end: Option<u64>,
    pub(super) size: usize,
}

impl Window {
    pub(super) fn new(limit: usize, on_failure: OnFailure) -> Self {
        Self { limit, on_failure, state: Mutex::default(), moved: Notify::new() }
    }

    /// Forgets what is under way, and returns from where to begin again.
    pub(super) fn restart(&self) -> Vec<Position> {
        let mut state = lock(&self.state);
        let positions = state.positions();
        let (run, numbered, changed) = (state.run + 1, state.numbered, state.changed);
        *state = State { run, numbered, changed, unclaimed: positions.clone(), ..State::default() };
        positions
    }

    /// Takes on a file at a position, and returns its number.
    pub(super) fn add(&self, position: Position) -> usize {
        let mut state = lock(&self.state);
        let number = state.numbered;
        state.numbered += 1;
        state.files.insert(number, Tracked { position, open: VecDeque::new(), ended: 0, kept: Kept::Always });
        state.changed = true;
        number
    }

    /// Notes that a position from before has found its file, or never will.
    pub(super) fn claimed(&self, position: &Position) {
        let mut state = lock(&self.state);
        state.unclaimed.retain(|unclaimed| unclaimed != position);
        state.changed = true;
    }

    /// Notes the first bytes of a file.
    pub(super) fn set_head(&self, file: usize, head: &[u8]) {
        if let Some(tracked) = lock(&self.state).files.get_mut(&file) {
            tracked.position.set_head(head);
        }
    }

    /// Lets go of a file of which nothing more comes; its position is kept until all of it is handled.
    pub(super) fn retire(&self, file: usize) {
        self.let_go(file, Kept::UntilHandled);
    }

    /// Lets go of a file whose content is gone: nobody could read it again.
    pub(super) fn forget(&self, file: usize) {
        self.let_go(file, Kept::Never);
    }

    fn let_go(&self, file: usize, kept: Kept) {
        let mut state = lock(&self.state);
        if let Some(tracked) = state.files.get_mut(&file) {
            tracked.kept = kept;
            state.changed = true;
            state.sweep(file);
        }
    }

    /// Takes positions that have changed since they were last taken.
    pub(super) fn changed_positions(&self) -> Option<Vec<Position>> {
        let mut state = lock(&self.state);
        std::mem::take(&mut state.changed).then(|| state.positions())
    }

    /// Makes the next take of positions have some, where they could not be kept.
    pub(super) fn not_kept(&self) {
        lock(&self.state).changed = true;
    }

    /// Waits until there is room for an event at least.
    ///
    /// # Errors
    /// What failed, where the source is to begin again.
    pub(super) async fn room(&self) -> Result<()> {
        self.until(|state| state.bytes < self.limit).await
    }

    /// Waits until all that was sent has ended.
    ///
    /// # Errors
    /// As [`Window::room`].
    pub(super) async fn empty(&self) -> Result<()> {
        self.until(|state| state.files.values().all(|file| file.open.is_empty())).await
    }

    /// Waits until something fails that makes the source begin again.
    pub(super) async fn failure(&self) -> Error {
        match self.until(|_| false).await {
            Err(error) => error,
            Ok(()) => Error::internal("nothing failed"),
        }
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) -> Result<()> {
        loop {
            {
                let state = lock(&self.state);
                if let Some(error) = &state.failure {
                    return Err(error.clone());
                }
                if is_so(&state) {
                    return Ok(());
                }
            }
            // One waits at a time, and what was told before is kept for it.
            self.moved.notified().await;
        }
    }

    /// Notes events that are about to be sent, as many of `sent` as there is room for and at least one, and returns how many and
    /// the number of the first.
    pub(super) fn begin(&self, file: usize, sent: impl IntoIterator<Item = Sent>) -> (usize, Ticket) {
        let mut state = lock(&self.state);
        let State { run, files, bytes, .. } = &mut *state;
        let tracked = files.get_mut(&file).expect("a file is let go of behind all that is read of it");
        let ticket = Ticket { run: *run, file, number: tracked.ended + tracked.open.len() as u64 };
        let mut count = 0;
        for Sent { end, size } in sent {
            let size = size + OVERHEAD;
            tracked.open.push_back(Open { end, size, has_ended: false });
            *bytes += size;
            count += 1;
            if *bytes >= self.limit {
                break;
            }
        }
        (count, ticket)
    }

    fn end(&self, Ticket { run, file, number }: Ticket, outcome: Result<()>) {
        let mut state = lock(&self.state);
        if run != state.run {
            return;
        }
        if let Err(error) = outcome
            // What was given up at a stop is read again by the next process; elsewhere it would never end.
            && (error.kind() == Kind::Cancelled || self.on_failure == OnFailure::Again)
        {
            state.failure.get_or_insert(error);
            drop(state);
            return self.moved.notify_one();
        }
        let State { files, bytes, changed, .. } = &mut *state;
        let Some(tracked) = files.get_mut(&file) else { return };
        let place = usize::try_from(number - tracked.ended).ok();
        if let Some(open) = place.and_then(|place| tracked.open.get_mut(place)) {
            open.has_ended = true;
        }
        if place != Some(0) {
            return;
        }
        while let Some(open) = tracked.open.pop_front_if(|open| open.has_ended) {
            tracked.ended += 1;
            *bytes -= open.size;
            if let Some(end) = open.end {
                tracked.position.offset = end;
                *changed = true;
            }
        }
        state.sweep(file);
        drop(state);
        self.moved.notify_one();
    }
}

impl State {
    fn positions(&self) -> Vec<Position> {
        let kept = self.files.values().filter(|file| file.kept != Kept::Never);
        kept.map(|file| &file.position).chain(&self.unclaimed).cloned().collect()
    }

    /// Forgets a file that was let go of and handled.
    fn sweep(&mut self, file: usize) {
        let is_over = |tracked: &Tracked| tracked.kept != Kept::Always && tracked.open.is_empty();
        if self.files.get(&file).is_some_and(is_over) {
            self.files.remove(&file);
            self.changed = true;
        }
    }
}

/// Which event of which file it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    run: u64,
    file: usize,
    number: u64,
}

impl Ticket {
    /// Returns the ticket of the event that comes after so many others.
    pub(super) fn after(self, count: usize) -> Self {
        Self { number: self.number + count as u64, ..self }
    }

    /// Makes the receipt that tells the window of the event's end.
    pub(super) fn receipt(self, window: &Arc<Window>) -> Receipt {
        let window = window.clone();
        Receipt::new(move |outcome| window.end(self, outcome))
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Window").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: u64) -> Position {
        Position { path: "log".into(), device: 1, inode: 2, offset, head_length: 0, head: 0 }
    }

    fn sent(ends: &[u64]) -> Vec<Sent> {
        ends.iter().map(|end| Sent { end: Some(*end), size: 10 }).collect()
    }

    #[tokio::test]
    async fn a_position_moves_to_the_first_that_has_not_ended() {
        let window = Arc::new(Window::new(1 << 20, OnFailure::GoOn));
        let file = window.add(position(0));
        let (count, ticket) = window.begin(file, sent(&[5, 9, 12]));
        assert_eq!(count, 3);
        let receipts: Vec<_> = (0..3).map(|number| ticket.after(number).receipt(&window)).collect();
        let offset = || window.changed_positions().map(|positions| positions[0].offset);
        assert_eq!(offset(), Some(0));
        let [first, second, third] = receipts.try_into().unwrap();
        second.fail(&Error::gone("it failed, and went its own way"));
        drop(second);
        assert_eq!(offset(), None);
        drop(first);
        assert_eq!(offset(), Some(9));
        drop(third);
        assert_eq!(offset(), Some(12));
        window.empty().await.unwrap();
    }

    #[tokio::test]
    async fn what_was_cancelled_never_counts_as_handled() {
        let window = Arc::new(Window::new(1 << 20, OnFailure::GoOn));
        let file = window.add(position(0));
        let (_, ticket) = window.begin(file, sent(&[5]));
        let receipt = ticket.receipt(&window);
        receipt.fail(&Error::cancelled("the flow stops"));
        drop(receipt);
        assert_eq!(window.failure().await.kind(), Kind::Cancelled);
        // Until its file is found again, its position is kept.
        let [before] = &window.restart()[..] else { panic!("not one position") };
        assert_eq!((before.offset, window.changed_positions().unwrap().len()), (0, 1));
        window.claimed(before);
        // What the run before had sent says nothing of this one.
        let file = window.add(position(0));
        let (_, later) = window.begin(file, sent(&[7]));
        drop(ticket.receipt(&window));
        assert_eq!(window.changed_positions().unwrap()[0].offset, 0);
        drop(later.receipt(&window));
        assert_eq!(window.changed_positions().unwrap()[0].offset, 7);
    }

    #[tokio::test]
    async fn a_full_window_takes_no_more_until_something_ends() {
        let window = Arc::new(Window::new(2 * (OVERHEAD + 10), OnFailure::GoOn));
        let file = window.add(position(0));
        window.room().await.unwrap();
        let (count, ticket) = window.begin(file, sent(&[1, 2, 3]));
        assert_eq!(count, 2);
        let waits = tokio::spawn({
            let window = window.clone();
            async move { window.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(ticket.receipt(&window));
        waits.await.unwrap().unwrap();
    }
}
