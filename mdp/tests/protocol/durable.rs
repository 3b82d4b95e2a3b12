//! Durable requests: what the broker hands to their keeper, and what it takes from there.

use std::time::Duration;

use playhouse_engine::{Kind, Result};
use playhouse_mdp::protocol::{
    Address, BrokerLimits, BrokerSettings, Frames, Output, Requester, Ticket, ToWorker, Version, decode_at_worker,
    encode,
};

use crate::stage::{Stage, VERSIONS, address, body, disconnect, into_sent, reply, service};

const V2: Version = Version::V2;

fn stage() -> Stage {
    Stage::new(BrokerSettings { durable: true, ..BrokerSettings::default() })
}

/// Reads the request that was given to a worker, and returns the client that it names.
#[track_caller]
fn client_of(version: Version, worker: &str, outputs: Vec<Output>) -> Address {
    let [output] = <[Output; 1]>::try_from(outputs).expect("one message");
    let (to, frames) = into_sent(output);
    assert_eq!(to, address(worker));
    match decode_at_worker(version, frames) {
        Ok(ToWorker::Request { client, .. }) => client,
        other => panic!("expected a request, found {other:?}"),
    }
}

#[track_caller]
fn outcome(ticket: Ticket, outputs: Vec<Output>) -> Result<Frames> {
    let [output] = <[Output; 1]>::try_from(outputs).expect("one output");
    match output {
        Output::Ended { ticket: found, outcome } if found == ticket => outcome,
        other => panic!("expected the end of {ticket}, found {other:?}"),
    }
}

fn tell(stage: &mut Stage, worker: &str, frames: Frames) -> Vec<Output> {
    let worker = address(worker);
    stage.outputs(|broker, now, outputs| broker.receive(worker, frames, now, outputs))
}

#[test]
fn p1_what_asks_for_a_durable_service_goes_to_their_keeper() {
    for version in VERSIONS {
        let mut stage = stage();
        let request = encode::request(version, &service("titanic.request"), body(&["echo", "q"]));
        let outputs = tell(&mut stage, "c", request);
        let [Output::Durable { requester, service: name, body: asked }] = outputs.as_slice() else {
            panic!("{outputs:?}")
        };
        assert_eq!(requester, &Requester { address: address("c"), version });
        assert_eq!((name.as_str(), asked), ("titanic.request", &body(&["echo", "q"])));
        assert_eq!(stage.accounts().durable, 1);
        let (requester, name) = (requester.clone(), name.clone());
        let sent = stage.sent(|broker, _, outputs| broker.answer(&requester, &name, body(&["200"]), outputs));
        assert_eq!(sent, [reply(version, "c", "titanic.request", "200")]);
    }
}

#[test]
fn a_durable_request_is_answered_by_a_worker_of_either_version() {
    for version in VERSIONS {
        let mut stage = stage();
        let ticket = Ticket::unique();
        stage.ready(version, "w", "echo");
        let client = client_of(version, "w", stage.submit(ticket, "echo", "q"));
        let outputs = tell(&mut stage, "w", encode::final_answer(version, &client, body(&["a", "b"])));
        assert_eq!(outcome(ticket, outputs).unwrap(), body(&["a", "b"]));
        assert_eq!((stage.workers("echo"), stage.accounts().replied), ((1, 1), 1));
    }
}

#[test]
fn the_parts_of_an_answer_stand_before_its_end() {
    let mut stage = stage();
    let ticket = Ticket::unique();
    stage.ready(V2, "w", "echo");
    let client = client_of(V2, "w", stage.submit(ticket, "echo", "q"));
    assert!(tell(&mut stage, "w", encode::partial_answer(&client, body(&["1", "2"]))).is_empty());
    let outputs = tell(&mut stage, "w", encode::final_answer(V2, &client, body(&["3"])));
    assert_eq!(outcome(ticket, outputs).unwrap(), body(&["1", "2", "3"]));
}

#[test]
fn a_durable_request_has_a_client_that_no_socket_can_be() {
    let mut stage = stage();
    let ticket = Ticket::unique();
    stage.ready(V2, "w", "echo");
    let client = client_of(V2, "w", stage.submit(ticket, "echo", "q"));
    // Identities that begin with a zero are a ROUTER's own, of 5, 9 or 16 bytes.
    assert_eq!((client.as_bytes().len(), client.as_bytes()[0]), (18, 0));
    // A worker that names another client is no better for it.
    assert_eq!(stage.answer(V2, "w", "c", "a"), [disconnect(V2, "w")]);
}

#[test]
fn a_durable_request_waits_as_long_as_it_takes() {
    let mut stage = stage();
    let ticket = Ticket::unique();
    stage.submit(ticket, "echo", "q");
    stage.ask(V2, "c", "echo", "q");
    stage.pass(Duration::from_secs(100));
    assert_eq!((stage.accounts().queued, stage.accounts().expired), (1, 1));
    let ready = encode::ready(V2, &service("echo"));
    client_of(V2, "w", tell(&mut stage, "w", ready));
}

#[test]
fn a_durable_request_fails_with_its_last_attempt() {
    let mut stage = stage();
    let ticket = Ticket::unique();
    stage.submit(ticket, "echo", "q");
    for worker in ["w1", "w2"] {
        assert_eq!(stage.ready(V2, worker, "echo").len(), 1);
        assert_eq!(stage.gone(worker), []);
    }
    stage.ready(V2, "w3", "echo");
    let outputs = stage.outputs(|broker, now, outputs| broker.gone(&address("w3"), now, outputs));
    assert_eq!(outcome(ticket, outputs).unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn durable_requests_are_bounded_as_others_are() {
    let limits = BrokerLimits { queued_for_service: 1, ..BrokerLimits::default() };
    let mut stage = Stage::new(BrokerSettings { durable: true, limits, ..BrokerSettings::default() });
    stage.submit(Ticket::unique(), "echo", "q");
    let ticket = Ticket::unique();
    assert_eq!(outcome(ticket, stage.submit(ticket, "echo", "q")).unwrap_err().kind(), Kind::Overloaded);
}

#[test]
fn p11_a_durable_request_for_a_service_of_the_brokers_own_is_refused() {
    for name in ["titanic.request", "mmi.service"] {
        let ticket = Ticket::unique();
        let error = outcome(ticket, stage().submit(ticket, name, "q")).unwrap_err();
        assert_eq!(error.kind(), Kind::NotAllowed);
        assert_eq!(error.message(), format!("`{name}` is the broker's own and has no workers"));
    }
}
