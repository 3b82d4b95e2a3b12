//! An actor under test in a flow of its own, whose outputs are all still there after it has stopped.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use playhouse_engine::{
    Actor, Context, Director, Emitter, Event, Format, IntoNode, Ledger, Light, Outbox, Policy, Ports, Result, Running,
};
use tokio::sync::mpsc;

/// Long enough for whatever ends at all.
const SOON: Duration = Duration::from_secs(600);

pub(crate) struct Stage {
    running: Running,
    inboxes: Vec<(&'static str, Emitter)>,
    sent: Vec<(&'static str, Collected)>,
    failed: Collected,
}

#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<Vec<Event>>>);

impl Collected {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.events().iter().map(|event| event.payload().to_string()).collect()
    }

    /// The errors, as `kind: message`.
    pub(crate) fn errors(&self) -> Vec<String> {
        let errors = self.events().into_iter().map(|event| event.error().unwrap().clone());
        errors.map(|error| format!("{}: {}", error.kind(), error.message())).collect()
    }
}

struct Collect(Collected);

impl Light for Collect {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        self.0.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

/// A source whose emitter the test has.
struct Tap(mpsc::Sender<Emitter>);

impl Actor for Tap {
    fn ports(&self) -> Ports {
        Ports::source(Format::ANY)
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.0.try_send(context.emitter()?).unwrap();
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

impl Stage {
    pub(crate) async fn new<A: IntoNode<M>, M>(actor: A, inboxes: &[&'static str], outboxes: &[&'static str]) -> Self {
        Self::with_policy(actor, Policy::default(), inboxes, outboxes).await
    }

    pub(crate) async fn with_policy<A: IntoNode<M>, M>(
        actor: A,
        policy: Policy,
        inboxes: &[&'static str],
        outboxes: &[&'static str],
    ) -> Self {
        let mut director = Director::new("stage");
        let actor = director.register_with("actor", actor, policy);
        let (mut emitters, mut sent) = (Vec::new(), Vec::new());
        for inbox in inboxes {
            let (sender, receiver) = mpsc::channel(1);
            let tap = director.register(format!("to {inbox}"), Tap(sender));
            director.connect(tap, actor.port(*inbox));
            emitters.push((*inbox, receiver));
        }
        for outbox in outboxes {
            let collected = Collected::default();
            let end = director.register(format!("from {outbox}"), Collect(collected.clone()));
            director.connect(actor.port(*outbox), end);
            sent.push((*outbox, collected));
        }
        let failed = Collected::default();
        let end = director.register("errors", Collect(failed.clone()));
        director.connect_error(actor, end);
        let running = director.build().unwrap().start().await.unwrap();
        let inboxes = emitters.into_iter().map(|(name, mut emitter)| (name, emitter.try_recv().unwrap())).collect();
        Self { running, inboxes, sent, failed }
    }

    #[track_caller]
    pub(crate) fn inbox(&self, name: &str) -> &Emitter {
        &self.inboxes.iter().find(|(inbox, _)| *inbox == name).expect("the stage has the inbox").1
    }

    pub(crate) async fn send(&self, inbox: &str, event: Event) {
        self.inbox(inbox).send(event).await.unwrap();
    }

    #[track_caller]
    pub(crate) fn sent(&self, name: &str) -> Collected {
        self.sent.iter().find(|(outbox, _)| *outbox == name).expect("the stage has the outbox").1.clone()
    }

    pub(crate) fn failed(&self) -> Collected {
        self.failed.clone()
    }

    /// Waits until so many events were sent or have failed in all.
    pub(crate) async fn ended(&self, count: usize) {
        while self
            .sent
            .iter()
            .map(|(_, collected)| collected)
            .chain([&self.failed])
            .map(|all| all.events().len())
            .sum::<usize>()
            < count
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the actor has handled so many events.
    pub(crate) async fn taken(&self, count: u64) {
        while self.running.monitor().actor("actor").unwrap().received < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.running.ledger()
    }

    /// Stops the flow, whose accounts must be right.
    pub(crate) async fn stop(self) -> Ledger {
        let ledger = self.running.stop(SOON).await.unwrap();
        assert!(ledger.balances() && ledger.in_flight == 0 && ledger.dropped == 0, "{ledger}");
        ledger
    }
}
