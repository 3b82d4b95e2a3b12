//! Kameo actors over bounded mailboxes.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};

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
        let (finish, finished) = Finish::after(events);
        let mut next = spawn(Stage::<T>::Sink(finish));
        for _ in 0..ACTORS {
            next = spawn(Stage::Pass(next));
        }
        let began = Instant::now();
        tokio::spawn(async move {
            let mut make = T::maker();
            for _ in 0..events {
                if next.tell(Envelope(make())).await.is_err() {
                    return;
                }
            }
        });
        finished.await.expect("the chain stands");
        began.elapsed()
    })
}

fn spawn<T: Item>(stage: Stage<T>) -> ActorRef<Stage<T>> {
    Stage::spawn_with_mailbox(stage, mailbox::bounded(CAPACITY))
}

struct Envelope<T>(T);

enum Stage<T: Item> {
    Pass(ActorRef<Self>),
    Sink(Finish),
}

impl<T: Item> Actor for Stage<T> {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(stage: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(stage)
    }
}

impl<T: Item> Message<Envelope<T>> for Stage<T> {
    type Reply = ();

    async fn handle(&mut self, message: Envelope<T>, _: &mut Context<Self, ()>) {
        match self {
            Self::Pass(next) => {
                // The next one is gone only where the race was broken off.
                let _ = next.tell(message).await;
            }
            Self::Sink(finish) => {
                finish.take(message.0);
            }
        }
    }
}
