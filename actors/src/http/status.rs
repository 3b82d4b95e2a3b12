//! The one table between kinds of error and HTTP status codes, in both directions.

use http::StatusCode;
use playhouse_engine::Kind;

/// Returns the status code that tells an HTTP client of an error of `kind`.
#[must_use]
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Malformed => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Gone => StatusCode::GONE,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::RateExceeded => StatusCode::TOO_MANY_REQUESTS,
        Kind::Overloaded | Kind::Unavailable | Kind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        // A kind that this table does not know is nothing that a client could act on.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Returns the kind of error that a status code tells of; nothing where it tells of none, as 200 and 304.
#[must_use]
pub fn kind_of(status: StatusCode) -> Option<Kind> {
    let kind = match status.as_u16() {
        401 | 407 => Kind::Unauthorized,
        403 | 451 => Kind::Forbidden,
        404 => Kind::NotFound,
        405 => Kind::NotAllowed,
        408 | 504 => Kind::Timeout,
        409 | 412 => Kind::Conflict,
        410 => Kind::Gone,
        413 | 414 | 431 => Kind::TooLarge,
        406 | 415 | 501 | 505 => Kind::Unsupported,
        422 => Kind::Unprocessable,
        429 => Kind::RateExceeded,
        502 | 503 => Kind::Unavailable,
        400..=499 => Kind::Malformed,
        500..=599 => Kind::Internal,
        _ => return None,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_comes_back_from_its_status() {
        let kinds = [
            Kind::Malformed,
            Kind::Unauthorized,
            Kind::Forbidden,
            Kind::NotFound,
            Kind::NotAllowed,
            Kind::Timeout,
            Kind::Conflict,
            Kind::Gone,
            Kind::TooLarge,
            Kind::Unsupported,
            Kind::Unprocessable,
            Kind::RateExceeded,
            Kind::Unavailable,
            Kind::Internal,
        ];
        for kind in kinds {
            assert_eq!(kind_of(status_of(kind)), Some(kind));
        }
    }

    #[test]
    fn what_means_try_later_is_503_and_transient() {
        for kind in [Kind::Overloaded, Kind::Unavailable, Kind::Cancelled] {
            assert_eq!(status_of(kind), StatusCode::SERVICE_UNAVAILABLE);
        }
        assert!(kind_of(StatusCode::SERVICE_UNAVAILABLE).unwrap().is_transient());
    }

    #[test]
    fn success_and_redirects_are_no_errors() {
        for status in [StatusCode::OK, StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            assert_eq!(kind_of(status), None);
        }
    }
}
