//! The thread that owns the log: it writes everything that waits at once and syncs it once.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use playhouse_engine::{Error, Result};
use tokio::sync::mpsc as reports;

use super::files::{Files, Folder};
use super::log::Log;
use super::order::{Content, Order, Record, Report};
use super::record;
use super::recovery::Recovered;
use super::settings::TitanicSettings;
use crate::protocol::Ticket;

/// How many bytes are written, or read, before the machine hears of it.
const BATCH: usize = 4 << 20;
/// For how many bytes that are written there is a step of compaction.
const COMPACTED: usize = 512 << 10;
/// How long compaction rests after the disk failed.
const REST: Duration = Duration::from_secs(1);

/// The store of durable requests: a thread that owns the log in one folder.
#[derive(Debug)]
pub struct Store {
    orders: SyncSender<Order>,
    reports: reports::Receiver<Report>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Opens the log in `folder`, which is made where it is not there, and says what it held.
    ///
    /// This reads the whole log, so call it where waiting harms nobody.
    ///
    /// # Errors
    /// `Malformed` where the settings make no sense, `Conflict` where another broker uses the folder, `Unavailable`
    /// where it cannot be used, `Unsupported` where a later version wrote it.
    pub fn open(folder: impl AsRef<Path>, settings: &TitanicSettings) -> Result<(Self, Recovered)> {
        settings.check()?;
        Self::with(Folder::open(folder.as_ref())?, settings)
    }

    /// Opens the log in a folder that need not be of the file system.
    pub(crate) fn with<F: Files>(files: F, settings: &TitanicSettings) -> Result<(Self, Recovered)> {
        let (log, recovered) = Log::open(files, settings.sizes(), microseconds())?;
        let (orders, incoming) = mpsc::sync_channel(settings.orders());
        // One report answers at least one order, so there is always room.
        let (outgoing, reports) = reports::channel(settings.orders());
        let keeper = Keeper { log, orders: incoming, reports: outgoing, records: Vec::new(), loaded: Vec::new() };
        let thread = thread::Builder::new().name("titanic store".into()).spawn(move || keeper.run());
        let thread = thread.map_err(|error| Error::unavailable("cannot start the store's thread").caused_by(error))?;
        Ok((Self { orders, reports, thread }, recovered))
    }

    /// Gives an order, without ever waiting. The machine gives no more orders than there is room for.
    ///
    /// # Errors
    /// `Overloaded` where there is no room, `Unavailable` where the thread has died: the order is then not carried out
    /// and nothing will be reported of it.
    pub fn send(&self, order: Order) -> Result<()> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => Error::overloaded("the store takes no more orders"),
            TrySendError::Disconnected(_) => Error::unavailable("the store's thread has died"),
        })
    }

    /// Waits for what the store has done next. `None` means that its thread has died. No report is lost where the
    /// future is dropped.
    pub async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// Returns what the store has done next, if it has done anything.
    pub fn try_report(&mut self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// Carries out what was ordered, syncs, and lets go of the folder. This waits for the disk. What is then reported
    /// is returned.
    ///
    /// # Errors
    /// `Internal` where the thread has died.
    pub fn close(mut self) -> Result<Vec<Report>> {
        drop(self.orders);
        let died = |_| Error::internal("the store's thread has died");
        self.thread.join().map_err(died)?;
        Ok(std::iter::from_fn(|| self.reports.try_recv().ok()).collect())
    }
}

/// What the thread has.
struct Keeper<F: Files> {
    log: Log<F>,
    orders: Receiver<Order>,
    reports: reports::Sender<Report>,
    /// What is to be written next.
    records: Vec<Record>,
    /// What was read and not yet reported.
    loaded: Vec<(Ticket, Result<Content>)>,
}

impl<F: Files> Keeper<F> {
    fn run(mut self) {
        let mut rests_until = None;
        while let Some(order) = self.next(rests_until) {
            let written = order.map_or(0, |order| self.take(order));
            // As much again as was written, so that compaction keeps up under any load.
            for _ in 0..=written / COMPACTED {
                self.compact(&mut rests_until);
            }
        }
    }

    /// Does one step of compaction, unless there is nothing to do or it rests after a failure.
    fn compact(&mut self, rests_until: &mut Option<Instant>) {
        if !self.log.wants_step() || rests_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let before = self.log.disk_size();
        *rests_until = self.log.step().is_err().then(|| Instant::now() + REST);
        let disk_size = self.log.disk_size();
        if disk_size < before {
            // Where there is no room, others follow that say the same.
            let _ = self.reports.try_send(Report::Shrunk { disk_size });
        }
    }

    /// Waits for an order, or returns none while there is something to compact. `None` where there will be no more
    /// orders.
    fn next(&self, rests_until: Option<Instant>) -> Option<Option<Order>> {
        if !self.log.wants_step() {
            return self.orders.recv().ok().map(Some);
        }
        let wait = rests_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        match self.orders.recv_timeout(wait) {
            Ok(order) => Some(Some(order)),
            Err(RecvTimeoutError::Timeout) => Some(None),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Takes all orders that wait, reads at once what is to be read, and writes the rest in one go. Returns how much
    /// was written.
    fn take(&mut self, order: Order) -> usize {
        let mut next = Some(order);
        let (mut to_write, mut read) = (0, 0);
        while let Some(order) = next {
            match order {
                Order::Append(record) => {
                    to_write += record::size(&record.content);
                    self.records.push(record);
                }
                Order::Load(ticket) => {
                    let content = self.log.load(ticket);
                    read += content.as_ref().map_or(0, Content::size);
                    self.loaded.push((ticket, content));
                }
            }
            if read >= BATCH {
                read = 0;
                self.report_loaded();
            }
            next = if to_write < BATCH { self.orders.try_recv().ok() } else { None };
        }
        self.report_loaded();
        self.write();
        to_write
    }

    fn write(&mut self) {
        let records = self.records.len();
        if records == 0 {
            return;
        }
        let report = match self.log.append(&self.records, microseconds()) {
            Ok(()) => Report::Committed { records, disk_size: self.log.disk_size() },
            Err(error) => Report::Refused { records, error },
        };
        self.records.clear();
        self.report(report);
    }

    fn report_loaded(&mut self) {
        if !self.loaded.is_empty() {
            let loaded = std::mem::take(&mut self.loaded);
            self.report(Report::Loaded(loaded));
        }
    }

    fn report(&self, report: Report) {
        // Whoever closes the store without listening wants to know no more.
        let _ = self.reports.blocking_send(report);
    }
}

/// Returns the time as the log notes it.
fn microseconds() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros() as u64)
}
