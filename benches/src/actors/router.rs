//! A router of many rules, beside a loop over as many regular expressions that is an actor in the same flow.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use playhouse::actors::{Router, RouterSettings, When};
use playhouse::{Director, Emitter, Error, Event, Format, IntoNode, Light, Outbox, Ports, Result, sink, source};
use regex::Regex;
use tokio::sync::Notify;

use crate::{Flavor, Race, wanted};

/// The outboxes, which the rules share.
const OUTBOXES: [&str; 4] = ["north", "east", "south", "west"];

/// How many events run in one round, and how many where each costs as much as all rules do.
const EVENTS: usize = 50_000;

/// For how long each case runs.
const BUDGET: Duration = Duration::from_secs(15);

/// Races routers of 10, 1,000 and 10,000 rules against the loop, and against a growth in line with the rules.
///
/// # Errors
/// Where the rules do not compile.
pub fn race() -> Result<()> {
    for rules in [10, 1_000, 10_000] {
        let case = format!("router-{rules}");
        if wanted(&case) {
            router(rules)?;
            looped(rules)?;
            let few = (500_000 / rules).clamp(50, EVENTS);
            Race::new(case, "events/s")
                .ours("", || per_second(router(rules), rules, EVENTS))
                .peer("loop", || per_second(looped(rules), rules, few))
                .run(BUDGET, 9);
        }
    }
    for rules in [1_000, 10_000] {
        let case = format!("router-growth-{rules}");
        if wanted(&case) {
            Race::new(case, "events/s")
                .ours("", || per_second(router(rules), rules, EVENTS))
                .peer("linear", || per_second(router(10), 10, EVENTS) * 10.0 / rules as f64)
                .run(BUDGET, 9);
        }
    }
    Ok(())
}

fn pattern(rule: usize) -> String {
    format!(r"^/shops/\d+/items/item-{rule}$")
}

fn router(rules: usize) -> Result<Router> {
    let settings = (0..rules).fold(RouterSettings::whitelist(), |settings, rule| {
        let when = When::attribute("http.path").matches(pattern(rule));
        settings.route(when, [OUTBOXES[rule % OUTBOXES.len()]])
    });
    Router::new(RouterSettings { outboxes: OUTBOXES.map(str::to_owned).to_vec(), ..settings })
}

/// Tries all patterns, since all that match count.
struct Loop(Vec<Regex>);

fn looped(rules: usize) -> Result<Loop> {
    let patterns =
        (0..rules).map(|rule| Regex::new(&pattern(rule)).map_err(|error| Error::malformed(error.to_string())));
    patterns.collect::<Result<_>>().map(Loop)
}

impl Light for Loop {
    fn ports(&self) -> Ports {
        OUTBOXES.iter().fold(Ports::sink(Format::ANY), |ports, &name| ports.with_outbox(name, Format::ANY))
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let path = event.attributes().text("http.path").unwrap_or_default();
        let mut to = [false; OUTBOXES.len()];
        for (rule, _) in self.0.iter().enumerate().filter(|(_, pattern)| pattern.is_match(&path)) {
            to[rule % OUTBOXES.len()] = true;
        }
        (0..to.len()).filter(|&outbox| to[outbox]).for_each(|outbox| out.push_at(outbox, event));
        Ok(())
    }
}

/// Returns how many events an actor routes in a second, each to one outbox. It is made before the clock runs.
fn per_second<A: IntoNode<M>, M>(actor: Result<A>, rules: usize, events: usize) -> f64 {
    let actor = actor.unwrap_or_else(|error| panic!("the rules are right: {error}"));
    let paths: Arc<[String]> =
        (0..1000).map(|number| format!("/shops/4711/items/item-{}", number * 7919 % rules)).collect();
    let time = Flavor::CurrentThread.runtime().block_on(run(actor, paths, events));
    events as f64 / time.as_secs_f64()
}

async fn run<A: IntoNode<M>, M>(actor: A, paths: Arc<[String]>, events: usize) -> Duration {
    let mut director = Director::new("router");
    let (left, done) = (Arc::new(AtomicUsize::new(events)), Arc::new(Notify::new()));
    let begin = Arc::new(Notify::new());
    let feed = {
        let begin = begin.clone();
        source(move |emitter: Emitter| {
            let (begin, paths) = (begin.clone(), paths.clone());
            async move {
                begin.notified().await;
                for number in 0..events {
                    let path = paths[number % paths.len()].clone();
                    emitter.send(Event::new(()).with_attribute("http.path", path)).await?;
                }
                Ok(())
            }
        })
    };
    let feed = director.register("source", feed);
    let routed = director.register("routed", actor);
    director.connect(feed, routed);
    for name in OUTBOXES {
        let (left, done) = (left.clone(), done.clone());
        let end = director.register(
            name,
            sink(move |_: &Event| {
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    done.notify_one();
                }
                Ok(())
            }),
        );
        director.connect(routed.port(name), end);
    }
    let flow = director.build().expect("the graph is right");
    let running = flow.start().await.expect("the graph starts");
    let began = Instant::now();
    begin.notify_one();
    done.notified().await;
    let time = began.elapsed();
    running.stop(Duration::from_secs(10)).await.expect("the graph stops");
    time
}

impl fmt::Debug for Loop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Loop").field(&self.0.len()).finish()
    }
}
