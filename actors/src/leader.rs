//! One of several processes.

mod datagram;
mod link;
mod machine;
mod settings;
#[cfg(test)]
mod simulation;
mod status;

use std::fmt;
use std::sync::Arc;

use playhouse_engine::{Context, Event, Format, Light, Outbox, Ports, Result};

use link::Link;
use machine::Rules;
pub use settings::{LeaderSettings, Members};
use status::Shared;
pub use status::{LeaderDatagrams, LeaderStatus};

/// Lets events through in one of several processes, and in the others not: what must be done once for all of them, such as what a
/// [`Generator`](crate::Generator) starts at its ticks.
///
/// The processes elect a leader by datagrams. It has a lease, which it prolongs at each `interval`, and at each event it looks at
/// the clock whether the lease has ended. Where it dies, is cut off or stands still, the lease ends, and another is elected; where
/// its flow stops, another is at once. Each event that passes has the attribute `leader.term`: a number that grows with each
/// leader, whatever process it is. After members were started anew, it does so where the wall clocks of all members are within a
/// lease of each other: nothing else outlives a start.
///
/// With [`Members::Known`] **two never lead at the same time**: a lease needs the votes of more than half of the members, a vote
/// binds its voter for the whole lease, and who starts does not vote before all its earlier votes have ended. For this no
/// clock needs to be right: they need to go equally fast, within 2.5 %. More members than were named elect nobody, as soon as they
/// hear of each other. With [`Members::Unknown`] one leads as long as a process is left, but where the network is cut there is **a
/// leader on each side**, and for a moment where datagrams are lost: take it where work that is done twice does no harm.
///
/// A process may stand still, or its machine, after it has looked at the clock and before what it passed on has arrived: no lease
/// can help there. A [`Fence`](crate::Fence) at the receiver does: it refuses what comes with a lower term than it has seen.
/// On Linux the clock goes on while the machine sleeps; elsewhere it may not, and a leader that wakes up may take itself for one for
/// the rest of its lease.
///
/// Members find each other by `peers`. By default these are the processes of this host. On a network it is a list of all members'
/// addresses, each of which listens at its own (`listen = "10.0.0.5:6999"`), or one address for all: a broadcast
/// (`listen = "0.0.0.0:6999"`, `peers = ["10.0.0.255:6999"]`) or a multicast group (`peers = ["239.1.2.3:6999"]`, `interface`).
/// Without a `key`, whoever can send to that port can keep a leader from being elected, or make itself one. With one, who can only
/// listen and send again what members have said can pass members that are no more off as present, each datagram for an hour: that
/// delays elections, and never makes two lead.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outboxes: `outbox` in the process that leads; `standby`, which may stay unconnected, in the
/// others. [`LeaderStatus::refused`] counts what did not pass either way. While its flow stops, a leader lets through what is still
/// on its way for as long as its lease lasts.
///
/// # Settings
/// The name of the service and the [`Members`], 65 at most where they are known, and:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `scope` | none | what the service is part of: members of another scope are of another service |
/// | `interval` | 1 s | how often a member says that it is there, 10 ms at least |
/// | `lease` | 5 s | for how long votes hold, at least three times `interval`: after the death of a leader it takes so long until another leads |
/// | `burn-in` | 5 s | for how long a member that has started listens before it votes, `lease` at least |
/// | `listen` | `127.255.255.255:6999` | where it listens; an address of several, or `0.0.0.0`, is shared with other processes |
/// | `peers` | `127.255.255.255:6999` | where all members listen, itself among them or not; 64 at most |
/// | `interface` | `127.0.0.1` | by which address a multicast group is joined |
/// | `key` | none | a secret of at least 32 bytes that signs what members say (HMAC-SHA256) |
///
/// Members of a service with another number of members or another `lease` are not believed; the log says so. Nor are those whose
/// wall clock is more than an hour from the one here.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Malformed` | when it is made: the settings make no sense |
/// | `Unavailable` | when the flow starts: the address cannot be listened at |
///
/// # Example
/// ```
/// use playhouse_actors::{Leader, LeaderSettings, Members};
///
/// let settings = LeaderSettings { scope: "production".into(), ..LeaderSettings::default() };
/// let leader = Leader::new("invoices", Members::Known(3), settings)?;
/// let status = leader.status();
/// assert!(!status.is_leader());
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct Leader {
    service: String,
    settings: LeaderSettings,
    rules: Rules,
    status: LeaderStatus,
    link: Option<Arc<Link>>,
}

impl Leader {
    /// Makes a member of `service`.
    ///
    /// # Errors
    /// `Malformed` with all that is wrong with the settings.
    pub fn new(service: impl Into<String>, members: Members, settings: LeaderSettings) -> Result<Self> {
        let service = service.into();
        let rules = settings.rules(&service, members)?;
        let status = LeaderStatus(Arc::new(Shared::new()));
        Ok(Self { service, settings, rules, status, link: None })
    }

    /// Returns what it tells of itself while it runs.
    #[must_use]
    pub fn status(&self) -> LeaderStatus {
        self.status.clone()
    }
}

impl Light for Leader {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::ANY).with_optional_outbox("standby", Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let link = Link::new(&self.service, self.rules, &self.settings, self.status.0.clone())?;
        self.link = Some(link.clone());
        let stopping = context.stopping();
        context.spawn("election", move || link.clone().run(stopping.clone()));
        Ok(())
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        match self.status.0.term() {
            Some(term) => {
                let term = i64::try_from(term).unwrap_or(i64::MAX);
                out.push(event.clone().with_attribute("leader.term", term));
            }
            None => {
                self.status.0.refused.add_one();
                out.push_at(1, event);
            }
        }
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(link) = self.link.take() {
            link.leave();
        }
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut leader = formatter.debug_struct("Leader");
        leader.field("service", &self.service).field("members", &self.rules.members);
        leader.field("settings", &self.settings).field("status", &self.status).finish_non_exhaustive()
    }
}
