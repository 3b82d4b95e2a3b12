//! Messages between sockets of ours, over each transport.

use std::time::Duration;

use playhouse_engine::Kind as ErrorKind;
use playhouse_mdp::transport::{Kind, Refused, Socket, SocketSettings};
use tokio::time::Instant;

use crate::support::{addresses, answer, dealer, frames, give, next, open, router};

#[tokio::test]
async fn a_router_answers_a_dealer_over_each_transport() {
    for address in addresses() {
        let (router, dealer) = (open(Kind::Router), open(Kind::Dealer));
        let bound = router.bind(&address).await.unwrap();
        dealer.connect(&bound).await.unwrap();
        let long = "x".repeat(100_000);
        give(&dealer, frames(&["", "MDPC01", &long])).await;
        let message = next(&router).await;
        assert_eq!(message[1..], frames(&["", "MDPC01", &long]), "{address}");
        router.send(answer(message, &["", "done"])).unwrap();
        assert_eq!(next(&dealer).await, frames(&["", "done"]), "{address}");
        router.close().await;
        dealer.close().await;
    }
}

#[tokio::test]
async fn a_pull_takes_what_is_pushed_over_each_transport() {
    for address in addresses() {
        let (push, pull) = (open(Kind::Push), open(Kind::Pull));
        let bound = pull.bind(&address).await.unwrap();
        push.connect(&bound).await.unwrap();
        for number in 0..100 {
            give(&push, frames(&["", &number.to_string()])).await;
        }
        for number in 0..100 {
            assert_eq!(next(&pull).await, frames(&["", &number.to_string()]), "{address}");
        }
    }
}

#[tokio::test]
async fn a_sub_takes_what_it_subscribed_to_over_each_transport() {
    for address in addresses() {
        let (publisher, subscriber) = (open(Kind::Pub), open(Kind::Sub));
        let bound = publisher.bind(&address).await.unwrap();
        subscriber.subscribe("tea").await.unwrap();
        subscriber.connect(&bound).await.unwrap();
        // What is sent before the subscription has come is for nobody, so it is sent until something comes.
        let mut messages = Vec::new();
        while messages.is_empty() {
            publisher.send(frames(&["coffee", "no"])).unwrap();
            publisher.send(frames(&["tea", "yes"])).unwrap();
            let _ = tokio::time::timeout(Duration::from_millis(10), subscriber.receive(&mut messages, 1)).await;
        }
        assert_eq!(messages[0], frames(&["tea", "yes"]), "{address}");
    }
}

#[tokio::test]
async fn only_a_sub_subscribes() {
    let error = open(Kind::Pull).subscribe("tea").await.unwrap_err();
    assert_eq!(error.to_string(), "only a SUB subscribes, and this is a Pull");
}

#[tokio::test]
async fn a_message_for_nobody_comes_back() {
    let (router, _) = router(&SocketSettings::default()).await;
    let message = frames(&["nobody", "", "hello"]);
    match router.send(message.clone()) {
        Err(Refused::Unroutable(back)) => assert_eq!(back, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_that_is_ready_comes_at_once_and_no_more_than_asked_for() {
    let (router, address) = router(&SocketSettings::default()).await;
    let dealer = dealer(&SocketSettings::default(), &address).await;
    for number in 0..50 {
        give(&dealer, frames(&[&number.to_string()])).await;
    }
    let (mut messages, mut calls) = (Vec::new(), 0);
    while messages.len() < 50 {
        let before = messages.len();
        router.receive(&mut messages, 20).await.unwrap();
        assert!(messages.len() - before <= 20);
        calls += 1;
    }
    assert!(calls < 50, "{calls} calls for 50 messages");
    assert!(messages.iter().zip(0..50).all(|(message, number)| message[1] == number.to_string()));
}

#[tokio::test]
async fn a_receive_that_is_given_up_loses_nothing() {
    let (router, address) = router(&SocketSettings::default()).await;
    let dealer = dealer(&SocketSettings::default(), &address).await;
    let mut messages = Vec::new();
    for number in 0..500 {
        give(&dealer, frames(&[&number.to_string()])).await;
        let mut receive = Box::pin(router.receive(&mut messages, 1));
        let _ = futures_poll_once(receive.as_mut()).await;
    }
    while messages.len() < 500 {
        messages.push(next(&router).await);
    }
    assert!(messages.iter().zip(0..500).all(|(message, number)| message[1] == number.to_string()));
}

/// Polls a future once and lets go of it.
async fn futures_poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_push_without_a_peer_waits_until_the_deadline() {
    let push = open(Kind::Push);
    push.bind(&addresses()[0]).await.unwrap();
    let error = push.send_waiting(frames(&["a"]), Instant::now() + Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_does_not_hold_up_the_others() {
    let settings = SocketSettings { send_queue: 10, receive_queue: 10, ..SocketSettings::default() };
    let (router, address) = router(&settings).await;
    let (stuck, good) = (dealer(&settings, &address).await, dealer(&settings, &address).await);
    give(&stuck, frames(&["stuck"])).await;
    let to_stuck = answer(next(&router).await, &[&"x".repeat(100_000)]);
    let mut refused = 0;
    for _ in 0..10_000 {
        match router.send(to_stuck.clone()) {
            Ok(()) => {}
            Err(Refused::Full(back)) => {
                assert_eq!(back, to_stuck);
                refused += 1;
                break;
            }
            Err(other) => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(refused, 1, "the queue to the peer has a bound");
    give(&good, frames(&["good"])).await;
    router.send(answer(next(&router).await, &["served"])).unwrap();
    assert_eq!(next(&good).await, frames(&["served"]));
}

#[tokio::test]
async fn a_close_sends_what_is_queued() {
    let (router, address) = router(&SocketSettings::default()).await;
    let dealer = dealer(&SocketSettings::default(), &address).await;
    for number in 0..500 {
        give(&dealer, frames(&[&number.to_string()])).await;
    }
    dealer.close().await;
    for number in 0..500 {
        assert_eq!(next(&router).await[1], number.to_string());
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused() {
    let (_router, address) = router(&SocketSettings::default()).await;
    let error = open(Kind::Router).bind(&address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().starts_with(&format!("`{address}` cannot be bound: ")), "{error}");
}

#[tokio::test]
async fn a_message_of_the_largest_size_passes() {
    let settings = SocketSettings { largest_message: 1_000_000, ..SocketSettings::default() };
    let (router, address) = router(&settings).await;
    let dealer = Socket::open(Kind::Dealer, &settings).unwrap();
    dealer.connect(&address).await.unwrap();
    let half = "x".repeat(500_000);
    give(&dealer, frames(&[&half, &half])).await;
    assert_eq!(next(&router).await[1..], frames(&[&half, &half]));
}
