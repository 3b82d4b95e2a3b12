use bytes::Bytes;
use playhouse_engine::{Event, Kind};

use super::*;
use crate::protocol::{Version, failure_body};

mod random;

const ONE: &str = "tcp://one:5555";
const TWO: &str = "tcp://two:5555";

struct Bench {
    client: Client,
    now: Instant,
    version: Version,
}

fn service() -> Service {
    Service::new("echo").unwrap()
}

/// The head and the payload of an event, as they travel.
fn whole(event: &Event) -> Frames {
    let envelope = Envelope::of(event);
    vec![envelope.head().clone(), envelope.payload().clone()]
}

fn plain(text: &'static str) -> Frames {
    vec![Bytes::from_static(text.as_bytes())]
}

impl Bench {
    fn new(settings: ClientSettings) -> Self {
        let version = settings.version;
        Self { client: Client::new(settings), now: Instant::now(), version }
    }

    /// A client in envelopes whose brokers are connected, with their links.
    fn connected(settings: ClientSettings, brokers: &[&str]) -> (Self, Vec<LinkId>) {
        let mut bench = Self::new(settings);
        let links: Vec<LinkId> = opened(&bench.brokers(brokers)).into_iter().map(|(link, _)| link).collect();
        for &link in &links {
            bench.up(link);
        }
        (bench, links)
    }

    fn brokers(&mut self, brokers: &[&str]) -> Vec<ClientOutput> {
        let mut outputs = Vec::new();
        let brokers = brokers.iter().map(|&broker| broker.to_owned()).collect();
        self.client.set_brokers(brokers, self.now, &mut outputs);
        outputs
    }

    fn up(&mut self, link: LinkId) -> Vec<ClientOutput> {
        let mut outputs = Vec::new();
        self.client.up(link, self.now, &mut outputs);
        outputs
    }

    fn lost(&mut self, link: LinkId) -> Vec<ClientOutput> {
        let mut outputs = Vec::new();
        self.client.lost(link, self.now, &mut outputs);
        outputs
    }

    fn request(&mut self, id: EventId, body: Frames, millis: u64) -> Vec<ClientOutput> {
        let mut outputs = Vec::new();
        let deadline = self.now + Duration::from_millis(millis);
        self.client.request(id, service(), body, deadline, self.now, &mut outputs).unwrap();
        outputs
    }

    fn receive(&mut self, link: LinkId, message: ToClient) -> Vec<ClientOutput> {
        let frames = match message {
            ToClient::Partial { service, body } => encode::partial_reply(&service, body),
            ToClient::Final { service, body } => encode::reply(self.version, &service, body),
        };
        let mut outputs = Vec::new();
        self.client.receive(link, frames, self.now, &mut outputs);
        outputs
    }

    fn replied(&mut self, link: LinkId, body: Frames) -> Vec<ClientOutput> {
        self.receive(link, ToClient::Final { service: service(), body })
    }

    fn after(&mut self, millis: u64) -> Vec<ClientOutput> {
        self.now += Duration::from_millis(millis);
        let mut outputs = Vec::new();
        self.client.tick(self.now, &mut outputs);
        outputs
    }
}

fn opened(outputs: &[ClientOutput]) -> Vec<(LinkId, &str)> {
    let opened = |output| match output {
        &ClientOutput::Open { link, ref broker } => Some((link, broker.as_str())),
        _ => None,
    };
    outputs.iter().filter_map(opened).collect()
}

fn sent(outputs: &[ClientOutput]) -> Vec<(LinkId, EventId)> {
    let sent = |output: &ClientOutput| match output {
        ClientOutput::Send { link, request, .. } => Some((*link, *request)),
        _ => None,
    };
    outputs.iter().filter_map(sent).collect()
}

fn closed(outputs: &[ClientOutput]) -> Vec<LinkId> {
    let closed = |output: &ClientOutput| match output {
        ClientOutput::Close { link } => Some(*link),
        _ => None,
    };
    outputs.iter().filter_map(closed).collect()
}

/// How requests ended: with the last frame of the reply, or the kind of the error.
fn finished(outputs: &[ClientOutput]) -> Vec<(EventId, Result<Bytes, Kind>)> {
    let finished = |output: &ClientOutput| match output {
        ClientOutput::Finished { request, outcome: Ok(body) } => Some((*request, Ok(body.last().unwrap().clone()))),
        ClientOutput::Finished { request, outcome: Err(error) } => Some((*request, Err(error.kind()))),
        _ => None,
    };
    outputs.iter().filter_map(finished).collect()
}

fn plain_settings() -> ClientSettings {
    ClientSettings { envelope: false, ..ClientSettings::default() }
}

/// A plain client with one request on its link.
fn asked() -> (Bench, LinkId, EventId) {
    let mut bench = Bench::new(plain_settings());
    bench.brokers(&[ONE]);
    let id = EventId::unique();
    let link = opened(&bench.request(id, plain("a"), 1_000))[0].0;
    assert_eq!(sent(&bench.up(link)), [(link, id)]);
    (bench, link, id)
}

#[test]
fn requests_in_envelopes_share_a_link_and_find_their_replies_in_any_order() {
    for version in [Version::V1, Version::V2] {
        let (mut bench, links) = Bench::connected(ClientSettings { version, ..ClientSettings::default() }, &[ONE]);
        let (first, second) = (Event::new("a"), Event::new("b"));
        assert_eq!(sent(&bench.request(first.id(), whole(&first), 1_000)), [(links[0], first.id())]);
        assert_eq!(sent(&bench.request(second.id(), whole(&second), 1_000)), [(links[0], second.id())]);
        let reply = bench.replied(links[0], whole(&second.derive("B")));
        assert_eq!(finished(&reply), [(second.id(), Ok("B".into()))]);
        let reply = bench.replied(links[0], whole(&first.derive("A")));
        assert_eq!(finished(&reply), [(first.id(), Ok("A".into()))]);
        assert_eq!((bench.client.under_way(), bench.client.next_tick()), (0, None));
    }
}

#[test]
fn requests_go_to_the_brokers_in_turn() {
    let (mut bench, links) = Bench::connected(ClientSettings::default(), &[ONE, TWO]);
    let mut counts = [0, 0];
    for _ in 0..10 {
        let event = Event::new("a");
        let link = sent(&bench.request(event.id(), whole(&event), 1_000))[0].0;
        counts[links.iter().position(|known| *known == link).unwrap()] += 1;
    }
    assert_eq!(counts, [5, 5]);
}

#[test]
fn a_request_waits_for_a_connection_and_ends_by_its_deadline_where_there_is_none() {
    let mut bench = Bench::new(ClientSettings::default());
    bench.brokers(&[ONE]);
    let event = Event::new("a");
    assert!(sent(&bench.request(event.id(), whole(&event), 1_000)).is_empty());
    assert!(finished(&bench.after(999)).is_empty());
    assert_eq!(finished(&bench.after(1)), [(event.id(), Err(Kind::Unavailable))]);
}

#[test]
fn a_request_without_a_reply_ends_by_its_deadline() {
    let (mut bench, _) = Bench::connected(ClientSettings::default(), &[ONE]);
    let event = Event::new("a");
    bench.request(event.id(), whole(&event), 1_000);
    assert_eq!(bench.client.next_tick(), Some(bench.now + Duration::from_secs(1)));
    assert_eq!(finished(&bench.after(1_000)), [(event.id(), Err(Kind::Timeout))]);
}

#[test]
fn a_lost_connection_sends_its_requests_to_another_broker() {
    let (mut bench, links) = Bench::connected(ClientSettings::default(), &[ONE, TWO]);
    let event = Event::new("a");
    let first = sent(&bench.request(event.id(), whole(&event), 1_000))[0].0;
    let other = links.into_iter().find(|link| *link != first).unwrap();
    assert_eq!(sent(&bench.lost(first)), [(other, event.id())]);
    assert_eq!(bench.client.counters().resent, 1);
    // The reply of the first broker, should it come all the same, is a reply.
    assert_eq!(finished(&bench.replied(first, whole(&event.derive("A")))).len(), 1);
}

#[test]
fn with_one_broker_it_is_sent_again_when_that_is_back_but_not_for_ever() {
    let (mut bench, links) = Bench::connected(ClientSettings::default(), &[ONE]);
    let event = Event::new("a");
    bench.request(event.id(), whole(&event), 60_000);
    for _ in 0..2 {
        assert!(sent(&bench.lost(links[0])).is_empty());
        assert_eq!(sent(&bench.up(links[0])), [(links[0], event.id())]);
    }
    assert_eq!(finished(&bench.lost(links[0])), [(event.id(), Err(Kind::Unavailable))]);
}

#[test]
fn what_has_a_part_of_its_reply_is_not_sent_again() {
    let (mut bench, links) = Bench::connected(ClientSettings::default(), &[ONE]);
    let event = Event::new("a");
    bench.request(event.id(), whole(&event), 1_000);
    let part = bench.receive(links[0], ToClient::Partial { service: service(), body: whole(&event.derive("1")) });
    assert!(matches!(&part[..], [ClientOutput::Partial { request, .. }] if *request == event.id()));
    assert_eq!(finished(&bench.lost(links[0])), [(event.id(), Err(Kind::Unavailable))]);
}

#[test]
fn an_error_in_place_of_a_reply_finds_its_request() {
    let (mut bench, links) = Bench::connected(ClientSettings::default(), &[ONE]);
    let (first, second) = (Event::new("a"), Event::new("b"));
    bench.request(first.id(), whole(&first), 1_000);
    bench.request(second.id(), whole(&second), 1_000);
    let body = failure_body(&Error::overloaded("full"), &whole(&second));
    assert_eq!(finished(&bench.replied(links[0], body)), [(second.id(), Err(Kind::Overloaded))]);
}

#[test]
fn a_foreign_reply_is_matched_only_where_there_is_no_doubt() {
    let (mut bench, links) = Bench::connected(ClientSettings::default(), &[ONE]);
    let (first, second) = (Event::new("a"), Event::new("b"));
    bench.request(first.id(), whole(&first), 1_000);
    assert_eq!(finished(&bench.replied(links[0], plain("A"))), [(first.id(), Ok("A".into()))]);
    bench.request(first.id(), whole(&first), 1_000);
    bench.request(second.id(), whole(&second), 1_000);
    assert!(finished(&bench.replied(links[0], plain("?"))).is_empty());
    assert_eq!(bench.client.counters().unmatched, 1);
}

#[test]
fn t8_a_plain_request_that_is_given_up_takes_its_link_with_it() {
    let (mut bench, link, id) = asked();
    let outputs = bench.after(1_000);
    assert_eq!((finished(&outputs), closed(&outputs)), (vec![(id, Err(Kind::Timeout))], vec![link]));
    // The late reply reaches nobody.
    assert!(bench.replied(link, plain("late")).is_empty());
    let next = EventId::unique();
    let outputs = bench.request(next, plain("b"), 1_000);
    assert!(opened(&outputs)[0].0 != link);
}

#[test]
fn t8_an_attempt_without_a_reply_is_made_again_over_a_new_link_until_there_were_enough() {
    let settings = ClientSettings { attempt: Some(Duration::from_millis(100)), ..plain_settings() };
    let mut bench = Bench::new(settings);
    bench.brokers(&[ONE]);
    let id = EventId::unique();
    let mut link = opened(&bench.request(id, plain("a"), 10_000))[0].0;
    for _ in 0..2 {
        assert_eq!(sent(&bench.up(link)), [(link, id)]);
        let outputs = bench.after(100);
        assert_eq!(closed(&outputs), [link]);
        link = opened(&outputs)[0].0;
    }
    bench.up(link);
    assert_eq!(finished(&bench.after(100)), [(id, Err(Kind::Timeout))]);
}

#[test]
fn an_attempt_as_long_as_the_request_itself_does_not_take_the_deadline_away() {
    let settings = ClientSettings { attempt: Some(Duration::from_secs(1)), ..ClientSettings::default() };
    let (mut bench, links) = Bench::connected(settings, &[ONE]);
    let event = Event::new("a");
    bench.request(event.id(), whole(&event), 1_000);
    bench.lost(links[0]);
    assert_eq!(finished(&bench.after(1_000)), [(event.id(), Err(Kind::Timeout))]);
}

#[test]
fn a_plain_link_serves_one_request_after_the_other() {
    let (mut bench, link, id) = asked();
    assert_eq!(finished(&bench.replied(link, plain("A"))), [(id, Ok("A".into()))]);
    let next = EventId::unique();
    assert_eq!(sent(&bench.request(next, plain("b"), 1_000)), [(link, next)]);
}

#[test]
fn plain_requests_have_no_more_links_than_allowed() {
    let mut bench = Bench::new(ClientSettings { connections: 2, ..plain_settings() });
    bench.brokers(&[ONE]);
    let ids: Vec<EventId> = (0..3).map(|_| EventId::unique()).collect();
    let tried: Vec<LinkId> =
        ids.iter().flat_map(|&id| opened(&bench.request(id, plain("a"), 1_000)).first().map(|open| open.0)).collect();
    // One link shows whether the broker is there, and then there are more.
    assert_eq!(tried.len(), 1);
    let outputs = bench.up(tried[0]);
    let (first, further) = (sent(&outputs)[0].1, opened(&outputs));
    assert_eq!(further.len(), 1);
    bench.up(further[0].0);
    let outputs = bench.replied(tried[0], plain("A"));
    assert_eq!((finished(&outputs)[0].0, sent(&outputs)), (first, vec![(tried[0], ids[2])]));
}

#[test]
fn e11_a_malformed_reply_ends_a_plain_request_and_panics_nobody() {
    for frames in [
        vec![],
        vec![Bytes::new()],
        vec![Bytes::from_static(b"MDPW02"), Bytes::from_static(&[3])],
        vec![Bytes::from_static(b"MDPC02"), Bytes::from_static(&[9]), Bytes::from_static(b"echo"), Bytes::new()],
        vec![Bytes::from_static(b"MDPC02"), Bytes::from_static(&[3]), Bytes::from_static(b"echo")],
    ] {
        let (mut bench, link, id) = asked();
        let mut outputs = Vec::new();
        bench.client.receive(link, frames, bench.now, &mut outputs);
        assert_eq!(finished(&outputs), [(id, Err(Kind::Malformed))]);
        assert_eq!(bench.client.counters().malformed, 1);
    }
}

#[test]
fn e11_a_reply_of_another_service_is_counted_and_ends_nothing() {
    let (mut bench, link, _) = asked();
    let other = Service::new("other").unwrap();
    assert!(bench.receive(link, ToClient::Final { service: other, body: plain("?") }).is_empty());
    assert_eq!(bench.client.counters().malformed, 1);
}

#[test]
fn a_window_is_not_passed_and_a_cancelled_request_makes_room() {
    let (mut bench, links) = Bench::connected(ClientSettings { window: 1, ..ClientSettings::default() }, &[ONE]);
    let (first, second) = (Event::new("a"), Event::new("b"));
    bench.request(first.id(), whole(&first), 1_000);
    assert!(sent(&bench.request(second.id(), whole(&second), 1_000)).is_empty());
    let mut outputs = Vec::new();
    bench.client.cancel(first.id(), bench.now, &mut outputs);
    assert_eq!(sent(&outputs), [(links[0], second.id())]);
    assert!(bench.replied(links[0], whole(&first.derive("A"))).is_empty());
}

#[test]
fn what_the_socket_does_not_take_is_sent_a_little_later() {
    let (mut bench, links) = Bench::connected(ClientSettings::default(), &[ONE]);
    let event = Event::new("a");
    bench.request(event.id(), whole(&event), 1_000);
    bench.client.unsent(links[0], event.id(), bench.now, &mut Vec::new());
    assert_eq!(sent(&bench.after(10)), [(links[0], event.id())]);
}

#[test]
fn too_many_requests_and_one_that_is_there_already_are_refused() {
    let mut bench = Bench::new(ClientSettings { requests: 1, ..ClientSettings::default() });
    let (id, deadline) = (EventId::unique(), bench.now + Duration::from_secs(1));
    let mut ask = |id| bench.client.request(id, service(), plain("a"), deadline, bench.now, &mut Vec::new());
    ask(id).unwrap();
    assert_eq!(ask(EventId::unique()).unwrap_err().kind(), Kind::Overloaded);
    let mut bench = Bench::new(ClientSettings::default());
    let mut ask = |id| bench.client.request(id, service(), plain("a"), deadline, bench.now, &mut Vec::new());
    ask(id).unwrap();
    assert_eq!(ask(id).unwrap_err().kind(), Kind::Conflict);
}

#[test]
fn brokers_that_go_give_their_requests_to_those_that_come() {
    let (mut bench, links) = Bench::connected(ClientSettings::default(), &[ONE]);
    let event = Event::new("a");
    bench.request(event.id(), whole(&event), 1_000);
    let outputs = bench.brokers(&[TWO]);
    assert_eq!(closed(&outputs), links);
    let (link, broker) = opened(&outputs)[0];
    assert_eq!(broker, TWO);
    assert_eq!(sent(&bench.up(link)), [(link, event.id())]);
}

#[test]
fn a_plain_request_goes_to_the_broker_that_lives() {
    let mut bench = Bench::new(plain_settings());
    bench.brokers(&[ONE, TWO]);
    let id = EventId::unique();
    let outputs = bench.request(id, plain("a"), 1_000);
    let opened = opened(&outputs);
    let (link, _) = opened.iter().find(|(_, broker)| *broker == TWO).unwrap();
    assert_eq!((opened.len(), sent(&bench.up(*link))), (2, vec![(*link, id)]));
}

#[test]
fn a_broker_that_cannot_be_reached_for_now_is_tried_again_and_told_of_when_the_time_is_up() {
    for envelope in [false, true] {
        let mut bench = Bench::new(ClientSettings { envelope, ..ClientSettings::default() });
        let event = Event::new("a");
        let mut outputs = bench.brokers(&[ONE]);
        outputs.extend(bench.request(event.id(), whole(&event), 1_000));
        for wait in [250, 500] {
            let link = opened(&outputs)[0].0;
            outputs = Vec::new();
            bench.client.failed(link, Error::unavailable("no more sockets"), bench.now, &mut outputs);
            assert_eq!((closed(&outputs), outputs.len()), (vec![link], 1));
            assert_eq!(bench.client.next_tick(), Some(bench.now + Duration::from_millis(wait)));
            outputs = bench.after(wait);
        }
        let outputs = bench.after(250);
        let [ClientOutput::Finished { outcome: Err(error), .. }] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().ends_with("no more sockets"), "{error}");
    }
}

#[test]
fn what_nobody_asked_for_closes_a_plain_link() {
    let (mut bench, link, _) = asked();
    bench.replied(link, plain("A"));
    assert_eq!(closed(&bench.replied(link, plain("again"))), [link]);
    assert_eq!(bench.client.counters().unmatched, 1);
    let next = bench.request(EventId::unique(), plain("b"), 1_000);
    assert!(opened(&next)[0].0 != link && sent(&next).is_empty());
}

#[test]
fn a_broker_that_is_named_twice_has_one_link() {
    let (bench, links) = Bench::connected(ClientSettings::default(), &[ONE, ONE]);
    assert_eq!((links.len(), bench.client.next_tick()), (1, None));
}

#[test]
fn where_no_broker_lets_the_client_in_requests_end_at_once_and_the_brokers_are_left_alone() {
    for envelope in [false, true] {
        let mut bench = Bench::new(ClientSettings { envelope, ..ClientSettings::default() });
        let event = Event::new("a");
        let mut outputs = bench.brokers(&[ONE, TWO]);
        outputs.extend(bench.request(event.id(), whole(&event), 1000));
        let links = opened(&outputs);
        assert_eq!(links.len(), 2, "one to each broker");
        let reject = |bench: &mut Bench, link| {
            let mut outputs = Vec::new();
            bench.client.failed(link, Error::forbidden("unknown key"), bench.now, &mut outputs);
            outputs
        };
        let outputs = reject(&mut bench, links[0].0);
        assert!(matches!(outputs[..], [ClientOutput::Close { .. }]), "the other may: {outputs:?}");
        let outputs = reject(&mut bench, links[1].0);
        let [ClientOutput::Close { .. }, ClientOutput::Finished { outcome: Err(error), .. }] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Forbidden, "unknown key"));

        let next = Event::new("b");
        let outputs = bench.request(next.id(), whole(&next), 1000);
        assert!(matches!(&outputs[..], [ClientOutput::Finished { outcome: Err(_), .. }]), "{outputs:?}");
        bench.now += Duration::from_secs(5);
        let last = Event::new("c");
        assert_eq!(opened(&bench.request(last.id(), whole(&last), 1000)).len(), 2, "they are tried again");
    }
}
