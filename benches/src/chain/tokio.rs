//! Tasks over tokio's bounded channels, one item at a time.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

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
        let (first, mut receiver) = mpsc::channel::<T>(CAPACITY);
        for _ in 0..ACTORS {
            let (sender, next) = mpsc::channel(CAPACITY);
            tokio::spawn(async move {
                while let Some(item) = receiver.recv().await {
                    if sender.send(item).await.is_err() {
                        return;
                    }
                }
            });
            receiver = next;
        }
        let (finish, finished) = Finish::after(events);
        tokio::spawn(async move {
            while let Some(item) = receiver.recv().await {
                finish.take(item);
            }
        });
        let began = Instant::now();
        tokio::spawn(async move {
            let mut make = T::maker();
            for _ in 0..events {
                if first.send(make()).await.is_err() {
                    return;
                }
            }
        });
        finished.await.expect("the chain stands");
        began.elapsed()
    })
}
