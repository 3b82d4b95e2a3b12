//! What can be wrong with a graph, all of it at once.

use std::time::Duration;

use playhouse_engine::{
    Actor, ActorRef, ConnectionKind, Director, Event, Format, Light, Outbox, Overflow, Policy, Ports, ProblemKind,
    Result, Retry, Settings, map, sink, source,
};

use crate::common::room;

/// A light actor that is nothing but its ports.
struct Just(Ports);

impl Light for Just {
    fn ports(&self) -> Ports {
        self.0.clone()
    }

    fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

fn nothing(director: &mut Director, name: &str) -> ActorRef {
    director.register(name, source(|_| async { Ok(()) }))
}

fn end(director: &mut Director, name: &str) -> ActorRef {
    director.register(name, sink(|_| Ok(())))
}

fn pipe(director: &mut Director, name: &str) -> ActorRef {
    director.register(name, map(Event::clone))
}

#[track_caller]
fn problems(director: Director) -> Vec<(ProblemKind, String)> {
    let errors = director.build().expect_err("the graph is wrong");
    errors.problems.into_iter().map(|problem| (problem.kind, problem.message)).collect()
}

#[track_caller]
fn has(director: Director, expected: &[(ProblemKind, &str)]) {
    let found = problems(director);
    let found: Vec<_> = found.iter().map(|(kind, message)| (*kind, message.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn names_must_be_there_and_be_different() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "a");
    let ends = [end(&mut director, "b"), end(&mut director, "b"), end(&mut director, "b"), end(&mut director, "")];
    director.connect(source, ends);
    has(
        director,
        &[
            (ProblemKind::Name, "an actor has an empty name"),
            (ProblemKind::Name, "3 actors have the name `b`; a name is for one"),
        ],
    );
}

#[test]
fn a_port_that_is_not_there_is_named_with_those_that_are() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    let two = director.register("two", Just(Ports::sink(Format::ANY).with_inbox("urgent", Format::ANY)));
    director.connect(source.port("out"), two.port("in"));
    director.connect(source, source);
    director.connect(two, two);
    director.connect_error(two, source);
    has(
        director,
        &[
            (ProblemKind::UnknownPort, "`two` has no inbox `in`; it has `inbox`, `urgent`"),
            (ProblemKind::UnknownPort, "`source` has no outbox `out`; it has `outbox`"),
            (ProblemKind::UnknownPort, "`source` has no inbox; it has none"),
            (ProblemKind::UnknownPort, "`two` has no outbox; it has none"),
            (ProblemKind::UnknownPort, "`source` has no inbox; it has none"),
        ],
    );
}

#[test]
fn an_actor_of_another_director_is_refused() {
    let mut other = Director::new("other");
    let stranger = end(&mut other, "stranger");
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    director.connect(source, stranger);
    has(
        director,
        &[(ProblemKind::UnknownActor, "a connection names an actor that was registered with another director")],
    );
}

#[test]
fn formats_that_do_not_meet_are_named() {
    let mut director = Director::new("test");
    let source = director.register("source", Just(Ports::source(Format::XML)));
    let texts = director.register("texts", Just(Ports::sink(Format::TEXT | Format::JSON)));
    let any = end(&mut director, "any");
    director.connect(source, [texts, any]);
    has(
        director,
        &[(ProblemKind::Format, "`source` gives xml in `outbox`, and `texts` takes text or json in `inbox`")],
    );
}

#[test]
fn an_error_route_carries_any_format() {
    let mut director = Director::new("test");
    let source = director.register("source", Just(Ports::source(Format::XML)));
    let (end, texts) = (end(&mut director, "end"), director.register("texts", Just(Ports::sink(Format::TEXT))));
    director.connect(source, end);
    director.connect_error(end, texts);
    director.build().unwrap();
}

#[test]
fn what_is_connected_twice_is_named() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    let (one, two) = (end(&mut director, "one"), end(&mut director, "two"));
    director.connect(source, [one, one]);
    director.connect(source, two);
    director.connect(source.port("outbox"), two.port("inbox"));
    director.connect_error(one, [two, two]);
    director.connect_log(two);
    director.connect_log(two);
    has(
        director,
        &[
            (ProblemKind::ConnectedTwice, "outbox `outbox` of `source` is connected to inbox `inbox` of `one` twice"),
            (ProblemKind::ConnectedTwice, "outbox `outbox` of `source` is connected to inbox `inbox` of `two` twice"),
            (ProblemKind::ConnectedTwice, "the error route of `one` is connected to inbox `inbox` of `two` twice"),
            (ProblemKind::ConnectedTwice, "the log is connected to inbox `inbox` of `two` twice"),
        ],
    );
}

#[test]
fn a_single_port_takes_one_connection() {
    let mut director = Director::new("test");
    let ports = Ports::source(Format::ANY).with_outbox("reply", Format::ANY).single();
    let source = director.register("source", Just(ports));
    let ports = Ports::sink(Format::ANY).with_outbox("rest", Format::ANY).with_inbox("left", Format::ANY).single();
    let join = director.register("join", Just(ports));
    let (one, two) = (end(&mut director, "one"), end(&mut director, "two"));
    director.connect(source.port("reply"), [one, two]);
    director.connect(source, join.port("left"));
    let other = nothing(&mut director, "other");
    director.connect(other, join.port("left"));
    director.connect(join.port("rest"), [one, two]);
    has(
        director,
        &[
            (ProblemKind::ConnectedTwice, "outbox `reply` of `source` has 2 connections; it takes one"),
            (ProblemKind::ConnectedTwice, "inbox `left` of `join` has 2 connections; it takes one"),
        ],
    );
}

#[test]
fn what_is_not_connected_is_named() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    let lost = pipe(&mut director, "lost");
    let unfed = pipe(&mut director, "unfed");
    let (one, two) = (end(&mut director, "one"), pipe(&mut director, "two"));
    director.connect(unfed, one);
    director.connect(source, two);
    let _ = lost;
    let both =
        Ports::sink(Format::ANY).with_required_inbox("left", Format::ANY).with_required_inbox("right", Format::ANY);
    let join = director.register("join", Just(both));
    director.connect(source, join.port("left"));
    has(
        director,
        &[
            (ProblemKind::NotConnected, "`lost` is connected to nothing"),
            (ProblemKind::NotConnected, "nothing is connected to an inbox of `unfed`"),
            (ProblemKind::NotConnected, "outbox `outbox` of `two` is connected to nothing"),
            (ProblemKind::NotConnected, "nothing is connected to inbox `right` of `join`"),
        ],
    );
}

#[test]
fn a_ring_in_which_every_inbox_waits_is_refused() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    let (a, b, c) = (pipe(&mut director, "a"), pipe(&mut director, "b"), pipe(&mut director, "c"));
    let alone = pipe(&mut director, "alone");
    director.connect(source, [a, alone]);
    director.connect(a, b);
    director.connect(b, c);
    director.connect_error(c, a);
    let end = end(&mut director, "end");
    director.connect(c, end);
    director.connect(alone, end);
    director.connect_error(alone, alone);
    let advice = "is a ring in which every inbox waits, so full queues could bring it to a stand; give one of them a policy that sheds or drops";
    has(
        director,
        &[
            (ProblemKind::Ring, &format!("`a` -> `b` -> `c` -> `a` {advice}")),
            (ProblemKind::Ring, &format!("`alone` -> `alone` {advice}")),
        ],
    );
}

#[test]
fn a_ring_with_a_member_that_sheds_or_drops_is_accepted() {
    for overflow in [Overflow::Shed, Overflow::Drop] {
        let mut director = Director::new("test");
        let source = nothing(&mut director, "source");
        let a = pipe(&mut director, "a");
        let b = director.register_with("b", map(Event::clone), Policy { overflow, ..Policy::default() });
        director.connect(source, a);
        director.connect(a, b);
        director.connect(b, a);
        director.build().unwrap();
    }
}

struct Http;

impl Actor for Http {
    fn ports(&self) -> Ports {
        Ports::endpoint(Format::ANY).with_outbox("requests", Format::ANY)
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_ring_through_an_endpoint_is_accepted_unless_its_errors_close_it() {
    for closes in [false, true] {
        let mut director = Director::new("test");
        let http = director.register("http", Http);
        let work = pipe(&mut director, "work");
        director.connect(http, work);
        director.connect(work, http);
        director.connect_error(work, http);
        if closes {
            director.connect_error(http, work);
            assert_eq!(problems(director)[0].0, ProblemKind::Ring);
        } else {
            director.build().unwrap();
        }
    }
}

#[test]
fn a_policy_of_nothing_is_refused() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    let retry = Retry { attempts: 0, ..Retry::default() };
    let none = Policy { capacity: 0, retry, deadline: Duration::ZERO, ..Policy::default() };
    let end = director.register_with("end", sink(|_| Ok(())), none);
    director.connect(source, end);
    has(
        director,
        &[
            (ProblemKind::Policy, "the policy of `end` has a `capacity` of 0; expected more"),
            (ProblemKind::Policy, "the policy of `end` has a `retry.attempts` of 0; expected more"),
            (ProblemKind::Policy, "the policy of `end` has a `deadline` of 0; expected more"),
        ],
    );
}

#[test]
fn a_light_actor_cannot_have_its_events_tried_again() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    let policy = Policy { retry: Retry::attempts(2), ..Policy::default() };
    let light = director.register_with("light", sink(|_| Ok(())), policy);
    director.connect(source, light);
    has(
        director,
        &[(
            ProblemKind::Policy,
            "`light` is light and cannot wait, so its policy cannot have `retry`; make it an `Actor` to have events tried again",
        )],
    );
}

#[test]
fn a_flow_can_demand_an_error_route_of_every_actor() {
    let demanding = || {
        let settings = Settings { demand_error_routes: true, ..Settings::default() };
        let mut director = Director::with_settings("test", settings);
        let source = nothing(&mut director, "source");
        let (end, errors) = (end(&mut director, "end"), end(&mut director, "errors"));
        director.connect(source, end);
        director.connect_error(end, errors);
        (director, source, errors)
    };
    // What takes errors has nowhere to send its own.
    let (director, ..) = demanding();
    has(
        director,
        &[(ProblemKind::NoErrorRoute, "`source` has no error route, and this flow demands one of every actor")],
    );
    let (mut director, source, errors) = demanding();
    director.connect_error(source, errors);
    director.build().unwrap();
    let (mut director, _, errors) = demanding();
    director.connect_default_error(errors);
    assert!(director.build().is_ok());
}

#[test]
fn a_port_has_a_name_of_its_own() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    let ports = Ports::sink(Format::ANY).with_inbox("inbox", Format::ANY).with_inbox("other", Format::ANY);
    let end = director.register("end", Just(ports));
    director.connect(source, end);
    has(director, &[(ProblemKind::Name, "`end` has 2 inboxes with the name `inbox`; a name is for one")]);
}

#[test]
fn what_takes_errors_by_default_may_send_on_to_others() {
    let mut director = Director::new("test");
    let source = nothing(&mut director, "source");
    let work = pipe(&mut director, "work");
    let render = pipe(&mut director, "render");
    let answer = end(&mut director, "answer");
    director.connect(source, work);
    director.connect(work, answer);
    director.connect(render, answer);
    director.connect_default_error(render);
    let flow = director.build().unwrap();
    let routes = flow.graph().connections.iter().filter(|edge| edge.kind == ConnectionKind::Error);
    let senders: Vec<_> = routes.filter_map(|edge| Some(flow.graph().actors[edge.from?].name.as_str())).collect();
    assert_eq!(senders, ["source", "work"]);
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut director = Director::new("orders");
    let source = nothing(&mut director, "source");
    let one = director.register_with("one", sink(|_| Ok(())), room(0));
    let again = end(&mut director, "one");
    director.connect(source, [one, one]);
    director.connect(source, again.port("urgent"));
    let errors = director.build().unwrap_err();
    let expected = "the flow `orders` has 4 problems
- `one` has no inbox `urgent`; it has `inbox`
- 2 actors have the name `one`; a name is for one
- the policy of `one` has a `capacity` of 0; expected more
- outbox `outbox` of `source` is connected to inbox `inbox` of `one` twice";
    assert_eq!(errors.to_string(), expected);
    assert_eq!(format!("{errors:?}"), expected);
    let error = playhouse_engine::Error::from(errors);
    assert_eq!((error.kind(), error.message()), (playhouse_engine::Kind::Malformed, expected));
}

#[test]
fn one_problem_is_one() {
    let mut director = Director::new("orders");
    nothing(&mut director, "lost");
    let text = director.build().unwrap_err().to_string();
    assert_eq!(text, "the flow `orders` has 1 problem\n- `lost` is connected to nothing");
}
