//! Routing by rules: what goes where, what is refused when the rules are compiled, and what hostile events do.
#![cfg(all(feature = "router", feature = "xslt"))]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use playhouse_actors::router::{Mode, RouterSettings, Rule, Unmatched, Unreadable};
use playhouse_actors::{DocumentRouter, Router, When};
use playhouse_engine::testing::{Probe, feed};
use playhouse_engine::{Error, Event, Kind, Payload, Xml};
use proptest::prelude::*;
use serde_json::json;

/// Returns the outboxes that the event goes to, by the router in a task of its own.
async fn sent(settings: &RouterSettings, event: Event) -> Result<Vec<String>, Error> {
    let router = DocumentRouter::new(settings.clone()).unwrap();
    Ok(feed(&router, event).await?.into_iter().map(|output| output.outbox).collect())
}

/// A sort of filter: its name, what asks for a value in an event, and an event that has it.
type Sort = (&'static str, fn(&str) -> When, fn(&str) -> Event);

/// The three sorts of filters.
fn kinds() -> [Sort; 3] {
    [
        (
            "attribute",
            |value| When::attribute("colour").matches(value),
            |value| Event::new("x").with_attribute("colour", value.to_owned()),
        ),
        ("json", |value| When::json("a/colour").matches(value), |value| Event::new(json!({"a": {"colour": value}}))),
        (
            "xml",
            |value| When::xpath("/a/colour").matches(value),
            |value| Event::new(Xml::new(format!("<a><colour>{value}</colour></a>"))),
        ),
    ]
}

#[tokio::test]
async fn a_whitelist_lets_pass_what_matches() {
    for (kind, when, event) in kinds() {
        let settings = RouterSettings::whitelist().route(when("^re"), ["warm"]).route(when("^bl"), ["cold"]);
        assert_eq!(sent(&settings, event("red")).await.unwrap(), ["warm"], "{kind}");
        assert_eq!(sent(&settings, event("blue")).await.unwrap(), ["cold"], "{kind}");
    }
}

#[tokio::test]
async fn a_whitelist_fails_what_does_not_match_and_says_so() {
    for (kind, when, event) in kinds() {
        let settings = RouterSettings::whitelist().route(when("^re"), ["warm"]);
        let error = sent(&settings, event("green")).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::NotFound, "no rule matches the event"), "{kind}");
    }
}

#[tokio::test]
async fn a_blacklist_sends_what_does_not_match_where_no_rule_does() {
    for (kind, when, event) in kinds() {
        let settings = RouterSettings::blacklist(["rest", "log", "warm"]).route(when("red"), ["warm"]);
        assert_eq!(sent(&settings, event("green")).await.unwrap(), ["rest", "log"], "{kind}");
        assert_eq!(sent(&settings, event("red")).await.unwrap(), ["warm"], "{kind}");
        let some = RouterSettings { default_outboxes: vec!["^lo".into()], ..settings };
        assert_eq!(sent(&some, event("green")).await.unwrap(), ["log"], "{kind}");
    }
}

#[tokio::test]
async fn all_rules_that_match_send_and_each_outbox_gets_one() {
    for (kind, when, event) in kinds() {
        let settings = RouterSettings::whitelist()
            .route(when("e"), ["one", "two"])
            .route(when("d$"), ["two", "three"])
            .route(when("blue"), ["four"]);
        assert_eq!(sent(&settings, event("red")).await.unwrap(), ["one", "two", "three"], "{kind}");
    }
}

#[tokio::test]
async fn a_rule_without_outboxes_discards() {
    for (kind, when, event) in kinds() {
        let settings = RouterSettings::blacklist(["rest"]).discard(when("spam")).route(when("keep"), ["kept"]);
        assert!(sent(&settings, event("spam")).await.unwrap().is_empty(), "{kind}");
        assert_eq!(sent(&settings, event("spam to keep")).await.unwrap(), ["kept"], "{kind}");
        assert_eq!(sent(&settings, event("ham")).await.unwrap(), ["rest"], "{kind}");
    }
}

#[tokio::test]
async fn a_chain_asks_for_all_its_conditions() {
    for (kind, when, event) in kinds() {
        let both =
            when("red").and(When::attribute("size").equals("big").and(When::attribute("age").matches("^[0-9]+$")));
        let settings = RouterSettings::blacklist(["rest"]).route(both, ["both"]);
        let big = event("red").with_attribute("size", "big").with_attribute("age", 7_i64);
        assert_eq!(sent(&settings, big.clone()).await.unwrap(), ["both"], "{kind}");
        for other in [big.clone().with_attribute("size", "small"), big.without_attribute("age")] {
            assert_eq!(sent(&settings, other).await.unwrap(), ["rest"], "{kind}");
        }
    }
}

#[tokio::test]
async fn a_condition_without_a_test_asks_whether_there_is_a_value() {
    let settings =
        RouterSettings::blacklist(["no"]).route(When::xpath("/a/b"), ["yes"]).route(When::json("/a"), ["yes"]);
    for (payload, outbox) in [
        (Payload::from(Xml::new("<a><b/></a>")), "yes"),
        (Xml::new("<a/>").into(), "no"),
        (json!({"a": false}).into(), "yes"),
        (json!({"a": null}).into(), "no"),
        (json!({"a": []}).into(), "no"),
        (().into(), "no"),
    ] {
        assert_eq!(sent(&settings, Event::new(payload.clone())).await.unwrap(), [outbox], "{payload:?}");
    }
}

#[tokio::test]
async fn an_empty_element_is_the_empty_text() {
    let settings = RouterSettings::blacklist(["no"]).route(When::xpath("/a/b").matches("^$"), ["yes"]);
    assert_eq!(sent(&settings, Event::new(Xml::new("<a><b/></a>"))).await.unwrap(), ["yes"]);
    assert_eq!(sent(&settings, Event::new(Xml::new("<a><b>x</b></a>"))).await.unwrap(), ["no"]);
}

#[tokio::test]
async fn names_are_found_in_any_default_namespace() {
    let settings = RouterSettings::blacklist(["no"]).route(When::xpath("/order/item").equals("7"), ["yes"]);
    let nested = r#"<order xmlns="urn:a"><item xmlns="urn:b">7</item></order>"#;
    assert_eq!(sent(&settings, Event::new(Xml::new(nested))).await.unwrap(), ["yes"]);
    let own = RouterSettings {
        namespaces: [("b".to_owned(), "urn:b".to_owned())].into(),
        ..RouterSettings::blacklist(["no"]).route(When::xpath("//b:item"), ["yes"])
    };
    assert_eq!(sent(&own, Event::new(Xml::new(nested))).await.unwrap(), ["yes"]);
}

#[tokio::test]
async fn any_element_of_a_list_will_do() {
    let settings = RouterSettings::blacklist(["no"]).route(When::json("items/sku").equals("b"), ["yes"]);
    for (value, outbox) in [
        (json!({"items": [{"sku": "a"}, {"sku": "b"}]}), "yes"),
        (json!([{"items": {"sku": "a"}}, {"items": {"sku": ["c", "b"]}}]), "yes"),
        (json!({"items": [{"sku": "a"}, "b", null, 7]}), "no"),
    ] {
        assert_eq!(sent(&settings, Event::new(value.clone())).await.unwrap(), [outbox], "{value}");
        // As it comes from a client: text that nobody has parsed.
        assert_eq!(sent(&settings, Event::new(value.to_string())).await.unwrap(), [outbox], "{value}");
    }
}

#[tokio::test]
async fn patterns_can_come_from_the_event_itself() {
    let settings = RouterSettings::blacklist(["no"]).route(When::xpath("//sku").matches_xpath("//watch"), ["yes"]);
    let of = |watch: &str| Event::new(Xml::new(format!("<a><sku>ab-12</sku>{watch}</a>")));
    for (watch, outbox) in
        [("<watch>^xy</watch><watch>-\\d+$</watch>", "yes"), ("<watch>^xy</watch>", "no"), ("", "no")]
    {
        assert_eq!(sent(&settings, of(watch)).await.unwrap(), [outbox], "{watch}");
    }
    for (watch, kind) in [
        ("<watch>(</watch>".to_owned(), Kind::Unprocessable),
        ("<watch>a{1000}{1000}</watch>".to_owned(), Kind::Unprocessable),
        (format!("<watch>{}</watch>", "a".repeat(257)), Kind::TooLarge),
        ("<watch>a</watch>".repeat(17), Kind::TooLarge),
    ] {
        assert_eq!(sent(&settings, of(&watch)).await.unwrap_err().kind(), kind, "{watch}");
    }
}

#[tokio::test]
async fn a_simple_router_sends_by_the_names_of_its_outboxes() {
    let settings = RouterSettings::blacklist(["default"]).route_by_name(&When::text(), ["red", "blue"]);
    let router = Router::new(settings).unwrap();
    for (text, outboxes) in [("a red rose", &["red"][..]), ("red and blue", &["red", "blue"]), ("green", &["default"])]
    {
        let outputs = feed(&router, Event::new(text)).await.unwrap();
        assert_eq!(outputs.iter().map(|output| output.outbox.as_str()).collect::<Vec<_>>(), outboxes, "{text}");
    }
}

#[tokio::test]
async fn attributes_of_any_kind_have_a_text() {
    let event = Event::new(())
        .with_attribute("number", 404_i64)
        .with_attribute("truth", true)
        .with_attribute("list", json!(["a", {"b": 1}]));
    for when in [
        When::attribute("number").equals("404"),
        When::attribute("truth").equals("true"),
        When::attribute("list").equals("a"),
        When::attribute("list").contains("\"b\":1"),
    ] {
        let settings = RouterSettings::whitelist().route(when.clone(), ["yes"]);
        assert_eq!(sent(&settings, event.clone()).await.unwrap(), ["yes"], "{when:?}");
    }
}

#[tokio::test]
async fn what_a_whitelist_drops_is_delivered_and_counted() {
    let settings = RouterSettings { unmatched: Unmatched::Drop, ..RouterSettings::whitelist() };
    let router =
        Router::new(settings.route(When::text().equals("a"), ["a"]).discard(When::text().equals("d"))).unwrap();
    let tally = router.tally();
    let mut probe = Probe::new(router).await.unwrap();
    for text in ["x", "d", "a"] {
        probe.send(Event::new(text)).await.unwrap();
    }
    assert_eq!(probe.output_from("a").await.unwrap().payload().to_string(), "a");
    let ledger = probe.stop().await.unwrap();
    assert!(ledger.balances() && ledger.failed == 0 && ledger.in_flight == 0);
    assert_eq!((tally.dropped(), tally.discarded()), (1, 1));
}

#[tokio::test]
async fn what_a_whitelist_does_not_know_takes_the_error_route() {
    let settings = RouterSettings::whitelist().route(When::text().equals("a"), ["a"]);
    let mut probe = Probe::new(Router::new(settings).unwrap()).await.unwrap();
    probe.send(Event::new("x")).await.unwrap();
    assert_eq!(probe.error().await.unwrap().error().unwrap().kind(), Kind::NotFound);
    probe.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_fails_or_does_not_match() {
    let rules = RouterSettings::blacklist(["no"])
        .route(When::json("/a").equals("1"), ["yes"])
        .route(When::xpath("/a").equals("1"), ["yes"]);
    let lenient = RouterSettings { unreadable: Unreadable::NoMatch, ..rules.clone() };
    let deep = "[".repeat(100_000);
    for bad in [Payload::from("{bad"), vec![0xff, 0xfe].into(), deep.into()] {
        assert_eq!(sent(&rules, Event::new(bad.clone())).await.unwrap_err().kind(), Kind::Malformed);
        assert_eq!(sent(&lenient, Event::new(bad)).await.unwrap(), ["no"]);
    }
    let bad = Event::new(Xml::new("<a><b></a>"));
    assert_eq!(sent(&rules, bad.clone()).await.unwrap_err().kind(), Kind::Malformed);
    assert_eq!(sent(&lenient, bad).await.unwrap(), ["no"]);
}

#[tokio::test]
async fn a_payload_over_the_limit_is_too_large_whatever_it_is() {
    let small = |when| RouterSettings { largest_payload: 64, ..RouterSettings::blacklist(["no"]).route(when, ["yes"]) };
    for when in [When::text().contains("a"), When::json("/a"), When::xpath("/a")] {
        let error = sent(&small(when.clone()), Event::new("a".repeat(65))).await.unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge, "{when:?}");
    }
    // What no rule looks into is of no concern.
    let event = Event::new("a".repeat(65)).with_attribute("b", "c");
    assert_eq!(sent(&small(When::attribute("b")), event).await.unwrap(), ["yes"]);
}

#[tokio::test]
async fn a_large_document_is_looked_into_aside() {
    let settings = RouterSettings::blacklist(["no"]).route(When::xpath("count(//b)").equals("5000"), ["yes"]);
    let document = format!("<a>{}</a>", "<b/>".repeat(5000));
    assert_eq!(sent(&settings, Event::new(Xml::new(document))).await.unwrap(), ["yes"]);
}

#[tokio::test]
async fn an_xpath_that_takes_too_long_ends() {
    let settings =
        RouterSettings::blacklist(["no"]).route(When::xpath("count(//b[count(//b) > 1])").equals("1"), ["yes"]);
    let document = format!("<a>{}</a>", "<b/>".repeat(20_000));
    assert_eq!(sent(&settings, Event::new(Xml::new(document))).await.unwrap_err().kind(), Kind::TooLarge);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let settings = RouterSettings {
        default_outboxes: vec!["[".into()],
        ..RouterSettings::whitelist()
            .route(When::text().matches("(").matches("a{1000}{1000}{1000}"), ["a"])
            .route(When::default(), ["b"])
            .route(When { text: true, ..When::attribute("x") }, [""])
            .route(When::json("/~").and(When::xpath("//[")), ["c"])
    };
    let message = DocumentRouter::new(settings).unwrap_err().to_string();
    for expected in [
        "rule 1: the pattern `(` is wrong: unclosed group",
        "rule 1: the pattern `a{1000}{1000}{1000}` takes more than 1048576 bytes when it is compiled",
        "rule 2: expected one of `attribute`, `json`, `xpath` and `text` to look at",
        "rule 3: expected one of",
        "rule 4: the JSON pointer `/~` has a `~`",
        "rule 4: the XPath `//[` is wrong",
        "an outbox has no name",
        "`default-outboxes`: the pattern `[` is wrong",
    ] {
        assert!(message.contains(expected), "{expected} in {message}");
    }
    assert!(Router::new(RouterSettings::whitelist()).unwrap_err().message().contains("a whitelist without rules"));
    let nowhere = RouterSettings::blacklist(["a"]).route(When::text(), ["a"]);
    assert!(Router::new(nowhere).unwrap_err().message().contains("nowhere to send"));
    let xml = RouterSettings::whitelist().route(When::text().matches_xpath("/a"), ["a"]);
    assert!(Router::new(xml).unwrap_err().message().contains("`DocumentRouter`"));
}

#[test]
fn a_misspelt_outbox_is_found_when_the_flow_is_built() {
    let mut director = playhouse_engine::Director::new("misspelt");
    let source = director.register("source", playhouse_engine::source(|_| async { Ok(()) }));
    let settings = RouterSettings::whitelist().route(When::text(), ["urgnet"]).route(When::text(), ["rest"]);
    let router = director.register("router", Router::new(settings).unwrap());
    let null = director.register("null", playhouse_actors::Null);
    director.connect(source, router);
    director.connect(router.port("urgent"), null);
    director.connect(router.port("rest"), null);
    let message = director.build().unwrap_err().to_string();
    assert!(message.contains("`router` has no outbox `urgent`; it has `urgnet`, `rest`"), "{message}");
}

#[test]
fn settings_in_a_file_are_those_in_code() {
    let text = r#"
        mode = "blacklist"
        unmatched = "drop"
        outboxes = ["rest"]
        default-outboxes = ["^re"]
        largest-payload = 1000
        [namespaces]
        s = "urn:shop"
        [[rules]]
        when = { json = "order/kind", equals = ["urgent"], and = [{ attribute = "http.method", equals = ["POST"] }] }
        to = ["urgent"]
        [[rules]]
        when = { xpath = "//s:item", matches-xpath = "//s:watch" }
    "#;
    let in_code = RouterSettings {
        unmatched: Unmatched::Drop,
        default_outboxes: vec!["^re".into()],
        largest_payload: 1000,
        namespaces: [("s".into(), "urn:shop".into())].into(),
        ..RouterSettings::blacklist(["rest"])
            .route(
                When::json("order/kind").equals("urgent").and(When::attribute("http.method").equals("POST")),
                ["urgent"],
            )
            .discard(When::xpath("//s:item").matches_xpath("//s:watch"))
    };
    assert_eq!(toml::from_str::<RouterSettings>(text).unwrap(), in_code);
    let written = serde_json::to_string(&in_code).unwrap();
    assert_eq!(serde_json::from_str::<RouterSettings>(&written).unwrap(), in_code);
    assert!(toml::from_str::<RouterSettings>("mode = \"Whitelist\"").is_err());
    assert!(toml::from_str::<RouterSettings>("whitelist = true").is_err());
}

#[tokio::test]
async fn thousands_of_rules_send_as_each_alone_would() {
    let rules = (0..3_000).map(|number| {
        let when = match number % 3 {
            0 => When::attribute("path").matches(format!("^/orders/\\d+/item-{number}$")),
            1 => When::attribute("path").equals(format!("/orders/{number}")),
            _ => When::attribute("path").contains(format!("item-{number}x")),
        };
        Rule { when, to: vec![format!("to-{}", number % 7)] }
    });
    let settings = RouterSettings {
        rules: rules.collect(),
        mode: Mode::Blacklist,
        outboxes: vec!["rest".into()],
        ..RouterSettings::default()
    };
    let router = Router::new(settings).unwrap();
    for (path, outbox) in [
        ("/orders/4711/item-2700", "to-5"),
        ("/orders/2701", "to-6"),
        ("/x/item-2702x", "to-0"),
        ("/orders/4711/item-2701", "rest"),
    ] {
        let outputs = feed(&router, Event::new(()).with_attribute("path", path)).await.unwrap();
        assert_eq!(outputs.iter().map(|output| output.outbox.as_str()).collect::<Vec<_>>(), [outbox], "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_payload_makes_a_router_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..5, unreadable in any::<bool>()) {
        let payload = match kind {
            0 => Payload::from(bytes),
            1 => String::from_utf8_lossy(&bytes).into_owned().into(),
            2 => Xml::new(bytes).into(),
            3 => json!([String::from_utf8_lossy(&bytes), {"a": [bytes]}]).into(),
            _ => Payload::from(format!("<a><b>{}</b></a>", String::from_utf8_lossy(&bytes))),
        };
        let settings = RouterSettings {
            unreadable: if unreadable { Unreadable::NoMatch } else { Unreadable::Fail },
            ..RouterSettings::blacklist(["no"])
                .route(When::text().matches("a+b?$").contains("é"), ["yes"])
                .route(When::json("a/0").matches("."), ["yes"])
                .route(When::xpath("//b").matches_xpath("//b"), ["yes"])
        };
        let router = Arc::new(DocumentRouter::new(settings).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(feed(&*router, Event::new(payload))) {
            Ok(outputs) => prop_assert!(!outputs.is_empty()),
            Err(error) => prop_assert!(
                matches!(error.kind(), Kind::Malformed | Kind::TooLarge | Kind::Unprocessable),
                "{error:?}"
            ),
        }
    }
}
