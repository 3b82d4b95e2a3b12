//! A task that sends each clone on a bounded flume channel of its own, to tasks that drain theirs.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::fan::{CAPACITY, maker};
use crate::finish::Finish;
use crate::{Flavor, Item};

/// Runs the fan.
///
/// # Panics
/// Where the fan breaks.
#[must_use]
pub fn run<T: Item + Into<Bytes>>(flavor: Flavor, width: usize, events: usize) -> Duration {
    flavor.runtime().block_on(async {
        let mut senders = Vec::new();
        let mut all_finished = Vec::new();
        for _ in 0..width {
            let (sender, receiver) = flume::bounded::<Bytes>(CAPACITY);
            let (finish, finished) = Finish::after(events);
            tokio::spawn(async move {
                while let Ok(item) = receiver.recv_async().await {
                    finish.take(item);
                    for item in receiver.drain() {
                        finish.take(item);
                    }
                }
            });
            senders.push(sender);
            all_finished.push(finished);
        }
        let began = Instant::now();
        tokio::spawn(async move {
            let mut make = maker::<T>();
            for _ in 0..events {
                let item = make();
                for sender in &senders {
                    if sender.send_async(item.clone()).await.is_err() {
                        return;
                    }
                }
            }
        });
        for finished in all_finished {
            finished.await.expect("the fan stands");
        }
        began.elapsed()
    })
}
