//! Takes mail in.
//!
//! The session of a client is a state machine without I/O (`session.rs`), with smtp-proto for its commands; the sockets are
//! in `connection.rs`. Leaves out relaying, queues and delivery status notifications: the flow is where a mail ends up.

mod accept;
mod accepts;
mod boundary;
mod command;
mod connection;
mod content;
mod data;
mod login;
mod mail;
mod memory;
mod reply;
mod session;
mod settings;
mod users;

use std::fmt;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use playhouse_engine::{Actor, Context, Error, Event, Format, Outbox, Ports, Result};

use accept::accept;
use accepts::Accepts;
use connection::Reception;
use memory::Memory;
use session::Rules;
pub use settings::{MailPayload, SmtpSourceSettings};
use users::Users;

#[cfg(feature = "auth")]
use crate::basic_auth::BasicAuth;
use crate::listen::{Listen, Listener};
use crate::span;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// Takes mail over SMTP: each mail is an event.
///
/// A client is told that its mail is taken when all that came of the event was delivered, and not before, so a mail that is lost
/// here is still in the client's queue. Where the flow fails for now, has no room or takes too long, the client is told to come
/// again; where it says that the mail makes no sense, the client is told so. A mail may come twice: whoever must not handle it
/// twice keeps its `mail.message-id`.
///
/// Nothing is relayed, so mail is taken for anybody unless `accepts` says for whom. The source adds no header of its own: what
/// it knows of the mail's way are attributes.
///
/// # Ports
/// Outbox: `outbox`. By the setting `payload` it gives
/// - `json`: an object with `from`, `to`, `cc` and `reply-to` (lists of `{"address", "name"}`), `subject`, `date` (RFC 3339),
///   `message-id`, `text`, `html`, `attachments` (a list of `{"name", "id", "type", "base64"}`) and `headers` (names in lower
///   case; a list where one comes again). Encoded words, transfer encodings and character sets are undone. The first plain and
///   the first HTML text that are no attachments are `text` and `html`; without a plain one, `text` is made of the HTML. All else is
///   an attachment, mails within the mail too, which are not taken apart.
/// - `xml`: `<mail>` with an element for each header, by its name, and `<Body>` with the text.
/// - `raw`: the bytes as they came, without the dots that were stuffed in.
///
/// Attributes: `mail.from` and `mail.to` (a list), which are the envelope's, `mail.subject`, `mail.message-id`, `smtp.peer`,
/// `smtp.helo`, `smtp.tls`, and `auth.user` of a user that is logged in.
///
/// # Settings
/// Where it listens, TLS by `with_tls` (`STARTTLS`; feature `tls`), users by `with_users` (`AUTH PLAIN` and `LOGIN`, over TLS
/// only; feature `auth`), and by `with_settings`:
///
/// | name | default | meaning |
/// |---|---|---|
/// | `payload` | `json` | what a mail becomes: `json`, `xml` or `raw` |
/// | `hostname` | `localhost` | what the source calls itself |
/// | `accepts` | anybody | for whom mail is taken: `ada@example.com`, `example.com`, `*.example.com`; others: 550 |
/// | `deadline` | 30 s | how long the flow has for a mail, and its event's deadline; later: 451 |
/// | `require-tls` | no | whether mail is taken over TLS only; else: 530 |
/// | `require-user` | yes | whether mail is taken from users only, where there are some; else: 530 |
/// | `size` | 10 MiB | how many bytes a mail may have; beyond: 552 |
/// | `memory` | 128 MiB | how many bytes all mails may have together until they are answered for; beyond: 452 |
/// | `recipients` | 100 | how many recipients a mail may have; beyond: 452, and where ten times as many come: 421 |
/// | `line-size` | 1,000 | how many bytes a line of a mail may have; beyond: 554 |
/// | `headers` | 1,000 | how many header fields a mail may have, those of its parts included; beyond: 554, and so are fields with hundreds of parameters |
/// | `header-size` | 256 KiB | how many bytes the header of a mail or of a part may have; beyond: 554 |
/// | `parts` | 1,000 | how many parts a mail may have; beyond: 554 |
/// | `depth` | 16 | how deep parts may lie within each other; beyond: 554 |
/// | `command-size` | 4 KiB | how many bytes a command may have; beyond: 500, and the connection is closed |
/// | `errors` | 10 | how many commands of a connection may be refused; beyond: 421 |
/// | `idle-commands` | 100 | how many commands without a mail a connection may give in a row; beyond: 421 |
/// | `connections` | 256 | how many connections may be open at once; beyond: 421 |
/// | `connections-per-peer` | 64 | how many of them from one address; beyond: 421 |
/// | `command-time` | 60 s | how long the next command may take, and an answer to be read; later: 421 |
/// | `handshake-time` | 10 s | how long a TLS handshake may take |
/// | `data-time` | 10 min | how long a mail may take to come in; later: 421 |
/// | `slowest-rate` | 1 KiB | how many bytes of a mail must come in a second; slower: 421 |
/// | `rate-window` | 10 s | over what time that is measured |
/// | `stop-time` | 10 s | how long a mail that is coming in when the flow stops may take |
///
/// A line that does not end by CR and LF, or holds either alone, ends the connection (521): other servers take it for another
/// thing, which lets mails be smuggled through them. At a stop, clients get a 421; what is coming in or not yet answered for
/// goes on to its end.
///
/// # Errors
/// None of its own: a mail that cannot be taken is answered so. What the flow says of a mail is told by its kind:
///
/// | kind | reply |
/// |---|---|
/// | `Malformed`, `Unprocessable`, `Unsupported`, `Conflict` | 554 5.6.0 |
/// | `NotFound`, `Gone` | 554 5.1.1 |
/// | `Unauthorized`, `Forbidden`, `NotAllowed` | 554 5.7.1 |
/// | `TooLarge` | 552 |
/// | `Overloaded`, `RateExceeded` | 452 |
/// | `Timeout`, `Unavailable`, `Cancelled`, `Internal` | 451 |
///
/// # Example
/// ```
/// use playhouse_actors::{SmtpSource, SmtpSourceSettings};
/// use playhouse_engine::{Director, Event, sink};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let mut director = Director::new("tickets");
/// let settings = SmtpSourceSettings { accepts: vec!["support.example".into()], ..SmtpSourceSettings::default() };
/// let mail = director.register("mail", SmtpSource::on(listener).with_settings(settings));
/// let print = director.register("print", sink(|mail: &Event| {
///     println!("{}", mail.payload().as_json()?["subject"]);
///     Ok(())
/// }));
/// director.connect(mail, print);
/// director.build()?;
/// # Ok(())
/// # }
/// ```
pub struct SmtpSource {
    listen: Listen,
    settings: SmtpSourceSettings,
    users: Users,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl SmtpSource {
    /// Listens on `address`, such as `127.0.0.1:2525`, from the start of the flow on.
    #[must_use]
    pub fn bind(address: impl Into<String>) -> Self {
        Self::new(Listen::Address(address.into()))
    }

    /// Listens on `listener`, which the caller has bound, and whose port it therefore knows.
    #[must_use]
    pub fn on(listener: StdListener) -> Self {
        Self::new(Listen::Listener(listener))
    }

    fn new(listen: Listen) -> Self {
        Self {
            listen,
            settings: SmtpSourceSettings::default(),
            users: Users::default(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Sets how mail is taken, in place of the defaults.
    #[must_use]
    pub fn with_settings(mut self, settings: SmtpSourceSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Offers `STARTTLS`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Offers `AUTH` to the users of `auth`, over TLS.
    #[cfg(feature = "auth")]
    #[must_use]
    pub fn with_users(mut self, auth: BasicAuth) -> Self {
        self.users.auth = Some(auth);
        self
    }

    fn offers_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    fn rules(&self) -> Result<Rules> {
        let settings = &self.settings;
        let times = [
            ("deadline", settings.deadline),
            ("command-time", settings.command_time),
            ("handshake-time", settings.handshake_time),
            ("data-time", settings.data_time),
            ("rate-window", settings.rate_window),
            // None at all is one: a stop then waits for nobody.
            ("stop-time", settings.stop_time.max(Duration::from_nanos(1))),
        ];
        let mut problems: Vec<_> = times.into_iter().filter_map(|(name, time)| span::problem(name, time)).collect();
        let is_wrong = |letter: char| !letter.is_ascii_graphic();
        if settings.hostname.is_empty() || settings.hostname.contains(is_wrong) {
            let hostname = settings.hostname.escape_debug();
            problems.push(format!("`{hostname}` is no `hostname`; expected a name without spaces"));
        }
        let offers_tls = self.offers_tls();
        if !offers_tls && (settings.require_tls || self.users.has_some()) {
            let what = if settings.require_tls { "`require-tls`" } else { "users" };
            problems.push(format!("{what} need TLS; expected `with_tls`"));
        }
        let accepts = Accepts::new(&settings.accepts);
        problems.extend(accepts.as_ref().err().map(|error| error.message().to_owned()));
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no mail can be taken: {}", problems.join("; "))));
        }
        Ok(Rules {
            accepts: accepts?,
            offers_tls,
            has_users: self.users.has_some(),
            memory: Arc::new(Memory::new(settings.memory)),
            settings: settings.clone(),
        })
    }
}

impl Actor for SmtpSource {
    fn ports(&self) -> Ports {
        Ports::source(match self.settings.payload {
            MailPayload::Json => Format::JSON,
            MailPayload::Xml => Format::XML,
            MailPayload::Raw => Format::BYTES,
        })
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        let rules = Arc::new(self.rules()?);
        let listener = Listener::new(self.listen.open().await?);
        let reception = Arc::new(Reception {
            rules,
            emitter: context.emitter()?,
            stopping: context.stopping(),
            users: std::mem::take(&mut self.users),
            #[cfg(feature = "tls")]
            tls: self.tls.as_ref().map(|tls| tls.acceptor(&[])),
        });
        context.spawn("accept", move || accept(listener.clone(), reception.clone()));
        Ok(())
    }

    async fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Err(Error::internal("a source of mail has no inbox"))
    }
}

impl fmt::Debug for SmtpSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SmtpSource")
            .field("listen", &self.listen)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
