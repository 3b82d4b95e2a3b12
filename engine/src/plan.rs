//! A graph with its names resolved: what the director described, as numbers, once nothing is wrong with it.

use std::collections::HashMap;
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::check;
use crate::connection::{Connection, Kind, PortRef};
use crate::director::{Registered, Settings};
use crate::fusion::Fusion;
use crate::graph::{ActorNode, Edge, Graph};
use crate::policy::Policy;
use crate::ports::{Port, Ports, Role};
use crate::problem::{BuildErrors, Problem, ProblemKind};

/// A graph that can be run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) name: Arc<str>,
    pub(crate) actors: Vec<PlannedActor>,
    pub(crate) edges: Vec<PlannedEdge>,
    /// The numbers of the edges that leave each actor, its log edges aside.
    pub(crate) leaving: Vec<Vec<usize>>,
    pub(crate) fusion: Fusion,
}

#[derive(Debug)]
pub(crate) struct PlannedActor {
    pub(crate) name: Arc<str>,
    pub(crate) type_name: &'static str,
    pub(crate) ports: Arc<Ports>,
    pub(crate) policy: Policy,
    pub(crate) is_light: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedEdge {
    /// None for the flow's own log.
    pub(crate) from: Option<usize>,
    /// None for an error route and for the log.
    pub(crate) outbox: Option<usize>,
    pub(crate) to: usize,
    pub(crate) inbox: u16,
    pub(crate) kind: Kind,
}

impl Plan {
    pub(crate) fn new(
        flow: &str,
        director: usize,
        registered: &[Registered],
        connections: &[Connection],
        default_error: &Option<PortRef>,
        settings: &Settings,
    ) -> Result<Self, BuildErrors> {
        let mut resolver = Resolver {
            director,
            names: registered.iter().map(|registered| registered.name.as_str()).collect(),
            ports: registered.iter().map(|registered| registered.node.ports()).collect(),
            problems: Vec::new(),
        };
        let mut edges: Vec<_> = connections.iter().filter_map(|connection| resolver.edge(connection)).collect();
        if let Some(taker) = default_error {
            resolver.add_default_errors(taker, &mut edges);
        }
        let Resolver { ports, mut problems, .. } = resolver;
        let actors: Vec<_> =
            registered.iter().zip(ports).map(|(registered, ports)| PlannedActor::new(registered, ports)).collect();
        check::all(&actors, &edges, settings, &mut problems);
        if !problems.is_empty() {
            return Err(BuildErrors { flow: flow.to_owned(), problems });
        }
        let mut leaving = vec![Vec::new(); actors.len()];
        for (number, edge) in edges.iter().enumerate() {
            if let Some(from) = edge.from {
                leaving[from].push(number);
            }
        }
        let fusion = if settings.fusion { Fusion::of(&actors, &edges) } else { Fusion::none(&actors, &edges) };
        Ok(Self { name: flow.into(), actors, edges, leaving, fusion })
    }

    /// Returns the actors in the order in which they start: receivers before their senders; in a ring, any order.
    pub(crate) fn start_order(&self) -> Vec<usize> {
        let graph = directed(self.actors.len(), self.edges.iter());
        // Strongly connected components come in reverse topological order.
        kosaraju_scc(&graph).into_iter().flatten().map(NodeIndex::index).collect()
    }

    /// Returns the actors that take the log's records, or may take what comes of them.
    pub(crate) fn behind_the_log(&self) -> impl Iterator<Item = usize> {
        let mut is_behind = vec![false; self.actors.len()];
        let mut open: Vec<_> = self.edges.iter().filter(|edge| edge.kind == Kind::Log).map(|edge| edge.to).collect();
        while let Some(actor) = open.pop() {
            if !std::mem::replace(&mut is_behind[actor], true) {
                open.extend(self.leaving[actor].iter().map(|&number| self.edges[number].to));
            }
        }
        is_behind.into_iter().enumerate().filter(|(_, is_behind)| *is_behind).map(|(actor, _)| actor)
    }

    /// Returns the graph as data.
    pub(crate) fn graph(&self) -> Graph {
        let actors = self.actors.iter().zip(&self.fusion.within).map(|(actor, within)| ActorNode {
            name: actor.name.to_string(),
            type_name: actor.type_name.to_owned(),
            inboxes: actor.ports.inboxes.clone(),
            outboxes: actor.ports.outboxes.clone(),
            policy: actor.policy.clone(),
            within: within.map(|head| self.actors[head].name.to_string()),
            role: actor.ports.role,
        });
        let connections = self.edges.iter().map(|edge| Edge {
            from: edge.from,
            outbox: edge
                .from
                .zip(edge.outbox)
                .map(|(from, outbox)| self.actors[from].ports.outboxes[outbox].name.to_string()),
            to: edge.to,
            inbox: self.actors[edge.to].ports.inboxes[usize::from(edge.inbox)].name.to_string(),
            kind: edge.kind,
        });
        Graph { name: self.name.to_string(), actors: actors.collect(), connections: connections.collect() }
    }
}

impl PlannedActor {
    fn new(registered: &Registered, ports: Ports) -> Self {
        Self {
            name: registered.name.as_str().into(),
            type_name: registered.node.type_name(),
            ports: Arc::new(ports),
            policy: registered.policy.clone(),
            is_light: registered.node.light().is_some(),
        }
    }
}

/// Makes a graph of the edges between actors.
pub(crate) fn directed<'a>(actors: usize, edges: impl Iterator<Item = &'a PlannedEdge>) -> DiGraph<(), ()> {
    let mut graph = DiGraph::new();
    let nodes: Vec<_> = (0..actors).map(|_| graph.add_node(())).collect();
    for edge in edges {
        if let Some(from) = edge.from {
            graph.add_edge(nodes[from], nodes[edge.to], ());
        }
    }
    graph
}

/// Turns the names in connections into numbers.
struct Resolver<'a> {
    director: usize,
    names: Vec<&'a str>,
    ports: Vec<Ports>,
    problems: Vec<Problem>,
}

impl Resolver<'_> {
    fn edge(&mut self, connection: &Connection) -> Option<PlannedEdge> {
        let kind = connection.kind;
        let to = self.actor(&connection.to);
        let inbox = to.and_then(|to| self.inbox(to, &connection.to));
        if kind == Kind::Log {
            return Some(PlannedEdge { from: None, outbox: None, to: to?, inbox: inbox?, kind });
        }
        let from = self.actor(&connection.from);
        let outbox = match kind {
            Kind::Data => Some(from.and_then(|from| self.outbox(from, &connection.from))),
            Kind::Error | Kind::Log => None,
        };
        let (from, to, inbox) = (from?, to?, inbox?);
        let outbox = match outbox {
            Some(outbox) => Some(outbox?),
            None => None,
        };
        Some(PlannedEdge { from: Some(from), outbox, to, inbox, kind })
    }

    fn actor(&mut self, port: &PortRef) -> Option<usize> {
        if port.actor.director == self.director {
            return Some(port.actor.index);
        }
        let message = "a connection names an actor that was registered with another director".to_owned();
        self.problems.push(Problem { kind: ProblemKind::UnknownActor, message });
        None
    }

    fn inbox(&mut self, actor: usize, port: &PortRef) -> Option<u16> {
        let ports = &mut self.ports[actor];
        if let Some(name) = &port.name
            && ports.any_inbox
            && let Some(first) = ports.inboxes.first().cloned()
            && ports.inboxes.iter().all(|port| port.name != *name)
        {
            ports.inboxes.push(Port { name: name.clone(), ..first });
        }
        let found = position(&ports.inboxes, port);
        if found.is_none() {
            let message = unknown(self.names[actor], "inbox", port, &self.ports[actor].inboxes);
            self.problems.push(Problem { kind: ProblemKind::UnknownPort, message });
        }
        found.and_then(|index| u16::try_from(index).ok())
    }

    fn outbox(&mut self, actor: usize, port: &PortRef) -> Option<usize> {
        let found = position(&self.ports[actor].outboxes, port);
        if found.is_none() {
            let message = unknown(self.names[actor], "outbox", port, &self.ports[actor].outboxes);
            self.problems.push(Problem { kind: ProblemKind::UnknownPort, message });
        }
        found
    }

    /// Connects the error route of every actor that has none to `taker`; not of those that `taker` itself sends to, whose
    /// errors would come back to them.
    fn add_default_errors(&mut self, taker: &PortRef, edges: &mut Vec<PlannedEdge>) {
        let Some(to) = self.actor(taker) else { return };
        let Some(inbox) = self.inbox(to, taker) else {
            return;
        };
        let mut has_route = vec![false; self.names.len()];
        has_route[to] = true;
        for edge in edges.iter().filter(|edge| edge.kind == Kind::Error) {
            if let Some(from) = edge.from {
                has_route[from] = true;
            }
        }
        let mut behind = vec![to];
        while let Some(at) = behind.pop() {
            // An endpoint's handler pushes nothing: what its own tasks send is no answer to an error.
            let is_endpoint = self.ports[at].role == Role::Endpoint;
            let pushes = |edge: &&PlannedEdge| edge.from == Some(at) && !(is_endpoint && edge.kind == Kind::Data);
            for edge in edges.iter().filter(pushes) {
                if !std::mem::replace(&mut has_route[edge.to], true) {
                    behind.push(edge.to);
                }
            }
        }
        let without = has_route.iter().enumerate().filter(|(_, has)| !**has);
        edges.extend(without.map(|(from, _)| PlannedEdge {
            from: Some(from),
            outbox: None,
            to,
            inbox,
            kind: Kind::Error,
        }));
    }
}

fn position(ports: &[Port], wanted: &PortRef) -> Option<usize> {
    match &wanted.name {
        Some(name) => ports.iter().position(|port| port.name == *name),
        None => (!ports.is_empty()).then_some(0),
    }
}

fn unknown(actor: &str, what: &str, wanted: &PortRef, ports: &[Port]) -> String {
    let wanted = wanted.name.as_ref().map_or(String::new(), |name| format!(" `{name}`"));
    if ports.is_empty() {
        return format!("`{actor}` has no {what}{wanted}; it has none");
    }
    let names: Vec<_> = ports.iter().map(|port| format!("`{}`", port.name)).collect();
    format!("`{actor}` has no {what}{wanted}; it has {}", names.join(", "))
}

/// Counts how often each thing occurs.
pub(crate) fn counted<T: std::hash::Hash + Eq>(things: impl Iterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for thing in things {
        *counts.entry(thing).or_insert(0) += 1;
    }
    counts
}
