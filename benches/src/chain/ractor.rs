//! Ractor actors. Its mailboxes have no bound, so `cast` runs within a window as large as all the queues of the others
//! together.

use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::chain::{ACTORS, CAPACITY, HOPS};
use crate::finish::Finish;
use crate::window::Window;
use crate::{Flavor, Item};

/// Runs the chain.
///
/// # Panics
/// Where the chain breaks.
#[must_use]
pub fn run<T: Item>(flavor: Flavor, events: usize) -> Duration {
    flavor.runtime().block_on(async {
        let mut window = Window::new(CAPACITY * HOPS);
        let (finish, finished) = Finish::after(events);
        let mut next = spawn(Stage::<T>::Sink(finish, window.clone())).await;
        for _ in 0..ACTORS {
            next = spawn(Stage::Pass(next)).await;
        }
        let began = Instant::now();
        tokio::spawn(async move {
            let mut make = T::maker();
            for _ in 0..events {
                window.enter().await;
                if next.cast(make()).is_err() {
                    return;
                }
            }
        });
        finished.await.expect("the chain stands");
        began.elapsed()
    })
}

async fn spawn<T: Item>(stage: Stage<T>) -> ActorRef<T> {
    let spawned = Actor::spawn(None, Relay(std::marker::PhantomData), stage).await;
    spawned.expect("an actor starts").0
}

struct Relay<T>(std::marker::PhantomData<T>);

enum Stage<T> {
    Pass(ActorRef<T>),
    Sink(Finish, Window),
}

impl<T: Item> Actor for Relay<T> {
    type Msg = T;
    type State = Stage<T>;
    type Arguments = Stage<T>;

    async fn pre_start(&self, _: ActorRef<T>, stage: Stage<T>) -> Result<Stage<T>, ActorProcessingErr> {
        Ok(stage)
    }

    async fn handle(&self, _: ActorRef<T>, item: T, stage: &mut Stage<T>) -> Result<(), ActorProcessingErr> {
        match stage {
            Stage::Pass(next) => next.cast(item)?,
            Stage::Sink(finish, window) => {
                finish.take(item);
                window.leave();
            }
        }
        Ok(())
    }
}
