//! Gives a client a cookie.

use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use playhouse_engine::{Error, Event, Light, Outbox, Result};
use serde::{Deserialize, Serialize};

use crate::cookie_seal::{LONGEST, Seal, check_name};
use crate::http::HttpReply;

/// What the value of a cookie cannot have in it (RFC 6265), and the `%` that stands for it.
const NOT_IN_VALUE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(b',').add(b';').add(b'\\');

/// Adds a cookie to the reply that an event becomes, signed so that [`ReadCookie`](crate::ReadCookie) knows it again.
///
/// What is signed can still be read by the client, but not changed: the signature (HMAC-SHA256) is of the name, the value and
/// the time until which the cookie holds. The first key signs; a key is changed by putting the new one before the old one,
/// here and at `ReadCookie`, and taking the old one away when its cookies have expired.
///
/// # Ports
/// The inbox `inbox` and the outbox `outbox`, for any format.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `name` | `session` | the cookie's name |
/// | `value` | | its value; or |
/// | `from-attribute` | | the attribute that is its value; an event without it gets no cookie |
/// | `keys` | none | secrets of at least 32 bytes, as `openssl rand -base64 32` makes them; the first one signs |
/// | `plain` | `false` | whether the cookie is not signed: then there are no keys |
/// | `max-age` | `100m` | how long it holds; `0s` takes the cookie away from the client, none at all keeps it until the browser ends |
/// | `path` | `/` | the path below which the client sends it |
/// | `domain` | none | the domain to whose hosts the client sends it; only to this host by default |
/// | `secure` | `true` | whether it is sent over HTTPS only |
/// | `http-only` | `true` | whether scripts cannot see it |
/// | `same-site` | `lax` | whether requests from other sites carry it: `strict`, `lax` or `none` |
///
/// # Errors
/// `TooLarge` where the cookie is over 4,096 bytes, which browsers need not keep.
///
/// # Example
/// ```
/// use playhouse_actors::{SetCookie, SetCookieSettings};
///
/// let session = SetCookie::new(SetCookieSettings {
///     from_attribute: Some("session".into()),
///     keys: vec!["Zm9yIGFuIGV4YW1wbGUgb25seSwgbm90IGZvciB1c2U=".into()],
///     ..Default::default()
/// })?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct SetCookie {
    settings: SetCookieSettings,
    seal: Option<Seal>,
    /// What stands behind the value, but for the times.
    rest: String,
}

/// Which cookie [`SetCookie`] sets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SetCookieSettings {
    /// The cookie's name; `session` by default.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
    /// The attribute that is its value.
    pub from_attribute: Option<String>,
    /// Secrets of at least 32 bytes; the first one signs.
    pub keys: Vec<String>,
    /// Whether the cookie is not signed; it is by default.
    pub plain: bool,
    /// How long it holds; 100 minutes by default.
    #[serde(with = "humantime_serde")]
    pub max_age: Option<Duration>,
    /// The path below which the client sends it; `/` by default.
    pub path: String,
    /// The domain to whose hosts the client sends it; only to this host by default.
    pub domain: Option<String>,
    /// Whether it is sent over HTTPS only; it is by default.
    pub secure: bool,
    /// Whether scripts cannot see it; they cannot by default.
    pub http_only: bool,
    /// Whether requests from other sites carry it; `lax` by default.
    pub same_site: SameSite,
}

/// Whether requests from other sites carry a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SameSite {
    /// None does.
    Strict,
    /// Links do.
    #[default]
    Lax,
    /// All do. Browsers want `secure` with it.
    None,
}

impl Default for SetCookieSettings {
    fn default() -> Self {
        Self {
            name: "session".to_owned(),
            value: None,
            from_attribute: None,
            keys: Vec::new(),
            plain: false,
            max_age: Some(Duration::from_secs(6000)),
            path: "/".to_owned(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::default(),
        }
    }
}

impl SetCookieSettings {
    fn check(&self, problems: &mut Vec<String>) {
        check_name(&self.name, problems);
        if self.value.is_some() == self.from_attribute.is_some() && self.max_age != Some(Duration::ZERO) {
            problems.push("expected one of `value` and `from-attribute`".to_owned());
        }
        if self.plain != self.keys.is_empty() {
            problems.push("expected `keys` to sign with, or `plain`, and not both".to_owned());
        }
        for (name, text) in [("path", &self.path), ("domain", self.domain.as_ref().unwrap_or(&self.path))] {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') {
                problems.push(format!("the {name} `{text}` cannot stand in a cookie"));
            }
        }
        if self.same_site == SameSite::None && !self.secure {
            problems.push("browsers take `same-site = \"none\"` only with `secure`".to_owned());
        }
        let is_host = self.name.starts_with("__Host-");
        if (is_host || self.name.starts_with("__Secure-")) && !self.secure {
            problems.push(format!("browsers take the name `{}` only with `secure`", self.name));
        }
        if is_host && (self.path != "/" || self.domain.is_some()) {
            problems
                .push(format!("browsers take the name `{}` only with the path `/` and without a domain", self.name));
        }
    }

    /// Returns what stands behind the value, but for the times.
    fn rest(&self) -> String {
        let mut rest = format!("; Path={}", self.path);
        if let Some(domain) = &self.domain {
            rest.push_str("; Domain=");
            rest.push_str(domain);
        }
        if self.secure {
            rest.push_str("; Secure");
        }
        if self.http_only {
            rest.push_str("; HttpOnly");
        }
        rest.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        rest
    }
}

impl SetCookie {
    /// Makes an actor that sets a cookie.
    ///
    /// # Errors
    /// `Malformed` with everything that is wrong with the settings.
    pub fn new(settings: SetCookieSettings) -> Result<Self> {
        let mut problems = Vec::new();
        settings.check(&mut problems);
        let seal = (!settings.plain).then(|| Seal::new(&settings.keys, &mut problems));
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no cookie `{}`: {}", settings.name, problems.join("; "))));
        }
        let rest = settings.rest();
        Ok(Self { settings, seal, rest })
    }

    /// Returns the line of the header `Set-Cookie`.
    fn line(&self, value: &str, now: SystemTime) -> Result<String> {
        let SetCookieSettings { name, max_age, .. } = &self.settings;
        let until = max_age.and_then(|age| now.checked_add(age));
        let is_taken_away = *max_age == Some(Duration::ZERO);
        let mut line = match &self.seal {
            _ if is_taken_away => format!("{name}="),
            Some(seal) => format!("{name}={}", seal.seal(name, value, until)),
            None => format!("{name}={}", utf8_percent_encode(value, NOT_IN_VALUE)),
        };
        line.push_str(&self.rest);
        if let (Some(age), Some(until)) = (max_age, until) {
            // Writing into a string cannot fail. A date after the year 9999 has no form.
            let _ = write!(line, "; Max-Age={}", age.as_secs());
            if age.as_secs() < 100 * 365 * 86_400 {
                let _ = write!(line, "; Expires={}", httpdate::fmt_http_date(until));
            }
        }
        if line.len() > LONGEST {
            let message = format!("the cookie `{name}` has {} bytes; at most {LONGEST} are possible", line.len());
            return Err(Error::too_large(message));
        }
        Ok(line)
    }
}

impl Light for SetCookie {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let value = match (&self.settings.from_attribute, &self.settings.value) {
            (Some(name), _) => event.attribute(name).map(|value| value.to_string()),
            (None, value) => Some(value.clone().unwrap_or_default()),
        };
        match value {
            Some(value) => {
                let line = self.line(&value, SystemTime::now())?;
                out.push(event.clone().with_added_reply_header("set-cookie", line));
            }
            None => out.push(event),
        }
        Ok(())
    }
}

/// Shows how many keys there are, not which.
impl fmt::Debug for SetCookieSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SetCookieSettings")
            .field("name", &self.name)
            .field("keys", &self.keys.len())
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::{Kind, testing};

    use super::*;

    fn plain(value: &str) -> SetCookieSettings {
        SetCookieSettings { value: Some(value.to_owned()), plain: true, ..Default::default() }
    }

    fn line(settings: SetCookieSettings) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let value = settings.value.clone().unwrap_or_default();
        SetCookie::new(settings).unwrap().line(&value, now).unwrap()
    }

    #[test]
    fn a_cookie_is_safe_unless_the_settings_say_otherwise() {
        assert_eq!(
            line(plain("v")),
            "session=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=6000; Expires=Sun, 09 Sep 2001 03:26:40 GMT"
        );
        let open = SetCookieSettings {
            path: "/shop".into(),
            domain: Some("example.org".into()),
            secure: false,
            http_only: false,
            same_site: SameSite::Strict,
            max_age: None,
            ..plain("v")
        };
        assert_eq!(line(open), "session=v; Path=/shop; Domain=example.org; SameSite=Strict");
    }

    #[test]
    fn a_value_cannot_add_anything_to_the_header() {
        let hostile = line(plain("a; Domain=evil\r\nX: \"é\" 100%,\\"));
        assert!(
            hostile.starts_with("session=a%3B%20Domain=evil%0D%0AX:%20%22%C3%A9%22%20100%25%2C%5C; Path=/"),
            "{hostile}"
        );
    }

    #[test]
    fn no_time_at_all_takes_the_cookie_away() {
        let gone = SetCookieSettings { max_age: Some(Duration::ZERO), plain: true, ..Default::default() };
        assert!(
            line(gone).starts_with("session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0; Expires=Sun, 09 Sep")
        );
    }

    #[tokio::test]
    async fn several_cookies_are_several_lines_and_a_missing_value_is_none() {
        let event = Event::new(()).with_attribute("user", "ada");
        let first = SetCookie::new(plain("v")).unwrap();
        let second = SetCookie::new(SetCookieSettings {
            name: "user".into(),
            from_attribute: Some("user".into()),
            plain: true,
            ..Default::default()
        })
        .unwrap();
        let event = testing::feed(&first, event).await.unwrap().remove(0).event;
        let event = testing::feed(&second, event).await.unwrap().remove(0).event;
        let lines = event.attribute("http.reply.header.set-cookie").unwrap().to_string();
        assert!(lines.contains("session=v;") && lines.contains("user=ada;"), "{lines}");
        let none = testing::feed(&second, Event::new(())).await.unwrap().remove(0).event;
        assert_eq!(none.attribute("http.reply.header.set-cookie"), None);
    }

    #[tokio::test]
    async fn a_cookie_that_browsers_would_drop_is_too_large() {
        let cookie = SetCookie::new(plain(&"x".repeat(5000))).unwrap();
        assert_eq!(testing::feed(&cookie, Event::new(())).await.unwrap_err().kind(), Kind::TooLarge);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let settings = SetCookieSettings {
            name: "__Host-a b".into(),
            keys: vec!["short".into()],
            path: "/a;b".into(),
            secure: false,
            same_site: SameSite::None,
            ..Default::default()
        };
        let message = SetCookie::new(settings).unwrap_err().to_string();
        for expected in [
            "`__Host-a b` is no name of a cookie",
            "expected one of `value` and `from-attribute`",
            "the path `/a;b` cannot stand in a cookie",
            "only with `secure`",
            "only with the path `/`",
            "key 1 has 5 bytes; expected 32 at least",
        ] {
            assert!(message.contains(expected), "{expected} in {message}");
        }
        assert!(SetCookie::new(SetCookieSettings { value: Some("v".into()), ..Default::default() }).is_err());
    }
}
