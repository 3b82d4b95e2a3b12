//! Random graphs under panics, failures, retries, shedding and stops at random moments, with fusion on and off: the ledger
//! balances, order holds with one worker, and every receipt settles exactly once and rightly.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use playhouse_engine::{
    Actor, Context, Director, Error, Event, Format, Kind, Light, Outbox, Overflow, Policy, Ports, Receipt, Result,
    Retry, Settings,
};
use proptest::prelude::*;

/// What an actor of a random graph does with an event.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Passes it on.
    Pass,
    /// Passes a derived event on.
    Derive,
    /// Passes two events on.
    Split,
    /// Ends every third event.
    Filter,
    /// Fails on every third event.
    Fail,
    /// Panics on every third event.
    Panic,
}

#[derive(Clone, Debug)]
struct ActorPlan {
    deed: Deed,
    is_light: bool,
    /// How many attempts of every event fail with a transient error.
    hiccups: usize,
    /// Whether the handler waits in between.
    waits: bool,
    workers: usize,
    capacity: usize,
    overflow: Overflow,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    /// After the sources have sent all.
    AllSent,
    /// After so many turns of the scheduler, drained.
    Drained(usize),
    /// After so many turns of the scheduler, aborted.
    Aborted(usize),
}

#[derive(Clone, Debug)]
struct GraphPlan {
    actors: Vec<ActorPlan>,
    /// From, to (behind it), and whether it is an error route.
    edges: Vec<(usize, usize, bool)>,
    sources: usize,
    events: usize,
    fusion: bool,
    many_threads: bool,
    ending: Ending,
}

/// What the actors saw, noted by themselves and not by the engine.
#[derive(Default)]
struct Notes {
    roots: HashMap<String, Root>,
    /// The numbers of the source's events in the order in which they came by one connection from one source.
    arrivals: HashMap<(usize, String, usize), Vec<usize>>,
    settled: HashMap<String, Vec<Result<()>>>,
}

/// What came of one event that a source sent.
#[derive(Clone, Debug, Default)]
struct Root {
    /// Copies that were sent, less copies that came.
    missing: i64,
    /// Copies that came along an error route because an inbox was full.
    shed: i64,
    /// Failures that no error route took.
    unhandled: usize,
}

struct Worker {
    index: usize,
    plan: ActorPlan,
    ways_on: usize,
    error_routes: usize,
    attempts: Mutex<HashMap<(u128, String, u64), usize>>,
    notes: Arc<Mutex<Notes>>,
    calls: AtomicUsize,
}

impl Worker {
    fn ports_of(&self) -> Ports {
        let ports = if self.ways_on > 0 { Ports::pipe(Format::ANY, Format::ANY) } else { Ports::sink(Format::ANY) };
        ports.with_any_inbox()
    }

    fn arrive(&self, event: &Event, inbox: &str) {
        let mut notes = self.notes.lock().unwrap();
        let (root, source, number) = root_of(event);
        let entry = notes.roots.entry(root).or_default();
        let is_shed = event.error().is_some_and(|error| error.kind() == Kind::Overloaded);
        if is_shed {
            entry.shed += 1;
        } else {
            entry.missing -= 1;
        }
        notes.arrivals.entry((self.index, inbox.to_owned(), source)).or_default().push(number);
    }

    fn act(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let unlucky = call % 3 == 2;
        let pushes = match self.plan.deed {
            Deed::Fail | Deed::Panic if unlucky => {
                let mut notes = self.notes.lock().unwrap();
                let root = notes.roots.entry(root_of(event).0).or_default();
                root.missing += self.error_routes as i64;
                root.unhandled += usize::from(self.error_routes == 0);
                drop(notes);
                if matches!(self.plan.deed, Deed::Panic) {
                    panic!("on purpose");
                }
                return Err(Error::unprocessable("on purpose"));
            }
            Deed::Filter if unlucky => 0,
            Deed::Split => 2,
            _ => 1,
        };
        if self.ways_on == 0 {
            return Ok(());
        }
        self.notes.lock().unwrap().roots.entry(root_of(event).0).or_default().missing += (pushes * self.ways_on) as i64;
        for push in 0..pushes {
            match self.plan.deed {
                Deed::Derive => out.push(event.clone().without_error().with_payload(format!("{push}"))),
                Deed::Split => out.push(event.branch(format!("{push}")).without_error()),
                // An event whose error nobody took away stays one: it goes on as it is.
                _ if event.error().is_some() => out.push(event.clone().without_error()),
                _ => out.push(event),
            }
        }
        Ok(())
    }
}

struct Quick(Worker);

impl Light for Quick {
    fn ports(&self) -> Ports {
        self.0.ports_of()
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.0.arrive(event, out.inbox());
        self.0.act(event, out)
    }
}

struct Slow(Worker);

impl Actor for Slow {
    fn ports(&self) -> Ports {
        self.0.ports_of()
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        // Each copy is known by its root, its connection and when it came, as far as a handler can tell copies apart.
        let attempts = {
            let mut attempts = self.0.attempts.lock().unwrap();
            let seen = attempts.entry((event.id().as_u128(), out.inbox().to_owned(), address(event))).or_insert(0);
            *seen += 1;
            *seen
        };
        if attempts <= self.0.plan.hiccups {
            return Err(Error::unavailable("a hiccup"));
        }
        self.0.attempts.lock().unwrap().remove(&(event.id().as_u128(), out.inbox().to_owned(), address(event)));
        self.0.arrive(event, out.inbox());
        // Some events only: so that one which waits has others of its batch behind it.
        if self.0.plan.waits && self.0.calls.load(Ordering::Relaxed) % 8 == 7 {
            tokio::task::yield_now().await;
        }
        self.0.act(event, out)
    }
}

/// The event lies still while it is tried again, so its place tells two copies of it apart.
fn address(event: &Event) -> u64 {
    std::ptr::from_ref(event).addr() as u64
}

fn root_of(event: &Event) -> (String, usize, usize) {
    let root = event.correlation_id().into_owned();
    let (source, number) = root.split_once('-').expect("a source names its events");
    let parsed = (source.parse().unwrap(), number.parse().unwrap());
    (root.clone(), parsed.0, parsed.1)
}

struct Numbers {
    source: usize,
    events: usize,
    ways_on: usize,
    notes: Arc<Mutex<Notes>>,
    sent: Arc<AtomicUsize>,
}

impl Actor for Numbers {
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let emitter = context.emitter()?;
        let (source, events, ways_on) = (self.source, self.events, self.ways_on);
        let (notes, sent) = (self.notes.clone(), self.sent.clone());
        context.spawn("numbers", move || {
            let (emitter, notes, sent) = (emitter.clone(), notes.clone(), sent.clone());
            async move {
                for number in 0..events {
                    let root = format!("{source}-{number}");
                    notes.lock().unwrap().roots.entry(root.clone()).or_default().missing += ways_on as i64;
                    let receipt = Receipt::new({
                        let (notes, root) = (notes.clone(), root.clone());
                        move |outcome| notes.lock().unwrap().settled.entry(root).or_default().push(outcome)
                    });
                    let event = Event::new("number").with_correlation_id(root).with_receipt(receipt);
                    if emitter.send(event).await.is_err() {
                        break;
                    }
                }
                sent.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        });
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

fn actor_plan() -> impl Strategy<Value = ActorPlan> {
    let deed = prop_oneof![
        3 => Just(Deed::Pass), 2 => Just(Deed::Derive), 1 => Just(Deed::Split), 1 => Just(Deed::Filter),
        1 => Just(Deed::Fail), 1 => Just(Deed::Panic),
    ];
    let overflow = prop_oneof![6 => Just(Overflow::Wait), 1 => Just(Overflow::Shed), 1 => Just(Overflow::Drop)];
    (
        deed,
        any::<bool>(),
        0..3_usize,
        any::<bool>(),
        prop_oneof![3 => Just(1_usize), 1 => 2..4_usize],
        1..9_usize,
        overflow,
    )
        .prop_map(|(deed, is_light, hiccups, waits, workers, capacity, overflow)| {
            // A hiccup is told from another event's by its place, which several workers share in turn.
            let hiccups = if is_light || workers > 1 { 0 } else { hiccups };
            ActorPlan { deed, is_light, hiccups, waits, workers, capacity, overflow }
        })
}

fn graph_plan() -> impl Strategy<Value = GraphPlan> {
    let ending = prop_oneof![2 => Just(Ending::AllSent), 1 => (0..60_usize).prop_map(Ending::Drained), 1 => (0..60_usize).prop_map(Ending::Aborted)];
    (
        prop::collection::vec(actor_plan(), 2..9),
        1..3_usize,
        1..60_usize,
        any::<bool>(),
        prop::bool::weighted(0.3),
        ending,
    )
        .prop_flat_map(|(actors, sources, events, fusion, many_threads, ending)| {
            let count = actors.len();
            let edge =
                (0..count - 1).prop_flat_map(move |from| (Just(from), from + 1..count, prop::bool::weighted(0.3)));
            prop::collection::vec(edge, 0..count * 2).prop_map(move |mut edges| {
                // Every actor but the first is reached, so that the graph is one that can be built.
                for to in 1..count {
                    if !edges.iter().any(|edge| edge.1 == to) {
                        edges.push((to - 1, to, false));
                    }
                }
                edges.sort_unstable();
                edges.dedup();
                GraphPlan { actors: actors.clone(), edges, sources, events, fusion, many_threads, ending }
            })
        })
}

/// Says for each actor whether what leaves it is in the order of the sources.
fn in_order(plan: &GraphPlan) -> Vec<bool> {
    let mut ordered = Vec::new();
    for (index, actor) in plan.actors.iter().enumerate() {
        let producers: Vec<_> = plan.edges.iter().filter(|edge| edge.1 == index).collect();
        // What is shed comes along another way than what is not, so it may overtake.
        let sheds = plan.actors.iter().any(|actor| actor.overflow == Overflow::Shed);
        let one_way = match producers.as_slice() {
            [] => true,
            [only] => index != 0 && ordered[only.0],
            _ => false,
        };
        ordered.push(actor.workers == 1 && one_way && !sheds);
    }
    ordered
}

async fn run(plan: &GraphPlan) {
    let notes = Arc::new(Mutex::new(Notes::default()));
    let sent = Arc::new(AtomicUsize::new(0));
    let settings = Settings { fusion: plan.fusion, ..Settings::default() };
    let mut director = Director::with_settings("random", settings);
    let actors: Vec<_> = plan
        .actors
        .iter()
        .enumerate()
        .map(|(index, actor)| {
            let leaving = |is_error| plan.edges.iter().filter(|edge| edge.0 == index && edge.2 == is_error).count();
            let worker = Worker {
                index,
                plan: actor.clone(),
                ways_on: leaving(false),
                error_routes: leaving(true),
                attempts: Mutex::default(),
                notes: notes.clone(),
                calls: AtomicUsize::new(0),
            };
            let retry = Retry { first_wait: Duration::from_micros(10), ..Retry::attempts(actor.hiccups + 1) };
            let policy = Policy {
                workers: actor.workers.into(),
                capacity: actor.capacity,
                overflow: actor.overflow,
                retry,
                ..Policy::default()
            };
            if actor.is_light {
                director.register_with(format!("actor {index}"), Quick(worker), policy)
            } else {
                director.register_with(format!("actor {index}"), Slow(worker), policy)
            }
        })
        .collect();
    for source in 0..plan.sources {
        let numbers = Numbers { source, events: plan.events, ways_on: 1, notes: notes.clone(), sent: sent.clone() };
        let numbers = director.register(format!("source {source}"), numbers);
        director.connect(numbers, actors[0].port(format!("from source {source}")));
    }
    for &(from, to, is_error) in &plan.edges {
        let inbox = actors[to].port(format!("from {from} {is_error}"));
        if is_error {
            director.connect_error(actors[from], inbox);
        } else {
            director.connect(actors[from], inbox);
        }
    }
    let running = director.build().unwrap().start().await.unwrap();
    let monitor = running.monitor();
    let turns = match plan.ending {
        Ending::AllSent => usize::MAX,
        Ending::Drained(turns) | Ending::Aborted(turns) => turns,
    };
    for _ in 0..turns {
        let ledger = monitor.ledger();
        assert!(ledger.balances(), "{ledger}");
        if sent.load(Ordering::SeqCst) == plan.sources {
            break;
        }
        tokio::task::yield_now().await;
    }
    let aborted = matches!(plan.ending, Ending::Aborted(_));
    let outcome = running.stop(if aborted { Duration::ZERO } else { Duration::from_secs(60) }).await;
    let ledger = monitor.ledger();
    assert!(ledger.balances(), "{ledger}");
    match &outcome {
        Ok(last) => assert_eq!((last.in_flight, *last), (0, ledger)),
        Err(error) => assert!(aborted && error.kind() == Kind::Timeout, "{error}"),
    }
    drop(monitor);
    check_receipts(plan, &notes.lock().unwrap(), outcome.is_err());
    check_order(plan, &notes.lock().unwrap());
}

fn check_receipts(plan: &GraphPlan, notes: &Notes, was_aborted: bool) {
    for (name, root) in &notes.roots {
        let settled = notes.settled.get(name).map_or(&[][..], Vec::as_slice);
        assert_eq!(settled.len(), 1, "the receipt of {name} settled {} times: {root:?}", settled.len());
        match &settled[0] {
            // Every shed copy came along an error route, at least once.
            Ok(()) => assert!(
                root.unhandled == 0 && root.missing <= root.shed,
                "the receipt of {name} says that all went well: {root:?} in {plan:?}"
            ),
            Err(error) => assert!(
                root.unhandled > 0 || root.missing > 0 || was_aborted,
                "the receipt of {name} says {error:?}, and nothing was lost: {root:?} in {plan:?}"
            ),
        }
    }
}

fn check_order(plan: &GraphPlan, notes: &Notes) {
    let ordered = in_order(plan);
    for ((index, inbox, source), numbers) in &notes.arrivals {
        let producers = plan.edges.iter().filter(|edge| edge.1 == *index).collect::<Vec<_>>();
        let from = producers.iter().find(|edge| *inbox == format!("from {} {}", edge.0, edge.2));
        let is_ordered = plan.actors[*index].workers == 1 && from.is_none_or(|edge| ordered[edge.0]);
        if is_ordered {
            assert!(numbers.is_sorted(), "{index} got from {inbox} of source {source}: {numbers:?} in {plan:?}");
        }
    }
}

/// Keeps the panics that are on purpose off the screen.
fn hush() {
    static HUSH: Once = Once::new();
    HUSH.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref() != Some(&"on purpose") {
                show(panic);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_balances_order_holds_and_receipts_settle_once_and_rightly(plan in graph_plan()) {
        hush();
        let runtime = if plan.many_threads {
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()
        } else {
            tokio::runtime::Builder::new_current_thread().enable_time().build()
        };
        runtime.unwrap().block_on(run(&plan));
    }
}
