//! Tasks over bounded flume channels: each waits for one item, then drains what else is there.

use std::time::{Duration, Instant};

use crate::chain::{ACTORS, CAPACITY};
use crate::finish::Finish;
use crate::{Flavor, Item};

/// Runs the chain.
///
/// # Panics
/// Where the chain breaks.
#[must_use]
pub fn run<T: Item>(flavor: Flavor, events: usize) -> Duration {
    flavor.runtime().block_on(async {
        let (first, mut receiver) = flume::bounded::<T>(CAPACITY);
        for _ in 0..ACTORS {
            let (sender, next) = flume::bounded(CAPACITY);
            tokio::spawn(pass(receiver, sender));
            receiver = next;
        }
        let (finish, finished) = Finish::after(events);
        tokio::spawn(take(receiver, finish));
        let began = Instant::now();
        tokio::spawn(async move {
            let mut make = T::maker();
            for _ in 0..events {
                if first.send_async(make()).await.is_err() {
                    return;
                }
            }
        });
        finished.await.expect("the chain stands");
        began.elapsed()
    })
}

async fn pass<T: Item>(receiver: flume::Receiver<T>, sender: flume::Sender<T>) {
    while let Ok(item) = receiver.recv_async().await {
        if sender.send_async(item).await.is_err() {
            return;
        }
        for item in receiver.drain() {
            if sender.send_async(item).await.is_err() {
                return;
            }
        }
    }
}

async fn take<T: Item>(receiver: flume::Receiver<T>, finish: Finish) {
    while let Ok(item) = receiver.recv_async().await {
        finish.take(item);
        for item in receiver.drain() {
            finish.take(item);
        }
    }
}
