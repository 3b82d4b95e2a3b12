//! A flow's graph as data: what is connected to what, and how it is drawn.

use std::fmt::Write;

use serde::Serialize;

use crate::connection::Kind;
use crate::policy::Policy;
use crate::ports::{Port, Role};

/// A flow's graph.
#[derive(Clone, Debug, Serialize)]
pub struct Graph {
    /// The flow's name.
    pub name: String,
    /// The actors, in the order in which they were registered.
    pub actors: Vec<ActorNode>,
    /// The connections, in the order in which they were made.
    pub connections: Vec<Edge>,
}

/// An actor of a graph.
#[derive(Clone, Debug, Serialize)]
pub struct ActorNode {
    /// The name under which it was registered.
    pub name: String,
    /// The Rust type that it has.
    pub type_name: String,
    /// Its inboxes, the default one first.
    pub inboxes: Vec<Port>,
    /// Its outboxes, the default one first.
    pub outboxes: Vec<Port>,
    /// How it is run.
    pub policy: Policy,
    /// The actor in whose task it runs, where it has none of its own.
    pub within: Option<String>,
    pub(crate) role: Role,
}

/// A connection of a graph.
#[derive(Clone, Debug, Serialize)]
pub struct Edge {
    /// The sender's place in [`Graph::actors`]; none for the flow's own log.
    pub from: Option<usize>,
    /// The sender's outbox; none for an error route and for the log.
    pub outbox: Option<String>,
    /// The receiver's place in [`Graph::actors`].
    pub to: usize,
    /// The receiver's inbox.
    pub inbox: String,
    /// What travels on it.
    pub kind: Kind,
}

impl Graph {
    /// Draws the graph in the DOT language of Graphviz.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut dot = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quoted(&self.name));
        for actor in &self.actors {
            let _ = writeln!(dot, "  {} [shape={}];", quoted(&actor.name), dot_shape(actor.role));
        }
        if self.connections.iter().any(|edge| edge.from.is_none()) {
            let _ = writeln!(dot, "  {} [shape={}];", quoted(self.log_name()), dot_shape(Role::Source));
        }
        for edge in &self.connections {
            let (from, to) = (self.sender(edge), &self.actors[edge.to].name);
            let style = match edge.kind {
                Kind::Data => "",
                Kind::Error => "style=dashed, color=red, ",
                Kind::Log => "style=dotted, ",
            };
            let label = quoted(&edge.label());
            let _ = writeln!(dot, "  {} -> {} [{style}label={label}];", quoted(from), quoted(to));
        }
        dot.push_str("}\n");
        dot
    }

    /// Draws the graph in the Mermaid language, as Markdown pages show it.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for (number, actor) in self.actors.iter().enumerate() {
            let name = escaped(&actor.name);
            let _ = match actor.role {
                Role::Pipe => writeln!(text, "  a{number}[\"{name}\"]"),
                Role::Source => writeln!(text, "  a{number}([\"{name}\"])"),
                Role::Endpoint => writeln!(text, "  a{number}[[\"{name}\"]]"),
            };
        }
        if self.connections.iter().any(|edge| edge.from.is_none()) {
            let _ = writeln!(text, "  log([\"{}\"])", escaped(self.log_name()));
        }
        for edge in &self.connections {
            let from = edge.from.map_or("log".to_owned(), |from| format!("a{from}"));
            let arrow = if edge.kind == Kind::Data { "-->" } else { "-.->" };
            let label = edge.label();
            let label = if label.is_empty() { label } else { format!("|\"{}\"|", escaped(&label)) };
            let _ = writeln!(text, "  {from} {arrow}{label} a{}", edge.to);
        }
        text
    }

    pub(crate) fn sender(&self, edge: &Edge) -> &str {
        edge.from.map_or(self.log_name(), |from| &self.actors[from].name)
    }

    /// An actor that takes the log is often named after it, and must not be taken for it.
    fn log_name(&self) -> &str {
        "(log)"
    }
}

impl Edge {
    /// Ports with their default names say nothing, so they are left out.
    fn label(&self) -> String {
        use crate::ports::{DEFAULT_INBOX, DEFAULT_OUTBOX};
        let from = match (self.kind, self.outbox.as_deref()) {
            (Kind::Error, _) => "error",
            (Kind::Log, _) | (_, None | Some(DEFAULT_OUTBOX)) => "",
            (Kind::Data, Some(name)) => name,
        };
        match self.inbox.as_str() {
            DEFAULT_INBOX => from.to_owned(),
            inbox => format!("{from} > {inbox}").trim_start().to_owned(),
        }
    }
}

fn dot_shape(role: Role) -> &'static str {
    match role {
        Role::Pipe => "box",
        Role::Source => "oval",
        Role::Endpoint => "component",
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn escaped(text: &str) -> String {
    text.replace('&', "#38;").replace('"', "#quot;")
}
