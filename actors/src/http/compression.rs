//! Bodies that are compressed: answers as clients accept them, and requests that come so.

mod coding;
mod packer;
mod unpacker;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap};
use http::{HeaderValue, Response, StatusCode};
use playhouse_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::body::ReplyBody;
use super::event_stream::EVENT_STREAM;
use super::media::Pattern;
use super::reply::{Refusal, add_vary};
pub(crate) use coding::Coding;
use coding::Wanted;
use packer::{Packed, Packer};
pub(crate) use unpacker::{Unpacker, unpack};

/// What an answer may be on the connection's own task; beyond, it is compressed on tokio's blocking pool. So much takes gzip less than a
/// millisecond, and the others a fraction of that.
const AT_ONCE: usize = 16 * 1024;

/// What is compressed, and how well.
///
/// ```
/// use playhouse_actors::http::{Compression, HttpServer};
///
/// let thorough = Compression { gzip: 9, brotli: 7, ..Compression::default() };
/// let in_a_file: Compression = toml::from_str("gzip = 9\nbrotli = 7").unwrap();
/// assert_eq!(thorough, in_a_file);
/// let server = HttpServer::bind("127.0.0.1:8080").with_compression(thorough);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Compression {
    /// How many bytes an answer must have to be compressed; 1 KiB by default. One that comes in pieces is compressed whatever its
    /// length will be.
    pub minimum: usize,
    /// The media types that are compressed, by patterns as a route takes: text, JSON, XML, JavaScript and WebAssembly by default.
    /// Event streams never are.
    pub types: Vec<String>,
    /// How well gzip compresses, from 1 to 9; 6 by default.
    pub gzip: u32,
    /// How well Brotli compresses, from 0 to 11; 4 by default.
    pub brotli: u32,
    /// How well Zstandard compresses, from 1 to 19; 3 by default.
    pub zstd: i32,
    /// Whether the bodies of requests are unpacked, each to no more than the body's limit; they are by default.
    pub requests: bool,
}

impl Default for Compression {
    fn default() -> Self {
        let types = [
            "text/*",
            "application/json",
            "application/*+json",
            "application/xml",
            "application/*+xml",
            "image/svg+xml",
            "application/javascript",
            "application/x-ndjson",
            "application/wasm",
        ];
        Self { minimum: 1024, types: types.map(String::from).into(), gzip: 6, brotli: 4, zstd: 3, requests: true }
    }
}

/// [`Compression`], checked and made ready.
#[derive(Debug)]
pub(crate) struct Compressor {
    settings: Compression,
    types: Vec<Pattern>,
}

/// An answer that is compressed elsewhere.
pub(crate) struct Aside {
    response: Response<ReplyBody>,
    packer: Packer,
    bytes: Bytes,
}

impl Aside {
    /// Compresses it; this may take long.
    pub(crate) fn packed(mut self) -> Result<Response<ReplyBody>> {
        *self.response.body_mut() = self.packer.whole(&self.bytes)?.into();
        Ok(self.response)
    }
}

impl Compressor {
    /// # Errors
    /// `Malformed` where a level is none.
    pub(crate) fn new(settings: &Compression) -> Result<Self> {
        for (name, level, levels) in [
            ("gzip", i64::from(settings.gzip), 1..=9),
            ("brotli", i64::from(settings.brotli), 0..=11),
            ("zstd", i64::from(settings.zstd), 1..=19),
        ] {
            if !levels.contains(&level) {
                let (first, last) = (levels.start(), levels.end());
                return Err(Error::malformed(format!("`{name}` is {level}; expected {first} to {last}")));
            }
        }
        let types = settings.types.iter().map(|pattern| Pattern::new(pattern)).collect();
        Ok(Self { settings: settings.clone(), types })
    }

    /// Says how the body of a request is compressed, where it is one that is to be unpacked, and takes it off the head.
    pub(crate) fn coding_of(&self, headers: &mut HeaderMap) -> Result<Option<Coding>, Refusal> {
        if !self.settings.requests || !headers.contains_key(CONTENT_ENCODING) {
            return Ok(None);
        }
        let named: Vec<&str> = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
            .collect();
        let coding = match named.as_slice() {
            [] => None,
            [name] if Coding::of(name).is_some() => Coding::of(name),
            names => {
                let message = format!("the body is `{}`; expected one of {}", names.join(", "), Coding::ALL_NAMES);
                return Err(Refusal {
                    accept_encoding: Some(HeaderValue::from_static(Coding::ALL_NAMES)),
                    ..Error::unsupported(message).into()
                });
            }
        };
        headers.remove(CONTENT_ENCODING);
        if coding.is_some() {
            // It would tell of other bytes than those that come.
            headers.remove(CONTENT_LENGTH);
        }
        Ok(coding)
    }

    /// Compresses an answer as the client accepts it.
    ///
    /// # Errors
    /// What is to be answered in its place, where the client accepts no form of it.
    pub(crate) fn pack(
        &self,
        mut response: Response<ReplyBody>,
        asked: &HeaderMap,
        is_head: bool,
    ) -> Result<Result<Response<ReplyBody>, Box<Aside>>, Refusal> {
        let is_fed = response.body().is_fed();
        let length = match response.headers().get(CONTENT_LENGTH) {
            Some(length) if is_head => length.to_str().ok().and_then(|length| length.parse().ok()).unwrap_or(0),
            _ => response.body().bytes().len(),
        };
        if !is_fed && length == 0 || !can_be_packed(&response) {
            return Ok(Ok(response));
        }
        let wanted = Wanted::by(asked);
        let is_worth_it = (is_fed || length >= self.settings.minimum) && self.is_compressible(response.headers());
        if !is_worth_it && wanted.takes_identity() {
            return Ok(Ok(response));
        }
        add_vary(response.headers_mut(), "accept-encoding");
        let Some(coding) = wanted.best(is_worth_it) else {
            if wanted.takes_identity() || !response.status().is_success() {
                return Ok(Ok(response));
            }
            let message =
                format!("no coding of the answer is accepted; expected `identity` or one of {}", Coding::ALL_NAMES);
            return Err(Refusal::with_status(Error::unsupported(message), StatusCode::NOT_ACCEPTABLE));
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        headers.remove(CONTENT_LENGTH);
        weaken(headers);
        if is_head {
            return Ok(Ok(response));
        }
        let packer = Packer::new(coding, &self.settings)?;
        if is_fed {
            let (parts, body) = response.into_parts();
            let body = body.map_feed(|feed| Box::new(Packed::new(feed, packer)));
            return Ok(Ok(Response::from_parts(parts, body)));
        }
        let bytes = response.body().bytes().clone();
        let aside = Aside { response, packer, bytes };
        if length > AT_ONCE { Ok(Err(Box::new(aside))) } else { Ok(Ok(aside.packed()?)) }
    }

    fn is_compressible(&self, headers: &HeaderMap) -> bool {
        let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = essence.map(|value| value.split(';').next().unwrap_or_default().trim());
        // What goes to thousands of clients alike would be compressed for each of them by itself.
        let is_suitable = |essence: &str| !essence.eq_ignore_ascii_case(EVENT_STREAM);
        essence.is_some_and(|essence| is_suitable(essence) && self.types.iter().any(|pattern| pattern.matches(essence)))
    }
}

/// Says whether the bytes of an answer may be others than those that the flow gave.
fn can_be_packed(response: &Response<ReplyBody>) -> bool {
    let headers = response.headers();
    let must_stay = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("no-transform")));
    !(must_stay
        || response.status().is_informational()
        || response.status() == StatusCode::PARTIAL_CONTENT
        || headers.contains_key(CONTENT_ENCODING)
        || headers.contains_key(CONTENT_RANGE))
}

/// What is packed is no longer the same byte for byte.
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")) else { return };
    let weak = [b"W/", tag.as_bytes()].concat();
    match HeaderValue::from_bytes(&weak) {
        Ok(weak) => headers.insert(ETAG, weak),
        // A value within a value can stand in a header.
        Err(_) => headers.remove(ETAG),
    };
}
