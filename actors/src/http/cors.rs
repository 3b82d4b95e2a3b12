//! Cross-origin requests of browsers: the Fetch standard, section 3.2.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use playhouse_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::body::ReplyBody;
use super::reply::empty;

const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Which pages of other origins a browser lets call an [`HttpServer`](super::HttpServer), and with what.
///
/// The server answers the browser's questions (preflights) itself, and adds to every answer, errors too, what lets the page read
/// it. Who is no browser is not kept out by any of this.
///
/// ```
/// use std::time::Duration;
///
/// use playhouse_actors::http::Cors;
///
/// let in_code = Cors { origins: vec!["https://shop.example".into()], credentials: true, ..Cors::default() };
/// let in_a_file: Cors = toml::from_str("origins = ['https://shop.example']\ncredentials = true").unwrap();
/// assert_eq!(in_code, in_a_file);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cors {
    /// The origins, such as `https://shop.example`; `*` is any, which goes with no credentials. None by default.
    pub origins: Vec<String>,
    /// The methods; by default those that the routes of a path take.
    pub methods: Vec<String>,
    /// The headers that requests may have beside the harmless ones; `*` is any but `authorization`. By default `content-type`.
    pub headers: Vec<String>,
    /// The headers of answers that pages may read beside the harmless ones; none by default.
    pub expose: Vec<String>,
    /// Whether requests may carry cookies and log-ins, and pages read the answers; not by default.
    pub credentials: bool,
    /// How long a browser may remember what it was told; 10 minutes by default.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            methods: Vec::new(),
            headers: vec!["content-type".to_owned()],
            expose: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }
}

/// The rules as headers.
#[derive(Debug)]
pub(crate) struct CorsRules {
    /// None at all is any.
    origins: Vec<HeaderValue>,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

impl CorsRules {
    /// # Errors
    /// `Malformed` with all that makes no sense.
    pub(crate) fn new(cors: &Cors) -> Result<Self> {
        let mut problems = Vec::new();
        let is_any = cors.origins.iter().any(|origin| origin == "*");
        if is_any && cors.origins.len() > 1 {
            problems.push("the origin `*` is any; expected it alone".to_owned());
        }
        for origin in cors.origins.iter().filter(|origin| *origin != "*" && !is_origin(origin)) {
            problems.push(format!("`{origin}` is no origin; expected such as `https://shop.example`, in lower case"));
        }
        let lists = [
            ("origins", &cors.origins),
            ("methods", &cors.methods),
            ("headers", &cors.headers),
            ("expose", &cors.expose),
        ];
        for (name, list) in lists {
            if cors.credentials && list.iter().any(|item| item == "*") {
                problems.push(format!("`*` in `{name}` does not go with `credentials`; expected their names"));
            }
        }
        for method in cors.methods.iter().filter(|method| Method::from_bytes(method.as_bytes()).is_err()) {
            problems.push(format!("`{method}` is not a method"));
        }
        for header in cors.headers.iter().chain(&cors.expose) {
            if HeaderName::from_bytes(header.as_bytes()).is_err() {
                problems.push(format!("`{header}` is not the name of a header"));
            }
        }
        if cors.origins.is_empty() {
            problems.push("there are no `origins`; expected at least one".to_owned());
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no cross-origin rules: {}", problems.join("; "))));
        }
        let list = |items: &[String]| HeaderValue::try_from(items.join(", ")).ok().filter(|_| !items.is_empty());
        let origins = cors.origins.iter().filter(|_| !is_any).filter_map(|origin| HeaderValue::try_from(origin).ok());
        Ok(Self {
            origins: origins.collect(),
            methods: list(&cors.methods),
            headers: list(&cors.headers),
            expose: list(&cors.expose),
            credentials: cors.credentials,
            max_age: HeaderValue::from(cors.max_age.as_secs()),
        })
    }

    /// Says whether a browser asks what a page may do.
    pub(crate) fn is_preflight(parts: &Parts) -> bool {
        parts.method == Method::OPTIONS
            && parts.headers.contains_key(ORIGIN)
            && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Answers what a page may do; `allow` is what can be done at the place that was asked for.
    pub(crate) fn preflight(&self, asked: &HeaderMap, allow: &HeaderValue) -> Response<ReplyBody> {
        let mut response = empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        for name in [ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS] {
            headers.append(VARY, HeaderValue::from(name));
        }
        if self.origin(asked).is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.as_ref().unwrap_or(allow).clone());
            if let Some(allowed) = &self.headers {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
            }
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        response
    }

    /// Adds to an answer what lets the page read it.
    pub(crate) fn mark(&self, asked: &HeaderMap, headers: &mut HeaderMap) {
        if !self.origins.is_empty() {
            // Also for who is not let in: a cache must not give this answer to a page that is.
            headers.append(VARY, HeaderValue::from(ORIGIN));
        }
        let Some(origin) = self.origin(asked) else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(expose) = &self.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    /// Returns the origin that is let in by the name that it is told.
    fn origin(&self, asked: &HeaderMap) -> Option<HeaderValue> {
        let origin = asked.get(ORIGIN)?;
        if self.origins.is_empty() { Some(ANY) } else { self.origins.contains(origin).then(|| origin.clone()) }
    }
}

fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    // As browsers write it, for it is compared so.
    text == format!("{scheme}://{authority}") && text == text.to_ascii_lowercase() && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))])
    }

    #[test]
    fn rules_that_make_no_sense_are_all_named() {
        let cors = Cors {
            origins: vec!["*".into()],
            headers: vec!["*".into(), "a b".into()],
            methods: vec!["G T".into()],
            credentials: true,
            ..Cors::default()
        };
        let error = CorsRules::new(&cors).unwrap_err();
        for named in [
            "`*` in `origins` does not go with `credentials`",
            "`*` in `headers` does not go",
            "`G T` is not a method",
            "`a b` is not the name of a header",
        ] {
            assert!(error.message().contains(named), "{error}");
        }
        for origin in
            ["shop.example", "https://shop.example/", "https://Shop.example", "https://a@shop.example", "null"]
        {
            assert!(CorsRules::new(&Cors { origins: vec![origin.into()], ..Cors::default() }).is_err(), "{origin}");
        }
        assert!(CorsRules::new(&Cors::default()).unwrap_err().message().contains("no `origins`"));
    }

    #[test]
    fn a_known_origin_is_named_and_a_stranger_is_not() {
        let origins = vec!["https://a.example".into(), "http://localhost:3000".into()];
        let rules = CorsRules::new(&Cors { origins, credentials: true, ..Cors::default() }).unwrap();
        let mut headers = HeaderMap::new();
        rules.mark(&asked("http://localhost:3000"), &mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:3000");
        assert_eq!((&headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], &headers[VARY]), (&TRUE, &HeaderValue::from(ORIGIN)));
        for stranger in ["https://a.example.evil", "null", "https://A.example"] {
            let mut headers = HeaderMap::new();
            rules.mark(&asked(stranger), &mut headers);
            assert_eq!((headers.len(), &headers[VARY]), (1, &HeaderValue::from(ORIGIN)));
            assert!(!rules.preflight(&asked(stranger), &ANY).headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS));
        }
    }

    #[test]
    fn any_origin_is_told_so_without_credentials() {
        let rules = CorsRules::new(&Cors { origins: vec!["*".into()], ..Cors::default() }).unwrap();
        let mut headers = HeaderMap::new();
        rules.mark(&asked("https://a.example"), &mut headers);
        assert_eq!((headers.len(), &headers[ACCESS_CONTROL_ALLOW_ORIGIN]), (1, &ANY));
        let mut headers = HeaderMap::new();
        rules.mark(&HeaderMap::new(), &mut headers);
        assert!(headers.is_empty());
    }
}
