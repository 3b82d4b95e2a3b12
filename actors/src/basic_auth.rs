//! Lets an event pass when its HTTP request carries the name and password of a known user (RFC 7617).
//!
//! Knows nothing of HTTP but the attribute that holds the `Authorization` header. What a client that is not let in gets
//! to see, `WWW-Authenticate` included, is the HTTP server's.

mod checks;
mod credentials;
mod password_hash;
mod remembered;
mod users;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use playhouse_engine::{Actor, Error, Event, Format, Outbox, Ports, Result, Text};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use checks::Checks;
use credentials::Credentials;
use password_hash::PasswordHash;
use remembered::{Remembered, Tag};
use users::Users;

const AUTHORIZATION: Text = Text::from_static("http.header.authorization");
const USER: Text = Text::from_static(BasicAuth::USER);

/// Checks HTTP basic authentication: an event with the credentials of a known user moves on, any other fails with
/// [`Kind::Unauthorized`](playhouse_engine::Kind::Unauthorized).
///
/// The event that moves on carries the user's name as the attribute [`BasicAuth::USER`], and no longer carries the
/// credentials: the attribute `http.header.authorization` is taken away.
///
/// Connect the error route to the HTTP server, and the client gets a 401. The `WWW-Authenticate` header that goes with it,
/// and the realm in it, are the server's: see `HttpServer::with_realm`.
///
/// # Ports
/// Inbox: `inbox`, for any format. Outbox: `outbox`, with the same event.
///
/// # Settings
/// | name | default | meaning |
/// |---|---|---|
/// | `checks-at-once` | one for each core, up to 4 | how many passwords are checked at once |
/// | `checks-waiting` | 64 | how many events wait at most for a check that is not theirs to make yet |
/// | `remembered` | 1,024 | how many credentials that were right are remembered; 0 to check each time |
/// | `remembered-for` | 5 min | for how long they are |
///
/// # Users
/// A file has one user on each line, `name:hash`; empty lines and lines that begin with `#` are passed over. A hash is of
/// argon2id or bcrypt: make a line with [`BasicAuth::line`], or with Apache's tool, `htpasswd -B -C 12 users.htpasswd ada`.
/// Hashes that are known to be weak are refused.
///
/// # Cost
/// To check a password takes tens of milliseconds and, with argon2id, 19 MiB, by design. So a password that was right is
/// remembered for a while (as a keyed hash, not as it is), and the same credentials that come many times at once are
/// checked once. One that was wrong is not remembered. A worker waits while a password is checked: with a policy of
/// several workers, users that are remembered need not wait behind those that are not.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Unauthorized` | there are no credentials, they cannot be read, or they are wrong |
/// | `Overloaded` | too many wait for a check |
/// | what the closure says | an asynchronous check failed |
///
/// # Example
/// ```
/// use playhouse_actors::BasicAuth;
///
/// let line = BasicAuth::line("ada", "lovelace")?;
/// let auth = BasicAuth::from_text(&line)?;
/// let by_hand = BasicAuth::with(|user, password| user == "ada" && password == "lovelace");
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct BasicAuth {
    verifier: Verifier,
    checks: Checks,
    remembered: Remembered,
}

/// How [`BasicAuth`] checks passwords, and how long it remembers those that were right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BasicAuthSettings {
    /// How many passwords are checked at once at most: one for each core, and up to 4, by default. Each takes a core and
    /// 19 MiB.
    pub checks_at_once: usize,
    /// How many events wait at most for a check that is not theirs to make yet; 64 by default. Further ones fail at once,
    /// as `Overloaded`. Where the actor has more workers than this and `checks_at_once` together, a flood of wrong
    /// passwords never keeps users waiting that are remembered.
    pub checks_waiting: usize,
    /// How many credentials that were right are remembered at most; 1,024 by default, 0 to check each time.
    pub remembered: usize,
    /// For how long credentials that were right are remembered; 5 minutes by default. For so long at most a user can still
    /// come in whom a closure no longer lets in.
    #[serde(with = "humantime_serde")]
    pub remembered_for: Duration,
}

impl Default for BasicAuthSettings {
    fn default() -> Self {
        Self {
            checks_at_once: std::thread::available_parallelism().map_or(1, usize::from).min(4),
            checks_waiting: 64,
            remembered: 1024,
            remembered_for: Duration::from_secs(300),
        }
    }
}

type Verify = dyn Fn(&str, &str) -> bool + Send + Sync;
type VerifyLater = dyn Fn(String, String) -> Verdict + Send + Sync;
type Verdict = Pin<Box<dyn Future<Output = Result<bool>> + Send>>;

/// Who says whether a password is right.
enum Verifier {
    Users(Arc<Users>),
    Closure(Box<Verify>),
    Asynchronous(Box<VerifyLater>),
}

impl BasicAuth {
    /// The attribute that holds the user's name.
    pub const USER: &str = "auth.user";

    /// Lets in the users of a file, which is read once, now.
    ///
    /// # Errors
    /// `NotFound` or `Unavailable` where the file cannot be read, `TooLarge` where it has more than 4 MiB, and `Malformed`
    /// with a sentence for each line that is not a name and a strong hash.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::new(Verifier::Users(Arc::new(Users::from_file(path.as_ref())?))))
    }

    /// Lets in the users of a text that is written as a file is.
    ///
    /// # Errors
    /// `Malformed` with a sentence for each line that is not a name and a strong hash.
    pub fn from_text(text: &str) -> Result<Self> {
        Ok(Self::new(Verifier::Users(Arc::new(Users::from_text(text)?))))
    }

    /// Lets in whomever `verify` says yes to, when asked with the name and the password. It must not block, and should
    /// compare in constant time.
    #[must_use]
    pub fn with(verify: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Verifier::Closure(Box::new(verify)))
    }

    /// Lets in whomever `verify` says yes to, when asked with the name and the password, after it has asked somebody else:
    /// a database, say. Its error fails the event as it is.
    #[must_use]
    pub fn with_async<F, V>(verify: F) -> Self
    where
        F: Fn(String, String) -> V + Send + Sync + 'static,
        V: Future<Output = Result<bool>> + Send + 'static,
    {
        Self::new(Verifier::Asynchronous(Box::new(move |user, password| Box::pin(verify(user, password)))))
    }

    /// Sets how passwords are checked and remembered, in place of the defaults.
    #[must_use]
    pub fn with_settings(self, settings: &BasicAuthSettings) -> Self {
        Self { verifier: self.verifier, checks: Checks::new(settings), remembered: Remembered::new(settings) }
    }

    /// Makes the line of a file for `user`, with an argon2id hash of `password`. It takes tens of milliseconds.
    ///
    /// # Errors
    /// `Malformed` where the name is empty, begins with `#` or a space or holds a `:`, where the password is empty, and where
    /// either holds a control character.
    pub fn line(user: &str, password: &str) -> Result<String> {
        users::check_name(user).map_err(Error::malformed)?;
        if password.is_empty() {
            return Err(Error::malformed(format!("the password of `{user}` is empty")));
        }
        if password.contains(|character: char| character.is_control()) {
            let message = format!("the password of `{user}` has a control character, which no client may send");
            return Err(Error::malformed(message));
        }
        Ok(format!("{user}:{}", PasswordHash::of(password)?))
    }

    /// Says whose name and password these are, for a protocol that has them elsewhere than in a header.
    #[cfg(feature = "smtp-in")]
    pub(crate) async fn verify(&self, user: &str, password: &str) -> Result<Text> {
        let token = credentials::encode(user, password)?;
        let tag = self.remembered.tag(&token);
        match self.remembered.user(tag) {
            Some(user) => Ok(user),
            None => self.check(tag, &token).await,
        }
    }

    fn new(verifier: Verifier) -> Self {
        let settings = BasicAuthSettings::default();
        Self { verifier, checks: Checks::new(&settings), remembered: Remembered::new(&settings) }
    }

    /// Checks credentials that are not remembered.
    async fn check(&self, tag: Tag, token: &str) -> Result<Text> {
        let Credentials { user, password } = Credentials::decode(token)?;
        let name = Text::from(user.clone());
        let remembered_name = name.clone();
        let check = |permit| async move {
            // Whoever asked for the same a moment ago may have had the answer in the meantime.
            if self.remembered.user(tag).is_some() {
                return Ok(true);
            }
            let right = self.verifier.verify(user, password, permit).await?;
            if right {
                self.remembered.remember(tag, remembered_name);
            }
            Ok(right)
        };
        if self.checks.once(tag, check).await? {
            Ok(name)
        } else {
            Err(Error::unauthorized("the user name or the password is wrong"))
        }
    }
}

impl Verifier {
    /// Says whether the password is right. The permit is held until the work is done, even where nobody waits any more.
    async fn verify(&self, user: String, password: String, permit: OwnedSemaphorePermit) -> Result<bool> {
        match self {
            Self::Closure(verify) => Ok(verify(&user, &password)),
            Self::Asynchronous(verify) => verify(user, password).await,
            Self::Users(users) => {
                let users = users.clone();
                let verified = tokio::task::spawn_blocking(move || {
                    let _permit = permit;
                    users.verify(&user, &password)
                });
                verified.await.map_err(|error| Error::internal("the check of a password broke").caused_by(error))
            }
        }
    }
}

impl Actor for BasicAuth {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::ANY)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let header = event.attributes().text(&AUTHORIZATION);
        let token = credentials::token(header.as_deref())?;
        let tag = self.remembered.tag(token);
        let user = match self.remembered.user(tag) {
            Some(user) => user,
            None => self.check(tag, token).await?,
        };
        out.push(event.clone().without_attribute(AUTHORIZATION).with_attribute(USER, user));
        Ok(())
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = match &self.verifier {
            Verifier::Users(users) => users.count().to_string(),
            Verifier::Closure(_) | Verifier::Asynchronous(_) => "a closure".to_owned(),
        };
        formatter.debug_struct("BasicAuth").field("users", &format_args!("{users}")).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use playhouse_engine::{Kind, testing};

    use super::*;

    fn request(user: &str, password: &str) -> Event {
        let token = STANDARD.encode(format!("{user}:{password}"));
        Event::new("body").with_attribute("http.header.authorization", format!("Basic {token}"))
    }

    /// An actor that lets `ada` in with `a:b`, and counts how often it was asked.
    fn counted(settings: &BasicAuthSettings) -> (BasicAuth, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let auth = BasicAuth::with(move |user, password| {
            count.fetch_add(1, Ordering::Relaxed);
            user == "ada" && password == "a:b"
        });
        (auth.with_settings(settings), asked)
    }

    #[track_caller]
    fn kind<T: fmt::Debug>(outcome: Result<T>) -> Kind {
        outcome.unwrap_err().kind()
    }

    #[tokio::test]
    async fn a_known_user_moves_on_without_the_credentials() {
        let auth = BasicAuth::from_text(&BasicAuth::line("ada", "a:b").unwrap()).unwrap();
        for _ in 0..2 {
            let passed = testing::feed(&auth, request("ada", "a:b")).await.unwrap();
            let [testing::Output { event, .. }] = &passed[..] else { panic!("{passed:?}") };
            assert_eq!(event.payload().as_text().unwrap(), "body");
            assert_eq!(event.attribute(BasicAuth::USER), Some("ada".into()));
            assert_eq!(event.attribute("http.header.authorization"), None);
        }
    }

    #[tokio::test]
    async fn anybody_else_is_unauthorized() {
        let auth = BasicAuth::from_text(&BasicAuth::line("ada", "lovelace").unwrap()).unwrap();
        let wrong = testing::feed(&auth, request("ada", "byron")).await.unwrap_err();
        let unknown = testing::feed(&auth, request("bob", "lovelace")).await.unwrap_err();
        assert_eq!(wrong.kind(), Kind::Unauthorized);
        // What is said does not tell which users there are.
        assert_eq!((unknown.kind(), unknown.message()), (wrong.kind(), wrong.message()));
        assert_eq!(kind(testing::feed(&auth, Event::new("no header")).await), Kind::Unauthorized);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_right_is_asked_again_only_when_forgotten() {
        let (auth, asked) = counted(&BasicAuthSettings::default());
        for (wait, expected) in [(0, 1), (0, 1), (299, 1), (1, 2)] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            testing::feed(&auth, request("ada", "a:b")).await.unwrap();
            assert_eq!(asked.load(Ordering::Relaxed), expected);
        }
    }

    #[tokio::test]
    async fn who_was_wrong_is_not_remembered() {
        let (auth, asked) = counted(&BasicAuthSettings::default());
        for _ in 0..2 {
            assert_eq!(kind(testing::feed(&auth, request("ada", "wrong")).await), Kind::Unauthorized);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn nobody_is_remembered_where_the_settings_say_so() {
        let (auth, asked) = counted(&BasicAuthSettings { remembered: 0, ..BasicAuthSettings::default() });
        for _ in 0..2 {
            testing::feed(&auth, request("ada", "a:b")).await.unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_asynchronous_closure_may_fail_by_itself() {
        let auth = BasicAuth::with_async(|user, password| async move {
            match user.as_str() {
                "ada" => Ok(password == "lovelace"),
                _ => Err(Error::unavailable("the directory does not answer")),
            }
        });
        testing::feed(&auth, request("ada", "lovelace")).await.unwrap();
        assert_eq!(kind(testing::feed(&auth, request("ada", "byron")).await), Kind::Unauthorized);
        assert_eq!(kind(testing::feed(&auth, request("bob", "lovelace")).await), Kind::Unavailable);
    }

    #[test]
    fn a_line_is_made_of_what_a_file_can_hold() {
        for (user, password, problem) in [
            ("", "x", "the name of a user is empty"),
            ("a:b", "x", "the user name `a:b` has a space at an end, a `#` first, a `:` or a control character"),
            ("#a", "x", "the user name `#a` has a space at an end, a `#` first, a `:` or a control character"),
            ("ada", "a\tb", "the password of `ada` has a control character, which no client may send"),
            ("ada", "", "the password of `ada` is empty"),
        ] {
            assert_eq!(BasicAuth::line(user, password).unwrap_err().message(), problem);
        }
    }

    #[test]
    fn what_is_printed_holds_no_hash() {
        let line = BasicAuth::line("ada", "lovelace").unwrap();
        let auth = BasicAuth::from_text(&line).unwrap();
        assert_eq!(format!("{auth:?}"), "BasicAuth { users: 1, .. }");
    }
}
