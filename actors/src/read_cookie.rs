//! Reads a cookie that a client sends.

use std::fmt;
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use playhouse_engine::{Error, Event, Light, Outbox, Result, Text};
use serde::{Deserialize, Serialize};

use crate::cookie_seal::{Broken, LONGEST, Seal, check_name};

const COOKIES: &str = "http.header.cookie";

/// How many cookies of one name are looked at.
const MOST: usize = 8;

/// Takes the value of a cookie out of a request, and puts it into an attribute, once its signature has been verified.
///
/// Of several cookies of that name (another host of the domain can set one too) the first one counts that is genuine and
/// holds. Without such a one the attribute is taken away, whatever it was.
///
/// # Ports
/// The inbox `inbox` and the outbox `outbox`, for any format.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `name` | `session` | the cookie's name |
/// | `attribute` | `cookie.` and the name | the attribute that gets the value |
/// | `keys` | none | those of [`SetCookie`](crate::SetCookie): what any of them signed is genuine |
/// | `plain` | `false` | whether the cookie is not signed: then it is as the client likes it |
/// | `invalid` | `pass` | a forged or expired cookie: `pass` as if there were none, or `fail` |
/// | `required` | `false` | whether an event without a genuine cookie fails |
///
/// # Errors
/// `Unauthorized` where a cookie is forged or expired, or there is none, as the settings say.
///
/// # Example
/// ```
/// use playhouse_actors::{ReadCookie, ReadCookieSettings};
///
/// let session = ReadCookie::new(ReadCookieSettings {
///     keys: vec!["Zm9yIGFuIGV4YW1wbGUgb25seSwgbm90IGZvciB1c2U=".into()],
///     required: true,
///     ..Default::default()
/// })?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct ReadCookie {
    name: String,
    attribute: Text,
    seal: Option<Seal>,
    invalid: InvalidCookie,
    required: bool,
}

/// Which cookie [`ReadCookie`] reads.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadCookieSettings {
    /// The cookie's name; `session` by default.
    pub name: String,
    /// The attribute that gets the value; `cookie.` and the name by default.
    pub attribute: Option<String>,
    /// The keys of [`SetCookie`](crate::SetCookie).
    pub keys: Vec<String>,
    /// Whether the cookie is not signed; it is by default.
    pub plain: bool,
    /// What happens where a cookie is forged or expired.
    pub invalid: InvalidCookie,
    /// Whether an event without a genuine cookie fails; it passes by default.
    pub required: bool,
}

/// What happens where a cookie is forged or expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InvalidCookie {
    /// It is as if there were none.
    #[default]
    Pass,
    /// The event fails as `Unauthorized`.
    Fail,
}

impl Default for ReadCookieSettings {
    fn default() -> Self {
        Self {
            name: "session".to_owned(),
            attribute: None,
            keys: Vec::new(),
            plain: false,
            invalid: InvalidCookie::default(),
            required: false,
        }
    }
}

impl ReadCookie {
    /// Makes an actor that reads a cookie.
    ///
    /// # Errors
    /// `Malformed` with everything that is wrong with the settings.
    pub fn new(settings: ReadCookieSettings) -> Result<Self> {
        let mut problems = Vec::new();
        check_name(&settings.name, &mut problems);
        if settings.plain != settings.keys.is_empty() {
            problems.push("expected `keys` to verify with, or `plain`, and not both".to_owned());
        }
        let seal = (!settings.plain).then(|| Seal::new(&settings.keys, &mut problems));
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no cookie `{}`: {}", settings.name, problems.join("; "))));
        }
        let ReadCookieSettings { name, attribute, invalid, required, .. } = settings;
        let attribute = attribute.unwrap_or_else(|| format!("cookie.{name}")).into();
        Ok(Self { name, attribute, seal, invalid, required })
    }

    /// Returns the value of the first genuine cookie in the header.
    fn value(&self, header: &str, now: SystemTime) -> Result<Option<String>, Broken> {
        let mut broken = None;
        // Several headers are joined by commas, which no cookie of ours has in it.
        let values = header.split([';', ',']).filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            (name.trim() == self.name).then(|| value.trim())
        });
        for value in values.take(MOST) {
            let opened = match &self.seal {
                Some(seal) => seal.open(&self.name, value, now),
                None if value.len() > LONGEST => Err(Broken::Forged),
                None => percent_decode_str(value.trim_matches('"'))
                    .decode_utf8()
                    .map(std::borrow::Cow::into_owned)
                    .map_err(|_| Broken::Forged),
            };
            match opened {
                Ok(value) => return Ok(Some(value)),
                Err(why) => broken = broken.or(Some(why)),
            }
        }
        broken.map_or(Ok(None), Err)
    }
}

impl Light for ReadCookie {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let value = match event.attributes().text(COOKIES) {
            Some(header) => self.value(&header, SystemTime::now()),
            None => Ok(None),
        };
        let name = &self.name;
        match value {
            Ok(Some(value)) => out.push(event.clone().with_attribute(self.attribute.clone(), value)),
            Err(Broken::Forged) if self.invalid == InvalidCookie::Fail => {
                return Err(Error::unauthorized(format!("the cookie `{name}` is not genuine")));
            }
            Err(Broken::Expired) if self.invalid == InvalidCookie::Fail => {
                return Err(Error::unauthorized(format!("the cookie `{name}` has expired")));
            }
            _ if self.required => {
                return Err(Error::unauthorized(format!("there is no cookie `{name}` that holds")));
            }
            _ => out.push(event.clone().without_attribute(self.attribute.clone())),
        }
        Ok(())
    }
}

/// Shows how many keys there are, not which.
impl fmt::Debug for ReadCookieSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReadCookieSettings")
            .field("name", &self.name)
            .field("keys", &self.keys.len())
            .field("invalid", &self.invalid)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use playhouse_engine::{Kind, testing};
    use proptest::prelude::*;

    use super::*;
    use crate::{SetCookie, SetCookieSettings};

    const KEY: &str = "one key for all the tests in this file";

    fn settings() -> ReadCookieSettings {
        ReadCookieSettings { keys: vec![KEY.into()], ..Default::default() }
    }

    /// Returns the cookie as a client sends it back that got it so many seconds ago.
    fn sealed(value: &str, age: u64, max_age: u64) -> String {
        let seal = Seal::new(&[KEY.to_owned()], &mut Vec::new());
        let made = SystemTime::now() - Duration::from_secs(age);
        format!("session={}", seal.seal("session", value, Some(made + Duration::from_secs(max_age))))
    }

    async fn read(settings: ReadCookieSettings, header: &str) -> Result<Option<String>> {
        let event =
            Event::new(()).with_attribute(COOKIES, header.to_owned()).with_attribute("cookie.session", "from before");
        let outputs = testing::feed(&ReadCookie::new(settings).unwrap(), event).await?;
        Ok(outputs[0].event.attribute("cookie.session").map(|value| value.to_string()))
    }

    #[tokio::test]
    async fn what_set_cookie_sets_is_read_again() {
        let set = SetCookie::new(SetCookieSettings {
            value: Some("é; =".into()),
            keys: vec![KEY.into()],
            ..Default::default()
        });
        let event = testing::feed(&set.unwrap(), Event::new(())).await.unwrap().remove(0).event;
        let line = event.attribute("http.reply.header.set-cookie").unwrap().to_string();
        let cookie = line.split(';').next().unwrap();
        for header in [cookie.to_owned(), format!("a=b; {cookie}; c"), format!("a=b,{cookie}")] {
            assert_eq!(read(settings(), &header).await.unwrap().as_deref(), Some("é; ="), "{header}");
        }
    }

    #[tokio::test]
    async fn a_forged_or_expired_cookie_is_none_or_an_error() {
        let forged = format!("{}x", sealed("ada", 0, 100));
        let expired = sealed("ada", 200, 100);
        for (header, message) in
            [(forged, "is not genuine"), (expired, "has expired"), ("session=ada".into(), "is not genuine")]
        {
            assert_eq!(read(settings(), &header).await.unwrap(), None);
            let error =
                read(ReadCookieSettings { invalid: InvalidCookie::Fail, ..settings() }, &header).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.message()),
                (Kind::Unauthorized, &*format!("the cookie `session` {message}"))
            );
            let error = read(ReadCookieSettings { required: true, ..settings() }, &header).await.unwrap_err();
            assert_eq!(error.message(), "there is no cookie `session` that holds");
        }
    }

    #[tokio::test]
    async fn no_cookie_is_no_error_unless_one_is_required() {
        let fail = ReadCookieSettings { invalid: InvalidCookie::Fail, ..settings() };
        assert_eq!(read(fail, "other=1").await.unwrap(), None);
        let required = ReadCookie::new(ReadCookieSettings { required: true, ..settings() }).unwrap();
        let error = testing::feed(&required, Event::new(())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized);
    }

    #[tokio::test]
    async fn of_several_cookies_the_genuine_one_counts() {
        let header = format!("session=tossed; {}", sealed("ada", 0, 100));
        let strict = ReadCookieSettings { invalid: InvalidCookie::Fail, ..settings() };
        assert_eq!(read(strict, &header).await.unwrap().as_deref(), Some("ada"));
    }

    #[tokio::test]
    async fn a_plain_cookie_is_what_the_client_says() {
        let plain = ReadCookieSettings { plain: true, ..Default::default() };
        assert_eq!(read(plain.clone(), "session=a%3B%20b").await.unwrap().as_deref(), Some("a; b"));
        assert_eq!(read(plain, "session=%FF").await.unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_believe(header in "(session=[a-zA-Z0-9._%=-]{0,40}[;,] ?){0,12}.{0,20}") {
            let actor = ReadCookie::new(settings()).unwrap();
            prop_assert!(!matches!(actor.value(&header, SystemTime::now()), Ok(Some(_))));
        }
    }
}
