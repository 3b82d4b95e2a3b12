//! Flows around files, and programs that write these.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses some of it")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use playhouse_engine::{
    Actor, ActorRef, Context, Director, Emitter, Event, Format, IntoNode, Light, Outbox, Ports, Result, Running,
};
use tokio::sync::mpsc;

/// Long enough for whatever ends at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Ends events in a list.
#[derive(Clone, Default)]
pub(crate) struct Collected(Arc<Mutex<Vec<Event>>>);

impl Collected {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|event| event.payload().to_string()).collect()
    }

    /// The errors, as `kind: message`.
    pub(crate) fn errors(&self) -> Vec<String> {
        let errors = self.events().into_iter().map(|event| event.error().unwrap().clone());
        errors.map(|error| format!("{}: {}", error.kind(), error.message())).collect()
    }

    /// Waits until there are so many.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> impl Future<Output = ()> + '_ {
        let caller = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            while self.count() < count {
                assert!(began.elapsed() < PATIENCE, "{} of {count} events came, at {caller}", self.count());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

impl Light for Collected {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY)
    }

    fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        // Without its receipt, which would else never settle.
        let kept = Event::with_id(event.id(), event.payload().clone()).with_attributes(event.attributes().clone());
        self.0.lock().unwrap().push(match event.error() {
            Some(error) => kept.with_error(error.clone()),
            None => kept,
        });
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

/// A flow that runs, whose first actor's events end in lists.
pub(crate) struct Stage {
    pub(crate) running: Running,
    pub(crate) sent: Collected,
    pub(crate) failed: Collected,
    pub(crate) emitter: Option<Emitter>,
}

impl Stage {
    /// A source alone.
    pub(crate) async fn source<A: IntoNode<M>, M>(source: A) -> Self {
        Self::try_new(source, false, |_, _| {}).await.unwrap()
    }

    /// An actor that the test sends events to.
    pub(crate) async fn pipe<A: IntoNode<M>, M>(actor: A) -> Self {
        Self::try_new(actor, true, |_, _| {}).await.unwrap()
    }

    pub(crate) async fn try_new<A: IntoNode<M>, M>(
        actor: A,
        fed: bool,
        more: impl FnOnce(&mut Director, ActorRef),
    ) -> Result<Self> {
        let mut director = Director::new("stage");
        let actor = director.register("actor", actor);
        let (sent, failed) = (Collected::default(), Collected::default());
        let end = director.register("sent", sent.clone());
        director.connect(actor, end);
        let end = director.register("failed", failed.clone());
        director.connect_error(actor, end);
        let (sender, mut emitter) = mpsc::channel(1);
        if fed {
            let tap = director.register("tap", Tap(sender));
            director.connect(tap, actor);
        }
        more(&mut director, actor);
        let running = director.build()?.start().await?;
        Ok(Self { running, sent, failed, emitter: emitter.try_recv().ok() })
    }

    pub(crate) async fn send(&self, event: Event) {
        self.emitter.as_ref().unwrap().send(event).await.unwrap();
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn rest(&self) {
        playhouse_engine::testing::at_rest(&self.running.monitor()).await.unwrap();
    }

    /// Stops the flow, whose accounts must be right.
    pub(crate) async fn stop(self) {
        let monitor = self.running.monitor();
        self.running.stop(PATIENCE).await.unwrap();
        playhouse_engine::assert_ledger!(monitor);
    }
}

/// Runs a script of Python in a folder.
pub(crate) fn python(folder: &Path, script: &str) -> Child {
    Command::new("python3")
        .args(["-c", script])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns what `sha256sum` says of a file.
pub(crate) fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// Returns the names of all that is in a folder and those below it, hidden ones too.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let output = Command::new("find").arg(folder).args(["-not", "-type", "d", "-printf", "%P\n"]).output().unwrap();
    let mut names: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// Returns how many files this process has open in a folder.
pub(crate) fn open_files_in(folder: &Path) -> usize {
    let folder = folder.canonicalize().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter(|entry| {
        std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|target| target.starts_with(&folder))
    })
    .count()
}
