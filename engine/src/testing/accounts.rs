//! Whether everything that a flow took in has ended, and a table that says where it did not.

use std::fmt::Write;

use crate::flow::Running;
use crate::ledger::Ledger;
use crate::monitor::Monitor;
use crate::testing::Probe;

/// What has a ledger: a flow that runs, a look into one, a probe, or the ledger that a stop returned.
pub trait Accounted {
    #[doc(hidden)]
    fn accounts(&self) -> (Ledger, Option<Monitor>);
}

impl Accounted for Ledger {
    fn accounts(&self) -> (Ledger, Option<Monitor>) {
        (*self, None)
    }
}

impl Accounted for Monitor {
    fn accounts(&self) -> (Ledger, Option<Monitor>) {
        (self.ledger(), Some(self.clone()))
    }
}

impl Accounted for Running {
    fn accounts(&self) -> (Ledger, Option<Monitor>) {
        self.monitor().accounts()
    }
}

impl Accounted for Probe {
    fn accounts(&self) -> (Ledger, Option<Monitor>) {
        self.monitor().accounts()
    }
}

/// Says what is wrong with the accounts of a flow in which nothing moves any more, as a table; nothing where all that entered
/// has ended, and the numbers are those that are expected. See [`assert_ledger!`](crate::assert_ledger).
#[must_use]
pub fn open_accounts(flow: &impl Accounted, expected: &[(&str, u64)]) -> Option<String> {
    let (ledger, monitor) = flow.accounts();
    let mut problems = Vec::new();
    if !ledger.balances() {
        problems.push("what entered is not what ended and what is in flight".to_owned());
    }
    if ledger.in_flight != 0 {
        problems.push(format!("{} in flight", ledger.in_flight));
    }
    for (name, number) in expected {
        let found = match *name {
            "entered" => ledger.entered,
            "delivered" => ledger.delivered,
            "failed" => ledger.failed,
            "dropped" => ledger.dropped,
            _ => {
                problems.push(format!("a ledger has no `{name}`, but `entered`, `delivered`, `failed` and `dropped`"));
                continue;
            }
        };
        if found != *number {
            problems.push(format!("{found} {name}, where {number} were expected"));
        }
    }
    if problems.is_empty() {
        return None;
    }
    let mut text = format!("the ledger is not as it should be: {}\n{ledger}\n", problems.join("; "));
    if let Some(monitor) = monitor {
        text.push_str(&table(&monitor));
    }
    Some(text)
}

fn table(monitor: &Monitor) -> String {
    let actors = monitor.statistics().actors;
    let width = actors.iter().map(|actor| actor.name.chars().count()).chain([5]).max().unwrap_or_default();
    let mut text = format!(
        "{:width$} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "actor", "received", "sent", "delivered", "failed", "shed", "dropped", "queued", "held"
    );
    for actor in actors {
        let queued = actor.queued as u64;
        let counts =
            [actor.received, actor.sent, actor.delivered, actor.failed, actor.shed, actor.dropped, queued, actor.held];
        let counts: String = counts.iter().fold(String::new(), |mut counts, count| {
            let _ = write!(counts, " {count:>9}");
            counts
        });
        let _ = writeln!(text, "{:width$}{counts}", actor.name);
    }
    text
}

/// Asserts that everything that entered a flow has ended, and that its ledger balances; and, where numbers are given, that
/// these are the ledger's. Where it is not so, the panic shows what each actor counted.
///
/// It takes a [`Running`](crate::Running) flow in which nothing moves any more, a [`Monitor`](crate::Monitor) of it that was
/// taken before it stopped, a [`Probe`](crate::testing::Probe), or the [`Ledger`](crate::Ledger) that its stop returned.
///
/// ```
/// use playhouse_engine::testing::Probe;
/// use playhouse_engine::{Event, assert_ledger, map};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> playhouse_engine::Result<()> {
/// let mut probe = Probe::new(map(Event::clone)).await?;
/// probe.send(Event::new("a")).await?;
/// probe.output().await?;
/// let monitor = probe.monitor();
/// probe.stop().await?;
/// assert_ledger!(monitor);
/// assert_ledger!(monitor, delivered = 2, failed = 0);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// Where something has not ended, or a number is another one.
#[macro_export]
macro_rules! assert_ledger {
    ($flow:expr $(, $name:ident = $number:expr)* $(,)?) => {
        if let Some(problem) = $crate::testing::open_accounts(&$flow, &[$((stringify!($name), $number)),*]) {
            panic!("{problem}");
        }
    };
}
