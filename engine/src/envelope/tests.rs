use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::attributes::{Attributes, Layer, Value};
use crate::error::Kind;
use crate::payload::{Payload, Xml};
use crate::text::Text;

/// Puts an event into an envelope and takes it out again, by way of one run of bytes.
#[track_caller]
fn there_and_back(event: &Event) -> Event {
    let limits = EnvelopeLimits::default();
    Envelope::from_bytes(Envelope::of(event).to_bytes(), &limits).unwrap().open(&limits).unwrap()
}

/// Everything that an envelope carries, in a form that can be compared.
fn shown(event: &Event) -> impl PartialEq + fmt::Debug + use<> {
    let mut attributes = Vec::new();
    event.attributes().each(|name, value| attributes.push((name.to_owned(), value.clone())));
    let error = event.error().map(|error| {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let (message, actor) = (error.message().to_owned(), error.actor().map(str::to_owned));
        (error.kind(), message, actor, error.wait(), causes)
    });
    let payload = (event.payload().format(), event.payload().to_bytes());
    (event.id(), event.correlation_id().into_owned(), event.created(), payload, attributes, error)
}

#[track_caller]
fn refused(head: &[u8], payload: &'static [u8]) -> Error {
    let envelope = Envelope::from_parts(Bytes::copy_from_slice(head), Bytes::from_static(payload));
    envelope.open(&EnvelopeLimits::default()).unwrap_err()
}

/// Makes the head of a map that is given as it stands in MessagePack.
fn head_of(map: &[u8]) -> Vec<u8> {
    let mut head = vec![0xc1, b'P', b'H', b'E', 1];
    head.extend(7_u128.to_be_bytes());
    head.extend(u32::try_from(map.len()).unwrap().to_be_bytes());
    head.extend(map);
    head
}

fn full() -> Event {
    let error = Error::overloaded("the kitchen is full").retry_after(Duration::from_secs(2));
    Event::with_id(EventId::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff), json!({"cups": 2}))
        .with_correlation_id("order-7")
        .created_at(UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789))
        .with_attribute("hot", true)
        .with_attribute("table", -7_i64)
        .with_attribute("tea", "Ceylon")
        .with_attribute("with", json!([null, 1.5]))
        .with_error(error.caused_by("no cook").at(&"kitchen".into()))
}

/// One envelope of version 1, byte by byte. Where this fails the format has changed: older peers read it otherwise.
#[test]
fn version_1_stays_as_it_is() {
    let expected: &[&[u8]] = &[
        b"\xc1PHE\x01",
        b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
        b"\x00\x00\x00\x88",
        b"\x85",
        b"\xa1p\xa4json",
        b"\xa1c\xa7order-7",
        b"\xa1t\xcf\x17\x97\x9c\xfe\x3d\x85\xcd\x15",
        b"\xa1a\x84",
        b"\xa3hot\xc3",
        b"\xa5table\xf9",
        b"\xa3tea\xa6Ceylon",
        b"\xa4with\xc4\x0a[null,1.5]",
        b"\xa1e\x85",
        b"\xa1k\xaaoverloaded",
        b"\xa1m\xb3the kitchen is full",
        b"\xa1a\xa7kitchen",
        b"\xa1r\xcd\x07\xd0",
        b"\xa1s\x91\xa7no cook",
    ];
    let envelope = Envelope::of(&full());
    let expected = expected.concat();
    assert_eq!(envelope.head().escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!(envelope.payload(), r#"{"cups":2}"#);
    let opened = Envelope::from_parts(expected.into(), envelope.payload().clone()).open(&EnvelopeLimits::default());
    assert_eq!(shown(&opened.unwrap()), shown(&full()));
}

#[test]
fn a_payload_comes_back_in_its_format_and_is_not_copied() {
    for payload in [
        Payload::Empty,
        Payload::from(vec![0xff, 0]),
        Payload::from("tea"),
        Payload::from(json!({"float": 0.1, "deep": [[[]]]})),
        Payload::from(Xml::new("<a/>")),
        Payload::from(Bytes::new()),
    ] {
        let event = Event::new(payload.clone());
        let mut written = BytesMut::from(&b"before"[..]);
        Envelope::write(&event, &mut written);
        assert_eq!(written, [&b"before"[..], &Envelope::of(&event).to_bytes()].concat());
        let opened = there_and_back(&event);
        assert_eq!(opened.payload().format(), payload.format());
        assert_eq!(opened.payload().to_bytes(), payload.to_bytes());
    }
    let envelope = Envelope::of(&Event::new("a cup of tea"));
    let at = envelope.payload().as_ptr();
    assert_eq!(envelope.open(&EnvelopeLimits::default()).unwrap().payload().to_bytes().as_ptr(), at);
}

#[test]
fn the_id_is_found_without_opening() {
    let event = full();
    let envelope = Envelope::of(&event);
    assert!(Envelope::is_head(envelope.head()) && Envelope::is_head(&envelope.to_bytes()));
    assert_eq!(Envelope::id_of(envelope.head()), Some(event.id()));
    assert_eq!(Envelope::id_of(&envelope.to_bytes()), Some(event.id()));
    assert_eq!(Envelope::id_of(&envelope.head()[..24]), None);
    for other in [&b""[..], b"PHE", b"\xc1PH", b"{}", b"<a/>", b"MDPC01", &[0x81, 0xa1, b'p']] {
        assert!(!Envelope::is_head(other), "{other:?}");
        assert_eq!(Envelope::id_of(other), None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_left_is_carried_and_not_the_time_of_day() {
    let event = Event::new(()).expires_in(Duration::from_millis(2_500));
    let envelope = Envelope::of(&event);
    // However long it was under way, and whatever clock the receiver has.
    tokio::time::advance(Duration::from_secs(60)).await;
    let opened = envelope.open(&EnvelopeLimits::default()).unwrap();
    let left = opened.deadline().unwrap() - Instant::now();
    assert!(left <= Duration::from_millis(2_500) && left > Duration::from_millis(2_490), "{left:?}");
    tokio::time::advance(Duration::from_secs(3)).await;
    let late = there_and_back(&opened);
    assert!(late.deadline().unwrap() <= Instant::now());
}

#[test]
fn an_event_of_before_this_process_keeps_its_time() {
    for created in [SystemTime::now(), UNIX_EPOCH, UNIX_EPOCH + Duration::from_nanos(u64::MAX)] {
        let event = Event::new(()).created_at(created);
        assert_eq!(event.created(), Some(created));
        assert_eq!(there_and_back(&event).derive("other").created(), Some(created));
    }
}

struct Query;

impl Layer for Query {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "colour").then_some(Cow::Borrowed("red"))
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit("colour", "red");
        visit("colour", "blue");
    }
}

#[test]
fn what_lies_in_a_layer_is_carried_and_the_first_of_a_name_counts() {
    let event = Event::new(()).with_attributes(Attributes::over(Arc::new(Query))).with_attribute("own", 1_i64);
    let opened = there_and_back(&event);
    assert_eq!(opened.attribute("colour"), Some("red".into()));
    assert_eq!(opened.attribute("own"), Some(Value::Integer(1)));
}

#[test]
fn many_attributes_have_a_longer_beginning() {
    let event = (0..300_i64).fold(Event::new(()), |event, number| event.with_attribute(number.to_string(), number));
    let limits = EnvelopeLimits { attributes: 300, ..EnvelopeLimits::default() };
    let opened = Envelope::of(&event).open(&limits).unwrap();
    assert_eq!(shown(&opened), shown(&event));
    let error = Envelope::of(&event).open(&EnvelopeLimits::default()).unwrap_err();
    assert_eq!(error.to_string(), "`a` of the envelope: expected at most 256 attributes, found 300");
    assert_eq!(error.kind(), Kind::TooLarge);
}

#[test]
fn all_causes_of_an_error_are_told() {
    let error = (0..40)
        .rev()
        .fold(Error::internal("last"), |error, number| Error::internal(number.to_string()).caused_by(error));
    let opened = there_and_back(&Event::new(()).with_error(error.clone()));
    assert_eq!(opened.error().unwrap().to_string(), error.to_string());
}

/// What a newer version may have written: a field for the event and one for its error, a format and an error kind.
fn from_a_newer_version() -> Event {
    let map = [
        &b"\x84\xa1p\xa4cbor"[..],
        b"\xa8priority\xc7\x03\x05abc",
        b"\xa5trace\x82\xa1x\x92\xcb\0\0\0\0\0\0\0\0\xc0\xa1y\x80",
        b"\xa1e\x83\xa1k\xa6teapot\xa1m\xadno coffee, no\xa5spout\xd6\x01long",
    ]
    .concat();
    let envelope = Envelope::from_parts(head_of(&map).into(), Bytes::from_static(b"\xa1a"));
    envelope.open(&EnvelopeLimits::default()).unwrap()
}

#[test]
fn what_a_newer_version_says_is_carried_on() {
    let event = from_a_newer_version();
    assert_eq!(event.payload().to_bytes(), "\u{a1}a".as_bytes()[1..]);
    let error = event.error().unwrap();
    assert_eq!((error.kind(), error.message()), (Kind::Internal, "no coffee, no"));
    let passed_on = event.derive(event.payload().clone()).with_attribute("seen", true);
    let head = Envelope::of(&passed_on).head().escape_ascii().to_string();
    for kept in [
        r"\xa1p\xa4cbor",
        r"\xa8priority\xc7\x03\x05abc",
        r"\xa5trace\x82\xa1x",
        r"\xa1k\xa6teapot",
        r"\xa5spout\xd6\x01long",
    ] {
        assert!(head.contains(kept), "{kept} is missing in {head}");
    }
    assert_eq!(shown(&there_and_back(&event)), shown(&event));
    assert_eq!(Envelope::of(&there_and_back(&event)).head(), Envelope::of(&event).head());
}

#[test]
fn a_branch_keeps_unknown_fields_and_another_payload_has_its_own_format() {
    let branch = from_a_newer_version().branch("text").without_error();
    let head = Envelope::of(&branch).head().escape_ascii().to_string();
    assert!(head.contains("priority") && head.contains(r"\xa1p\xa4text"), "{head}");
    assert!(!head.contains("cbor") && !head.contains("teapot"), "{head}");
    let bytes = from_a_newer_version().derive(b"\xa1b".to_vec());
    let head = Envelope::of(&bytes).head().escape_ascii().to_string();
    assert!(head.contains(r"\xa1p\xa5bytes") && !head.contains("cbor"), "{head}");
}

#[test]
fn another_version_is_refused_and_both_are_named() {
    let mut head = Envelope::of(&full()).head().to_vec();
    head[4] = 2;
    let error = refused(&head, b"");
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(error.message(), "`version` of the envelope: expected 1, found 2");
    assert!(Envelope::is_head(&head));
    assert_eq!(Envelope::id_of(&head), Some(full().id()));
}

#[test]
fn what_is_wrong_is_named() {
    let cases: &[(&[u8], &'static [u8], &str)] = &[
        (b"\x81\xa1c\xc0", b"", "`c` of the envelope: expected text, found nil"),
        (b"\x81\xa1c\xa2\xff\xff", b"", "`c` of the envelope: expected UTF-8 text, found other bytes"),
        (
            b"\x81\xa1c\xdb\xff\xff\xff\xff",
            b"",
            "`c` of the envelope: expected a whole value, found the end of the head",
        ),
        (b"\x82\xa1c\xa1x\xa1c\xa1y", b"", "`c` of the envelope: expected it once, found it twice"),
        (b"\x81\xa1t\xff", b"", "`t` of the envelope: expected an integer of 64 bits from 0, found another number"),
        (b"\x81\xa1l\xa0", b"", "`l` of the envelope: expected an integer of 64 bits from 0, found text"),
        (
            b"\x81\xa1a\x81\xa1x\x90",
            b"",
            "`a` of the envelope: expected true or false, an integer, text or a binary, found an array",
        ),
        (b"\x81\xa1a\x81\xa1x\xc4\x01?", b"", "`a` of the envelope: expected JSON, found something else"),
        (
            b"\x81\xa1a\x81\xa1x\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            b"",
            "`a` of the envelope: expected an integer of 64 bits, found another number",
        ),
        (
            b"\x81\xa1e\x81\xa1k\xa4gone",
            b"",
            "`e` of the envelope: expected a kind `k` and a message `m`, found an error without",
        ),
        (b"\x81\xa1e\x81\xa1s\x91\xc2", b"", "`e.s` of the envelope: expected text, found true or false"),
        (b"\x81\xa1x\xc1", b"", "`a field of a newer version` of the envelope: expected a value, found the byte c1"),
        (b"\x80\x80", b"", "`head` of the envelope: expected its end behind its last field, found 1 bytes more"),
        (b"\x90", b"", "`head` of the envelope: expected a map, found an array"),
        (b"", b"", "`head` of the envelope: expected a whole value, found the end of the head"),
        (b"\x80", b"x", "`payload` of the envelope: expected nothing, as there is no `p`, found 1 bytes"),
        (b"\x81\xa1p\xa5empty", b"x", "`payload` of the envelope: expected nothing, found 1 bytes"),
        (b"\x81\xa1p\xa4text", b"\xff", "`payload` of the envelope: expected UTF-8 text, found other bytes"),
        (b"\x81\xa1p\xa4json", b"{", "`payload` of the envelope: expected JSON, found something else"),
    ];
    for (map, payload, expected) in cases {
        let error = refused(&head_of(map), payload);
        assert_eq!((error.message(), error.kind()), (*expected, Kind::Malformed));
    }
}

#[test]
fn what_is_cut_off_or_not_an_envelope_is_refused() {
    let limits = EnvelopeLimits::default();
    let bytes = Envelope::of(&full()).to_bytes();
    let head = Envelope::of(&full()).head().len();
    for length in 0..head {
        let error = Envelope::from_bytes(bytes.slice(..length), &limits).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{error}");
        assert_eq!(refused(&bytes[..length], b"").kind(), Kind::Malformed);
    }
    let mut longer = Envelope::of(&full()).head().to_vec();
    longer.push(0);
    assert_eq!(refused(&longer, b"").kind(), Kind::Malformed);
}

#[test]
fn what_passes_a_limit_is_refused() {
    let opened = |event: &Event, limits: &EnvelopeLimits| {
        let by_parts = Envelope::of(event).open(limits).map(|_| ()).map_err(|error| error.to_string());
        let blob =
            Envelope::from_bytes(Envelope::of(event).to_bytes(), limits).and_then(|envelope| envelope.open(limits));
        assert_eq!(blob.map(|_| ()).map_err(|error| error.to_string()), by_parts);
        by_parts
    };
    let limits = EnvelopeLimits { head: 64, payload: 4, ..EnvelopeLimits::default() };
    assert_eq!(opened(&Event::new("four"), &limits), Ok(()));
    let expected = "`payload` of the envelope: expected at most 4 bytes, found 5";
    assert_eq!(opened(&Event::new("fives"), &limits), Err(expected.to_owned()));
    let expected = "`head` of the envelope: expected at most 64 bytes, found 161";
    assert_eq!(opened(&full(), &limits), Err(expected.to_owned()));

    let limits = EnvelopeLimits { values: 3, ..EnvelopeLimits::default() };
    assert_eq!(opened(&Event::new(json!(["a long text", {}])), &limits), Ok(()));
    let expected = "`payload` of the envelope: expected at most 3 values, found 4";
    assert_eq!(opened(&Event::new(json!(["a long text", {}, {}])), &limits), Err(expected.to_owned()));

    let limits = EnvelopeLimits { depth: 2, ..EnvelopeLimits::default() };
    assert_eq!(opened(&Event::new(()).with_attribute("a", json!({"[[[": ["\\\"[[["]})), &limits), Ok(()));
    let expected = "`a` of the envelope: expected at most 2 levels, found 3";
    assert_eq!(opened(&Event::new(()).with_attribute("a", json!([[[]]])), &limits), Err(expected.to_owned()));
}

#[test]
fn nothing_is_nested_without_end() {
    let mut field = b"\x81\xa1x".to_vec();
    field.extend([0x91; 60_000]);
    let expected = "`a field of a newer version` of the envelope: expected at most 32 levels, found 33";
    assert_eq!(refused(&head_of(&field), b"").message(), expected);
    // A map that claims more than there is, within maps that do so too.
    let mut claims = b"\x81\xa1x".to_vec();
    claims.extend([0xdf, 0xff, 0xff, 0xff, 0xff].repeat(20));
    assert_eq!(refused(&head_of(&claims), b"").kind(), Kind::Malformed);
    let mut causes = b"\x81\xa1e\x83\xa1k\xa4gone\xa1m\xa0\xa1s\xdc\xea\x60".to_vec();
    causes.extend([0xa0; 60_000]);
    assert_eq!(refused(&head_of(&causes), b"").kind(), Kind::TooLarge);
    let deep = "[".repeat(100_000).leak();
    assert_eq!(refused(&head_of(b"\x81\xa1p\xa4json"), deep.as_bytes()).kind(), Kind::Malformed);
}

fn json_values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<u64>().prop_map(|value| json!(value)),
        any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()).prop_map(|value| json!(value)),
        ".*".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec((".*", inner), 0..6).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

fn attribute_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        json_values().prop_map(Value::from),
    ]
}

fn payloads() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Empty),
        any::<Vec<u8>>().prop_map(Payload::from),
        ".*".prop_map(Payload::from),
        json_values().prop_map(Payload::from),
        any::<Vec<u8>>().prop_map(|bytes| Payload::Xml(Xml::new(bytes))),
    ]
}

fn errors() -> impl Strategy<Value = Error> {
    let kinds = prop::sample::select(vec![Kind::Malformed, Kind::NotAllowed, Kind::RateExceeded, Kind::Internal]);
    let causes = prop::collection::vec(".*", 0..20);
    (kinds, ".*", prop::option::of(".*"), prop::option::of(any::<u32>()), causes).prop_map(
        |(kind, message, actor, wait, causes)| {
            let mut error = Error::new(kind, message);
            // Fewer than are written one by one, so that they come back one by one.
            let cause = causes.into_iter().take(15).map(Error::internal).reduce(|inner, outer| outer.caused_by(inner));
            if let Some(cause) = cause {
                error = error.caused_by(cause);
            }
            if let Some(actor) = actor {
                error = error.at(&actor.into());
            }
            match wait {
                Some(wait) => error.retry_after(Duration::from_millis(wait.into())),
                None => error,
            }
        },
    )
}

fn events() -> impl Strategy<Value = Event> {
    let attributes = prop::collection::vec((".*", attribute_values()), 0..20);
    let times = prop::option::of(any::<u64>());
    (any::<u128>(), payloads(), attributes, prop::option::of(".*"), times, prop::option::of(errors())).prop_map(
        |(id, payload, attributes, correlation, created, error)| {
            let mut event = Event::with_id(EventId::from_u128(id), payload);
            for (name, value) in attributes {
                event = event.with_attribute(name, value);
            }
            if let Some(correlation) = correlation {
                event = event.with_correlation_id(Text::from(correlation));
            }
            if let Some(created) = created {
                event = event.created_at(UNIX_EPOCH + Duration::from_nanos(created));
            }
            match error {
                Some(error) => event.with_error(error),
                None => event,
            }
        },
    )
}

fn causes_of(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes
            .push(cause.downcast_ref::<Error>().map_or_else(|| cause.to_string(), |error| error.message().to_owned()));
        source = cause.source();
    }
    causes
}

proptest! {
    #[test]
    fn every_event_comes_back_as_it_was(event in events()) {
        let opened = there_and_back(&event);
        prop_assert_eq!(opened.error().map(causes_of), event.error().map(causes_of));
        prop_assert_eq!(shown_but_causes(&opened), shown_but_causes(&event));
        // What came back is not one bit different when it leaves again.
        let (first, second) = (Envelope::of(&event), Envelope::of(&opened));
        prop_assert_eq!(first.head(), second.head());
        prop_assert_eq!(first.payload(), second.payload());
    }

    #[test]
    fn no_bytes_do_harm(map in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        let envelope = Envelope::from_parts(head_of(&map).into(), payload.into());
        open_twice(envelope)?;
    }

    #[test]
    fn no_changed_envelope_does_harm(event in events(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = Envelope::of(&event).to_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let limits = EnvelopeLimits::default();
        if let Ok(envelope) = Envelope::from_bytes(bytes.into(), &limits) {
            open_twice(envelope)?;
        }
    }
}

fn shown_but_causes(event: &Event) -> impl PartialEq + fmt::Debug + use<> {
    let bare = event
        .error()
        .map(|error| (error.kind(), error.message().to_owned(), error.actor().map(str::to_owned), error.wait()));
    (shown(&event.clone().without_error()), bare)
}

/// Opens an envelope; where that is possible, what is in it comes back when it is sent on.
fn open_twice(envelope: Envelope) -> Result<(), TestCaseError> {
    let limits = EnvelopeLimits::default();
    if let Ok(event) = envelope.open(&limits) {
        let again = Envelope::of(&event).open(&limits);
        prop_assert!(again.is_ok(), "{again:?}");
        prop_assert_eq!(shown(&again.unwrap()), shown(&event));
    }
    Ok(())
}
