//! Messages between sockets of ours, over each transport.

use playhouse_mdp::transport::{Kind, Refused};

use crate::support::{addresses, frames, give, next, open};

#[tokio::test]
async fn a_router_answers_a_dealer_over_each_transport() {
    for address in addresses() {
        let (router, dealer) = (open(Kind::Router), open(Kind::Dealer));
        let bound = router.bind(&address).await.unwrap();
        dealer.connect(&bound).await.unwrap();
        let long = "x".repeat(100_000);
        give(&dealer, frames(&["", "MDPC01", &long])).await;
        let mut message = next(&router).await;
        assert_eq!(message[1..], frames(&["", "MDPC01", &long]), "{address}");
        message.truncate(1);
        message.extend(frames(&["", "done"]));
        router.send(message).unwrap();
        assert_eq!(next(&dealer).await, frames(&["", "done"]), "{address}");
        router.close().await;
        dealer.close().await;
    }
}

#[tokio::test]
async fn a_message_for_nobody_comes_back() {
    let router = open(Kind::Router);
    router.bind(&addresses()[0]).await.unwrap();
    let message = frames(&["nobody", "", "hello"]);
    match router.send(message.clone()) {
        Err(Refused::Unroutable(back)) => assert_eq!(back, message),
        other => panic!("{other:?}"),
    }
}
