//! Sends mail.
//!
//! lettre writes the mails. The talk with the server is ours, with smtp-proto for what the server says: each step has a
//! deadline, who is refused is known, and nothing that came before TLS is believed after it. Leaves out DKIM, queues and the
//! look-up of mail exchangers: those are a mail server's, to which this sends.

mod compose;
mod connection;
mod delivery;
mod letter;
mod reply;
mod server;
mod settings;
mod xml_form;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use playhouse_engine::{Actor, Context, Error, Event, Format, Outbox, Ports, Result};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::content;
use crate::span;
use compose::{Composed, check_header, compose};
use connection::Connection;
use delivery::Failure;
use letter::{Letter, mailboxes, one_line};
use reply::Refused;
use server::Server;
pub use settings::{MailForm, RefusedRecipients, SmtpSinkSettings, SmtpTls};

/// The outbox of what some have and others do not.
const PARTIAL: &str = "partial";

/// From which size of a payload on a mail is written where it holds up nothing else.
const LARGE: usize = 256 * 1024;

/// How long a server has to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// Sends each event as a mail, by a mail server, and then passes it on.
///
/// From whom, to whom and with which subject a mail goes is said by the settings, else by the members of a JSON payload, else by
/// attributes: `mail.from`, `mail.to`, `mail.cc`, `mail.bcc`, `mail.reply-to` and `mail.subject`. Addresses are a text with
/// commas (`Ada Lovelace <ada@example.com>, bob@example.com`), an object with `address` and `name`, or a list of these.
///
/// The setting `form` says what a payload is:
/// - `text`: the text. `mail.html` is the same in HTML, and `mail.attachments` a list as below.
/// - `json`: an object with `from`, `to`, `cc`, `bcc`, `reply-to`, `subject`, `text`, `html` and `attachments`, a list of
///   `{"name", "type", "base64"}`; other members mean nothing. What `SmtpSource` gives is such an object.
/// - `xml`: under the root, `To` (with commas), `Cc`, `Bcc`, `From`, `Subject`, `Body` for the text, and any other element for a
///   header of its name.
///
/// Text of any script is encoded so that every server takes it. A line break in an address, a subject or a header is refused.
///
/// A mail's id is made of the event's, so a mail that is sent again has the same one. That may happen: where the connection is
/// lost after a mail and before the answer, nobody can know whether the server has it, and a retry sends it again. Nobody
/// gets it twice otherwise. A [`Retry`](playhouse_engine::Retry) in the actor's policy tries again after what may pass, and how many mails
/// are under way at once is its number of workers. A connection is kept for the next mail.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, which need not be connected, with the same event and the attribute
/// `mail.message-id`. With `refused-recipients = "send"` also `partial`, which must be connected, for what only some have: with
/// `mail.refused`, a list of `{"address", "code", "message"}`, and `mail.accepted`, a list of addresses.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `tls` | `starttls`, to this machine `none` | how connections are secured: `starttls`, without which nothing is sent, `implicit` or `none` |
/// | `authorities` | none | a PEM file of certificate authorities to trust beside the system's |
/// | `user`, `password` | nobody | as whom to log in; never in the clear but to this machine |
/// | `hello` | its address | what the sink calls itself |
/// | `form` | `text` | what a payload is: `text`, `json` or `xml` |
/// | `from`, `to`, `cc`, `bcc`, `reply-to`, `subject` | the event's | what is the same for all mails; then it is not up to an event |
/// | `headers` | none | further headers of all mails |
/// | `domain` | none | the domain of a sender without one, in the form `xml` |
/// | `refused-recipients` | `fail` | where some recipients are refused: `fail`, and nobody gets the mail, or `send`, and the others do |
/// | `recipients` | 100 | how many recipients a mail may have |
/// | `size` | 25 MiB | how many bytes a mail may have |
/// | `connect-deadline` | 10 s | how long it may take to connect, and then to agree on TLS |
/// | `command-deadline` | 30 s | how long the server may take to answer a command |
/// | `data-deadline` | 2 min | how long the server may take to take a mail and answer for it; the policy's deadline counts where it is nearer |
/// | `idle-connections` | 4 | how many connections are kept open while nobody uses them |
/// | `idle-time` | 30 s | for how long one is |
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Malformed` | the mail has no sender, no recipient or too many, an address is none, a value has a line break, the payload is not of its form |
/// | `Unsupported` | the payload cannot be text; the server does not offer what is needed (`STARTTLS`, `AUTH`, `SMTPUTF8`) or knows a command not |
/// | `TooLarge` | the mail is larger than `size`, or than the server takes (552) |
/// | `Unavailable` | the server cannot be reached, broke off, its certificate is not trusted, or it answered with 4xx |
/// | `Overloaded` | it has no room (452) |
/// | `Timeout` | it did not answer in time |
/// | `Unauthorized` | it does not let the user in, or wants one (530, 534, 535, 538) |
/// | `Unprocessable` | it refused the mail, or recipients, for good (550 and above); the message names who was refused |
///
/// # Example
/// ```
/// use playhouse_actors::{SmtpSink, SmtpSinkSettings};
///
/// let alarms = SmtpSink::to("localhost:25", SmtpSinkSettings {
///     from: Some("Alarms <alarms@example.com>".into()),
///     to: vec!["ops@example.com".into()],
///     subject: Some("Something is wrong".into()),
///     ..SmtpSinkSettings::default()
/// })?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct SmtpSink {
    server: Server,
    settings: Arc<SmtpSinkSettings>,
    /// Tells the mails of this actor from those that others make of the same event.
    tag: u32,
    idle: Mutex<Vec<Connection>>,
}

impl SmtpSink {
    /// Makes a sink that sends by the server at `server`, `host:port`.
    ///
    /// # Errors
    /// `Malformed` with all that makes no sense in the settings. For TLS: `NotFound` where the file of authorities cannot be read,
    /// `Malformed` where it holds none, `Unavailable` where none are known.
    pub fn to(server: &str, settings: SmtpSinkSettings) -> Result<Self> {
        let mut problems: Vec<String> = Vec::new();
        for (name, addresses) in [
            ("from", &settings.from.iter().cloned().collect::<Vec<_>>()),
            ("to", &settings.to),
            ("cc", &settings.cc),
            ("bcc", &settings.bcc),
            ("reply-to", &settings.reply_to),
        ] {
            problems.extend(mailboxes(name, &Value::from(addresses.as_slice())).err().map(|error| error.to_string()));
        }
        for (name, value) in &settings.headers {
            problems.extend(check_header(name).err());
            problems.extend(one_line(name, value).err().map(|error| error.to_string()));
        }
        let subject = settings.subject.as_deref().unwrap_or_default();
        problems.extend(one_line("subject", subject).err().map(|error| error.to_string()));
        for (name, time) in [
            ("connect-deadline", settings.connect_deadline),
            ("command-deadline", settings.command_deadline),
            ("data-deadline", settings.data_deadline),
            // None at all is one: then no connection is kept.
            ("idle-time", settings.idle_time.max(Duration::from_nanos(1))),
        ] {
            problems.extend(span::problem(name, time));
        }
        if !problems.is_empty() {
            let problems = problems.join("; ");
            return Err(Error::malformed(format!("no mail can go to `{}`: {problems}", server.escape_debug())));
        }
        let server = Server::new(server, &settings)?;
        Ok(Self { server, settings: Arc::new(settings), tag: 0, idle: Mutex::default() })
    }

    /// Writes the mail of an event.
    async fn mail(&self, event: &Event) -> Result<Composed> {
        let id = format!("{}.{:08x}", event.id(), self.tag);
        if content::weight(event.payload()) < LARGE {
            return write(event, &id, &self.settings);
        }
        // Without its receipt, which must not hang on work that nobody waits for any more.
        let event = Event::new(event.payload().clone()).with_attributes(event.attributes().clone());
        let settings = self.settings.clone();
        let written = tokio::task::spawn_blocking(move || write(&event, &id, &settings));
        written.await.map_err(|error| Error::internal("a mail could not be written").caused_by(error))?
    }

    /// Sends a mail, by a connection that is there already or a new one.
    async fn send(&self, mail: &Composed) -> Result<Vec<Refused>> {
        let mode = self.settings.refused_recipients;
        if let Some(mut connection) = self.take_idle() {
            match self.server.send(&mut connection, mail, mode).await {
                // The server closed it meanwhile, which says nothing of the mail.
                Err(failure) if failure.was_gone => {}
                outcome => return self.keep(connection, outcome),
            }
        }
        let mut connection = self.server.connect().await?;
        let outcome = self.server.send(&mut connection, mail, mode).await;
        self.keep(connection, outcome)
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.retain(|connection| now < connection.idle_since + self.settings.idle_time);
        idle.pop()
    }

    fn keep(&self, mut connection: Connection, outcome: Result<Vec<Refused>, Failure>) -> Result<Vec<Refused>> {
        let is_usable = outcome.as_ref().map_or_else(|failure| failure.is_usable, |_| true);
        if is_usable && connection.is_quiet() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < self.settings.idle_connections {
                connection.idle_since = Instant::now();
                idle.push(connection);
            }
        }
        outcome.map_err(|failure| failure.error)
    }
}

fn write(event: &Event, id: &str, settings: &SmtpSinkSettings) -> Result<Composed> {
    compose(Letter::of(event, settings)?, id, settings.recipients, settings.size)
}

impl Actor for SmtpSink {
    fn ports(&self) -> Ports {
        let ports = Ports::sink(Format::ANY).with_optional_outbox("outbox", Format::ANY);
        match self.settings.refused_recipients {
            RefusedRecipients::Fail => ports,
            RefusedRecipients::Send => ports.with_outbox(PARTIAL, Format::ANY),
        }
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        context.name().hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any part of it does")]
        let tag = hasher.finish() as u32;
        self.tag = tag;
        Ok(())
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let mail = self.mail(event).await?;
        let refused = self.send(&mail).await?;
        let Composed { message_id, to, .. } = mail;
        let sent = event.clone().with_attribute("mail.message-id", message_id);
        if refused.is_empty() {
            out.push(sent);
        } else {
            let is_refused = |address: &String| refused.iter().any(|one| one.address == *address);
            let accepted: Value = to.into_iter().filter(|address| !is_refused(address)).map(Value::from).collect();
            let refused: Value = refused.iter().map(Refused::to_json).collect();
            out.push_to(
                PARTIAL,
                sent.with_attribute("mail.accepted", accepted).with_attribute("mail.refused", refused),
            );
        }
        Ok(())
    }

    async fn stop(&mut self) {
        let idle = std::mem::take(self.idle.get_mut().unwrap_or_else(PoisonError::into_inner));
        let good_bye = async {
            for mut connection in idle {
                // It is over, whatever the server says.
                let _ = connection.write(b"QUIT\r\n").await;
            }
        };
        let _ = timeout(GOOD_BYE, good_bye).await;
    }
}

impl fmt::Debug for SmtpSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SmtpSink")
            .field("server", &self.server.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
