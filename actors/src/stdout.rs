//! Prints events.
//!
//! A write can block for as long as the reader likes: a pipe into a pager that nobody pages. So a thread of its own
//! writes, and not one of the runtime's, whether of its workers or of its blocking pool: that would hold up other actors,
//! or the end of the process.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use playhouse_engine::{Actor, Context, Error, Event, Format, Outbox, Ports, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::whole_event::whole;

/// Prints the payload of each event on standard output, and then passes the event on where its outbox is connected.
///
/// An event is delivered when it is written and flushed. It is one write, so that what several actors print never mixes
/// within a line. Where nobody reads any more the event fails, as `Gone`.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, which may stay unconnected.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `prefix` | nothing | what stands before the payload |
/// | `timestamp` | `false` | whether the time stands before all else, in UTC, as `[2015-02-13 16:56:35.850659] ` |
/// | `whole-event` | `false` | whether the event is printed whole, as one line of JSON, with any credentials among its attributes; else its payload alone |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Gone` | nobody reads any more |
/// | `Unavailable` | the write failed, or no thread could be started to print: then the flow does not start |
/// | `Overloaded` | 1,024 lines wait to be printed |
/// | `Timeout` | the write took longer than the actor's policy allows |
///
/// # Example
/// ```
/// use playhouse_actors::{Stdout, StdoutSettings};
///
/// let plain = Stdout::new(StdoutSettings::default());
/// let dated = Stdout::new(StdoutSettings { prefix: "orders: ".into(), timestamp: true, ..Default::default() });
/// ```
#[derive(Debug)]
pub struct Stdout {
    settings: StdoutSettings,
    /// Or why there is no thread that writes.
    writer: Result<SyncSender<Line>>,
}

/// How [`Stdout`] prints an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StdoutSettings {
    /// What stands before the payload; nothing by default.
    pub prefix: String,
    /// Whether the time stands before all else, in UTC, as `[2015-02-13 16:56:35.850659] `; not by default.
    pub timestamp: bool,
    /// Whether the event is printed whole, as one line of JSON: its id, correlation id, attributes (with any credentials
    /// among them), payload and error. By default it is the payload alone.
    pub whole_event: bool,
}

/// How many lines wait for the writer at most. Each belongs to a worker that waits for it.
const MOST_WAITING: usize = 1024;

#[derive(Debug)]
struct Line {
    text: String,
    written: oneshot::Sender<io::Result<()>>,
}

impl Stdout {
    /// Makes an actor that prints as `settings` say.
    #[must_use]
    pub fn new(settings: StdoutSettings) -> Self {
        Self::to(io::stdout(), settings)
    }

    /// Makes an actor that prints to `writer` in place of standard output.
    #[must_use]
    pub fn to(writer: impl Write + Send + 'static, settings: StdoutSettings) -> Self {
        let (sender, lines) = sync_channel(MOST_WAITING);
        let thread = thread::Builder::new().name("stdout".to_owned()).spawn(move || write_all(writer, &lines));
        let writer = match thread {
            Ok(_) => Ok(sender),
            Err(error) => Err(Error::unavailable("no thread could be started to print").caused_by(error)),
        };
        Self { settings, writer }
    }

    fn line(&self, event: &Event) -> String {
        let mut line = String::new();
        // Writing into a string cannot fail.
        if self.settings.timestamp {
            let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
            let _ = write!(line, "[{}] ", now.trim_end_matches('Z').replace('T', " "));
        }
        line.push_str(&self.settings.prefix);
        let _ = match self.settings.whole_event {
            true => write!(line, "{}", whole(event)),
            false => write!(line, "{}", event.payload()),
        };
        line.push('\n');
        line
    }
}

impl Default for Stdout {
    fn default() -> Self {
        Self::new(StdoutSettings::default())
    }
}

impl Actor for Stdout {
    fn ports(&self) -> Ports {
        Ports::sink(Format::ANY).with_optional_outbox("outbox", Format::ANY)
    }

    async fn start(&mut self, _: Context) -> Result<()> {
        self.writer.as_ref().map(|_| ()).map_err(Error::clone)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let writer = self.writer.as_ref().map_err(Error::clone)?;
        let (sender, written) = oneshot::channel();
        let line = Line { text: self.line(event), written: sender };
        writer.try_send(line).map_err(|_| Error::overloaded("too many lines wait to be printed"))?;
        match written.await {
            Ok(Ok(())) => {
                out.push(event);
                Ok(())
            }
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                Err(Error::gone("nobody reads what is printed").caused_by(error))
            }
            Ok(Err(error)) => Err(Error::unavailable("the event cannot be printed").caused_by(error)),
            Err(_) => Err(Error::internal("the thread that prints has died")),
        }
    }
}

/// Writes lines until the actor is gone. One that nobody waits for any more, whose event has failed, is left out.
fn write_all(mut writer: impl Write, lines: &Receiver<Line>) {
    for Line { text, written } in lines {
        if !written.is_closed() {
            let outcome = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
            // Nobody waits any more: then nobody wants to know.
            let _ = written.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use playhouse_engine::{Kind, Payload, Xml, testing};
    use serde_json::{Value, json};

    use super::*;

    /// Keeps each write by itself.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<String>>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn printed(settings: StdoutSettings, event: Event) -> String {
        let writes = Writes::default();
        testing::feed(&Stdout::to(writes.clone(), settings), event).await.unwrap();
        let writes = writes.0.lock().unwrap();
        let [write] = &writes[..] else { panic!("not one write: {writes:?}") };
        write.clone()
    }

    #[tokio::test]
    async fn an_event_is_one_write_behind_its_prefix() {
        let settings = StdoutSettings { prefix: "I am number one: ".into(), ..Default::default() };
        assert_eq!(printed(settings, Event::new("a\nb")).await, "I am number one: a\nb\n");
        for (payload, text) in [
            (Payload::Empty, "\n"),
            (Payload::from(vec![b'x', 0xff]), "x\u{fffd}\n"),
            (Payload::from(json!({"a": 1})), "{\"a\":1}\n"),
            (Payload::from(Xml::new("<a/>")), "<a/>\n"),
        ] {
            assert_eq!(printed(StdoutSettings::default(), Event::new(payload)).await, text);
        }
    }

    #[tokio::test]
    async fn a_timestamp_stands_before_the_prefix() {
        let settings = StdoutSettings { prefix: "one: ".into(), timestamp: true, ..Default::default() };
        let before = SystemTime::now();
        let line = printed(settings, Event::new("test")).await;
        let (time, rest) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
        assert_eq!(rest, "one: test\n");
        assert_eq!(time.len(), "2015-02-13 16:56:35.850659".len());
        let time = humantime::parse_rfc3339(&format!("{}Z", time.replace(' ', "T"))).unwrap();
        assert!(time.duration_since(before).unwrap_or_default().as_secs() < 60, "{line}");
    }

    #[tokio::test]
    async fn a_whole_event_is_one_line_of_json() {
        let event = Event::new("a\nb").with_attribute("http.status", 404_i64).with_error(Error::gone("it went"));
        let id = event.id().to_string();
        let line = printed(StdoutSettings { whole_event: true, ..Default::default() }, event).await;
        assert_eq!(line.lines().count(), 1);
        let expected = json!({
            "id": id,
            "correlation": id,
            "attributes": {"http.status": 404},
            "payload": "a\nb",
            "error": {"kind": "gone", "message": "it went", "actor": null},
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }

    #[tokio::test]
    async fn the_event_is_passed_on() {
        let event = Event::new("a").with_attribute("colour", "red");
        let id = event.id();
        let outputs = testing::feed(&Stdout::to(io::sink(), StdoutSettings::default()), event).await.unwrap();
        assert_eq!(outputs.len(), 1);
        assert_eq!((outputs[0].event.id(), outputs[0].event.attribute("colour")), (id, Some("red".into())));
    }

    #[tokio::test]
    async fn a_writer_that_fails_fails_the_event() {
        struct Failing(ErrorKind);

        impl Write for Failing {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        for (fault, kind) in [(ErrorKind::BrokenPipe, Kind::Gone), (ErrorKind::StorageFull, Kind::Unavailable)] {
            let stdout = Stdout::to(Failing(fault), StdoutSettings::default());
            assert_eq!(testing::feed(&stdout, Event::new("a")).await.unwrap_err().kind(), kind);
        }
    }

    #[tokio::test]
    async fn a_pipe_that_nobody_reads_any_more_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        let stdout = Stdout::to(writer, StdoutSettings::default());
        testing::feed(&stdout, Event::new("a")).await.unwrap();
        drop(reader);
        let error = testing::feed(&stdout, Event::new("b")).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Gone, "nobody reads what is printed"));
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_holds_up_nobody_else() {
        let (reader, writer) = io::pipe().unwrap();
        let stdout = Arc::new(Stdout::to(writer, StdoutSettings::default()));
        // More than a pipe holds, so that the write blocks until somebody reads.
        let long = Event::new("x".repeat(1 << 20));
        let printing = tokio::spawn({
            let stdout = stdout.clone();
            async move { testing::feed(&*stdout, long).await }
        });
        // The runtime has one thread, and still has turns to give.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!printing.is_finished());
        let drained = thread::spawn(move || io::copy(&mut { reader }, &mut io::sink()));
        printing.await.unwrap().unwrap();
        drop(stdout);
        assert_eq!(drained.join().unwrap().unwrap(), (1 << 20) + 1);
    }
}
