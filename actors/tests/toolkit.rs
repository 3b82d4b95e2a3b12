//! The test kit, as a user's tests have it: a request without a server, outputs in a golden file, and accounts that balance.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use playhouse_actors::http::{HttpReply, Route};
use playhouse_actors::testing::HttpCall;
use playhouse_actors::{Join, JoinMode, JoinSettings, Split};
use playhouse_engine::testing::{Probe, at_rest, feed, golden};
use playhouse_engine::{Event, assert_ledger};
use serde_json::json;

#[tokio::test]
async fn the_parts_of_an_order_are_as_they_were() {
    let routes = [Route::post("/orders/{number}").outbox("orders")];
    let order = r#"[{"sku": 1, "quantity": 2}, {"sku": 7, "quantity": 0}]"#;
    let exchange = HttpCall::post("/orders/12").body("application/json", order).arrive(&routes).unwrap();
    let parts = feed(&Split::json(), exchange.event()).await.unwrap();
    golden("tests/golden/order_parts.json", &parts);
}

#[tokio::test]
async fn an_offer_is_joined_from_its_halves_and_every_event_has_ended() {
    let settings = JoinSettings { mode: JoinMode::Merge, ..JoinSettings::default() };
    let mut probe = Probe::new(Join::new(["price", "stock"], settings).unwrap()).await.unwrap();
    let exchange = HttpCall::get("/offers/7").arrive(&[]).unwrap();
    probe.send_to("stock", exchange.event().derive(json!({"stock": 0}))).await.unwrap();
    probe.send_to("price", exchange.event().derive(json!({"price": 9}))).await.unwrap();
    let offer = probe.output().await.unwrap();
    let answer = exchange.answer(&offer.with_status(203));
    assert_eq!((answer.status(), answer.text().as_str()), (203, r#"{"price":9,"stock":0}"#));
    probe.send_to("price", Event::new("no object")).await.unwrap();
    probe.error().await.unwrap();
    at_rest(&probe.monitor()).await.unwrap();
    assert_ledger!(probe, failed = 1, dropped = 0);
    let ledger = probe.stop().await.unwrap();
    assert_ledger!(ledger);
}
