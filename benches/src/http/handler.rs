//! One hyper handler, written by hand, that does what our orders flow does: the same check of credentials with a memory of
//! those that were right, and the same two transforms and the same sum between them, each called in its turn.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use playhouse::actors::Xslt;
use playhouse::actors::http::status_of;
use playhouse::{Error, Event, Result, Xml, testing};

use crate::Flavor;
use crate::http::PATH;
use crate::http::orders::executor::Executor;
use crate::http::orders::{ACKNOWLEDGE, SUBMIT, USERS};

/// How large an order may be.
const BODY_SIZE: usize = 1024 * 1024;

/// For how long credentials that were right need not be checked again.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// Serves until the process ends.
///
/// # Errors
/// Where the listener fails, or a stylesheet does not compile.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let orders = Arc::new(Orders::new().map_err(io::Error::other)?);
    Flavor::MultiThread.runtime().block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let orders = orders.clone();
            let service = service_fn(move |request| {
                let orders = orders.clone();
                async move { Ok::<_, Infallible>(orders.answer(request).await) }
            });
            tokio::spawn(async move {
                // A client that goes away is no news.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

/// What the handler needs.
struct Orders {
    /// Who may order: names and argon2id hashes.
    users: HashMap<String, PasswordHash>,
    /// Keyed hashes of credentials that were right, each with the time until which it counts.
    remembered: RwLock<HashMap<u64, Instant>>,
    key: RandomState,
    submit: Xslt,
    acknowledge: Xslt,
}

impl Orders {
    fn new() -> Result<Self> {
        let lines = USERS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
        let users = lines.map(|(name, hash)| match PasswordHash::new(hash) {
            Ok(hash) => Ok((name.to_owned(), hash)),
            Err(error) => Err(Error::malformed(format!("the hash of `{name}` cannot be read")).caused_by(error)),
        });
        Ok(Self {
            users: users.collect::<Result<_>>()?,
            remembered: RwLock::default(),
            key: RandomState::new(),
            submit: Xslt::from_text(SUBMIT)?,
            acknowledge: Xslt::from_text(ACKNOWLEDGE)?,
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.acknowledged(request).await {
            Ok(body) => {
                let mut response = Response::new(Full::new(body));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
                response
            }
            Err(error) => {
                let mut response = Response::new(Full::from(error.to_string()));
                *response.status_mut() = status_of(error.kind());
                if response.status() == StatusCode::UNAUTHORIZED {
                    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"orders\""));
                }
                response
            }
        }
    }

    async fn acknowledged(&self, request: Request<Incoming>) -> Result<Bytes> {
        if request.uri().path() != PATH {
            return Err(Error::not_found("there is nothing here"));
        }
        if request.method() != Method::POST {
            return Err(Error::not_allowed("expected POST"));
        }
        self.check(&request)?;
        let body = Limited::new(request.into_body(), BODY_SIZE).collect().await;
        let body = body.map_err(|error| Error::malformed(format!("the body cannot be read: {error}")))?;
        let event = Event::new(Xml::new(body.to_bytes()));
        let event = only(testing::feed(&self.submit, event).await?)?;
        let event = only(testing::feed(&Executor, event).await?)?;
        let event = only(testing::feed(&self.acknowledge, event).await?)?;
        Ok(event.payload().to_bytes())
    }

    fn check(&self, request: &Request<Incoming>) -> Result<()> {
        let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Basic "));
        let token = token.ok_or_else(|| Error::unauthorized("expected a name and a password"))?;
        let tag = self.key.hash_one(token);
        let now = Instant::now();
        let until = self.remembered.read().unwrap_or_else(PoisonError::into_inner).get(&tag).copied();
        if until.is_some_and(|until| now < until) {
            return Ok(());
        }
        if !self.is_right(token) {
            return Err(Error::unauthorized("the name or the password is wrong"));
        }
        self.remembered.write().unwrap_or_else(PoisonError::into_inner).insert(tag, now + REMEMBERED_FOR);
        Ok(())
    }

    fn is_right(&self, token: &str) -> bool {
        let decoded = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((name, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else { return false };
        let hash = self.users.get(name);
        hash.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), hash).is_ok())
    }
}

fn only(outputs: Vec<testing::Output>) -> Result<Event> {
    let first = outputs.into_iter().next();
    first.map(|output| output.event).ok_or_else(|| Error::internal("a step gave nothing"))
}
