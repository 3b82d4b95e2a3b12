//! Which light actors run within the tasks of their producers.
//!
//! A light actor that keeps order runs within its producer's task where all its events come from that one task. One that
//! says that order means nothing to it runs within the tasks of all its producers, and has one of its own for what sources
//! send. And a source runs its events itself through the light actor that they come to first, while that one's own worker has
//! nothing to do; where two sources meet there, the second one's events wait in the inbox. Nothing that can be seen changes: policy, error route, statistics and ledger of each stay its own. So an actor is
//! left alone where its policy asks for what only a queue of its own can give: shedding or dropping.

use crate::connection::Kind;
use crate::plan::{PlannedActor, PlannedEdge};
use crate::policy::Overflow;

/// How many light actors may run one behind the other within a task: each may take a bit of its stack.
const DEPTH: usize = 64;

/// Which actors and connections need no queue.
#[derive(Debug)]
pub(crate) struct Fusion {
    /// For each actor, the one in whose task it runs, where it has no task of its own.
    pub(crate) within: Vec<Option<usize>>,
    /// For each connection, whether what a handler sends on it is handed over by a call.
    pub(crate) by_call: Vec<bool>,
    /// For each actor, whether sources run their events through it themselves while its worker has nothing to do.
    pub(crate) lends: Vec<bool>,
}

impl Fusion {
    /// Every actor has a task, and every connection a queue.
    pub(crate) fn none(actors: &[PlannedActor], edges: &[PlannedEdge]) -> Self {
        let lends = vec![false; actors.len()];
        Self { within: vec![None; actors.len()], by_call: vec![false; edges.len()], lends }
    }

    pub(crate) fn of(actors: &[PlannedActor], edges: &[PlannedEdge]) -> Self {
        let mut fusion = Self::none(actors, edges);
        let mut arriving = vec![Vec::new(); actors.len()];
        for (number, edge) in edges.iter().enumerate() {
            arriving[edge.to].push(number);
        }
        let can = |index: usize| {
            let actor: &PlannedActor = &actors[index];
            actor.is_light && actor.policy.overflow == Overflow::Wait
        };
        let in_any_order = |index: usize| actors[index].ports.concurrent || actors[index].policy.workers.count() > 1;
        // The producer of each actor that keeps order and has one producer whose handler alone feeds it, from one task.
        let producer: Vec<Option<usize>> = (0..actors.len())
            .map(|index| match arriving[index].as_slice() {
                [only] if can(index) && !in_any_order(index) && edges[*only].kind != Kind::Log => edges[*only]
                    .from
                    .filter(|&from| !actors[from].ports.emits() && !in_any_order(from) && from != index),
                _ => None,
            })
            .collect();
        for (index, actor) in actors.iter().enumerate() {
            fusion.lends[index] = can(index) && actor.policy.workers.count() == 1;
        }
        for (index, head) in heads(&producer).into_iter().enumerate() {
            if let Some(head) = head {
                fusion.within[index] = Some(head);
                fusion.by_call[arriving[index][0]] = true;
            }
        }
        for (index, arriving) in arriving.iter().enumerate() {
            // What calls on further actors could call on itself, through others like it.
            let ends = edges.iter().all(|edge| edge.from != Some(index))
                || actors[index].ports.role == crate::ports::Role::Endpoint;
            if can(index) && in_any_order(index) && ends {
                for &number in arriving.iter().filter(|&&number| edges[number].kind != Kind::Log) {
                    fusion.by_call[number] = true;
                }
            }
        }
        fusion
    }
}

/// Returns for each actor the head of the chain that it runs within; none for those that run by themselves.
fn heads(producer: &[Option<usize>]) -> Vec<Option<usize>> {
    #[derive(Clone, Copy)]
    struct Place {
        head: usize,
        depth: usize,
    }
    let mut places: Vec<Option<Place>> = vec![None; producer.len()];
    for start in 0..producer.len() {
        // Up to an actor whose place is known, or that has no producer, or to the start of a ring.
        let mut way = vec![start];
        let mut at = start;
        while let Some(up) = producer[at]
            && places[at].is_none()
            && up != start
        {
            way.push(up);
            at = up;
        }
        for &index in way.iter().rev() {
            if places[index].is_some() {
                continue;
            }
            let above = producer[index].and_then(|up| places[up]).filter(|above| above.depth < DEPTH);
            places[index] = Some(match above {
                Some(Place { head, depth }) => Place { head, depth: depth + 1 },
                None => Place { head: index, depth: 0 },
            });
        }
    }
    let head = |(index, place): (usize, Option<Place>)| place.map(|place| place.head).filter(|&head| head != index);
    places.into_iter().enumerate().map(head).collect()
}
