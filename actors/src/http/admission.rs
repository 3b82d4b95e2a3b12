//! Whether a request is taken, by what its head says: before a byte of its body is read.

use http::header::{CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use playhouse_engine::{Error, Result};

use super::cors::CorsRules;
use super::head::names_one_host;
use super::limits::HttpLimits;
use super::media::content_type;
use super::reply::Refusal;
use super::routes::{Address, Found, Routes, Target};

/// The variables of a path, by name.
pub(crate) type Variables = Box<[(Box<str>, Box<str>)]>;

/// What is done with a request that is not refused.
pub(crate) enum Admission {
    /// It goes where it leads.
    Admitted(Address, Variables),
    /// It asks what can be done here.
    Options,
}

/// Decides by the head, and by the length that it announces. With `cors` the server answers what a page may do, whatever the
/// routes say of `OPTIONS`.
pub(crate) fn admit(
    routes: &Routes,
    limits: &HttpLimits,
    parts: &Parts,
    length: Option<u64>,
    cors: bool,
) -> Result<Admission, Refusal> {
    check_form(parts, limits.uri_size, limits.head_fields)?;
    let path = parts.uri.path();
    if path == "*" {
        return match parts.method {
            Method::OPTIONS => Ok(Admission::Options),
            _ => Err(Error::malformed("`*` is asked for by `OPTIONS` only").into()),
        };
    }
    let (address, variables) = match routes.find(&parts.method, path) {
        Found::Target { .. } | Found::NotAllowed if cors && CorsRules::is_preflight(parts) => {
            return Ok(Admission::Options);
        }
        // A tunnel is never meant: a reply of 200 would open one.
        _ if parts.method == Method::CONNECT => return Err(Error::not_allowed("`CONNECT` is not taken here").into()),
        Found::Target { address, variables } => (address, variables),
        Found::Options => return Ok(Admission::Options),
        Found::NotAllowed => {
            return Err(Error::not_allowed(format!("`{path}` does not take `{}`", parts.method)).into());
        }
        Found::Nothing => return Err(Error::not_found(format!("there is nothing at `{path}`")).into()),
    };
    let target = routes.target(address);
    check_type(target, &parts.headers, length)?;
    let limit = if target.streamed { limits.streamed_size } else { limits.body_size };
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let variables = match variables {
        Some(variables) if !variables.is_empty() => {
            variables.iter().map(decoded).collect::<Result<Variables, Refusal>>()?
        }
        _ => Box::default(),
    };
    Ok(Admission::Admitted(address, variables))
}

fn check_form(parts: &Parts, uri_size: usize, head_fields: usize) -> Result<(), Refusal> {
    let Parts { uri, headers, version, .. } = parts;
    let length = uri.path_and_query().map_or(0, |all| all.as_str().len());
    if length > uri_size {
        let error = Error::too_large(format!("the URI has {length} bytes; expected at most {uri_size}"));
        return Err(Refusal::with_status(error, StatusCode::URI_TOO_LONG));
    }
    if headers.len() > head_fields {
        let error = Error::too_large(format!("the head has {} fields; expected at most {head_fields}", headers.len()));
        return Err(Refusal::with_status(error, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    if !names_one_host(headers, *version) {
        return Err(Error::malformed("a request must name its host, once, in the header `host`").into());
    }
    Ok(())
}

/// What has no body has no content type that could be wrong.
fn check_type(target: &Target, headers: &HeaderMap, length: Option<u64>) -> Result<(), Refusal> {
    if target.takes_everything() || length == Some(0) {
        return Ok(());
    }
    let message = match content_type(headers) {
        Some((essence, _)) if target.takes(essence) => return Ok(()),
        Some((essence, _)) => format!("`{essence}` is not taken here; expected {}", target.taken()),
        None => format!("the body has no `{CONTENT_TYPE}`; expected {}", target.taken()),
    };
    Err(Refusal { accept: target.accept.clone(), ..Error::unsupported(message).into() })
}

fn decoded((name, value): (&str, &str)) -> Result<(Box<str>, Box<str>), Refusal> {
    match percent_decode_str(value).decode_utf8() {
        Ok(value) => Ok((name.into(), value.into())),
        Err(_) => Err(Error::malformed(format!("`{value}` in the path is not UTF-8 text")).into()),
    }
}

/// Refuses a body that is too large.
pub(crate) fn too_large(limit: usize) -> Refusal {
    Error::too_large(format!("the body is too large; expected at most {limit} bytes")).into()
}
