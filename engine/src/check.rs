//! What can be wrong with a graph whose names are known. Every check reports all that it finds.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::kosaraju_scc;

use crate::connection::Kind;
use crate::director::Settings;
use crate::plan::{PlannedActor, PlannedEdge, counted, directed};
use crate::policy::Overflow;
use crate::ports::Role;
use crate::problem::{Problem, ProblemKind};

pub(crate) fn all(actors: &[PlannedActor], edges: &[PlannedEdge], settings: &Settings, problems: &mut Vec<Problem>) {
    let mut check = Check { actors, edges, problems };
    check.names();
    check.policies();
    check.formats();
    check.twice();
    // A connection that could not be resolved is reported already; that something lacks one would say it twice.
    let unresolved = [ProblemKind::UnknownActor, ProblemKind::UnknownPort];
    if check.problems.iter().all(|problem| !unresolved.contains(&problem.kind)) {
        check.unconnected();
    }
    if settings.demand_error_routes {
        check.error_routes();
    }
    check.rings();
}

struct Check<'a> {
    actors: &'a [PlannedActor],
    edges: &'a [PlannedEdge],
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn report(&mut self, kind: ProblemKind, message: String) {
        self.problems.push(Problem { kind, message });
    }

    fn names(&mut self) {
        let mut counts: Vec<_> = counted(self.actors.iter().map(|actor| actor.name.clone())).into_iter().collect();
        counts.sort();
        for (name, count) in counts {
            if name.is_empty() {
                self.report(ProblemKind::Name, "an actor has an empty name".to_owned());
            } else if count > 1 {
                self.report(ProblemKind::Name, format!("{count} actors have the name `{name}`; a name is for one"));
            }
        }
        for actor in self.actors {
            for (what, ports) in [("inboxes", &actor.ports.inboxes), ("outboxes", &actor.ports.outboxes)] {
                let mut counts: Vec<_> = counted(ports.iter().map(|port| port.name())).into_iter().collect();
                counts.sort_unstable();
                for (name, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
                    let message =
                        format!("`{}` has {count} {what} with the name `{name}`; a name is for one", actor.name);
                    self.report(ProblemKind::Name, message);
                }
            }
        }
    }

    fn policies(&mut self) {
        for actor in self.actors {
            let (name, policy) = (&actor.name, &actor.policy);
            let mut wrong = Vec::new();
            if policy.capacity == 0 {
                wrong.push("capacity");
            }
            if policy.retry.attempts == 0 {
                wrong.push("retry.attempts");
            }
            if policy.deadline.is_zero() {
                wrong.push("deadline");
            }
            for setting in wrong {
                self.report(
                    ProblemKind::Policy,
                    format!("the policy of `{name}` has a `{setting}` of 0; expected more"),
                );
            }
            if actor.is_light && policy.retry.attempts > 1 {
                let message = format!(
                    "`{name}` is light and cannot wait, so its policy cannot have `retry`; make it an `Actor` to have events tried again"
                );
                self.report(ProblemKind::Policy, message);
            }
        }
    }

    fn formats(&mut self) {
        for edge in self.edges {
            let Some((from, outbox)) = edge.from.zip(edge.outbox) else {
                continue;
            };
            let from = &self.actors[from];
            let to = &self.actors[edge.to];
            let (outbox, inbox) = (&from.ports.outboxes[outbox], &to.ports.inboxes[usize::from(edge.inbox)]);
            if !outbox.format.intersects(inbox.format) {
                let message = format!(
                    "`{}` gives {} in `{}`, and `{}` takes {} in `{}`",
                    from.name, outbox.format, outbox.name, to.name, inbox.format, inbox.name
                );
                self.report(ProblemKind::Format, message);
            }
        }
    }

    fn twice(&mut self) {
        let mut seen = HashSet::new();
        let mut leaving: HashMap<_, usize> = HashMap::new();
        let mut arriving: HashMap<_, usize> = HashMap::new();
        for edge in self.edges {
            if !seen.insert((edge.from, edge.outbox, edge.to, edge.inbox, edge.kind)) {
                let message = format!("{} is connected to {} twice", self.sender(edge), self.receiver(edge));
                self.report(ProblemKind::ConnectedTwice, message);
            }
            *leaving.entry((edge.from, edge.outbox, edge.kind)).or_default() += 1;
            *arriving.entry((edge.to, edge.inbox)).or_default() += 1;
        }
        for (index, actor) in self.actors.iter().enumerate() {
            for (number, port) in actor.ports.outboxes.iter().enumerate().filter(|(_, port)| port.single) {
                let count = leaving.get(&(Some(index), Some(number), Kind::Data)).copied().unwrap_or_default();
                if count > 1 {
                    let message =
                        format!("outbox `{}` of `{}` has {count} connections; it takes one", port.name, actor.name);
                    self.report(ProblemKind::ConnectedTwice, message);
                }
            }
            for (number, port) in actor.ports.inboxes.iter().enumerate().filter(|(_, port)| port.single) {
                let number = u16::try_from(number).unwrap_or(u16::MAX);
                let count = arriving.get(&(index, number)).copied().unwrap_or_default();
                if count > 1 {
                    let message =
                        format!("inbox `{}` of `{}` has {count} connections; it takes one", port.name, actor.name);
                    self.report(ProblemKind::ConnectedTwice, message);
                }
            }
        }
    }

    fn unconnected(&mut self) {
        let mut left = HashSet::new();
        let mut reached = HashSet::new();
        let mut touched = HashSet::new();
        let mut fed = HashSet::new();
        for edge in self.edges {
            left.extend(edge.from.zip(edge.outbox));
            touched.extend(edge.from);
            touched.insert(edge.to);
            reached.insert(edge.to);
            fed.insert((edge.to, usize::from(edge.inbox)));
        }
        for (index, actor) in self.actors.iter().enumerate() {
            let name = &actor.name;
            if actor.ports.is_alone() {
                continue;
            }
            if !touched.contains(&index) {
                self.report(ProblemKind::NotConnected, format!("`{name}` is connected to nothing"));
                continue;
            }
            if !actor.ports.emits() && !reached.contains(&index) {
                self.report(ProblemKind::NotConnected, format!("nothing is connected to an inbox of `{name}`"));
            }
            for (number, port) in actor.ports.inboxes.iter().enumerate() {
                if !port.optional && !fed.contains(&(index, number)) {
                    let message = format!("nothing is connected to inbox `{}` of `{name}`", port.name);
                    self.report(ProblemKind::NotConnected, message);
                }
            }
            for (number, port) in actor.ports.outboxes.iter().enumerate() {
                if !port.optional && !left.contains(&(index, number)) {
                    let message = format!("outbox `{}` of `{name}` is connected to nothing", port.name);
                    self.report(ProblemKind::NotConnected, message);
                }
            }
        }
    }

    fn error_routes(&mut self) {
        // What takes errors has nowhere to send its own but the log.
        let errors = self.edges.iter().filter(|edge| edge.kind == Kind::Error);
        let free: HashSet<_> = errors.flat_map(|edge| edge.from.into_iter().chain([edge.to])).collect();
        for (index, actor) in self.actors.iter().enumerate() {
            if !free.contains(&index) && !actor.ports.is_alone() {
                let message = format!("`{}` has no error route, and this flow demands one of every actor", actor.name);
                self.report(ProblemKind::NoErrorRoute, message);
            }
        }
    }

    /// Finds rings in which every inbox makes its senders wait. An endpoint's handler pushes nothing, so a ring through
    /// its outboxes is broken there; what it fails on it does send.
    fn rings(&mut self) {
        let waits: Vec<_> = self
            .edges
            .iter()
            .filter(|edge| {
                let pushes = edge.kind == Kind::Error
                    || edge.from.is_some_and(|from| self.actors[from].ports.role != Role::Endpoint);
                pushes && self.actors[edge.to].policy.overflow == Overflow::Wait
            })
            .collect();
        let mut next = vec![Vec::new(); self.actors.len()];
        for edge in &waits {
            if let Some(from) = edge.from {
                next[from].push(edge.to);
            }
        }
        let components = kosaraju_scc(&directed(self.actors.len(), waits.iter().copied()));
        for component in components.into_iter().rev() {
            let within: HashSet<_> = component.iter().map(|node| node.index()).collect();
            let first = within.iter().copied().min().unwrap_or_default();
            if let Some(ring) = shortest_ring(first, &next, &within) {
                let names: Vec<_> = ring.iter().map(|&index| format!("`{}`", self.actors[index].name)).collect();
                let message = format!(
                    "{} is a ring in which every inbox waits, so full queues could bring it to a stand; give one of them a policy that sheds or drops",
                    names.join(" -> ")
                );
                self.report(ProblemKind::Ring, message);
            }
        }
    }

    fn sender(&self, edge: &PlannedEdge) -> String {
        match (edge.from, edge.outbox) {
            (Some(from), Some(outbox)) => {
                let actor = &self.actors[from];
                format!("outbox `{}` of `{}`", actor.ports.outboxes[outbox].name, actor.name)
            }
            (Some(from), None) => format!("the error route of `{}`", self.actors[from].name),
            (None, _) => "the log".to_owned(),
        }
    }

    fn receiver(&self, edge: &PlannedEdge) -> String {
        let actor = &self.actors[edge.to];
        format!("inbox `{}` of `{}`", actor.ports.inboxes[usize::from(edge.inbox)].name, actor.name)
    }
}

/// Returns the shortest way from `first` back to itself, both ends included, within a strongly connected component.
fn shortest_ring(first: usize, next: &[Vec<usize>], within: &HashSet<usize>) -> Option<Vec<usize>> {
    let mut came_from = HashMap::new();
    let mut queue = VecDeque::from([first]);
    while let Some(at) = queue.pop_front() {
        for &to in next[at].iter().filter(|to| within.contains(to)) {
            if to == first {
                let mut ring = vec![first, at];
                let mut back = at;
                while back != first {
                    back = came_from[&back];
                    ring.push(back);
                }
                if at == first {
                    ring.truncate(2);
                }
                ring.reverse();
                return Some(ring);
            }
            if let Entry::Vacant(unseen) = came_from.entry(to) {
                unseen.insert(at);
                queue.push_back(to);
            }
        }
    }
    None
}
